"""Resize, random crop and random flip, the same for all images and maps that belong together.

Isola et al., arXiv 1611.07004, Appendix 6.2: random jitter is a resize to 286x286 and a random crop back to 256x256;
mirroring is the flip. Enlarging is bicubic and shrinking averages areas; the reference code's PIL bicubic differs from
OpenCV's by under one gray level in the mean when it enlarges 256 to 286. The other ways are pix2pixHD's (arXiv
1711.11585, official code, ``resize_or_crop``). Maps of ids take the id of the nearest pixel, as PIL finds it: no id
comes out that did not go in.

albumentations would give every loader worker the same random stream, and the same one again in each epoch. Here the
stream of a sample is keyed by (seed, epoch, index), so neither workers nor a resumed run can change an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import albumentations as A
import cv2
import numpy as np

from img2img.data.options import DataConfig, Preprocess

BATCH = "a batch takes one size: set data.batch_size 1, or a data.preprocess that crops"


def keyed_seed(*key: int | str) -> int:
    """A 32-bit seed out of a key: the same key gives the same seed on every machine, near keys unrelated ones."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


class Jitter:
    """Images (H, W, C) and maps of ids -> (h, w, C), of one geometry for all that are given together.

    Args:
        load_size: side that an image is resized to first, in pixels; its width, where ``preprocess`` scales that.
        crop_size: side of the crop, in pixels; with resize_and_crop, load_size == crop_size keeps all of it.
        flip: whether half of the calls mirror left to right.
        preprocess: resize_and_crop, scale_width, scale_width_and_crop, crop, none: see DataConfig.
        stride: the sides of what scale_width and none leave are multiples of it.
        centre: crop in the middle instead of anywhere.
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
        self.known = {"image"}  # names of what it transforms

    def __call__(self, seed: int, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Images (H, W, C) and clips (T, H, W, C) of integers, and maps of ids (H, W) or (H, W, 1) int32, all of one
        height and width, in the same order and with one geometry; vectors stay as they are.

        A map comes back as (h, w, 1).
        """
        parts: dict[str, np.ndarray] = {}  # by albumentations' names: frames are images of their own
        names: dict[str, list[str]] = {}  # those of each array
        for key, array in arrays.items():
            if array.ndim > 1:
                kind = "mask" if array.dtype == np.int32 else "image"
                frames = list(array) if array.ndim == 4 else [array]
                names[key] = [f"{kind}{len(parts) + i}" for i in range(len(frames))]
                if kind == "image" and "image" not in parts:
                    names[key][0] = "image"
                parts |= zip(names[key], frames, strict=True)
        height, width = next(iter(parts.values())).shape[:2]
        if "image" not in parts:  # albumentations takes no maps alone
            parts["image"] = np.zeros((height, width, 1), np.uint8)
        if new := {name: name.rstrip("0123456789") for name in parts.keys() - self.known}:
            self.compose.add_targets(new)
            self.known |= new.keys()
        self.resize.height, self.resize.width = self.resized(height, width)
        self.compose.set_random_seed(seed)
        out = self.compose(**parts)

        def channels_last(name: str) -> np.ndarray:  # resizing drops the axis of a single channel
            return out[name][:, :, None] if out[name].ndim == 2 else out[name]

        found: dict[str, np.ndarray] = {}
        for key, array in arrays.items():
            if key not in names:
                found[key] = array
            elif array.ndim == 4:
                found[key] = np.stack([channels_last(name) for name in names[key]])  # (T, h, w, C)
            else:
                found[key] = channels_last(names[key][0])
        return found

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image before the crop."""
        if self.preprocess == "resize_and_crop":
            return self.load_size, self.load_size
        if self.preprocess == "scale_width":
            return self._multiple(self.load_size * height / width), self._multiple(self.load_size)
        if self.preprocess == "scale_width_and_crop":
            return max(1, round(self.load_size * height / width)), self.load_size
        return (height, width) if self.preprocess == "crop" else (self._multiple(height), self._multiple(width))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what comes of an image. Raises ValueError if it is too small for the crop."""
        resized = self.resized(height, width)
        if not self.crops:
            return resized
        if min(resized) < self.crop_size:
            if self.preprocess == "crop":
                raise ValueError(
                    f"{width}x{height} is too small for data.crop_size {self.crop_size}: "
                    "lower it, or let data.preprocess scale_width_and_crop enlarge images"
                )
            raise ValueError(
                f"{width}x{height}, scaled to {resized[1]}x{resized[0]}, is too small for data.crop_size "
                f"{self.crop_size}: lower it, or raise data.load_size"
            )
        return self.crop_size, self.crop_size

    def _multiple(self, side: float) -> int:
        return max(1, round(side / self.stride)) * self.stride


def jitter(config: DataConfig, augment: bool) -> Jitter:
    """The transform of a data set: as the options say, or without chance."""
    return Jitter(
        config.resized(augment),
        config.crop_size,
        flip=augment and config.flip,
        preprocess=config.preprocess,
        stride=config.stride,
        centre=not augment,
    )


class SizeCheck:
    """Called with each image of a set, ``check(file, height, width)``, before any is decoded.

    Args:
        transform: what is done to the images.
        one_size: why they must all become one size; without a reason they need not.

    Raises:
        ValueError: when called, an image is too small for the crop, or becomes another size than the first where
            ``one_size`` forbids it.
    """

    def __init__(self, transform: Jitter, one_size: str = "") -> None:
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
        """Raises ValueError, naming the image, if one of those seen becomes less than ``least`` pixels wide or high.

        Crops are checked by ``Model.check_size``, whatever the images are.
        """
        if self.smallest and min(self.smallest[1]) < least:
            path, (height, width) = self.smallest
            scaled = self.transform.preprocess == "scale_width"
            raise ValueError(
                f"{path} becomes {width}x{height}, but the networks need {least} pixels or more each way: "
                + ("raise data.load_size" if scaled else "let data.preprocess scale_width enlarge it")
                + ", or leave it out"
            )
