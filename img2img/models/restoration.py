"""Restoration: one network repairs an image that was degraded, from pairs that are made while training.

Denoising, deblurring, JPEG artefacts, enlarging, colorization, inpainting: the data set ``degraded`` says what the
input lacks (or real pairs do, ``paired``). The networks are NAFNet (arXiv 2204.04676), the U-Net of pix2pix (arXiv
1611.07004) and the ResNet of CycleGAN (arXiv 1703.10593).

The input decides what the network predicts:
- an image of the same kind: the image itself, or the residual that is added to the input (enlarged, with a scale);
- gray for a target in colour: Lab's a and b. The lightness L of the output is that of the input.
- an image with a mask: what is in the hole, as the difference from a smooth filling (``filled_smoothly``) or as it is.
  All other pixels of the output are those of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind
from img2img.losses.restoration import PIXEL_LOSSES, in_gamut, lab_to_rgb, lightness_of
from img2img.losses.similarity import SimilarityLoss, SSIMKind
from img2img.models.base import Batch, Images, Model, Terms, check_patches
from img2img.networks.nafnet import NAFNet
from img2img.networks.patchgan import PatchGAN
from img2img.networks.resnet import ResNet
from img2img.networks.unet import UNet

AB = 110.0  # Lab's a and b of sRGB lie in [-AB, AB], almost


class Restoration(Model):
    """A generator, trained by the distance to the target; with ``lambda_gan`` also against a PatchGAN."""

    @dataclass
    class Config:
        """Network and losses of restoration."""

        files: ClassVar = ("vgg_weights",)  # options that may change when a run is resumed: paths
        everyday: ClassVar = "network width encoder middle decoder predicts pixel_loss lambda_vgg lambda_ssim".split()

        name: Literal["restoration"] = "restoration"
        """The model, as --model names it."""
        network: Literal["nafnet", "unet", "resnet"] = "nafnet"
        """Generator: nafnet (arXiv 2204.04676), unet (pix2pix's) or resnet (CycleGAN's)."""
        width: int = 32
        """Feature maps of the first layer."""
        encoder: tuple[int, ...] = (2, 2, 4, 8)
        """Blocks before each halving. nafnet only; an entry for each halving."""
        middle: int = 12
        """Blocks at the lowest resolution. nafnet only."""
        decoder: tuple[int, ...] = (2, 2, 2, 2)
        """Blocks after each doubling. nafnet only; as many entries as encoder."""
        num_downs: int = 5
        """Number of times the U-Net halves the image. unet only."""
        n_blocks: int = 9
        """Number of residual blocks. resnet only."""
        predicts: Literal["residual", "image"] = "residual"
        """What the network predicts: the residual, which is added to the input, in holes to a smooth filling, or the
        image. Colours are always predicted as such."""
        scale: int | None = None
        """Side of the output divided by the side of the input. Set to that of the data when a training starts."""
        pixel_loss: Literal["l1", "charbonnier", "mse"] = "l1"
        """Distance of the pixels: l1, charbonnier (a smooth l1, arXiv 1704.03915) or mse."""
        lambda_pixel: float = 1.0
        """Weight of pixel_loss."""
        lambda_vgg: float = 0.0
        """Weight of the distance of VGG19 features (arXiv 1603.08155); 0: none, and VGG19 isn't needed."""
        vgg_weights: str | None = None
        """File of torchvision's vgg19 weights, for lambda_vgg (unset: downloaded once)."""
        ssim: SSIMKind = "ssim"
        """Kind of lambda_ssim's loss: ssim, or ms_ssim (arXiv 1511.08861)."""
        lambda_ssim: float = 0.0
        """Weight of 1 - SSIM; 0: none."""
        lambda_gan: float = 0.0
        """Weight of the adversarial loss; 0: none, and no discriminator."""
        gan_loss: LossKind = "lsgan"
        """Adversarial loss, for lambda_gan."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer, for lambda_gan."""
        n_layers_d: int = 3
        """Number of strided layers of the PatchGAN, for lambda_gan."""

        def __post_init__(self) -> None:
            least = {"width": 1, "middle": 0, "num_downs": 2, "n_blocks": 1, "ndf": 1, "n_layers_d": 0}
            weights = ("lambda_pixel", "lambda_vgg", "lambda_ssim", "lambda_gan")
            require_at_least("model", self, least | dict.fromkeys(weights, 0))
            if len(self.encoder) != len(self.decoder) or not self.encoder or min(*self.encoder, *self.decoder) < 0:
                raise ValueError(
                    f"model.encoder {list(self.encoder)} and model.decoder {list(self.decoder)}: give one number of "
                    "blocks for each halving and each doubling, as many to both"
                )
            if not any(getattr(self, weight) for weight in weights):
                raise ValueError(f"{', '.join(f'model.{weight}' for weight in weights)} are all 0: set one of them")

    dataset = ("degraded", "paired")
    generators = ("generator",)
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")
    defaults: ClassVar = {"data.batch_size": 16, "optim.lr": 5e-4, "optim.betas": (0.9, 0.99)}

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.scale = config, config.scale or 1
        self.colours = channels["input"] == 1 and channels["target"] == 3
        self.holes = channels.get("mask", 0) > 0
        self.adds_input = config.predicts == "residual" and not self.colours
        self.generator = build_network(
            config,
            in_channels=channels["input"] + channels.get("mask", 0),
            out_channels=2 if self.colours else channels["target"],
            scale=self.scale,
            bounded=not self.adds_input,
        )
        if config.lambda_gan:
            self.discriminators = ("discriminator",)
            self.gan = GANLoss(config.gan_loss)
            self.discriminator = PatchGAN(in_channels=channels["target"], ndf=config.ndf, n_layers=config.n_layers_d)
        self.similarity = SimilarityLoss(config, channels["target"])

    def forward(self, batch: Batch) -> Images:
        if not self.colours:
            return self.generate(batch)
        lightness, ab = self._colours(batch["input"])
        return {"output": lab_to_rgb(lightness, ab)}  # outside of [-1, 1] where sRGB has no such colour

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        x = batch["input"]  # (B, C, H, W)
        if self.colours:
            return {"output": in_gamut(*self._colours(x))}
        if self.holes:
            mask = batch["mask"]  # (B, 1, H, W), 1 in the hole, -1 elsewhere
            smooth = filled_smoothly(x, mask > 0)
            filled = self.generator(torch.cat([smooth, mask], dim=1))
            filled = smooth + filled if self.adds_input else filled
            return {"output": torch.where(mask > 0, filled, x)}
        output = self.generator(x)  # (B, C', scale H, scale W)
        return {"output": output + enlarged(x, self.scale) if self.adds_input else output}

    def _colours(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """The lightness of a gray image (B, 1, H, W), in [0, 100], and the colours (B, 2, H, W) predicted for it."""
        return lightness_of(gray), AB * self.generator(gray).float()

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """The weighted sum of the distances between output and target."""
        output, target, config = images["output"], batch["target"], self.config
        terms: Terms = {}
        if config.lambda_pixel:
            terms[config.pixel_loss] = config.lambda_pixel * PIXEL_LOSSES[config.pixel_loss](output, target)
        terms |= self.similarity(output, target)
        if config.lambda_gan:
            logits = self.discriminator(self.gan.input(output))
            terms["gan"] = config.lambda_gan * self.gan.generator_loss(logits)
        return terms, {}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Only with ``lambda_gan``: targets are real, outputs fake."""
        real, fake = self.gan.inputs(batch["target"], images["output"])
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake), weight=0.5)
        return terms | self.gan.penalty(self.discriminator, real, fake, weight=0.5), statistics

    def load_pretrained(self) -> None:
        self.similarity.load()

    def check_size(self, size: int) -> None:
        super().check_size(size)
        target = size * self.scale
        if self.config.lambda_gan:
            check_patches(self.discriminator, target)
        self.similarity.check_size(target)


def build_network(
    config: Restoration.Config, *, in_channels: int, out_channels: int, scale: int, bounded: bool
) -> nn.Module:
    """The generator (B, in_channels, H, W) -> (B, out_channels, scale * H, scale * W).

    Args:
        config: the model's options.
        in_channels, out_channels: channels of its input and output.
        scale: side of the output divided by the side of the input.
        bounded: end with tanh.
    """
    if config.network == "nafnet":
        network = NAFNet(
            in_channels,
            out_channels,
            width=config.width,
            encoder=config.encoder,
            middle=config.middle,
            decoder=config.decoder,
            scale=scale,
        )
        return Bounded(network) if bounded else network
    inner: UNet | ResNet
    if config.network == "unet":
        inner = UNet(
            in_channels,
            out_channels,
            ngf=config.width,
            num_downs=config.num_downs,
            norm="none",
            dropout=False,
            bounded=bounded,
        )
    else:
        inner = ResNet(
            in_channels, out_channels, ngf=config.width, n_blocks=config.n_blocks, norm="none", bounded=bounded
        )
    return Enlarging(inner, scale) if scale > 1 else inner


class Bounded(nn.Module):
    """A network followed by tanh."""

    def __init__(self, network: NAFNet) -> None:
        super().__init__()
        self.network, self.stride, self.smallest_input = network, network.stride, network.smallest_input

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).tanh()


class Enlarging(nn.Module):
    """A network that sees the enlarged image."""

    def __init__(self, network: UNet | ResNet, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale
        self.stride, self.smallest_input = network.stride, network.smallest_input

    def forward(self, x: Tensor) -> Tensor:
        return self.network(enlarged(x, self.scale))


def filled_smoothly(x: Tensor, hole: Tensor) -> Tensor:
    """The images (B, C, H, W) with their holes (B, 1, H, W) filled from coarse to fine: missing pixels are those of the
    filled image of half the size, enlarged.

    "Pull-push": Gortler et al., "The Lumigraph", SIGGRAPH 1996, Sec. 3.5. What is inside the holes of ``x`` is ignored.
    """
    known = (~hole).to(x.dtype)
    height, width = x.shape[-2:]
    if min(height, width) == 1:
        total = known.sum((2, 3), keepdim=True).clamp(min=1)
        return torch.where(hole, (x * known).sum((2, 3), keepdim=True) / total, x)
    share = F.avg_pool2d(known, 2, ceil_mode=True)  # of each square that is known
    mean = F.avg_pool2d(x * known, 2, ceil_mode=True) / share.clamp(min=1 / 4)
    coarse = filled_smoothly(mean, share == 0)
    return torch.where(hole, F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False), x)


def enlarged(x: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, scale * H, scale * W) by bicubic interpolation."""
    return x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=False)
