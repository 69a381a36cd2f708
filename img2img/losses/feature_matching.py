"""Feature matching loss: the generator's images should have the discriminator features of real images.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585,
Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.losses.balance import BalanceConfig


def one_scale(discriminator: nn.Module) -> Callable[[Tensor], list[list[Tensor]]]:
    """A PatchGAN as a discriminator of one scale: it returns the outputs of all layers, logits last."""
    return lambda x: [discriminator(x, return_features=True)]


def comparable_outputs(
    discriminator: Callable[[Tensor], Any], real: Tensor, fake: Tensor, options: BalanceConfig
) -> tuple[Any, Any]:
    """The discriminator's outputs for real and for fake images, with the same dropout and noise inside D for both.

    Without that, the random difference would outweigh the difference of the images.

    Args:
        discriminator: the network; it is called with the fakes first.
        real, fake: what ``GANLoss.inputs`` returned with ``shared_draws``.
        options: those that the discriminator was built with.

    Returns:
        The output for ``real``, without a graph, and that for ``fake``.
    """
    is_random = bool(options.dropout_d or options.feature_noise)
    seed = int(torch.randint(2**31, ())) if is_random else 0  # from the CPU's generator, which the training step seeds
    if is_random:
        torch.manual_seed(seed)
    fake_output = discriminator(fake)
    if is_random:
        torch.manual_seed(seed)
    with torch.no_grad():
        return discriminator(real), fake_output


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 distance between the discriminators' features of real and of fake images.

    Wang et al., arXiv 1711.11585, Eq. 4 (Sec. 3.2): the sum over layers of each layer's mean absolute difference. Eq. 5
    sums over the scales; this is their mean, as in the official code. As there, too, the sum over layers is scaled to
    that of the four layers of a 70x70 discriminator, whatever the number of layers.

    Args:
        real, fake: for each scale the outputs of its layers, logits last. The logits are left out.
    """
    total = torch.zeros((), device=fake[0][0].device)
    for real_layers, fake_layers in zip(real, fake, strict=True):
        distances = [F.l1_loss(f, r.detach()) for r, f in zip(real_layers[:-1], fake_layers[:-1], strict=True)]
        total = total + 4 / len(distances) * sum(distances) / len(real)
    return total
