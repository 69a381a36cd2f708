"""Reads, writes and converts images: arrays (H, W, C) uint8 or uint16 in RGB order, with 1, 3 or 4 channels, and
tensors (C, H, W) in [-1, 1].

OpenCV decodes and encodes. Pillow reads headers, which OpenCV cannot do: size, bit depth and alpha before decoding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
MAX_PIXELS = 200_000_000  # more is a mistake or an attack: a PNG file of 3 MB can need 8 GB when decoded
ORIENTATION = 0x0112  # EXIF tag
TITLE = 14  # height in pixels of the titles above a grid

# EXIF orientation -> function that makes the image upright
UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


class UnreadableImage(ValueError):
    """A file isn't an image or is damaged; the message begins with its path."""

    def __init__(self, message: str) -> None:
        super().__init__(message.encode("utf-8", "backslashreplace").decode())  # file names may not be UTF-8


@dataclass(frozen=True)
class Header:
    """What is known of an image before decoding it."""

    width: int  # in pixels, upright: after applying the EXIF orientation
    height: int
    depth: int  # bits per channel: 8 or 16
    alpha: bool
    gray: bool = False  # the file has no colour channels


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's name for the pixel format of an opened file, such as "RGB;16B"; "" after decoding."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def why_unreadable(error: Exception) -> str:
    """The reason of an error of Pillow or the system in one line, without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened file, 1 for upright."""
    # getexif() decodes a whole PNG to look for EXIF after the pixels, so call it only if the header has EXIF
    has_exif = "exif" in image.info or image.format == "TIFF"
    return image.getexif().get(ORIENTATION, 1) if has_exif else 1


