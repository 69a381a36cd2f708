"""Classical restoration against vectors of MATLAB's resizing and slow references."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from img2img.data.classical import bicubic_up, non_local_means, telea, tuned


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Floats in [0, 1]."""
    y, x, c = np.mgrid[:height, :width, :channels].astype(np.float32)
    return 0.5 + 0.2 * np.sin(x / 5 + c) + 0.2 * np.cos(y / 7)


def slow_line(values: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's imresize of a line, enlarged, from its definition."""
    line = []
    for place in range(scale * len(values)):
        u = (place + 1) / scale + 0.5 * (1 - 1 / scale)  # MATLAB counts from 1
        total = weights = 0.0
        for j in range(int(np.floor(u)) - 3, int(np.floor(u)) + 5):
            x = abs(u - j)
            far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0
            weight = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else far
            inside = [*range(len(values)), *range(len(values))[::-1]]
            total += weight * values[inside[(j - 1) % len(inside)]]
            weights += weight
        line.append(total / weights)
    return np.array(line)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bicubic_up_is_matlabs(scale: int) -> None:
    image = np.random.default_rng(0).random((5, 7, 3))
    expected = np.apply_along_axis(slow_line, 0, image, scale)
    expected = np.apply_along_axis(slow_line, 1, expected, scale)
    np.testing.assert_allclose(bicubic_up(image, scale), expected, atol=1e-12)


def test_bicubic_up_has_the_known_weights() -> None:
    """The four pixels around the result's pixels 14 and 15 of x4, which lie in pixel 3."""
    weights = np.array([bicubic_up(np.eye(8)[pixel].reshape(1, 8, 1), 4)[0, 14:16, 0] for pixel in range(8)])
    np.testing.assert_allclose(weights[2:6, 0], [-0.047852, 0.963867, 0.090820, -0.006836], atol=1e-6)
    np.testing.assert_allclose(weights[2:6, 1], [-0.073242, 0.727539, 0.389648, -0.043945], atol=1e-6)


def test_bicubic_up_is_torchs_with_antialiasing_inside() -> None:
    image = np.random.default_rng(0).random((12, 12, 3))
    expected = F.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None], scale_factor=3, mode="bicubic", antialias=True
    )
    inside = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(bicubic_up(image, 3)[inside], expected[0].permute(1, 2, 0).numpy()[inside], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bicubic_up_rounds_once_and_clips(dtype: type) -> None:
    image = np.random.default_rng(0).choice([0, np.iinfo(dtype).max], (6, 6, 1)).astype(dtype)
    result = bicubic_up(image, 2)
    exact = bicubic_up(image.astype(np.float64), 2)
    assert exact.min() < 0
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.rint(exact.clip(0, np.iinfo(dtype).max)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_telea_fills_holes_alone(dtype: type, channels: int) -> None:
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    clean = (smooth(24, 30, channels) * top).astype(dtype)
    mask = np.zeros((24, 30, 1), np.uint8)
    mask[8:14, 10:20] = 255
    damaged = np.where(mask > 0, np.zeros_like(clean), clean)
    filled = telea(damaged, mask)
    assert filled.dtype == dtype
    assert filled.shape == clean.shape
    hole = np.broadcast_to(mask > 0, clean.shape)
    np.testing.assert_array_equal(filled[~hole], clean[~hole])
    errors = np.abs(filled[hole] / top - clean[hole] / top)
    assert errors.max() < 0.2
    assert errors.mean() < 0.3 * (clean[hole] / top).mean()


def test_non_local_means_equal_their_definition() -> None:
    rng = np.random.default_rng(0)
    noisy = (smooth(20, 22) + 0.1 * rng.standard_normal((20, 22, 3))).astype(np.float32)
    result = non_local_means(noisy, 25, 0.6)
    sigma = 25 / 255
    for y, x in ((9, 9), (10, 12)):  # whose patches and search windows lie inside
        patch = noisy[y - 2 : y + 3, x - 2 : x + 3]
        total, weights = np.zeros(3), 0.0
        for v in range(y - 6, y + 7):
            for u in range(x - 6, x + 7):
                other = noisy[v - 2 : v + 3, u - 2 : u + 3]
                distance = ((patch - other) ** 2).mean()
                weight = np.exp(-max(distance - 2 * sigma**2, 0) / (0.6 * sigma) ** 2)
                total += weight * noisy[v, u]
                weights += weight
        np.testing.assert_allclose(result[y, x], (total / weights).clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_non_local_means_remove_noise_at_any_depth(dtype: type) -> None:
    clean = smooth(40, 48)
    noisy = clean + 25 / 255 * np.random.default_rng(0).standard_normal(clean.shape)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    given = noisy.astype(dtype) if top == 1 else np.rint(noisy.clip(0, 1) * top).astype(dtype)
    result = non_local_means(given, 25)
    assert result.dtype == dtype
    gain = 10 * np.log10(np.mean((noisy - clean) ** 2) / np.mean((result / top - clean) ** 2))
    assert gain > 8


@pytest.mark.parametrize("sigma", [10, 25])
def test_tuned_finds_the_noise(sigma: int) -> None:
    clean = np.rint(smooth(48, 48) * 255).astype(np.uint8)
    noise = sigma / 255 * np.random.default_rng(0).standard_normal(clean.shape)
    noisy = (clean / 255 + noise).astype(np.float32)
    found, _ = tuned([(noisy, clean)])
    assert 0.6 * sigma <= found <= 1.5 * sigma
