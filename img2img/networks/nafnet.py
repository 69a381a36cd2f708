"""NAFNet: "Simple Baselines for Image Restoration", Chen et al., arXiv 2204.04676, Sec. 4 and Fig. 2 to 4.

A U-Net of blocks without activation functions: layer norm over channels, convolutions, a gate that multiplies two
halves of the channels, and an attention over channels without nonlinearity. Halvings are 2x2 convolutions, doublings
pixel shuffles, and skips are added. Official code: megvii-research/NAFNet. Where we differ: with ``scale`` the last
convolution makes scale^2 times the channels, which a pixel shuffle turns into a larger image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NAFNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W), unbounded; H, W are multiples of ``stride``.

    Args:
        in_channels, out_channels: channels of the images.
        width: feature maps of the first layer; they double at each halving.
        encoder: number of blocks before each halving.
        middle: number of blocks at the lowest resolution.
        decoder: number of blocks after each doubling, as many entries as ``encoder``.
        scale: side of the output divided by the side of the input.

    Raises:
        ValueError: ``encoder`` and ``decoder`` differ in length.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 32,
        encoder: Sequence[int] = (2, 2, 4, 8),
        middle: int = 12,
        decoder: Sequence[int] = (2, 2, 2, 2),
        scale: int = 1,
    ) -> None:
        super().__init__()
        if len(encoder) != len(decoder):
            raise ValueError(f"encoder {list(encoder)} and decoder {list(decoder)}: give as many entries to both")
        self.stride = self.smallest_input = 2 ** len(encoder)
        widths = [width * 2**level for level in range(len(encoder) + 1)]
        self.intro = nn.Conv2d(in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(blocks(wide, count) for wide, count in zip(widths, encoder, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(wide, 2 * wide, 2, stride=2) for wide in widths[:-1])
        self.middle = blocks(widths[-1], middle)
        self.ups = nn.ModuleList(double(2 * wide) for wide in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(blocks(wide, count) for wide, count in zip(widths[-2::-1], decoder, strict=True))
        self.ending = nn.Sequential(nn.Conv2d(width, out_channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.intro(x), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        return self.ending(x)


def blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` blocks in a row; the identity if there are none."""
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))


def double(channels: int) -> nn.Sequential:
    """(B, channels, H, W) -> (B, channels / 2, 2 H, 2 W)."""
    return nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, bias=False), nn.PixelShuffle(2))


class NAFBlock(nn.Module):
    """(B, channels, H, W) -> (B, channels, H, W); at the beginning the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)  # each channel by itself
        self.attention = nn.Conv2d(channels, channels, 1)  # of the channels' means
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = LayerNorm(channels)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        y = y * self.attention(y.mean((2, 3), keepdim=True))
        x = x + self.beta * self.conv3(y)
        return x + self.gamma * self.conv5(gate(self.conv4(self.norm2(x))))


def gate(x: Tensor) -> Tensor:
    """The product of the two halves of the channels: (B, 2 C, H, W) -> (B, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second


class LayerNorm(nn.Module):
    """Layer norm over the channels of each pixel, (B, C, H, W) -> (B, C, H, W), with a scale and a shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = self.weight.shape
        return F.layer_norm(x.permute(0, 2, 3, 1), shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)
