"""Weights of two runs blended, and outputs of another scale than the networks'."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img import load_sampler, load_translator
from img2img.checkpoint import load_network, network_name, newest_checkpoint
from img2img.command_line import parse_train_arguments
from img2img.config import Config
from img2img.data.classical import lanczos
from img2img.data.images import read_image
from img2img.inference.loading import load_trained
from img2img.training.trainer import train
from tests.conftest import write
from tests.helpers import call

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 255, (17, 25, 3), np.uint8)
SMALL = "--model.width 4 --model.encoder [1] --model.middle 1 --model.decoder [1] --data.load_size 96 --data.toy true"
DATA = "--data.crop_size 24 --data.batch_size 2 --data.num_workers 0 --train.max_steps 1"


def trained(name: str, *options: str) -> str:
    """A run of restoration of one step on the toy scenes."""
    Path(f"{name}.yaml").write_text("model:\n  name: restoration\n")
    argv = ["--config", f"{name}.yaml", "--name", name, *f"{SMALL} {DATA}".split(), *options]
    train(parse_train_arguments(argv, Path()).config)
    return name


def stored(run: str, name: str) -> dict[str, torch.Tensor]:
    path, _ = newest_checkpoint(Path("runs", run))
    return load_network(path, network_name(path, name))


def test_blend_interpolates_each_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    trained("a", "--data.down", "2")
    trained("b", "--data.down", "2", "--train.seed", "5")
    a, b = stored("a", "generator"), stored("b", "generator")
    model, _, path = load_trained("a", blend=("b", 0.8))
    assert path == newest_checkpoint(Path("runs/a"))[0]
    for key, value in model.generator.state_dict().items():
        torch.testing.assert_close(value, 0.2 * a[key] + 0.8 * b[key])
    for share, run in ((0.0, "a"), (1.0, "b")):
        assert np.array_equal(load_translator("a", blend=("b", share))(PHOTO), load_translator(run)(PHOTO))
    mixed = load_translator("a", blend=("runs/b", 0.8))(PHOTO)
    write(Path("x.png"), PHOTO)
    assert call(monkeypatch, "infer", "a", "--input", "x.png", "--blend", "b", "0.8") == 0
    (file,) = path.parents[1].glob(f"results/{path.name}/blend-b*0.8/x.png")
    assert np.array_equal(read_image(file, 3), mixed)


def test_blend_takes_all_generators_of_any_model(
    tiny_cyclegan: Callable[..., Config], tiny_dcgan: Callable[..., Config]
) -> None:
    once = {"max_steps": 1}
    for name, seed in (("a", 0), ("b", 1)):
        train(tiny_cyclegan(name, train={**once, "seed": seed}))
    model, _, _ = load_trained("a", blend=("b", 0.25))
    for name in ("generator_ab", "generator_ba"):
        a, b = stored("a", name), stored("b", name)
        for key, value in getattr(model, name).state_dict().items():
            torch.testing.assert_close(value, 0.75 * a[key] + 0.25 * b[key])
    for name, seed in (("c", 0), ("d", 1)):
        train(tiny_dcgan(name, train={**once, "seed": seed}))
    images = [load_sampler("c", blend=("d", share))(2) for share in (0.0, 0.5, 1.0)]
    assert np.array_equal(images[0], load_sampler("c")(2))
    assert np.array_equal(images[2], load_sampler("d")(2))
    counts = {key for key in stored("c", "generator") if key.endswith("num_batches_tracked")}
    blended = load_trained("c", blend=("d", 0.5))[0].generator.state_dict()
    assert counts
    assert all(torch.equal(blended[key], stored("c", "generator")[key]) for key in counts)


def test_blend_refuses_runs_that_do_not_fit(
    tiny_cyclegan: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("a", "--data.down", "2")
    trained("wide", "--data.down", "2", "--model.width", "6")
    trained("deep", "--data.down", "2", "--model.middle", "2")
    trained("x3", "--data.down", "3")
    train(tiny_cyclegan("horses", train={"max_steps": 1}))
    write(Path("x.png"), PHOTO)
    capsys.readouterr()
    cases = {
        ("wide", "0.5"): "wide",
        ("deep", "0.5"): "generator.middle.1",
        ("x3", "0.5"): "generator.ending.0",
        ("horses", "0.5"): "horses has no generator",
        ("none", "0.5"): "none",
        ("wide", "1.5"): "--blend wide 1.5",
        ("wide", "nan"): "--blend wide nan",
        ("wide", "half"): "--blend wide half",
    }
    for blend, expected in cases.items():
        assert call(monkeypatch, "infer", "a", "--input", "x.png", "--blend", *blend) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert expected in error
    assert not Path("runs/a/results").exists()


@pytest.mark.parametrize(("scale", "outscale"), [(4, 3.0), (2, 3.0), (2, 1.0), (2, 0.5), (2, 2.5)])
def test_outscale_resizes_the_networks_output(scale: int, outscale: float) -> None:
    trained("a", "--data.down", str(scale))
    plain, resized = load_translator("a"), load_translator("a", outscale=outscale)
    height, width = round(17 * outscale), round(25 * outscale)
    for image in (PHOTO, PHOTO.astype(np.uint16) * 257, PHOTO.astype(np.float32) / 255):
        output = resized(image)
        assert (output.dtype, output.shape) == (image.dtype, (height, width, 3))
        assert np.array_equal(output, lanczos(plain(image), height, width))
    alpha = np.full((17, 25, 1), 77, np.uint8)
    output = resized(np.concatenate([PHOTO, alpha], axis=2))
    assert np.array_equal(output[:, :, :3], resized(PHOTO))
    assert (output[:, :, 3] == 77).all()
    assert resized(Image.fromarray(PHOTO)).size == (width, height)


def test_outscale_of_the_networks_scale_changes_no_bit() -> None:
    trained("a", "--data.down", "2")
    assert np.array_equal(load_translator("a", outscale=2)(PHOTO), load_translator("a")(PHOTO))


def test_infer_takes_an_outscale(monkeypatch: pytest.MonkeyPatch) -> None:
    trained("a", "--data.down", "2")
    write(Path("in/x.png"), PHOTO.astype(np.uint16) * 257)
    assert call(monkeypatch, "infer", "a", "--input", "in", "--outscale", "3", "--output", "out") == 0
    written = read_image(Path("out/x.png"), 3)
    assert np.array_equal(written, load_translator("a", outscale=3)(read_image(Path("in/x.png"), 3)))
    assert (written.dtype, written.shape) == (np.uint16, (51, 75, 3))
    assert call(monkeypatch, "infer", "a", "--input", "in", "--outscale", "3") == 0
    assert len([*Path("runs/a/results").rglob("outscale-3/x.png")]) == 1


def test_infer_names_a_wrong_outscale(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    trained("a", "--data.down", "2")
    trained("same", "--data.noise", "25")
    trained("holes", "--data.mask", "boxes")
    write(Path("x.png"), PHOTO)
    capsys.readouterr()
    cases = [("a", "0"), ("a", "-1"), ("a", "nan"), ("a", "99"), ("a", "big"), ("same", "2"), ("holes", "2")]
    for run, outscale in cases:
        assert call(monkeypatch, "infer", run, "--input", "x.png", f"--outscale={outscale}", "--output", "out") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "--outscale" in error
    assert not Path("out").exists()


def test_lanczos_keeps_constants_and_does_not_alias() -> None:
    flat = np.full((9, 7, 2), 200, np.uint8)
    assert (lanczos(flat, 4, 15) == 200).all()
    stripes = np.zeros((16, 64, 1), np.uint8)
    stripes[:, ::2] = 255  # above the Nyquist frequency of half the width
    assert np.ptp(lanczos(stripes, 16, 24)[:, 4:-4].astype(int)) < 16
    deep = RANDOM.integers(0, 65535, (8, 8, 1)).astype(np.uint16)
    assert np.array_equal(lanczos(deep, 8, 8), deep)
