"""The steps that make an input of a clean image: blur, noise, JPEG, fewer pixels, holes, no colour.

A step is a dataclass of its options, and a function of an image and a random generator. Images are (H, W, C) float32,
RGB or gray, 0 black and 1 white. A range [LOW, HIGH] is drawn from evenly for each image; a single number is a range of
that number alone. ``Degradation`` applies a list of steps to integer images.

The largest step, Real-ESRGAN's whole degradation, has its own file, ``realesrgan``.

Filters, JPEG and two of the three resizings are OpenCV's. Ours are:

    Down         MATLAB's bicubic ``imresize``, in which super-resolution is defined: OpenCV has no antialiasing, Pillow
                 rounds between its passes, torch doesn't mirror at the borders
    Blur         kernels of any real width and angle; the libraries' motion and defocus kernels have integer sizes
    Noise        in units of 1/255 at any depth, and not clipped if wanted, as tables of denoising have it
    Lightness    a gray image with the L of Lab; OpenCV's L is up to 0.14 off
    Mask         strokes after Yu et al., "Free-Form Image Inpainting with Gated Convolution", arXiv 1806.03589
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from img2img.data.folder import list_images
from img2img.data.images import UnreadableImage, read_image, resize, rounded
from img2img.data.realesrgan import RealESRGAN, sharpened
from img2img.data.steps import (
    Step,
    checked_choices,
    checked_flag,
    checked_integer,
    checked_range,
    checked_share,
    drawn_integer,
    jpeg,
    luma,
    one_of,
    similar,
)
from img2img.data.transforms import without_margin
from img2img.errors import MissingPlace

WHITE = 255  # in masks: the hole
TINY = 0.05  # standard deviation, in pixels, below which a blur changes nothing


@dataclass
class Blur(Step):
    """A convolution with a random kernel; edges are mirrored."""

    short = "sigma"

    sigma: Any = (0, 2)
    """Standard deviation of the kernel in pixels, along its longest axis. A motion is a line of sqrt(12) sigma, a
    defocused point a disc with the radius 2 sigma."""
    kind: Any = ("isotropic",)
    """One or several of isotropic and anisotropic (Gaussian), motion (a line) and defocus (a disc)."""

    def __post_init__(self) -> None:
        self.sigma = checked_range("sigma", self.sigma, 0, 50)
        self.kind = checked_choices("kind", self.kind, tuple(KERNELS))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        kind = one_of(self.kind, rng)
        sigma = rng.uniform(*self.sigma)
        if sigma < TINY:
            return image
        kernel = KERNELS[kind](sigma, rng.uniform(*self.sigma), rng.uniform(0, math.pi))
        return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101).reshape(image.shape)


def gaussian_kernel(sigma: float, other: float, angle: float, radius: int | None = None) -> np.ndarray:
    """A Gaussian, (2 radius + 1, 2 radius + 1) float64 with the sum 1.

    Args:
        sigma: standard deviation in pixels along the axis at ``angle``.
        other: that of the axis across.
        angle: in radians, from x (to the right) towards y (down).
        radius: of the kernel in pixels (default: three standard deviations).
    """
    radius = math.ceil(3 * max(sigma, other)) if radius is None else radius
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma
    across = (y * math.cos(angle) - x * math.sin(angle)) / other
    kernel = np.exp(-(along**2 + across**2) / 2)
    return kernel / kernel.sum()


def motion_kernel(sigma: float, angle: float) -> np.ndarray:
    """A line with the standard deviation ``sigma``, in pixels, at an angle: (n, n) float64 with the sum 1."""
    length = math.sqrt(12) * sigma  # the variance of a line is its squared length / 12
    radius = math.ceil(length / 2) + 1
    places = np.linspace(-length / 2, length / 2, 16 * radius + 1)
    x, y = radius + places * math.cos(angle), radius + places * math.sin(angle)
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for column, row in ((0, 0), (0, 1), (1, 0), (1, 1)):  # each point's share of the four pixels around it
        share = np.abs(1 - column - (x - left)) * np.abs(1 - row - (y - top))
        np.add.at(kernel, (top + row, left + column), share)
    return kernel / kernel.sum()


def disc_kernel(sigma: float, fine: int = 8) -> np.ndarray:
    """A disc with the standard deviation ``sigma`` along x and y, in pixels: (n, n) float64 with the sum 1.

    Args:
        sigma: half the disc's radius.
        fine: points in the side of a pixel, of which those inside the disc are counted.
    """
    radius = math.ceil(2 * sigma)
    side = 2 * radius + 1
    places = (np.arange(side * fine) + 0.5) / fine - side / 2
    inside = places[:, None] ** 2 + places**2 <= 4 * sigma**2
    kernel = inside.reshape(side, fine, side, fine).mean((1, 3))
    return kernel / kernel.sum()


KERNELS: dict[str, Callable[[float, float, float], np.ndarray]] = {  # by kind: of two deviations and an angle
    "isotropic": lambda sigma, other, angle: gaussian_kernel(sigma, sigma, 0),
    "anisotropic": lambda sigma, other, angle: gaussian_kernel(sigma, max(other, TINY), angle),
    "motion": lambda sigma, other, angle: motion_kernel(sigma, angle),
    "defocus": lambda sigma, other, angle: disc_kernel(sigma),
}


@dataclass
class Down(Step):
    """Fewer pixels: sides are divided by ``scale``."""

    short = "scale"

    scale: int = 2
    """Side of the image divided by the side of the result, an integer of 2 or more."""
    how: Any = ("bicubic",)
    """One or several of bicubic (MATLAB's, with antialiasing), area (the mean of each square), and bilinear (without
    antialiasing)."""

    def __post_init__(self) -> None:
        checked_integer("scale", self.scale, 2, 16)
        self.how = checked_choices("how", self.how, ("bicubic", "area", "bilinear"))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        how = one_of(self.how, rng)
        if how == "bicubic":
            return bicubic_down(image, self.scale)
        height, width = (side // self.scale for side in image.shape[:2])
        method = cv2.INTER_AREA if how == "area" else cv2.INTER_LINEAR
        return cv2.resize(image, (width, height), interpolation=method).reshape(height, width, -1)


def bicubic_weights(scale: int) -> np.ndarray:
    """The weights of the pixels around a pixel of ``bicubic_down``, from left to right: (n,) float64, symmetric.

    They are Keys' cubic with a = -0.5, as wide as four pixels of the result. The centre of a result's pixel lies
    between two pixels for even scales, so n is 4 scale, and on a pixel for odd scales, so n is 4 scale - 1.
    """
    count = 4 * scale - scale % 2
    x = np.abs(np.arange(count) - (count - 1) / 2) / scale
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum()


def bicubic_down(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's ``imresize(image, 1 / scale)``, bicubic with antialiasing: (H, W, C) -> (H / scale, W / scale, C).

    Borders are mirrored. Values are not rounded; they can leave the range of the image's. H and W must be multiples of
    ``scale``.
    """
    weights = bicubic_weights(scale).astype(image.dtype)
    margin = (len(weights) - scale) // 2  # pixels of the first filter outside the image
    for axis in (0, 1):
        length = image.shape[axis] // scale
        padded = np.pad(image, [(margin, margin) if i == axis else (0, 0) for i in range(3)], mode="symmetric")
        padded = padded.swapaxes(0, axis)  # (n, m, C)
        out = weights[0] * padded[: scale * length : scale]
        for place, weight in enumerate(weights[1:], 1):
            out += weight * padded[place : place + scale * (length - 1) + 1 : scale]
        image = out.swapaxes(0, axis)
    return image


