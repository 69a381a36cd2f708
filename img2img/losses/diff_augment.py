"""Augmentation of what discriminators see, real or fake, through which the generators' gradients pass.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", arXiv 2006.10738, Sec. 3; the strengths are
those of the authors' code (mit-han-lab/data-efficient-gans). All of it is drawn from torch's generator, so that a
step's are keyed by its seed. kornia's translations move by fractions of pixels, which blurs, and its colours are others
than the paper's; so they are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Augment:
    """Augments images (B, C, H, W) in [-1, 1] that lie above a condition; places off the image become 0, mid-gray.

    Args:
        policies: of color (brightness, saturation, contrast), translation and cutout.
    """

    def __init__(self, policies: Sequence[str]) -> None:
        self.colors = "color" in policies
        known: dict[str, Callable[[Tensor], Tensor]] = {"translation": translate, "cutout": cut_out}
        self.moves = [move for name, move in known.items() if name in policies]

    def __call__(self, seen: Sequence[Tensor], channels: Sequence[int]) -> list[Tensor]:
        """The same augmentation for all of ``seen``; colours change in their last ``channels`` channels alone."""
        out = list(seen)
        if self.colors:
            drawn = torch.rand(3, len(out[0]), 1, 1, 1, device=out[0].device)
            for i, (whole, count) in enumerate(zip(out, channels, strict=True)):
                condition, image = whole[:, :-count], whole[:, -count:]
                rgb, alpha = image[:, :3], image[:, 3:]
                out[i] = torch.cat([condition, recolor(rgb, *drawn), alpha], dim=1)  # (B, C_condition + C, H, W)
        if self.moves:
            sizes = [whole.shape[1] for whole in out]
            stacked = torch.cat(out, dim=1)  # all of one place move as one
            for move in self.moves:
                stacked = move(stacked)
            out = list(stacked.split(sizes, dim=1))
        return out


def recolor(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] brighter or darker by up to a half, their colours from none to the double around
    each pixel's gray, and their contrast from a half to one and a half around the image's mean.

    Args:
        x: the images; gray ones have no saturation.
        brightness, saturation, contrast: (B, 1, 1, 1) in [0, 1], one half for no change.
    """
    x = x + (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translate(x: Tensor, share: float = 1 / 8) -> Tensor:
    """Each image of (B, C, H, W) moved by whole pixels, up to ``share`` of its height and width; 0 comes in."""
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
    """0 in a rectangle of ``share`` of the height and width of each image of (B, C, H, W), around any of its pixels:
    it may hang over the edge, so that it takes 0.19 of the area in the mean.
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
