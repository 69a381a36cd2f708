"""Resize, random crop and random flip, with the same geometry for all images and maps of a sample.

Default: the random jitter of pix2pix (arXiv 1611.07004, Appendix 6.2), a resize to 286x286 and a random crop of
256x256, and mirroring. The other values of ``preprocess`` are those of pix2pixHD's official code (arXiv 1711.11585,
``resize_or_crop``). Enlarging is bicubic, shrinking averages areas; PIL's bicubic in the official code differs by less
than one gray level in the mean when enlarging 256 to 286. Maps of ids are resized to nearest pixels, as PIL does.

Random numbers are seeded by (seed, epoch, index), so a sample doesn't depend on the number of workers and is the same
in a resumed run. (albumentations alone would repeat one random stream in every worker and epoch.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import albumentations as A
import cv2
import numpy as np

from img2img.data.options import DataConfig, PatchConfig, Preprocess

BATCH = "the images of a batch must have the same size: set data.batch_size 1, or data.preprocess resize_and_crop"


def keyed_seed(*key: int | str) -> int:
    """Hashes a key to a 32-bit seed, the same on every machine; similar keys get unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


def patch_seed(seed: int, epoch: int, index: int, number: int = 0) -> int:
    """The seed of a sample; ``number`` counts the samples that are made of one image."""
    return keyed_seed(seed, epoch, index, number) if number else keyed_seed(seed, epoch, index)


