"""L1 regression on pairs, without a discriminator: the L1 row of pix2pix's Table 1 (arXiv 1611.07004)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.models.base import Model
from img2img.networks.unet import UNet


class L1Regression(Model):
    """A U-Net, trained with an L1 loss."""

    @dataclass
    class Config:
        name: Literal["l1_regression"] = "l1_regression"
        num_downs: int = 4
        """Number of times the U-Net halves the image."""

    dataset = "paired"
    generators, discriminators = ("generator",), ()
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        self.config = config
        self.generator = UNet(channels["input"], channels["target"], num_downs=config.num_downs, ngf=4)

    def forward(self, batch):
        return {"output": self.generator(batch["input"])}

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        return {"output": self.generator(batch["input"])}
