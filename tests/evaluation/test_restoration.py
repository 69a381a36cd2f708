"""Metrics of restored images: Y against scikit-image, holes, the trivial answers, protocols against slow references."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.metrics

from img2img import load_translator
from img2img.command_line import parse_train_arguments
from img2img.data.degraded import DegradedDataset
from img2img.data.images import luma_plane, read_image
from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageRecord, ImageSet, Metric
from img2img.evaluation.evaluate import evaluate
from img2img.evaluation.folder_sets import folder_set
from img2img.evaluation.image_sets import run_set
from img2img.evaluation.metrics import PSNRY, SSIMY, L1Hole, choose_metrics
from img2img.evaluation.report import pixel_scores
from img2img.inference.translator import Translator
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import folders
from tests.helpers import call, rows


def noisy_pair(channels: int, dtype: Any = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    target = drawn_pair(0, 40, 44)[1][:, :, :channels]
    noise = np.random.default_rng(0).normal(0, 20, target.shape)
    image = np.rint((target + noise).clip(0, 255)).astype(np.uint8)
    if dtype == np.uint16:
        return image * np.uint16(257), target * np.uint16(257)
    return image, target


def value_of(metric: Metric, image: np.ndarray, target: np.ndarray, **others: Any) -> float:
    """The value of one image (H, W, C) and its target."""
    mask = others.pop("mask", None)
    metric.begin(ImageSet("one", 1, lambda: iter(()), has_masks=mask is not None, **others), FeatureNetworks())
    metric.update(ImageBatch([ImageRecord("0", image, target, None, mask)], FeatureNetworks()))
    return metric.values[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "shave"), [(3, 0), (3, 4), (1, 2)])
def test_psnr_and_ssim_of_y_equal_definitions(channels: int, shave: int, dtype: type) -> None:
    image, target = noisy_pair(channels, dtype)
    x, y = (luma_plane(each)[shave : 40 - shave, shave : 44 - shave, 0] for each in (image, target))
    psnr = 10 * np.log10(255**2 / ((x - y) ** 2).mean())
    assert value_of(PSNRY(), image, target, shave=shave) == pytest.approx(psnr, abs=1e-9)
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = skimage.metrics.structural_similarity(x, y, data_range=255, full=True, **options)
    assert value_of(SSIMY(), image, target, shave=shave) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_metrics_of_y_need_what_the_border_leaves() -> None:
    image, target = noisy_pair(3)
    assert value_of(SSIMY(), image, target, shave=14) < 1  # 12 rows are left
    with pytest.raises(ValueError, match=r"^ssim_y: .* 44x40$|^ssim_y: "):
        value_of(SSIMY(), image, target, shave=15)
    assert np.isnan(value_of(SSIMY(too_small=np.nan), image, target, shave=15))
    with pytest.raises(ValueError, match=r"^psnr_y: "):
        value_of(PSNRY(), image, target, shave=20)


@pytest.mark.parametrize("scale", [1, 2])
def test_l1_in_the_hole_counts_its_pixels_alone(scale: int) -> None:
    image, target = noisy_pair(3)
    mask = np.zeros((40 // scale, 44 // scale, 1), np.uint8)
    mask[4:9, 6:16] = 255
    hole = (slice(4 * scale, 9 * scale), slice(6 * scale, 16 * scale))
    expected = np.abs(image.astype(float) - target)[hole].mean()
    assert value_of(L1Hole(), image, target, mask=mask) == pytest.approx(expected)


def test_l1_in_the_hole_is_refused_without_holes() -> None:
    with pytest.raises(ValueError, match=r"^l1_hole: "):
        evaluate(folder_set(*folders(2), pairs=True), choose_metrics("l1_hole"))


# Runs


def restore(*options: str, name: str = "r") -> Translator:
    """A run of one step on the toy scenes."""
    small = "--model.width 4 --model.encoder [1] --model.middle 1 --model.decoder [1]"
    data = "--data.load_size 64 --data.crop_size 16 --data.batch_size 2 --data.num_workers 0"
    source = "" if "--data.root" in options else "--data.toy true"
    argv = f"--config none.yaml --name {name} {small} {data} {source} --train.max_steps 1".split()
    Path("none.yaml").write_text("model:\n  name: restoration\n")
    return load_translator(train(parse_train_arguments([*argv, *options], Path()).config))


def draw(root: Path) -> Path:
    for i in range(4):
        write(root / ("val" if i > 1 else "train") / f"{i}.png", drawn_pair(i, 24, 32)[1])
    return root


@pytest.mark.parametrize(
    ("step", "rows"),
    [
        ("--data.noise 25", {"output", "input", "non-local means", "mean training image"}),
        ("--data.down 2", {"output", "bicubic", "mean training image"}),
        ("--data.lightness true", {"output", "input", "mean training image"}),
        ("--data.mask boxes", {"output", "input", "Telea", "mean training image"}),
    ],
)
def test_pixel_scores_of_restoration_have_the_trivial_answers(step: str, rows: set[str], tmp_path: Path) -> None:
    root = draw(tmp_path / "clean")
    scores = pixel_scores(restore("--data.root", str(root), *step.split()))
    assert set(scores) == rows
    names = ["l1", "psnr", "ssim", "psnr_y", "ssim_y", *(["l1_hole"] if "mask" in step else [])]
    assert all(list(each.scores) == names for each in scores.values())


def test_gray_answer_is_the_lightness_in_three_channels(tmp_path: Path) -> None:
    root = draw(tmp_path / "clean")
    translator = restore("--data.root", str(root), "--data.lightness", "true")
    items = DegradedDataset(translator.config.data, "val").items("AtoB")
    errors = [np.abs(item.image.astype(float) - item.target).mean() for item in items]  # type: ignore[operator]
    assert pixel_scores(translator)["input"].scores["l1"] == pytest.approx(np.mean(errors))


def test_non_local_means_and_telea_beat_the_input(tmp_path: Path) -> None:
    root = draw(tmp_path / "clean")
    denoised = pixel_scores(restore("--data.root", str(root), "--data.noise", "25", name="noise"))
    assert denoised["non-local means"].scores["psnr"] > denoised["input"].scores["psnr"] + 3
    filled = pixel_scores(restore("--data.root", str(root), "--data.mask", "boxes", name="mask"))
    assert filled["Telea"].scores["l1_hole"] < filled["input"].scores["l1_hole"]
    output = filled["output"].scores
    share = output["l1"] / output["l1_hole"]
    assert 0.01 < share < 0.8  # outside the hole nothing differs


def resized(image: np.ndarray, length: int, axis: int) -> np.ndarray:
    """MATLAB's bicubic imresize of one axis, by a matrix of all weights; mirrored borders."""
    old = image.shape[axis]
    factor = length / old
    width = max(1.0, 1 / factor)  # the kernel is stretched to shrink
    matrix = np.zeros((length, old))
    mirror = [*range(old), *range(old)[::-1]]
    for row in range(length):
        centre = (row + 0.5) / factor - 0.5
        places = range(int(np.floor(centre - 2 * width)) - 1, int(np.ceil(centre + 2 * width)) + 2)
        x = np.abs(centre - np.array(places)) / width
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weights = np.where(x <= 1, near, np.where(x < 2, far, 0))
        for place, weight in zip(places, weights / weights.sum(), strict=True):
            matrix[row, mirror[place % (2 * old)]] += weight
    return np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)


