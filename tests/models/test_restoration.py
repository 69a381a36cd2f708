"""Restoration: what the network predicts for each kind of input, its losses by hand, and real trainings."""

from pathlib import Path
from typing import Any

import cv2
import kornia.color
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from img2img import load_translator
from img2img.command_line import parse_train_arguments
from img2img.config import Config
from img2img.losses.restoration import lightness_of
from img2img.models.restoration import Restoration, filled_smoothly
from img2img.training.trainer import train
from tests.helpers import equal, logged, rows, weights

SMALL: dict[str, Any] = {"width": 4, "encoder": (1,), "middle": 1, "decoder": (1,)}
RGB = {"input": 3, "target": 3}


def model(channels: dict[str, int] = RGB, **options: Any) -> Restoration:
    torch.manual_seed(0)
    return Restoration(Restoration.Config(**{**SMALL, **options}), channels)


def run_config(*options: str, name: str = "r", steps: int = 3) -> Config:
    """A small run on the toy scenes."""
    small = "--model.width 4 --model.encoder [1] --model.middle 1 --model.decoder [1] --model.ndf 4 --model.num_downs 3"
    data = "--data.toy true --data.load_size 96 --data.crop_size 32 --data.batch_size 2 --data.num_workers 0"
    train_options = f"--train.max_steps {steps} --train.log_every 1 --train.sample_every 2"
    argv = ["--config", "none.yaml", "--name", name, *f"{small} {data} {train_options}".split(), *options]
    Path("none.yaml").write_text("model:\n  name: restoration\n")
    return parse_train_arguments(argv, Path()).config


@pytest.mark.parametrize("network", ["nafnet", "unet", "resnet"])
@pytest.mark.parametrize("scale", [1, 2])
def test_every_network_predicts_at_the_scale(network: str, scale: int) -> None:
    made = model(network=network, scale=scale, num_downs=2, n_blocks=1)
    assert made.scale == scale
    output = made.generate({"input": torch.rand(1, 3, 16, 16)})["output"]
    assert output.shape == (1, 3, 16 * scale, 16 * scale)


def test_residual_is_added_to_the_input() -> None:
    x = torch.rand(1, 3, 8, 8)
    of_image, of_residual = model(predicts="image"), model(predicts="residual")
    of_image.generator.network.load_state_dict(of_residual.generator.state_dict())
    predicted = of_residual.generator(x)
    torch.testing.assert_close(of_residual.generate({"input": x})["output"], x + predicted)
    torch.testing.assert_close(of_image.generate({"input": x})["output"], predicted.tanh())
    enlarging = model(predicts="residual", scale=2)
    expected = enlarging.generator(x) + F.interpolate(x, scale_factor=2, mode="bicubic")
    torch.testing.assert_close(enlarging.generate({"input": x})["output"], expected)


def test_colours_keep_the_lightness_of_the_input() -> None:
    made = model({"input": 1, "target": 3})
    gray = torch.rand(1, 1, 16, 16) * 2 - 1
    output = made.generate({"input": gray})["output"]
    written = ((output / 2 + 0.5) * 255).round() / 255
    assert (kornia.color.rgb_to_lab(written)[:, :1] - lightness_of(gray)).abs().max() < 0.5
    in_training = made({"input": gray})["output"]
    assert in_training.shape == output.shape


def test_holes_alone_are_filled() -> None:
    made = model({"input": 3, "target": 3, "mask": 1})
    x, mask = torch.rand(1, 3, 8, 8), torch.full((1, 1, 8, 8), -1.0)
    mask[..., 2:5, 3:7] = 1
    output = made.generate({"input": x, "mask": mask})["output"]
    hole = (mask > 0).expand_as(x)
    assert torch.equal(output[~hole], x[~hole])
    assert (output[hole] != x[hole]).any()


@pytest.mark.parametrize("predicts", ["residual", "image"])
def test_hole_is_filled_from_what_is_known(predicts: str) -> None:
    """Not from what the input has there, and, of an untrained network's residual 0, with the smooth filling."""
    made = model({"input": 3, "target": 3, "mask": 1}, predicts=predicts)
    mask = torch.full((1, 1, 16, 16), -1.0)
    mask[..., 2:9, 3:12] = 1
    x = torch.rand(1, 3, 16, 16)
    other = torch.where(mask > 0, torch.rand(1, 3, 16, 16), x)
    outputs = [made.generate({"input": image, "mask": mask})["output"] for image in (x, other)]
    hole = (mask > 0).expand_as(x)
    assert torch.equal(outputs[0][hole], outputs[1][hole])
    if predicts == "residual":
        for parameter in made.generator.ending.parameters():
            torch.nn.init.zeros_(parameter)
        output = made.generate({"input": x, "mask": mask})["output"]
        torch.testing.assert_close(output, filled_smoothly(x, mask > 0))


