"""Scores of a run and its baselines, against their definitions computed with numpy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from img2img import load_translator
from img2img.config import Config
from img2img.data.paired import PairedDataset
from img2img.data.transforms import Jitter
from img2img.data.unpaired import UnpairedDataset
from img2img.evaluation.report import pixel_scores
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write


def test_pixel_scores_equal_definitions(tiny: Callable[..., Config]) -> None:
    config = tiny()
    translate = load_translator(train(config))
    scores = pixel_scores(translate)
    assert set(scores) == {"output", "input", "mean training image"}
    pairs = [
        tuple(PairedDataset(config.data, split)[0, i][key] for key in ("input", "target"))
        for split, count in (("train", 6), ("val", 3))
        for i in range(count)
    ]
    mean = np.mean([target for _, target in pairs[:6]], axis=0)
    for name, predict in {"output": translate, "input": lambda x: x, "mean training image": lambda _: mean}.items():
        errors = [predict(image).astype(float) - target for image, target in pairs[6:]]
        tolerance = {"abs": 0.6} if name.startswith("mean") else {"rel": 1e-4}
        assert scores[name].scores["l1"] == pytest.approx(np.mean([np.abs(e).mean() for e in errors]), **tolerance)
        psnr = np.mean([10 * np.log10(255**2 / (e**2).mean()) for e in errors])
        assert scores[name].scores["psnr"] == pytest.approx(psnr, abs=0.1)


def test_pixel_scores_report_a_skipped_file(
    tiny: Callable[..., Config], paired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    translate = load_translator(train(tiny()))
    bad = paired_root / "val" / "1.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    assert pixel_scores(translate)["output"].scores["l1"] > 0
    assert f"{bad}: " in capsys.readouterr().err


def test_pixel_scores_of_unpaired_images_measure_the_cycle(tiny_cyclegan: Callable[..., Config]) -> None:
    config = tiny_cyclegan(model={"init_gain": 0.3})
    run = train(config)
    val = UnpairedDataset(config.data, "val")
    for domain, direction in (("a", "AtoB"), ("b", "BtoA")):
        translate = load_translator(run, direction=direction)
        scores = pixel_scores(translate)
        assert set(scores) == {"cycle"}  # images have no targets
        errors = []
        for i in range(3):
            image = val.images(domain)[i] / np.float32(255)
            errors.append(np.abs(translate.reversed()(translate(image)) - image).mean() * 255)
        assert scores["cycle"].scores["l1"] == pytest.approx(np.mean(errors), rel=1e-3)


def test_pixel_scores_of_paired_validation_images(tiny_cyclegan: Callable[..., Config]) -> None:
    run = train(tiny_cyclegan(data={"val_paired": True}, model={"init_gain": 0.3}))
    translate = load_translator(run, direction="BtoA")
    scores = pixel_scores(translate)
    assert set(scores) == {"output", "input", "mean training image", "cycle"}
    pairs = [drawn_pair(100 + i) for i in range(3)]
    small = Jitter(16, 16, flip=False)
    resized = [[image.astype(float) for image in small(0, {"a": a, "b": b}).values()] for a, b in pairs]
    assert scores["input"].scores["l1"] == pytest.approx(np.mean([np.abs(b - a).mean() for a, b in resized]), rel=1e-4)
    errors = [np.abs(translate(b.astype(np.uint8)).astype(float) - a).mean() for a, b in resized]
    assert scores["output"].scores["l1"] == pytest.approx(np.mean(errors), rel=1e-2)


def test_pixel_scores_pair_images_on_demand(tiny_cyclegan: Callable[..., Config]) -> None:
    translate = load_translator(train(tiny_cyclegan()), direction="BtoA")
    assert set(pixel_scores(translate, paired=True)) == {"output", "input", "mean training image", "cycle"}


def test_pixel_scores_have_no_mean_of_images_of_several_sizes(tiny: Callable[..., Config], paired_root: Path) -> None:
    for i in range(2):
        a, b = drawn_pair(i, 40, 20)
        write(paired_root / "train" / f"tall{i}.png", np.concatenate([a, b], axis=1))
    data = {"preprocess": "scale_width", "load_size": 16, "stride": 16, "batch_size": 1}
    scores = pixel_scores(load_translator(train(tiny(data=data))))
    assert set(scores) == {"output", "input"}


def test_pixel_scores_of_two_domains_without_targets_are_refused(
    tiny_stargan: Callable[..., Config], tmp_path: Path
) -> None:
    """Two directions, from any other domain, are no cycle."""
    for i, name in enumerate(("train/a/0.png", "train/b/1.png", "val/a/2.png", "val/b/3.png")):
        write(tmp_path / "two" / name, drawn_pair(i)[1])
    data = {"root": str(tmp_path / "two"), "toy": False}
    translate = load_translator(train(tiny_stargan(data=data, train={"max_steps": 1})))
    assert len(translate.directions) == 2
    with pytest.raises(ValueError, match=r"^run tiny: .*--metrics fid"):
        pixel_scores(translate)
