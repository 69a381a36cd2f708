"""Exponential moving average (EMA) of a network's weights; its images are more stable than those of the newest weights.

Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", arXiv 1806.04498. torch's AveragedModel has no
warm-up, and waits for the device at every update.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm


class EMA:
    """The EMA of a network, in ``module``. Each ``update`` sets ema <- d * ema + (1 - d) * network.

    After n updates d is min(decay, (1 + n) / (10 + n)), so that the random initial weights soon lose their influence
    (the rule of TensorFlow's ExponentialMovingAverage). Batch norm's running statistics are averaged, too: those of the
    newest weights don't fit averaged weights, and images turn gray. Spectral norm's vectors are copied, since a mean
    of unit vectors has another length.

    Args:
        network: the network, which is copied.
        decay: d in the long run, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Updates the EMA with the network's current weights."""
        d = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        current = network.state_dict()
        averaged: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, ema in self.module.state_dict().items():
            if ema.is_floating_point() and not name.endswith(("._u", "._v")):
                averaged.append((ema, current[name]))
            else:
                ema.copy_(current[name])  # a counter, or spectral norm's vectors
        torch._foreach_lerp_([ema for ema, _ in averaged], [weight for _, weight in averaged], 1 - d)
        self.updates += 1


def freeze_statistics(networks: Iterable[nn.Module], *, frozen: bool) -> None:
    """Freezes or unfreezes batch-norm running statistics and spectral-norm iterations of networks in train mode.

    Outputs stay those of training, with dropout and the statistics of the batch: discriminators that warm up
    (``balance.warmup_d``) see the kind of images that they will see later.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = not frozen
            elif isinstance(module, _SpectralNorm):
                module.train(not frozen)
