"""DCGAN: "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", Radford et al.

arXiv 1511.06434; with ``num_classes`` conditional, after "Conditional Generative Adversarial Nets", Mirza and Osindero,
arXiv 1411.1784.

Official code: Newmu/dcgan_code (Theano) and soumith/dcgan.torch. Where we differ on purpose:
- the noise is Gaussian, as in soumith/dcgan.torch and most work since; the paper's is uniform on [-1, 1].
- the discriminator's normalisation can be another than the generator's, which WGAN-GP's critic needs (arXiv 1704.00028,
  Sec. 4: no batch norm, since it makes the logit of one image depend on the others).
- conditional, the classes of the fakes are those of the batch's real images, so that D can't tell fakes by them; D
  sees a class as one-hot maps beside the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import GanLoss
from img2img.models.base import Batch, Images, Terms
from img2img.models.base_noise import NoiseModel, check_drawing_options
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.dcgan import Discriminator, Generator

ROWS = 16  # of a conditional sheet, at most
COLUMNS = 8  # of a sheet


class DCGAN(NoiseModel):
    """G draws images from noise, D tells real from fake; both may be conditioned on a class."""

    @dataclass
    class Config:
        """Networks and losses of DCGAN."""

        everyday: ClassVar = "size num_classes noise_dim ngf ndf norm norm_d gan_loss".split()

        name: Literal["dcgan"] = "dcgan"
        """The model, as --model names it."""
        size: int | None = None
        """Side of the images in pixels, which decides how deep the networks are: 32, 64 (paper), 128, 256; unset,
        data.crop_size."""
        num_classes: int = 0
        """Classes that both networks are conditioned on, as many as the set has; 0 for a model without."""
        noise_dim: int = 100
        """Length of the noise z (Fig. 1)."""
        ngf: int = 64
        """Feature maps of the generator's last level; 64 in the authors' code, 128 in the paper's Fig. 1."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer."""
        norm: Norm = "batch"
        """Normalisation in the generator, but for its output (Sec. 3)."""
        norm_d: Norm = "batch"
        """Normalisation in the discriminator, but for its input; WGAN-GP wants layer, instance or none."""
        upsample: Upsample = "deconv"
        """How the generator enlarges: deconv (paper) or resize, which leaves no checkerboards."""
        gan_loss: GanLoss = "vanilla"
        """Adversarial loss; vanilla is the paper's; wasserstein needs balance.gradient_penalty or optim.clip_d."""
        init_gain: float = 0.02
        """Standard deviation of the initial weights (Sec. 4)."""

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
        """E[log D(x|y)] + E[log(1 - D(G(z|y)))]: arXiv 1406.2661, Eq. 1; with classes y arXiv 1411.1784, Eq. 2."""
        y = self.condition(batch)
        real, fake = self.gan.inputs(batch["target"], images["output"], condition=y)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=y), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        fake = self.gan.input(images["output"], condition=self.condition(batch))
        return {"gan": self.gan.generator_loss(self.discriminator(fake))}, {}

    def condition(self, batch: Batch) -> Tensor | None:
        """The classes as D sees them, one-hot maps (B, N, S, S); None without classes."""
        if not self.num_classes:
            return None
        size = batch["target"].shape[-1]
        return self.one_hot(batch)[:, :, None, None].expand(-1, -1, size, size)

    def one_hot(self, batch: Batch) -> Tensor:
        """The classes one-hot: (B,) -> (B, N)."""
        return F.one_hot(batch["class"], self.num_classes).float()

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        z = batch["z"]
        return {"output": self.generator(torch.cat([z, self.one_hot(batch)], dim=1) if self.num_classes else z)}

    def sheet(self) -> list[Batch]:
        """8x8 images; conditional, a row for each class (of the first 16) and a column for each z."""
        generator = torch.Generator().manual_seed(0)
        if not self.num_classes:
            return [self.noise(COLUMNS, generator) for _ in range(COLUMNS)]
        columns = self.noise(COLUMNS, generator)
        return [{**columns, "class": torch.full((COLUMNS,), i)} for i in range(min(self.num_classes, ROWS))]
