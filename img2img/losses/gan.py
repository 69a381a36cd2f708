"""GAN losses, gradient penalty and diversity loss: pure functions of tensors, each with its equation.

Logits are a discriminator's outputs before any sigmoid, of any shape (B, ...). Every loss is a scalar, the mean over
all logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossKind = Literal["lsgan", "vanilla", "minimax", "hinge", "wasserstein"]
PenaltyOf = Literal["mean", "sum"]
UNDECIDED = {"lsgan": 0.5, "vanilla": 2 * math.log(2), "minimax": 2 * math.log(2), "hinge": 2.0}
"""The discriminator's loss (real + fake) while its logits are halfway between real and fake."""


def discriminator_gan_loss(logits: Tensor, label: Tensor | float, kind: LossKind) -> Tensor:
    """The discriminator's loss for images with the label 1 (real) or 0 (fake).

                      label 1             label 0
    vanilla, minimax  -log sigmoid(D(x))  -log(1 - sigmoid(D(x)))  Goodfellow et al., arXiv 1406.2661, Eq. 1
    lsgan             (D(x) - 1)^2        D(x)^2                   Mao et al., arXiv 1611.04076, Eq. 9, without its 1/2
    hinge             max(0, 1 - D(x))    max(0, 1 + D(x))         Lim and Ye, arXiv 1705.02894
    wasserstein       -D(x)               D(x)                     Arjovsky et al., arXiv 1701.07875, Eq. 3

    wasserstein needs a Lipschitz D: weight clipping (``optim.clip_d``), ``gradient_penalty`` or spectral norm.

    Args:
        logits: (B, ...).
        label: one for all images, or (B,). vanilla, minimax and lsgan also take other labels than 0 and 1.
        kind: the loss.
    """
    if isinstance(label, Tensor):
        label = label.view(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
    if kind == "wasserstein":
        return ((1 - 2 * label) * logits).mean()
    if kind == "hinge":
        return F.relu(1 + (1 - 2 * label) * logits).mean()
    target = label if isinstance(label, Tensor) else torch.full_like(logits, label)
    return F.mse_loss(logits, target) if kind == "lsgan" else F.binary_cross_entropy_with_logits(logits, target)


def generator_gan_loss(logits: Tensor, kind: LossKind) -> Tensor:
    """The generator's loss, from the discriminator's logits for generated images.

    minimax: log(1 - sigmoid(D(G(z)))), which saturates if D is confident (arXiv 1406.2661, Sec. 3). hinge: -D(G(z)).
    All others: the discriminator's loss with the label 1 (real); for vanilla this is the non-saturating form.
    """
    if kind == "minimax":
        return -discriminator_gan_loss(logits, 0.0, kind)
    return -logits.mean() if kind == "hinge" else discriminator_gan_loss(logits, 1.0, kind)


def relative(logits: Tensor, others: Tensor) -> Tensor:
    """The logits minus the mean of those of the other kind of images: how much more real than these an image looks.

    Relativistic average GAN, Jolicoeur-Martineau, arXiv 1807.00734, Eq. 15 and 16. The mean is that of the batch, with
    several processes that of each one's own.
    """
    return logits - others.mean()


@torch.no_grad()
def discriminator_statistics(
    real: Tensor, fake: Tensor, kind: LossKind, *, labels: tuple[float, float] = (1.0, 0.0)
) -> dict[str, Tensor]:
    """Statistics for the log: how well the discriminator separates real from fake images.

    Args:
        real, fake: logits (B, ...).
        kind: the loss.
        labels: expected labels of real and of fake images, if they are smoothed or flipped. hinge ignores them.

    Returns:
        ``gap``: mean logit of real images minus that of fakes. wasserstein has no other statistic.
        ``accuracy_real``, ``accuracy_fake``: share of logits on the right side of the boundary, in [0, 1].
        ``relative_loss``: the loss minus its minimum for these labels, divided by the loss of an undecided
        discriminator with labels 1 and 0. For these labels 1 is undecided and 0 is perfect.
    """
    gap = {"gap": real.float().mean() - fake.float().mean()}
    if kind == "wasserstein":
        return gap
    if kind == "hinge":
        labels = (1.0, 0.0)
    elif kind != "lsgan":  # outside [0, 1] the cross entropy has no minimum
        labels = (min(max(labels[0], 0.0), 1.0), min(max(labels[1], 0.0), 1.0))
    loss = discriminator_gan_loss(real.float(), labels[0], kind) + discriminator_gan_loss(fake.float(), labels[1], kind)
    if kind in ("vanilla", "minimax"):  # its minimum is the labels' entropy
        loss = loss + sum(p * math.log(p) for label in labels for p in (label, 1 - label) if p > 0)
    boundary = 0.5 if kind == "lsgan" else 0.0  # halfway between the two labels
    return {
        "accuracy_real": (real > boundary).float().mean(),
        "accuracy_fake": (fake <= boundary).float().mean(),
        **gap,
        "relative_loss": loss / UNDECIDED[kind],
    }


def gradient_penalty(
    discriminate: Callable[[Tensor], Sequence[Tensor]], images: Tensor, *, norm: float | None, of: PenaltyOf = "mean"
) -> Tensor:
    """Penalty on the gradient of a discriminator with respect to its input, without its weight; summed over scales.

    norm 1:    (||grad D(x)|| - 1)^2   WGAN-GP, Gulrajani et al., arXiv 1704.00028, Eq. 3; x from ``interpolate``
    norm None: ||grad D(x)||^2 / 2     R1, Mescheder et al., arXiv 1801.04406, Eq. 9; x real images

    Args:
        discriminate: maps images to the logits (B, ...) of each scale.
        images: x, (B, C, H, W); they are detached.
        norm: the L2 norm that the gradient should have; None for R1.
        of: D(x) is the "mean" of an image's logits, as in the loss, or their "sum".
    """
    x = images.detach().requires_grad_(True)
    total = torch.zeros((), device=x.device)
    for logits in discriminate(x):
        value = logits.flatten(1).mean(1) if of == "mean" else logits.flatten(1).sum(1)  # (B,)
        # The gradient of the sum has every image's own gradient, since D(x) of an image depends on no other
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        squared = at_least_float32(gradient).square().flatten(1).sum(1)  # (B,)
        if norm is None:
            total = total + 0.5 * squared.mean()
        else:  # 1e-12: the root has no derivative at 0
            total = total + ((squared + 1e-12).sqrt() - norm).square().mean()
    return total


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, in which losses are summed; float64 stays, for comparisons with references."""
    return x if x.dtype == torch.float64 else x.float()


def interpolate(real: Tensor, fake: Tensor) -> Tensor:
    """A random point on the line between each real and fake image (B, C, H, W) (arXiv 1704.00028, Sec. 4)."""
    epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    return epsilon * real + (1 - epsilon) * fake


def diversity_loss(first: Tensor, second: Tensor, bound: float = 1.0) -> Tensor:
    """Minus the mean L1 distance of two outputs (B, C, H, W) for one input, where each distance counts up to ``bound``.

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", arXiv 1901.09024, Eq. 2 and 3. The
    paper divides by the distance of the two noise vectors. That is left out here: dropout has none, and the distance of
    two Gaussian vectors hardly varies.
    """
    distance = (first - second).abs().flatten(1).mean(1)  # (B,)
    return -distance.clamp(max=bound).mean()
