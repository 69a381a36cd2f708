"""What steadies a network and is built into it: dropout, noise, spectral norm, minibatch statistics.

The networks themselves know nothing of it. ``fortify`` takes a finished one and adds what is asked for, the same way
for every architecture whose discriminators are chains of ``stages``, the last of which gives the verdict.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise


class FeatureNoise(nn.Module):
    """x + sigma * N(0, 1) while training: (B, ...) -> (B, ...). ``sigma`` is a tensor, so that it may fall as it runs.

    Salimans et al., "Improved Techniques for Training GANs", arXiv 1606.03498: their published code
    (openai/improved-gan) has such layers in the discriminators.
    """

    sigma: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.tensor(sigma), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma.to(x.dtype) * torch.randn_like(x) if self.training else x


class MinibatchStd(nn.Module):
    """Adds a channel that says how much the images of the batch differ: (B, C, H, W) -> (B, C + 1, H, W).

    Karras et al., "Progressive Growing of GANs", arXiv 1710.10196, Sec. 3: the standard deviation over the batch at
    each place of each feature map, averaged to one number. The batch is a process's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        deviation = (x.float().var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x, deviation.to(x.dtype).expand(b, 1, h, w)], dim=1)  # (B, C + 1, H, W)


def fortify(network: nn.Module, dropout: float = 0.0, feature_noise: float = 0.0, minibatch_std: bool = False) -> None:
    """Builds remedies into a discriminator, in place. Dropout and noise change no name of its weights.

    Args:
        network: one with ``stages``, or made of such.
        dropout: share of the features that are dropped after each LeakyReLU while training (arXiv 1406.2661, Sec. 5).
        feature_noise: standard deviation of the noise added there.
        minibatch_std: whether the last convolution also sees ``MinibatchStd``.
    """
    added = [nn.Dropout(dropout)] * bool(dropout) + [FeatureNoise(feature_noise)] * bool(feature_noise)
    if added:
        for parent in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
            for i, child in enumerate(parent):
                if isinstance(child, nn.LeakyReLU):
                    parent[i] = nn.Sequential(child, *added)
    if minibatch_std:
        chains: list[Any] = [module for module in network.modules() if hasattr(module, "stages")]
        for chain in chains:
            chain.stages[-1] = nn.Sequential(MinibatchStd(), widened(chain.stages[-1]))


def widened(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with one input channel more, whose weights are drawn with the deviation of the others."""
    wide = nn.Conv2d(
        conv.in_channels + 1,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        wide.weight.copy_(torch.randn_like(wide.weight) * conv.weight.std())
        wide.weight[:, :-1] = conv.weight
        if conv.bias is not None:
            wide.bias.copy_(conv.bias)  # type: ignore[union-attr]
    return wide


def spectral_norm(network: nn.Module) -> None:
    """Divides every convolution's weights by their largest singular value, in place.

    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", arXiv 1802.05957, Sec. 2.1, for D;
    Zhang et al., "Self-Attention GANs", arXiv 1805.08318, Sec. 4.1, for G, too.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            normalise(module)
