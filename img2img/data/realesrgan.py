"""The degradation of Real-ESRGAN (Wang et al., arXiv 2107.10833), and its sharpening of targets.

Probabilities and ranges are those of the released code, which differ from the paper's in places. Two orders of blur,
resizing, noise and JPEG make an image of unknown history, which is then brought to 1 / scale of its sides.

The released code draws sizes, modes and the kind of noise once for each batch on the GPU, and mixes batches in a pool
of 180 pairs, because the images of one batch would be too similar. Here everything is drawn for each image, so the
images of a batch have different degradations as they are, and there is no pool.

What else differs from the released code:

    JPEG        is OpenCV's, with images rounded to 8 bits and whole qualities. The released code approximates JPEG with
                a table of brightness that is transposed by mistake
    Resizing    to a size instead of by a factor: by a factor, an image loses up to a pixel at its right and bottom, and
                input and target no longer lie on each other. Bilinear and bicubic are OpenCV's, which equal torch's
                ``interpolate`` to 4e-5; area is torch's
    Kernels     are not padded to 21x21, which changes nothing
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from img2img.data.images import rounded
from img2img.data.steps import (
    Range,
    Step,
    checked_flag,
    checked_integer,
    checked_range,
    checked_share,
    drawn_integer,
    jpeg,
    luma,
    one_of,
)

RADII = (3, 10)  # of kernels: 7x7 to 21x21
MODES = ("area", "bilinear", "bicubic")
SINC = 0.1  # share of sinc filters among the kernels of both orders
KERNELS = {  # the other kernels: family, whether it is isotropic, share
    ("gaussian", True): 0.45,
    ("gaussian", False): 0.25,
    ("generalized", True): 0.12,
    ("generalized", False): 0.03,
    ("plateau", True): 0.12,
    ("plateau", False): 0.03,
}
BETA = {"gaussian": (1, 1), "generalized": (0.5, 4), "plateau": (1, 2)}  # exponent of each family
GAUSSIAN_NOISE = 0.5  # share; the others get Poisson noise
GRAY_NOISE = 0.4
FINAL_SINC = 0.8


@dataclass(frozen=True)
class Order:
    """Blur, resizing and noise, which happen twice."""

    blur: float
    """Share of the images that are blurred."""
    sigma: Range
    """Standard deviation of the kernels in pixels."""
    larger: float
    """Share of the images that are enlarged."""
    smaller: float
    """Share of the images that are shrunk."""
    factor: Range
    """The smallest and the largest factor."""
    noise: Range
    """Standard deviation of Gaussian noise, of 255."""
    poisson: Range
    """Factor of Poisson noise."""


FIRST = Order(blur=1, sigma=(0.2, 3), larger=0.2, smaller=0.7, factor=(0.15, 1.5), noise=(1, 30), poisson=(0.05, 3))
SECOND = Order(
    blur=0.8, sigma=(0.2, 1.5), larger=0.3, smaller=0.4, factor=(0.3, 1.2), noise=(1, 25), poisson=(0.05, 2.5)
)


@dataclass
class RealESRGAN(Step):
    """Two orders of blur, resizing, noise and JPEG, and a final sinc filter."""

    short = "scale"
    needs_8_bits = True
    clip = True

    scale: int = 4
    """Side of the image divided by the side of the result, an integer from 1 to 8."""
    second: float = 1.0
    """Share of the images that go through both orders; the others have the first only."""
    quality: Any = (30, 95)
    """JPEG quality from 1 to 100, integers, of both orders."""
    sharpen: bool = True
    """Sharpen the clean image first (``sharpened``). The sharpened image is a target for some losses."""
    margin: int = 72
    """Pixels on each side of a training patch that are degraded with it: 256 pixels are cut out of 400."""

    def __post_init__(self) -> None:
        checked_integer("scale", self.scale, 1, 8)
        self.second = checked_share("second", self.second)
        self.quality = checked_range("quality", self.quality, 1, 100, whole=True)
        checked_flag("sharpen", self.sharpen)
        checked_integer("margin", self.margin, 0, 1024)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, C) -> (H // scale, W // scale, C), rounded to 8 bits."""
        height, width = (side // self.scale for side in image.shape[:2])
        degraded = self._saved(_degraded_once(image, FIRST, image.shape[:2], rng), rng)
        if rng.random() < self.second:
            degraded = _degraded_once(degraded, SECOND, (height, width), rng)
        if rng.random() < 0.5:
            degraded = self._saved(_finished(degraded, height, width, rng), rng)
        else:
            degraded = _finished(self._saved(degraded, rng), height, width, rng)
        return rounded(degraded, np.uint8) / np.float32(255)

    def _saved(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return jpeg(image, drawn_integer(self.quality, rng))


def _degraded_once(image: np.ndarray, order: Order, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Blur, resizing to ``size`` (height, width) times a random factor, and noise. The result is clipped."""
    if rng.random() < order.blur:
        image = filtered(image, draw_kernel(order.sigma, rng))
    factor = _draw_factor(order, rng)
    height, width = (max(1, int(side * factor)) for side in size)
    image = resized(image, height, width, one_of(MODES, rng))
    return noisy(image, order, rng)


def _finished(image: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The image in its final size, mostly with a sinc filter, which makes the rings of sharpened images."""
    image = resized(image, height, width, one_of(MODES, rng))
    if rng.random() >= FINAL_SINC:
        return image
    return filtered(image, sinc_kernel(rng.uniform(math.pi / 3, math.pi), drawn_integer(RADII, rng)))


# Blur


def draw_kernel(sigma: Range, rng: np.random.Generator) -> np.ndarray:
    """A random blur kernel (n, n) float64, n from 7 to 21, with the sum 1."""
    radius = drawn_integer(RADII, rng)
    if rng.random() < SINC:
        lowest = math.pi / 3 if radius < 6 else math.pi / 5
        return sinc_kernel(rng.uniform(lowest, math.pi), radius)
    kinds = list(KERNELS)
    family, isotropic = kinds[rng.choice(len(kinds), p=list(KERNELS.values()))]
    along = rng.uniform(*sigma)
    across = along if isotropic else rng.uniform(*sigma)
    angle = 0 if isotropic else rng.uniform(-math.pi, math.pi)
    low, high = BETA[family]
    beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)  # of plateaus, half have 1
    return blur_kernel(family, along, across, angle=angle, beta=beta, radius=radius)


def blur_kernel(
    family: str, sigma: float, other: float, *, angle: float = 0, beta: float = 1, radius: int
) -> np.ndarray:
    """A Gaussian, a generalised Gaussian or a plateau: (2 radius + 1, 2 radius + 1) float64 with the sum 1.

    Args:
        family: "gaussian" or "generalized", exp(-q^beta / 2), or "plateau", 1 / (1 + q^beta), of the distance q =
            (along / sigma)^2 + (across / other)^2 from the centre.
        sigma: standard deviation of the Gaussian in pixels along the axis at ``angle``.
        other: that of the axis across.
        angle: in radians, from x (to the right) towards y (down).
        beta: the exponent; a Gaussian's is 1.
        radius: of the kernel in pixels.
    """
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma
    across = (y * math.cos(angle) - x * math.sin(angle)) / other
    power = (along**2 + across**2) ** beta
    kernel = 1 / (1 + power) if family == "plateau" else np.exp(-power / 2)
    return kernel / kernel.sum()


def sinc_kernel(omega: float, radius: int) -> np.ndarray:
    """The circular low-pass filter of a cutoff frequency, which makes rings around edges.

    It is omega J1(omega r) / (2 pi r), J1 a Bessel function and r the distance from the centre in pixels: (2 radius +
    1, 2 radius + 1) float64 with the sum 1.

    Args:
        omega: cutoff in radians per pixel, at most pi.
        radius: of the kernel in pixels.
    """
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    r = np.hypot(x, y)
    r[radius, radius] = 1  # anything but 0
    kernel = omega * torch.special.bessel_j1(torch.from_numpy(omega * r)).numpy() / (2 * math.pi * r)
    kernel[radius, radius] = omega**2 / (4 * math.pi)  # the limit
    return kernel / kernel.sum()


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image (H, W, C), filtered with a symmetric kernel (n, n); edges are mirrored."""
    radius = len(kernel) // 2
    row, column = kernel[radius], kernel[:, radius] / kernel[radius, radius]
    if np.allclose(np.outer(column, row), kernel, rtol=0, atol=1e-9):  # two passes are faster
        result = cv2.sepFilter2D(image, -1, row, column, borderType=cv2.BORDER_REFLECT_101)
    else:
        result = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return result.reshape(image.shape)


# Resizing


def _draw_factor(order: Order, rng: np.random.Generator) -> float:
    chance = rng.random()
    if chance < order.larger:
        return rng.uniform(1, order.factor[1])
    if chance < order.larger + order.smaller:
        return rng.uniform(order.factor[0], 1)
    return 1


def resized(image: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    """(H, W, C) float32 -> (height, width, C) as ``interpolate`` of torch does it, without antialiasing.

    Args:
        image: the image.
        height, width: of the result in pixels.
        mode: area (means of all pixels that a pixel of the result touches), bilinear or bicubic (a = -0.75).
    """
    if image.shape[:2] == (height, width):
        return image
    if mode == "area":
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        return F.adaptive_avg_pool2d(tensor, (height, width)).permute(1, 2, 0).numpy()
    method = cv2.INTER_LINEAR if mode == "bilinear" else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=method).reshape(height, width, -1)


# Noise


def noisy(image: np.ndarray, order: Order, rng: np.random.Generator) -> np.ndarray:
    """The image (H, W, C) with Gaussian or Poisson noise of one strength, clipped to [0, 1]."""
    is_gaussian, is_gray = rng.random(2) < (GAUSSIAN_NOISE, GRAY_NOISE)
    source = luma(image) if is_gray else image
    if is_gaussian:
        sigma = np.float32(rng.uniform(*order.noise) / 255)
        noise = sigma * rng.standard_normal(source.shape, np.float32)
    else:
        noise = np.float32(rng.uniform(*order.poisson)) * poisson_noise(source, rng)
    return (image + noise).clip(0, 1)


def poisson_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise (H, W, C) float32 of counted photons, of an image that is rounded to 8 bits.

    White has as many photons as the image has levels, rounded up to a power of 2.
    """
    levels = rounded(image, np.uint8)
    count = np.count_nonzero(np.bincount(levels.ravel(), minlength=256))
    photons = 2 ** math.ceil(math.log2(count))
    expected = levels / np.float32(255)
    return (rng.poisson(expected * photons) / photons - expected).astype(np.float32)


# Sharpening

USM_SIDE = 51  # of the Gaussian in pixels; OpenCV's sigma for it is 8.0
USM_WEIGHT = 0.5
USM_THRESHOLD = 10  # of 255


def sharpened(image: np.ndarray) -> np.ndarray:
    """Unsharp masking: (H, W, C) float32 in [0, 1] -> the same, with half of its residual added.

    The residual is the difference from a wide blur. Where it is small, as in noise, the image stays as it is; the
    borders of such regions are blurred.
    """
    line = cv2.getGaussianKernel(USM_SIDE, 0)

    def blurred(each: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(each, -1, line, line, borderType=cv2.BORDER_REFLECT_101).reshape(image.shape)

    residual = image - blurred(image)
    mask = blurred((np.abs(residual) * 255 > USM_THRESHOLD).astype(np.float32))
    sharp = (image + np.float32(USM_WEIGHT) * residual).clip(0, 1)
    return image + mask * (sharp - image)
