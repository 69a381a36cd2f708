"""pix2pixHD: "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585.

By Wang, Liu, Zhu, Tao, Kautz and Catanzaro. Official code: NVIDIA/pix2pixHD. Where we differ on purpose:
- the finest discriminator is the first, whatever their number; the official numbering runs the other way.
- feature matching and VGG19 have a weight each; the official code has one for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from img2img.losses.adversarial import GANLoss
from img2img.losses.feature_matching import comparable_answers, feature_matching_loss
from img2img.losses.gan import GanLoss
from img2img.losses.perceptual import SMALLEST_INPUT, PerceptualLoss
from img2img.models.base import Batch, Images, Model, Terms
from img2img.networks.blocks import Norm, Upsample
from img2img.networks.labels import boundary_map, colour_labels, one_hot
from img2img.networks.pix2pixhd import CoarseToFine, MultiScaleDiscriminator, StyleEncoder


class Pix2PixHD(Model):
    """A coarse-to-fine generator makes images of label maps, discriminators at several scales tell real from fake."""

    @dataclass
    class Config:
        """Networks and losses of pix2pixHD."""

        files: ClassVar = ("vgg_weights",)  # which may lie elsewhere when a run is resumed
        everyday: ClassVar = (
            "stage ngf n_downs ndf n_scales gan_loss lambda_feat lambda_vgg vgg_weights instance_features"
        ).split()

        name: Literal["pix2pixhd"] = "pix2pixhd"
        """The model, as --model names it."""
        stage: Literal["global", "local"] = "global"
        """Which generator is trained: the global one, or the whole of it and its enhancers (Sec. 3.2)."""
        ngf: int = 64
        """Feature maps at the finest resolution; the stage local of a global one of 64 has 32."""
        n_downs: int = 4
        """How often the global generator halves its input."""
        n_blocks: int = 9
        """Residual blocks of the global generator."""
        n_enhancers: int = 1
        """Local enhancers, each doubling the resolution, in the stage local."""
        n_blocks_local: int = 3
        """Residual blocks of an enhancer."""
        ndf: int = 64
        """Feature maps of a discriminator's first layer."""
        max_ndf: int | None = None
        """Most feature maps of a discriminator's layer; unset, 8 x ndf. The official code's is 512, whatever ndf."""
        n_layers_d: int = 3
        """Strided layers of each discriminator."""
        n_scales: int = 2
        """Discriminators, each at half the resolution of the one before: 2 or 3 in the paper."""
        norm: Norm = "instance"
        """Normalisation in all networks."""
        upsample: Upsample = "deconv"
        """How generators enlarge: deconv (paper) or resize, which leaves no checkerboards."""
        gan_loss: GanLoss = "lsgan"
        """Adversarial loss."""
        lambda_feat: float = 10.0
        """Weight of the feature matching loss (Sec. 3.2)."""
        lambda_vgg: float = 10.0
        """Weight of the perceptual loss (Sec. 4); 0 trains without VGG19."""
        vgg_weights: str | None = None
        """File of torchvision's VGG19 weights; unset, torchvision downloads them."""
        instance_features: bool = False
        """Train an encoder of styles along, whose features of each instance the generator sees (Sec. 3.4)."""
        n_features: int = 3
        """Channels of these features."""
        nef: int = 16
        """Feature maps of the encoder's first layer."""
        n_downs_e: int | None = None
        """How often the encoder halves its image; unset, n_downs times."""
        init_gain: float = 0.02
        """Standard deviation of the initial weights."""

        def __post_init__(self) -> None:
            at_least = {"ngf": 1, "n_downs": 1, "n_blocks": 0, "n_enhancers": 1, "n_blocks_local": 0, "ndf": 1}
            at_least |= {"n_layers_d": 1, "n_scales": 1, "n_features": 1, "nef": 1, "lambda_feat": 0, "lambda_vgg": 0}
            at_least |= {"max_ndf": 1, "n_downs_e": 1}
            for key, least in at_least.items():
                value = getattr(self, key)
                if value is not None and value < least:
                    raise ValueError(f"model.{key} {value}: must be at least {least}")
            if self.init_gain <= 0:
                raise ValueError(f"model.init_gain {self.init_gain}: must be positive")

    dataset = ("labelled", "paired")  # label maps; or images, with data.label_nc 0
    # Scenes keep their shape, as the official options have it, whose loadSize of 1024 asks for more memory
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
            raise ValueError("model.stage local: begins with a global stage's run; set train.init_from runs/THAT")

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.label_nc, self.has_instances = channels.get("label", 0), "instance" in channels
        condition = self.label_nc + self.has_instances if self.label_nc else channels["input"]
        if config.instance_features and not self.has_instances:
            raise ValueError("model.instance_features: needs label maps (data.label_nc) and data.instances true")
        if config.lambda_vgg and channels["target"] == 4:
            raise ValueError("model.lambda_vgg: VGG19 sees no transparency; set it to 0, or data.channels_b 3")
        features = config.n_features if config.instance_features else 0
        above = enhancers(config)
        self.generator = CoarseToFine(
            in_channels=condition + features,
            out_channels=channels["target"],
            ngf=config.ngf,
            n_enhancers=above,
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
        if above:
            self.frozen_first = ("generator.coarse",)
        self.perceptual: PerceptualLoss | None = None

    def load_pretrained(self) -> None:
        if self.config.lambda_vgg:
            self.perceptual = PerceptualLoss()
            self.perceptual.load(self.config.vgg_weights)

    def adopt(self, name: str, weights: dict[str, Tensor], theirs: Config) -> dict[str, Tensor]:
        """Enhancers are put on top of a generator that had fewer, whose own output layer they replace; what is below
        them is frozen at first. Discriminators stay each at the resolution that it knows, so that with every enhancer
        the finest one is new.
        """
        mine, added = self.config, enhancers(self.config) - enhancers(theirs)
        if added < 0:
            raise ValueError(f"it is of model.stage {theirs.stage}, which is no beginning of the stage {mine.stage}")
        if theirs.ngf != mine.ngf * 2**added:
            raise ValueError(
                f"its model.ngf is {theirs.ngf}, and {added} more enhancers on model.ngf {mine.ngf} need one of "
                f"{mine.ngf * 2**added}: set model.ngf {max(1, theirs.ngf // 2**added)}"
            )
        if theirs.instance_features != mine.instance_features:
            its, change = ("true", "gone") if theirs.instance_features else ("false", "new")
            raise ValueError(
                f"its model.instance_features is {its}; with the encoder {change} here, the generator's input is not "
                f"what its weights are for: set model.instance_features {its}, or begin with another run"
            )
        if added:
            self.frozen_first = ("generator.coarse", *(f"generator.enhancers.{i}" for i in range(enhancers(theirs))))
        if name != "discriminator":
            heads = ("head.", "coarse.head.") if added else ()
            return {key: value for key, value in weights.items() if not key.startswith(heads)}
        kept = {}
        for key, value in weights.items():
            _, scale, rest = key.split(".", 2)
            if int(scale) + added < mine.n_scales:
                kept[f"scales.{int(scale) + added}.{rest}"] = value
        return kept

    def condition(self, batch: Batch) -> Tensor:
        """What both sides see of the input: one-hot labels and the instances' boundaries, bool, or the RGB image."""
        if not self.label_nc:
            return batch["input"]
        labels = one_hot(batch["label"], self.label_nc)  # (B, label_nc, H, W)
        if not self.has_instances:
            return labels
        return torch.cat([labels, boundary_map(batch["instance"])], dim=1)  # (B, label_nc + 1, H, W)

    def draw(self, condition: Tensor, features: Tensor | None) -> Tensor:
        """The image of a condition and, where the model has them, a style's features."""
        return self.generator(condition.float() if features is None else torch.cat([condition, features], dim=1))

    def forward(self, batch: Batch) -> Images:
        features = self.encoder(batch["target"], batch["instance"]) if self.config.instance_features else None
        condition = self.condition(batch)  # once, for both sides
        return {"condition": condition, "output": self.draw(condition, features)}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 3: the sum over scales k of L_GAN(G, D_k), which is Eq. 2: E[log D(s, x)] + E[log(1 - D(s, G(s)))], with
        least squares (Sec. 4); halved, as in pix2pix.
        """
        s, x = images["condition"], batch["target"]
        real, fake = self.gan.inputs(x, images["output"], condition=s)
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake), weight=0.5)
        return terms | self.gan.penalty(self.discriminator, real, fake, condition=s, weight=0.5), statistics

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 5: the sum over scales of L_GAN(G, D_k) + lambda L_FM(G, D_k), feature matching (Eq. 4, Sec. 3.2); and
        the perceptual loss of Sec. 4.
        """
        s, x = images["condition"], batch["target"]
        real, fake = self.gan.inputs(x, images["output"], condition=s, alike=True)
        terms: Terms = {}
        if self.config.lambda_feat:
            real_answer, fake_answer = comparable_answers(self.discriminator, real, fake, self.gan.options)
            terms["gan"] = self.gan.generator_loss(fake_answer)
            terms["feat"] = self.config.lambda_feat * feature_matching_loss(real_answer, fake_answer)
        else:
            terms["gan"] = self.gan.generator_loss(self.discriminator(fake))
        if self.perceptual is not None:
            terms["vgg"] = self.config.lambda_vgg * self.perceptual(images["output"], x)
        return terms, {}

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        """``features`` of the batch are the style; without, the target's own, which is then needed."""
        features = batch.get("features")
        if features is None and self.config.instance_features:
            features = self.encoder(batch["target"], batch["instance"])
        return {"output": self.draw(self.condition(batch), features)}

    def samples(self, batch: Batch) -> Images:
        """In the styles of the batch's own photos. Scenes without a photo see features of 0, the middle of the range
        that the encoder's tanh leaves it; whether any instance looks so is not known.
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
                f"each enhancer, or 2^model.n_downs_e), {self.padded(2)} or more"
            )
        if size < self.smallest_side:
            raise ValueError(
                f"data.crop_size {size}: the discriminators (model.n_scales) and VGG19 (model.lambda_vgg) need "
                f"{self.smallest_side} pixels or more"
            )


def enhancers(config: Pix2PixHD.Config) -> int:
    """Local enhancers on top of the global generator."""
    return config.n_enhancers if config.stage == "local" else 0
