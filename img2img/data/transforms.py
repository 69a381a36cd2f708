"""Resize, random crop and random flip, the same for all pictures that belong together.

Isola et al., arXiv 1611.07004, Appendix 6.2: random jitter is a resize to 286x286 and a random crop back to 256x256;
mirroring is the flip. Enlarging is bicubic and shrinking averages areas; the reference code's PIL bicubic differs from
OpenCV's by under one gray level in the mean when it enlarges 256 to 286.

albumentations would give every loader worker the same random stream, and the same one again in each epoch. Here the
stream of a sample is keyed by (seed, epoch, index), so neither workers nor a resumed run can change a picture.
"""

from __future__ import annotations

import hashlib

import albumentations as A
import cv2
import numpy as np


def keyed_seed(*key: int | str) -> int:
    """A 32-bit seed out of a key: the same key gives the same seed on every machine, near keys unrelated ones."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


class Jitter:
    """Pictures (H, W, C) -> (crop_size, crop_size, C): of one geometry for all that are given together.

    Args:
        load_size: side that a picture is resized to first, in pixels.
        crop_size: side of the random crop, in pixels; load_size == crop_size keeps all of it.
        flip: whether half of the calls mirror left to right.
    """

    def __init__(self, load_size: int, crop_size: int, flip: bool) -> None:
        steps: list[A.BasicTransform] = [
            A.Resize(load_size, load_size, interpolation=cv2.INTER_CUBIC, area_for_downscale="image")
        ]
        if crop_size < load_size:
            steps.append(A.RandomCrop(crop_size, crop_size))
        if flip:
            steps.append(A.HorizontalFlip(p=0.5))
        self.compose = A.Compose(steps, additional_targets={"image1": "image"})

    def __call__(self, seed: int, *pictures: np.ndarray) -> list[np.ndarray]:
        """At most two pictures of one size."""
        names = ("image", "image1")[: len(pictures)]
        self.compose.set_random_seed(seed)
        out = self.compose(**dict(zip(names, pictures, strict=True)))
        # resizing drops the channel axis of a one-channel picture
        return [out[name][:, :, None] if out[name].ndim == 2 else out[name] for name in names]
