"""Small runs and batches of StarGAN, for its tests."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from img2img.config import BalanceConfig, Config
from img2img.data.domains import DomainsConfig
from img2img.models.stargan import StarGAN
from img2img.training_options import OptimConfig, TrainConfig


def options(attributes: list[str] | None, critic_steps: int = 1, **balance: Any) -> Config:
    names = attributes or ["x", "y", "z"]
    balance = {"gradient_penalty": "wgan-gp", "penalty_of": "sum", "discriminator_steps": critic_steps, **balance}
    return Config(
        "star",
        StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3),
        DomainsConfig("x", attributes=attributes, names=names, direction=names[0], load_size=16, crop_size=16),
        OptimConfig(lr=1e-3),
        TrainConfig(),
        BalanceConfig(**balance),
    )


def batches(attributes: list[str] | None) -> list[dict[str, Tensor]]:
    torch.manual_seed(5)
    made = []
    for _ in range(4):
        image = torch.rand(4, 3, 16, 16).double() * 2 - 1
        labels = torch.randint(0, 2, (4, 3)).double()
        number = torch.tensor([0, 1, 2, 1])
        batch = {"input": image, "target": image, "labels": labels, "class": torch.full((4,), -1)}
        made.append(batch if attributes else {**batch, "labels": F.one_hot(number, 3).double(), "class": number})
    return made
