"""CycleGAN: "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv 1703.10593.

By Zhu, Park, Isola and Efros. Official code: junyanz/CycleGAN (Lua) and junyanz/pytorch-CycleGAN-and-pix2pix. Where we
differ on purpose:
- ``discriminator_a`` classifies images of A, as in the paper. The official code's D_A classifies images of B.
- two inputs of the same network (G(a) and G(b), or D(real) and D(fake)) go through it as one batch, which is faster.
  With batch norm, whose statistics would mix the two, each input is a batch of its own.
- every process has its own image pools, and checkpoints contain them.

DualGAN (Yi et al., arXiv 1704.02510) is the same model with a Wasserstein critic and no identity loss:
the preset cyclegan/dualgan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.feature_matching import comparable_outputs, feature_matching_loss, one_scale
from img2img.losses.gan import LossKind
from img2img.losses.image_pool import ImagePool
from img2img.losses.similarity import SimilarityLoss, SSIMKind
from img2img.models.base import Batch, Images, Model, Terms, check_patches
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.generators import build_generator
from img2img.networks.patchgan import PatchGAN


class CycleGAN(Model):
    """Two ResNets translate A to B and B to A; a PatchGAN for each domain classifies its images as real or fake."""

    @dataclass
    class Config:
        """Networks and losses of CycleGAN."""

        files: ClassVar = ("vgg_weights",)  # options that may change when a run is resumed: paths
        everyday: ClassVar = (
            "generator n_blocks ngf ndf n_layers_d norm gan_loss lambda_cycle lambda_identity "
            "lambda_vgg lambda_ssim lambda_fm pool_size"
        ).split()

        name: Literal["cyclegan"] = "cyclegan"
        """Name of the model; set by --model."""
        generator: Literal["resnet", "unet"] = "resnet"
        """Generator architecture: resnet (paper, Appendix 7.2) or unet (pix2pix's)."""
        n_blocks: int | None = None
        """Number of residual blocks of each generator (resnet only). Default: 9 if data.crop_size is 256 or more, else
        6 (Appendix 7.2)."""
        num_downs: int = 8
        """Number of times the U-Net halves the image (unet only). data.crop_size must be a multiple of 2^num_downs."""
        ngf: int = 64
        """Feature maps of each generator's first layer."""
        ndf: int = 64
        """Feature maps of each discriminator's first layer; deeper layers have up to 8 x ndf."""
        n_layers_d: int = 3
        """Number of strided layers of each PatchGAN: 0, 1, 3 or 5 for a receptive field of 1, 16, 70 or 286 pixels. The
        paper has 3 (Sec. 4)."""
        last_bias_d: bool = False
        """Give the last layer a bias; with n_layers_d 0 and batch norm only. import sets it for weights of
        old versions of the official PyTorch code."""
        norm: Norm = "instance"
        """Normalisation layers of all networks."""
        dropout: bool = False
        """Dropout (0.5) in the residual blocks of the ResNet, or in the inner decoder levels of the U-Net."""
        upsample: Upsample = "deconv"
        """Upsampling in the generators: deconv (transposed convolution, as in the paper) or resize (nearest neighbour
        and a 3x3 convolution; avoids checkerboard artifacts)."""
        gan_loss: LossKind = "lsgan"
        """Adversarial loss. The paper's is lsgan (Sec. 4). wasserstein needs balance.gradient_penalty or
        optim.clip_d."""
        lambda_cycle: float = 10.0
        """Weight of the cycle consistency loss, the L1 distance between an image and its reconstruction (Eq. 2 and 3;
        Sec. 4: 10). 0: none, and no identity loss."""
        lambda_identity: float = 0.5
        """Weight of the identity loss as a multiple of lambda_cycle (Sec. 5.2; Appendix 7.1: 0.5;
        the paper has it for paintings, the official code for every set). 0 turns it off and
        saves two generator passes per step."""
        lambda_cycle_a: float | None = None
        """lambda_cycle for images of A: their cycle A -> B -> A and their identity loss. Default: lambda_cycle."""
        lambda_cycle_b: float | None = None
        """lambda_cycle for images of B: their cycle B -> A -> B and their identity loss. Default: lambda_cycle."""
        lambda_vgg: float = 0.0
        """Weight of the distance of VGG19 features between an image and its reconstruction (arXiv 1603.08155, as in
        pix2pixHD). 0: none, and VGG19 isn't needed."""
        vgg_weights: str | None = None
        """File of torchvision's vgg19 weights, for lambda_vgg. Default: torchvision downloads them."""
        lambda_ssim: float = 0.0
        """Weight of 1 - SSIM between an image and its reconstruction. 0: none."""
        ssim: SSIMKind = "ssim"
        """Kind of lambda_ssim's loss: ssim, or ms_ssim (arXiv 1511.08861)."""
        lambda_fm: float = 0.0
        """Weight of the distance of the discriminator's features of an image and its reconstruction, as feature
        matching in pix2pixHD (arXiv 1711.11585, Eq. 4). A fake has no partner with which to compare it. 0: none."""
        pool_size: int = 50
        """Capacity of the image pool of each discriminator, in generated images (Sec. 4: 50). 0 turns the pools off."""
        init_gain: float = 0.02
        """Standard deviation of the initial convolution weights, drawn from N(0, init_gain) (Appendix 7.1: 0.02)."""

        def __post_init__(self) -> None:
            at_least = {"n_blocks": 1, "num_downs": 2, "ngf": 1, "ndf": 1, "n_layers_d": 0, "pool_size": 0}
            at_least |= {"lambda_cycle": 0, "lambda_cycle_a": 0, "lambda_cycle_b": 0, "lambda_identity": 0}
            at_least |= {"lambda_vgg": 0, "lambda_ssim": 0, "lambda_fm": 0}
            require_at_least("model", self, at_least)
            if self.init_gain <= 0:
                raise ValueError(f"model.init_gain {self.init_gain}: must be positive")

        def lambda_of(self, domain: str) -> float:
            """Weight of the cycle loss of domain "a" or "b": ``lambda_cycle_a`` or ``_b`` if set, else
            ``lambda_cycle``.
            """
            specific = self.lambda_cycle_a if domain == "a" else self.lambda_cycle_b
            return self.lambda_cycle if specific is None else specific

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
                f"model.lambda_identity {config.lambda_identity}: the identity loss needs as many channels in A "
                f"({a}) as in B ({b}); set it to 0, or set data.channels_a and data.channels_b to the same number"
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
        self.similarity = SimilarityLoss(config, a, b)

    def load_pretrained(self) -> None:
        self.similarity.load()

    def forward(self, batch: Batch) -> Images:
        images = self.translate(batch)
        cycle_a, cycle_b = self.generator_ba(images["fake_b"]), self.generator_ab(images["fake_a"])
        return {**images, "cycle_a": cycle_a, "cycle_b": cycle_b}

    def discriminator_images(self, batch: Batch) -> Images:
        """The images without the cycles, which D does not need. With dropout, batch norm or spectral norm in the
        generators all images are made: the cycles then draw random numbers or update statistics. The identities are
        made, too: a generator runs once for a fake and an identity, and without the latter the fake would be rounded
        otherwise.
        """
        has_state = self.config.norm == "batch" or self.gan.options.spectral_norm in ("g", "both")
        return self(batch) if self.random or has_state else self.translate(batch)

    def translate(self, batch: Batch) -> Images:
        """The fakes G(a) and F(b); with an identity loss also the identities F(a) and G(b)."""
        a, b = batch["a"], batch["b"]
        if not self.config.lambda_identity:
            return {"fake_b": self.generator_ab(a), "fake_a": self.generator_ba(b)}
        fake_b, identity_b = self.run_both(self.generator_ab, a, b)
        fake_a, identity_a = self.run_both(self.generator_ba, b, a)
        return {"fake_b": fake_b, "fake_a": fake_a, "identity_a": identity_a, "identity_b": identity_b}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 1 with least squares (Sec. 4): E[(D(y) - 1)^2] + E[D(G(x))^2], for each domain. The fakes come from the
        image pools (Sec. 4). The loss is halved, so that D learns more slowly than G (Appendix 7.1).
        """
        terms: Terms = {}
        statistics: Terms = {}
        for domain, discriminator, pool in (
            ("a", self.discriminator_a, self.pool_a),
            ("b", self.discriminator_b, self.pool_b),
        ):
            real, fake = self.gan.inputs(batch[domain], pool(images[f"fake_{domain}"]))
            outputs = self.run_both(discriminator, real, fake, separately=self.gan.options.minibatch_std)
            domain_terms, domain_statistics = self.gan.discriminator_loss(*outputs, weight=0.5)
            domain_terms |= self.gan.penalty(discriminator, real, fake, weight=0.5)
            terms |= {f"{name}_{domain}": value for name, value in domain_terms.items()}
            statistics |= {f"{name}_{domain}": value for name, value in domain_statistics.items()}
        return terms, statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 3: L_GAN(G, D_B) + L_GAN(F, D_A) + lambda L_cyc(G, F), plus L_identity (Sec. 5.2).

        Beyond the paper: feature matching, SSIM and VGG between an image and its reconstruction, if their weights are
        not 0.
        """
        terms: Terms = {}
        for domain, discriminator in (("a", self.discriminator_a), ("b", self.discriminator_b)):
            terms[f"gan_{domain}"] = self.gan.generator_loss(discriminator(self.gan.input(images[f"fake_{domain}"])))
        # Eq. 2: ||F(G(a)) - a||_1 and ||G(F(b)) - b||_1; Sec. 5.2: ||F(a) - a||_1 and ||G(b) - b||_1. All are means
        # over pixels, as in the official code: lambda 10 is for these.
        for domain in ("a", "b"):
            lambda_cycle = self.config.lambda_of(domain)
            if lambda_cycle:
                terms[f"cycle_{domain}"] = lambda_cycle * (images[f"cycle_{domain}"] - batch[domain]).abs().mean()
            if lambda_cycle and self.config.lambda_identity:
                distance = (images[f"identity_{domain}"] - batch[domain]).abs().mean()
                terms[f"identity_{domain}"] = lambda_cycle * self.config.lambda_identity * distance
        for domain, discriminator in (("a", self.discriminator_a), ("b", self.discriminator_b)):
            added = self.reconstruction_loss(discriminator, batch[domain], images[f"cycle_{domain}"])
            terms |= {f"{name}_{domain}": value for name, value in added.items()}
        return terms, {}

    def reconstruction_loss(self, discriminator: nn.Module, image: Tensor, reconstruction: Tensor) -> Terms:
        """Feature matching, SSIM and VGG between images (B, C, H, W) of a domain and their reconstructions."""
        terms = self.similarity(reconstruction, image)
        if self.config.lambda_fm:
            real, fake = self.gan.inputs(image, reconstruction, shared_draws=True)
            layers = comparable_outputs(one_scale(discriminator), real, fake, self.gan.options)
            terms["fm"] = self.config.lambda_fm * feature_matching_loss(*layers)
        return terms

    def run_both(self, network: nn.Module, x: Tensor, y: Tensor, *, separately: bool = False) -> tuple[Tensor, Tensor]:
        """The network's outputs for two batches (B, C, H, W), in one pass if norm and sizes allow it.

        Args:
            network: a generator or discriminator.
            x, y: its inputs.
            separately: always use two passes.
        """
        if separately or self.config.norm == "batch" or x.shape != y.shape:
            return network(x), network(y)
        first, second = network(torch.cat([x, y])).chunk(2)  # (2B, C, H, W)
        return first, second

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        generator = self.generator_ab if direction == "AtoB" else self.generator_ba
        return {"output": generator(batch["input"])}

    def samples(self, batch: Batch) -> Images:
        images = self(batch)
        if (
            "identity_a" not in images and batch["a"].shape[1] == batch["b"].shape[1]
        ):  # for the sample grid, even without an identity loss
            images["identity_a"] = self.generator_ba(batch["a"])
            images["identity_b"] = self.generator_ab(batch["b"])
        return images

    @property
    def smallest_side(self) -> int:
        return max(super().smallest_side, self.similarity.smallest_input)

    def check_size(self, size: int) -> None:
        super().check_size(size)
        check_patches(self.discriminator_a, size)
        self.similarity.check_size(size)
