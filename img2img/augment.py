"""Augmentation of what discriminators see, real or fake, through which the generators' gradients pass.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738, Sec. 3 and Table 1's
policies with their strengths (Appendix A). By kornia, whose augmentations are differentiable and drawn from torch's
generator, so that a step's are keyed by its seed.
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
        policies: of color (brightness by up to a half, contrast by up to a half, saturation up to the double),
            translation (up to an eighth of each side) and cutout (a square of a quarter of the area, at most).
    """

    def __init__(self, policies: Sequence[str]) -> None:
        self.colors: list[Any] = []
        if "color" in policies:
            self.colors = [
                K.RandomSaturation((0.0, 2.0), p=1.0),
                K.RandomContrast((0.5, 1.5), clip_output=False, p=1.0),
                K.RandomBrightness((0.5, 1.5), clip_output=False, p=1.0),
            ]
        self.moves: list[Any] = []
        if "translation" in policies:
            self.moves.append(K.RandomTranslate((-1 / 8, 1 / 8), (-1 / 8, 1 / 8), p=1.0))
        if "cutout" in policies:
            self.moves.append(K.RandomErasing((1 / 4, 1 / 4), (1.0, 1.0), p=1.0))

    def __call__(self, seen: Sequence[Tensor], channels: Sequence[int]) -> list[Tensor]:
        """The same augmentation for all of ``seen``; colours change in their last ``channels`` channels alone."""
        out = []
        drawn: list[Any] = [None] * len(self.colors)
        for whole, count in zip(seen, channels, strict=True):
            condition, picture = whole[:, :-count], whole[:, -count:].float()
            rgb, alpha = picture[:, :3], picture[:, 3:]
            rgb = (rgb + 1) / 2
            for i, color in enumerate(self.colors):
                if i == 0 and rgb.shape[1] == 1:
                    continue  # gray has no saturation
                three = rgb.expand(-1, 3, -1, -1)
                rgb = (color(three) if drawn[i] is None else color(three, params=drawn[i]))[:, : rgb.shape[1]]
                drawn[i] = color._params
            out.append(torch.cat([condition, rgb * 2 - 1, alpha], dim=1))  # (B, C_condition + C, H, W)
        if self.moves:
            sizes = [whole.shape[1] for whole in out]
            stacked = torch.cat(out, dim=1)  # all of one place move as one
            for move in self.moves:
                stacked = move(stacked)
            out = list(stacked.split(sizes, dim=1))
        return out
