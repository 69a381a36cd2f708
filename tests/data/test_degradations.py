"""The steps of the data set ``degraded``: official vectors, the libraries' results, properties, and wrong options."""

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from img2img.data.degradations import (
    STEPS,
    Blur,
    Degradation,
    Down,
    Fade,
    Gray,
    Jpeg,
    Lightness,
    Mask,
    Noise,
    Scratches,
    Stains,
    Step,
    bicubic_down,
    bicubic_weights,
    binary,
    disc_kernel,
    gaussian_kernel,
    motion_kernel,
    read_steps,
    require_hole,
    without_hole,
)
from img2img.data.images import to_channels
from tests.conftest import drawn_pair, write


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise_image(height: int = 48, width: int = 36, channels: int = 3, seed: int = 0) -> np.ndarray:
    return rng(seed).random((height, width, channels), np.float32)


def deviation(kernel: np.ndarray, angle: float) -> float:
    """Standard deviation of a kernel along an axis, about its centre."""
    radius = kernel.shape[0] // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return float(np.sqrt((kernel * (x * np.cos(angle) + y * np.sin(angle)) ** 2).sum()))


# MATLAB's bicubic. The vectors come from the official function.


@pytest.mark.parametrize(
    ("scale", "half"),
    [
        (4, [-0.001709, -0.010986, -0.018311, -0.011963, 0.022705, 0.097412, 0.181885, 0.240967]),
        (2, [-0.011719, -0.035156, 0.113281, 0.433594]),
    ],
)
def test_bicubic_weights_are_matlabs(scale: int, half: list[float]) -> None:
    weights = bicubic_weights(scale)
    assert np.allclose(weights, half + half[::-1], atol=1e-6)
    assert np.isclose(weights.sum(), 1)


