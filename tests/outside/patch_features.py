"""One-sided unpaired translation: a GAN loss, and a loss on features of input and output (a simplified CUT)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind
from img2img.models.base import Model
from img2img.networks.patchgan import PatchGAN


class Generator(nn.Module):
    """(B, C, H, W) -> (B, C', H, W); with ``layers`` a list of the outputs of these layers instead."""

    def __init__(self, c_in: int, c_out: int, width: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(c_in, width, 3, 1, 1), nn.ReLU(True), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(True)]
        self.layers = nn.Sequential(*convs, nn.Conv2d(width, c_out, 3, 1, 1), nn.Tanh())

    def forward(self, x: torch.Tensor, layers: tuple[int, ...] = ()) -> torch.Tensor | list[torch.Tensor]:
        taps = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in layers:
                taps.append(x.clone())  # a copy: the next ReLU works in place
        return taps if layers else x


class PatchFeatures(Model):
    """Translates A to B; features of input and output, projected by a trained head, should be equal."""

    @dataclass
    class Config:
        name: Literal["patch_features"] = "patch_features"
        width: int = 8
        """Feature maps of every hidden layer."""
        gan_loss: LossKind = "lsgan"
        """Adversarial loss."""

    dataset = "unpaired"
    generators, auxiliary, discriminators = ("generator",), ("head",), ("discriminator",)
    fakes: ClassVar = {"output": "target"}
    columns = ("input", "output")

    def __init__(self, config, channels):
        super().__init__()
        self.config, self.gan = config, GANLoss(config.gan_loss)
        self.generator = Generator(channels["input"], channels["target"], config.width)
        self.head = nn.Conv2d(config.width, config.width, 1)
        self.discriminator = PatchGAN(channels["target"], ndf=config.width, n_layers=1, norm="none")

    def forward(self, batch):
        return {"output": self.generator(batch["input"])}

    def discriminator_loss(self, batch, images):
        real, fake = self.gan.inputs(batch["target"], images["output"])
        terms, statistics = self.gan.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        return terms | self.gan.penalty(self.discriminator, real, fake), statistics

    def generator_loss(self, batch, images):
        (before,) = self.generator(batch["input"], layers=(2,))
        (after,) = self.generator(images["output"], layers=(2,))
        feature = (self.head(before) - self.head(after)).square().mean()
        logits = self.discriminator(self.gan.input(images["output"]))
        return {"gan": self.gan.generator_loss(logits), "feature": feature}, {}

    def generate(self, batch, direction="AtoB"):
        return {"output": self.generator(batch["input"])}
