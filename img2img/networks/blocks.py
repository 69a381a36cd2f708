"""Building blocks of all networks, after DCGAN's guidelines.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
arXiv 1511.06434. Sec. 3: strided convolutions instead of pooling, normalisation in both networks, ReLU in the
generator, LeakyReLU in the discriminator, tanh at the output. Sec. 4: slope 0.2, weights from N(0, 0.02). Kernels are
4x4, as in pix2pix (arXiv 1611.07004, Appendix 6.1).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "instance", "layer", "none"]
Upsample = Literal["deconv", "resize"]


class InstanceNorm(nn.GroupNorm):
    """Instance normalisation without parameters: (B, C, H, W) -> (B, C, H, W).

    In training it is computed as group normalisation with one channel per group, the same function. On the CPU,
    ``nn.InstanceNorm2d`` returns a wrong input gradient if the batch size is 1 and the incoming gradient is
    channels_last (torch 2.13 to 2.15: relative error 1.4, no warning); group normalisation is also slightly faster.
    Inference uses ``F.instance_norm``, so that it rounds like other implementations: through 19 layers the difference
    grows to 1e-5.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled() or x[0, 0].numel() == 1:  # F.instance_norm refuses one pixel
            return super().forward(x)
        return F.instance_norm(x, eps=self.eps)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Normalisation layer for ``channels`` feature maps; the identity for "none".

    "layer" normalises each image over all of its feature maps, with a scale and a shift per feature map.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm has a bias, as in the official code: not before batch and layer norm,
    which add a shift. Before instance norm it has no effect, which subtracts it again.
    """
    return norm not in ("batch", "layer")


def downsample(
    in_channels: int, out_channels: int, norm: Norm, *, bias: bool, stride: int = 2, padding: int = 1
) -> nn.Sequential:
    """4x4 convolution, norm, LeakyReLU(0.2): (B, in_channels, H, W) -> (B, out_channels, H', W').

    H' is H/2 for stride 2 and H - 1 for stride 1; with padding 2 it is H/2 + 1 and H + 1.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=stride, padding=padding, bias=bias),
        norm_layer(norm, out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    )


def upsample(
    in_channels: int, out_channels: int, *, bias: bool, mode: Upsample, kernel_size: Literal[3, 4] = 4
) -> nn.Module:
    """Doubles the resolution, without norm or activation: (B, in_channels, H, W) -> (B, out_channels, 2H, 2W).

    mode "deconv": the papers' transposed convolution, 4x4 in U-Nets and 3x3 in ResNets. mode "resize":
    nearest-neighbour upsampling and a 3x3 convolution, which avoids checkerboard artifacts (Odena et al.,
    "Deconvolution and Checkerboard Artifacts", Distill 2016).
    """
    if mode == "deconv":
        output_padding = kernel_size % 2  # an odd kernel would give 2H - 1
        return nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=output_padding, bias=bias
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=bias),
    )


def init_weights(network: nn.Module, gain: float = 0.02) -> None:
    """Draws the weights of convolutions from N(0, gain) and the scales of batch norm from N(1, gain); zeroes all
    biases.

    0.02 for the weights is in DCGAN, Sec. 4; N(1, 0.02) for the scales is in its official code.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, gain)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
