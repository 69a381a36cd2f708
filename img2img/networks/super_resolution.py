"""Generators of super-resolution: SRResNet, MSRResNet, RRDBNet and Real-ESRGAN's compact network.

- SRResNet: "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", Ledig et al., arXiv
  1609.04802, Fig. 4.
- MSRResNet: SRResNet without batch norm, added to the enlarged input. Official code: XPixelGroup/BasicSR.
- RRDBNet: "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", Wang et al., arXiv 1809.00219, Fig. 3
  and 4. Official code: xinntao/ESRGAN and XPixelGroup/BasicSR. For scales 1 and 2: "Real-ESRGAN: Training Real-World
  Blind Super-Resolution with Pure Synthetic Data", Wang et al., arXiv 2107.10833, Sec. 3.3.
- CompactNet: SRVGGNetCompact of the official code xinntao/Real-ESRGAN; it is in no paper.

Images are in [0, 1], as in the official code. Networks with official code have its state-dict names. Where we differ:
SRResNet, whose paper enlarges 4 times, also takes the scales 1, 2, 3 and 8.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FACTORS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # of one pixel shuffle each


class SRResNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W), about [0, 1]; any H and W.

    Args:
        in_channels, out_channels: channels of the images.
        scale: 1, 2, 3, 4 or 8.
        width: feature maps.
        n_blocks: number of residual blocks.

    Raises:
        ValueError: another scale.
    """

    stride = smallest_input = 1

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, width: int = 64, n_blocks: int = 16) -> None:
        super().__init__()
        check_scale(scale, FACTORS, "srresnet")
        self.conv_first, self.act_first = nn.Conv2d(in_channels, width, 9, padding=4), nn.PReLU()
        self.body = nn.Sequential(*(NormalisedBlock(width) for _ in range(n_blocks)))
        self.conv_body, self.norm_body = conv3(width, width, bias=False), nn.BatchNorm2d(width)
        self.upsampling = nn.Sequential(
            *(nn.Sequential(conv3(width, width * r * r), nn.PixelShuffle(r), nn.PReLU()) for r in FACTORS[scale])
        )
        self.conv_last = nn.Conv2d(width, out_channels, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act_first(self.conv_first(x))
        x = first + self.norm_body(self.conv_body(self.body(first)))
        return self.conv_last(self.upsampling(x))


class NormalisedBlock(nn.Module):
    """SRResNet's residual block: convolution, batch norm, PReLU, convolution, batch norm, sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1, self.act = conv3(width, width, bias=False), nn.BatchNorm2d(width), nn.PReLU()
        self.conv2, self.norm2 = conv3(width, width, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class MSRResNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W), about [0, 1]; any H and W.

    The output is added to the input, enlarged bilinearly.

    Args:
        in_channels, out_channels: channels of the images, as many or one of the input.
        scale: 2, 3 or 4.
        width: feature maps.
        n_blocks: number of residual blocks.

    Raises:
        ValueError: another scale, or channels that can't be added.
    """

    stride = smallest_input = 1

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, width: int = 64, n_blocks: int = 16) -> None:
        super().__init__()
        check_scale(scale, (2, 3, 4), "msrresnet")
        check_sum(in_channels, out_channels, "msrresnet")
        self.scale = scale
        self.conv_first = conv3(in_channels, width)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(n_blocks)))
        first, *others = FACTORS[scale]
        self.upconv1 = conv3(width, width * first**2)
        self.upconv2 = conv3(width, width * others[0] ** 2) if others else None
        self.conv_hr, self.conv_last = conv3(width, width), conv3(width, out_channels)
        init_small(self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(leaky(self.conv_first(x), 0.1))
        if self.upconv2 is None:
            y = leaky(F.pixel_shuffle(self.upconv1(y), self.scale), 0.1)
        else:
            y = leaky(F.pixel_shuffle(self.upconv1(y), 2), 0.1)
            y = leaky(F.pixel_shuffle(self.upconv2(y), 2), 0.1)
        y = self.conv_last(leaky(self.conv_hr(y), 0.1))
        return y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """MSRResNet's residual block: convolution, ReLU, convolution, sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3(width, width), conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class RRDBNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W), about [0, 1].

    The network itself enlarges 4 times. For scales 2 and 1 it sees the input after a pixel unshuffle by 2 or 4, so that
    H and W are multiples of ``stride``: 1 for scale 4, 2 for 2, 4 for 1.

    Args:
        in_channels, out_channels: channels of the images.
        scale: 1, 2 or 4.
        width: feature maps.
        n_blocks: number of residual-in-residual dense blocks.
        growth: feature maps that each convolution of a dense block adds.

    Raises:
        ValueError: another scale.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        scale: int,
        width: int = 64,
        n_blocks: int = 23,
        growth: int = 32,
    ) -> None:
        super().__init__()
        check_scale(scale, (1, 2, 4), "rrdb")
        self.stride = self.smallest_input = 4 // scale
        self.conv_first = conv3(in_channels * self.stride**2, width)
        self.body = nn.Sequential(*(RRDB(width, growth) for _ in range(n_blocks)))
        self.conv_body = conv3(width, width)
        self.conv_up1, self.conv_up2 = conv3(width, width), conv3(width, width)
        self.conv_hr, self.conv_last = conv3(width, width), conv3(width, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.pixel_unshuffle(x, self.stride)
        first = self.conv_first(x)
        x = first + self.conv_body(self.body(first))
        x = leaky(self.conv_up1(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        x = leaky(self.conv_up2(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return self.conv_last(leaky(self.conv_hr(x)))


class RRDB(nn.Module):
    """Residual-in-residual dense block: three dense blocks, whose output is scaled by 0.2 and added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class DenseBlock(nn.Module):
    """Five convolutions, of which each sees the block's input and all outputs before it; the last is the residual."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3(width, growth)
        self.conv2 = conv3(width + growth, growth)
        self.conv3 = conv3(width + 2 * growth, growth)
        self.conv4 = conv3(width + 3 * growth, growth)
        self.conv5 = conv3(width + 4 * growth, width)
        init_small(self)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, leaky(conv(seen))], dim=1)
        return x + 0.2 * self.conv5(seen)


class CompactNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W), about [0, 1]; any H and W.

    All convolutions work at the input's resolution. The output is added to the input, enlarged by repeating pixels.

    Args:
        in_channels, out_channels: channels of the images, as many or one of the input.
        scale: at least 1.
        width: feature maps.
        n_blocks: number of convolutions between the first and the last.

    Raises:
        ValueError: channels that can't be added.
    """

    stride = smallest_input = 1

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, width: int = 64, n_blocks: int = 16) -> None:
        super().__init__()
        check_sum(in_channels, out_channels, "compact")
        self.scale = scale
        layers: list[nn.Module] = [conv3(in_channels, width), nn.PReLU(width)]
        for _ in range(n_blocks):
            layers += [conv3(width, width), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, conv3(width, out_channels * scale**2))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(x), self.scale) + F.interpolate(x, scale_factor=self.scale, mode="nearest")


def conv3(in_channels: int, out_channels: int, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


def leaky(x: Tensor, slope: float = 0.2) -> Tensor:
    """Leaky ReLU, in place."""
    return F.leaky_relu(x, slope, inplace=True)


@torch.no_grad()
def init_small(network: nn.Module) -> None:
    """Makes all convolutions' weights Kaiming-normal times 0.1 and their biases 0 (arXiv 1809.00219, Sec. 3.4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            module.weight.mul_(0.1)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def check_scale(scale: int, scales: tuple[int, ...] | dict[int, tuple[int, ...]], network: str) -> None:
    """Raises ValueError if a network can't enlarge ``scale`` times."""
    if scale not in scales:
        *first, last = map(str, scales)
        raise ValueError(
            f"model.network {network} enlarges {', '.join(first)} or {last} times, not {scale} (the data's scale): use "
            "another model.network (compact takes all scales) or other data"
        )


def check_sum(in_channels: int, out_channels: int, network: str) -> None:
    """Raises ValueError if the input's channels can't be added to the output's."""
    if in_channels not in (1, out_channels):
        raise ValueError(
            f"model.network {network} adds its input of {in_channels} channels to its output of {out_channels}: use "
            "srresnet or rrdb"
        )
