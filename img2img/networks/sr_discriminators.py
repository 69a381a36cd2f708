"""Discriminators of super-resolution: SRGAN's, ESRGAN's VGG-style one and Real-ESRGAN's U-Net with spectral norm.

- SRGANDiscriminator: "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", Ledig et
  al., arXiv 1609.04802, Fig. 4. Where we differ: the paper's is fixed to images of 96 x 96 pixels.
- VGGDiscriminator: of "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", Wang et al., arXiv
  1809.00219. Official code: XPixelGroup/BasicSR. The paper gives no layers.
- UNetDiscriminator: "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", Wang et al.,
  arXiv 2107.10833, Fig. 6. Official code: xinntao/Real-ESRGAN. Where we differ: images need not have sides that are
  multiples of 8; feature maps are enlarged to the size of those they are added to.

Images are in [0, 1], as in the official code. Networks with official code have its state-dict names.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from img2img.networks.super_resolution import conv3, leaky


class SRGANDiscriminator(nn.Module):
    """(B, in_channels, H, W) in [0, 1] -> logits (B, 1), of images of any size from 16 pixels.

    The paper's is fixed to images of 96 x 96 pixels, whose last feature maps have 6 x 6 values. Those of other images
    are pooled to this size (adaptive average pooling), which changes nothing at 96 x 96.

    Args:
        in_channels: channels of the images.
        width: feature maps of the first layer; the last ones have 8 times as many.
    """

    smallest_input = 16

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv3(in_channels, width), nn.LeakyReLU(0.2, inplace=True)]
        channels = width
        for factor, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
            conv = nn.Conv2d(channels, factor * width, 3, stride, padding=1, bias=False)
            channels = factor * width
            layers += [conv, nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.linear1, self.linear2 = nn.Linear(channels * 6 * 6, 16 * width), nn.Linear(16 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x)).flatten(1)
        return self.linear2(leaky(self.linear1(x)))


class VGGDiscriminator(nn.Module):
    """(B, in_channels, size, size) in [0, 1] -> logits (B, 1).

    Args:
        in_channels: channels of the images.
        width: feature maps of the first layer; the last ones have 8 times as many.
        size: side of the images, in pixels: 128 or 256.

    Raises:
        ValueError: another size.
    """

    def __init__(self, in_channels: int, *, width: int = 64, size: int = 128) -> None:
        super().__init__()
        if size not in (128, 256):
            raise ValueError(
                f"data.crop_size {size}: model.discriminator vgg takes 128 or 256 only; set one of them, or "
                "model.discriminator srgan or unet"
            )
        self.smallest_input, self.n_stages = size, 5 if size == 128 else 6
        channels = in_channels
        for stage in range(self.n_stages):
            wide = width * min(2**stage, 8)
            self.add_module(f"conv{stage}_0", nn.Conv2d(channels, wide, 3, padding=1, bias=stage == 0))
            if stage > 0:
                self.add_module(f"bn{stage}_0", nn.BatchNorm2d(wide))
            self.add_module(f"conv{stage}_1", nn.Conv2d(wide, wide, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{stage}_1", nn.BatchNorm2d(wide))
            channels = wide
        self.linear1, self.linear2 = nn.Linear(channels * 4 * 4, 100), nn.Linear(100, 1)

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(self.n_stages):
            for place in (0, 1):
                x = self.get_submodule(f"conv{stage}_{place}")(x)
                if (stage, place) != (0, 0):  # the first layer has no batch norm
                    x = self.get_submodule(f"bn{stage}_{place}")(x)
                x = leaky(x)
        return self.linear2(leaky(self.linear1(x.flatten(1))))


class UNetDiscriminator(nn.Module):
    """(B, in_channels, H, W) in [0, 1] -> logits (B, 1, H, W), of images of any size from 8 pixels.

    All layers but the first and the last have spectral norm.

    Args:
        in_channels: channels of the images.
        width: feature maps of the first layer; the lowest resolution has 8 times as many.
    """

    smallest_input = 8

    def __init__(self, in_channels: int, *, width: int = 64) -> None:
        super().__init__()
        self.conv0 = conv3(in_channels, width)
        self.conv1, self.conv2, self.conv3 = (normalised_down(width * 2**level) for level in range(3))
        self.conv4 = normalised(8 * width, 4 * width)
        self.conv5 = normalised(4 * width, 2 * width)
        self.conv6 = normalised(2 * width, width)
        self.conv7, self.conv8 = normalised(width, width), normalised(width, width)
        self.conv9 = conv3(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x0 = leaky(self.conv0(x))
        x1 = leaky(self.conv1(x0))
        x2 = leaky(self.conv2(x1))
        x3 = leaky(self.conv3(x2))
        x = leaky(self.conv4(enlarge_to(x3, x2))) + x2
        x = leaky(self.conv5(enlarge_to(x, x1))) + x1
        x = leaky(self.conv6(enlarge_to(x, x0))) + x0
        return self.conv9(leaky(self.conv8(leaky(self.conv7(x)))))


def normalised(in_channels: int, out_channels: int) -> nn.Module:
    """A 3x3 convolution with spectral norm and without bias."""
    return spectral_norm(conv3(in_channels, out_channels, bias=False))


def normalised_down(channels: int) -> nn.Module:
    """(B, channels, H, W) -> (B, 2 * channels, H / 2, W / 2), rounded down; with spectral norm and without bias."""
    return spectral_norm(nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=False))


def enlarge_to(x: Tensor, other: Tensor) -> Tensor:
    """x (B, C, h, w), enlarged bilinearly to the height and width of ``other``."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
