"""``ImagePool``: a buffer of generated images, so that discriminators are also trained on earlier fakes.

Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", arXiv 1612.07828,
Sec. 2.3; implemented as in CycleGAN (arXiv 1703.10593, Sec. 4, and its official code).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """A buffer of up to ``capacity`` generated images; with 0 it returns every image unchanged.

    Until it is full, it stores and returns each new image. Then, for each new image, with probability 0.5 it returns
    that image; otherwise it returns a stored image and stores the new one in its place. Random numbers come from
    torch's CPU generator, which the training step seeds. Every process has its own pools.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.images: Tensor | None = None  # (up to capacity, C, H, W)
        self.count = 0

    def __call__(self, fresh: Tensor) -> Tensor:
        """Detached fakes (B, C, H, W) -> (B, C, H, W), each image new or a stored one."""
        if not self.capacity:
            return fresh
        if self.images is None or self.images.shape[1:] != fresh.shape[1:]:  # a resumed run may have another image size
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
        """State for a checkpoint: the stored images, on the CPU."""
        # a copy, because saving a view saves its whole tensor
        return {"pictures": None if self.images is None else self.images[: self.count].to("cpu", copy=True)}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what ``state`` returned, for a pool of the same capacity."""
        stored = state["pictures"]
        if stored is None:
            self.images, self.count = None, 0
            return
        self.count = len(stored)
        self.images = stored.new_empty(self.capacity, *stored.shape[1:])
        self.images[: self.count] = stored
