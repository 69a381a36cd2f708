"""PatchGAN discriminator: a logit for each of the image's overlapping patches instead of one for the whole image.

Isola et al., arXiv 1611.07004, Sec. 3.2.2 and Appendix 6.1.2. Official code: phillipi/pix2pix.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.blocks import Norm, downsample, init_weights, needs_bias, norm_layer


class PatchGAN(nn.Module):
    """(B, in_channels, H, W) -> (B, 1, h, w), one logit per patch.

    Args:
        in_channels: channels of the image and of its condition, if any.
        ndf: feature maps of the first layer; they double at each layer, up to 8 x ndf.
        n_layers: number of strided layers: 0, 1, 3 and 5 have a receptive field of 1, 16, 70 and 286 pixels (Sec. 4.4).
        norm: normalisation of every layer except the first and the last.
        init_gain: standard deviation of the initial weights.
        padding: padding of every 4x4 convolution: 1 in pix2pix, 2 in pix2pixHD's official code, whose outer patches
            reach further beyond the image's edge. It does not change the receptive field.
        max_width: largest number of feature maps of a layer after the first; default 8 x ndf. pix2pixHD's official code
            has 512, the same for ndf 64.
        last_bias: with n_layers 0, give the last layer a bias even with batch norm, as old versions of the official
            PyTorch code do.
    """

    def __init__(
        self,
        in_channels: int = 6,
        ndf: int = 64,
        *,
        n_layers: int = 3,
        norm: Norm = "batch",
        init_gain: float = 0.02,
        padding: int = 1,
        max_width: int | None = None,
        last_bias: bool = False,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        if n_layers == 0:  # the 1x1 "PixelGAN": C64-C128 of 1x1 convolutions (Appendix 6.1.2)
            stages: list[nn.Module] = [
                nn.Sequential(nn.Conv2d(in_channels, ndf, 1), nn.LeakyReLU(0.2, inplace=True)),
                nn.Sequential(
                    nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
                    norm_layer(norm, 2 * ndf),
                    nn.LeakyReLU(0.2, inplace=True),
                ),
                nn.Conv2d(2 * ndf, 1, 1, bias=bias or last_bias),
            ]
        else:
            widest = max_width or 8 * ndf
            widths = [ndf, *(min(ndf * 2**layer, widest) for layer in range(1, n_layers + 1))]
            stages = [downsample(in_channels, ndf, "none", bias=True, padding=padding)]
            for narrow, wide in pairwise(widths[:-1]):
                stages.append(downsample(narrow, wide, norm, bias=bias, padding=padding))
            stages.append(downsample(widths[-2], widths[-1], norm, bias=bias, stride=1, padding=padding))
            stages.append(nn.Conv2d(widths[-1], 1, kernel_size=4, stride=1, padding=padding))
        self.stages = nn.ModuleList(stages)
        self.n_layers, self.padding = n_layers, padding
        init_weights(self, init_gain)

    @property
    def smallest_input(self) -> int:
        """Side, in pixels, of the smallest image with at least one logit and two values per normalised feature map.

        With padding 2 an image of 2 pixels stays at 2.
        """
        return 2 if self.n_layers == 0 or self.padding == 2 else 3 * 2**self.n_layers

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor | list[Tensor]:
        """Logits (B, 1, h, w); with ``return_features`` the outputs of all stages, logits last.

        pix2pixHD's feature matching (arXiv 1711.11585, Sec. 3.2) compares all outputs except the last.
        """
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features if return_features else x
