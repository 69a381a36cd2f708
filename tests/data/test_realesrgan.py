"""Real-ESRGAN's degradation: official vectors, slow references, shares and ranges, margins, samples, a run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from img2img.command_line import parse_train_arguments
from img2img.data import realesrgan
from img2img.data.degradations import STEPS, Blur, Degradation, Down, Mask, read_steps
from img2img.data.degraded import DegradedConfig, DegradedDataset
from img2img.data.loader import collate, to_device
from img2img.data.realesrgan import (
    FIRST,
    SECOND,
    Order,
    RealESRGAN,
    blur_kernel,
    draw_kernel,
    filtered,
    noisy,
    resized,
    sharpened,
    sinc_kernel,
)
from img2img.data.transforms import Patch, without_margin
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.helpers import call, equal, outside_models, rows, weights

MODEL = outside_models() / "small_restoration.py"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_image(height: int = 48, width: int = 36, channels: int = 3, seed: int = 0) -> np.ndarray:
    return rng(seed).random((height, width, channels), np.float32)


def photo(seed: int, height: int = 40, width: int = 36) -> np.ndarray:
    texture = rng(seed).integers(0, 40, (height, width, 3), np.uint8)
    return drawn_pair(seed, height, width)[1] // 2 + texture


def slowly_filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlation in float64 with mirrored edges."""
    radius = len(kernel) // 2
    padded = np.pad(image.astype(float), [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    height, width = image.shape[:2]
    places = [(i, j) for i in range(len(kernel)) for j in range(len(kernel))]
    return np.sum([kernel[i, j] * padded[i : i + height, j : j + width] for i, j in places], axis=0)


# Kernels. The vectors come from the official functions.


@pytest.mark.parametrize(
    ("kernel", "half"),
    [
        (sinc_kernel(math.pi / 3, 3), [0.011530, 0.034569, 0.055302, 0.063635]),
        (blur_kernel("gaussian", 1.5, 1.0, angle=0.5, radius=3), [0.008182, 0.034201, 0.080678, 0.107397]),
        (blur_kernel("plateau", 1.5, 1.5, beta=1.5, radius=3), [0.009460, 0.025261, 0.065679, 0.085139]),
        (blur_kernel("generalized", 1.5, 1.5, beta=0.7, radius=3), [0.014951, 0.026478, 0.042135, 0.055941]),
    ],
)
def test_kernels_are_the_official_ones(kernel: np.ndarray, half: list[float]) -> None:
    assert np.allclose(kernel[3], half + half[2::-1], rtol=0, atol=1e-6)
    assert kernel.shape == (7, 7)
    assert kernel.sum() == pytest.approx(1)


def test_usm_kernel_is_the_official_one() -> None:
    line = cv2.getGaussianKernel(realesrgan.USM_SIDE, 0)[:, 0]
    assert line[25] == pytest.approx(0.049939, abs=1e-6)
    assert np.allclose(line, blur_kernel("gaussian", 8, 8, radius=25).sum(0), atol=1e-9)


def test_drawn_kernels_have_the_shares_and_sizes_of_the_table() -> None:
    kernels = [draw_kernel(FIRST.sigma, rng(seed)) for seed in range(1500)]
    assert {len(kernel) for kernel in kernels} == set(range(7, 22, 2))
    assert np.allclose([kernel.sum() for kernel in kernels], 1)
    sincs = [(kernel < 0).any() for kernel in kernels]
    round_ones = [np.allclose(kernel, np.rot90(kernel), rtol=0, atol=1e-12) for kernel in kernels]
    assert np.mean(sincs) == pytest.approx(0.1, abs=0.03)
    assert np.mean(round_ones) == pytest.approx(0.1 + 0.9 * (0.45 + 0.12 + 0.12), abs=0.04)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "kernel",
    [
        blur_kernel("gaussian", 2, 2, radius=7),  # two passes
        blur_kernel("gaussian", 2, 0.5, angle=0.7, radius=7),
        blur_kernel("plateau", 2, 2, beta=1.7, radius=3),
        sinc_kernel(2.0, 10),
    ],
)
def test_filtered_is_a_correlation_with_mirrored_edges(kernel: np.ndarray, channels: int) -> None:
    image = random_image(24, 30, channels)
    assert np.allclose(filtered(image, kernel), slowly_filtered(image, kernel), atol=2e-6)


# Resizing and noise


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 13), (59, 47), (48, 20), (1, 1)])
def test_resized_is_torchs_interpolate(mode: str, size: tuple[int, int]) -> None:
    image = random_image()
    expected = F.interpolate(torch.from_numpy(image).permute(2, 0, 1)[None], size=size, mode=mode)
    assert np.allclose(resized(image, *size, mode), expected[0].permute(1, 2, 0).numpy(), atol=4e-5)
    assert resized(image[:, :, :1], *size, mode).shape == (*size, 1)


