"""DCGAN's generator (vector to image) and discriminator (image to one logit), without pooling or dense layers.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
arXiv 1511.06434, Sec. 3 and Fig. 1. Official code: Newmu/dcgan_code (Theano) and soumith/dcgan.torch. The 4x4 kernels
and the discriminator, which the paper does not specify, are those of dcgan.torch. The paper's images have 64x64 pixels;
other sizes have more or fewer levels, with at most 8 x ngf or 8 x ndf feature maps, as at 64x64.

``CodeHead`` is InfoGAN's Q (arXiv 1606.03657).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.blocks import Norm, Upsample, downsample, init_weights, needs_bias, norm_layer, upsample

SIZES = (32, 64, 128, 256)  # of the images, in pixels
SMALLEST = 4  # side, in pixels, of the generator's first and the discriminator's last feature maps


def widths(first: int, size: int) -> list[int]:
    """Number of feature maps at size/2, size/4, ..., 4 pixels: they double at each level, up to 8 x ``first``."""
    assert size in SIZES
    return [first * min(2**level, 8) for level in range((size // SMALLEST).bit_length() - 1)]


class Generator(nn.Module):
    """(B, in_features) -> (B, out_channels, size, size) in [-1, 1].

    Args:
        in_features: length of the vector: noise, and codes or a one-hot class.
        out_channels: channels of the image.
        size: side of the image, in pixels: one of ``SIZES``.
        ngf: feature maps before the last layer; 64 in the official code, 128 in the paper's Fig. 1.
        norm: normalisation of every layer except the last.
        upsample_mode: "deconv" (paper) or "resize", as in ``blocks.upsample``; the first layer is always deconv.
        init_gain: standard deviation of the initial weights.
    """

    def __init__(
        self,
        in_features: int = 100,
        out_channels: int = 3,
        *,
        size: int = 64,
        ngf: int = 64,
        norm: Norm = "batch",
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        levels = widths(ngf, size)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(in_features, levels[0], SMALLEST, bias=bias)]  # (B, C, 4, 4)
        for wide, narrow in pairwise(levels):
            layers += [norm_layer(norm, wide), nn.ReLU(inplace=True)]
            layers.append(upsample(wide, narrow, bias=bias, mode=upsample_mode))
        layers += [norm_layer(norm, ngf), nn.ReLU(inplace=True)]
        layers += [upsample(ngf, out_channels, bias=True, mode=upsample_mode), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_weights(self, init_gain)

    def forward(self, vector: Tensor) -> Tensor:
        return self.layers(vector[:, :, None, None])  # (B, in_features, 1, 1)


class Discriminator(nn.Module):
    """(B, in_channels, size, size) -> (B, 1, 1, 1), one logit per image.

    Args:
        in_channels: channels of the image and of its condition, if any.
        size: side of the image, in pixels: one of ``SIZES``.
        ndf: feature maps of the first layer; they double at each layer, up to 8 x ndf.
        norm: normalisation of every layer except the first and the last.
        init_gain: standard deviation of the initial weights.
    """

    def __init__(
        self, in_channels: int = 3, size: int = 64, *, ndf: int = 64, norm: Norm = "batch", init_gain: float = 0.02
    ) -> None:
        super().__init__()
        levels = widths(ndf, size)
        stages: list[nn.Module] = [downsample(in_channels, ndf, "none", bias=True)]
        for narrow, wide in pairwise(levels):
            stages.append(downsample(narrow, wide, norm, bias=needs_bias(norm)))
        stages.append(nn.Conv2d(levels[-1], 1, SMALLEST))
        self.stages = nn.ModuleList(stages)
        init_weights(self, init_gain)

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor | list[Tensor]:
        """Logits (B, 1, 1, 1); with ``return_features`` the outputs of all stages, logits last."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features if return_features else x


class CodeHead(nn.Module):
    """InfoGAN's Q: the discriminator's last feature maps (B, C, 4, 4) -> predicted codes (B, out_features).

    One hidden layer, and the output layer (arXiv 1606.03657, Appendix C.1).

    Args:
        size: side of the discriminator's images, in pixels.
        ndf: as in ``Discriminator``.
        out_features: sum of the sizes of all codes.
        norm: normalisation of the hidden layer.
        width: features of the hidden layer; 128 in the paper.
        init_gain: standard deviation of the initial weights.
    """

    def __init__(
        self,
        size: int,
        ndf: int,
        *,
        out_features: int,
        norm: Norm = "batch",
        width: int = 128,
        init_gain: float = 0.02,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(widths(ndf, size)[-1], width, SMALLEST, bias=needs_bias(norm)),  # (B, width, 1, 1)
            norm_layer(norm, width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, out_features, 1),
        )
        init_weights(self, init_gain)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features).flatten(1)  # (B, out_features)
