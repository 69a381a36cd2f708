"""The image pool: discriminators also see what the generators made some time ago, so that they forget none of it.

Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", arXiv 1612.07828,
Sec. 2.3, as CycleGAN has it (arXiv 1703.10593, Sec. 4 and the authors' code).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to ``capacity`` generated images; 0 keeps none and hands every image through.

    While it fills, it stores and returns what comes. Full, it tosses a coin for each image: on heads the image passes,
    on tails a stored one leaves in its place. The coins are torch's own on the CPU, which the training step seeds.
    Every process has a pool of its own.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.images: Tensor | None = None  # (up to capacity, C, H, W)
        self.count = 0

    def __call__(self, fresh: Tensor) -> Tensor:
        """(B, C, H, W), detached -> as many images, each fresh or stored earlier."""
        if not self.capacity:
            return fresh
        if self.images is None or self.images.shape[1:] != fresh.shape[1:]:  # a resumed run may scale otherwise
            self.images, self.count = fresh.new_empty(self.capacity, *fresh.shape[1:]), 0
        elif self.images.device != fresh.device or self.images.dtype != fresh.dtype:  # just restored
            self.images = self.images.to(fresh)
        shown = fresh.clone()
        for i, image in enumerate(fresh):
            if self.count < self.capacity:
                self.images[self.count] = image
                self.count += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.capacity, ()))
                shown[i] = self.images[place]
                self.images[place] = image
        return shown

    def state(self) -> dict[str, Any]:
        """The stored images, on the CPU."""
        # a copy: saving a part of a tensor saves the memory of all of it
        return {"pictures": None if self.images is None else self.images[: self.count].to("cpu", copy=True)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` of a pool of this capacity returned."""
        stored = state["pictures"]
        if stored is None:
            self.images, self.count = None, 0
            return
        self.count = len(stored)
        self.images = stored.new_empty(self.capacity, *stored.shape[1:])
        self.images[: self.count] = stored
