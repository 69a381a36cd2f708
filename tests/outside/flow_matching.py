"""Flow matching on pairs (arXiv 2210.02747): from noise to the target in several steps, conditioned on the input."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from img2img.models.base import Model

STEPS = 4


class FlowMatching(Model):
    """A network for the velocity from noise to the target, given the input and the time."""

    @dataclass
    class Config:
        name: Literal["flow_matching"] = "flow_matching"
        width: int = 8
        """Feature maps of the hidden layer."""

    dataset = "paired"
    generators, discriminators = ("velocity",), ()
    random = True
    fakes: ClassVar = {}
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        self.channels = channels["target"]
        in_channels, width = channels["input"] + channels["target"] + 1, config.width
        self.velocity = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, self.channels, 3, 1, 1)
        )

    def flow(self, x, state, time):
        return self.velocity(torch.cat([x, state, time.expand(len(x), 1, *x.shape[2:])], dim=1))

    def forward(self, batch):
        y = batch["target"]
        noise, time = torch.randn_like(y), torch.rand(len(y), 1, 1, 1, device=y.device)
        state = (1 - time) * noise + time * y  # Eq. 22 with sigma_min 0
        return {"velocity": self.flow(batch["input"], state, time), "velocity_target": y - noise}

    def generator_loss(self, batch, images):
        return {"flow": (images["velocity"] - images["velocity_target"]).square().mean()}, {}  # Eq. 23

    def generate(self, batch, direction="AtoB"):
        x = batch["input"]
        state = torch.randn(len(x), self.channels, *x.shape[2:], device=x.device)
        for step in range(STEPS):
            state = state + self.flow(x, state, torch.full((1, 1, 1, 1), step / STEPS, device=x.device)) / STEPS
        return {"output": state.clamp(-1, 1)}
