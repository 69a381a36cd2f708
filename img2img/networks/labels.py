"""Converts label and instance maps to network inputs, on the device: one-hot classes and instance boundaries.

Wang et al., arXiv 1711.11585, Sec. 3.3: in the instance boundary map a pixel is 1 if its id differs from that of any of
its four neighbours, else 0. Official code: NVIDIA/pix2pixHD, ``encode_input`` and ``get_edges``. The results are bool,
a quarter of float's memory (36 channels of 2048x1024 pixels take 72 MiB); ``torch.cat`` with an image converts them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def one_hot(label: Tensor, label_nc: int) -> Tensor:
    """Class ids (B, 1, H, W) -> (B, label_nc, H, W) bool; all channels are False for ids outside [0, label_nc)."""
    classes = torch.arange(label_nc, dtype=label.dtype, device=label.device).view(1, -1, 1, 1)  # (1, label_nc, 1, 1)
    return label == classes


def colour_labels(label: Tensor) -> Tensor:
    """Class ids (B, 1, H, W) -> (B, 3, H, W) in [-1, 1], a distinct colour for each id; negative ids are black."""
    ids = label.float()
    hue = ids * 0.618034 % 1  # golden ratio: consecutive ids get distant hues
    value = torch.where(label % 2 == 0, 1.0, 0.65)
    channels = [(hue * 6 + shift) % 6 for shift in (5.0, 3.0, 1.0)]  # HSV to RGB, saturation 0.75
    rgb = torch.cat([value * (1 - 0.75 * torch.minimum(k, 4 - k).clamp(0, 1)) for k in channels], dim=1)
    return torch.where(label < 0, -1.0, rgb * 2 - 1)


def boundary_map(instances: Tensor) -> Tensor:
    """Instance ids (B, 1, H, W) -> (B, 1, H, W) bool: True on both sides of the boundary between two instances."""
    across = instances[..., :, 1:] != instances[..., :, :-1]  # (B, 1, H, W - 1)
    down = instances[..., 1:, :] != instances[..., :-1, :]  # (B, 1, H - 1, W)
    return (
        F.pad(across, (1, 0, 0, 0))
        | F.pad(across, (0, 1, 0, 0))
        | F.pad(down, (0, 0, 1, 0))
        | F.pad(down, (0, 0, 0, 1))
    )