@dataclass
class Noise(Step):
    """Gaussian noise, or Poisson noise, whose variance is proportional to the brightness."""

    short = "sigma"

    sigma: Any = (0, 25)
    """Standard deviation in units of 1/255 of the range, at any depth: 25 is 25 levels of 8 bits, 6425 of 16. Of
    Poisson noise it is that of white."""
    poisson: float = 0.0
    """Share of the images that get Poisson instead of Gaussian noise."""
    gray: float = 0.0
    """Share of the images whose channels get the same noise."""
    clip: bool = True
    """Clip to black and white, and round to the image's levels, as files do. False keeps floats: the noise of tables of
    denoising, 20.17 dB for sigma 25 (clipped: about 20.5)."""

    def __post_init__(self) -> None:
        self.sigma = checked_range("sigma", self.sigma, 0, 255)
        self.poisson, self.gray = checked_share("poisson", self.poisson), checked_share("gray", self.gray)
        checked_flag("clip", self.clip)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        is_poisson, is_gray = rng.random(2) < (self.poisson, self.gray)
        sigma = rng.uniform(*self.sigma) / 255
        source = luma(image) if is_gray else image
        noisy = image + (_poisson_noise(source, sigma, rng) if is_poisson else _gaussian_noise(source, sigma, rng))
        return noisy.clip(0, 1) if self.clip else noisy


