"""Maps of ids as networks see them, computed on the device: classes as one-hot channels, instances as boundaries.

Wang et al., arXiv 1711.11585, Sec. 3.3: "the instance boundary map": a pixel is 1 if its id differs from any of its
four neighbours', else 0. Official code: NVIDIA/pix2pixHD, ``encode_input`` and ``get_edges``. They stay booleans, a
quarter of the memory (at 2048x1024 Cityscapes' 36 channels take 72 MiB); ``torch.cat`` with an image makes floats.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def one_hot(label: Tensor, label_nc: int) -> Tensor:
    """Class ids (B, 1, H, W) -> (B, label_nc, H, W) bool; ids of no class are False in every channel."""
    classes = torch.arange(label_nc, dtype=label.dtype, device=label.device).view(1, -1, 1, 1)  # (1, label_nc, 1, 1)
    return label == classes


def colour_labels(label: Tensor) -> Tensor:
    """Class ids (B, 1, H, W) -> an image (B, 3, H, W) in [-1, 1] that tells them apart; ids of no class are black."""
    ids = label.float()
    hue = ids * 0.618034 % 1  # the golden section: near ids get distant hues
    value = torch.where(label % 2 == 0, 1.0, 0.65)
    channels = [(hue * 6 + shift) % 6 for shift in (5.0, 3.0, 1.0)]  # HSV to RGB, saturation 0.75
    rgb = torch.cat([value * (1 - 0.75 * torch.minimum(k, 4 - k).clamp(0, 1)) for k in channels], dim=1)
    return torch.where(label < 0, -1.0, rgb * 2 - 1)


def boundary_map(instances: Tensor) -> Tensor:
    """Instance ids (B, 1, H, W) -> (B, 1, H, W) bool: True on both sides of each boundary between two instances."""
    across = instances[..., :, 1:] != instances[..., :, :-1]  # (B, 1, H, W - 1)
    down = instances[..., 1:, :] != instances[..., :-1, :]  # (B, 1, H - 1, W)
    return (
        F.pad(across, (1, 0, 0, 0))
        | F.pad(across, (0, 1, 0, 0))
        | F.pad(down, (0, 0, 1, 0))
        | F.pad(down, (0, 0, 0, 1))
    )
