"""ResNet generator: downsampling convolutions, residual blocks, upsampling convolutions.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv 1603.08155, as Zhu et al.
use it in CycleGAN, arXiv 1703.10593, Sec. 4 and Appendix 7.2: c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3. The
layers that keep the resolution use reflection padding; those that change it pad with zeros, as the official code does.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.blocks import Norm, Upsample, init_weights, needs_bias, norm_layer, upsample


class ResidualBlock(nn.Module):
    """R<channels>: two 3x3 convolutions and a skip connection, (B, channels, H, W) -> (B, channels, H, W)."""

    def __init__(self, channels: int, norm: Norm, dropout: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            same(channels, channels, 3, bias=needs_bias(norm)),
            norm_layer(norm, channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5) if dropout else nn.Identity(),
            same(channels, channels, 3, bias=needs_bias(norm)),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResNet(nn.Module):
    """(B, in_channels, H, W) in [-1, 1] -> (B, out_channels, H, W) in [-1, 1]; H and W are multiples of ``stride``.

    Args:
        in_channels: channels of the input image.
        out_channels: channels of the output image.
        ngf: feature maps of the first layer; they double at each halving.
        n_blocks: number of residual blocks; the paper has 6 for 128x128 images and 9 from 256x256 on.
        n_downs: number of times the image is halved before the residual blocks.
        norm: normalisation of every layer except the last.
        dropout: dropout of 0.5 in each residual block.
        upsample_mode: "deconv" (paper) or "resize".
        init_gain: standard deviation of the initial weights.
        bounded: end with tanh. Without it the output is unbounded.

    Raises:
        ValueError: in ``forward``, if a side of the input is not a multiple of ``stride`` or below ``smallest_input``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        ngf: int = 64,
        n_blocks: int = 9,
        n_downs: int = 2,
        norm: Norm = "instance",
        dropout: bool = False,
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.stride = 2**n_downs
        self.smallest_input = 2 * self.stride  # reflection padding by one pixel needs two
        bias = needs_bias(norm)
        widths = [ngf * 2**level for level in range(n_downs + 1)]

        layers = [same(in_channels, ngf, 7, bias=bias), norm_layer(norm, ngf), nn.ReLU(inplace=True)]
        for narrow, wide in pairwise(widths):
            layers.append(nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1, bias=bias))
            layers += [norm_layer(norm, wide), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*layers)  # -> (B, ngf x stride, H / stride, W / stride)

        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], norm, dropout) for _ in range(n_blocks)))

        layers = []
        for wide, narrow in pairwise(reversed(widths)):
            layers.append(upsample(wide, narrow, bias=bias, mode=upsample_mode, kernel_size=3))
            layers += [norm_layer(norm, narrow), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*layers)  # -> (B, ngf, H, W)
        self.head = nn.Sequential(same(ngf, out_channels, 7, bias=True), nn.Tanh() if bounded else nn.Identity())
        init_weights(self, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """The feature map before the last layer: (B, in_channels, H, W) -> (B, ngf, H, W)."""
        sides = tuple(x.shape[-2:])
        if any(side % self.stride or side < self.smallest_input for side in sides):
            raise ValueError(
                f"input of {sides}: both sides must be multiples of {self.stride} and at least {self.smallest_input}"
            )
        return self.decoder(self.blocks(self.encoder(x)))


def same(in_channels: int, out_channels: int, kernel_size: int, *, bias: bool) -> nn.Module:
    """A convolution that keeps the resolution, with reflection padding."""
    pad = kernel_size // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=pad, padding_mode="reflect", bias=bias)