def _gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return np.float32(sigma) * rng.standard_normal(image.shape, np.float32)


def _poisson_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """The noise of counted photons, as many of them that white has the deviation ``sigma``."""
    if sigma < 1e-4:
        return np.zeros_like(image)
    photons = 1 / sigma**2  # of white: their number has the deviation sqrt(photons)
    expected = image.clip(0, 1)
    return (rng.poisson(expected * photons) / photons - expected).astype(np.float32)


@dataclass
class Jpeg(Step):
    """JPEG by OpenCV (libjpeg), with colour at half the resolution (4:2:0). Images have 8 bits."""

    short = "quality"
    needs_8_bits = True
    clip = True
    grid: ClassVar[int] = 16  # side of the blocks of colour in pixels; those of brightness have half of it

    quality: Any = (30, 95)
    """Quality from 1 to 100, integers."""
    shift: float = 0.5
    """Share of the training patches whose blocks don't begin at the patch's corner: those of a file that was cropped
    after it was saved don't either."""

    def __post_init__(self) -> None:
        self.quality = tuple(int(end) for end in checked_range("quality", self.quality, 1, 100, whole=True))
        self.shift = checked_share("shift", self.shift)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        quality = int(rng.integers(self.quality[0], self.quality[1] + 1))
        return jpeg(image, quality)

    def on_patch(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        is_shifted = rng.random() < self.shift
        top, left = rng.integers(self.grid, size=2) * is_shifted
        larger = np.pad(image, [(top, 0), (left, 0), (0, 0)], mode="symmetric")
        return self(larger, rng)[top:, left:]


@dataclass
class Gray(Step):
    """The luma of ITU-R 601, one channel."""

    short = "share"

    share: float = 1.0
    """Share of the images that become gray. Below 1 they keep three channels, which are equal in gray ones."""

    def __post_init__(self) -> None:
        self.share = checked_share("share", self.share)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.share == 1:
            return luma(image)
        return np.repeat(luma(image), image.shape[2], axis=2) if rng.random() < self.share else image


@dataclass
class Lightness(Step):
    """The gray image with the same L of Lab as the colour image, one channel. It is the input of colorization."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return lightness(image)


def lightness(image: np.ndarray) -> np.ndarray:
    """(H, W, 1|3) float32 in [0, 1], sRGB -> the gray image (H, W, 1) with the same L of CIE Lab.

    L depends on the luminance alone, which is the same for a gray image whose sRGB value encodes it. A gray image is
    therefore its own result.
    """
    if image.shape[2] == 1:
        return image
    image = image.clip(0, 1)
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    luminance = linear @ np.array([[0.212671], [0.715160], [0.072169]])  # Y of XYZ for D65
    gray = np.where(luminance <= 0.0031308, luminance * 12.92, 1.055 * luminance ** (1 / 2.4) - 0.055)
    return gray.astype(np.float32)


@dataclass
class Scratches(Step):
    """Thin, bright or dark lines from top to bottom, as on film and old prints."""

    short = "count"

    count: Any = (1, 6)
    """Number of scratches, integers."""
    width: Any = (0.5, 2)
    """Width in pixels."""
    strength: Any = (0.3, 1)
    """How opaque they are, from 0 to 1."""

    def __post_init__(self) -> None:
        self.count = checked_range("count", self.count, 0, 1000, whole=True)
        self.width = checked_range("width", self.width, 0.1, 100)
        self.strength = checked_range("strength", self.strength, 0, 1)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        for _ in range(drawn_integer(self.count, rng)):
            top, bottom = np.sort(rng.uniform(-0.2, 1.2, 2)) * height
            y = np.linspace(top, bottom, 9)
            x = rng.uniform(0, width) + rng.normal(0, 0.1) * (y - y[0]) + rng.normal(0, 0.01 * height, 9).cumsum() / 3
            cover = _stroke(np.stack([x, y], axis=1), rng.uniform(*self.width), height, width)
            colour = np.float32(rng.random() < 0.7)  # white, or black
            image = _mix(image, colour, cover * np.float32(rng.uniform(*self.strength)))
        return image


@dataclass
class Stains(Step):
    """Soft brown blots."""

    short = "count"

    count: Any = (1, 3)
    """Number of stains, integers."""
    size: Any = (0.05, 0.25)
    """Radius as a share of the shorter side."""
    strength: Any = (0.1, 0.5)
    """How opaque they are, from 0 to 1."""

    def __post_init__(self) -> None:
        self.count = checked_range("count", self.count, 0, 1000, whole=True)
        self.size = checked_range("size", self.size, 0.001, 1)
        self.strength = checked_range("strength", self.strength, 0, 1)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        for _ in range(drawn_integer(self.count, rng)):
            radius = rng.uniform(*self.size) * min(height, width)
            y, x = np.ogrid[:height, :width]
            y, x = y - rng.uniform(0, height), x - rng.uniform(0, width)
            bumps = 1 + 0.15 * sum(np.sin(n * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 5))
            edge = (radius * bumps - np.hypot(x, y)) / max(1, 0.2 * radius)  # from outside to inside, one of 0.2 radius
            cover = np.clip(edge, 0, 1)[:, :, None].astype(np.float32)
            image = _mix(image, _tint((0.55, 0.42, 0.25), image), cover * np.float32(rng.uniform(*self.strength)))
        return image


@dataclass
class Fade(Step):
    """Contrast and colour fade towards those of yellowed paper."""

    short = "strength"

    strength: Any = (0, 0.6)
    """Share that is lost, from 0 to 1."""

    def __post_init__(self) -> None:
        self.strength = checked_range("strength", self.strength, 0, 1)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        strength = np.float32(rng.uniform(*self.strength))
        dull = image + strength * (luma(image) - image)
        return _mix(dull, _tint((0.80, 0.74, 0.62), image), strength)


def _mix(image: np.ndarray, colour: np.ndarray | np.float32, share: np.ndarray | np.float32) -> np.ndarray:
    return image + share * (colour - image)


def _tint(colour: tuple[float, float, float], image: np.ndarray) -> np.ndarray:
    """A colour (1, 1, C) with the channels of the image."""
    tint = np.array([[colour]], np.float32)
    return luma(tint) if image.shape[2] == 1 else tint


def _stroke(points: np.ndarray, thickness: float, height: int, width: int) -> np.ndarray:
    """The share (height, width, 1) float32 of each pixel that a line through points (N, 2), x and y, covers."""
    canvas = np.zeros((height, width), np.uint8)
    fixed = np.rint(points * 16).astype(np.int32)  # 4 fractional bits
    cv2.polylines(canvas, [fixed], False, 255, max(1, round(thickness)), cv2.LINE_AA, shift=4)
    return canvas[:, :, None] * np.float32(min(1.0, thickness) / 255)


@dataclass
class Mask:
    """Holes: where they are is a further input, ``mask``, and the input is gray there. It must be the last step."""

    short: ClassVar[str] = "kind"

    kind: Any = ("strokes", "boxes")
    """strokes, boxes or both; or the path of a folder of masks, white in the holes, which are resized."""
    count: Any = (1, 3)
    """Number of strokes or boxes, integers."""
    width: Any = (0.05, 0.16)
    """Width of strokes as a share of the shorter side."""
    side: Any = (0.2, 0.5)
    """Sides of boxes as a share of the image's sides."""

    def __post_init__(self) -> None:
        self.folder = None
        if isinstance(self.kind, str) and self.kind not in ("strokes", "boxes"):
            self.folder = Path(self.kind)  # read when training starts: inference doesn't need it
        else:
            self.kind = checked_choices("kind", self.kind, ("strokes", "boxes"))
        self.count = checked_range("count", self.count, 1, 100, whole=True)
        self.width = checked_range("width", self.width, 0.001, 1)
        self.side = checked_range("side", self.side, 0.01, 1)

    @cached_property
    def files(self) -> list[Path]:
        """The masks of the folder. Raises ValueError, naming the file, if one is empty, full or unreadable."""
        if self.folder is None:
            return []
        if not self.folder.is_dir():
            advice = "set it to strokes, boxes, or a folder of masks"
            raise MissingPlace("data.mask", self.folder, kind="folder", advice=advice)
        files = list_images(self.folder)
        for file in files:
            require_hole(read_image(file, 1), str(file))
        return files

    def draw(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """(height, width, 1) uint8: 255 in the hole, else 0. Raises ValueError if a mask's file was damaged."""
        if self.folder is not None:
            return self._read(height, width, rng)
        mask = np.zeros((height, width), np.uint8)
        draw_one = {"strokes": self._draw_stroke, "boxes": self._draw_box}[one_of(self.kind, rng)]
        for _ in range(drawn_integer(self.count, rng)):
            draw_one(mask, rng)
        if mask.all():  # an image of a few pixels
            mask.flat[: (mask.size + 1) // 2] = 0
        return mask[:, :, None]

    def _draw_stroke(self, mask: np.ndarray, rng: np.random.Generator) -> None:
        """A chain of 4 to 11 thick lines that turn to and fro (arXiv 1806.03589, Algorithm 1)."""
        height, width = mask.shape
        step = math.hypot(height, width) / 8  # in pixels
        thick = max(1, round(rng.uniform(*self.width) * min(height, width)))
        place = rng.uniform((0, 0), (width, height))
        turn = 2 * math.pi / 5 + rng.uniform(-1, 1) * 2 * math.pi / 15
        start = rng.uniform(0, 2 * math.pi)
        points = [place]
        for number in range(int(rng.integers(4, 12))):
            angle = start + (turn if number % 2 else 2 * math.pi - turn)
            length = min(max(rng.normal(step, step / 2), 0), 2 * step)
            place = np.clip(place + length * np.array([math.cos(angle), math.sin(angle)]), 0, (width - 1, height - 1))
            points.append(place)
        corners = np.rint(points).astype(np.int32)
        cv2.polylines(mask, [corners], False, WHITE, thick)
        for x, y in corners:
            cv2.circle(mask, (int(x), int(y)), thick // 2, WHITE, -1)

    def _draw_box(self, mask: np.ndarray, rng: np.random.Generator) -> None:
        sides = [max(1, round(rng.uniform(*self.side) * length)) for length in mask.shape]
        top, left = (int(rng.integers(length - side + 1)) for length, side in zip(mask.shape, sides, strict=True))
        mask[top : top + sides[0], left : left + sides[1]] = WHITE

    def _read(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        file = self.files[int(rng.integers(len(self.files)))]
        try:
            mask = read_image(file, 1)
        except UnreadableImage as error:
            raise ValueError(str(error)) from error
        small = resize(binary(mask), height, width) if mask.shape[:2] != (height, width) else binary(mask)
        return require_hole(binary(small), str(file))


def binary(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W, 1) of bool, uint8, uint16 or floats in [0, 1] -> uint8, 255 where it is at least half white."""
    top = np.iinfo(mask.dtype).max if mask.dtype.kind == "u" else 1
    return np.where(mask >= top / 2, np.uint8(WHITE), np.uint8(0))


def require_hole(mask: np.ndarray, name: str) -> np.ndarray:
    """The mask as ``binary``. Raises ValueError if it has no hole or is nothing else."""
    holes = binary(mask)
    if not holes.any():
        raise ValueError(f"{name}: the mask is empty; make the hole white (128 of 255 or more)")
    if holes.all():
        raise ValueError(f"{name}: the mask covers the whole image; make black what is to be kept")
    return holes


def without_hole(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image (H, W, C), in mid-gray where ``mask`` (H, W, 1) is 255."""
    middle = (np.iinfo(image.dtype).max + 1) // 2 if image.dtype.kind == "u" else 0.5
    return np.where(mask == WHITE, np.array(middle, image.dtype), image)


STEPS: dict[str, Any] = {
    "blur": Blur,
    "down": Down,
    "noise": Noise,
    "jpeg": Jpeg,
    "gray": Gray,
    "lightness": Lightness,
    "scratches": Scratches,
    "stains": Stains,
    "fade": Fade,
    "realesrgan": RealESRGAN,
    "mask": Mask,
}


class Degradation:
    """Steps in their order: ``degradation(image, rng)`` is a dictionary of the inputs.

    Args:
        steps: steps, of which a ``Mask`` must be the last.

    Raises:
        ValueError: a mask is not the last step.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        masks = [step for step in steps if isinstance(step, Mask)]
        if masks and (masks[1:] or steps[-1] is not masks[0]):
            raise ValueError("mask: must be the last step, and there can be one only")
        self.steps: list[Step] = [step for step in steps if step not in masks]
        self.mask: Mask | None = masks[0] if masks else None

    @property
    def scale(self) -> int:
        """Side of the image divided by the side of the input."""
        return math.prod(step.scale for step in self.steps)

    @property
    def margin(self) -> int:
        """Pixels of the clean image that the steps take on each side of a training patch, a multiple of ``scale``."""
        pixels, side = 0, 1  # side: of a pixel that a step gets, in pixels of the clean image
        for step in self.steps:
            pixels += step.margin * side
            side *= step.scale
        return math.ceil(pixels / self.scale) * self.scale

    @property
    def sharpens(self) -> bool:
        """Whether inputs are made of the sharpened image, which is a further target."""
        return any(step.sharpen for step in self.steps)

    @property
    def needs_8_bits(self) -> bool:
        """Whether a step exists for images of 8 bits only."""
        return any(step.needs_8_bits for step in self.steps)

    @property
    def takes_lightness(self) -> bool:
        """Whether inputs are ``lightness`` images."""
        return any(isinstance(step, Lightness) for step in self.steps)

    @property
    def removes_colour(self) -> bool:
        """Whether no input has colour, so that training needs colour images."""
        return self.takes_lightness or any(isinstance(step, Gray) and step.share == 1 for step in self.steps)

    @property
    def adds_noise(self) -> bool:
        """Whether a step is noise."""
        return any(isinstance(step, Noise) for step in self.steps)

    @property
    def is_float(self) -> bool:
        """Whether inputs are floats: noise is not clipped, also by no later step."""
        clips = [step.clip for step in self.steps if step.clip is not None]
        return bool(clips) and not clips[-1]

    def channels(self, channels: int) -> int:
        """Channels of the input of an image with ``channels`` channels."""
        return 1 if self.removes_colour else channels

    def __call__(
        self, image: np.ndarray, rng: np.random.Generator, *, is_patch: bool = False, margin: int = 0
    ) -> dict[str, np.ndarray]:
        """Degrades an image.

        Args:
            image: (H, W, C) uint8 or uint16, with sides that are multiples of ``scale``.
            rng: all random numbers are drawn from it.
            is_patch: it was cut out of a larger image, and JPEG's blocks may begin anywhere.
            margin: pixels on each side of ``image`` that are cut off after the steps, a multiple of ``scale``. H and W
                below are without them.

        Returns:
            ``input`` (H / scale, W / scale, C') of the image's dtype, or float32 if ``is_float``; with a mask, ``mask``
            (H / scale, W / scale, 1) uint8, 255 in the holes; if ``sharpens``, ``sharpened`` (H, W, C) of the image's
            dtype, a target.
        """
        made: dict[str, np.ndarray] = {}
        degraded = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
        if self.sharpens:
            degraded = sharpened(degraded)
            made["sharpened"] = rounded(without_margin(degraded, margin), image.dtype)
        for step in self.steps:
            degraded = step.on_patch(degraded, rng) if is_patch else step(degraded, rng)
        degraded = without_margin(degraded, margin // self.scale)
        degraded = np.ascontiguousarray(degraded if self.is_float else rounded(degraded, image.dtype))
        if self.mask is None:
            return {"input": degraded, **made}
        height, width = degraded.shape[:2]
        mask = self.mask.draw(height, width, rng)
        return {"input": without_hole(degraded, mask), "mask": mask, **made}


def read_steps(steps: Any, where: str) -> list[Any]:
    """The steps of a list, in which each is a name, or a mapping of one name to its options.

    Args:
        steps: such as ["gray", {"noise": 25}, {"blur": {"sigma": [0, 2]}}].
        where: the option, for messages.

    Raises:
        ValueError: an unknown step or option (the message suggests a similar one), or a wrong value.
    """
    if not isinstance(steps, (list, tuple)) or not steps:
        raise ValueError(f"{where} {steps}: must be a list of steps, such as '[{{noise: 25}}]'")
    made = []
    for step in steps:
        entry = {step: None} if isinstance(step, str) else step
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError(f"{where}: {step} is no step; write one as 'name: value' or 'name: {{option: value}}'")
        ((name, value),) = entry.items()
        made.append(read_step(name, value, f"{where}: {name}"))
    return made


def read_step(name: str, value: Any, where: str) -> Any:
    """A step from its name, and the value of its main option or a mapping of options. Raises as ``read_steps``."""
    if name not in STEPS:
        raise ValueError(f"{where}: no such step; {similar(name, list(STEPS))}")
    kind = STEPS[name]
    known = [field.name for field in fields(kind)]
    if value is None or value is True:
        options: Mapping[str, Any] = {}
    elif not known:
        raise ValueError(f"{where} {value}: has no options; write true")
    elif isinstance(value, Mapping):
        options = value
    elif isinstance(value, (int, float, str, list, tuple)):
        options = {kind.short: value}
    else:  # the parser's object for --data.noise.sigma 25
        raise ValueError(f"{where}: write its options as '{{option: value, ...}}'; it has {', '.join(known)}")
    for key in options:
        if key not in known:
            raise ValueError(f"{where}: unknown option {key}; {similar(str(key), known)}")
    try:
        return kind(**options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