def read_header(path: Path) -> Header:
    """Reads the header of an image file. Raises UnreadableImage if the file can't be used."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            raw = raw_mode(image)
            turned = orientation(image) >= 5
            alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
            mode = image.mode
            gray = mode in ("1", "L", "LA", "La") or mode.startswith("I")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: can't be read ({why_unreadable(error)})") from error
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"{path}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels; make it smaller"
        )
    if mode == "F" or (mode == "I" and "16" not in raw):
        raise UnreadableImage(f"{path}: 32 bits per channel; save it with 8 or 16")
    depth = 16 if mode.startswith("I") or "16" in raw else 8
    width, height = (height, width) if turned else (width, height)
    return Header(width, height, depth, alpha, gray)


def read_image(path: Path, channels: int) -> np.ndarray:
    """Decodes an image: (H, W, channels) uint8 or uint16 in RGB(A) order, upright according to its EXIF orientation.

    Args:
        path: the file.
        channels: 1, 3 or 4. Gray images are repeated for 3 channels. Colours become gray by ITU-R 601 luma. Images
            with alpha are composited on white, unless ``channels`` is 4; images without alpha then get an opaque one.

    Raises:
        UnreadableImage: the file is missing, empty, truncated or not an image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{path}: can't be read ({error.strerror})") from error
    jpeg = data[:2] == b"\xff\xd8"
    # OpenCV decodes a truncated JPEG without an error; the missing part is gray. Within coded data FF is always
    # followed by 00 or a restart marker, so a complete file has its end-of-image marker (FF D9) after its last scan
    # (FF DA).
    if jpeg and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage(f"{path}: truncated")
    alpha = not jpeg and read_header(path).alpha
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # the header claims more pixels than OpenCV allows
        raise UnreadableImage(f"{path}: can't be decoded as an image") from error
    if image is None:
        raise UnreadableImage(f"{path}: can't be decoded as an image")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{path}: {image.dtype} pixels; save it with 8 or 16 bits per channel")
    if alpha:  # IMREAD_UNCHANGED doesn't apply the orientation
        with Image.open(path) as header:
            upright = UPRIGHT.get(header.getexif().get(ORIENTATION, 1))
        image = upright(image) if upright else image
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(to_channels(image, channels))


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Converts (H, W) or (H, W, 1|3|4) to (H, W, channels) of the same dtype, as ``read_image`` describes.

    Raises:
        ValueError: the array has another shape.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image has shape {image.shape}: must be (H, W) or (H, W, C) with 1, 3 or 4 channels")
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0
    if image.shape[2] == 4 and channels != 4:
        alpha = image[:, :, 3:].astype(np.float32) / top
        over_white = image[:, :, :3] * alpha + top * (1 - alpha)
        image = (np.rint(over_white) if image.dtype.kind == "u" else over_white).astype(image.dtype)
    if image.shape[2] == 3 and channels == 1:
        luma = image @ np.array([0.299, 0.587, 0.114], np.float32)
        image = (np.rint(luma) if image.dtype.kind == "u" else luma).astype(image.dtype)[:, :, None]
    if image.shape[2] == 1 and channels > 1:
        image = np.repeat(image, 3, axis=2)
    if image.shape[2] == 3 and channels == 4:
        image = np.concatenate([image, np.full_like(image[:, :, :1], top)], axis=2)  # (H, W, 4)
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes (H, W, 1|3|4) in RGB(A) order: to a temporary file, which is renamed when complete.

    Args:
        path: the file; its suffix is the format.
        image: uint8 or uint16, or floats in [0, 1], which are written with 8 bits.

    Raises:
        ValueError: the file can't be written, or its suffix is not an image format.
    """
    image = image if image.dtype.kind == "u" else rounded(image, np.uint8)
    bgr = image[:, :, (2, 1, 0, 3)] if image.shape[2] == 4 else image[:, :, ::-1]
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(bgr))
    if not encoded:
        raise ValueError(f"{path}: {path.suffix} files can't be written; use .png or .jpg")
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data.tobytes())
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error


class Range(NamedTuple):
    """The pixel values that are mapped to -1 and to 1."""

    low: float
    high: float


def normalise(images: Tensor, values: Range | None = None) -> Tensor:
    """(..., H, W, C) uint8, uint16, or float in [0, 1] -> (..., C, H, W) float32 in [-1, 1].

    Called on the device, so that batches are copied there as bytes. ``values`` are mapped to -1 and 1 (unset: the range
    of the dtype).
    """
    if values is None:
        top = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(images.dtype, 1.0)
        return channels_first(images, torch.float32).mul_(2 / top).sub_(1)
    return channels_first(images, torch.float32).sub_(values.low).mul_(2 / (values.high - values.low)).sub_(1)


def as_input(value: Tensor, values: Range | None = None) -> Tensor:
    """Converts an array of a batch to a network's input.

    - Images and clips (..., H, W, C) uint8, uint16, or float in [0, 1] -> (..., C, H, W) float32 in [-1, 1], see
      ``normalise``. Floats outside [0, 1], such as noise that isn't clipped, are kept: they are outside [-1, 1].
    - Maps of ids (B, H, W, 1) int32 -> channels first, same values.
    - Tensors of less than four axes, such as vectors (B, N) and classes (B,), are returned as they are.
    """
    if value.ndim < 4:
        return value
    if value.dtype == torch.int32:
        return channels_first(value, value.dtype)
    return normalise(value, None if value.is_floating_point() else values)


def channels_first(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Copies (..., H, W, C) to a contiguous (..., C, H, W).

    With one channel, ``movedim`` alone gives strides that torch takes for channels_last. Its CPU convolutions are then
    less precise: errors of 3e-3 in outputs and 1e-2 in gradients.
    """
    return images.movedim(-1, -3).to(dtype, copy=True, memory_format=torch.contiguous_format)


def to_array(images: Tensor, dtype: np.dtype | type) -> np.ndarray:
    """(..., C, H, W) in [-1, 1] -> (..., H, W, C) of ``dtype``: rounded integers, or floats in [0, 1]; clamped."""
    unit = (images.detach().float().cpu() + 1).div_(2).clamp_(0, 1).movedim(-3, -1).numpy()
    kind = np.dtype(dtype)
    return np.rint(unit * np.iinfo(kind).max).astype(kind) if kind.kind == "u" else unit.astype(kind)


