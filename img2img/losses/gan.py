"""Losses as pure functions of tensors, each as long as its equation.

Logits are a discriminator's raw outputs, before any sigmoid, (B, ...) of any shape; every loss is a scalar, averaged
over all of their elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

GanLoss = Literal["lsgan", "vanilla", "minimax", "hinge", "wasserstein"]
PenaltyOf = Literal["mean", "sum"]
UNDECIDED = {"lsgan": 0.5, "vanilla": 2 * math.log(2), "minimax": 2 * math.log(2), "hinge": 2.0}
"""A discriminator's loss of a real and a fake image together while its logits say neither."""


def discriminator_gan_loss(logits: Tensor, label: Tensor | float, kind: GanLoss) -> Tensor:
    """The discriminator's loss of its ``logits`` on images that are labelled real, 1, or fake, 0.

    vanilla, minimax: -log sigmoid(D(x)), or -log(1 - sigmoid(D(x)))   (Goodfellow et al., arXiv 1406.2661, Eq. 1)
    lsgan:       (D(x) - 1)^2, or D(x)^2                   (Mao et al., arXiv 1611.04076, Eq. 9, without its 1/2)
    hinge:       max(0, 1 - D(x)), or max(0, 1 + D(x))     (Lim and Ye, arXiv 1705.02894)
    wasserstein: -D(x), or D(x)                            (Arjovsky et al., arXiv 1701.07875, Eq. 3)

    The Wasserstein loss needs a D of bounded slope: weight clipping (``optim.clip_d``) or ``gradient_penalty``.

    Args:
        logits: (B, ...).
        label: of all images, or (B,) of each. vanilla, minimax and lsgan take labels between and beside the two.
        kind: the loss.
    """
    if isinstance(label, Tensor):
        label = label.view(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
    if kind == "wasserstein":
        return ((1 - 2 * label) * logits).mean()
    if kind == "hinge":
        return F.relu(1 + (1 - 2 * label) * logits).mean()
    goal = label if isinstance(label, Tensor) else torch.full_like(logits, label)
    return F.mse_loss(logits, goal) if kind == "lsgan" else F.binary_cross_entropy_with_logits(logits, goal)


def generator_gan_loss(logits: Tensor, kind: GanLoss) -> Tensor:
    """The generator's loss of the discriminator's ``logits`` on its images.

    minimax: log(1 - sigmoid(D(G(z)))), which saturates where D is sure (arXiv 1406.2661, Sec. 3); hinge: -D(G(x)); the
    others the discriminator's own loss with the label "real": the non-saturating form.
    """
    if kind == "minimax":
        return -discriminator_gan_loss(logits, 0.0, kind)
    return -logits.mean() if kind == "hinge" else discriminator_gan_loss(logits, 1.0, kind)


@torch.no_grad()
def discriminator_statistics(
    real: Tensor, fake: Tensor, kind: GanLoss, *, labels: tuple[float, float] = (1.0, 0.0)
) -> dict[str, Tensor]:
    """How well the discriminator tells real from fake.

    The gap between the mean logits; the accuracy on each, in [0, 1]; and the relative loss: the loss above the least
    that the labels allow, in units of an undecided discriminator's with the labels 1 and 0. With these, it is 1 for
    logits halfway between them and 0 for the labels themselves. A Wasserstein critic has the gap alone.

    Args:
        real, fake: logits (B, ...).
        kind: the loss.
        labels: means of those that the discriminator learns of real images and of fakes, smoothed or flipped; hinge
            has none, and its best logits are the same in any case.
    """
    gap = {"gap": real.float().mean() - fake.float().mean()}
    if kind == "wasserstein":
        return gap
    if kind == "hinge":
        labels = (1.0, 0.0)
    elif kind != "lsgan":  # beyond 0 and 1 a cross entropy has no least value
        labels = (min(max(labels[0], 0.0), 1.0), min(max(labels[1], 0.0), 1.0))
    loss = discriminator_gan_loss(real.float(), labels[0], kind) + discriminator_gan_loss(fake.float(), labels[1], kind)
    if kind in ("vanilla", "minimax"):  # the least is the labels' entropy
        loss = loss + sum(p * math.log(p) for label in labels for p in (label, 1 - label) if p > 0)
    boundary = 0.5 if kind == "lsgan" else 0.0  # halfway between the two labels
    return {
        "accuracy_real": (real > boundary).float().mean(),
        "accuracy_fake": (fake <= boundary).float().mean(),
        **gap,
        "relative_loss": loss / UNDECIDED[kind],
    }


def gradient_penalty(
    judge: Callable[[Tensor], Sequence[Tensor]], images: Tensor, *, norm: float | None, of: PenaltyOf = "mean"
) -> Tensor:
    """How far the slope of a discriminator lies from what it should be, at ``images``.

    norm 1:    (||grad D(x)|| - 1)^2   (WGAN-GP, Gulrajani et al., arXiv 1704.00028, Eq. 3; x as ``between`` has them)
    norm None: ||grad D(x)||^2 / 2     (R1, Mescheder et al., arXiv 1801.04406, Eq. 9; x real)

    D(x) is the mean of an image's logits, as it is in the loss, or their sum; the two are the same where an image has
    one logit. The penalties of several scales are added up.

    Args:
        judge: images -> the logits (B, ...) of each scale.
        images: (B, C, H, W); no gradient reaches where they come from.
        norm: what the slope's L2 norm should be; None pulls it to 0.
        of: "mean" or "sum" of an image's logits.
    """
    x = images.detach().requires_grad_(True)
    total = torch.zeros((), device=x.device)
    for logits in judge(x):
        of_image = logits.flatten(1).mean(1) if of == "mean" else logits.flatten(1).sum(1)  # (B,)
        (slope,) = torch.autograd.grad(of_image.sum(), x, create_graph=True)  # no image knows of the others
        squared = slope.float().square().flatten(1).sum(1)  # (B,)
        if norm is None:
            total = total + 0.5 * squared.mean()
        else:  # 1e-12: the root has no slope at 0
            total = total + ((squared + 1e-12).sqrt() - norm).square().mean()
    return total


def between(real: Tensor, fake: Tensor) -> Tensor:
    """A random point on the line from each real image to a fake one, (B, C, H, W): arXiv 1704.00028, Sec. 4."""
    epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    return epsilon * real + (1 - epsilon) * fake


def diversity_loss(first: Tensor, second: Tensor, bound: float = 1.0) -> Tensor:
    """Minus the mean L1 distance of two images (B, C, H, W) of one input, no more than ``bound`` each.

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", arXiv 1901.09024, Eq. 2 and 3; the
    distance of the noises, which its quotient has below, is left out: dropout has none, and that of Gaussian noise
    hardly changes.
    """
    distance = (first - second).abs().flatten(1).mean(1)  # (B,)
    return -distance.clamp(max=bound).mean()
