"""Models from outside the package, of kinds that it doesn't have: each trains, resumes, infers and is evaluated.

They use the interfaces of ``models.base`` and ``data.base``; the package doesn't know them. Each is one file of
tests/outside or of docs/extending.md.
"""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from img2img import load_translator
from img2img.command_line import parse_train_arguments
from img2img.data.images import read_image
from img2img.models import load_model_file, model_class
from img2img.models.base import Batch, Images, Model
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.helpers import Colours, call, launch, outside_models, weights

SMALL = (
    "--data.load_size 20 --data.crop_size 16 --data.batch_size 2 --data.num_workers 0 --train.log_every 2 "
    "--train.sample_every 4 --train.save_every 100 --train.ema_decay 0.9"
)
FILM = (1, 2, 10, 11)  # numbers of frames


def two_folders(root: Path) -> None:
    """Gray shapes and coloured ones; in validation partners by name."""
    for part, count in (("train", 5), ("val", 2)):
        for i in range(count):
            a, b = drawn_pair(i + 50 * (part == "val"))
            write(root / f"{part}A" / f"{i}_A.png", a)
            write(root / f"{part}B" / f"{i}_B.png", b)


def pairs(root: Path) -> None:
    for part, count in (("train", 5), ("val", 2)):
        for i in range(count):
            write(root / part / f"{i}.png", np.concatenate(drawn_pair(i + 50 * (part == "val")), axis=1))


def one_folder(root: Path) -> None:
    for part, count in (("train", 5), ("val", 2)):
        for i in range(count):
            write(root / part / f"{i}.png", drawn_pair(i + 50 * (part == "val"))[1])


def domains(root: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for i in range(count):
            write(root / part / "circles" / f"{i}.png", drawn_pair(i)[1])
            write(root / part / "squares" / f"{i}.png", drawn_pair(i)[1] // 2)
            write(root / part / "stripes" / f"{i}.png", 255 - drawn_pair(i)[1])


def films(root: Path) -> None:
    for part in ("train", "val"):
        for film in ("one", "two"):
            for number in FILM:
                a, b = drawn_pair(number + len(film))
                write(root / f"{part}A" / film / f"{number}.png", a)
                write(root / f"{part}B" / film / f"{number}.png", b)


@dataclass
class Case:
    """A model of a file."""

    name: str
    draw: Callable[[Path], None]
    options: str = ""
    score: str = "val/l1"
    scale: int = 1

    @property
    def file(self) -> Path:
        return outside_models() / f"{self.name}.py"

    def arguments(self, root: Path, run: str, steps: int) -> list[str]:
        if not root.exists():
            self.draw(root)
        argv = ["--model", str(self.file), "--data.root", str(root), "--name", run]
        argv += [*SMALL.split(), *self.options.split(), "--train.evaluate_every", "3"]
        return [*argv, "--train.max_steps", str(steps)]


CASES = [
    Case("patch_features", two_folders, "--data.val_paired true"),
    Case("l1_regression", pairs),
    Case("double_size", one_folder, scale=2),
    Case("three_domains", domains, "--train.metrics fid --data.flip false", "val/fid"),
    Case("short_clips", films),
    Case("fill_holes", one_folder),
    Case("small_restoration", one_folder, "--data.down 2", scale=2),
    Case("flow_matching", pairs),
    Case("edges", pairs, "--model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1"),
]
BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    """With a small feature network instead of Inception."""
    fake_features(monkeypatch)
    return request.param


def fake_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())


def run_train(case: Case, run: str, steps: int) -> Path:
    return train(parse_train_arguments(case.arguments(Path("set"), run, steps), Path()).config)


def test_outside_model_trains_evaluates_and_resumes_bit_for_bit(case: Case) -> None:
    whole = run_train(case, "whole", 6)
    run_train(case, "parts", 4)
    resumed = parse_train_arguments(["--name", "parts", "--resume", "--train.max_steps", "6"], Path())
    parts = train(resumed.config, resume=True)
    first, second = weights(whole), weights(parts)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    with (whole / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row[case.score]) > 0 for row in rows if row[case.score]] == [True, True]
    assert len(list((whole / "samples").glob("*.png"))) == 3  # before the first step, and after 4 and 6
    assert (whole / case.file.name).read_bytes() == case.file.read_bytes()