@pytest.mark.parametrize(
    ("order", "larger", "smaller", "low", "high"), [(FIRST, 0.2, 0.7, 0.15, 1.5), (SECOND, 0.3, 0.4, 0.3, 1.2)]
)
def test_factors_have_the_shares_and_ranges_of_the_table(
    order: Order, larger: float, smaller: float, low: float, high: float
) -> None:
    factors = np.array([realesrgan._draw_factor(order, rng(seed)) for seed in range(2000)])
    assert (factors > 1).mean() == pytest.approx(larger, abs=0.04)
    assert (factors < 1).mean() == pytest.approx(smaller, abs=0.04)
    assert factors.min() == pytest.approx(low, abs=0.02)
    assert factors.max() == pytest.approx(high, abs=0.02)


def test_noise_has_the_shares_and_strengths_of_the_table() -> None:
    """In a ramp of all levels, whose white has 256 photons, of which it keeps about 256 x level."""
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 64, axis=0).repeat(3, axis=2)
    kinds, sigmas, factors = [], [], []
    for seed in range(300):
        noise = noisy(ramp, FIRST, rng(seed)) - ramp
        dark, bright = (noise[:, place : place + 12].std() for place in (40, 130))  # hardly clipped
        is_poisson = bright > 1.4 * dark
        kinds.append((is_poisson, np.ptp(noise, axis=2)[:, 100:150].max() < 1e-6))
        if is_poisson:
            factors.append(bright / math.sqrt(136 / 255 / 256))
        else:
            sigmas.append(bright * 255)
    assert np.mean(kinds, axis=0) == pytest.approx([0.5, 0.4], abs=0.1)
    assert 0 < min(sigmas) < 3
    assert 28 < max(sigmas) < 31.5
    assert 0 < min(factors) < 0.2
    assert 2.8 < max(factors) < 3.2


def test_noise_of_flat_images_is_finite() -> None:
    for value in (0, 1):
        made = [noisy(np.full((8, 8, 1), value, np.float32), SECOND, rng(seed)) for seed in range(20)]
        assert np.isfinite(made).all()
        assert np.min(made) >= 0
        assert np.max(made) <= 1


