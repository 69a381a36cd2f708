"""The exponential moving average (EMA) of a network, which gives calmer images than the newest weights.

Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", arXiv 1806.04498. Not torch's AveragedModel: it
asks the device for its counter at every step, and has no warm-up.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm


class EMA:
    """``module`` is the EMA of a network: ema <- d * ema + (1 - d) * network, at each ``update``.

    After n updates d is min(decay, (1 + n) / (10 + n)), so that the random first weights are soon forgotten (the rule
    of TensorFlow's ExponentialMovingAverage). Batch norm's statistics are averaged too: those of the newest weights do
    not fit the averaged ones, and images turn gray. Spectral norm's vectors are of length 1, which means are not:
    they are the newest.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes the network's current weights into the EMA."""
        d = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        currents = network.state_dict()
        means: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, average in self.module.state_dict().items():
            if average.is_floating_point() and not name.endswith(("._u", "._v")):
                means.append((average, currents[name]))
            else:
                average.copy_(currents[name])  # a counter, or spectral norm's
        torch._foreach_lerp_([average for average, _ in means], [current for _, current in means], 1 - d)
        self.updates += 1


def keep_statistics(networks: Iterable[nn.Module], keep: bool) -> None:
    """Keeps batch norm's running statistics and spectral norm's iterations as they are, or lets them go on, of networks
    in training mode.

    Their outputs stay those of training, with dropout and the batch's own statistics: a discriminator that warms up
    beside them sees the images that it will see later.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = not keep
            elif isinstance(module, _SpectralNorm):
                module.train(not keep)
