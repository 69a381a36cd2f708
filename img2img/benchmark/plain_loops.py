"""The training loops that one writes first, with our networks and losses: what the benchmark compares us with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.losses.image_pool import ImagePool
from img2img.models.base import Model
from img2img.networks.labels import boundary_map, one_hot

Step = Callable[[], None]


def plain_pix2pix(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """G once and D three times a step (arXiv 1611.07004), D first."""
    generator, discriminator = model.generator, model.discriminator
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    x, y = batch["input"], batch["target"]

    def judge(image: Tensor, real: bool) -> Tensor:
        return _squared(discriminator(torch.cat([x, image], 1)), real)

    def step() -> None:
        with autocast():
            fake = generator(x)
            discriminator.requires_grad_(True)
            loss_d = 0.5 * (judge(y, True) + judge(fake.detach(), False))
        _update(optimizer_d, loss_d)
        discriminator.requires_grad_(False)
        with autocast():
            loss_g = judge(fake, True) + 100 * (fake.float() - y).abs().mean()
        _update(optimizer_g, loss_g)

    return step


def plain_cyclegan(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """The generators six times and the discriminators six times a step, one image after the other (1703.10593)."""
    g, f, d_a, d_b = model.generator_ab, model.generator_ba, model.discriminator_a, model.discriminator_b
    optimizer_g, optimizer_d = _adam(g, f), _adam(d_a, d_b)
    pool_a, pool_b = ImagePool(50), ImagePool(50)
    a, b = batch["a"], batch["b"]

    def distance(image: Tensor, goal: Tensor) -> Tensor:
        return (image.float() - goal).abs().mean()

    def step() -> None:
        for discriminator in (d_a, d_b):
            discriminator.requires_grad_(False)
        with autocast():
            fake_b, fake_a = g(a), f(b)
            loss_g = _squared(d_b(fake_b), True) + _squared(d_a(fake_a), True)
            loss_g = loss_g + 10 * (distance(f(fake_b), a) + distance(g(fake_a), b))
            loss_g = loss_g + 5 * (distance(f(a), a) + distance(g(b), b))
        _update(optimizer_g, loss_g)
        for discriminator in (d_a, d_b):
            discriminator.requires_grad_(True)
        with autocast():
            loss_d = _squared(d_a(a), True) + _squared(d_a(pool_a(fake_a.detach())), False)
            loss_d = 0.5 * (loss_d + _squared(d_b(b), True) + _squared(d_b(pool_b(fake_b.detach())), False))
        _update(optimizer_d, loss_d)

    return step


def plain_pix2pixhd(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """G once and D three times a step, G first, as the authors' code does: D(y) serves both sides (1711.11585)."""
    generator, discriminator = model.generator, model.discriminator
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    y = batch["target"]

    def judge(x: Tensor, image: Tensor) -> list[list[Tensor]]:
        return discriminator(torch.cat([x, image], 1))

    def gan(judged: list[list[Tensor]], real: bool) -> Tensor:
        return torch.stack([_squared(scale[-1], real) for scale in judged]).sum()

    def step() -> None:
        x = torch.cat([one_hot(batch["label"], model.label_nc), boundary_map(batch["instance"])], 1).float()
        discriminator.requires_grad_(True)
        with autocast():
            real = judge(x, y)
            discriminator.requires_grad_(False)
            fake = generator(x)
            judged = judge(x, fake)
            loss_g = gan(judged, True)
            for seen, wanted in zip(judged, real, strict=True):
                for a, b in zip(seen[:-1], wanted[:-1], strict=True):
                    weight = 10 * 4 / len(seen[:-1]) / len(judged)
                    loss_g = loss_g + weight * (a.float() - b.detach().float()).abs().mean()
        _update(optimizer_g, loss_g)
        discriminator.requires_grad_(True)
        with autocast():
            loss_d = 0.5 * (gan(real, True) + gan(judge(x, fake.detach()), False))
        _update(optimizer_d, loss_d)

    return step


PLAIN: dict[str, Callable[[Model, dict[str, Tensor], Callable[[], Any]], Step]] = {
    "pix2pix": plain_pix2pix,
    "cyclegan": plain_cyclegan,
    "pix2pixhd": plain_pix2pixhd,
}


def _adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(chain(*(network.parameters() for network in networks)), 2e-4, (0.5, 0.999))


def _squared(logits: Tensor, real: bool) -> Tensor:
    logits = logits.float()
    return F.mse_loss(logits, torch.full_like(logits, float(real)))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