def down_and_up(image: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, C) of levels, rounded to 8 bits after each."""
    height, width = image.shape[:2]
    for h, w in ((height // scale, width // scale), (height, width)):
        image = np.rint(resized(resized(image.astype(float), h, 0), w, 1).clip(0, 255))
    return image


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("scale", [2, 3])
def test_protocols_of_enlarging_equal_slow_references(scale: int, channels: int, tmp_path: Path) -> None:
    """Colour: RGB down, up, then Y. Y: the plane itself down and up. Both without a border of the scale."""
    root = draw(tmp_path / "clean")
    sides = ["--data.crop_size", "24", "--data.channels_b", str(channels)]
    translator = restore("--data.root", str(root), "--data.down", str(scale), *sides)
    images = [read_image(root / "val" / f"{i}.png", 3) for i in (2, 3)]
    cut = [image[: 24 // scale * scale, : 32 // scale * scale] for image in images]

    def psnr(x: np.ndarray, y: np.ndarray) -> float:
        inside = (slice(scale, -scale), slice(scale, -scale))
        return float(10 * np.log10(255**2 / ((x - y)[inside] ** 2).mean()))

    planes = [np.rint(luma_plane(image)) for image in cut]
    expected = np.mean([psnr(down_and_up(plane, scale), plane) for plane in planes])
    of_planes = pixel_scores(translator, protocol="y")
    assert set(of_planes) == ({"bicubic"} if channels == 3 else {"bicubic", "output"})
    assert of_planes["bicubic"].scores["psnr_y"] == pytest.approx(expected, abs=0.01)
    if channels == 1:
        return
    luma = [(luma_plane(down_and_up(image, scale).astype(np.uint8)), luma_plane(image)) for image in cut]
    expected = np.mean([psnr(*pair) for pair in luma])
    in_colour = pixel_scores(translator)
    assert in_colour["bicubic"].scores["psnr_y"] == pytest.approx(expected, abs=0.01)
    assert in_colour["bicubic"].scores["psnr_y"] != of_planes["bicubic"].scores["psnr_y"]
    unshaved = pixel_scores(translator, shave=0)["bicubic"].scores
    assert unshaved["psnr_y"] != in_colour["bicubic"].scores["psnr_y"]
    assert unshaved["psnr"] == in_colour["bicubic"].scores["psnr"]


def test_bicubic_of_pairs_of_two_sizes(tmp_path: Path) -> None:
    for i in range(4):
        part, image = ("val" if i > 1 else "train"), drawn_pair(i, 24, 32)[1]
        write(tmp_path / "pairs" / f"{part}B" / f"{i}.png", image)
        write(tmp_path / "pairs" / f"{part}A" / f"{i}.png", image[::2, ::2])
    scores = pixel_scores(restore("--data.root", str(tmp_path / "pairs")))
    assert {"output", "bicubic"} <= set(scores)


def test_reports_of_restoration_say_the_protocol_and_the_trivial_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = restore("--data.down", "2", name="x2")
    evaluation = Path("runs/x2/evaluation/step-000001")
    assert call(monkeypatch, "evaluate", "x2") == 0
    assert call(monkeypatch, "evaluate", "x2", "--protocol", "y") == 0
    in_colour, of_planes = (json.loads((evaluation / f"pixels{end}.json").read_text()) for end in ("", "-y"))
    assert set(in_colour["AtoB"]) == {"output", "bicubic", "mean training image"}
    assert set(of_planes["AtoB"]) == {"bicubic"}
    assert call(monkeypatch, "evaluate", "x2", "--metrics", "psnr_y,l1") == 0
    summary = json.loads((evaluation / "AtoB" / "summary.json").read_text())
    assert (summary["shave"], summary["protocol"]) == (2, "colour")
    assert summary["baselines"]["bicubic"]["psnr_y"] == pytest.approx(in_colour["AtoB"]["bicubic"]["psnr_y"])
    assert summary["scores"]["psnr_y"] == pytest.approx(in_colour["AtoB"]["output"]["psnr_y"])
    table = (evaluation / "AtoB" / "table.md").read_text()
    assert "protocol colour" in table
    assert "| bicubic | " in table
    assert call(monkeypatch, "evaluate", "x2", "--metrics", "psnr_y", "--shave", "0") == 0
    assert json.loads((evaluation / "AtoB" / "summary.json").read_text())["shave"] == 0
    assert call(monkeypatch, "evaluate", "x2", "--metrics", "psnr_y", "--protocol", "y") == 2  # a network of RGB
    assert run_set(translator, pairs=False).baselines == {}


def test_validation_measures_y_at_the_scale_of_the_run() -> None:
    options = "--data.down 2 --train.evaluate_every 1 --train.metrics psnr,psnr_y,ssim_y".split()
    translator = restore(*options)
    expected = pixel_scores(translator)["output"].scores
    (row,) = [row for row in rows(translator.run) if row.get("val/psnr_y")]
    assert float(row["val/psnr_y"]) == pytest.approx(expected["psnr_y"], abs=1e-3)
    assert float(row["val/ssim_y"]) == pytest.approx(expected["ssim_y"], abs=1e-4)
    with pytest.raises(ValueError, match=r"^ssim_y: "):
        restore(*options, "--data.val_crop", "14", name="small")
