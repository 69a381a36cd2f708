"""``GANLoss``: the adversarial loss of both sides, with the balance options around it.

A model calls its own networks; ``GANLoss`` prepares a discriminator's input and computes losses of its answers. Label
smoothing, noise, augmentation and gradient penalties (``losses.balance``; docs/balance.md: which symptom each is for)
are implemented here once, for every model. The equations are in ``losses.gan``.

What the options draw at random comes in one order, on which golden traces and resumed runs depend: the inputs (real
before fake), D(real), D(fake), the labels of real and of fake images, the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from img2img.losses.diff_augment import Augment

Terms = dict[str, Tensor]
Answer = Tensor | list[Tensor] | list[list[Tensor]]
"""What a discriminator returns: logits (B, ...); or a list with one entry a scale, which is the scale's logits, or the
list of its layers' outputs with the logits last."""


class GANLoss:
    """The losses of generators and discriminators, for a discriminator that sees a condition above an image.

    A discriminator's step, conditional as in pix2pix, reads::

        real, fake = gan.inputs(y, G(x).detach(), condition=x)
        terms, statistics = gan.discriminator_loss(D(real), D(fake), weight=0.5)
        terms |= gan.penalty(D, real, fake, condition=x, weight=0.5)

    and a generator's ``gan.generator_loss(D(gan.input(G(x), condition=x)))``.

    Args:
        kind: the loss.
        options: labels, noise, augmentation and gradient penalty; all off by default.
    """

    def __init__(self, kind: GanLoss, options: BalanceConfig | None = None) -> None:
        self.kind, self.options = kind, options or BalanceConfig()
        self.noise_share = 1.0  # of balance.instance_noise, which fades; the training step sets it
        self._augment: Augment | None = None
        if self.options.augment:
            from img2img.losses.diff_augment import Augment  # for small sets; most runs do without

            self._augment = Augment(self.options.augment)

    def inputs(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, *, alike: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's input for a real and for a fake image: condition above image, augmented, with noise.

        Args:
            real, fake: (B, C, H, W); in the discriminators' loss the fakes are detached.
            condition: (B, C_condition, H, W) of both.
            alike: with the same augmentation and noise, so that features of the two can be compared.

        Returns:
            Two of (B, C_condition + C, H, W).
        """
        between_them = self.options.gradient_penalty == "wgan-gp" and real.shape == fake.shape
        if alike or between_them:  # what lies between the two must have one condition
            seen_real, seen_fake = self._prepare([real, fake], condition)
            return seen_real, seen_fake
        return self.input(real, condition), self.input(fake, condition)

    def input(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """``inputs`` of one image, for the generators' loss: (B, C, H, W) -> (B, C_condition + C, H, W)."""
        (seen,) = self._prepare([image], condition)
        return seen

    def discriminator_loss(self, real: Answer, fake: Answer, weight: float = 1.0) -> tuple[Terms, Terms]:
        """({"real", "fake"}, statistics) of a discriminator's answers to real and to fake images.

        Args:
            real, fake: its answers. The loss is the sum over scales; the statistics are of the first one.
            weight: of both terms.

        Raises:
            ValueError: an answer of another form.
        """
        real_logits, fake_logits = logits_of(real), logits_of(fake)
        label_real, label_fake = self.options.label_real, self.options.label_fake
        terms = {
            "real": weight * self._labelled_loss(real_logits, label_real, flipped=label_fake),
            "fake": weight * self._labelled_loss(fake_logits, label_fake, flipped=label_real),
        }
        mean_labels = self.options.mean_labels
        return terms, discriminator_statistics(real_logits[0], fake_logits[0], self.kind, labels=mean_labels)

    def generator_loss(self, answer: Answer) -> Tensor:
        """The generators' loss of a discriminator's answer to their images, summed over scales.

        Raises:
            ValueError: an answer of another form.
        """
        return total([generator_gan_loss(logits, self.kind) for logits in logits_of(answer)])

    def penalty(
        self,
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        *,
        condition: Tensor | None = None,
        weight: float = 1.0,
        logits: Callable[[Any], Answer] = lambda answer: answer,
    ) -> Terms:
        """{"penalty"}: the gradient penalty of a discriminator; {} if ``balance.gradient_penalty`` is none.

        Its gradient is taken with respect to the image, not to the condition.

        Args:
            discriminator: called with more inputs like ``real``.
            real, fake: as ``inputs`` returned them, (B, C_condition + C, H, W).
            condition: as ``inputs`` got it.
            weight: beside ``balance.lambda_gp``.
            logits: what takes the logits out of an answer that holds more than those, such as (logits, classes).

        Raises:
            ValueError: real and fake images of two sizes, for wgan-gp.
        """
        if self.options.gradient_penalty == "none":
            return {}
        channels = 0 if condition is None else condition.shape[1]
        seen_condition, image = real[:, :channels], real[:, channels:]
        norm = None
        if self.options.gradient_penalty == "wgan-gp":
            if real.shape != fake.shape:
                raise ValueError(
                    "balance.gradient_penalty wgan-gp: needs real and fake images of one size, to draw points between "
                    "them; set it to r1, or a data.preprocess that crops"
                )
            image, norm = between(image, fake[:, channels:]), 1.0

        def judge(x: Tensor) -> list[Tensor]:
            return logits_of(logits(discriminator(torch.cat([seen_condition, x], dim=1))))

        penalty = gradient_penalty(judge, image, norm=norm, of=self.options.penalty_of)
        return {"penalty": weight * self.options.lambda_gp * penalty}

    def _prepare(self, images: Sequence[Tensor], condition: Tensor | None) -> list[Tensor]:
        """The discriminator's input of each image (B, C, H, W), all of one size; they share augmentation and noise."""
        inputs = [image if condition is None else torch.cat([condition, image], dim=1) for image in images]
        if self._augment:
            inputs = self._augment(inputs, [image.shape[1] for image in images])
        sigma = self.options.instance_noise * self.noise_share
        if sigma:
            noise = sigma * torch.randn_like(images[0])
            if condition is not None:  # stays without noise
                noise = torch.cat([torch.zeros_like(condition, dtype=noise.dtype), noise], dim=1)
            inputs = [whole + noise for whole in inputs]
        return inputs

    def _labelled_loss(
        self, scales: Sequence[Tensor], label: tuple[float, float], *, flipped: tuple[float, float]
    ) -> Tensor:
        """The discriminator's loss of each scale's logits, summed; ``label`` and ``flipped`` are ranges."""
        losses = []
        for logits in scales:
            labels = self._labels(len(logits), logits.device, label, flipped=flipped)
            losses.append(discriminator_gan_loss(logits, labels, self.kind))
        return total(losses)

    def _labels(
        self, count: int, device: torch.device, label: tuple[float, float], *, flipped: tuple[float, float]
    ) -> Tensor | float:
        """One label for all images; or one for each, (B,), where they are drawn or flipped."""
        flip = self.options.label_flip
        if label[0] == label[1] and not flip:
            return label[0]
        drawn = _uniform(count, label, device)
        return torch.where(torch.rand(count, device=device) < flip, _uniform(count, flipped, device), drawn)


def logits_of(answer: Any) -> list[Tensor]:
    """The logits of each scale of a discriminator's answer.

    Raises:
        ValueError: it is no ``Answer``, such as a tuple of logits and class logits.
    """
    scales = [answer] if isinstance(answer, Tensor) else answer
    if isinstance(scales, list) and scales:
        logits = [scale[-1] if isinstance(scale, list) and scale else scale for scale in scales]
        if all(isinstance(scale, Tensor) for scale in logits):
            return logits
    raise ValueError(
        f"a discriminator's answer is a {type(answer).__name__}: GANLoss takes logits, a tensor; or a list with one "
        "entry a scale, each a tensor or a list of layers' outputs with the logits last. Of (logits, classes) pass "
        "answer[0]"
    )


def total(losses: Sequence[Tensor]) -> Tensor:
    """The sum of scalars, as one."""
    return torch.stack(list(losses)).sum()


def _uniform(count: int, ends: tuple[float, float], device: torch.device) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * torch.rand(count, device=device)
