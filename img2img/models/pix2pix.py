"""pix2pix: "Image-to-Image Translation with Conditional Adversarial Networks", Isola et al., arXiv 1611.07004.

Official code: phillipi/pix2pix (Lua) and junyanz/pytorch-CycleGAN-and-pix2pix. Where we differ on purpose:
- the GAN loss is LSGAN by default, which trains more steadily; ``gan_loss: vanilla`` is the paper's.
- at inference dropout is off and batch norm uses its running statistics, so that a picture has one answer; both of the
  paper's ways (Sec. 3.4) are options of ``inference``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.losses.adversarial import Adversary
from img2img.losses.gan import GanLoss
from img2img.models.base import Batch, Images, Model, Terms, check_multiple, check_patches
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.patchgan import PatchGAN
from img2img.networks.resnet import ResNet
from img2img.networks.unet import UNet


class Pix2Pix(Model):
    """A U-Net translates, a PatchGAN judges (input, output) pairs."""

    @dataclass
    class Config:
        """Networks and losses of pix2pix."""

        everyday: ClassVar = "generator num_downs n_blocks ngf ndf n_layers_d norm dropout gan_loss lambda_l1".split()

        name: Literal["pix2pix"] = "pix2pix"
        """The model, as --model names it."""
        generator: Literal["unet", "resnet"] = "unet"
        """Architecture of the generator: the paper's U-Net, or CycleGAN's ResNet."""
        num_downs: int = 8
        """How often the U-Net halves the picture: 8 for 256x256. crop_size must be a multiple of 2^num_downs."""
        n_blocks: int = 9
        """Residual blocks of a ResNet."""
        ngf: int = 64
        """Feature maps of the generator's first layer."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer."""
        n_layers_d: int = 3
        """Strided layers of the PatchGAN: 0, 1, 3, 5 judge patches of 1, 16, 70, 286 pixels."""
        last_bias_d: bool = False
        """Of n_layers_d 0 with batch norm: a bias in the last layer, as imported weights of older code have it."""
        norm: Norm = "batch"
        """Normalisation in both networks."""
        dropout: bool = True
        """Dropout in the generator's inner levels, the paper's noise; of a ResNet, in its residual blocks."""
        dropout_innermost: bool = True
        """Whether the U-Net's dropout begins in the innermost level (paper) or beside it (the PyTorch port)."""
        upsample: Upsample = "deconv"
        """How the decoder enlarges: deconv (paper) or resize, which leaves no checkerboards."""
        gan_loss: GanLoss = "lsgan"
        """Adversarial loss; the paper's is vanilla; wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_l1: float = 100.0
        """Weight of the L1 distance to the target (Sec. 3.3 and 4)."""
        init_gain: float = 0.02
        """Standard deviation of the initial weights."""

        def __post_init__(self) -> None:
            at_least = {"num_downs": 2, "n_blocks": 1, "ngf": 1, "ndf": 1, "n_layers_d": 0, "lambda_l1": 0}
            for key, least in at_least.items():
                if getattr(self, key) < least:
                    raise ValueError(f"model.{key} {getattr(self, key)}: must be at least {least}")
            if self.init_gain <= 0:
                raise ValueError(f"model.init_gain {self.init_gain}: must be positive")

    dataset = "paired"
    generators = ("generator",)
    discriminators = ("discriminator",)
    update_order = ("discriminator", "generator")
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.adversary = config, Adversary(config.gan_loss)
        c_in, c_out = channels["input"], channels["target"]
        drawn = (config.norm, config.dropout, config.upsample, config.init_gain)
        self.generator: UNet | ResNet = (
            ResNet(c_in, c_out, config.ngf, config.n_blocks, 2, *drawn)
            if config.generator == "resnet"
            else UNet(c_in, c_out, config.num_downs, config.ngf, *drawn, config.dropout_innermost)
        )
        drawn_d = (config.ndf, config.n_layers_d, config.norm, config.init_gain)
        self.discriminator = PatchGAN(c_in + c_out, *drawn_d, last_bias=config.last_bias_d)

    def forward(self, batch: Batch) -> Images:
        return {"output": self.generator(batch["input"])}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        x, y = batch["input"], batch["target"]
        return self.adversary.discriminator_loss(self.discriminator, y, images["output"], x)

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        (seen,) = self.adversary.look(batch["input"], images["output"])
        return {
            "gan": self.adversary.generator_loss(self.discriminator(seen)),
            "l1": self.config.lambda_l1 * (images["output"] - batch["target"]).abs().mean(),
        }, {}

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        return {"output": self.generator(batch["input"])}

    def check_size(self, size: int) -> None:
        stride = self.generator.stride
        if self.config.generator == "resnet":
            check_multiple(self.generator, size)
        elif size % stride:
            fitting = (size & -size).bit_length() - 1  # how often 2 divides it
            raise ValueError(
                f"data.crop_size {size} is no multiple of 2^model.num_downs = {stride}: "
                f"set model.num_downs {fitting} or another data.crop_size"
                if fitting >= 2
                else f"data.crop_size {size}: must be a multiple of 2^model.num_downs = {stride}"
            )
        check_patches(self.discriminator, size)
