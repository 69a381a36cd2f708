"""InfoGAN: "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets", Chen
et al., arXiv 1606.03657.

Official code: openai/InfoGAN. Where we differ on purpose:
- G and the layers that are Q's own learn the mutual information, in the generator's step; D's body, which Q reads,
  learns from real and fake alone. The authors' code adds the term to D's loss, too.
- the noise z is Gaussian, and the networks are DCGAN's of any size, without the dense layers of the paper's Appendix C.
- Q of a continuous code is a Gaussian of variance 1, as the authors' code has it for MNIST (``fix_std``): its negative
  log-likelihood is then half the squared error, up to a constant, which is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import GanLoss
from img2img.models.base import Batch, Images, Terms
from img2img.models.base_noise import NoiseModel, check_drawing_options
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.dcgan import CodeHead, Discriminator, Generator

REACH = 2.0  # a continuous code is drawn from [-1, 1] and shown from -2 to 2 (Fig. 2)
COLUMNS = 9  # of a sheet, and steps of a continuous code
ROWS = 16  # of a sheet, at most


class InfoGAN(NoiseModel):
    """G draws from noise and codes, D tells real from fake, the recogniser Q finds the codes again in G's images."""

    @dataclass
    class Config:
        """Networks, codes and losses of InfoGAN."""

        everyday: ClassVar = "size num_categorical categories num_continuous noise_dim ngf ndf gan_loss".split()

        name: Literal["infogan"] = "infogan"
        """The model, as --model names it."""
        size: int | None = None
        """Side of the images in pixels, which decides how deep the networks are: 32, 64, 128, 256; unset,
        data.crop_size."""
        num_categorical: int = 1
        """Categorical codes, d1, d2, ...: 1 for MNIST, 10 for faces (Appendix C)."""
        categories: int = 10
        """Values of each of them."""
        num_continuous: int = 2
        """Continuous codes, c1, c2, ..., uniform on [-1, 1]."""
        noise_dim: int = 62
        """Length of the noise z that is no code (Appendix C.1)."""
        ngf: int = 64
        """Feature maps of the generator's last level (Appendix C)."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer (Appendix C)."""
        norm: Norm = "batch"
        """Normalisation in the generator and in Q's own layer."""
        norm_d: Norm = "batch"
        """Normalisation in the discriminator, but for its input."""
        upsample: Upsample = "deconv"
        """How the generator enlarges: deconv (paper) or resize, which leaves no checkerboards."""
        gan_loss: GanLoss = "vanilla"
        """Adversarial loss; vanilla is the paper's; wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_categorical: float = 1.0
        """Weight of the categorical codes' information (Sec. 6: 1)."""
        lambda_continuous: float = 1.0
        """Weight of the continuous codes' information: 1 in the authors' code, too, with a variance of 1; with 0.1 the
        digits' generator leaves these codes alone."""
        init_gain: float = 0.02
        """Standard deviation of the initial weights."""

        def __post_init__(self) -> None:
            check_drawing_options(self)
            at_least = {"num_categorical": 0, "categories": 2, "num_continuous": 0}
            at_least |= {"lambda_categorical": 0, "lambda_continuous": 0}
            for key, least in at_least.items():
                if getattr(self, key) < least:
                    raise ValueError(f"model.{key} {getattr(self, key)}: must be at least {least}")
            if not self.num_categorical + self.num_continuous:
                raise ValueError(
                    "model.num_categorical and model.num_continuous are both 0: dcgan is the model without"
                )

    generators = ("generator", "recogniser")  # Q learns along with G
    discriminators = ("discriminator",)
    update_order = ("discriminator", "generator")

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        size = config.size or 64
        self.split = [config.categories] * config.num_categorical + [config.num_continuous]  # of the codes, (B, sum)
        self.generator = Generator(
            in_features=config.noise_dim + sum(self.split),
            out_channels=channels["target"],
            size=size,
            ngf=config.ngf,
            norm=config.norm,
            upsample_mode=config.upsample,
            init_gain=config.init_gain,
        )
        self.discriminator = Discriminator(
            in_channels=channels["target"],
            size=size,
            ndf=config.ndf,
            norm=config.norm_d,
            init_gain=config.init_gain,
        )
        self.recogniser = CodeHead(
            size=size,
            ndf=config.ndf,
            out_features=sum(self.split),
            norm=config.norm,
            init_gain=config.init_gain,
        )

    def noise(
        self, count: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> Batch:
        """z (count, noise_dim), and ``codes`` (count, sum): each categorical one one-hot, then the continuous ones."""
        config = self.config
        z = torch.randn(count, config.noise_dim, generator=generator, device=device)
        shape = (count, config.num_categorical)
        chosen = torch.randint(config.categories, shape, generator=generator, device=device)
        uniform = 2 * torch.rand(count, config.num_continuous, generator=generator, device=device) - 1
        return {"z": z, "codes": torch.cat([F.one_hot(chosen, config.categories).float().flatten(1), uniform], dim=1)}

    def forward(self, batch: Batch) -> Images:
        real = batch["target"]
        drawn = self.noise(len(real), device=real.device)
        return {**self.generate(drawn), "codes": drawn["codes"]}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """V(D, G) = E[log D(x)] + E[log(1 - D(G(z, c)))] (Eq. 1), which D maximises."""
        real, fake = self.gan.inputs(batch["target"], images["output"])
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return terms | self.gan.penalty(self.discriminator, real, fake), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 6: V(D, G) - lambda L_I(G, Q). L_I is E[log Q(c|x)] (Eq. 5), up to the codes' entropy, a constant."""
        fake = self.gan.input(images["output"])
        *_, features, answer = self.discriminator(fake, return_features=True)
        terms = {"gan": self.gan.generator_loss(answer)}
        *categorical, continuous = images["codes"].split(self.split, dim=1)
        *logits, means = self.recogniser(features).split(self.split, dim=1)
        statistics = {}
        if categorical:
            nll = [
                -(code * guess.log_softmax(1)).sum(1).mean() for code, guess in zip(categorical, logits, strict=True)
            ]
            terms["code_categorical"] = self.config.lambda_categorical * torch.stack(nll).sum()
            right = [(c.argmax(1) == g.argmax(1)).float().mean() for c, g in zip(categorical, logits, strict=True)]
            statistics["accuracy_code"] = torch.stack(right).mean()
        if self.config.num_continuous:
            nll_continuous = 0.5 * (continuous - means).square().sum(1).mean()
            terms["code_continuous"] = self.config.lambda_continuous * nll_continuous
        return terms, statistics

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        return {"output": self.generator(torch.cat([batch["z"], batch["codes"]], dim=1))}

    @property
    def codes(self) -> Mapping[str, Sequence[float]]:
        """d1, d2, ... with all of their values; c1, c2, ... from -2 to 2."""
        config = self.config
        steps = [REACH * (2 * i / (COLUMNS - 1) - 1) for i in range(COLUMNS)]
        found: dict[str, Sequence[float]] = {
            f"d{i + 1}": range(config.categories) for i in range(config.num_categorical)
        }
        return found | {f"c{i + 1}": steps for i in range(config.num_continuous)}

    def with_code(self, batch: Batch, name: str, value: float) -> Batch:
        codes, number = batch["codes"].clone(), int(name[1:]) - 1
        first = number * self.config.categories
        if name.startswith("c"):
            codes[:, self.config.num_categorical * self.config.categories + number] = value
        else:
            codes[:, first : first + self.config.categories] = 0
            codes[:, first + int(value)] = 1
        return {**batch, "codes": codes}

    def sheet(self) -> list[Batch]:
        """A row for each value of d1, a column for each of c1, all else alike; without c1 the columns are draws, and
        without d1 the rows.
        """
        generator = torch.Generator().manual_seed(0)
        if "d1" not in self.codes:
            return [self.traversal(self.noise(1, generator), "c1") for _ in range(COLUMNS)]
        drawn = self.noise(1 if "c1" in self.codes else COLUMNS, generator)
        row = self.traversal(drawn, "c1") if "c1" in self.codes else drawn
        return [self.with_code(row, "d1", value) for value in self.codes["d1"][:ROWS]]
