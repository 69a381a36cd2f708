"""pix2pix: "Image-to-Image Translation with Conditional Adversarial Networks", Isola et al., arXiv 1611.07004.

Official code: phillipi/pix2pix (Lua) and junyanz/pytorch-CycleGAN-and-pix2pix. Where we differ on purpose:
- the default GAN loss is LSGAN, which trains more steadily; the paper's is ``gan_loss: vanilla``.
- at inference, dropout is off and batch norm uses its running statistics, so that an input has one output. The paper
  keeps dropout on and takes the statistics of the test batch (Sec. 3.3); both are options of inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.feature_matching import comparable_outputs, feature_matching_loss, one_scale
from img2img.losses.gan import LossKind
from img2img.losses.similarity import SimilarityLoss, SSIMKind
from img2img.models.base import Batch, Images, Model, Terms, check_patches
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.generators import build_generator
from img2img.networks.patchgan import PatchGAN


class Pix2Pix(Model):
    """A U-Net translates; a PatchGAN classifies (input, image) pairs as real or fake."""

    @dataclass
    class Config:
        """Networks and losses of pix2pix."""

        files: ClassVar = ("vgg_weights",)  # options that may change when a run is resumed: paths
        everyday: ClassVar = (
            "generator num_downs n_blocks ngf ndf n_layers_d norm dropout gan_loss "
            "lambda_l1 lambda_vgg lambda_ssim lambda_fm"
        ).split()

        name: Literal["pix2pix"] = "pix2pix"
        """Name of the model; set by --model."""
        generator: Literal["unet", "resnet"] = "unet"
        """Generator architecture: unet (paper, Sec. 3.2.1) or resnet (CycleGAN's)."""
        num_downs: int = 8
        """Number of times the U-Net halves the image: 8 takes 256x256 to 1x1. data.crop_size must be a multiple of
        2^num_downs. unet only."""
        n_blocks: int = 9
        """Number of residual blocks. resnet only."""
        ngf: int = 64
        """Feature maps of the generator's first layer; deeper layers have up to 8 x ngf."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer; deeper layers have up to 8 x ndf."""
        n_layers_d: int = 3
        """Number of strided layers of the PatchGAN: 0, 1, 3 or 5 for a receptive field of 1, 16, 70 or 286 pixels
        (Sec. 4.4)."""
        last_bias_d: bool = False
        """Give the last layer a bias; with n_layers_d 0 and batch norm only. import sets it for weights of
        old versions of the official PyTorch code."""
        norm: Norm = "batch"
        """Normalisation layers of both networks."""
        dropout: bool = True
        """Dropout (0.5) in the inner decoder levels of the U-Net, or in the residual blocks of the ResNet. It is the
        paper's noise z (Sec. 3.1)."""
        dropout_innermost: bool = True
        """Where the U-Net's dropout starts: true, in the innermost decoder level (paper); false, in the level next to
        it (official PyTorch code)."""
        upsample: Upsample = "deconv"
        """Upsampling in the decoder: deconv (transposed convolution, as in the paper) or resize (nearest neighbour and
        a 3x3 convolution; avoids checkerboard artifacts)."""
        gan_loss: LossKind = "lsgan"
        """Adversarial loss. The paper's is vanilla. wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_l1: float = 100.0
        """Weight of the L1 loss between output and target (Eq. 4; Sec. 4.2: 100). 0: none."""
        lambda_vgg: float = 0.0
        """Weight of the distance of VGG19 features between output and target (arXiv 1603.08155, as in
        pix2pixHD). 0: none, and VGG19 isn't needed."""
        vgg_weights: str | None = None
        """File of torchvision's vgg19 weights, for lambda_vgg. Default: torchvision downloads them."""
        lambda_ssim: float = 0.0
        """Weight of 1 - SSIM between output and target. 0: none."""
        ssim: SSIMKind = "ssim"
        """Kind of lambda_ssim's loss: ssim, or ms_ssim (arXiv 1511.08861)."""
        lambda_fm: float = 0.0
        """Weight of the feature matching loss: the distance of the discriminator's features of output and target
        (pix2pixHD, arXiv 1711.11585, Eq. 4). 0: none."""
        init_gain: float = 0.02
        """Standard deviation of the initial convolution weights, drawn from N(0, init_gain) (Appendix 6.2: 0.02)."""

        def __post_init__(self) -> None:
            at_least = {"num_downs": 2, "n_blocks": 1, "ngf": 1, "ndf": 1, "n_layers_d": 0}
            at_least |= {"lambda_l1": 0, "lambda_vgg": 0, "lambda_ssim": 0, "lambda_fm": 0}
            require_at_least("model", self, at_least)
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
        self.similarity = SimilarityLoss(config, channels["target"])

    def load_pretrained(self) -> None:
        self.similarity.load()

    def forward(self, batch: Batch) -> Images:
        return {"output": self.generator(batch["input"])}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 1: D maximises E[log D(x, y)] + E[log(1 - D(x, G(x, z)))]. The loss is halved, so that D learns more
        slowly than G (Sec. 3.3).
        """
        x, y = batch["input"], batch["target"]
        real, fake = self.gan.inputs(y, images["output"], condition=x)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake), weight=0.5)
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=x, weight=0.5), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 4: L_cGAN(G, D) + lambda L_L1(G), where L_L1(G) = E[||y - G(x, z)||_1] (Eq. 3).

        Beyond the paper: feature matching, SSIM and VGG, if their weights are not 0.
        """
        x, y, output = batch["input"], batch["target"], images["output"]
        terms: Terms = {}
        if self.config.lambda_fm:
            real, fake = self.gan.inputs(y, output, condition=x, shared_draws=True)
            real_layers, fake_layers = comparable_outputs(one_scale(self.discriminator), real, fake, self.gan.options)
            terms["gan"] = self.gan.generator_loss(fake_layers)
            terms["fm"] = self.config.lambda_fm * feature_matching_loss(real_layers, fake_layers)
        else:
            terms["gan"] = self.gan.generator_loss(self.discriminator(self.gan.input(output, condition=x)))
        if self.config.lambda_l1:
            terms["l1"] = self.config.lambda_l1 * (output - y).abs().mean()
        return terms | self.similarity(output, y), {}

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        return {"output": self.generator(batch["input"])}

    @property
    def smallest_side(self) -> int:
        return max(super().smallest_side, self.similarity.smallest_input)

    def check_size(self, size: int) -> None:
        possible_downs = (size & -size).bit_length() - 1  # how often 2 divides the size
        if self.config.generator == "unet" and 2 <= possible_downs < self.config.num_downs:
            raise ValueError(
                f"data.crop_size {size}: must be a multiple of 2^model.num_downs = {self.generator.stride}; "
                f"set model.num_downs {possible_downs} or another data.crop_size"
            )
        super().check_size(size)
        check_patches(self.discriminator, size)
        self.similarity.check_size(size)