@pytest.mark.parametrize(
    ("scale", "rows"),
    [
        (
            2,
            [
                [4.04297, 6.08203, 8.10547, 10.14453],
                [20.35547, 22.39453, 24.41797, 26.45703],
                [36.54297, 38.58203, 40.60547, 42.64453],
                [52.85547, 54.89453, 56.91797, 58.95703],
            ],
        ),
        (4, [[12.38379, 16.63184], [46.36816, 50.61621]]),
    ],
)
def test_bicubic_down_of_a_ramp_is_matlabs(scale: int, rows: list[list[float]]) -> None:
    ramp = np.arange(64, dtype=float).reshape(8, 8, 1)
    assert np.allclose(bicubic_down(ramp, scale)[:, :, 0], rows, atol=5e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_bicubic_down_equals_torch_with_mirrored_borders(scale: int) -> None:
    image = rng(1).random((60, 120, 3))
    margin = 4 * scale
    padded = np.pad(image, [(margin, margin), (margin, margin), (0, 0)], mode="symmetric")
    tensor = torch.from_numpy(padded).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(tensor, scale_factor=1 / scale, mode="bicubic", antialias=True)
    assert np.allclose(bicubic_down(image, scale), expected[0].permute(1, 2, 0)[4:-4, 4:-4].numpy(), atol=1e-12)


def test_bicubic_down_is_rounded_once_at_the_end() -> None:
    image = rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    whole = Degradation([Down(4)])(image, rng())["input"]
    assert np.array_equal(whole, np.rint(bicubic_down(image.astype(float), 4).clip(0, 255)))


def test_bicubic_down_of_the_smallest_image_is_its_mean() -> None:
    assert np.allclose(bicubic_down(np.full((4, 4, 1), 0.3), 4), 0.3)


def test_area_and_bilinear_are_opencvs() -> None:
    image = noise_image()
    area = image.reshape(24, 2, 18, 2, 3).mean((1, 3))
    assert np.allclose(Down(2, "area")(image, rng()), area, atol=1e-6)
    linear = cv2.resize(image, (12, 16), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(Down(3, "bilinear")(image, rng()), linear)
    assert Down(2, ["area", "bicubic"])(noise_image(channels=1), rng()).shape == (24, 18, 1)


# Blur


def test_gaussian_kernel_is_that_of_super_resolution() -> None:
    """Sigma 1.5 and 1.0 at 0.5 radians, 7x7: the middle row of the official function."""
    row = [0.008182, 0.034201, 0.080678, 0.107397]
    assert np.allclose(gaussian_kernel(1.5, 1.0, 0.5, 3)[3], row + row[2::-1], atol=1e-6)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("angle", [0.0, 0.6, 2.5])
def test_kernels_have_the_deviation_that_is_given(sigma: float, angle: float) -> None:
    line, disc, ellipse = motion_kernel(sigma, angle), disc_kernel(sigma), gaussian_kernel(sigma, sigma / 2, angle)
    for kernel in (line, disc, ellipse):
        assert np.isclose(kernel.sum(), 1)
        assert np.allclose(kernel, kernel[::-1, ::-1])  # centred
        assert deviation(kernel, angle) == pytest.approx(sigma, rel=0.1, abs=0.15)
    across = angle + np.pi / 2
    assert deviation(line, across) < 0.5
    assert deviation(disc, across) == pytest.approx(sigma, rel=0.1, abs=0.1)
    assert deviation(ellipse, across) == pytest.approx(sigma / 2, rel=0.1, abs=0.1)


def test_isotropic_blur_equals_opencvs() -> None:
    image = noise_image()
    blurred = Blur(1.5)(image, rng())
    assert np.allclose(blurred, cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101), atol=1e-5)


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic", "motion", "defocus"])
@pytest.mark.parametrize("shape", [(40, 30, 3), (40, 30, 1), (3, 2, 3)])
def test_blur_keeps_shape_and_mean_and_lowers_contrast(kind: str, shape: tuple[int, int, int]) -> None:
    image = noise_image(*shape)
    blurred = Blur([1, 3], kind)(image, rng(4))
    assert (blurred.shape, blurred.dtype) == (shape, np.float32)
    assert blurred.std() < image.std()
    assert abs(blurred.mean() - image.mean()) < 0.1
    assert np.allclose(Blur([1, 3], kind)(np.full(shape, 0.4, np.float32), rng()), 0.4, atol=1e-6)


def test_blur_of_nothing_changes_nothing() -> None:
    image = noise_image()
    for kind in ("isotropic", "anisotropic", "motion", "defocus"):
        assert np.array_equal(Blur(0, kind)(image, rng()), image)
        assert np.isfinite(Blur([0, 1], kind)(image, rng(7))).all()


# Noise


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_has_the_deviation_of_255_at_any_depth(dtype: type) -> None:
    top = np.iinfo(dtype).max
    gray = np.full((200, 200, 3), top // 2, dtype)
    noisy = Degradation([Noise(25)])(gray, rng())["input"]
    assert noisy.dtype == dtype
    assert (noisy.astype(float) - gray).std() * 255 / top == pytest.approx(25, rel=0.01)


def test_noise_that_is_not_clipped_has_the_psnr_of_the_tables() -> None:
    image = np.where(rng(3).random((256, 256, 1)) < 0.5, 10, 250).astype(np.uint8)  # dark and bright: clipping shows
    unclipped, clipped = (Degradation([Noise(25, clip=clip)])(image, rng())["input"] for clip in (False, True))
    assert (unclipped.dtype, clipped.dtype) == (np.float32, np.uint8)
    errors = [((x.astype(float) - image / 255) ** 2).mean() for x in (unclipped, clipped / 255)]
    assert -10 * np.log10(errors[0]) == pytest.approx(20.17, abs=0.05)
    assert -10 * np.log10(errors[1]) > 21
    assert unclipped.min() < 0 < 1 < unclipped.max()


def test_noise_is_the_same_in_all_channels_of_gray_noise() -> None:
    image = np.full((20, 20, 3), 0.5, np.float32)
    for options in ({"gray": 1.0}, {"gray": 1.0, "poisson": 1.0}):
        noisy = Noise(10, **options)(image, rng())  # type: ignore[arg-type]
        assert np.allclose(noisy, noisy[:, :, :1])
    assert not np.allclose(*np.split(Noise(10)(image, rng()), [1], axis=2))


def test_poisson_noise_has_a_variance_proportional_to_brightness() -> None:
    noise = Noise(20, poisson=1, clip=False)
    for brightness in (1.0, 0.25):
        image = np.full((300, 300, 1), brightness, np.float32)
        difference = (noise(image, rng()) - image) * 255
        assert difference.std() == pytest.approx(20 * brightness**0.5, rel=0.02)
        assert abs(difference.mean()) < 0.2
    assert np.array_equal(Noise(0, poisson=1)(image, rng()), image)


def test_noise_shares_are_shares_of_the_images() -> None:
    image = np.full((8, 8, 3), 0.5, np.float32)
    noise = Noise(20, gray=0.25)
    gray = [np.ptp(noise(image, rng(seed)), axis=2).max() < 1e-6 for seed in range(400)]
    assert 70 < sum(gray) < 130


def test_noise_of_a_range_is_drawn_evenly() -> None:
    image = np.full((40, 40, 1), 0.5, np.float32)
    levels = [255 * (Noise([10, 30], clip=False)(image, rng(seed)) - image).std() for seed in range(200)]
    assert (min(levels), max(levels)) == (pytest.approx(10, abs=1), pytest.approx(30, abs=2))
    assert np.mean(levels) == pytest.approx(20, abs=1)


# JPEG, colour


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_opencvs(channels: int) -> None:
    image = np.ascontiguousarray(drawn_pair(0, 33, 50)[1][:, :, :channels])
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])
    expected = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).reshape(image.shape)[:, :, ::-1]
    assert np.array_equal(Degradation([Jpeg(20)])(image, rng())["input"], expected)


