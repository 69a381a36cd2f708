"""InfoGAN: "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets", Chen
et al., arXiv 1606.03657.

Official code: openai/InfoGAN. Where we differ on purpose:
- the mutual information term trains G and Q's own layers, in the G step. D's layers, whose features Q gets, are trained
  by the GAN loss only. The official code adds the term to D's loss, too.
- the noise z is Gaussian, and the networks are DCGAN's, for any of its sizes, without the dense layers of Appendix C.
- Q models a continuous code as a Gaussian of variance 1, as the official code does for MNIST (``fix_std``). Its
  negative log-likelihood is half the squared error plus a constant, which is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind
from img2img.models.base import Batch, Images, Terms
from img2img.models.base_noise import NoiseModel, check_drawing_options
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.dcgan import CodeHead, Discriminator, Generator

REACH = 2.0  # traversals show continuous codes from -2 to 2 (Fig. 2); training draws them from [-1, 1]
COLUMNS = 9  # of a sample grid, and steps of a continuous code's traversal
ROWS = 16  # of a sample grid, at most


class InfoGAN(NoiseModel):
    """G generates images from noise and codes, D classifies images as real or fake, Q predicts the codes."""

    @dataclass
    class Config:
        """Networks, codes and losses of InfoGAN."""

        everyday: ClassVar = "size num_categorical categories num_continuous noise_dim ngf ndf gan_loss".split()

        name: Literal["infogan"] = "infogan"
        """Name of the model; set by --model."""
        size: int | None = None
        """Side of the images in pixels: 32, 64, 128 or 256. It sets the depth of the networks. Default:
        data.crop_size."""
        num_categorical: int = 1
        """Number of categorical codes, named d1, d2, ... (Appendix C: 1 for MNIST, 10 for CelebA)."""
        categories: int = 10
        """Number of values of each categorical code."""
        num_continuous: int = 2
        """Number of continuous codes, named c1, c2, ..., drawn uniformly from [-1, 1]."""
        noise_dim: int = 62
        """Length of the noise vector z, without the codes (Appendix C.1: 62)."""
        ngf: int = 64
        """Feature maps of the generator before its last layer (Appendix C: 64); earlier layers have up to 8 x ngf."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer (Appendix C: 64); deeper layers have up to 8 x ndf."""
        norm: Norm = "batch"
        """Normalisation layers of the generator, except at its output, and of Q."""
        norm_d: Norm = "batch"
        """Normalisation layers of the discriminator, except at its input."""
        upsample: Upsample = "deconv"
        """Upsampling in the generator: deconv (transposed convolution, as in the paper) or resize (nearest neighbour
        and a 3x3 convolution; avoids checkerboard artifacts)."""
        gan_loss: LossKind = "vanilla"
        """Adversarial loss. The paper's is vanilla. wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_categorical: float = 1.0
        """Weight of the mutual information with the categorical codes (Sec. 6: 1)."""
        lambda_continuous: float = 1.0
        """Weight of the mutual information with the continuous codes. 1 is the official code's; with 0.1 a generator of
        digits ignores these codes."""
        init_gain: float = 0.02
        """Standard deviation of the initial convolution weights, drawn from N(0, init_gain)."""

        def __post_init__(self) -> None:
            check_drawing_options(self)
            at_least = {"num_categorical": 0, "categories": 2, "num_continuous": 0}
            at_least |= {"lambda_categorical": 0, "lambda_continuous": 0}
            require_at_least("model", self, at_least)
            if not self.num_categorical + self.num_continuous:
                raise ValueError(
                    "model.num_categorical and model.num_continuous are both 0: set one of them, or use --model dcgan"
                )

    generators = ("generator", "recogniser")  # Q is trained with G
    discriminators = ("discriminator",)
    update_order = ("discriminator", "generator")

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        size = config.size or 64
        self.split = [config.categories] * config.num_categorical + [
            config.num_continuous
        ]  # sizes of the codes (B, sum)
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
        """``z`` (count, noise_dim) and ``codes`` (count, sum of sizes): one-hot categorical codes, then continuous
        ones.
        """
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
        """Eq. 1: D maximises V(D, G) = E[log D(x)] + E[log(1 - D(G(z, c)))]."""
        real, fake = self.gan.inputs(batch["target"], images["output"])
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return terms | self.gan.penalty(self.discriminator, real, fake), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 6: V(D, G) - lambda L_I(G, Q), where L_I(G, Q) = E[log Q(c|x)] + H(c) (Eq. 5). The entropy H(c) of the
        codes is a constant and left out.
        """
        fake = self.gan.input(images["output"])
        *_, features, logits = self.discriminator(fake, return_features=True)
        terms = {"gan": self.gan.generator_loss(logits)}
        *categorical, continuous = images["codes"].split(self.split, dim=1)
        *code_logits, means = self.recogniser(features).split(self.split, dim=1)
        statistics = {}
        if categorical:
            nll = [
                -(code * predicted.log_softmax(1)).sum(1).mean()
                for code, predicted in zip(categorical, code_logits, strict=True)
            ]
            terms["code_categorical"] = self.config.lambda_categorical * torch.stack(nll).sum()
            accuracies = [
                (code.argmax(1) == predicted.argmax(1)).float().mean()
                for code, predicted in zip(categorical, code_logits, strict=True)
            ]
            statistics["accuracy_code"] = torch.stack(accuracies).mean()
        if self.config.num_continuous:
            nll_continuous = 0.5 * (continuous - means).square().sum(1).mean()
            terms["code_continuous"] = self.config.lambda_continuous * nll_continuous
        return terms, statistics

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        return {"output": self.generator(torch.cat([batch["z"], batch["codes"]], dim=1))}

    @property
    def codes(self) -> Mapping[str, Sequence[float]]:
        """The codes by name: d1, d2, ... with all their values; c1, c2, ... with steps from -2 to 2."""
        config = self.config
        steps = [REACH * (2 * i / (COLUMNS - 1) - 1) for i in range(COLUMNS)]
        categorical: dict[str, Sequence[float]] = {
            f"d{i + 1}": range(config.categories) for i in range(config.num_categorical)
        }
        return categorical | {f"c{i + 1}": steps for i in range(config.num_continuous)}

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
        """Fixed noise of the sample grid: a row for each value of d1 and a column for each of c1, with everything else
        the same. Without c1 each column has its own noise; without d1 each row has.
        """
        generator = torch.Generator().manual_seed(0)
        if "d1" not in self.codes:
            return [self.traversal(self.noise(1, generator), "c1") for _ in range(COLUMNS)]
        drawn = self.noise(1 if "c1" in self.codes else COLUMNS, generator)
        row = self.traversal(drawn, "c1") if "c1" in self.codes else drawn
        return [self.with_code(row, "d1", value) for value in self.codes["d1"][:ROWS]]
