"""U-Net generator: encoder and decoder, with a skip connection at each resolution.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", arXiv 1611.07004, Sec. 3.2.1 and
Appendix 6.1.1; skip connections: Ronneberger et al., arXiv 1505.04597. Official code: phillipi/pix2pix.

The levels are lists instead of nested modules. Skips carry LeakyReLU(x), which the decoder's ReLU turns into ReLU(x),
the same as if they carried x. Dropout is in the three innermost decoder levels, as in the paper; the official PyTorch
code leaves out the innermost one (``dropout_innermost``). Without norm the convolutions have biases, which the official
PyTorch code's do not.
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
        num_downs: number of times the image is halved; 8 takes 256x256 to 1x1.
        ngf: feature maps of the outermost level; they double at each level, up to 8 x ngf.
        norm: normalisation of every level except the outermost and the innermost.
        dropout: dropout of 0.5 in the inner decoder levels, the paper's noise z (Sec. 3.1).
        upsample_mode: "deconv" (paper) or "resize".
        init_gain: standard deviation of the initial weights.
        dropout_innermost: true: dropout in the three innermost levels (paper). false: in all levels of 8 x ngf feature
            maps except the innermost (official PyTorch code).
        bounded: end with tanh. Without it the output is unbounded, such as class logits.

    Raises:
        ValueError: ``num_downs`` is below 2; in ``forward``, if a side of the input is not a multiple of ``stride``.
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
            raise ValueError(f"num_downs {num_downs}: must be at least 2")
        self.stride = self.smallest_input = 2**num_downs
        bias = needs_bias(norm)
        widths = [ngf * min(2**level, 8) for level in range(num_downs)]

        # No norm in the outermost level (as in DCGAN) and in the innermost (1x1 has nothing to normalise over)
        self.encoder = nn.ModuleList()
        for level, width in enumerate(widths):
            level_norm = "none" if level in (0, num_downs - 1) else norm
            self.encoder.append(downsample(widths[level - 1] if level else in_channels, width, level_norm, bias=bias))

        # Levels with dropout, counted from the innermost: "CD512-CD512-CD512-..." for num_downs 8 (Appendix 6.1.1)
        with_dropout = range(min(3, num_downs - 4)) if dropout_innermost else range(1, num_downs - 4)
        self.decoder = nn.ModuleList()  # innermost level first
        for level in range(num_downs - 1, 0, -1):
            factor = 1 if level == num_downs - 1 else 2  # all but the innermost have a skip, concatenated
            self.decoder.append(
                nn.Sequential(
                    upsample(factor * widths[level], widths[level - 1], bias=bias, mode=upsample_mode),
                    norm_layer(norm, widths[level - 1]),
                    nn.Dropout(0.5) if dropout and num_downs - 1 - level in with_dropout else nn.Identity(),
                )
            )
        last = nn.Tanh() if bounded else nn.Identity()
        self.head = nn.Sequential(upsample(2 * ngf, out_channels, bias=True, mode=upsample_mode), last)
        init_weights(self, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(f"input of {tuple(x.shape[-2:])}: both sides must be multiples of {self.stride}")
        skips = []
        for down in self.encoder:
            x = down(x)  # (B, widths[level], H / 2^(level+1), W / 2^(level+1))
            skips.append(x)
        x = skips.pop()
        for up in self.decoder:
            x = torch.cat([skips.pop(), up(F.relu(x))], dim=1)  # (B, 2 x widths[level-1], ...): skip first
        return self.head(F.relu(x))
