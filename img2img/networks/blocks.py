"""The DCGAN rules as building blocks; every network of the house is made of these.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
arXiv 1511.06434, Sec. 3: strided convolutions instead of pooling, normalisation in both networks, ReLU in the
generator, LeakyReLU(0.2) in the discriminator, tanh at the output, weights from N(0, 0.02). Kernels are 4x4, as in
pix2pix (arXiv 1611.07004, Appendix 6.1).
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

    Written as group normalisation with one channel a group, which is the same function. On the CPU
    ``nn.InstanceNorm2d`` returns a wrong input gradient at batch 1 when the incoming gradient is channels_last
    (torch 2.13 to 2.15: relative error 1.4, no warning), and this is a little faster too. Inference, which needs no
    gradient, takes the other one, whose rounding is that of networks written elsewhere: 19 of them in a row differ by
    1e-5 otherwise.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled() or x[0, 0].numel() == 1:  # of one pixel it refuses to take the mean
            return super().forward(x)
        return F.instance_norm(x, eps=self.eps)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The normalisation named ``norm`` for ``channels`` feature maps; "none" gives the identity.

    "layer" normalises each image over all of its feature maps, with a scale and a shift for each of them.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm keeps its bias: batch and layer norm bring a shift of their own."""
    return norm not in ("batch", "layer")


def downsample(
    in_channels: int, out_channels: int, norm: Norm, *, bias: bool, stride: int = 2, padding: int = 1
) -> nn.Sequential:
    """Strided 4x4 convolution, norm, LeakyReLU(0.2): (B, in, H, W) -> (B, out, H/2, W/2); stride 1 gives H-1, W-1.

    With a padding of 2 it is H/2 + 1 and H + 1.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=stride, padding=padding, bias=bias),
        norm_layer(norm, out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    )


def upsample(
    in_channels: int, out_channels: int, *, bias: bool, mode: Upsample, kernel_size: Literal[3, 4] = 4
) -> nn.Module:
    """Doubles the resolution, no norm or activation: (B, in, H, W) -> (B, out, 2H, 2W).

    ``deconv`` is the papers' transposed convolution, 4x4 in U-Nets and 3x3 in ResNets. ``resize`` enlarges by nearest
    neighbour and convolves 3x3, which has no checkerboard artefacts (Odena et al., "Deconvolution and Checkerboard
    Artifacts", Distill 2016).
    """
    if mode == "deconv":
        odd = kernel_size % 2  # an odd kernel leaves the last row and column out
        return nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride=2, padding=1, output_padding=odd, bias=bias
        )
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=bias),
    )


def init_weights(network: nn.Module, gain: float = 0.02) -> None:
    """Draws every convolution's weights from N(0, gain), batch norm's scales from N(1, gain), and zeroes all biases.

    DCGAN Sec. 3 states 0.02 for the weights; N(1, 0.02) for the scales is DCGAN's published code.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, gain)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
