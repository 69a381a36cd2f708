"""Inception-v3 of FID and the Inception Score: the TensorFlow graph of 2015-12-05.

Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500 (FID); Salimans et al., arXiv 1606.03498 (IS).
Scores are comparable with published ones only with this network. It differs from torchvision's Inception-v3:

- average pooling in the blocks excludes the padding,
- the last block has max pooling instead,
- images are resized as in TensorFlow 1: bilinear, corners aligned at the upper left, without antialiasing,
- it has 1008 classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import Inception3, InceptionA, InceptionC, InceptionE

SIDE = 299


class _Average(nn.Module):
    """Replaces the pooling in a block's last branch by an average that excludes the padding."""

    branch_pool: nn.Module

    def pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def _forward(self, x: Tensor) -> list[Tensor]:
        *branches, _ = super()._forward(x)  # type: ignore[misc]
        return [*branches, self.branch_pool(self.pool(x))]


class _A(_Average, InceptionA):
    pass


class _C(_Average, InceptionC):
    pass


class _E(_Average, InceptionE):
    pass


class _MaxE(_E):
    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=1, padding=1)


class FIDInception(Inception3):
    """(B, 3, H, W) uint8 -> features (B, 2048) and logits (B, 1008), without bias as in the official code of IS."""

    def __init__(self) -> None:
        super().__init__(num_classes=1008, aux_logits=False, init_weights=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6b, self.Mixed_6c = _C(768, 128), _C(768, 160)
        self.Mixed_6d, self.Mixed_6e = _C(768, 160), _C(768, 192)
        self.Mixed_7b, self.Mixed_7c = _E(1280), _MaxE(2048)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = (resize_as_tensorflow(images.float(), SIDE) - 128) / 128  # (B, 3, 299, 299) in [-1, 1)
        for name, layer in self.named_children():  # in the order of the forward pass
            if name != "fc":
                x = layer(x)
        features = x.flatten(1)  # (B, 2048)
        return features, F.linear(features, self.fc.weight)


def resize_as_tensorflow(images: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), bilinear as in ``tf.image.resize_bilinear`` of TensorFlow 1.

    Pixel i of the output is sampled at i * H / side, without the half-pixel shift that aligns centres.
    """
    for axis in (-2, -1):
        length = images.shape[axis]
        position = torch.arange(side, device=images.device, dtype=torch.float32) * (length / side)
        first = position.long()
        weight = position - first
        weight = weight[:, None] if axis == -2 else weight
        low, high = images.index_select(axis, first), images.index_select(axis, (first + 1).clamp(max=length - 1))
        images = low + (high - low) * weight
    return images
