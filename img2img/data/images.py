"""Image files and arrays: (H, W, C) uint8 or uint16, RGB order, C of 1, 3 or 4; and tensors: (C, H, W) in [-1, 1].

OpenCV decodes and encodes; Pillow reads headers, which OpenCV cannot, and so tells depth, alpha and size before any
pixel is decoded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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
MAX_PIXELS = 200_000_000  # a larger header is a mistake or an attack: a 3 MB PNG can ask for 8 GB
ORIENTATION = 0x0112  # EXIF tag
TITLE = 14  # height in pixels of the line of titles above a grid

# EXIF orientation -> what makes the image upright
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
    """A file that is no image, or a damaged one; the message begins with its path."""

    def __init__(self, message: str) -> None:
        super().__init__(message.encode("utf-8", "backslashreplace").decode())  # names may be of any bytes


@dataclass(frozen=True)
class Header:
    """What a file says of its image before decoding: upright size in pixels, bits a channel (8, 16), alpha or not."""

    width: int
    height: int
    depth: int
    alpha: bool


def raw_mode(image: ImageFile.ImageFile) -> str:
    """How an opened file lays out its pixels, "RGB;16B" for one, as Pillow names it; "" once they are decoded."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def why_unreadable(error: Exception) -> str:
    """What Pillow or the system says is wrong with a file, in a line without the file's name."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened file, 1 for upright."""
    # Asked for nothing, getexif() would decode a whole PNG to look; a TIFF's own tags are at hand
    has_exif = "exif" in image.info or image.format == "TIFF"
    return image.getexif().get(ORIENTATION, 1) if has_exif else 1


def read_header(path: Path) -> Header:
    """The header of an image file. Raises UnreadableImage when there is none that can be used."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            raw = raw_mode(image)
            turned = orientation(image) >= 5
            alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
            mode = image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: can't be read ({why_unreadable(error)})") from error
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{path}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels")
    if mode == "F" or (mode == "I" and "16" not in raw):
        raise UnreadableImage(f"{path}: 32 bits a channel; save it with 8 or 16")
    depth = 16 if mode.startswith("I") or "16" in raw else 8
    return Header(height, width, depth, alpha) if turned else Header(width, height, depth, alpha)


def read_image(path: Path, channels: int) -> np.ndarray:
    """Decodes an image: (H, W, channels) uint8 or uint16 in RGB(A) order, upright by its EXIF orientation.

    Gray becomes colour by repetition and colour gray by luma (ITU-R 601); alpha goes onto white, unless ``channels``
    is 4, which gives an opaque alpha to images that have none.

    Raises:
        UnreadableImage: the file is missing, empty, truncated or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{path}: can't be read ({error.strerror})") from error
    jpeg = data[:2] == b"\xff\xd8"
    # OpenCV decodes a truncated JPEG to a half-gray image without a word. Within coded data FF is always followed by
    # 00 or a restart marker, so a complete file has its end-of-image marker (FF D9) after its last scan (FF DA).
    if jpeg and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage(f"{path}: truncated")
    alpha = not jpeg and read_header(path).alpha
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # a header that asks for more pixels than OpenCV takes
        raise UnreadableImage(f"{path}: can't be decoded as an image") from error
    if image is None:
        raise UnreadableImage(f"{path}: can't be decoded as an image")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{path}: {image.dtype} pixels; save it with 8 or 16 bits a channel")
    if alpha:  # IMREAD_UNCHANGED leaves the orientation alone
        with Image.open(path) as header:
            upright = UPRIGHT.get(header.getexif().get(ORIENTATION, 1))
        image = upright(image) if upright else image
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(to_channels(image, channels))


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(H, W) or (H, W, 1|3|4) -> (H, W, channels), as ``read_image`` describes; the dtype stays.

    Raises:
        ValueError: an array of another shape.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image of shape {image.shape}: give (H, W) or (H, W, C) with 1, 3 or 4 channels")
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
    """Writes (H, W, 1|3|4) uint8 or uint16 in RGB(A) order, aside first, so that no half image is left.

    Raises:
        ValueError: the folder can't be written, or the suffix is no image format.
    """
    bgr = image[:, :, (2, 1, 0, 3)] if image.shape[2] == 4 else image[:, :, ::-1]
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(bgr))
    if not encoded:
        raise ValueError(f"{path}: OpenCV can't write {path.suffix} files")
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
    """The values of an image that stand for -1 and for 1."""

    low: float
    high: float


