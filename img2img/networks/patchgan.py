"""PatchGAN discriminator: one verdict for each overlapping patch instead of one for the whole image.

Isola et al., arXiv 1611.07004, Sec. 3.2.2 and Appendix 6.1.2. Official code: phillipi/pix2pix.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.blocks import Norm, downsample, init_weights, needs_bias, norm_layer


class PatchGAN(nn.Module):
    """(B, in_channels, H, W) -> (B, 1, h, w) logits, one a patch.

    Args:
        in_channels: channels of everything that it sees, concatenated.
        ndf: feature maps of the first layer; they double at each layer, up to 8 x ndf.
        n_layers: strided layers: 0, 1, 3 and 5 judge patches of 1, 16, 70 and 286 pixels, as the paper's.
        norm: normalisation of every layer but the first and the last.
        init_gain: standard deviation of the initial weights.
        padding: of every 4x4 convolution: 1 in pix2pix, 2 in pix2pixHD's code, which makes the verdicts reach farther
            beyond the edge. It does not change a patch's size.
        max_width: most feature maps of a layer after the first, instead of 8 x ndf: 512 in pix2pixHD's code, which is
            the same for an ndf of 64.
        last_bias: of single pixels (n_layers 0): whether the last layer has a bias even with batch norm, as in older
            versions of the authors' PyTorch port.
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
        if n_layers == 0:  # C64-C128 of 1x1 convolutions
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
        """Side of the smallest image, in pixels, that leaves a patch to judge, and two pixels to normalise over.

        A padding of 2 keeps 2 pixels at 2.
        """
        return 2 if self.n_layers == 0 or self.padding == 2 else 3 * 2**self.n_layers

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor | list[Tensor]:
        """Logits (B, 1, h, w), or with ``return_features`` the output of every stage, the logits last.

        pix2pixHD's feature matching (arXiv 1711.11585, Sec. 3.2) compares all but the last.
        """
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features if return_features else x
