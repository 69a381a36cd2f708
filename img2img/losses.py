"""Losses as pure functions of tensors, each as long as its equation.

Logits are a discriminator's raw outputs, before any sigmoid, of any shape; every loss is a scalar, averaged over all
of their elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

UNDECIDED = {"lsgan": 0.5, "vanilla": 2 * math.log(2), "hinge": 2.0}
"""What a discriminator pays for a real and a fake picture together while its logits say neither."""

GanLoss = Literal["lsgan", "vanilla", "hinge", "wasserstein"]


def discriminator_gan_loss(logits: Tensor, real: bool, kind: GanLoss) -> Tensor:
    """What the discriminator pays for ``logits`` on pictures that are real, or not.

    vanilla: -log sigmoid(D(x)), or -log(1 - sigmoid(D(x)))     (Goodfellow et al., arXiv 1406.2661, Eq. 1)
    lsgan:   (D(x) - 1)^2, or D(x)^2                             (Mao et al., arXiv 1611.04076, Eq. 9, without its 1/2)
    hinge:   max(0, 1 - D(x)), or max(0, 1 + D(x))               (Lim and Ye, arXiv 1705.02894)
    wasserstein: -D(x), or D(x)                                  (Arjovsky et al., arXiv 1701.07875, Eq. 3)

    The Wasserstein loss needs a D of bounded slope: ``optim.clip_d`` is that paper's way to have it (Algorithm 1).
    """
    if kind == "wasserstein":
        return -logits.mean() if real else logits.mean()
    if kind == "hinge":
        return F.relu(1 - logits if real else 1 + logits).mean()
    goal = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return F.mse_loss(logits, goal) if kind == "lsgan" else F.binary_cross_entropy_with_logits(logits, goal)


def generator_gan_loss(logits: Tensor, kind: GanLoss) -> Tensor:
    """What the generator pays for the discriminator's ``logits`` on its pictures: the non-saturating form.

    hinge: -D(G(x)); the others: the discriminator's own loss with the label "real".
    """
    return -logits.mean() if kind == "hinge" else discriminator_gan_loss(logits, True, kind)


@torch.no_grad()
def discriminator_statistics(real: Tensor, fake: Tensor, kind: GanLoss) -> dict[str, Tensor]:
    """How well the discriminator tells real from fake.

    The gap between the mean logits; the share of right verdicts on each, in [0, 1]; and its loss as a share of an
    undecided one's: 1 for logits halfway between the labels, 0 for the labels themselves. A Wasserstein critic gives no
    verdicts, and has the gap alone.
    """
    gap = {"gap": real.float().mean() - fake.float().mean()}
    if kind == "wasserstein":
        return gap
    paid = discriminator_gan_loss(real.float(), True, kind) + discriminator_gan_loss(fake.float(), False, kind)
    boundary = 0.5 if kind == "lsgan" else 0.0  # halfway between the two labels
    return {
        "accuracy_real": (real > boundary).float().mean(),
        "accuracy_fake": (fake <= boundary).float().mean(),
        **gap,
        "relative_loss": paid / UNDECIDED[kind],
    }


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """How differently the discriminators see a real picture and its fake: the L1 distance of their features.

    Wang et al., arXiv 1711.11585, Sec. 3.3, Eq. 4: means over scales, sums over layers. A sum over the four layers of a
    70x70 discriminator is the authors' weight; with another number of layers it stays as large (as their code has it).

    Args:
        real, fake: for each scale the outputs of its layers, the logits last, which are left out.
    """
    total = torch.zeros((), device=fake[0][0].device)
    for real_layers, fake_layers in zip(real, fake, strict=True):
        distances = [F.l1_loss(f, r.detach()) for r, f in zip(real_layers[:-1], fake_layers[:-1], strict=True)]
        total = total + 4 / len(distances) * sum(distances) / len(real)
    return total