def slowly_filled(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``filled_smoothly`` pixel by pixel, of one channel (H, W) with sides that are powers of 2."""
    height, width = image.shape
    if min(height, width) == 1:
        mean = image[known].mean() if known.any() else 0.0
        return np.where(known, image, mean)
    coarse, found = np.zeros((height // 2, width // 2)), np.zeros((height // 2, width // 2), bool)
    for row in range(height // 2):
        for column in range(width // 2):
            square = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
            found[row, column] = known[square].any()
            coarse[row, column] = image[square][known[square]].mean() if found[row, column] else 0
    enlarged = cv2.resize(slowly_filled(coarse, found), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(known, image, enlarged.reshape(height, width))


def test_filled_smoothly_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    for hole in (rng.random((16, 32)) < 0.7, np.ones((16, 32), bool)):
        hole[3, 5] = False
        image = rng.random((16, 32))
        filled = filled_smoothly(torch.from_numpy(image)[None, None], torch.from_numpy(hole)[None, None])
        np.testing.assert_allclose(filled[0, 0].numpy(), slowly_filled(image, ~hole), atol=1e-12)


@pytest.mark.parametrize("size", [(7, 13), (1, 9), (33, 16)])
def test_filled_smoothly_keeps_a_constant_at_any_size(size: tuple[int, int]) -> None:
    hole = torch.rand(2, 1, *size) < 0.6
    hole[..., 0, 0] = False
    x = torch.where(hole, torch.rand(2, 3, *size), torch.full((2, 3, *size), 0.3))
    torch.testing.assert_close(filled_smoothly(x, hole), torch.full_like(x, 0.3))


def test_loss_is_the_weighted_sum() -> None:
    made = model(pixel_loss="mse", lambda_pixel=2.0, lambda_ssim=0.5, lambda_gan=0.1, ndf=4, n_layers_d=1)
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    images = made({"input": x})
    terms, _ = made.generator_loss({"input": x, "target": y}, images)
    assert set(terms) == {"mse", "ssim", "gan"}
    torch.testing.assert_close(terms["mse"], 2 * ((images["output"] - y) ** 2).mean())
    torch.testing.assert_close(terms["gan"], 0.1 * ((made.discriminator(images["output"]) - 1) ** 2).mean())
    of_d, _ = made.discriminator_loss({"input": x, "target": y}, {"output": images["output"].detach()})
    expected = 0.5 * ((made.discriminator(y) - 1) ** 2).mean()
    torch.testing.assert_close(of_d["real"], expected)


def test_without_lambda_gan_there_is_no_discriminator() -> None:
    assert model().discriminators == ()
    assert not hasattr(model(), "discriminator")


@pytest.mark.parametrize(
    "wrong",
    [{"width": 0}, {"encoder": (1, 1)}, {"encoder": (), "decoder": ()}, {"lambda_ssim": -1.0}, {"lambda_pixel": 0.0}],
)
def test_options_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(wrong))}"):
        Restoration.Config(**{**SMALL, **wrong})


@pytest.mark.parametrize(
    "options",
    [
        ["--data.noise", "25"],
        ["--data.down", "2"],
        ["--data.lightness", "true"],
        ["--data.mask", "[strokes,boxes]"],
        ["--data.jpeg", "[10,40]", "--model.network", "unet", "--model.lambda_ssim", "0.1"],
        ["--data.down", "2", "--model.network", "resnet", "--model.n_blocks", "1", "--model.lambda_gan", "0.1"],
    ],
    ids=lambda options: options[0].removeprefix("--data.") + ("" if len(options) == 2 else "-" + options[3]),
)
def test_restoration_resumes_bit_for_bit(options: list[str]) -> None:
    whole = train(run_config(*options, name="whole"))
    train(run_config(*options, name="parts", steps=2))
    parts = train(run_config(*options, name="parts"), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole) == logged(parts)
    assert (whole / "samples" / "step-000002.png").is_file()


@pytest.mark.parametrize(("options", "scale"), [("--data.noise 25", 1), ("--data.down 3 --data.crop_size 48", 3)])
def test_output_is_the_scale_times_the_input_at_any_size_and_depth(options: str, scale: int) -> None:
    translate = load_translator(train(run_config(*options.split(), steps=1)))
    for dtype in (np.uint8, np.uint16):
        image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (19, 30, 3)).astype(dtype)
        output = translate(image)
        assert output.shape == (19 * scale, 30 * scale, 3)
        assert output.dtype == dtype


@pytest.mark.slow
def test_denoising_the_toy_scenes_is_better_than_the_input() -> None:
    """A short real training: the validation PSNR rises by more than 3 dB."""
    options = ["--data.noise", "40", "--optim.lr", "0.003", "--train.evaluate_every", "60", "--model.width", "8"]
    run = train(run_config(*options, "--data.batch_size", "4", steps=60))
    psnr = [float(row["val/psnr"]) for row in rows(run) if row.get("val/psnr")]
    assert psnr[-1] > 20 * np.log10(255 / 40) + 3
