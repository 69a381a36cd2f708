"""pix2pixHD: "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585.

By Wang, Liu, Zhu, Tao, Kautz and Catanzaro. Official code: NVIDIA/pix2pixHD. Where we differ on purpose:
- the first discriminator is the one at full resolution, as D_1 in the paper. The official code's last one is.
- feature matching and the perceptual loss have separate weights. The official code has one for both.
- feature matching is the mean over the discriminators, as in the official code; the paper's Eq. 5 sums over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.feature_matching import comparable_outputs, feature_matching_loss
from img2img.losses.gan import LossKind
from img2img.losses.perceptual import SMALLEST_INPUT, PerceptualLoss
from img2img.models.base import Batch, Images, Model, Terms
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.labels import boundary_map, colour_labels, one_hot
from img2img.networks.pix2pixhd import CoarseToFine, MultiScaleDiscriminator, StyleEncoder


class Pix2PixHD(Model):
    """A coarse-to-fine generator translates label maps; PatchGANs at several scales classify images as real or fake."""

    @dataclass
    class Config:
        """Networks and losses of pix2pixHD."""

        files: ClassVar = ("vgg_weights",)  # options that may change when a run is resumed: paths
        everyday: ClassVar = (
            "stage ngf n_downs ndf n_scales gan_loss lambda_feat lambda_vgg vgg_weights instance_features"
        ).split()

        name: Literal["pix2pixhd"] = "pix2pixhd"
        """Name of the model; set by --model."""
        stage: Literal["global", "local"] = "global"
        """Generator that is trained: global (G1 alone) or local (G1 with local enhancers on top; starts from the run of
        a global stage, train.init_from) (Sec. 3.2)."""
        ngf: int = 64
        """Feature maps at the finest resolution. Each enhancer halves them: 64 in the global stage are 32 in a local
        stage with one enhancer."""
        n_downs: int = 4
        """Number of times the global generator halves its input. data.crop_size must be a multiple of 2^n_downs,
        doubled by each enhancer."""
        n_blocks: int = 9
        """Number of residual blocks of the global generator."""
        n_enhancers: int = 1
        """Number of local enhancers, each of which doubles the resolution. stage local only."""
        n_blocks_local: int = 3
        """Number of residual blocks of each enhancer. stage local only."""
        ndf: int = 64
        """Feature maps of each discriminator's first layer."""
        max_ndf: int | None = None
        """Largest number of feature maps of a discriminator's layer. Default: 8 x ndf. The official code always has
        512."""
        n_layers_d: int = 3
        """Number of strided layers of each discriminator."""
        n_scales: int = 2
        """Number of discriminators, each at half the resolution of the one before (Sec. 3.2: 3; official scripts: 2 for
        the global stage, 3 for the local one)."""
        norm: Norm = "instance"
        """Normalisation layers of all networks."""
        upsample: Upsample = "deconv"
        """Upsampling in the generator: deconv (transposed convolution, as in the paper) or resize (nearest neighbour
        and a 3x3 convolution; avoids checkerboard artifacts)."""
        gan_loss: LossKind = "lsgan"
        """Adversarial loss. The paper's is lsgan (Sec. 4). wasserstein needs balance.gradient_penalty or
        optim.clip_d."""
        lambda_feat: float = 10.0
        """Weight of the feature matching loss (Eq. 5; Sec. 4: 10). 0 turns it off."""
        lambda_vgg: float = 10.0
        """Weight of the perceptual loss of VGG19 features (Sec. 4: 10). 0 turns it off, so that VGG19 is not needed."""
        vgg_weights: str | None = None
        """File of torchvision's VGG19 weights. Default: torchvision downloads them."""
        instance_features: bool = False
        """Train an encoder whose features of each instance are inputs of the generator, which makes styles selectable
        (Sec. 3.4). Needs data.instances."""
        n_features: int = 3
        """Number of channels of the instance features (Sec. 3.4: 3)."""
        nef: int = 16
        """Feature maps of the encoder's first layer."""
        n_downs_e: int | None = None
        """Number of times the encoder halves its image. Default: n_downs."""
        init_gain: float = 0.02
        """Standard deviation of the initial convolution weights, drawn from N(0, init_gain)."""

        def __post_init__(self) -> None:
            at_least = {"ngf": 1, "n_downs": 1, "n_blocks": 0, "n_enhancers": 1, "n_blocks_local": 0, "ndf": 1}
            at_least |= {"n_layers_d": 1, "n_scales": 1, "n_features": 1, "nef": 1, "lambda_feat": 0, "lambda_vgg": 0}
            at_least |= {"max_ndf": 1, "n_downs_e": 1}
            require_at_least("model", self, at_least)
            if self.init_gain <= 0:
                raise ValueError(f"model.init_gain {self.init_gain}: must be positive")

    dataset = ("labelled", "paired")  # paired images with data.label_nc 0, else label maps
    # The images keep their aspect ratio, as in the official code. Its loadSize is 1024; 512 needs less memory.
    defaults: ClassVar = {"data.preprocess": "scale_width", "data.load_size": 512}
    generators: tuple[str, ...] = ("generator",)
    discriminators = ("discriminator",)
    update_order = ("generator", "discriminator")
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("labels", "input", "output", "target")

    @classmethod
    def check_options(cls, config: Any) -> None:
        if config.model.stage == "local" and not config.train.init_from:
            raise ValueError(
                "model.stage local: begins with a global stage's run; set train.init_from to the name of that run"
            )

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.label_nc, self.has_instances = channels.get("label", 0), "instance" in channels
        condition = self.label_nc + self.has_instances if self.label_nc else channels["input"]
        if config.instance_features and not self.has_instances:
            raise ValueError(
                "model.instance_features: needs label maps with instances; set data.label_nc and data.instances true"
            )
        if config.lambda_vgg and channels["target"] == 4:
            raise ValueError("model.lambda_vgg: VGG19 takes no alpha channel; set it to 0, or set data.channels_b 3")
        features = config.n_features if config.instance_features else 0
        n_enhancers = enhancers(config)
        self.generator = CoarseToFine(
            in_channels=condition + features,
            out_channels=channels["target"],
            ngf=config.ngf,
            n_enhancers=n_enhancers,
            n_blocks=config.n_blocks,
            n_blocks_local=config.n_blocks_local,
            n_downs=config.n_downs,
            norm=config.norm,
            upsample_mode=config.upsample,
            init_gain=config.init_gain,
        )
        self.discriminator = MultiScaleDiscriminator(
            in_channels=condition + channels["target"],
            ndf=config.ndf,
            n_layers=config.n_layers_d,
            n_scales=config.n_scales,
            norm=config.norm,
            init_gain=config.init_gain,
            max_width=config.max_ndf,
        )
        if features:
            self.encoder = StyleEncoder(
                in_channels=channels["target"],
                n_features=features,
                nef=config.nef,
                n_downs=config.n_downs_e or config.n_downs,
                norm=config.norm,
                upsample_mode=config.upsample,
                init_gain=config.init_gain,
            )
            self.generators = ("generator", "encoder")
        if n_enhancers:
            self.frozen_first = ("generator.coarse",)
        self.perceptual: PerceptualLoss | None = None

    def load_pretrained(self) -> None:
        if self.config.lambda_vgg:
            self.perceptual = PerceptualLoss()
            self.perceptual.load(self.config.vgg_weights)

    def adopt(self, name: str, weights: dict[str, Tensor], source_config: Config) -> dict[str, Tensor]:
        """Generator: new enhancers replace the output layer of the source run's generator; everything below them is
        frozen at first (``frozen_first``). Discriminators: each keeps its image resolution, so that the finest
        discriminator is new for each added enhancer.
        """
        source, config = source_config, self.config
        added = enhancers(config) - enhancers(source)
        if added < 0:
            raise ValueError(f"it is of model.stage {source.stage}, which is no beginning of the stage {config.stage}")
        if source.ngf != config.ngf * 2**added:
            raise ValueError(
                f"its model.ngf is {source.ngf}, and {added} more enhancers on model.ngf {config.ngf} need one of "
                f"{config.ngf * 2**added}: set model.ngf {max(1, source.ngf // 2**added)}"
            )
        if source.instance_features != config.instance_features:
            setting, change = ("true", "gone") if source.instance_features else ("false", "new")
            raise ValueError(
                f"its model.instance_features is {setting}; with the encoder {change} here, the generator has another "
                f"input: set model.instance_features {setting}, or start from another run"
            )
        if added:
            self.frozen_first = ("generator.coarse", *(f"generator.enhancers.{i}" for i in range(enhancers(source))))
        if name != "discriminator":
            heads = ("head.", "coarse.head.") if added else ()
            return {key: value for key, value in weights.items() if not key.startswith(heads)}
        moved = {}
        for key, value in weights.items():
            _, scale, rest = key.split(".", 2)
            if int(scale) + added < config.n_scales:
                moved[f"scales.{int(scale) + added}.{rest}"] = value
        return moved

    def condition(self, batch: Batch) -> Tensor:
        """Condition s of G and D: one-hot labels and instance boundaries (B, label_nc + 1, H, W) bool; or the input
        image (B, C, H, W) with data.label_nc 0.
        """
        if not self.label_nc:
            return batch["input"]
        labels = one_hot(batch["label"], self.label_nc)  # (B, label_nc, H, W)
        if not self.has_instances:
            return labels
        return torch.cat([labels, boundary_map(batch["instance"])], dim=1)  # (B, label_nc + 1, H, W)

    def run_generator(self, condition: Tensor, features: Tensor | None) -> Tensor:
        """G's image (B, C, H, W) for a condition and, with instance_features, features (B, n_features, H, W)."""
        return self.generator(condition.float() if features is None else torch.cat([condition, features], dim=1))

    def forward(self, batch: Batch) -> Images:
        features = self.encoder(batch["target"], batch["instance"]) if self.config.instance_features else None
        condition = self.condition(batch)  # computed once, used by G and D
        return {"condition": condition, "output": self.run_generator(condition, features)}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 3: the sum over scales k of L_GAN(G, D_k), with L_GAN = E[log D(s, x)] + E[log(1 - D(s, G(s)))] (Eq. 2),
        as least squares (Sec. 4). The loss is halved, as in pix2pix.
        """
        s, x = images["condition"], batch["target"]
        real, fake = self.gan.inputs(x, images["output"], condition=s)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake), weight=0.5)
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=s, weight=0.5), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 5: the sum over scales k of L_GAN(G, D_k), plus lambda times feature matching L_FM (Eq. 4), plus the
        perceptual loss (Sec. 4). Eq. 5 sums L_FM over the scales; here it is the mean, as in the official code.
        """
        s, x = images["condition"], batch["target"]
        real, fake = self.gan.inputs(x, images["output"], condition=s, shared_draws=True)
        terms: Terms = {}
        if self.config.lambda_feat:
            real_output, fake_output = comparable_outputs(self.discriminator, real, fake, self.gan.options)
            terms["gan"] = self.gan.generator_loss(fake_output)
            terms["feat"] = self.config.lambda_feat * feature_matching_loss(real_output, fake_output)
        else:
            terms["gan"] = self.gan.generator_loss(self.discriminator(fake))
        if self.perceptual is not None:
            terms["vgg"] = self.config.lambda_vgg * self.perceptual(images["output"], x)
        return terms, {}

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        """``output``, in the style given by ``features`` of the batch. Without them the encoder computes the features
        of ``target``, which the batch must then have.
        """
        features = batch.get("features")
        if features is None and self.config.instance_features:
            features = self.encoder(batch["target"], batch["instance"])
        return {"output": self.run_generator(self.condition(batch), features)}

    def samples(self, batch: Batch) -> Images:
        """Images in the style of the batch's photos. Label maps without a photo get features of 0, the middle of the
        encoder's range of [-1, 1].
        """
        if self.config.instance_features and "target" not in batch:
            b, _, h, w = batch["label"].shape
            batch = {**batch, "features": torch.zeros(b, self.config.n_features, h, w, device=batch["label"].device)}
        labels = {"labels": colour_labels(batch["label"])} if self.label_nc else {}
        return {**labels, **self.generate(batch)}

    def padded(self, side: int) -> int:
        side = super().padded(side)
        if not self.config.instance_features:
            return side
        stride = max(self.generator.stride, self.encoder.network.stride)  # powers of 2
        return max(self.encoder.smallest_input, -(-side // stride) * stride)

    @property
    def smallest_side(self) -> int:
        return max(super().smallest_side, SMALLEST_INPUT if self.config.lambda_vgg else 0)

    def check_size(self, size: int) -> None:
        if self.padded(size) != size:
            raise ValueError(
                f"data.crop_size {size}: must be a multiple of {self.padded(2) // 2} (2^model.n_downs, doubled by "
                f"each enhancer; 2^model.n_downs_e if that is larger) and at least {self.padded(2)}"
            )
        if size < self.smallest_side:
            raise ValueError(
                f"data.crop_size {size}: must be at least {self.smallest_side} for the discriminators (model.n_scales) "
                "and VGG19 (model.lambda_vgg)"
            )


def enhancers(config: Pix2PixHD.Config) -> int:
    """Number of local enhancers: 0 in the global stage."""
    return config.n_enhancers if config.stage == "local" else 0
