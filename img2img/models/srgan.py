"""SRGAN, ESRGAN and Real-ESRGAN: super-resolution, first by the distance of pixels alone, then with a discriminator.

SRGAN: Ledig et al., arXiv 1609.04802. ESRGAN: Wang et al., arXiv 1809.00219. Real-ESRGAN: Wang et al., arXiv
2107.10833. Released code: XPixelGroup/BasicSR, xinntao/ESRGAN, xinntao/Real-ESRGAN. The stage ``psnr`` trains the
generator by the distance to the target. The stage ``gan`` starts from its run (``train.init_from``) and adds a
discriminator and the distance of VGG19 features (content loss). Where we differ on purpose:
- the generator is updated before the discriminator, as in the released code. SRGAN's paper has the other order.
- one backward of D serves both its terms. The released code has one for each, which gives the same gradient, but lets
  D see the fake once more: statistics of its batch norm, which nothing uses, move more often there.
- SRGAN's discriminator takes patches of any size. The paper's takes 96x96 only.

Networks and losses work on images in [0, 1], as those of the papers; ``unit`` converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind, discriminator_gan_loss, generator_gan_loss, relative
from img2img.losses.perceptual import LAYERS, SMALLEST_INPUT, ContentLoss
from img2img.losses.restoration import PIXEL_LOSSES
from img2img.models.base import Batch, Images, Model, Terms
from img2img.networks.sr_discriminators import SRGANDiscriminator, UNetDiscriminator, VGGDiscriminator
from img2img.networks.super_resolution import CompactNet, MSRResNet, RRDBNet, SRResNet


class SRGAN(Model):
    """A generator makes images ``scale`` times as large, in the stage gan against a discriminator."""

    @dataclass
    class Config:
        """Networks and losses of super-resolution."""

        files: ClassVar = ("vgg_weights",)  # options that may change when a run is resumed: paths
        everyday: ClassVar = "stage network width n_blocks lambda_pixel lambda_vgg vgg_weights lambda_gan".split()

        name: Literal["srgan"] = "srgan"
        """The model, as --model names it."""
        stage: Literal["psnr", "gan"] = "psnr"
        """What is trained: psnr (the generator alone, by the distance of pixels), or gan (against a discriminator;
        starts from a run of the stage psnr, train.init_from)."""
        network: Literal["srresnet", "msrresnet", "rrdb", "compact"] = "msrresnet"
        """Generator: srresnet (arXiv 1609.04802, Fig. 4), msrresnet (BasicSR's, without batch norm), rrdb (arXiv
        1809.00219, Sec. 3.1) or compact (the small one of Real-ESRGAN's code)."""
        width: int = 64
        """Feature maps of the generator."""
        n_blocks: int | None = None
        """Number of its blocks; of compact, of its inner convolutions. Default: 16, of rrdb 23."""
        growth: int = 32
        """Feature maps that each convolution of a dense block adds. rrdb only."""
        scale: int | None = None
        """Side of the output divided by the side of the input. Set to that of the data when a training starts."""
        pixel_loss: Literal["l1", "charbonnier", "mse"] = "l1"
        """Distance of the pixels, in [0, 1]: l1, charbonnier (a smooth l1, arXiv 1704.03915) or mse."""
        lambda_pixel: float | None = None
        """Weight of pixel_loss. Default: 1 in the stage psnr, 0.01 in the stage gan (arXiv 1809.00219, Sec. 4.1)."""
        lambda_vgg: float | None = None
        """Weight of the content loss, the distance of VGG19 features. Default: 0 in the stage psnr, 1 in the stage
        gan."""
        vgg_weights: str | None = None
        """File of torchvision's vgg19 weights, for lambda_vgg (unset: downloaded once)."""
        vgg_layers: tuple[str, ...] = ("conv5_4",)
        """Layers of the content loss: conv5_4 is the last convolution of VGG19, relu5_4 that after its activation."""
        vgg_layer_weights: tuple[float, ...] = ()
        """Weight of each of vgg_layers. Default: 1 each."""
        vgg_loss: Literal["l1", "mse"] = "l1"
        """Distance of the features."""
        lambda_gan: float = 5e-3
        """Weight of the generator's adversarial loss. Stage gan only, as all that follow."""
        gan_loss: LossKind = "vanilla"
        """Adversarial loss."""
        relativistic: bool = False
        """Compare each logit with the mean of the other kind's (arXiv 1807.00734; ESRGAN, Sec. 3.2)."""
        discriminator: Literal["srgan", "vgg", "unet"] = "vgg"
        """Discriminator: srgan (arXiv 1609.04802, Fig. 4), vgg (ESRGAN's, for data.crop_size 128 or 256) or unet
        (Real-ESRGAN's, with spectral norm; a logit for each pixel)."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer."""
        patch: int | None = None
        """Side in pixels of the discriminator's images. Default: data.crop_size."""

        def __post_init__(self) -> None:
            at_least = {"width": 1, "n_blocks": 1, "growth": 1, "ndf": 1}
            weights = ("lambda_pixel", "lambda_vgg", "lambda_gan")
            require_at_least("model", self, at_least | dict.fromkeys(weights, 0))
            unknown = [layer for layer in self.vgg_layers if layer not in LAYERS]
            if unknown or not self.vgg_layers:
                raise ValueError(
                    f"model.vgg_layers {', '.join(unknown) or '[]'}: name layers such as conv5_4 or relu5_4 (after its "
                    "activation), convM_N with M 1 to 5 and N 1 to 2 (blocks 1 and 2) or 4"
                )
            if len(set(self.vgg_layers)) < len(self.vgg_layers):
                raise ValueError(f"model.vgg_layers {list(self.vgg_layers)}: names a layer twice")
            if self.vgg_layer_weights and len(self.vgg_layer_weights) != len(self.vgg_layers):
                raise ValueError(
                    f"model.vgg_layer_weights {list(self.vgg_layer_weights)}: must be as many as model.vgg_layers, "
                    f"{len(self.vgg_layers)}"
                )
            if self.stage == "psnr" and not self.pixel_weight and not self.content_weight:
                raise ValueError("model.lambda_pixel and model.lambda_vgg are both 0: set one of them")

        @property
        def pixel_weight(self) -> float:
            """``lambda_pixel``, or its default in this stage."""
            return (1.0 if self.stage == "psnr" else 0.01) if self.lambda_pixel is None else self.lambda_pixel

        @property
        def content_weight(self) -> float:
            """``lambda_vgg``, or its default in this stage."""
            return (0.0 if self.stage == "psnr" else 1.0) if self.lambda_vgg is None else self.lambda_vgg

    dataset = ("degraded", "paired")
    generators = ("generator",)
    update_order = ("generator", "discriminator")
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")
    defaults: ClassVar = {
        "data.batch_size": 16,
        "optim.lr": 2e-4,
        "optim.betas": (0.9, 0.99),
        "optim.schedule": "cosine",
        "optim.decay_to": 5e-4,
        "train.ema_decay": 0.999,
    }

    @classmethod
    def resolve(cls, config: Config, size: int) -> Config:
        blocks = config.n_blocks or (23 if config.network == "rrdb" else 16)
        return replace(config, n_blocks=blocks, patch=config.patch or size)

    @classmethod
    def notes(cls, config: Any) -> list[str]:
        if config.model.stage == "psnr" or config.train.init_from:
            return []
        return [
            "stage gan without train.init_from: a generator that starts from random weights usually fails against a "
            "discriminator; first train the same networks with --model.stage psnr --name FIRST, then add "
            "--train.init_from FIRST"
        ]

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.scale = config, config.scale or 1
        if channels["input"] != channels["target"] or "mask" in channels:
            raise ValueError("model srgan: enlarges images of one kind; use --model restoration for colours and holes")
        self.generator = build_generator(config, channels["target"], scale=self.scale)
        if config.stage == "gan":
            self.discriminators = ("discriminator",)
            self.gan = GANLoss(config.gan_loss)
            self.discriminator = build_discriminator(config, channels["target"])
        if config.content_weight and channels["target"] not in (1, 3):
            raise ValueError(
                f"model.lambda_vgg {config.content_weight}: VGG19 takes images of 1 or 3 channels, not "
                f"{channels['target']}; set it to 0"
            )
        self.content: ContentLoss | None = None

    def load_pretrained(self) -> None:
        config = self.config
        if config.content_weight:
            weights = config.vgg_layer_weights or [1.0] * len(config.vgg_layers)
            self.content = ContentLoss(dict(zip(config.vgg_layers, weights, strict=True)), config.vgg_loss)
            self.content.load(config.vgg_weights)

    def adopt(self, name: str, weights: dict[str, Tensor], source_config: Config) -> dict[str, Tensor]:
        for option in ("scale", "network"):
            theirs, ours = getattr(source_config, option), getattr(self.config, option)
            if theirs != ours:
                raise ValueError(f"its model.{option} is {theirs}, and here it is {ours}: start from another run")
        return weights

    def forward(self, batch: Batch) -> Images:
        return self.generate(batch)

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        x = unit(batch["input"])  # (B, C, H, W)
        return {"output": 2 * self.generator(x) - 1}  # (B, C, scale H, scale W)

    def logits(self, image: Tensor) -> Tensor:
        """D's logits of an image in [-1, 1]: (B, 1), of the U-Net (B, 1, H, W)."""
        return self.discriminator(unit(image))

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """lambda_pixel L_1 + lambda_vgg L_percep + lambda_gan L_G (arXiv 1809.00219, Eq. 3; the stage psnr has no L_G).

        Distances are those to the sharpened target if the data set has one (arXiv 2107.10833, Sec. 4.1); D sees the
        plain one.
        """
        config = self.config
        output, target = unit(images["output"]), unit(batch["sharpened"] if "sharpened" in batch else batch["target"])
        terms: Terms = {}
        if config.pixel_weight:
            terms[config.pixel_loss] = config.pixel_weight * PIXEL_LOSSES[config.pixel_loss](output, target)
        if self.content is not None:
            terms["vgg"] = config.content_weight * self.content(output, target)
        if config.stage == "gan":
            terms["gan"] = config.lambda_gan * self._adversarial(batch["target"], images["output"])
        return terms, {}

    def _adversarial(self, target: Tensor, output: Tensor) -> Tensor:
        """L_G: -log D(G(x)); relativistic: arXiv 1809.00219, Eq. 2, halved as in the released code."""
        if not self.config.relativistic:
            return self.gan.generator_loss(self.logits(self.gan.input(output)))
        real, fake = self.gan.inputs(target, output)
        of_real, of_fake = self.logits(real).detach(), self.logits(fake)
        kind = self.config.gan_loss
        real_looks_fake = discriminator_gan_loss(relative(of_real, of_fake), 0.0, kind)
        fake_looks_real = generator_gan_loss(relative(of_fake, of_real), kind)
        return (real_looks_fake + fake_looks_real) / 2

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """-log D(y) - log(1 - D(G(x))); relativistic: arXiv 1809.00219, Eq. 1, halved as in the released code, in which
        means get no gradient.
        """
        real, fake = self.gan.inputs(batch["target"], images["output"])
        of_real, of_fake = self.logits(real), self.logits(fake)
        if self.config.relativistic:
            pair = relative(of_real, of_fake.detach()), relative(of_fake, of_real.detach())
            terms, statistics = self.gan.discriminator_loss(*pair, weight=0.5)
        else:
            terms, statistics = self.gan.discriminator_loss(of_real, of_fake)
        return terms | self.gan.penalty(self.logits, real, fake), statistics

    def check_size(self, size: int) -> None:
        super().check_size(size)
        target = size * self.scale
        if self.config.content_weight and target < SMALLEST_INPUT:
            raise ValueError(f"data.crop_size {target}: must be at least {SMALLEST_INPUT} for model.lambda_vgg")
        if self.config.stage == "gan":
            self._check_patch(target)

    def _check_patch(self, size: int) -> None:
        """Raises ValueError if the discriminator can't see images of size x size pixels."""
        if self.config.discriminator == "vgg" and size != self.config.patch:
            raise ValueError(
                f"data.crop_size {size}: the discriminator of model.patch {self.config.patch} takes images of that "
                "size; leave model.patch out, or set model.discriminator srgan, which takes any"
            )
        smallest = getattr(self.discriminator, "smallest_input", 1)
        if size < smallest:
            raise ValueError(
                f"data.crop_size {size}: must be at least {smallest} for model.discriminator "
                f"{self.config.discriminator}"
            )


def unit(image: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return image / 2 + 0.5


def build_generator(config: SRGAN.Config, channels: int, *, scale: int) -> nn.Module:
    """The generator: (B, channels, H, W) in [0, 1] -> (B, channels, scale * H, scale * W).

    Raises:
        ValueError: it has no such scale.
    """
    depth: dict[str, Any] = {"width": config.width, "n_blocks": config.n_blocks}
    if config.network == "rrdb":
        return RRDBNet(channels, channels, scale=scale, growth=config.growth, **depth)
    networks = {"srresnet": SRResNet, "msrresnet": MSRResNet, "compact": CompactNet}
    return networks[config.network](channels, channels, scale=scale, **depth)


def build_discriminator(config: SRGAN.Config, channels: int) -> nn.Module:
    """The discriminator of images (B, channels, H, W) in [0, 1].

    Raises:
        ValueError: it takes no images of this size.
    """
    if config.discriminator == "vgg":
        assert config.patch is not None, "filled in by resolve"
        return VGGDiscriminator(channels, width=config.ndf, size=config.patch)
    networks = {"srgan": SRGANDiscriminator, "unet": UNetDiscriminator}
    return networks[config.discriminator](channels, width=config.ndf)