# The whole step


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_result_has_8_bits_and_the_size_of_the_scale(scale: int, channels: int) -> None:
    step = RealESRGAN(scale)
    image = random_image(48, 36, channels)
    for seed in range(5):
        made = step(image, rng(seed))
        assert made.shape == (48 // scale, 36 // scale, channels)
        assert made.dtype == np.float32
        assert np.allclose(made * 255, np.rint(made * 255), atol=1e-4)
        assert np.array_equal(made, step(image, rng(seed)))
    assert not np.array_equal(made, step(image, rng(77)))


def test_input_lies_on_the_target() -> None:
    """The mean of many inputs has its blob where the image has it."""
    image = np.zeros((64, 64, 1), np.float32)
    image[12:20, 40:48] = 1
    made = np.mean([RealESRGAN(4)(image, rng(seed)) for seed in range(60)], axis=0)[:, :, 0]
    blob = np.where(made > made.max() / 2, made, 0)
    y, x = np.mgrid[:16, :16]
    assert (blob * y).sum() / blob.sum() == pytest.approx(15.5 / 4 - 0.375, abs=0.15)
    assert (blob * x).sum() / blob.sum() == pytest.approx(43.5 / 4 - 0.375, abs=0.15)


def recorded(monkeypatch: pytest.MonkeyPatch, step: RealESRGAN, draws: int) -> list[list[Any]]:
    """What a step does to an image of 40x40: the order of each first part, and the names of others."""
    done: list[list[Any]] = []
    degraded_once, finished, saved, filter_one = (
        realesrgan._degraded_once,
        realesrgan._finished,
        realesrgan.jpeg,
        realesrgan.filtered,
    )

    def note(what: Any, function: Any, *arguments: Any) -> Any:
        done[-1].append(what)
        return function(*arguments)

    monkeypatch.setattr(
        realesrgan,
        "_degraded_once",
        lambda image, order, *more: note((order, more[0]), degraded_once, image, order, *more),
    )
    monkeypatch.setattr(realesrgan, "_finished", lambda *given: note("final", finished, *given))
    monkeypatch.setattr(realesrgan, "jpeg", lambda image, quality: note(quality, saved, image, quality))
    monkeypatch.setattr(realesrgan, "filtered", lambda *given: note("filter", filter_one, *given))
    for seed in range(draws):
        done.append([])
        step(random_image(40, 40), rng(seed))
    return done


def test_order_of_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done = recorded(monkeypatch, RealESRGAN(4), 250)
    begins = [(FIRST, (40, 40)), "filter"]
    assert all(each[:2] == begins for each in done)
    assert all(each[3] == (SECOND, (10, 10)) for each in done)
    blurred_again = [each[4] == "filter" for each in done]
    rest = [each[5 if again else 4 :] for each, again in zip(done, blurred_again, strict=True)]
    final_first = [each[0] == "final" for each in rest]
    assert np.mean(blurred_again) == pytest.approx(0.8, abs=0.1)
    assert np.mean(final_first) == pytest.approx(0.5, abs=0.1)
    assert np.mean(["filter" in each for each in rest]) == pytest.approx(0.8, abs=0.1)
    qualities = [what for each in done for what in each if isinstance(what, int)]
    assert len(qualities) == 500
    assert (min(qualities), max(qualities)) == (30, 95)


def test_second_order_is_for_a_share_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    done = recorded(monkeypatch, RealESRGAN(2, second=0.3, quality=50), 150)
    twice = [(SECOND, (20, 20)) in each for each in done]
    assert np.mean(twice) == pytest.approx(0.3, abs=0.12)
    assert {what for each in done for what in each if isinstance(what, int)} == {50}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scale": 0}, r"realesrgan: scale 0"),
        ({"scale": 2.0}, r"realesrgan: scale 2\.0"),
        ({"second": 2}, r"realesrgan: second 2"),
        ({"quality": [95, 30]}, r"realesrgan: quality \[95, 30\].*\[30, 95\]"),
        ({"quality": 0}, r"realesrgan: quality 0"),
        ({"sharpen": "yes"}, r"realesrgan: sharpen yes"),
        ({"margin": -4}, r"realesrgan: margin -4"),
        ({"scal": 2}, r"realesrgan: .*scal; .*scale"),
    ],
)
def test_wrong_options_are_named_in_one_line(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        read_steps([{"realesrgan": options}], "x")
    assert "\n" not in str(raised.value)


def test_short_forms() -> None:
    assert read_steps(["realesrgan", {"realesrgan": 2}], "x") == [RealESRGAN(4), RealESRGAN(2)]


# Sharpening


@pytest.mark.parametrize("channels", [1, 3])
def test_sharpened_is_unsharp_masking(channels: int) -> None:
    image = photo(3, 60, 70)[:, :, :channels] / np.float32(255)
    kernel = blur_kernel("gaussian", 8, 8, radius=25)
    residual = image - slowly_filtered(image, kernel)
    mask = slowly_filtered(np.abs(residual) * 255 > 10, kernel)
    expected = mask * np.clip(image + 0.5 * residual, 0, 1) + (1 - mask) * image
    made = sharpened(image)
    assert np.allclose(made, expected, atol=1e-3)  # a residual of 10 may fall on either side
    assert np.abs(made - expected).mean() < 1e-5
    assert made.std() > image.std() * 1.1


def test_image_without_edges_is_not_sharpened() -> None:
    image = 0.5 + 0.02 * random_image(60, 60)
    assert np.array_equal(sharpened(image), image)


# Margins


@dataclass
class Wide(Blur):
    """A blur that sees what is around the patch."""

    sigma: Any = 2
    margin: int = 10


def dataset(root: Path, part: str = "train", **changes: Any) -> DegradedDataset:
    config = DegradedConfig(str(root), **{"crop_size": 16, "flip": False, "rotate": False, **changes})
    return DegradedDataset(config, part, augment=part == "train")  # type: ignore[arg-type]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for i in range(4):
        write(tmp_path / "clean" / ("train" if i < 2 else "val") / f"{i}.png", photo(i))
    return tmp_path / "clean"


def place_of(patch: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    side = len(patch)
    for top in range(image.shape[0] - side + 1):
        for left in range(image.shape[1] - side + 1):
            if np.array_equal(image[top : top + side, left : left + side], patch):
                return top, left
    raise AssertionError("not a patch of the image")


def test_patch_with_a_margin_is_degraded_as_in_the_whole_image(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPS, "wide", Wide)
    wide, narrow = (dataset(clean, degrade=[{"wide": {"margin": margin}}, {"down": 2}]) for margin in (10, 0))
    whole = Degradation([Wide()])(wide.source.read(0), rng())["input"]
    places = []
    for epoch in range(12):
        sample, plain = wide[epoch, 0], narrow[epoch, 0]
        top, left = place_of(sample["target"], wide.source.read(0))
        places.append((top, left))
        assert sample["input"].shape == (8, 8, 3)
        assert np.array_equal(sample["target"], plain["target"])
        expected = Degradation([Down(2)])(whole[top : top + 16, left : left + 16], rng())["input"].astype(int)
        assert np.abs(sample["input"][2:-2, 2:-2] - expected[2:-2, 2:-2]).max() <= 1  # Down mirrors, too
        assert not np.array_equal(plain["input"], sample["input"])
    assert np.min(places) < 10  # so that a part of the margin is mirrored


def test_margin_does_not_move_the_patch() -> None:
    image = {"target": photo(0), "half": photo(0)[::2, ::2]}
    for seed in range(20):
        plain, wide = (Patch(16, multiple=2, flip=True, rotate=True, margin=margin)(seed, image) for margin in (0, 8))
        assert wide["target"].shape == (32, 32, 3)
        assert np.array_equal(without_margin(wide["target"], 8), plain["target"])
        assert np.array_equal(without_margin(wide["half"], 4), plain["half"])


def test_margins_of_several_steps_add_up_to_a_multiple_of_the_scale() -> None:
    wide = Wide(margin=5)
    assert [Degradation([step() for step in (Blur, Down, Mask)]).margin, RealESRGAN().margin] == [0, 72]
    assert all(Degradation([kind()]).margin == 0 for name, kind in STEPS.items() if name != "realesrgan")
    assert Degradation([wide, Down(2)]).margin == 6
    assert Degradation([Down(2), wide]).margin == 10
    assert Degradation([wide, Down(2), wide]).margin == 16
    assert (Degradation([RealESRGAN()]).margin, Degradation([RealESRGAN()]).scale) == (72, 4)


def test_images_must_be_as_large_as_the_patch_only(tmp_path: Path) -> None:
    for part, side in (("train", 16), ("val", 9)):
        write(tmp_path / part / "0.png", photo(0, side, side))
    sample = dataset(tmp_path, degrade=["realesrgan"])[0, 0]
    assert np.array_equal(sample["target"], photo(0, 16, 16))
    assert sample["input"].shape == (4, 4, 3)
    assert dataset(tmp_path, "val", degrade=["realesrgan"]).item("AtoB", 0).image.shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r"0\.png: .*data\.crop_size 20"):
        dataset(tmp_path, degrade=["realesrgan"], crop_size=20)


# Samples


def test_sample_has_the_sharpened_target(clean: Path) -> None:
    """It is cut out of the sharpened image: what is beyond the patch counts."""
    made = dataset(clean, degrade=["realesrgan"])
    sample = made[3, 0]
    assert set(sample) == {"input", "target", "sharpened", "name", "skipped"}
    assert (sample["input"].shape, sample["sharpened"].shape) == ((4, 4, 3), (16, 16, 3))
    assert {sample[key].dtype for key in ("input", "target", "sharpened")} == {np.dtype(np.uint8)}
    image = made.source.read(0)
    top, left = place_of(sample["target"], image)
    whole = np.rint(sharpened(image / np.float32(255)) * 255)[top : top + 16, left : left + 16]
    assert np.abs(whole - sample["sharpened"]).max() <= 1
    assert np.abs(whole - sample["target"]).max() > 3
    batch = to_device(collate([sample, made[3, 1]]), "cpu")
    assert batch["sharpened"].shape == batch["target"].shape == (2, 3, 16, 16)
    assert batch["sharpened"].abs().max() <= 1


def test_samples_without_sharpening_have_no_such_target(clean: Path) -> None:
    assert "sharpened" not in dataset(clean, degrade=[{"realesrgan": {"sharpen": False}}])[0, 0]
    assert "sharpened" not in dataset(clean, down=2)[0, 0]


def test_every_image_of_a_batch_has_its_own_degradation_by_its_key(clean: Path) -> None:
    made = dataset(clean, degrade=["realesrgan"], patches=3)
    several = made.samples((0, 0))
    assert len({sample["input"].tobytes() for sample in several}) == 3
    again = dataset(clean, degrade=["realesrgan"], patches=3).samples((0, 0))
    assert all(
        np.array_equal(a[key], b[key]) for a, b in zip(several, again, strict=True) for key in ("input", "target")
    )


def test_holes_are_drawn_in_the_patch_without_its_margin(clean: Path) -> None:
    made = dataset(clean, degrade=["realesrgan", {"mask": "boxes"}])
    for epoch in range(5):
        sample = made[epoch, 0]
        assert sample["mask"].shape == (4, 4, 1)
        assert 0 < (sample["mask"] == 255).mean() < 1


def test_validation_images_are_whole_and_have_the_plain_target(clean: Path) -> None:
    made = dataset(clean, "val", degrade=["realesrgan"])
    item = made.items("AtoB")[0]
    assert list(item.inputs) == ["input"]
    assert item.image.shape == (10, 9, 3)
    assert np.array_equal(item.target, photo(2))
    assert np.array_equal(item.image, dataset(clean, "val", degrade=["realesrgan"]).items("AtoB")[0].image)
    assert list(made.trivial_answers("AtoB")) == ["bicubic"]
    assert made.config.scale == 4
    assert dataset(clean, degrade=["realesrgan"]).images("b")[0].shape == (16, 16, 3)


def test_gray_images_and_y_planes_have_one_channel(clean: Path) -> None:
    sample = dataset(clean, degrade=[{"realesrgan": 2}], channels_b=1)[0, 0]
    assert (sample["input"].shape, sample["sharpened"].shape) == ((8, 8, 1), (16, 16, 1))
    planes = dataset(clean, "val", degrade=["realesrgan"]).of_luma_planes()
    assert planes.items("AtoB")[0].image.shape == (10, 9, 1)


def test_images_of_16_bits_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write(tmp_path / part / "0.png", rng().integers(0, 65536, (40, 36, 3), np.uint16))
    with pytest.raises(ValueError, match=r"0\.png: 16 bits.*realesrgan") as raised:
        dataset(tmp_path, degrade=["realesrgan"])
    assert "\n" not in str(raised.value)


def test_run_is_resumed_exactly_and_measured(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["--model", str(MODEL), "--data.root", str(clean), "--data.degrade", "[realesrgan]"]
    line += "--data.crop_size 16 --data.batch_size 2 --data.num_workers 0 --train.evaluate_every 2".split()

    def run(name: str, steps: int) -> Path:
        return train(parse_train_arguments([*line, "--name", name, "--train.max_steps", str(steps)], Path()).config)

    whole, parts = run("whole", 4), run("parts", 2)
    resumed = parse_train_arguments(["--name", "parts", "--resume", "--train.max_steps", "4"], Path()).config
    assert equal(weights(whole), weights(train(resumed, resume=True)))
    assert parts.is_dir()
    assert len([row for row in rows(whole) if row["val/psnr"]]) == 2
    assert call(monkeypatch, "evaluate", "whole") == 0
