"""Runs of many domains as functions: targets, labels of the input, strengths, files, and what a user gets wrong."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img import load_translator
from img2img.config import Config
from img2img.data.images import read_image
from img2img.inference import domain_translator
from img2img.inference.domain_translator import DomainTranslator
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.helpers import call

Tiny = Callable[..., Config]
FACES = ["Black_Hair", "Blond_Hair", "Male"]
COLOURS = ("blue", "brown", "green", "pink", "yellow")
IMAGE = drawn_pair(0, 19, 30)[1]


@pytest.fixture
def faces(tiny_stargan: Tiny, tmp_path: Path) -> Path:
    """A run of three attributes, of which two exclude each other."""
    root = tmp_path / "faces"
    for i in range(8):
        write(root / f"{i}.png", drawn_pair(i)[1])
    rows = [f"{i}.png,{i % 2},{1 - i % 2},{int(i in (0, 3, 6))},{'val' if i > 5 else 'train'}" for i in range(8)]
    (root / "attributes.csv").write_text("\n".join([f"file,{','.join(FACES)},split", *rows]))
    data: dict[str, Any] = {"root": str(root), "toy": False, "attributes": FACES, "names": FACES}
    return train(tiny_stargan("faces", data={**data, "direction": FACES[0]}, train={"max_steps": 1}))


@pytest.fixture
def colours(tiny_stargan: Tiny) -> Path:
    """A run of five domains that exclude each other."""
    return train(tiny_stargan("colours", train={"max_steps": 1}))


def load(run: Path, **options: Any) -> DomainTranslator:
    translator = load_translator(run, **options)
    assert isinstance(translator, DomainTranslator)
    return translator


def of_vector(translator: DomainTranslator, *vector: float) -> np.ndarray:
    return translator(IMAGE, to=np.array(vector, np.float32))


def test_translator_has_the_names_of_the_domains(faces: Path, colours: Path) -> None:
    assert load(faces).domains == tuple(FACES)
    assert load(colours).domains == COLOURS


def test_target_is_a_name_names_or_the_vector(faces: Path) -> None:
    translate = load(faces)
    for to, vector in (("Male", (0, 0, 1)), (["Blond_Hair", "Male"], (0, 1, 1)), ("Blond_Hair, Male", (0, 1, 1))):
        assert np.array_equal(translate(IMAGE, to=to), of_vector(translate, *vector))
    assert np.array_equal(translate(IMAGE, to="0,1,0.5"), of_vector(translate, 0, 1, 0.5))
    assert not np.array_equal(of_vector(translate, 0, 0, 1), of_vector(translate, 0, 1, 1))
    assert translate(IMAGE, to="Male").shape == IMAGE.shape
    assert translate(Image.fromarray(IMAGE), to="Male").size == (30, 19)


def test_target_is_a_list_of_numbers_or_a_name_that_is_a_number(tiny_stargan: Tiny, faces: Path) -> None:
    translate = load(faces)
    assert np.array_equal(translate(IMAGE, to=[0, 1, 0.5]), of_vector(translate, 0, 1, 0.5))  # type: ignore[list-item]
    digits = load(train(tiny_stargan("digits", data={"names": list("12345")}, train={"max_steps": 1})))
    assert np.array_equal(digits(IMAGE, to="3"), of_vector(digits, 0, 0, 1, 0, 0))
    assert np.array_equal(digits(IMAGE, to=["3"]), of_vector(digits, 0, 0, 1, 0, 0))
    half = digits(IMAGE, to="3", own="1", strength=0.5)
    assert np.array_equal(half, of_vector(digits, 0.5, 0, 0.5, 0, 0))


def test_labels_of_the_image_are_names_or_the_vector(faces: Path) -> None:
    translate = load(faces)
    flipped = translate(IMAGE, flip="Male", own=np.array([1, 0, 1], np.float32))
    assert np.array_equal(flipped, translate(IMAGE, flip="Male", own=["Black_Hair", "Male"]))
    with pytest.raises(ValueError, match=r"--is 1,1,0: "):
        translate(IMAGE, flip="Male", own="1,1,0")


def test_direction_of_the_validation_set_takes_strength_and_labels(faces: Path) -> None:
    """Its items know their labels, which --is overrules."""
    towards = load(faces, direction="Male")
    item = towards.dataset(towards.config.data, "val").items("Male")[0]  # 7.png: black
    whole, half = (towards.variants(strength=strength)[""].translate(item) for strength in (None, 0.5))
    assert np.array_equal(whole, towards(item.inputs["input"], to=np.array([1, 0, 1], np.float32)))
    assert np.array_equal(half, towards(item.inputs["input"], to=np.array([1, 0, 0.5], np.float32)))
    said = towards.variants(own="Blond_Hair")[""].translate(item)
    assert np.array_equal(said, towards(item.inputs["input"], to=np.array([0, 1, 1], np.float32)))


def test_flip_changes_one_attribute_of_the_images_own(faces: Path) -> None:
    translate = load(faces)
    flipped = translate(IMAGE, flip="Male", own=["Black_Hair", "Male"])
    assert np.array_equal(flipped, of_vector(translate, 1, 0, 0))
    assert np.array_equal(translate(IMAGE, flip="Blond_Hair", own="Black_Hair,Male"), of_vector(translate, 0, 1, 1))


def test_direction_keeps_the_images_other_attributes(faces: Path) -> None:
    towards_male = load(faces, direction="Male")
    assert np.array_equal(towards_male(IMAGE, own="Blond_Hair"), of_vector(towards_male, 0, 1, 1))


def test_unknown_labels_are_those_that_the_discriminator_sees(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translate = load(faces)
    labels = translate.classified(IMAGE)
    assert set(labels.tolist()) <= {0, 1}
    assert labels[0] + labels[1] <= 1
    monkeypatch.setattr(DomainTranslator, "classified", lambda *_: np.array([0, 1, 1], np.float32))
    assert np.array_equal(translate(IMAGE, flip="Male"), of_vector(translate, 0, 1, 0))


def test_strength_lies_between_the_own_vector_and_the_targets(faces: Path, colours: Path) -> None:
    translate = load(colours)
    halfway = translate(IMAGE, to="pink", own="blue", strength=0.5)
    assert np.array_equal(halfway, of_vector(translate, 0.5, 0, 0, 0.5, 0))
    assert np.array_equal(translate(IMAGE, to="pink", strength=1.0), translate(IMAGE, to="pink"))
    translate = load(faces)
    quarter = translate(IMAGE, to="Male", own="Blond_Hair", strength=0.25)
    assert np.array_equal(quarter, of_vector(translate, 0, 0.75, 0.25))


def test_infer_writes_every_domain_and_one_row(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("photo.jpg"), IMAGE)
    assert call(monkeypatch, "infer", "colours", "--input", "photo.jpg", "--output", "out") == 0
    for name in COLOURS:
        assert read_image(Path(f"out/{name}/photo.png"), 3).shape == (19, 30, 3)
    translate = load(colours)
    written, photo = read_image(Path("out/green/photo.png"), 3), read_image(Path("photo.jpg"), 3)
    assert np.array_equal(written, translate(photo, to="green"))
    (sheet,) = Path("out/grids").iterdir()
    assert read_image(sheet, 3).shape[1] > 6 * 30


def test_infer_to_all_keeps_the_names_of_a_folder(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "deep/b.png"):
        write(Path("photos", name), IMAGE)
    assert call(monkeypatch, "infer", "colours", "--input", "photos", "--to", "all", "--output", "out") == 0
    names = {path.as_posix() for path in Path("out").rglob("*.png") if "grids" not in path.parts}
    assert names == {f"out/{colour}/{name}" for colour in COLOURS for name in ("a.png", "deep/b.png")}


def test_infer_of_the_validation_set_flips_what_the_table_says(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "infer", "faces", "--output", "out") == 0
    translate = load(faces)
    image = read_image(Path("out/Male/6.png"), 3)
    dataset = translate.dataset(translate.config.data, "val")
    own = dataset.items("")[0].inputs  # 6.png: blond and male
    assert own["labels"].tolist() == [0, 1, 1]
    assert np.array_equal(image, translate(own["input"], to=np.array([0, 1, 0], np.float32)))


def test_infer_to_flip_is_and_strength_have_folders_of_their_own(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("photo.png"), IMAGE)
    results = faces / "results" / "step-000001"
    arguments = (
        ["--to", "Blond_Hair,Male"],
        ["--flip", "Male", "--is", "Blond_Hair"],
        ["--to", "Male", "--strength", "0.5"],
    )
    translate = load(faces)
    expected = (
        of_vector(translate, 0, 1, 1),
        of_vector(translate, 0, 1, 1),
        translate(IMAGE, to="Male", strength=0.5),
    )
    names = ("to-Blond_Hair,Male", "flip-Male_own-Blond_Hair", "to-Male_strength-0.5")
    for options, image, name in zip(arguments, expected, names, strict=True):
        assert call(monkeypatch, "infer", "faces", "--input", "photo.png", *options) == 0
        assert np.array_equal(read_image(results / name / "photo.png", 3), image)


def test_infer_tells_what_the_discriminator_takes_an_image_for(
    faces: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(Path("photo.png"), IMAGE)
    capfd.readouterr()
    assert call(monkeypatch, "infer", "faces", "--input", "photo.png", "--flip", "Male") == 0
    assert "--is" in capfd.readouterr().out
    assert call(monkeypatch, "infer", "faces", "--input", "photo.png", "--to", "Male") == 0
    assert "--is" not in capfd.readouterr().out


def test_run_without_discriminator_asks_for_the_labels(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_translator, "has_network", lambda *_: False)  # imported without one
    translate = load(faces)
    translate(IMAGE, to="Male")
    with pytest.raises(ValueError, match=r"--is"):
        translate(IMAGE, flip="Male")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--to", "Mael"], "--to Mael: .*Male"),
        (["--to", "Black_Hair,Blond_Hair"], "--to .*Black_Hair and Blond_Hair"),
        (["--to", "1,1,0"], "--to 1,1,0: "),
        (["--to", "1,0"], "--to 1,0: "),
        (["--to", "1,0,7"], "--to 1,0,7: "),
        (["--flip", "Female"], "--flip Female: "),
        (["--flip", ""], "--flip"),
        (["--to", ""], "--to"),
        (["--is", "Young", "--flip", "Male"], "--is Young: "),
        (["--strength", "1.5"], "--strength 1.5"),
        (["--to", "Male", "--flip", "Male"], "--to"),
        (["--to", "Male", "--direction", "Male"], "--direction Male"),
    ],
)
def test_infer_names_a_wrong_target(
    faces: Path, options: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("photo.png"), IMAGE)
    capsys.readouterr()
    assert call(monkeypatch, "infer", "faces", "--input", "photo.png", "--output", "out", *options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(named, error), error
    assert not Path("out").exists()


def test_exclusive_domains_can_not_be_flipped(colours: Path) -> None:
    with pytest.raises(ValueError, match=r"--flip pink"):
        load(colours)(IMAGE, flip="pink")


@pytest.mark.parametrize("option", ["--to", "--flip", "--is"])
def test_run_without_domains_refuses_a_target(
    tiny: Tiny, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny(train={"max_steps": 1}))
    write(Path("photo.png"), IMAGE)
    assert call(monkeypatch, "infer", "tiny", "--input", "photo.png", option, "Male") == 2
    assert option in capsys.readouterr().err
