"""Losses of restoration against slow references, and Lab within the colours that sRGB has."""

import kornia.color
import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from img2img.losses.restoration import (
    PIXEL_LOSSES,
    charbonnier_loss,
    in_gamut,
    lab_to_rgb,
    lightness_of,
    ms_ssim_loss,
    ssim_loss,
)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 2 - 1


def test_charbonnier_is_a_smooth_l1() -> None:
    x, y = images(2, 3, 4, 4), images(2, 3, 4, 5)[..., :4]
    expected = sum(
        ((a - b) ** 2 + 1e-6) ** 0.5 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)
    )
    assert charbonnier_loss(x, y).item() == pytest.approx(expected / x.numel(), rel=1e-5)
    x.requires_grad_(True)
    charbonnier_loss(x, x.detach()).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("loss", [ssim_loss, ms_ssim_loss])
def test_ssim_losses_are_0_for_equal_images_and_fall_towards_them(loss) -> None:  # type: ignore[no-untyped-def]
    x = images(1, 3, 24, 24)
    assert loss(x, x).item() == pytest.approx(0, abs=1e-5)
    noisy = (x + 0.5 * images(1, 3, 24, 24).flip(3)).requires_grad_(True)
    before = loss(noisy, x)
    before.backward()
    assert noisy.grad is not None
    after = loss(noisy - 0.5 * noisy.grad / noisy.grad.norm(), x)
    assert 0 < after < before


def test_ssim_loss_is_the_formula_for_one_window() -> None:
    x, y = images(1, 1, 11, 11), images(1, 1, 12, 11)[..., :11, :]
    offsets = torch.arange(11) - 5.0
    line = (-(offsets**2) / (2 * 1.5**2)).exp()
    window = torch.outer(line, line) / line.sum() ** 2
    a, b = x[0, 0] / 2 + 0.5, y[0, 0] / 2 + 0.5
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    ssim = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    ssim = ssim / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
    torch.testing.assert_close(ssim_loss(x, y), 1 - ssim, atol=1e-5, rtol=1e-4)


def test_ms_ssim_loss_is_the_formula_of_the_paper() -> None:
    """Each channel by itself, with scipy's filter."""
    x, y = images(2, 3, 20, 22), images(2, 3, 22, 20).transpose(2, 3)
    values = []
    for a, b in zip(
        x.flatten(0, 1).double().numpy() / 2 + 0.5, y.flatten(0, 1).double().numpy() / 2 + 0.5, strict=True
    ):
        similarity = np.ones(a.shape)
        for sigma in (0.5, 1, 2, 4, 8):
            reach = max(1, int(2 * sigma))
            line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
            window = np.outer(line, line) / line.sum() ** 2

            def mean(image: np.ndarray, window: np.ndarray = window) -> np.ndarray:
                return scipy.ndimage.correlate(image, window, mode="nearest")

            covariance = mean(a * b) - mean(a) * mean(b)
            variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
            similarity *= (2 * covariance + 9e-4) / (variances + 9e-4)
        luminance = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
        values.append((luminance * similarity).mean())
    assert ms_ssim_loss(x, y).item() == pytest.approx(1 - np.mean(values), abs=1e-5)


def test_pixel_losses_are_torchs() -> None:
    x, y = images(1, 3, 4, 4), -images(1, 3, 4, 4)
    torch.testing.assert_close(PIXEL_LOSSES["l1"](x, y), F.l1_loss(x, y))
    torch.testing.assert_close(PIXEL_LOSSES["mse"](x, y), F.mse_loss(x, y))


def test_in_gamut_keeps_the_lightness_to_half_a_unit_after_writing() -> None:
    """Random colours, most of which sRGB can't hold, at all lightnesses."""
    lightness = torch.linspace(0, 100, 64 * 64).view(1, 1, 64, 64)
    ab = images(1, 2, 64, 64) * 110
    image = in_gamut(lightness, ab)
    assert image.abs().max() <= 1
    written = ((image / 2 + 0.5) * 255).round() / 255
    lab = kornia.color.rgb_to_lab(written)
    assert (lab[:, :1] - lightness).abs().max() < 0.5
    chroma = lab[:, 1:].norm(dim=1)
    assert (chroma[:, 16:48] > 5).float().mean() > 0.9  # not gray


def test_in_gamut_leaves_colours_that_srgb_has() -> None:
    rgb = images(1, 3, 16, 16) * 0.9
    lab = kornia.color.rgb_to_lab(rgb / 2 + 0.5)
    torch.testing.assert_close(in_gamut(lab[:, :1], lab[:, 1:]), rgb, atol=1e-3, rtol=0)
    torch.testing.assert_close(lab_to_rgb(lab[:, :1], lab[:, 1:]), rgb, atol=1e-3, rtol=0)


def test_lightness_of_black_gray_and_white() -> None:
    gray = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)
    assert lightness_of(gray).flatten().tolist() == pytest.approx([0, 53.39, 100], abs=0.01)
