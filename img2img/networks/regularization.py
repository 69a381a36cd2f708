"""Regularization layers that are added to finished networks: dropout, feature noise, minibatch statistics, spectral
norm.

``regularize_discriminator`` works for every discriminator that has LeakyReLUs in ``nn.Sequential``s and says which
convolution computes its logits: the last element of ``stages``, an ``nn.ModuleList``, or the attribute that
``logits_layer`` names. It may be made of such discriminators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise


class FeatureNoise(nn.Module):
    """In training x + sigma * N(0, 1): (B, ...) -> (B, ...). ``sigma`` is a tensor, because the training step lowers
    it.

    Salimans et al., "Improved Techniques for Training GANs", arXiv 1606.03498: their published code
    (openai/improved-gan) has such layers in its discriminators.
    """

    sigma: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.tensor(sigma), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma.to(x.dtype) * torch.randn_like(x) if self.training else x


class MinibatchStd(nn.Module):
    """Adds a feature map with the standard deviation over the batch: (B, C, H, W) -> (B, C + 1, H, W).

    Karras et al., "Progressive Growing of GANs", arXiv 1710.10196, Sec. 3: the standard deviation over the batch at
    each position of each feature map, averaged to one number. Each process uses its own batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        deviation = (x.float().var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x, deviation.to(x.dtype).expand(b, 1, h, w)], dim=1)  # (B, C + 1, H, W)


def regularize_discriminator(
    network: nn.Module, dropout: float = 0.0, feature_noise: float = 0.0, minibatch_std: bool = False
) -> None:
    """Adds regularization layers to a discriminator, in place. Dropout and noise keep the names of its weights.

    Args:
        network: a discriminator with ``stages`` or ``logits_layer``, or made of such.
        dropout: dropout probability after each LeakyReLU (arXiv 1406.2661, Sec. 5).
        feature_noise: standard deviation of ``FeatureNoise`` after each LeakyReLU.
        minibatch_std: put ``MinibatchStd`` before the convolution that computes the logits.

    Raises:
        ValueError: the network has no place for them.
    """
    added = [nn.Dropout(dropout)] * bool(dropout) + [FeatureNoise(feature_noise)] * bool(feature_noise)
    if added:
        chains = [module for module in network.modules() if isinstance(module, nn.Sequential)]
        places = [(chain, i) for chain in chains for i, child in enumerate(chain) if isinstance(child, nn.LeakyReLU)]
        if not places:
            key, value = ("dropout_d", dropout) if dropout else ("feature_noise", feature_noise)
            raise ValueError(
                f"balance.{key} {value}: {type(network).__name__} has no LeakyReLU in an nn.Sequential, after which it "
                "would act; set it to 0"
            )
        for chain, i in places:
            chain[i] = nn.Sequential(chain[i], *added)
    if minibatch_std:
        owners: list[Any] = [module for module in network.modules() if hasattr(module, "stages")]
        for owner in owners:
            owner.stages[-1] = nn.Sequential(MinibatchStd(), widened(owner.stages[-1]))
        named: list[Any] = [module for module in network.modules() if hasattr(module, "logits_layer")]
        for owner in named:
            conv = getattr(owner, owner.logits_layer)
            setattr(owner, owner.logits_layer, nn.Sequential(MinibatchStd(), widened(conv)))
        if not (owners or named):
            raise ValueError(
                f"balance.minibatch_std true: {type(network).__name__} does not say which layer computes its logits; "
                "set it to false, or name the layer in its attribute logits_layer"
            )


def widened(conv: nn.Conv2d) -> nn.Conv2d:
    """A copy of the convolution with one more input channel, whose weights are drawn with the others' deviation."""
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
    """Divides the weights of every convolution and linear layer by their largest singular value, in place.

    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", arXiv 1802.05957, Sec. 2.1, in D;
    Zhang et al., "Self-Attention GANs", arXiv 1805.08318, Sec. 4.1, in G as well.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            normalise(module)
