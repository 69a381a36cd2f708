"""Runs that restore images as functions: alpha, depth, strength, holes, and what a user gets wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img import load_translator
from img2img.command_line import parse_train_arguments
from img2img.data.images import read_image
from img2img.inference.restorer import Restorer
from img2img.training.trainer import train
from tests.conftest import write
from tests.helpers import call

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 255, (18, 26, 3), np.uint8)
MASK = np.zeros((18, 26), np.uint8)
MASK[4:12, 6:20] = 255


def restorer(*options: str) -> Restorer:
    """A run of one step on the toy scenes."""
    Path("r.yaml").write_text("model:\n  name: restoration\n")
    small = "--model.width 4 --model.encoder [1] --model.middle 1 --model.decoder [1] --data.load_size 96"
    data = "--data.toy true --data.crop_size 24 --data.batch_size 2 --data.num_workers 0 --train.max_steps 1"
    train(
        parse_train_arguments(
            ["--config", "r.yaml", "--name", "r", *f"{small} {data}".split(), *options], Path()
        ).config
    )
    loaded = load_translator("runs/r")
    assert isinstance(loaded, Restorer)
    return loaded


def test_alpha_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = restorer("--data.noise", "25")
    alpha = RANDOM.integers(0, 255, (18, 26, 1), np.uint8)
    rgba = np.concatenate([PHOTO, alpha], axis=2)
    output = restore(rgba)
    assert np.array_equal(output[:, :, 3:], alpha)
    assert np.array_equal(output[:, :, :3], restore(PHOTO))
    assert restore(Image.fromarray(rgba)).mode == "RGBA"
    write(Path("in/a.png"), rgba)
    assert call(monkeypatch, "infer", "r", "--input", "in", "--output", "out") == 0
    assert np.array_equal(read_image(Path("out/a.png"), 4), output)


def test_alpha_is_enlarged_with_the_image() -> None:
    restore = restorer("--data.down", "2")
    rgba = np.concatenate([PHOTO, np.full((18, 26, 1), 77, np.uint8)], axis=2)
    output = restore(rgba)
    assert output.shape == (36, 52, 4)
    assert (output[:, :, 3] == 77).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_blends_with_the_input(dtype: type) -> None:
    restore = restorer("--data.noise", "25")
    photo = RANDOM.integers(0, np.iinfo(dtype).max, (18, 26, 3)).astype(dtype)
    whole, half = restore(photo).astype(float), restore(photo, strength=0.5)
    assert half.dtype == dtype
    assert np.abs(half - (photo + whole) / 2).max() <= 0.5
    assert np.array_equal(restore(photo, strength=0.0), photo)


def test_infer_takes_the_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = restorer("--data.noise", "25")
    write(Path("a.png"), PHOTO)
    assert call(monkeypatch, "infer", "r", "--input", "a.png", "--strength", "0.7", "--output", "out") == 0
    assert np.array_equal(read_image(Path("out/a.png"), 3), restore(PHOTO, strength=0.7))
    assert call(monkeypatch, "infer", "r", "--input", "a.png", "--strength", "7") == 2
    assert call(monkeypatch, "infer", "r", "--input", "a.png", "--to", "x") == 2


@pytest.mark.parametrize("training_size", [False, True])
def test_pixels_outside_the_holes_are_the_inputs_bits(training_size: bool) -> None:
    restorer("--data.mask", "boxes")
    fill = load_translator("runs/r", training_size=training_size)
    for image in (PHOTO, PHOTO.astype(np.uint16) * 251):
        output = fill(image, mask=MASK)
        assert np.array_equal(output[MASK == 0], image[MASK == 0])
        assert (output[MASK > 0] != image[MASK > 0]).any()


def test_infer_takes_masks_from_files_alpha_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = restorer("--data.mask", "boxes")
    expected = fill(PHOTO, mask=MASK)
    write(Path("a.png"), PHOTO)
    write(Path("holes.png"), MASK)
    assert call(monkeypatch, "infer", "r", "--input", "a.png", "--mask", "holes.png", "--output", "file") == 0
    assert np.array_equal(read_image(Path("file/a.png"), 3), expected)
    write(Path("b.png"), np.concatenate([PHOTO, 255 - MASK[:, :, None]], axis=2))
    assert call(monkeypatch, "infer", "r", "--input", "b.png", "--mask", "alpha", "--output", "alpha") == 0
    assert np.array_equal(read_image(Path("alpha/b.png"), 3), expected)
    marked = PHOTO.copy()
    marked[MASK > 0] = (255, 0, 254)
    write(Path("c.png"), marked)
    assert call(monkeypatch, "infer", "r", "--input", "c.png", "--mask", "#ff00fe", "--output", "colour") == 0
    assert np.array_equal(read_image(Path("colour/c.png"), 3), expected)


@pytest.mark.parametrize("mask", [np.zeros((18, 26), np.uint8), np.full((18, 26), 255, np.uint8), MASK[1:]])
def test_infer_names_an_unusable_mask(
    mask: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restorer("--data.mask", "boxes")
    write(Path("a.png"), PHOTO)
    write(Path("holes.png"), mask)
    capsys.readouterr()
    for options in (["--mask", "holes.png"], ["--mask", "none.png"], []):
        assert call(monkeypatch, "infer", "r", "--input", "a.png", "--output", "out", *options) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not Path("out").exists()


def test_strength_is_refused_for_holes() -> None:
    with pytest.raises(ValueError, match=r"--strength"):
        restorer("--data.mask", "boxes")(PHOTO, mask=MASK, strength=0.5)


def test_colorized_image_keeps_the_alpha_and_takes_any_channels() -> None:
    colorize = restorer("--data.lightness", "true")
    gray = PHOTO[:, :, 0]
    assert colorize(gray).shape == (18, 26, 3)
    assert colorize(PHOTO).shape == (18, 26, 3)
    assert colorize(np.concatenate([PHOTO, PHOTO[:, :, :1]], axis=2)).shape == (18, 26, 4)
