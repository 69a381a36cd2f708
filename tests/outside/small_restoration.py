"""Restoration with L1: two convolutions, for any of the steps of ``degraded``, and for real pairs of two sizes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from img2img.models.base import Model


class SmallRestoration(Model):
    """A network that sees the mask, too, if there is one, and enlarges by the scale of the data."""

    @dataclass
    class Config:
        name: Literal["small_restoration"] = "small_restoration"
        scale: int | None = None
        """Side of the output divided by the side of the input. Set to that of the data."""

    dataset = ("degraded", "paired")
    generators, discriminators = ("generator",), ()
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        self.scale = config.scale or 1
        in_channels = channels["input"] + channels.get("mask", 0)
        out_channels = channels["target"] * self.scale**2
        layers = [nn.Conv2d(in_channels, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, out_channels, 3, 1, 1)]
        self.generator = nn.Sequential(*layers, nn.PixelShuffle(self.scale))

    def forward(self, batch):
        return self.generate(batch)

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        inputs = [batch[key] for key in ("input", "mask") if key in batch]
        return {"output": self.generator(torch.cat(inputs, dim=1))}
