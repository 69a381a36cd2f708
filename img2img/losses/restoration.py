"""Losses between an image and its target, for restoration: pure functions of (B, C, H, W) in [-1, 1], scalars."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CHARBONNIER_EPS = 1e-3
SSIM_WINDOW = 11
C1, C2 = 0.01**2, 0.03**2  # constants of SSIM, for values in [0, 1]
SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the Gaussians of MS-SSIM (arXiv 1511.08861, Sec. III)


def charbonnier_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean of sqrt(d^2 + eps^2), a smooth L1 loss (Lai et al., arXiv 1704.03915, Sec. 3.2)."""
    return (output - target).square().add(CHARBONNIER_EPS**2).sqrt().mean()


PixelLoss = Callable[[Tensor, Tensor], Tensor]
PIXEL_LOSSES: dict[str, PixelLoss] = {"l1": F.l1_loss, "charbonnier": charbonnier_loss, "mse": F.mse_loss}


def ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM, with a Gaussian window of 11 pixels, in float32 (Wang et al., 2004). The mean over whole windows."""
    import kornia.metrics  # takes seconds

    x, y = (image.float() / 2 + 0.5 for image in (output, target))
    return 1 - kornia.metrics.ssim(x, y, SSIM_WINDOW, padding="valid").mean()


def ms_ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM by Gaussians of five widths at full resolution, in float32 (Zhao et al., arXiv 1511.08861, Eq. 8).

    The luminance is compared at the largest width, contrast and structure at all. Borders are repeated outwards. (Not
    kornia's: before 0.9, which needs Python 3.11, it mixes up widths and channels.)
    """
    x, y = (image.float() / 2 + 0.5 for image in (output, target))
    similarity = torch.ones_like(x)
    for sigma in SIGMAS:
        mean_x, mean_y = blurred(x, sigma), blurred(y, sigma)
        var_x, var_y = blurred(x * x, sigma) - mean_x**2, blurred(y * y, sigma) - mean_y**2
        covariance = blurred(x * y, sigma) - mean_x * mean_y
        similarity = similarity * (2 * covariance + C2) / (var_x + var_y + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)  # of the last, largest width
    return 1 - (luminance * similarity).mean()


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W), by a Gaussian that ends at 2 sigma."""
    reach = max(1, int(2 * sigma))
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    line = (-0.5 * (offsets / sigma) ** 2).exp()
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)  # (C, 1, 1, width)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), "replicate"), line, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, reach, reach), "replicate"), line.transpose(2, 3), groups=x.shape[1])


SSIM_LOSSES = {"ssim": ssim_loss, "ms_ssim": ms_ssim_loss}


def in_gamut(lightness: Tensor, ab: Tensor, steps: int = 12) -> Tensor:
    """The sRGB image in [-1, 1] with a lightness and, as far as sRGB can hold them at that lightness, colours ab.

    Where it can't, ab shrinks towards gray by the smallest factor that suffices: the lightness stays.

    Args:
        lightness: Lab's L in [0, 100], (B, 1, H, W).
        ab: Lab's a and b, (B, 2, H, W).
        steps: bisections of the factor.
    """
    low, high = torch.zeros_like(lightness), torch.ones_like(lightness)
    fits_whole = _fits(lab_to_rgb(lightness, ab))
    for _ in range(steps):
        middle = (low + high) / 2
        fits = _fits(lab_to_rgb(lightness, middle * ab))
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    factor = torch.where(fits_whole, torch.ones_like(low), low)
    return lab_to_rgb(lightness, factor * ab).clamp(-1, 1)


def _fits(image: Tensor) -> Tensor:
    """Whether each pixel of an image lies in [-1, 1], (B, 1, H, W)."""
    return (image.abs() <= 1 + 1e-4).all(1, keepdim=True)


def lab_to_rgb(lightness: Tensor, ab: Tensor) -> Tensor:
    """Lab, L in [0, 100] (B, 1, H, W) and ab (B, 2, H, W) -> sRGB in [-1, 1], or outside it, (B, 3, H, W)."""
    import kornia.color

    return 2 * kornia.color.lab_to_rgb(torch.cat([lightness, ab], dim=1), clip=False) - 1


def lightness_of(gray: Tensor) -> Tensor:
    """Lab's L in [0, 100] of gray sRGB images in [-1, 1], (B, 1, H, W) -> (B, 1, H, W)."""
    import kornia.color

    rgb = (gray.clamp(-1, 1) / 2 + 0.5).expand(-1, 3, -1, -1)
    return kornia.color.rgb_to_lab(rgb)[:, :1]
