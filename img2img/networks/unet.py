"""U-Net generator: an encoder and a decoder, joined by a skip connection at each resolution.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", arXiv 1611.07004, Sec. 3.2.1 and
Appendix 6.1.1; the skips are Ronneberger et al., arXiv 1505.04597. Official code: phillipi/pix2pix.

Written level by level instead of nested. The skip carries LeakyReLU(x), and the decoder's ReLU makes of it ReLU(x):
the same function as keeping x itself. Dropout sits in the three innermost decoder levels, as in the paper; the PyTorch
port skips the innermost one, and ``dropout_innermost`` chooses. Without norm the convolutions keep their biases, which
the port's do not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.networks.blocks import Norm, Upsample, downsample, init_weights, needs_bias, norm_layer, upsample


class UNet(nn.Module):
    """(B, in_channels, H, W) in [-1, 1] -> (B, out_channels, H, W) in [-1, 1]; H and W are multiples of ``stride``.

    Args:
        in_channels: channels of the input image.
        out_channels: channels of the output image.
        num_downs: how many times the image is halved; 8 takes 256x256 down to 1x1.
        ngf: feature maps of the outermost level; they double at each level, up to 8 x ngf.
        norm: normalisation of every level but the outermost and the innermost.
        dropout: whether the inner decoder levels drop half of their features: the paper's noise z (Sec. 3.1).
        upsample_mode: "deconv" (paper) or "resize".
        init_gain: standard deviation of the initial weights.
        dropout_innermost: where dropout sits: in the innermost levels (paper), or in those of the full width beside
            the innermost one, as in the authors' PyTorch port.
        bounded: whether tanh keeps the output in [-1, 1]; without it they are any numbers, such as logits of classes.

    Raises:
        ValueError: ``num_downs`` below 2, or in ``forward`` an input whose sides are no multiples of ``stride``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        num_downs: int = 8,
        ngf: int = 64,
        norm: Norm = "batch",
        dropout: bool = True,
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
        dropout_innermost: bool = True,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        if num_downs < 2:
            raise ValueError(f"num_downs is {num_downs}: a U-Net halves the image at least twice")
        self.stride = self.smallest_input = 2**num_downs
        bias = needs_bias(norm)
        widths = [ngf * min(2**level, 8) for level in range(num_downs)]

        # No norm on the outermost level (DCGAN) or on the innermost: at 1x1 there is nothing to normalise over.
        self.encoder = nn.ModuleList()
        for level, width in enumerate(widths):
            level_norm = "none" if level in (0, num_downs - 1) else norm
            self.encoder.append(downsample(widths[level - 1] if level else in_channels, width, level_norm, bias=bias))

        # "CD512-CD512-CD512-..." for num_downs 8; or from the second on, as many as there are of the full width
        dropped = range(min(3, num_downs - 4)) if dropout_innermost else range(1, num_downs - 4)
        self.decoder = nn.ModuleList()  # innermost level first
        for level in range(num_downs - 1, 0, -1):
            doubled = 1 if level == num_downs - 1 else 2  # all but the innermost see their skip beside their input
            self.decoder.append(
                nn.Sequential(
                    upsample(doubled * widths[level], widths[level - 1], bias=bias, mode=upsample_mode),
                    norm_layer(norm, widths[level - 1]),
                    nn.Dropout(0.5) if dropout and num_downs - 1 - level in dropped else nn.Identity(),
                )
            )
        last = nn.Tanh() if bounded else nn.Identity()
        self.head = nn.Sequential(upsample(2 * ngf, out_channels, bias=True, mode=upsample_mode), last)
        init_weights(self, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(f"the input is {tuple(x.shape[-2:])}: both sides must be multiples of {self.stride}")
        skips = []
        for down in self.encoder:
            x = down(x)  # (B, widths[level], H / 2^(level+1), W / 2^(level+1))
            skips.append(x)
        x = skips.pop()
        for up in self.decoder:
            x = torch.cat([skips.pop(), up(F.relu(x))], dim=1)  # (B, 2 x widths[level-1], ...): skip first
        return self.head(F.relu(x))
