"""Augmentation of what discriminators see, real or fake, through which the generators' gradients pass.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738, Sec. 3; the strengths are
those of the authors' code (mit-han-lab/data-efficient-gans). What moves pictures is kornia's, differentiable and drawn
from torch's generator, so that a step's are keyed by its seed; its colours are others than the paper's, which are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor


class Augment:
    """Augments pictures (B, C, H, W) in [-1, 1] that lie above a condition; places off the picture become 0, mid-gray.

    Args:
        policies: of color (brightness, saturation, contrast), translation (up to an eighth of each side) and cutout (a
            square of a quarter of the area).
    """

    def __init__(self, policies: Sequence[str]) -> None:
        self.colors = "color" in policies
        self.moves: list[Any] = []
        if "translation" in policies:
            self.moves.append(K.RandomTranslate((-1 / 8, 1 / 8), (-1 / 8, 1 / 8), p=1.0))
        if "cutout" in policies:
            self.moves.append(K.RandomErasing((1 / 4, 1 / 4), (1.0, 1.0), p=1.0))

    def __call__(self, seen: Sequence[Tensor], channels: Sequence[int]) -> list[Tensor]:
        """The same augmentation for all of ``seen``; colours change in their last ``channels`` channels alone."""
        out = list(seen)
        if self.colors:
            drawn = torch.rand(3, len(out[0]), 1, 1, 1, device=out[0].device)
            for i, (whole, count) in enumerate(zip(out, channels, strict=True)):
                condition, picture = whole[:, :-count], whole[:, -count:]
                rgb, alpha = picture[:, :3], picture[:, 3:]
                out[i] = torch.cat([condition, recolor(rgb, *drawn), alpha], dim=1)  # (B, C_condition + C, H, W)
        if self.moves:
            sizes = [whole.shape[1] for whole in out]
            stacked = torch.cat(out, dim=1)  # all of one place move as one
            for move in self.moves:
                stacked = move(stacked)
            out = list(stacked.split(sizes, dim=1))
        return out


def recolor(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Pictures (B, C, H, W) in [-1, 1] brighter or darker by up to a half, their colours from none to the double around
    each pixel's gray, and their contrast from a half to one and a half around the picture's mean.

    Args:
        x: the pictures; gray ones have no saturation.
        brightness, saturation, contrast: (B, 1, 1, 1) in [0, 1], one half for no change.
    """
    x = x + (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)