def padded_inputs(
    inputs: Mapping[str, np.ndarray], padded: Callable[[int], int], scale: int
) -> tuple[dict[str, np.ndarray], tuple[slice, slice]]:
    """Inputs of one size, padded by reflection to a size that a model takes.

    Args:
        inputs: by key; images (..., H, W, C), and vectors, which stay.
        padded: the side that the model takes instead of a given one, ``Model.padded``.
        scale: side of the output divided by the side of the input.

    Returns:
        The inputs, and the rows and columns of the output that belong to them without the padding.

    Raises:
        ValueError: the inputs differ in size.
    """
    height, width = next(iter(inputs.values())).shape[-3:-1]
    pad_height, pad_width = padded(height) - height, padded(width) - width
    top, left = pad_height // 2, pad_width // 2
    pad = [(top, pad_height - top), (left, pad_width - left), (0, 0)]
    result = dict(inputs)
    for key, array in inputs.items():
        if array.ndim < 3:
            continue
        if array.shape[-3:-1] != (height, width):
            size = f"{array.shape[-2]}x{array.shape[-3]}"
            raise ValueError(f"{key} is {size}, but the image {width}x{height}: both must have the same size")
        result[key] = np.pad(array, [(0, 0)] * (array.ndim - 3) + pad, mode="reflect")
    rows, columns = slice(top * scale, (top + height) * scale), slice(left * scale, (left + width) * scale)
    return result, (rows, columns)


def rounded(image: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Floats in [0, 1], clipped -> unsigned integers of ``dtype``."""
    return np.rint(image.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) -> (height, width, C) of the same dtype: area averaging to shrink, bicubic to enlarge."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if image.dtype.kind == "f":
        resized = resized.clip(0, 1)  # bicubic overshoots; integers saturate
    return resized.reshape(height, width, image.shape[2])  # OpenCV drops a single channel's axis


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), gap: int = 4, most: int = 512) -> np.ndarray:
    """Arranges rows of images (H, W, C) in a table on white: (H', W', 3) uint8.

    Args:
        rows: images by row and column. Columns are as wide as their widest image, rows as high as their highest.
        titles: of the columns, written above them and cut off if too long.
        gap: pixels between images.
        most: larger images are shrunk to this many pixels on their longer side.
    """
    cells = [[cell(image, most) for image in row] for row in rows]
    widths = [max(row[i].shape[1] for row in cells if i < len(row)) for i in range(max(map(len, cells)))]
    heights = [max(image.shape[0] for image in row) for row in cells]
    top = gap + (TITLE if titles else 0)
    height, width = top + sum(heights) + gap * len(heights), sum(widths) + gap * (len(widths) + 1)
    canvas = np.full((height, width, 3), 255, np.uint8)
    for i, title in enumerate(titles):
        left = gap + sum(widths[:i]) + gap * i
        canvas[gap : gap + TITLE, left : left + widths[i]] = _line(title, widths[i])
    for row, height in zip(cells, heights, strict=True):
        left = gap
        for image, width in zip(row, widths, strict=False):
            canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
            left += width + gap
        top += height + gap
    return canvas


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """An image (h, w, 3) uint8 with a line of text below it, cut off if too long."""
    return np.concatenate([image, _line(text, image.shape[1])])


def _line(text: str, width: int) -> np.ndarray:
    """(TITLE, width, 3) uint8, black on white."""
    canvas = np.full((TITLE, width, 3), 255, np.uint8)
    ascii_text = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    cv2.putText(canvas, ascii_text, (0, TITLE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def eight_bits(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8, uint16, or floats in [0, 1] -> (H, W, 3) uint8, gray as three equal channels."""
    if image.dtype.kind == "f":
        image = rounded(image, np.uint8)
    return to_channels((image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image, 3)


def luma_plane(image: np.ndarray) -> np.ndarray:
    """Y of MATLAB's ``rgb2ycbcr``, in which papers on restoration measure, of an image that is rounded to 8 bits.

    Y = 65.481 R + 128.553 G + 24.966 B + 16 for R, G, B in [0, 1] (ITU-R 601 with black 16 and white 235). A gray image
    is its own Y, as in SRCNN's scripts (arXiv 1501.00092). Alpha is composited on white.

    Args:
        image: (H, W, C) uint8 or uint16, or floats in [0, 1], which are clipped.

    Returns:
        (H, W, 1) float64, not rounded, in units of 8 bits.
    """
    image = to_channels(image, 3) if image.shape[2] == 4 else image
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    levels = np.rint((image / np.float64(top)).clip(0, 1) * 255)
    if image.shape[2] == 1:
        return levels
    return 16 + levels @ np.array([[65.481], [128.553], [24.966]]) / 255


def cell(image: np.ndarray, most: int = 512) -> np.ndarray:
    """An image prepared for a grid: (H, W, C) -> (h, w, 3) uint8, no side longer than ``most``."""
    scale = most / max(image.shape[:2])
    if scale < 1:
        image = resize(image, max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    return eight_bits(image)
