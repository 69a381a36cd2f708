"""DCGAN: "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", Radford et al.

arXiv 1511.06434; with ``num_classes`` conditional, after "Conditional Generative Adversarial Nets", Mirza and Osindero,
arXiv 1411.1784.

Official code: Newmu/dcgan_code (Theano) and soumith/dcgan.torch. Where we differ on purpose:
- the noise is Gaussian, as in soumith/dcgan.torch and most later work. The paper's is uniform on [-1, 1].
- discriminator and generator have separate options for normalisation. WGAN-GP's critic must not have batch norm, which
  makes the logit of an image depend on the other images (arXiv 1704.00028, Sec. 4).
- in the conditional model, fakes get the classes of the batch's real images, so that D can't recognise fakes by their
  classes. D sees the class as one-hot maps, concatenated to the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind
from img2img.models.base import Batch, Images, Terms
from img2img.models.base_noise import NoiseModel, check_drawing_options
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.dcgan import Discriminator, Generator

ROWS = 16  # of a conditional sample grid, at most
COLUMNS = 8  # of a sample grid


class DCGAN(NoiseModel):
    """G generates images from noise, D classifies images as real or fake; both may be conditioned on a class."""

    @dataclass
    class Config:
        """Networks and losses of DCGAN."""

        everyday: ClassVar = "size num_classes noise_dim ngf ndf norm norm_d gan_loss".split()

        name: Literal["dcgan"] = "dcgan"
        """Name of the model; set by --model."""
        size: int | None = None
        """Side of the images in pixels: 32, 64 (paper), 128 or 256. It sets the depth of the networks. Default:
        data.crop_size."""
        num_classes: int = 0
        """Number of classes that both networks are conditioned on: the number of classes of the data set, or 0 for an
        unconditional model (conditional: arXiv 1411.1784)."""
        noise_dim: int = 100
        """Length of the noise vector z (Fig. 1: 100)."""
        ngf: int = 64
        """Feature maps of the generator before its last layer: 64 in the official code, 128 in the paper (Fig. 1).
        Earlier layers have up to 8 x ngf."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer; deeper layers have up to 8 x ndf."""
        norm: Norm = "batch"
        """Normalisation layers of the generator, except at its output (Sec. 3: batch)."""
        norm_d: Norm = "batch"
        """Normalisation layers of the discriminator, except at its input (Sec. 3: batch). With balance.gradient_penalty
        wgan-gp use layer, instance or none (arXiv 1704.00028, Sec. 4)."""
        upsample: Upsample = "deconv"
        """Upsampling in the generator: deconv (transposed convolution, as in the paper) or resize (nearest neighbour
        and a 3x3 convolution; avoids checkerboard artifacts)."""
        gan_loss: LossKind = "vanilla"
        """Adversarial loss. The paper's is vanilla. wasserstein needs balance.gradient_penalty or optim.clip_d."""
        init_gain: float = 0.02
        """Standard deviation of the initial convolution weights, drawn from N(0, init_gain) (Sec. 4: 0.02)."""

        def __post_init__(self) -> None:
            check_drawing_options(self)
            if self.num_classes < 0:
                raise ValueError(f"model.num_classes {self.num_classes}: must not be negative")

    generators = ("generator",)
    discriminators = ("discriminator",)
    update_order = ("discriminator", "generator")

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.num_classes = config.num_classes
        self.generator = Generator(
            in_features=config.noise_dim + config.num_classes,
            out_channels=channels["target"],
            size=config.size or 64,
            ngf=config.ngf,
            norm=config.norm,
            upsample_mode=config.upsample,
            init_gain=config.init_gain,
        )
        self.discriminator = Discriminator(
            in_channels=config.num_classes + channels["target"],
            size=config.size or 64,
            ndf=config.ndf,
            norm=config.norm_d,
            init_gain=config.init_gain,
        )

    def noise(
        self, count: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> Batch:
        return {"z": torch.randn(count, self.config.noise_dim, generator=generator, device=device)}

    def forward(self, batch: Batch) -> Images:
        real = batch["target"]
        return self.generate({**batch, **self.noise(len(real), device=real.device)})

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """D maximises E[log D(x|y)] + E[log(1 - D(G(z|y)))] (arXiv 1406.2661, Eq. 1; with classes y: arXiv 1411.1784,
        Eq. 2).
        """
        y = self.condition(batch)
        real, fake = self.gan.inputs(batch["target"], images["output"], condition=y)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=y), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        fake = self.gan.input(images["output"], condition=self.condition(batch))
        return {"gan": self.gan.generator_loss(self.discriminator(fake))}, {}

    def condition(self, batch: Batch) -> Tensor | None:
        """D's condition: one-hot class maps (B, num_classes, size, size); None for an unconditional model."""
        if not self.num_classes:
            return None
        size = batch["target"].shape[-1]
        return self.one_hot(batch)[:, :, None, None].expand(-1, -1, size, size)

    def one_hot(self, batch: Batch) -> Tensor:
        """The batch's classes (B,) as one-hot vectors (B, num_classes)."""
        return F.one_hot(batch["class"], self.num_classes).float()

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        z = batch["z"]
        return {"output": self.generator(torch.cat([z, self.one_hot(batch)], dim=1) if self.num_classes else z)}

    def sheet(self) -> list[Batch]:
        """Fixed noise of the sample grid: 8x8 images; conditional, a row for each of the first 16 classes and a column
        for each z.
        """
        generator = torch.Generator().manual_seed(0)
        if not self.num_classes:
            return [self.noise(COLUMNS, generator) for _ in range(COLUMNS)]
        columns = self.noise(COLUMNS, generator)
        return [{**columns, "class": torch.full((COLUMNS,), i)} for i in range(min(self.num_classes, ROWS))]
