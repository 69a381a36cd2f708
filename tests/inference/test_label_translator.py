"""LabelTranslator: class and instance ids in, an image of any size out; files, styles of a photo, errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img import load_translator
from img2img.config import Config
from img2img.data.images import read_image, to_array
from img2img.data.label_files import read_ids
from img2img.data.labelled import LabelledDataset
from img2img.data.toy.streets import draw_scene
from img2img.evaluation.report import pixel_scores
from img2img.inference.files import Request, translate_files
from img2img.inference.label_translator import LabelTranslator
from img2img.training.trainer import train
from tests.conftest import write

Tiny = Callable[..., Config]
SIZES = [(32, 64), (33, 65), (5, 3), (1, 1)]


@pytest.fixture
def run(tiny_hd: Tiny) -> Path:
    return train(tiny_hd(model={"init_gain": 0.3}))


@pytest.fixture
def styled(tiny_hd: Tiny) -> Path:
    return train(tiny_hd("styled", model={"init_gain": 0.3, "instance_features": True}))


def scene(height: int = 32, width: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, instances, photo = draw_scene(3, "val", max(32, height), max(32, width))
    return label[:height, :width], instances[:height, :width], photo[:height, :width]


@pytest.mark.parametrize("size", SIZES)
def test_label_translator_keeps_any_size(run: Path, styled: Path, size: tuple[int, int]) -> None:
    label, instances, photo = scene(*size)
    assert load_translator(run)(label, instances=instances).shape == (*size, 3)
    assert load_translator(styled)(label, instances=instances, photo=photo).shape == (*size, 3)
    assert load_translator(run, training_size=True)(label, instances=instances).shape == (*size, 3)


def test_label_translator_equals_the_samples_of_training(run: Path, tiny_hd: Tiny) -> None:
    """Titles above; labels | output | target."""
    sheet = read_image(run / "samples" / "step-000004.png", 3)
    translate = load_translator(run)
    item = LabelledDataset(tiny_hd().data, "val").item("AtoB", 0)
    assert np.abs(translate.translate(item).astype(int) - sheet[18:50, 72:136]).max() <= 1
    assert np.array_equal(translate.show(item), sheet[18:50, 4:68])
    assert item.target is not None
    assert np.array_equal(item.target, sheet[18:50, 140:204])


def test_label_translator_pads_by_reflection_and_crops(run: Path) -> None:
    translate = load_translator(run)
    label, instances, _ = scene(31, 64)  # to 32
    padded = [np.pad(ids, ((0, 1), (0, 0)), mode="reflect") for ids in (label, instances)]
    assert np.array_equal(translate(label, instances=instances), translate(padded[0], instances=padded[1])[:31])


def test_label_translator_takes_the_style_of_the_photo(styled: Path) -> None:
    translate = load_translator(styled)
    label, instances, photo = scene()
    network, maps = (
        translate.model.encoder,
        [torch.from_numpy(ids.astype(np.int32))[None, None] for ids in (label, instances)],
    )
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        features = network(pixels, maps[1])
        batch = {"label": maps[0], "instance": maps[1], "features": features}
        expected = to_array(translate.model.generate(batch)["output"][0], np.uint8)
    assert np.abs(translate(label, instances=instances, photo=photo).astype(int) - expected).max() <= 1
    assert not np.array_equal(translate(label, instances=instances, photo=255 - photo), expected)


def test_label_translator_gives_ignored_pixels_no_class(run: Path) -> None:
    translate = load_translator(run)
    label, instances, _ = scene()
    ignored = np.where(label == 1, 255, label)
    assert not np.array_equal(translate(ignored, instances=instances), translate(label, instances=instances))


def test_translate_files_takes_label_maps_as_files_and_folders(run: Path, styled: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("a_0", "b_0")):
        label, instances, photo = draw_scene(i, "val", 32, 40 + i)
        write(tmp_path / "label" / f"{name}_gtFine_labelIds.png", label)
        write(tmp_path / "inst" / f"{name}_gtFine_instanceIds.png", instances)
        write(tmp_path / "photo.png", photo)
    translate = load_translator(run)
    translate_files(translate, Request(tmp_path / "label", tmp_path / "out", others={"instance": tmp_path / "inst"}))
    assert read_image(tmp_path / "out" / "b_0_gtFine_labelIds.png", 3).shape == (32, 41, 3)
    one, ids = tmp_path / "label" / "a_0_gtFine_labelIds.png", tmp_path / "inst" / "a_0_gtFine_instanceIds.png"
    for name in ("gtFine_instanceIds", "gtFine_color"):  # as Cityscapes comes, in a folder of its city
        write(tmp_path / "city" / "a" / f"a_0_{name}.png", read_ids(ids).astype(np.uint16))
    translate_files(translate, Request(one, tmp_path / "in-city", others={"instance": tmp_path / "city"}))
    same = [read_image(tmp_path / folder / one.name, 3) for folder in ("out", "in-city")]
    assert np.array_equal(*same)
    translate_files(translate, Request(one, tmp_path / "one", others={"instance": ids}))
    same = [read_image(tmp_path / folder / one.name, 3) for folder in ("out", "one")]
    assert np.array_equal(*same)
    style = f"encode:{tmp_path / 'photo.png'}"
    translate_files(load_translator(styled), Request(one, tmp_path / "styled", others={"instance": ids}, style=style))
    assert read_image(tmp_path / "styled" / "grids" / "00001-00001.png", 3).shape == (14 + 40, 2 * 44 + 4, 3)


def test_translate_files_finds_label_maps_in_cityscapes_folders(run: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("aachen/a_0", "bonn/b_0")):
        label, instances, photo = draw_scene(i, "val", 32, 40 + i)
        for folder in ("gtFine", "alone"):
            write(tmp_path / folder / f"{name}_gtFine_labelIds.png", label)
        for folder in ("gtFine", "inst"):
            write(tmp_path / folder / f"{name}_gtFine_instanceIds.png", instances)
        write(tmp_path / "gtFine" / f"{name}_gtFine_color.png", photo)
        (tmp_path / "gtFine" / f"{name}_gtFine_polygons.json").write_text("{}")
    write(tmp_path / "gtFine" / "bonn" / "own.png", label)
    write(tmp_path / "inst" / "bonn" / "own.png", instances)
    translate, out = load_translator(run), tmp_path / "out"
    gt, names = tmp_path / "gtFine", ["aachen/a_0_gtFine_labelIds.png", "bonn/b_0_gtFine_labelIds.png"]
    assert translate_files(translate, Request(gt, out / "given", others={"instance": tmp_path / "inst"})) == 0
    assert sorted(p.relative_to(out / "given").as_posix() for p in (out / "given").glob("*/*_*.png")) == names
    assert (out / "given" / "bonn" / "own.png").is_file()
    (gt / "bonn" / "own.png").unlink()
    assert translate_files(translate, Request(gt, out / "beside")) == 0
    assert translate_files(translate, Request(gt, out / "same", others={"instance": gt})) == 0
    assert translate_files(translate, Request(gt / names[0], out / "one")) == 0
    expected = [(out / "given" / name).read_bytes() for name in names]
    for folder in ("beside", "same"):
        assert sorted(p.relative_to(out / folder).as_posix() for p in (out / folder).glob("*/*_*.png")) == names
        assert [(out / folder / name).read_bytes() for name in names] == expected
    assert (out / "one" / Path(names[0]).name).read_bytes() == expected[0]
    with pytest.raises(ValueError, match="--instances"):
        translate_files(translate, Request(tmp_path / "alone", out / "none"))


def test_translate_files_writes_the_validation_set_with_its_styles(styled: Path, tmp_path: Path) -> None:
    translate = load_translator(styled)
    translate_files(translate, Request(None, tmp_path / "val"))
    assert len(list((tmp_path / "val").glob("*.png"))) == 24
    assert read_image(tmp_path / "val" / "grids" / "00001-00008.png", 3).shape[1] == 3 * 68 + 4
    assert set(pixel_scores(translate)) == {"output", "mean training image"}


def test_label_translator_errors_are_one_line(run: Path, styled: Path, tiny: Tiny, tmp_path: Path) -> None:
    label, instances, photo = scene()
    write(tmp_path / "l.png", label)
    write(tmp_path / "i.png", instances)
    (tmp_path / "empty").mkdir()
    plain, with_style = load_translator(run), load_translator(styled)
    assert isinstance(plain, LabelTranslator)
    images = load_translator(train(tiny("images")))
    one, ids, none = tmp_path / "l.png", tmp_path / "i.png", tmp_path / "empty"
    beside = {"instance": ids}
    calls: dict[str, Callable[[], object]] = {
        r"run tiny .*\(--instances\)": lambda: plain(label),
        "64x32.* 63x32": lambda: plain(label, instances=instances[:, 1:]),
        r"\bid 9\b.* 0 to 8 .*255": lambda: plain(label + 9, instances=instances),
        r"label of shape \(32, 64, 3\)": lambda: plain(photo, instances=instances),
        "run styled .*--style random": lambda: with_style(label, instances=instances),
        "--instances": lambda: translate_files(plain, Request(one, Path("o"))),
        "empty: ": lambda: translate_files(plain, Request(one, Path("o"), others={"instance": none})),
        "--direction BtoA: ": lambda: load_translator(run, direction="BtoA"),
        r"^nowhere\.png: can't be read \(No such file or directory\)$": lambda: plain.read(Path("nowhere.png"), beside),
        r"--style encode:x\.png: .*model\.instance_features": lambda: plain.styled("encode:x.png"),
        "--style wild: ": lambda: with_style.styled("wild"),
        "--with instance=.*--input": lambda: translate_files(plain, Request(None, Path("o"), others=beside)),
        r"--with instance=.*i\.png: ": lambda: images.read(one, beside),
        "--with mask=.*: .* instance": lambda: plain.read(one, {"mask": ids}),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
    assert not Path("o").exists()