def test_jpeg_of_whole_images_begins_at_the_corner_and_of_patches_anywhere() -> None:
    image = drawn_pair(0, 64, 48)[1]
    aligned = Degradation([Jpeg(20)])(image, rng())["input"]
    patches = [Degradation([Jpeg(20)])(image, rng(seed), is_patch=True)["input"] for seed in range(60)]
    assert all(patch.shape == image.shape for patch in patches)
    share = np.mean([np.array_equal(patch, aligned) for patch in patches])
    assert 0.3 < share < 0.7
    assert len({patch.tobytes() for patch in patches}) > 20
    never = [Degradation([Jpeg(20, shift=0)])(image, rng(seed), is_patch=True)["input"] for seed in range(9)]
    assert all(np.array_equal(patch, aligned) for patch in never)


def test_jpeg_of_a_patch_is_a_crop_of_the_jpeg_of_a_larger_image() -> None:
    """Far from the border, the patch is what a file of the image, moved by up to a block, has there."""
    image = drawn_pair(0, 96, 96)[1]
    shifted = Degradation([Jpeg(20, shift=1)])(image, rng(4), is_patch=True)["input"][32:64, 32:64]
    moves = [(top, left) for top in range(16) for left in range(16)]
    expected = (
        Jpeg(20)(np.pad(image, [(top, 0), (left, 0), (0, 0)], mode="wrap") / np.float32(255), rng())[top:, left:]
        for top, left in moves
    )
    assert any(np.array_equal(np.rint(whole * 255)[32:64, 32:64], shifted) for whole in expected)


def test_jpeg_draws_the_quality_of_a_range() -> None:
    image = drawn_pair(0, 40, 40)[1]
    made = {Degradation([Jpeg([10, 12])])(image, rng(seed))["input"].tobytes() for seed in range(30)}
    assert made == {Degradation([Jpeg(q)])(image, rng())["input"].tobytes() for q in (10, 11, 12)}


def test_gray_is_the_luma_of_read_image() -> None:
    image = rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    assert np.abs(Degradation([Gray()])(image, rng())["input"].astype(int) - to_channels(image, 1)).max() <= 1
    some = Degradation([Gray(0.5)])
    kinds = [np.ptp(some(image, rng(seed))["input"], axis=2).max() == 0 for seed in range(40)]
    assert 8 < sum(kinds) < 32
    assert (Degradation([Gray()]).channels(3), some.channels(3)) == (1, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 0.255), (np.uint16, 0.002)])
def test_lightness_has_labs_l(dtype: type, tolerance: float) -> None:
    """Up to the rounding of the gray image, whose levels are up to 0.51 of L apart."""
    top = np.iinfo(dtype).max
    image = rng(0).integers(0, top, (60, 60, 3), dtype, endpoint=True)
    gray = Degradation([Lightness()])(image, rng())["input"]
    assert gray.shape == (60, 60, 1)
    expected, made = (rgb2lab(x / top)[:, :, 0] for x in (image, np.repeat(gray, 3, axis=2)))
    assert np.abs(made - expected).max() < tolerance