class Jitter:
    """Resizes, crops and flips images (H, W, C) and maps of ids, with the same geometry for all of one call.

    Args:
        load_size: side to resize to, in pixels; the width with scale_width and scale_width_and_crop.
        crop_size: side of the crop, in pixels; with resize_and_crop, load_size == crop_size means no crop.
        flip: whether to flip horizontally with probability 0.5.
        preprocess: resize_and_crop, scale_width, scale_width_and_crop, crop or none: see DataConfig.
        stride: with scale_width and none, sides are rounded to multiples of this.
        centre: crop the centre instead of a random place.
    """

    def __init__(
        self,
        load_size: int,
        crop_size: int,
        flip: bool,
        preprocess: Preprocess = "resize_and_crop",
        stride: int = 1,
        centre: bool = False,
    ) -> None:
        self.load_size, self.crop_size, self.preprocess, self.stride = load_size, crop_size, preprocess, stride
        self.crops = preprocess.endswith("crop") and (preprocess != "resize_and_crop" or crop_size < load_size)
        self.resize = A.Resize(
            load_size,
            load_size,
            interpolation=cv2.INTER_CUBIC,
            mask_interpolation=cv2.INTER_NEAREST_EXACT,
            area_for_downscale="image",
        )
        steps: list[A.BasicTransform] = [self.resize]
        if self.crops:
            steps.append((A.CenterCrop if centre else A.RandomCrop)(crop_size, crop_size))
        if flip:
            steps.append(A.HorizontalFlip(p=0.5))
        self.compose = A.Compose(steps)
        self.known = {"image"}  # names of the arrays that ``compose`` knows

    def __call__(self, seed: int, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Transforms arrays of one height and width; the same seed gives the same crop and flip.

        Args:
            seed: of the random crop and flip.
            arrays: images (H, W, C) and clips (T, H, W, C) of uint8 or uint16, maps of ids (H, W) or (H, W, 1) int32,
                and vectors, which are returned as they are.

        Returns:
            The transformed arrays by their keys; maps are (h, w, 1).
        """
        parts: dict[str, np.ndarray] = {}  # arguments of albumentations, which sees frames as separate images
        names: dict[str, list[str]] = {}  # their names, by key of ``arrays``
        for key, array in arrays.items():
            if array.ndim > 1:
                kind = "mask" if array.dtype == np.int32 else "image"
                frames = list(array) if array.ndim == 4 else [array]
                names[key] = [f"{kind}{len(parts) + i}" for i in range(len(frames))]
                if kind == "image" and "image" not in parts:
                    names[key][0] = "image"
                parts |= zip(names[key], frames, strict=True)
        height, width = next(iter(parts.values())).shape[:2]
        if "image" not in parts:  # albumentations requires an image
            parts["image"] = np.zeros((height, width, 1), np.uint8)
        if new := {name: name.rstrip("0123456789") for name in parts.keys() - self.known}:
            self.compose.add_targets(new)
            self.known |= new.keys()
        self.resize.height, self.resize.width = self.resized(height, width)
        self.compose.set_random_seed(seed)
        out = self.compose(**parts)

        def channels_last(name: str) -> np.ndarray:  # resizing drops the axis of a single channel
            return out[name][:, :, None] if out[name].ndim == 2 else out[name]

        transformed: dict[str, np.ndarray] = {}
        for key, array in arrays.items():
            if key not in names:
                transformed[key] = array
            elif array.ndim == 4:
                transformed[key] = np.stack([channels_last(name) for name in names[key]])  # (T, h, w, C)
            else:
                transformed[key] = channels_last(names[key][0])
        return transformed

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image after resizing and before the crop."""
        if self.preprocess == "resize_and_crop":
            return self.load_size, self.load_size
        if self.preprocess == "scale_width":
            return self._multiple(self.load_size * height / width), self._multiple(self.load_size)
        if self.preprocess == "scale_width_and_crop":
            return max(1, round(self.load_size * height / width)), self.load_size
        return (height, width) if self.preprocess == "crop" else (self._multiple(height), self._multiple(width))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a transformed image. Raises ValueError if it is too small for the crop."""
        resized = self.resized(height, width)
        if not self.crops:
            return resized
        if min(resized) < self.crop_size:
            if self.preprocess == "crop":
                raise ValueError(
                    f"{width}x{height} is smaller than data.crop_size {self.crop_size}: "
                    "lower data.crop_size, or set data.preprocess scale_width_and_crop to enlarge images"
                )
            raise ValueError(
                f"{width}x{height}, resized to {resized[1]}x{resized[0]}, is smaller than data.crop_size "
                f"{self.crop_size}: lower data.crop_size or raise data.load_size"
            )
        return self.crop_size, self.crop_size

    def _multiple(self, side: float) -> int:
        return max(1, round(side / self.stride)) * self.stride


class Patch:
    """Cuts the same square out of all images of a sample, and mirrors and turns it. Nothing is resized.

    Images may differ in resolution: the sides of the others are the smallest one's, times an integer.

    Args:
        crop_size: side in pixels of the square of the largest image; 0 for whole images.
        multiple: sides of the largest image are cut to multiples of this many pixels, at the right and at the bottom.
        flip: mirror horizontally with probability 0.5.
        rotate: turn by a random multiple of 90 degrees.
        centre: cut out the centre, of smaller images all, instead of a random place.
        margin: pixels of the largest image that are cut out in addition on each side of the square, for steps that
            look beyond its borders; mirrored where the image ends. Places of the square don't depend on it.
    """

    preprocess: Preprocess = "crop"

    def __init__(
        self,
        crop_size: int,
        *,
        multiple: int = 1,
        flip: bool = False,
        rotate: bool = False,
        centre: bool = False,
        margin: int = 0,
    ) -> None:
        self.crop_size, self.multiple, self.margin = crop_size, multiple, margin
        self.flip, self.rotate, self.centre = flip, rotate, centre

    def __call__(self, seed: int, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Cuts arrays (H, W) or (H, W, C): (h, w, C) each, or (h, w, 1), with the margin. The same seed gives the same
        place."""
        rng = np.random.default_rng(seed)
        height, width = min(array.shape[:2] for array in arrays.values())
        factor = max(array.shape[0] for array in arrays.values()) // height
        rows, columns = (self._length(side * factor) // factor for side in (height, width))
        if self.centre:
            top, left = ((height - rows) // 2, (width - columns) // 2) if self.crop_size else (0, 0)
        else:
            top, left = (int(place) for place in rng.integers((height - rows + 1, width - columns + 1)))
        mirrored = self.flip and rng.random() < 0.5
        turns = int(rng.integers(4)) if self.rotate else 0

        def cut(array: np.ndarray) -> np.ndarray:
            size = array.shape[0] // height
            margin = self.margin // factor * size
            part = _part(array, top * size - margin, (top + rows) * size + margin, axis=0)
            part = _part(part, left * size - margin, (left + columns) * size + margin, axis=1)
            part = part[:, ::-1] if mirrored else part
            part = part[:, :, None] if part.ndim == 2 else part
            return np.ascontiguousarray(np.rot90(part, turns))

        return {key: cut(array) for key, array in arrays.items()}

    def _length(self, side: int) -> int:
        """Side of the cut of the largest image."""
        length = min(side, self.crop_size) if self.crop_size else side
        return length // self.multiple * self.multiple

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width), unchanged."""
        return height, width

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a cut of the largest image, without the margin. Raises ValueError if that is too small."""
        if min(height, width) < self.crop_size and not self.centre:
            raise ValueError(
                f"{width}x{height} is smaller than data.crop_size {self.crop_size}: lower data.crop_size or remove it"
            )
        if min(height, width) < self.multiple:
            raise ValueError(f"{width}x{height} is smaller than the scale {self.multiple}: remove it")
        return self._length(height), self._length(width)


def _part(array: np.ndarray, start: int, stop: int, axis: int) -> np.ndarray:
    """The pixels from ``start`` to ``stop`` along an axis. Beyond the borders they are mirrored."""
    length = array.shape[axis]
    inside = array[(slice(None),) * axis + (slice(max(0, start), min(length, stop)),)]
    beyond = (max(0, -start), max(0, stop - length))
    if not any(beyond):
        return inside
    return np.pad(inside, [beyond if each == axis else (0, 0) for each in range(array.ndim)], mode="reflect")


def without_margin(array: np.ndarray, margin: int) -> np.ndarray:
    """An array (H, W, C) without ``margin`` pixels on each side."""
    return array[margin : array.shape[0] - margin, margin : array.shape[1] - margin]


Transform = Jitter | Patch


def jitter(config: DataConfig, augment: bool, margin: int = 0) -> Transform:
    """The transform of a data set. Without ``augment`` it neither flips nor turns, and crops the centre.

    Args:
        config: the data options.
        augment: whether to crop and flip at random.
        margin: of a ``Patch``.
    """
    if isinstance(config, PatchConfig):
        return Patch(
            config.crop_size if augment else config.val_crop,
            multiple=config.scale or 1,
            flip=augment and config.flip,
            rotate=augment and config.rotate,
            centre=not augment,
            margin=margin,
        )
    return Jitter(
        config.resized(augment),
        config.crop_size,
        flip=augment and config.flip,
        preprocess=config.preprocess,
        stride=config.stride,
        centre=not augment,
    )


class SizeCheck:
    """Checks the sizes of a set's images from their headers: ``check(file, height, width)`` for each one.

    Args:
        transform: the transform of the images.
        one_size: if all transformed images must have the same size, the reason and advice for the error message.

    Raises:
        ValueError: when called: the image is too small for the crop, or its transformed size differs from the first
            one's although ``one_size`` is given.
    """

    def __init__(self, transform: Transform, one_size: str = "") -> None:
        self.transform, self.one_size = transform, one_size
        self.first: tuple[Path | str, tuple[int, int]] | None = None
        self.smallest: tuple[Path | str, tuple[int, int]] | None = None  # by its shorter side

    def __call__(self, path: Path | str, height: int, width: int) -> None:
        try:
            size = self.transform.size(height, width)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        self.first = self.first or (path, size)
        other, expected = self.first
        if self.one_size and size != expected:
            raise ValueError(
                f"{path} becomes {size[1]}x{size[0]} but {other} {expected[1]}x{expected[0]}: {self.one_size}"
            )
        if self.smallest is None or min(size) < min(self.smallest[1]):
            self.smallest = path, size

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if a transformed image has a side of less than ``least`` pixels.

        ``Model.check_size`` checks the size of crops, which doesn't depend on the images.
        """
        if self.smallest and min(self.smallest[1]) < least:
            path, (height, width) = self.smallest
            scaled = self.transform.preprocess == "scale_width"
            raise ValueError(
                f"{path} becomes {width}x{height}, but the networks need {least} pixels or more on each side: "
                + ("raise data.load_size" if scaled else "let data.preprocess scale_width enlarge it")
                + ", or remove it"
            )
