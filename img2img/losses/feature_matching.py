"""Feature matching: a generator also learns from the layers of a discriminator.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585,
Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.losses.balance import BalanceConfig


def comparable_answers(discriminator: nn.Module, real: Tensor, fake: Tensor, options: BalanceConfig) -> tuple[Any, Any]:
    """A discriminator's answers to a real image and to the fake that should resemble it; the first has no graph.

    Dropout and noise inside D are the same for both, or they would be most of the difference.

    Args:
        discriminator: called with the fake first, then with the real image.
        real, fake: as ``GANLoss.inputs`` returned them with ``alike``.
        options: those that D was built with.
    """
    is_random = bool(options.dropout_d or options.feature_noise)
    seed = int(torch.randint(2**31, ())) if is_random else 0  # of the CPU's generator, which the step has seeded
    if is_random:
        torch.manual_seed(seed)
    fake_answer = discriminator(fake)
    if is_random:
        torch.manual_seed(seed)
    with torch.no_grad():
        return discriminator(real), fake_answer


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """The L1 distance of the discriminators' features of a real image and of its fake.

    Wang et al., arXiv 1711.11585, Sec. 3.2, Eq. 4: means over scales, sums over layers. A sum over the four layers of a
    70x70 discriminator is the authors' weight; with another number of layers it stays as large (as their code has it).

    Args:
        real, fake: for each scale the outputs of its layers, the logits last, which are left out.
    """
    total = torch.zeros((), device=fake[0][0].device)
    for real_layers, fake_layers in zip(real, fake, strict=True):
        distances = [F.l1_loss(f, r.detach()) for r, f in zip(real_layers[:-1], fake_layers[:-1], strict=True)]
        total = total + 4 / len(distances) * sum(distances) / len(real)
    return total
