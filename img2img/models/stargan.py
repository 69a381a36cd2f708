"""StarGAN: "Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation", Choi et al.,
arXiv 1711.09020.

Official code: yunjey/stargan. Where we differ on purpose:
- the learning rate falls linearly to 0 over ``train.decay_epochs``, as in the paper (Sec. 5.3); the released code
  subtracts a thousandth of what it should, so that the rate hardly falls (``optim.decay_to`` 0.999).
- D gets real and fake images as one batch, and G makes its images once for both losses.

Convolutions pad with zeros. With reflection padding, G would ignore the target domain: its planes are constant, stay
constant after the convolution, and are then removed by instance norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.data.domain_labels import MASK
from img2img.errors import require_at_least
from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind, at_least_float32
from img2img.models.base import Batch, Images, Model, Terms


class StarGAN(Model):
    """One generator translates to any domain; the discriminator also classifies the domain of an image."""

    @dataclass
    class Config:
        """Networks and losses of StarGAN."""

        everyday: ClassVar = "ngf ndf n_blocks n_layers_d gan_loss lambda_class lambda_cycle".split()

        name: Literal["stargan"] = "stargan"
        """The model, as --model names it."""
        ngf: int = 64
        """Feature maps of the generator's first layer; the residual blocks have 4 x ngf."""
        n_blocks: int = 6
        """Number of residual blocks of the generator."""
        ndf: int = 64
        """Feature maps of the discriminator's first layer; each further layer has twice as many."""
        n_layers_d: int = 6
        """Number of strided layers of the discriminator. data.crop_size must be at least 2^n_layers_d."""
        size: int | None = None
        """Side in pixels of the discriminator's input. Default: data.crop_size."""
        gan_loss: LossKind = "wasserstein"
        """Adversarial loss (Eq. 1 and 8). wasserstein needs balance.gradient_penalty or optim.clip_d."""
        lambda_class: float = 1.0
        """Weight of the domain classification loss (Eq. 5 and 6)."""
        lambda_cycle: float = 10.0
        """Weight of the reconstruction loss, the L1 distance between an image and its translation there and back (Eq. 4
        and 6)."""

        def __post_init__(self) -> None:
            at_least = {"ngf": 1, "n_blocks": 1, "ndf": 1, "n_layers_d": 1, "lambda_class": 0, "lambda_cycle": 0}
            require_at_least("model", self, at_least)

    dataset = "domains"
    learns_all = True
    generators = ("generator",)
    discriminators = ("discriminator",)
    fakes: ClassVar = {"output": "target"}
    # Sec. 5.3; Eq. 8, with the gradient of the sum of D's patches, as in the official code
    defaults: ClassVar = {
        "optim.lr": 1e-4,
        "data.batch_size": 16,
        "data.load_size": 128,
        "data.crop_size": 128,
        "balance.gradient_penalty": "wgan-gp",
        "balance.penalty_of": "sum",
        "balance.discriminator_steps": 5,
    }

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        return replace(config, size=config.size or size)

    def __init__(self, config: Config, channels: Mapping[str, int]) -> None:
        super().__init__()
        assert config.size is not None, "filled in by resolve"
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.first_labels = channels.get("first_labels")  # of the first of two sets, else None
        self.domains = channels["domain"] - (0 if self.first_labels is None else MASK)
        self.columns = ("input", *(f"domain_{i}" for i in range(self.domains)))
        self.generator = Generator(
            in_channels=channels["input"],
            domains=channels["domain"],
            ngf=config.ngf,
            n_blocks=config.n_blocks,
        )
        self.discriminator = Discriminator(
            in_channels=channels["input"],
            domains=self.domains,
            ndf=config.ndf,
            n_layers=config.n_layers_d,
            size=config.size,
        )

    def forward(self, batch: Batch) -> Images:
        images = self.translate(batch)
        return {**images, "cycle": self.generator(images["output"], batch["labels"])}  # G(G(x, c), c')

    def discriminator_images(self, batch: Batch) -> Images:
        """G(x, c) without the way back, unless spectral norm iterates with each pass of G."""
        iterates = self.gan.options.spectral_norm in ("g", "both")
        return self(batch) if iterates else self.translate(batch)

    def translate(self, batch: Batch) -> Images:
        """G(x, c) and the targets c."""
        labels = batch["labels"]
        order = torch.randperm(len(labels)).to(labels.device)
        if self.first_labels is not None:
            order = permuted_within(labels[:, self.domains :].argmax(1), order)
        target_labels = labels[order]  # the official code's targets: the labels of the batch, permuted
        return {"output": self.generator(batch["input"], target_labels), "target_labels": target_labels}

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 5: L_D = -L_adv + lambda_cls L_cls^r, with L_adv of Eq. 8 and its gradient penalty."""
        real, fake = self.gan.inputs(batch["input"], images["output"])
        (real_logits, real_classes), (fake_logits, _) = self._classify(real, fake)
        terms, statistics = self.gan.discriminator_loss(real_logits, fake_logits)
        terms |= self.gan.penalty(self.discriminator, real, fake, logits=lambda answer: answer[0])
        labels = batch["labels"]
        terms["class"] = self.config.lambda_class * self.classification_loss(real_classes, labels, batch)
        return terms, statistics | {"class_accuracy": self.class_accuracy(real_classes, labels, batch)}

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Eq. 6: L_G = L_adv + lambda_cls L_cls^f + lambda_rec L_rec."""
        logits, classes = self.discriminator(self.gan.input(images["output"]))
        target_labels = images["target_labels"]
        return {
            "gan": self.gan.generator_loss(logits),
            "class": self.config.lambda_class * self.classification_loss(classes, target_labels, batch),
            "cycle": self.config.lambda_cycle * (images["cycle"] - batch["input"]).abs().mean(),
        }, {"class_accuracy": self.class_accuracy(classes, target_labels, batch)}

    def classification_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """L_cls (Eq. 2 and 3) of logits (B, n) for label vectors (B, length), the mean over the batch.

        Cross-entropy for domains that exclude each other, of which the batch has ``class``; binary cross-entropy,
        summed over the labels, for attributes (official code). Of two sets, only the labels of the image's own count
        (Sec. 3.2).
        """
        logits, labels, own = at_least_float32(logits), labels[:, : self.domains], self.own_labels(labels)
        domains = F.cross_entropy(logits.masked_fill(~own, -torch.inf), labels.argmax(1), reduction="none")  # (B,)
        attributes = (F.binary_cross_entropy_with_logits(logits, labels, reduction="none") * own).sum(1)  # (B,)
        return torch.where(batch["class"] >= 0, domains, attributes).mean()

    def class_accuracy(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """Accuracy of D's classification, in [0, 1]: of domains, or of single attributes."""
        labels, own = labels[:, : self.domains], self.own_labels(labels)
        domains = logits.masked_fill(~own, -torch.inf).argmax(1) == labels.argmax(1)  # (B,)
        attributes = (((logits > 0) == (labels > 0)) & own).sum(1) / own.sum(1)  # (B,)
        return torch.where(batch["class"] >= 0, domains.float(), attributes).mean()

    def own_labels(self, labels: Tensor) -> Tensor:
        """Which of the n labels belong to the set of an image (B, n), by the mask of its label vector (B, length)."""
        if self.first_labels is None:
            return torch.ones_like(labels, dtype=torch.bool)
        is_first = labels[:, self.domains :].argmax(1) == 0
        belongs_to_first = torch.arange(self.domains, device=labels.device) < self.first_labels
        return is_first[:, None] == belongs_to_first

    def class_logits(self, images: Tensor) -> Tensor:
        """D's logits (B, n) of the labels of images (B, C, S, S): how likely each holds."""
        return self.discriminator(images)[1]

    def _classify(self, real: Tensor, fake: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """D's outputs (logits, classes) for real and fake images; in one pass unless D uses batch statistics."""
        if self.gan.options.minibatch_std or real.shape != fake.shape:
            return self.discriminator(real), self.discriminator(fake)
        logits, classes = self.discriminator(torch.cat([real, fake]))
        count = len(real)
        return (logits[:count], classes[:count]), (logits[count:], classes[count:])

    def generate(self, batch: Batch, direction: str = "") -> Images:
        return {"output": self.generator(batch["input"], batch["domain"])}

    def samples(self, batch: Batch) -> Images:
        """The image translated to every domain; with attributes, with each of them flipped: batch["targets"]."""
        x, targets = batch["input"], batch["targets"]  # (B, C, H, W), (B, n, length)
        return {f"domain_{i}": self.generator(x, targets[:, i]) for i in range(self.domains)}

    def retargeted(self, batch: Batch) -> Batch:
        """Every image's domain is the next one of its set; with attributes, all of them are flipped."""
        vectors = batch["labels"]  # (B, length)
        labels, own = vectors[:, : self.domains], self.own_labels(vectors)
        start, count = own.int().argmax(1), own.sum(1)
        following = start + (labels.argmax(1) - start + 1) % count
        domains = F.one_hot(following, self.domains).to(labels)
        attributes = (1 - labels) * own
        is_exclusive = (batch["class"] >= 0)[:, None]
        changed = torch.where(is_exclusive, domains, attributes)
        return {**batch, "labels": torch.cat([changed, vectors[:, self.domains :]], dim=1)}

    def check_size(self, size: int) -> None:
        super().check_size(size)
        if size != self.config.size or size < self.discriminator.smallest_input:
            raise ValueError(
                f"data.crop_size {size}: the discriminator of model.size {self.config.size} and model.n_layers_d "
                f"{self.config.n_layers_d} takes images of that size, {self.discriminator.smallest_input} or more; "
                "leave model.size out, and lower model.n_layers_d for small images"
            )


def permuted_within(sets: Tensor, order: Tensor) -> Tensor:
    """The permutation (B,) of a batch's samples that keeps each within its set, made from ``order`` without waiting for
    the device.

    Args:
        sets: the set of each sample, (B,).
        order: a random permutation, (B,).
    """
    places = sets.argsort(stable=True)  # of the samples of the first set, then of the second
    candidates = order[sets[order].argsort(stable=True)]  # the same samples in their random order
    return torch.empty_like(order).scatter(0, places, candidates)


class Generator(nn.Module):
    """(B, C, H, W) and label vectors (B, n) -> (B, C, H, W) in [-1, 1]. Modules lie as in the official code.

    Choi et al., Appendix, Table 4: two halvings, residual blocks, two doublings; affine instance norm; no biases.

    Args:
        in_channels: C.
        domains: n, the length of the label vectors.
        ngf: feature maps of the first layer.
        n_blocks: residual blocks.
    """

    stride = 4
    smallest_input = 8

    def __init__(self, in_channels: int, domains: int, *, ngf: int = 64, n_blocks: int = 6) -> None:
        super().__init__()
        layers = convolution(in_channels + domains, ngf, kernel=7, stride=1, padding=3)
        for width in (ngf, 2 * ngf):
            layers += convolution(width, 2 * width, kernel=4, stride=2, padding=1)
        layers += [Residual(4 * ngf) for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                norm(width // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.Conv2d(ngf, in_channels, 7, 1, 3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        planes = domain.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])  # (B, n, H, W)
        return self.main(torch.cat([x, planes], dim=1))  # (B, C + n, H, W) -> (B, C, H, W)


class Residual(nn.Module):
    """x + F(x), (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.main = nn.Sequential(
            *convolution(channels, channels, kernel=3, stride=1, padding=1), second, norm(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class Discriminator(nn.Module):
    """(B, C, S, S) -> logits of patches (B, 1, h, w) and of domains (B, n). Modules lie as in the official code.

    Choi et al., Appendix, Table 5: halvings with leaky ReLU 0.01 and without norm; two heads.

    Args:
        in_channels: C.
        domains: n.
        ndf: feature maps of the first layer, which double in each of the next.
        n_layers: how many layers halve the image.
        size: S.
    """

    logits_layer = "conv1"

    def __init__(self, in_channels: int, domains: int, *, ndf: int = 64, n_layers: int = 6, size: int = 128) -> None:
        super().__init__()
        self.smallest_input = 2**n_layers
        layers: list[nn.Module] = []
        width = in_channels
        for i in range(n_layers):
            layers += [nn.Conv2d(width, ndf * 2**i, 4, 2, 1), nn.LeakyReLU(0.01)]
            width = ndf * 2**i
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(width, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(width, domains, max(1, size >> n_layers), bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.main(x)  # (B, 2^(n - 1) ndf, S / 2^n, S / 2^n)
        return self.conv1(features), self.conv2(features).flatten(1)  # (B, 1, h, w), (B, n)


def convolution(in_channels: int, out_channels: int, *, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    """A convolution without bias, its norm and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
    return [conv, norm(out_channels), nn.ReLU(inplace=True)]


def norm(channels: int) -> nn.GroupNorm:
    """Instance norm with a scale and a shift, as group norm with one channel a group: see ``networks.blocks``."""
    return nn.GroupNorm(channels, channels)
