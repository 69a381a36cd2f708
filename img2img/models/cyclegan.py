"""CycleGAN: "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv 1703.10593.

By Zhu, Park, Isola and Efros. Official code: junyanz/CycleGAN (Lua) and junyanz/pytorch-CycleGAN-and-pix2pix. Where we
differ on purpose:
- a discriminator is named after the domain whose images it sees; the official D_A sees images of B.
- what a network is asked at one point of the step is one batch, since its norm looks at each image alone; with batch
  norm, whose statistics would mix two domains, each domain is a batch of its own.
- each process keeps image pools of its own, and they are saved with the run.

DualGAN (Yi et al., arXiv 1704.02510) is the same model with a Wasserstein critic and no identity loss:
configs/cyclegan/dualgan.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import GanLoss
from img2img.losses.image_pool import ImagePool
from img2img.models.base import Batch, Images, Model, Terms, check_patches
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.generators import build_generator
from img2img.networks.patchgan import PatchGAN


class CycleGAN(Model):
    """Two ResNets translate A into B and B into A, two PatchGANs tell real from fake images of A and of B."""

    @dataclass
    class Config:
        """Networks and losses of CycleGAN."""

        everyday: ClassVar = (
            "generator n_blocks ngf ndf n_layers_d norm gan_loss lambda_cycle lambda_identity pool_size"
        ).split()

        name: Literal["cyclegan"] = "cyclegan"
        """The model, as --model names it."""
        generator: Literal["resnet", "unet"] = "resnet"
        """Architecture of the generators: the paper's ResNet, or pix2pix's U-Net."""
        n_blocks: int | None = None
        """Residual blocks of a generator; unset, the paper's: 9 for a data.crop_size of 256 or more, 6 below."""
        num_downs: int = 8
        """How often a U-Net halves the image."""
        ngf: int = 64
        """Feature maps of a generator's first layer."""
        ndf: int = 64
        """Feature maps of a discriminator's first layer."""
        n_layers_d: int = 3
        """Strided layers of the PatchGANs: 0, 1, 3, 5 judge patches of 1, 16, 70, 286 pixels."""
        last_bias_d: bool = False
        """Of n_layers_d 0 with batch norm: a bias in the last layer, as imported weights of older code have it."""
        norm: Norm = "instance"
        """Normalisation in all networks."""
        dropout: bool = False
        """Dropout in the residual blocks, or in a U-Net's inner levels."""
        upsample: Upsample = "deconv"
        """How the generators enlarge: deconv (paper) or resize, which leaves no checkerboards."""
        gan_loss: GanLoss = "lsgan"
        """Adversarial loss (Sec. 4); wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_cycle: float = 10.0
        """Weight of the cycle loss, the L1 distance of an image to its way there and back (Sec. 3.2 and 4)."""
        lambda_identity: float = 0.5
        """Weight of the identity loss, as a share of lambda_cycle (Sec. 5.2); 0 leaves its two forwards out."""
        lambda_cycle_a: float | None = None
        """lambda_cycle of A alone: of A's cycle A -> B -> A and of A's identity. Unset, lambda_cycle."""
        lambda_cycle_b: float | None = None
        """The same of B."""
        pool_size: int = 50
        """Images that each discriminator's pool keeps (Sec. 4); 0 for none."""
        init_gain: float = 0.02
        """Standard deviation of the initial weights."""

        def __post_init__(self) -> None:
            at_least = {"n_blocks": 1, "num_downs": 2, "ngf": 1, "ndf": 1, "n_layers_d": 0, "pool_size": 0}
            at_least |= {"lambda_cycle": 0, "lambda_cycle_a": 0, "lambda_cycle_b": 0, "lambda_identity": 0}
            for key, least in at_least.items():
                value = getattr(self, key)
                if value is not None and value < least:
                    raise ValueError(f"model.{key} {value}: must be at least {least}")
            if self.init_gain <= 0:
                raise ValueError(f"model.init_gain {self.init_gain}: must be positive")

        def lambda_of(self, domain: str) -> float:
            """The weight of a domain's cycle: its own, if it is set."""
            own = self.lambda_cycle_a if domain == "a" else self.lambda_cycle_b
            return self.lambda_cycle if own is None else own

    dataset = "unpaired"
    generators = ("generator_ab", "generator_ba")
    discriminators = ("discriminator_a", "discriminator_b")
    update_order = ("generator", "discriminator")
    pools = ("pool_a", "pool_b")
    learns_all = True
    fakes: ClassVar = {"fake_b": "b", "fake_a": "a"}
    columns = ("a", "fake_b", "cycle_a", "identity_a", "b", "fake_a", "cycle_b", "identity_b")

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        return replace(config, n_blocks=config.n_blocks or (9 if size >= 256 else 6))  # Appendix 7.2

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        a, b = channels["a"], channels["b"]
        if config.lambda_identity and a != b:
            raise ValueError(
                f"model.lambda_identity {config.lambda_identity}: a generator can't leave an image alone when A has "
                f"{a} channels and B {b}; set it to 0, or data.channels_a and data.channels_b alike"
            )
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.generator_ab = build_generator(config, a, b, dropout_innermost=False)  # G
        self.generator_ba = build_generator(config, b, a, dropout_innermost=False)  # F
        self.discriminator_a, self.discriminator_b = (
            PatchGAN(
                in_channels=channels_of_domain,
                ndf=config.ndf,
                n_layers=config.n_layers_d,
                norm=config.norm,
                init_gain=config.init_gain,
                last_bias=config.last_bias_d,
            )
            for channels_of_domain in (a, b)
        )
        self.pool_a, self.pool_b = ImagePool(config.pool_size), ImagePool(config.pool_size)

    def forward(self, batch: Batch) -> Images:
        images = self.translate(batch)
        cycle_a, cycle_b = self.generator_ba(images["fake_b"]), self.generator_ab(images["fake_a"])
        return {**images, "cycle_a": cycle_a, "cycle_b": cycle_b}

    def discriminator_images(self, batch: Batch) -> Images:
        """Without the cycles, unless they would draw dropout or update batch norm's or spectral norm's statistics. The
        identities stay: they are of one batch with the fakes, whose last digits depend on that.
        """
        has_state = self.config.norm == "batch" or self.gan.options.spectral_norm in ("g", "both")
        return self(batch) if self.random or has_state else self.translate(batch)

    def translate(self, batch: Batch) -> Images:
        """The fakes G(a) and F(b); and the identities F(a) and G(b), if there is a loss of them."""
        a, b = batch["a"], batch["b"]
        if not self.config.lambda_identity:
            return {"fake_b": self.generator_ab(a), "fake_a": self.generator_ba(b)}
        fake_b, identity_b = self.ask(self.generator_ab, a, b)
        fake_a, identity_a = self.ask(self.generator_ba, b, a)
        return {"fake_b": fake_b, "fake_a": fake_a, "identity_a": identity_a, "identity_b": identity_b}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 1 with least squares (Sec. 4), on fakes of the pools: E[(D(y) - 1)^2] + E[D(G(x))^2], halved, which slows
        D down relative to G (Appendix 7.1).
        """
        terms: Terms = {}
        statistics: Terms = {}
        for domain, discriminator, pool in (
            ("a", self.discriminator_a, self.pool_a),
            ("b", self.discriminator_b, self.pool_b),
        ):
            real, fake = self.gan.inputs(batch[domain], pool(images[f"fake_{domain}"]))
            answers = self.ask(discriminator, real, fake, alone=self.gan.options.minibatch_std)
            own_terms, own_statistics = self.gan.discriminator_loss(*answers, weight=0.5)
            own_terms |= self.gan.penalty(discriminator, real, fake, weight=0.5)
            terms |= {f"{name}_{domain}": value for name, value in own_terms.items()}
            statistics |= {f"{name}_{domain}": value for name, value in own_statistics.items()}
        return terms, statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 3: L_GAN(G, D_B) + L_GAN(F, D_A) + lambda L_cyc(G, F); and L_identity of Sec. 5.2."""
        terms: Terms = {}
        for domain, discriminator in (("a", self.discriminator_a), ("b", self.discriminator_b)):
            terms[f"gan_{domain}"] = self.gan.generator_loss(discriminator(self.gan.input(images[f"fake_{domain}"])))
        for domain in ("a", "b"):  # Eq. 2, ||F(G(a)) - a||_1 and ||G(F(b)) - b||_1; Sec. 5.2, ||F(a) - a||_1
            lambda_cycle = self.config.lambda_of(domain)
            terms[f"cycle_{domain}"] = lambda_cycle * (images[f"cycle_{domain}"] - batch[domain]).abs().mean()
            if self.config.lambda_identity:
                distance = (images[f"identity_{domain}"] - batch[domain]).abs().mean()
                terms[f"identity_{domain}"] = lambda_cycle * self.config.lambda_identity * distance
        return terms, {}

    def ask(self, network: nn.Module, x: Tensor, y: Tensor, *, alone: bool = False) -> tuple[Tensor, Tensor]:
        """The network's answers to two batches (B, C, H, W), asked as one batch where norm and sizes allow it; never
        with ``alone``.
        """
        if alone or self.config.norm == "batch" or x.shape != y.shape:
            return network(x), network(y)
        first, second = network(torch.cat([x, y])).chunk(2)  # (2B, C, H, W)
        return first, second

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        generator = self.generator_ab if direction == "AtoB" else self.generator_ba
        return {"output": generator(batch["input"])}

    def samples(self, batch: Batch) -> Images:
        images = self(batch)
        if "identity_a" not in images and batch["a"].shape[1] == batch["b"].shape[1]:  # shown without a loss, too
            images["identity_a"] = self.generator_ba(batch["a"])
            images["identity_b"] = self.generator_ab(batch["b"])
        return images

    def check_size(self, size: int) -> None:
        super().check_size(size)
        check_patches(self.discriminator_a, size)
