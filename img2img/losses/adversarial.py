"""The adversarial loss of both sides with every remedy for their balance: labels, noise, augmentation, slope.

A model names its networks and its pictures; what they pay each other is decided here, by the same options for every
model (``docs/balance.md``: which symptom each is for). What is built into the networks is ``networks.remedies``, what
concerns steps and optimizers the trainer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from img2img.losses.balance import BalanceConfig
from img2img.losses.gan import (
    GanLoss,
    between,
    discriminator_gan_loss,
    discriminator_statistics,
    generator_gan_loss,
    gradient_penalty,
)

Terms = dict[str, Tensor]


class Adversary:
    """What generators and discriminators pay each other.

    A discriminator's input is a condition, if it has one, and then a picture, one above the other. Its answer is one
    tensor of logits; or for each of several scales all layers' outputs, the logits last.

    Args:
        kind: the loss.
        options: the remedies.
    """

    def __init__(self, kind: GanLoss, options: BalanceConfig | None = None) -> None:
        self.kind, self.options = kind, options or BalanceConfig()
        self.share = 1.0  # of the noise that is left
        self._augment: Any = None

    def look(self, condition: Tensor | None, *pictures: Tensor) -> list[Tensor]:
        """What a discriminator is shown of each picture: (B, C, H, W) -> (B, C_condition + C, H, W).

        Pictures that are given together, of one size, are augmented alike and get the same noise, so that their
        features can be compared.
        """
        seen = [picture if condition is None else torch.cat([condition, picture], dim=1) for picture in pictures]
        if self.options.augment:
            if self._augment is None:
                from img2img.losses.diff_augment import Augment  # kornia takes seconds to import

                self._augment = Augment(self.options.augment)
            seen = self._augment(seen, [picture.shape[1] for picture in pictures])
        sigma = self.options.instance_noise * self.share
        if sigma:
            noise = sigma * torch.randn_like(pictures[0])
            if condition is not None:  # which is no secret
                noise = torch.cat([torch.zeros_like(condition, dtype=noise.dtype), noise], dim=1)
            seen = [whole + noise for whole in seen]
        return seen

    def discriminator_loss(
        self,
        network: nn.Module,
        real: Tensor,
        fake: Tensor,
        condition: Tensor | None = None,
        *,
        weight: float = 0.5,
        together: bool = False,
    ) -> tuple[Terms, Terms]:
        """({"real", "fake"} and a "penalty" if there is one, statistics) of a discriminator.

        Args:
            network: the discriminator.
            real, fake: pictures (B, C, H, W), the fakes detached.
            condition: (B, C, H, W), what both belong to.
            weight: of all terms. One half slows D down relative to G (pix2pix, arXiv 1611.07004, Sec. 3.4).
            together: whether real pictures and fakes may pass the network as one batch, if their sizes allow it.
        """
        if self.options.gradient_penalty == "wgan-gp" and real.shape == fake.shape:
            seen_real, seen_fake = self.look(condition, real, fake)  # what lies between them has one condition
        else:
            (seen_real,), (seen_fake,) = self.look(condition, real), self.look(condition, fake)
        if together and seen_real.shape == seen_fake.shape and not self.options.minibatch_std:
            both = logits_of(network(torch.cat([seen_real, seen_fake])))  # (2B, C, H, W)
            reals, fakes = ([logits.chunk(2)[i] for logits in both] for i in (0, 1))
        else:
            reals, fakes = logits_of(network(seen_real)), logits_of(network(seen_fake))
        terms = {
            "real": weight * self._judged(reals, self.options.label_real, self.options.label_fake),
            "fake": weight * self._judged(fakes, self.options.label_fake, self.options.label_real),
        }
        if self.options.gradient_penalty != "none":
            terms["penalty"] = weight * self.options.lambda_gp * self._penalty(network, seen_real, seen_fake, real)
        return terms, discriminator_statistics(reals[0], fakes[0], self.kind, self.options.mean_labels)

    def compare(self, network: nn.Module, fake: Tensor, real: Tensor) -> tuple[Any, Any]:
        """A discriminator's answers to what ``look`` made of a fake and of the real picture that it should resemble.

        The second has no graph. Dropout and noise inside D are the same for both, or they would be most of what
        differs.
        """
        same = bool(self.options.dropout_d or self.options.feature_noise)
        seed = int(torch.randint(2**31, ())) if same else 0  # of the CPU's generator, which the step has keyed
        if same:
            torch.manual_seed(seed)
        answer = network(fake)
        if same:
            torch.manual_seed(seed)
        with torch.no_grad():
            return answer, network(real)

    def generator_loss(self, answer: Any) -> Tensor:
        """What the generator pays for a discriminator's answer to its pictures, ``network(*look(condition, fake))``."""
        return total([generator_gan_loss(logits, self.kind) for logits in logits_of(answer)])

    def _judged(self, scales: Sequence[Tensor], own: tuple[float, float], other: tuple[float, float]) -> Tensor:
        losses = [
            discriminator_gan_loss(logits, self._labels(len(logits), logits.device, own, other), self.kind)
            for logits in scales
        ]
        return total(losses)

    def _labels(
        self, count: int, device: torch.device, own: tuple[float, float], other: tuple[float, float]
    ) -> Tensor | float:
        """The label of all pictures, or one for each, (B,), where chance has a part in it."""
        flip = self.options.label_flip
        if own[0] == own[1] and not flip:
            return own[0]
        drawn = _uniform(count, own, device)
        return torch.where(torch.rand(count, device=device) < flip, _uniform(count, other, device), drawn)

    def _penalty(self, network: nn.Module, real: Tensor, fake: Tensor, picture: Tensor) -> Tensor:
        """Of the slope along the picture's channels, which are the last ones."""
        channels = picture.shape[1]
        condition = real[:, :-channels]
        at, norm = real[:, -channels:], None
        if self.options.gradient_penalty == "wgan-gp":
            if real.shape != fake.shape:
                raise ValueError(
                    "balance.gradient_penalty wgan-gp: lies between real pictures and fakes, which need one size; set "
                    "it to r1, or a data.preprocess that crops"
                )
            at, norm = between(at, fake[:, -channels:]), 1.0
        return gradient_penalty(lambda x: logits_of(network(torch.cat([condition, x], dim=1))), at, norm)


def logits_of(answer: Any) -> list[Tensor]:
    """The logits of each scale of a discriminator's answer."""
    return [answer] if isinstance(answer, Tensor) else [layers[-1] for layers in answer]


def total(losses: Sequence[Tensor]) -> Tensor:
    """The sum of scalars, as one."""
    return torch.stack(list(losses)).sum()


def _uniform(count: int, ends: tuple[float, float], device: torch.device) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * torch.rand(count, device=device)