def normalise(images: Tensor, values: Range | None = None) -> Tensor:
    """(..., H, W, C) uint8, uint16, or float in [0, 1] -> (..., C, H, W) float32 in [-1, 1].

    Images travel as the bytes that they are, and become floats where the arithmetic is cheap: on the device. Without
    ``values`` the ends of the type are -1 and 1.
    """
    if values is None:
        top = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(images.dtype, 1.0)
        return channels_first(images, torch.float32).mul_(2 / top).sub_(1)
    return channels_first(images, torch.float32).sub_(values.low).mul_(2 / (values.high - values.low)).sub_(1)


def as_input(value: Tensor, values: Range | None = None) -> Tensor:
    """What a network sees of a batch's array: images and clips (..., H, W, C) of integers become (..., C, H, W) in
    [-1, 1], maps of ids (int32) and floats, which are normalised already, are moved alone; what has less than four
    axes, such as vectors (B, N) and classes (B,), stays.
    """
    if value.ndim < 4:
        return value
    if value.dtype in (torch.int32, torch.float32):
        return channels_first(value, value.dtype)
    return normalise(value, values)


def channels_first(images: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of (..., H, W, C) as (..., C, H, W) with the strides of that order.

    ``movedim`` alone leaves one channel with strides that are contiguous in both orders, which torch takes for
    channels_last; on the CPU its convolutions then lose digits: 3e-3 of an answer, 1e-2 of a gradient.
    """
    return images.movedim(-1, -3).to(dtype, copy=True, memory_format=torch.contiguous_format)


def to_array(images: Tensor, dtype: np.dtype | type) -> np.ndarray:
    """(..., C, H, W) in [-1, 1] -> (..., H, W, C) of ``dtype``: rounded integers, or floats in [0, 1]."""
    unit = (images.detach().float().cpu() + 1).div_(2).clamp_(0, 1).movedim(-3, -1).numpy()
    kind = np.dtype(dtype)
    return np.rint(unit * np.iinfo(kind).max).astype(kind) if kind.kind == "u" else unit.astype(kind)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) -> (height, width, C), the dtype stays: averages areas to shrink, bicubic to enlarge."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if image.dtype.kind == "f":
        resized = resized.clip(0, 1)  # bicubic overshoots; integers saturate
    return resized.reshape(height, width, image.shape[2])  # OpenCV drops a single channel's axis


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), gap: int = 4, most: int = 512) -> np.ndarray:
    """Lays images (H, W, C) out as a table on white: (rows, columns) -> (H', W', 3) uint8.

    Every column is as wide as its widest image, every row as high as its highest; images with a side of over
    ``most`` pixels are shrunk. The columns' titles stand in a line above them, cut off where they are too long.
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
    """An image (h, w, 3) uint8 with a line of text below it, cut off where it is too long."""
    return np.concatenate([image, _line(text, image.shape[1])])


def _line(text: str, width: int) -> np.ndarray:
    """(TITLE, width, 3) uint8, black on white."""
    place = np.full((TITLE, width, 3), 255, np.uint8)
    plain = text.encode("ascii", "replace").decode()  # all that OpenCV's letters have
    cv2.putText(place, plain, (0, TITLE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return place


def eight_bits(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 or uint16 -> (H, W, 3) uint8, gray as three equal channels."""
    return to_channels((image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image, 3)


def cell(image: np.ndarray, most: int = 512) -> np.ndarray:
    """An image as a grid shows it: (H, W, C) uint8 or uint16 -> (h, w, 3) uint8, no side longer than ``most``."""
    scale = most / max(image.shape[:2])
    if scale < 1:
        image = resize(image, max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    return eight_bits(image)
