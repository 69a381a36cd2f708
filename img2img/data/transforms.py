"""Resize, random crop and random flip, the same for both pictures of a pair.

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


class PairTransform:
    """(A, B), each (H, W, C) -> (A, B), each (crop_size, crop_size, C): the same geometry for both.

    Args:
        load_size: side that a picture is resized to first, in pixels.
        crop_size: side of the random crop, in pixels; load_size == crop_size keeps all of it.
        flip: whether half of the pairs are mirrored left to right.
    """

    def __init__(self, load_size: int, crop_size: int, flip: bool) -> None:
        steps: list[A.BasicTransform] = [
            A.Resize(load_size, load_size, interpolation=cv2.INTER_CUBIC, area_for_downscale="image")
        ]
        if crop_size < load_size:
            steps.append(A.RandomCrop(crop_size, crop_size))
        if flip:
            steps.append(A.HorizontalFlip(p=0.5))
        self.compose = A.Compose(steps, additional_targets={"b": "image"})

    def __call__(self, a: np.ndarray, b: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        self.compose.set_random_seed(seed)
        out = self.compose(image=a, b=b)
        # resizing drops the channel axis of a one-channel picture
        a, b = (x[:, :, None] if x.ndim == 2 else x for x in (out["image"], out["b"]))
        return a, b
