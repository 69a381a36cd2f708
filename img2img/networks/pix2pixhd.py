"""The networks of pix2pixHD: coarse-to-fine generator, multi-scale discriminator, and encoder of instance features.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585,
Sec. 3.2, 3.4 and the appendix. Official code: NVIDIA/pix2pixHD. The global generator is a ``resnet.ResNet`` that halves
its input four times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.networks.blocks import Norm, Upsample, init_weights, needs_bias, norm_layer, upsample
from img2img.networks.patchgan import PatchGAN
from img2img.networks.resnet import ResidualBlock, ResNet, same


def halve(x: Tensor) -> Tensor:
    """Next level of the image pyramid, by 3x3 average pooling: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
    return F.avg_pool2d(x, kernel_size=3, stride=2, padding=1, count_include_pad=False)


class LocalEnhancer(nn.Module):
    """Local enhancer G2, G3, ...: doubles the resolution of the generator below it (Sec. 3.2, Fig. 3).

    The input of its residual blocks is the element-wise sum of its front-end's features and the last feature map of the
    generator below.

    Args:
        in_channels: channels of the input.
        ngf: feature maps at the enhancer's resolution; the generator below has twice as many.
        n_blocks: number of residual blocks, 3 in the paper.
        norm, upsample_mode, init_gain: as in ResNet.
    """

    def __init__(
        self,
        in_channels: int,
        ngf: int = 32,
        *,
        n_blocks: int = 3,
        norm: Norm = "instance",
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.front = nn.Sequential(
            same(in_channels, ngf, 7, bias=bias),
            norm_layer(norm, ngf),
            nn.ReLU(inplace=True),
            nn.Conv2d(ngf, 2 * ngf, kernel_size=3, stride=2, padding=1, bias=bias),
            norm_layer(norm, 2 * ngf),
            nn.ReLU(inplace=True),
        )
        self.back = nn.Sequential(
            *(ResidualBlock(2 * ngf, norm, dropout=False) for _ in range(n_blocks)),
            upsample(2 * ngf, ngf, bias=bias, mode=upsample_mode, kernel_size=3),
            norm_layer(norm, ngf),
            nn.ReLU(inplace=True),
        )
        init_weights(self, init_gain)

    def forward(self, x: Tensor, below: Tensor) -> Tensor:
        """(B, in_channels, H, W), (B, 2 ngf, H / 2, W / 2) -> features (B, ngf, H, W)."""
        return self.back(self.front(x) + below)


class CoarseToFine(nn.Module):
    """The global generator G1 and its local enhancers: (B, in_channels, H, W) -> (B, out_channels, H, W) in [-1, 1].

    Args:
        in_channels, out_channels: channels of the input and of the image.
        ngf: feature maps at the finest resolution; G1 has ngf x 2^n_enhancers.
        n_enhancers: number of enhancers; 0 is G1 alone.
        n_blocks, n_blocks_local: number of residual blocks of G1, and of each enhancer.
        n_downs: number of times G1 halves its input.
        norm, upsample_mode, init_gain: as in ResNet.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        *,
        ngf: int = 64,
        n_enhancers: int = 0,
        n_blocks: int = 9,
        n_blocks_local: int = 3,
        n_downs: int = 4,
        norm: Norm = "instance",
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
    ) -> None:
        super().__init__()
        coarse = ngf * 2**n_enhancers
        self.coarse = ResNet(
            in_channels,
            out_channels,
            ngf=coarse,
            n_blocks=n_blocks,
            n_downs=n_downs,
            norm=norm,
            dropout=False,
            upsample_mode=upsample_mode,
            init_gain=init_gain,
        )
        self.enhancers = nn.ModuleList(  # the coarsest first
            LocalEnhancer(
                in_channels,
                ngf * 2**level,
                n_blocks=n_blocks_local,
                norm=norm,
                upsample_mode=upsample_mode,
                init_gain=init_gain,
            )
            for level in reversed(range(n_enhancers))
        )
        if n_enhancers:  # G1's own output image is not used
            self.coarse.head = nn.Sequential()
            self.head = nn.Sequential(same(ngf, out_channels, 7, bias=True), nn.Tanh())
            init_weights(self.head, init_gain)
        self.stride = self.coarse.stride * 2**n_enhancers
        self.smallest_input = 2 * self.stride

    def forward(self, x: Tensor) -> Tensor:
        if not self.enhancers:
            return self.coarse(x)
        pyramid = [x]
        for _ in self.enhancers:
            pyramid.append(halve(pyramid[-1]))
        features = self.coarse.features(pyramid.pop())
        for enhancer in self.enhancers:
            features = enhancer(pyramid.pop(), features)  # (B, ngf x 2^level, H / 2^level, W / 2^level)
        return self.head(features)


class MultiScaleDiscriminator(nn.Module):
    """Several PatchGANs, each at half the resolution of the one before (Sec. 3.2).

    (B, in_channels, H, W) -> for each scale, finest first, the outputs of all layers, logits last.

    Args:
        in_channels: channels of the image and of its condition.
        ndf, n_layers, norm, init_gain, max_width: as in PatchGAN.
        n_scales: number of PatchGANs.
    """

    def __init__(
        self,
        in_channels: int,
        ndf: int = 64,
        *,
        n_layers: int = 3,
        n_scales: int = 2,
        norm: Norm = "instance",
        init_gain: float = 0.02,
        max_width: int | None = None,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchGAN(
                in_channels, ndf, n_layers=n_layers, norm=norm, init_gain=init_gain, padding=2, max_width=max_width
            )
            for _ in range(n_scales)
        )
        # halve() rounds up: this is the smallest side that is 2 at the coarsest scale
        coarsest: PatchGAN = self.scales[-1]  # type: ignore[assignment]
        self.smallest_input = (coarsest.smallest_input - 1) * 2 ** (n_scales - 1) + 1

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        outputs = []
        for i, scale in enumerate(self.scales):
            x = halve(x) if i else x
            outputs.append(scale(x, return_features=True))
        return outputs


class StyleEncoder(nn.Module):
    """Encoder E: features of each instance of an image (Sec. 3.4), the same at all pixels of an instance.

    Image (B, in_channels, H, W), instance ids (B, 1, H, W) -> (B, n_features, H, W) in [-1, 1].

    Args:
        in_channels: channels of the image.
        n_features: channels of the features, 3 in the paper.
        nef: feature maps of the first layer.
        n_downs: number of times the image is halved.
        norm, upsample_mode, init_gain: as in ResNet.
    """

    def __init__(
        self,
        in_channels: int = 3,
        n_features: int = 3,
        *,
        nef: int = 16,
        n_downs: int = 4,
        norm: Norm = "instance",
        upsample_mode: Upsample = "deconv",
        init_gain: float = 0.02,
    ) -> None:
        super().__init__()
        self.network = ResNet(
            in_channels,
            n_features,
            ngf=nef,
            n_blocks=0,
            n_downs=n_downs,
            norm=norm,
            dropout=False,
            upsample_mode=upsample_mode,
            init_gain=init_gain,
        )
        self.smallest_input = self.network.smallest_input

    def forward(self, x: Tensor, instances: Tensor) -> Tensor:
        return average_instances(self.network(x), instances)


def average_instances(features: Tensor, instances: Tensor) -> Tensor:
    """Replaces each pixel's features by their mean over its instance ("instance-wise average pooling", Sec. 3.4).

    Features (B, C, H, W), instance ids (B, 1, H, W) -> (B, C, H, W). One scatter and one gather for the whole batch,
    however many instances there are; ids may be any integers.
    """
    b, c, h, w = features.shape
    flat = features.permute(0, 2, 3, 1).reshape(-1, c)  # (B x H x W, C)
    image = torch.arange(b, device=features.device).view(b, 1, 1)
    keys = (image << 33) + instances[:, 0].long()  # (B, H, W): different keys for the same id in two images
    unique, inverse = torch.unique(keys.flatten(), return_inverse=True)
    sums = flat.new_zeros(len(unique), c, dtype=torch.float32).index_add_(0, inverse, flat.float())
    counts = torch.bincount(inverse, minlength=len(unique)).unsqueeze(1)  # (instances, 1)
    return (sums / counts)[inverse].to(flat.dtype).view(b, h, w, c).permute(0, 3, 1, 2)
