"""Restoration without learning: the trivial answers that a trained network must beat.

Bicubic interpolation is MATLAB's, as in tables of super-resolution. Inpainting is OpenCV's. Non-local means are ours:
OpenCV's need 8 bits, and noise that isn't clipped doesn't fit into them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from img2img.data.base import Item
from img2img.data.images import rounded

RADIUS = 3  # of Telea's inpainting, in pixels
PATCH, REACH = 5, 6  # side of the patches that are compared, and how far away they may be, in pixels
SIGMAS = (5, 10, 15, 20, 25, 35, 50)  # standard deviations of 255 that ``tuned`` tries
SHARES = (0.4, 0.6, 0.8)  # decays of the weights that ``tuned`` tries, as a share of sigma


def plain_answers(scale: int) -> dict[str, Callable[[Item], np.ndarray]]:
    """The input of an item, ``input``; or, with a scale above 1, the enlarged one, ``bicubic``."""
    if scale == 1:
        return {"input": lambda item: item.image}
    return {"bicubic": lambda item: bicubic_up(item.image, scale)}


def bicubic_up(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's ``imresize(image, scale)``, bicubic (Keys' cubic with a = -0.5): (H, W, C) -> (scale H, scale W, C).

    Borders are mirrored. Integers are rounded once, at the end; floats can leave the range of the image's.
    """
    if scale == 1:
        return image
    result = image.astype(np.float64)
    for axis in (0, 1):
        length = result.shape[axis]
        centres = (np.arange(scale * length) + 0.5) / scale - 0.5  # of the result's pixels, in pixels of the image
        first = np.floor(centres).astype(int) - 1
        enlarged = np.zeros(())
        for place in range(4):
            weights = cubic(centres - (first + place))
            pixels = mirrored(first + place, length)
            enlarged = enlarged + weights.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)) * result.take(pixels, axis)
        result = enlarged
    if image.dtype.kind != "u":
        return result.astype(image.dtype)
    return np.rint(result.clip(0, np.iinfo(image.dtype).max)).astype(image.dtype)


def lanczos(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) -> (height, width, C) of the same dtype, by Lanczos' kernel of 3 lobes, which is stretched to shrink.

    Each channel is filtered as floats and rounded once, at the end. Overshoots are clipped to the image's range.
    """
    channels = np.moveaxis(image.astype(np.float32), 2, 0)
    resized = [Image.fromarray(channel).resize((width, height), Image.Resampling.LANCZOS) for channel in channels]
    result: np.ndarray = np.stack([np.asarray(channel) for channel in resized], axis=2)
    if image.dtype.kind == "f":
        return result.clip(0, 1).astype(image.dtype)
    return np.rint(result.clip(0, np.iinfo(image.dtype).max)).astype(image.dtype)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -0.5 of distances in pixels."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Places on a line that is mirrored at its ends, which are repeated: -1 -> 0, -2 -> 1, length -> length - 1."""
    inside = places % (2 * length)
    return np.minimum(inside, 2 * length - 1 - inside)


def telea(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image whose holes are filled from their edges (Telea 2004, "An image inpainting technique based on the fast
    marching method").

    Args:
        image: (H, W, C) uint8, uint16 or float32.
        mask: (H, W, 1) uint8, 255 in the holes.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return cv2.inpaint(image, mask, RADIUS, cv2.INPAINT_TELEA)
    if image.dtype.kind == "f":  # OpenCV adds 0.5 to filled floats, as if they were to be rounded
        levels = np.rint(image.clip(0, 1) * 65535).astype(np.uint16)
        return np.where(mask > 0, telea(levels, mask) / np.float32(65535), image)
    channels = [np.ascontiguousarray(image[:, :, channel]) for channel in range(image.shape[2])]
    return np.stack([cv2.inpaint(channel, mask, RADIUS, cv2.INPAINT_TELEA) for channel in channels], axis=2)


def non_local_means(image: np.ndarray, sigma: float, share: float = 0.6) -> np.ndarray:
    """The mean of pixels with similar surroundings (Buades et al. 2005, "A non-local algorithm for image denoising").

    A pixel's weight is exp(-max(d - 2 sigma^2, 0) / h^2), with the mean square difference d of two patches of all
    channels, and h = share * sigma.

    Args:
        image: (H, W, C) uint8 or uint16, or floats in [0, 1] or outside.
        sigma: standard deviation of the noise, in units of 1/255 of the range.
        share: how fast weights fall.

    Returns:
        (H, W, C) of the dtype of ``image``, clipped to its range.
    """
    is_integer = image.dtype.kind == "u"
    noisy = image / np.float32(np.iinfo(image.dtype).max) if is_integer else image.astype(np.float32)
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(noisy, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT).reshape(
        height + 2 * REACH, width + 2 * REACH, -1
    )
    deviation = sigma / 255
    total, weights = np.zeros_like(noisy), np.zeros((height, width, 1), np.float32)
    for top in range(2 * REACH + 1):
        for left in range(2 * REACH + 1):
            shifted = padded[top : top + height, left : left + width]
            square = np.square(noisy - shifted).mean(2)
            distance = cv2.blur(square, (PATCH, PATCH))
            excess = np.maximum(distance - np.float32(2 * deviation**2), 0)
            weight = np.exp(-excess / np.float32((share * deviation) ** 2))[:, :, None]
            total += weight * shifted
            weights += weight
    clean = (total / weights).clip(0, 1)
    return rounded(clean, image.dtype) if is_integer else clean.astype(image.dtype)


def tuned(pairs: Sequence[tuple[np.ndarray, np.ndarray]], scale: int = 1) -> tuple[float, float]:
    """The ``sigma`` and ``share`` of ``non_local_means``, followed by ``bicubic_up``, with the best mean PSNR.

    Args:
        pairs: noisy images (H, W, C), integers or floats, and clean ones (scale H, scale W, C'), integers.
        scale: side of the clean images divided by the side of the noisy ones.
    """

    def quality(sigma: float, share: float) -> float:
        errors = []
        for noisy, clean in pairs:
            answer = bicubic_up(non_local_means(noisy, sigma, share), scale)
            errors.append(np.square(_unit(answer) - _unit(clean)).mean())
        return float(-np.mean(np.log10(np.maximum(errors, 1e-10))))

    sigma = max(SIGMAS, key=lambda sigma: quality(sigma, SHARES[1]))
    return sigma, max(SHARES, key=lambda share: quality(sigma, share))


def _unit(image: np.ndarray) -> np.ndarray:
    return image / np.float64(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else image.astype(np.float64)
