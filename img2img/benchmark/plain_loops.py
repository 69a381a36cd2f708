"""Straightforward training loops with this package's networks: the baseline of the benchmark's training step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.losses.image_pool import ImagePool
from img2img.models.base import Model
from img2img.networks.labels import boundary_map, one_hot

CRITIC_STEPS = 5  # D steps for a G step of StarGAN
Step = Callable[[], None]
"""Runs one training step."""


def plain_pix2pix(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """pix2pix (arXiv 1611.07004): D first; one pass through G and three through D per step."""
    generator, discriminator = model.generator, model.discriminator
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    x, y = batch["input"], batch["target"]

    def gan_loss(image: Tensor, real: bool) -> Tensor:
        return _lsgan(discriminator(torch.cat([x, image], 1)), real)

    def step() -> None:
        with autocast():
            fake = generator(x)
            discriminator.requires_grad_(True)
            loss_d = 0.5 * (gan_loss(y, True) + gan_loss(fake.detach(), False))
        _update(optimizer_d, loss_d)
        discriminator.requires_grad_(False)
        with autocast():
            loss_g = gan_loss(fake, True) + 100 * (fake.float() - y).abs().mean()
        _update(optimizer_g, loss_g)

    return step


def plain_cyclegan(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """CycleGAN (arXiv 1703.10593): G first; six passes through the generators and six through the discriminators."""
    g, f, d_a, d_b = model.generator_ab, model.generator_ba, model.discriminator_a, model.discriminator_b
    optimizer_g, optimizer_d = _adam(g, f), _adam(d_a, d_b)
    pool_a, pool_b = ImagePool(50), ImagePool(50)
    a, b = batch["a"], batch["b"]

    def l1(image: Tensor, target: Tensor) -> Tensor:
        return (image.float() - target).abs().mean()

    def step() -> None:
        for discriminator in (d_a, d_b):
            discriminator.requires_grad_(False)
        with autocast():
            fake_b, fake_a = g(a), f(b)
            loss_g = _lsgan(d_b(fake_b), True) + _lsgan(d_a(fake_a), True)
            loss_g = loss_g + 10 * (l1(f(fake_b), a) + l1(g(fake_a), b))
            loss_g = loss_g + 5 * (l1(f(a), a) + l1(g(b), b))
        _update(optimizer_g, loss_g)
        for discriminator in (d_a, d_b):
            discriminator.requires_grad_(True)
        with autocast():
            loss_d = _lsgan(d_a(a), True) + _lsgan(d_a(pool_a(fake_a.detach())), False)
            loss_d = 0.5 * (loss_d + _lsgan(d_b(b), True) + _lsgan(d_b(pool_b(fake_b.detach())), False))
        _update(optimizer_d, loss_d)

    return step


def plain_pix2pixhd(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """pix2pixHD (arXiv 1711.11585): G first; one pass through G and three through D. D(y) serves both losses, as in the
    official code.
    """
    generator, discriminator = model.generator, model.discriminator
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    y = batch["target"]

    def discriminate(x: Tensor, image: Tensor) -> list[list[Tensor]]:
        return discriminator(torch.cat([x, image], 1))

    def gan_loss(scales: list[list[Tensor]], real: bool) -> Tensor:
        return torch.stack([_lsgan(layers[-1], real) for layers in scales]).sum()

    def step() -> None:
        x = torch.cat([one_hot(batch["label"], model.label_nc), boundary_map(batch["instance"])], 1).float()
        discriminator.requires_grad_(True)
        with autocast():
            real_scales = discriminate(x, y)
            discriminator.requires_grad_(False)
            fake = generator(x)
            fake_scales = discriminate(x, fake)
            loss_g = gan_loss(fake_scales, True)
            for fake_layers, real_layers in zip(fake_scales, real_scales, strict=True):
                weight = 10 * 4 / len(fake_layers[:-1]) / len(fake_scales)
                for fake_layer, real_layer in zip(fake_layers[:-1], real_layers[:-1], strict=True):
                    loss_g = loss_g + weight * (fake_layer.float() - real_layer.detach().float()).abs().mean()
        _update(optimizer_g, loss_g)
        discriminator.requires_grad_(True)
        with autocast():
            loss_d = 0.5 * (gan_loss(real_scales, True) + gan_loss(discriminate(x, fake.detach()), False))
        _update(optimizer_d, loss_d)

    return step


def plain_stargan(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """StarGAN (arXiv 1711.09020), as the official code does it: a D step with three passes, of real images, fakes and
    the points between them; after every fifth a G step, which makes its fakes again and does not freeze D. G's instance
    norm keeps running statistics.
    """
    generator, discriminator = with_running_statistics(model.generator), model.discriminator
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    x, labels, numbers = batch["input"], batch["labels"], count(1)

    def classify(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels.argmax(1))

    def step() -> None:
        targets = labels[torch.randperm(len(labels)).to(labels.device)]
        with autocast():
            real_map, real_domains = discriminator(x)
            fake = generator(x, targets).float()
            fake_map, _ = discriminator(fake.detach())
            loss_d = fake_map.float().mean() - real_map.float().mean() + classify(real_domains, labels)
            share = torch.rand(len(x), 1, 1, 1, device=x.device)
            between = (share * x + (1 - share) * fake.detach()).requires_grad_(True)
            (slope,) = torch.autograd.grad(discriminator(between)[0].sum(), between, create_graph=True)
            loss_d = loss_d + 10 * ((slope.float().flatten(1).norm(dim=1) - 1) ** 2).mean()
        _update(optimizer_d, loss_d)
        if next(numbers) % CRITIC_STEPS:
            return
        with autocast():
            fake = generator(x, targets)
            fake_map, fake_domains = discriminator(fake)
            loss_g = classify(fake_domains, targets) - fake_map.float().mean()
            loss_g = loss_g + 10 * (generator(fake, labels).float() - x).abs().mean()
        _update(optimizer_g, loss_g)

    return step


def plain_srgan(model: Any, batch: dict[str, Tensor], autocast: Callable[[], Any]) -> Step:
    """ESRGAN (arXiv 1809.00219) as BasicSR does it: G first; one pass through G and five through D, two backwards of D,
    and an EMA of G, tensor by tensor.
    """
    generator, discriminator, config = model.generator, model.discriminator, model.config
    optimizer_g, optimizer_d = _adam(generator), _adam(discriminator)
    average = {key: value.detach().clone() for key, value in generator.named_parameters()}
    low, high = batch["input"] / 2 + 0.5, batch["target"] / 2 + 0.5

    def log_loss(logits: Tensor, real: bool) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            logits.float(), torch.full_like(logits, float(real), dtype=torch.float)
        )

    def step() -> None:
        discriminator.requires_grad_(False)
        with autocast():
            fake = generator(low)
            loss_g = config.pixel_weight * F.l1_loss(fake.float(), high)
            loss_g = loss_g + config.content_weight * model.content(fake.float(), high).float()
            of_real, of_fake = discriminator(high).detach(), discriminator(fake)
            adversarial = log_loss(of_real - of_fake.mean(), False) + log_loss(of_fake - of_real.mean(), True)
        _update(optimizer_g, loss_g + config.lambda_gan * adversarial / 2)
        discriminator.requires_grad_(True)
        optimizer_d.zero_grad()
        with autocast():
            of_fake, of_real = discriminator(fake.detach()).detach(), discriminator(high)
            loss_real = 0.5 * log_loss(of_real - of_fake.mean(), True)
        loss_real.backward()
        with autocast():
            of_fake = discriminator(fake.detach())
            loss_fake = 0.5 * log_loss(of_fake - of_real.detach().mean(), False)
        loss_fake.backward()
        optimizer_d.step()
        for key, value in generator.named_parameters():
            average[key].mul_(0.999).add_(value.data, alpha=0.001)

    return step


def with_running_statistics(generator: nn.Module) -> nn.Module:
    """The generator, whose group norms of one channel each become instance norms, as in the official code; in place."""
    for parent in list(generator.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                norm = nn.InstanceNorm2d(child.num_channels, affine=True, track_running_stats=True)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(parent, name, norm.to(child.weight.device))
    return generator


PLAIN: dict[str, Callable[[Model, dict[str, Tensor], Callable[[], Any]], Step]] = {
    "pix2pix": plain_pix2pix,
    "cyclegan": plain_cyclegan,
    "pix2pixhd": plain_pix2pixhd,
    "stargan": plain_stargan,
    "srgan": plain_srgan,
}


def _adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(chain(*(network.parameters() for network in networks)), 2e-4, (0.5, 0.999))


def _lsgan(logits: Tensor, real: bool) -> Tensor:
    logits = logits.float()
    return F.mse_loss(logits, torch.full_like(logits, float(real)))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
