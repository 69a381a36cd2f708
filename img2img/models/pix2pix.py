"""pix2pix: "Image-to-Image Translation with Conditional Adversarial Networks", Isola et al., arXiv 1611.07004.

Official code: phillipi/pix2pix (Lua) and junyanz/pytorch-CycleGAN-and-pix2pix. Where we differ on purpose:
- the GAN loss is LSGAN by default, which trains more steadily; ``gan_loss: vanilla`` is the paper's.
- at inference dropout is off and batch norm uses its running statistics, so that an image has one answer; both of the
  paper's ways (Sec. 3.3) are options of ``inference``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import GanLoss
from img2img.models.base import Batch, Images, Model, Terms, check_patches
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.generators import build_generator
from img2img.networks.patchgan import PatchGAN


class Pix2Pix(Model):
    """A U-Net translates, a PatchGAN tells real from fake in (input, output) pairs."""

    @dataclass
    class Config:
        """Networks and losses of pix2pix."""

        everyday: ClassVar = "generator num_downs n_blocks ngf ndf n_layers_d norm dropout gan_loss lambda_l1".split()

        name: Literal["pix2pix"] = "pix2pix"
        """The model, as --model names it."""
        generator: Literal["unet", "resnet"] = "unet"
        """Architecture of the generator: the paper's U-Net, or CycleGAN's ResNet."""
        num_downs: int = 8
        """How often the U-Net halves the image: 8 for 256x256. crop_size must be a multiple of 2^num_downs."""
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
        """Weight of the L1 distance to the target (Sec. 3.1 and 4)."""
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
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.generator = build_generator(
            config, channels["input"], channels["target"], dropout_innermost=config.dropout_innermost
        )
        self.discriminator = PatchGAN(
            in_channels=channels["input"] + channels["target"],
            ndf=config.ndf,
            n_layers=config.n_layers_d,
            norm=config.norm,
            init_gain=config.init_gain,
            last_bias=config.last_bias_d,
        )

    def forward(self, batch: Batch) -> Images:
        return {"output": self.generator(batch["input"])}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 1, E[log D(x, y)] + E[log(1 - D(x, G(x, z)))]: D maximises it, halved (Sec. 3.3)."""
        x, y = batch["input"], batch["target"]
        real, fake = self.gan.inputs(y, images["output"], condition=x)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake), weight=0.5)
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=x, weight=0.5), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 4: L_cGAN(G, D) + lambda L_L1(G), with L_L1 = E[||y - G(x, z)||_1] (Eq. 3)."""
        x, y = batch["input"], batch["target"]
        fake = self.gan.input(images["output"], condition=x)
        return {
            "gan": self.gan.generator_loss(self.discriminator(fake)),
            "l1": self.config.lambda_l1 * (images["output"] - y).abs().mean(),
        }, {}

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        return {"output": self.generator(batch["input"])}

    def check_size(self, size: int) -> None:
        fitting = (size & -size).bit_length() - 1  # how often 2 divides it
        if self.config.generator == "unet" and 2 <= fitting < self.config.num_downs:
            raise ValueError(
                f"data.crop_size {size} is no multiple of 2^model.num_downs = {self.generator.stride}: "
                f"set model.num_downs {fitting} or another data.crop_size"
            )
        super().check_size(size)
        check_patches(self.discriminator, size)