def test_outside_model_infers_any_size_and_is_evaluated(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    run_train(case, "x", 2)
    assert call(monkeypatch, "infer", "x") == 0
    assert list(Path("runs/x/results/step-000002").rglob("*.png"))
    image = write(Path("odd/1.png"), drawn_pair(7, 21, 17)[1])
    mask = write(Path("mask.png"), np.full((21, 17), 255, np.uint8))
    more = ["--with", f"mask={mask}"] if case.name == "fill_holes" else []
    assert call(monkeypatch, "infer", "x", "--input", str(image), "--output", "o", *more) == 0
    assert read_image(Path("o/1.png"), 3).shape == (21 * case.scale, 17 * case.scale, 3)
    measured = ["--metrics", "fid"] if case.name == "three_domains" else []
    assert call(monkeypatch, "evaluate", "x", *measured) == 0
    assert list(Path("runs/x/evaluation/step-000002").rglob("*.json"))


TWO = [case if case.name == "patch_features" else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", TWO, ids=lambda case: case.name)
def test_outside_model_trains_in_two_processes(case: Case) -> None:
    """The model's file is beside the configuration. The script compares the weights of both processes at the end."""
    argv = [*case.arguments(Path("set"), "two", 3), "--train.evaluate_every", "0"]
    config = parse_train_arguments(argv, Path()).config
    shutil.copy(case.file, ".")
    assert "processes: 2" in launch(config, 2)


@pytest.mark.parametrize(("direction", "source"), [("AtoB", "a"), ("BtoA", "b")])
def test_one_way_model_learns_the_given_direction(direction: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inference and evaluation use the same direction."""
    case, seen = BY_NAME["patch_features"], []
    argv = [*case.arguments(Path("set"), "x", 2), "--data.direction", direction]
    config = parse_train_arguments(argv, Path()).config
    model = model_class("patch_features")
    real = model.forward

    def forward(self: Model, batch: Batch) -> Images:
        seen.append(torch.equal(batch["input"], batch[source]) and not torch.equal(batch["input"], batch["target"]))
        return real(self, batch)

    monkeypatch.setattr(model, "forward", forward)
    train(config)
    assert seen
    assert all(seen)
    assert call(monkeypatch, "infer", "x") == 0
    names = {path.name for path in Path("runs/x/results/step-000002").glob("*.png")}
    assert names == {f"{i}_{source.upper()}.png" for i in range(2)}
    other = {"AtoB": "BtoA", "BtoA": "AtoB"}[direction]
    assert call(monkeypatch, "infer", "x", "--direction", other) == 2


def test_auxiliary_head_learns_and_has_no_ema() -> None:
    run = run_train(BY_NAME["patch_features"], "x", 3)
    before = weights(run_train(BY_NAME["patch_features"], "y", 1))
    after = weights(run)
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert {key.partition(".")[0] for key in after} == {"generator", "generator_ema", "discriminator", "head"}


def test_double_size_output_shows_the_whole_input() -> None:
    """Not the top left quarter: shrunk again, the output is near the input."""
    case = BY_NAME["double_size"]
    argv = [*case.arguments(Path("set"), "x", 150), "--optim.lr", "0.01", "--train.evaluate_every", "0"]
    translator = load_translator(train(parse_train_arguments(argv, Path()).config))
    image = drawn_pair(3, 24, 18)[1]
    output = translator(image)
    assert output.shape == (48, 36, 3)
    back = cv2.resize(output, (18, 24), interpolation=cv2.INTER_AREA)
    error = np.abs(back.astype(int) - image).mean()
    error_of_quarter = np.abs(cv2.resize(output[:24, :18], (18, 24)).astype(int) - image).mean()
    assert error < 25 < error_of_quarter


def test_domains_define_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_features(monkeypatch)
    run = run_train(BY_NAME["three_domains"], "x", 2)
    to_circles = load_translator(run)
    assert to_circles.directions == ("circles", "squares", "stripes")
    image = drawn_pair(5)[1]
    outputs = [load_translator(run, direction=name)(image) for name in to_circles.directions]
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])
    assert call(monkeypatch, "infer", "x", "--direction", "stripes") == 0
    assert {p.name for p in Path("runs/x/results/step-000002/stripes").iterdir()} == {"circles", "squares", "grids"}
    assert call(monkeypatch, "infer", "x", "--direction", "dots") == 2


def test_frames_are_translated_in_order_with_the_previous_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their numbers, 2 before 10; each folder is a separate video."""
    run_train(BY_NAME["short_clips"], "x", 2)
    folder = Path("set/valA")
    assert call(monkeypatch, "infer", "x", "--input", str(folder), "--output", "all") == 0
    stream = load_translator("x").stream()
    translator = load_translator("x")
    for film in ("one", "two"):
        for number in FILM:
            item = translator.read(folder / film / f"{number}.png")
            output = stream(item)
            assert np.array_equal(read_image(Path("all") / film / f"{number}.png", 3), output)
            alone = translator.translate(item)
            assert np.array_equal(alone, output) == (number == FILM[0])


def test_mask_keeps_pixels_outside_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_train(BY_NAME["fill_holes"], "x", 2)
    image, mask = drawn_pair(9, 18, 20)[1], np.zeros((18, 20), np.uint8)
    mask[4:9, 5:12] = 255
    output = load_translator(run)(image, mask=mask)
    outside = mask == 0
    assert np.abs(output[outside].astype(int) - image[outside]).max() <= 1
    assert np.abs(output[~outside].astype(int) - image[~outside]).max() > 5
    files = [write(Path("in/1.png"), image), write(Path("masks/1.png"), mask)]
    assert call(monkeypatch, "infer", "x", "--input", str(files[0].parent), "--output", "o") == 2
    argv = ["--input", str(files[0].parent), "--with", f"mask={files[1].parent}", "--output", "o"]
    assert call(monkeypatch, "infer", "x", *argv) == 0
    assert np.array_equal(read_image(Path("o/1.png"), 3), output)
    assert call(monkeypatch, "infer", "x", *argv, "--with", "depth=masks") == 2


def test_random_model_output_depends_on_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    run_train(BY_NAME["flow_matching"], "x", 2)
    translator, image = load_translator("x"), drawn_pair(2)[0]
    assert translator.draws
    assert np.array_equal(translator(image, seed=3), translator(image, seed=3))
    assert not np.array_equal(translator(image, seed=3), translator(image, seed=4))
    file = write(Path("one.png"), image)
    assert call(monkeypatch, "infer", "x", "--input", str(file), "--samples", "2", "--output", "o") == 0
    first, second = (read_image(Path(f"o/one_{i}.png"), 3) for i in (1, 2))
    assert not np.array_equal(first, second)


def test_outside_model_files_are_short() -> None:
    """The model's own class; a data set may stand above it."""
    for case in CASES:
        model = model_class(load_model_file(case.file))
        lines = case.file.read_text().splitlines()
        begins = [i for i, line in enumerate(lines) if line.startswith(f"class {model.__name__}(")]
        assert len(lines) - begins[0] <= 60, case.name


def test_every_model_is_used() -> None:
    """Those of the page and of the folder."""
    assert {case.file.name for case in CASES} == {file.name for file in outside_models().glob("*.py")}