def test_lightness_of_gray_is_itself() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    step = Degradation([Lightness()])
    assert np.array_equal(step(gray, rng())["input"], gray)
    assert np.array_equal(step(np.repeat(gray, 3, axis=2), rng())["input"], gray)


# Old photos


@pytest.mark.parametrize("step", [Scratches(4), Stains(3, strength=0.5), Fade(0.5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_damage_of_old_photos_changes_a_part_and_stays_in_range(step: Step, channels: int) -> None:
    image = noise_image(64, 48, channels)
    damaged = step(image, rng(1))
    assert (damaged.shape, damaged.dtype) == (image.shape, np.float32)
    assert damaged.min() >= 0
    assert damaged.max() <= 1
    changed = (np.abs(damaged - image) > 0.02).mean()
    assert 0.01 < changed < (1.1 if isinstance(step, Fade) else 0.7)
    assert np.array_equal(step(image, rng(1)), damaged)
    assert not np.array_equal(step(image, rng(2)), damaged) or isinstance(step, Fade)


def test_damage_of_nothing_changes_nothing() -> None:
    image = noise_image()
    for step in (Scratches(0), Stains(0), Fade(0), Stains(2, strength=0)):
        assert np.array_equal(step(image, rng()), image)


# Holes


@pytest.mark.parametrize("kind", ["strokes", "boxes", ["strokes", "boxes"]])
@pytest.mark.parametrize("size", [(64, 64), (200, 90), (5, 4), (1, 2)])
def test_mask_has_holes_and_is_not_full(kind: Any, size: tuple[int, int]) -> None:
    for seed in range(20):
        mask = Mask(kind).draw(*size, rng(seed))
        assert (mask.shape, mask.dtype) == ((*size, 1), np.uint8)
        assert set(np.unique(mask)) == {0, 255}


def test_boxes_are_as_large_as_their_share() -> None:
    shares = [(Mask("boxes", count=1, side=0.5).draw(100, 60, rng(seed)) > 0).mean() for seed in range(20)]
    assert np.allclose(shares, 0.25)
    widths = [(Mask("strokes", count=1, width=w).draw(128, 128, rng(3)) > 0).mean() for w in (0.03, 0.06, 0.12)]
    assert widths == sorted(widths)


def test_hole_is_gray_in_the_input_and_white_in_the_mask() -> None:
    image = rng(5).integers(0, 256, (40, 40, 3), np.uint8)
    made = Degradation([Mask("boxes")])(image, rng())
    hole = made["mask"][:, :, 0] == 255
    assert (made["input"][hole] == 128).all()
    assert np.array_equal(made["input"][~hole], image[~hole])


def test_folder_of_masks_is_read_and_resized(tmp_path: Path) -> None:
    mask = np.zeros((10, 8), np.uint8)
    mask[:5] = 255
    write(tmp_path / "masks" / "half.png", mask)
    step = Mask(str(tmp_path / "masks"))
    assert len(step.files) == 1
    drawn = step.draw(20, 30, rng())
    assert (drawn[:9] == 255).all()
    assert (drawn[11:] == 0).all()
    pickle.loads(pickle.dumps(step)).draw(20, 30, rng())  # as a worker process gets it
    write(tmp_path / "masks" / "full.png", np.full((10, 8), 255, np.uint8))
    with pytest.raises(ValueError, match=r"full\.png: .*whole image"):
        _ = Mask(str(tmp_path / "masks")).files


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
def test_masks_of_any_type_are_white_in_the_hole(dtype: type) -> None:
    mask = np.zeros((4, 4, 1), dtype)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    with pytest.raises(ValueError, match=r"m: .*empty"):
        require_hole(mask, "m")
    mask[0] = top
    assert (binary(mask)[:, :, 0] == [[255] * 4, [0] * 4, [0] * 4, [0] * 4]).all()
    image = np.zeros((4, 4, 3), np.uint16)
    assert (without_hole(image, binary(mask))[0] == 32768).all()


# Lists of steps


def test_steps_are_applied_in_their_order() -> None:
    image = drawn_pair(2, 32, 32)[1]
    forth, back = Degradation([Noise(50), Blur(3)]), Degradation([Blur(3), Noise(50)])
    smooth, rough = (np.diff(each(image, rng())["input"].astype(float), axis=0).std() for each in (forth, back))
    assert smooth < rough / 2


def test_same_seed_gives_the_same_degradation() -> None:
    image = rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    names = [name for name in STEPS if name not in ("lightness", "gray", "realesrgan")]
    degradation = Degradation(read_steps(names, "x"))
    first, again, other = (degradation(image, rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[key], again[key]) for key in ("input", "mask"))
    assert not np.array_equal(first["input"], other["input"])
    assert first["input"].shape == (16, 16, 3)
    assert first["mask"].shape == (16, 16, 1)


def test_degradation_knows_scale_channels_and_what_it_needs() -> None:
    made = Degradation(read_steps([{"down": 2}, {"noise": 5}, {"down": {"scale": 3}}], "x"))
    assert (made.scale, made.channels(3), made.needs_8_bits, made.removes_colour) == (6, 3, False, False)
    assert Degradation([Jpeg(30)]).needs_8_bits
    colourless = [Degradation([step]) for step in (Lightness(), Gray(), Gray(0.5))]
    assert [each.removes_colour for each in colourless] == [True, True, False]
    assert [each.takes_lightness for each in colourless] == [True, False, False]
    assert [each.channels(3) for each in colourless] == [1, 1, 3]


@pytest.mark.parametrize(
    ("steps", "is_float"),
    [
        ([Noise(5, clip=False)], True),
        ([Noise(5, clip=False), Blur(1)], True),
        ([Noise(5, clip=False), Jpeg(50)], False),
        ([Noise(5, clip=False), Noise(5)], False),
        ([Noise(5)], False),
        ([Blur(1)], False),
    ],
)
def test_input_is_float_if_nothing_clips_the_noise(steps: list[Step], is_float: bool) -> None:
    degradation = Degradation(steps)
    assert degradation.is_float == is_float
    assert (degradation(drawn_pair(0)[1], rng())["input"].dtype == np.float32) == is_float


def test_short_values_set_the_main_option() -> None:
    assert read_steps(["gray", {"noise": 25}, {"jpeg": [10, 40]}, {"down": 4}], "x") == [
        Gray(),
        Noise(sigma=25),
        Jpeg(quality=[10, 40]),
        Down(scale=4),
    ]
    assert read_steps([{"mask": "boxes"}], "x")[0].kind == ("boxes",)
    assert read_steps([{"blur": {"sigma": 2, "kind": "motion"}}], "x") == [Blur(2, ["motion"])]


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([{"nois": 3}], r"x: nois: .*noise"),
        ([{"noise": {"sigm": 3}}], r"x: noise: .*sigm; .*sigma"),
        ([{"noise": [25, 0]}], r"x: noise: sigma \[25, 0\].*\[0, 25\]"),
        ([{"noise": [1, 2, 3]}], r"noise: sigma \[1, 2, 3\]"),
        ([{"noise": "much"}], r"noise: sigma much"),
        ([{"noise": -1}], r"noise: sigma -1"),
        ([{"noise": {"gray": 2}}], r"noise: gray 2"),
        ([{"noise": {"clip": 1}}], r"noise: clip 1"),
        ([{"jpeg": 0}], r"jpeg: quality 0"),
        ([{"jpeg": [10.5, 20]}], r"jpeg: quality \[10.5, 20\]"),
        ([{"down": 1}], r"down: scale 1"),
        ([{"down": 2.5}], r"down: scale 2.5"),
        ([{"down": {"scale": 2, "how": "bicubik"}}], r"down: how bicubik: .*bicubic"),
        ([{"blur": {"kind": []}}], r"blur: kind \[\]"),
        ([{"lightness": 3}], r"lightness 3"),
        ([{"noise": 3, "jpeg": 3}], r"x: "),
        ([3], r"x: 3"),
        ([], r"x \[\]"),
        ("noise", r"x noise"),
        ([{"noise": object()}], r"noise: .*sigma"),
    ],
)
def test_wrong_steps_are_named_in_one_line(steps: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        read_steps(steps, "x")
    assert "\n" not in str(raised.value)


def test_mask_must_be_the_last_step() -> None:
    for steps in ([Mask(), Noise(3)], [Mask(), Mask()]):
        with pytest.raises(ValueError, match="mask"):
            Degradation(steps)
