"""DiffAugment: differentiable augmentation of real and fake images before the discriminators.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738, Sec. 3. The strengths are
those of the official code, mit-han-lab/data-efficient-gans. All random numbers come from torch's global generator,
which the training step seeds. kornia is not used: it translates by fractions of pixels, which blurs, and its colour
changes differ from the paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Augment:
    """Augments images in [-1, 1], each concatenated to its condition. Pixels from outside the image are 0 (mid-gray).

    Args:
        policies: any of "color" (brightness, saturation, contrast), "translation" and "cutout".
    """

    def __init__(self, policies: Sequence[str]) -> None:
        self.colors = "color" in policies
        known: dict[str, Callable[[Tensor], Tensor]] = {"translation": translate, "cutout": cut_out}
        self.moves = [move for name, move in known.items() if name in policies]

    def __call__(self, inputs: Sequence[Tensor], channels: Sequence[int]) -> list[Tensor]:
        """Augments all inputs in the same way.

        Args:
            inputs: (B, C_condition + C, H, W) each, of one size.
            channels: C of each input: color changes only these last channels. The condition is moved and cut as well.
        """
        out = list(inputs)
        if self.colors:
            drawn = torch.rand(3, len(out[0]), 1, 1, 1, device=out[0].device)
            for i, (x, count) in enumerate(zip(out, channels, strict=True)):
                condition, image = x[:, :-count], x[:, -count:]
                rgb, alpha = image[:, :3], image[:, 3:]
                out[i] = torch.cat([condition, recolor(rgb, *drawn), alpha], dim=1)  # (B, C_condition + C, H, W)
        if self.moves:
            sizes = [x.shape[1] for x in out]
            stacked = torch.cat(out, dim=1)  # so that all are moved by the same distance
            for move in self.moves:
                stacked = move(stacked)
            out = list(stacked.split(sizes, dim=1))
        return out


def recolor(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Changes brightness by up to +-0.5, multiplies saturation by 0 to 2, and contrast by 0.5 to 1.5.

    Args:
        x: images (B, C, H, W) in [-1, 1]. The saturation of gray images (C = 1) does not change.
        brightness, saturation, contrast: (B, 1, 1, 1) in [0, 1]; 0.5 changes nothing.
    """
    x = x + (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translate(x: Tensor, share: float = 1 / 8) -> Tensor:
    """Shifts each image of (B, C, H, W) by whole pixels, up to ``share`` of its height and width; fills with 0."""
    b, _, height, width = x.shape
    for dim, side in ((2, height), (3, width)):
        reach = int(side * share + 0.5)
        shift = torch.randint(-reach, reach + 1, (b, 1), device=x.device)
        source = torch.arange(side, device=x.device) - shift  # (B, side): where each row or column comes from
        shape = (b, 1, side, 1) if dim == 2 else (b, 1, 1, side)
        inside = ((source >= 0) & (source < side)).view(shape)
        x = x.gather(dim, (source % side).view(shape).expand(x.shape)) * inside
    return x


def cut_out(x: Tensor, share: float = 1 / 2) -> Tensor:
    """Sets a random rectangle of each image of (B, C, H, W) to 0.

    It has ``share`` of the image's height and width. Its centre may be any pixel, so that a part of it may lie outside;
    on average 0.19 of the image's area is cut out.
    """
    b, _, height, width = x.shape
    within = []
    for side in (height, width):
        length = int(side * share + 0.5)
        first = torch.randint(0, side + 1 - length % 2, (b, 1), device=x.device) - length // 2
        place = torch.arange(side, device=x.device)
        within.append((place >= first) & (place < first + length))  # (B, side)
    hole = within[0].view(b, 1, height, 1) & within[1].view(b, 1, 1, width)
    return x * ~hole
