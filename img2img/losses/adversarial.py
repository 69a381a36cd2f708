"""``GANLoss``: the adversarial losses of generators and discriminators, with the options ``balance``.

Models call their own networks. ``GANLoss`` prepares the discriminator's inputs and computes the losses of its outputs.
Label smoothing, instance noise, augmentation and gradient penalties are implemented here once, for every model
(``losses.balance``). ``losses.gan`` has the equations.

Random numbers are drawn in a fixed order, on which resumed runs and golden tests depend: inputs (real, then fake),
D(real), D(fake), labels of real images, labels of fake images, gradient penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from img2img.losses.balance import BalanceConfig
from img2img.losses.gan import (
    LossKind,
    discriminator_gan_loss,
    discriminator_statistics,
    generator_gan_loss,
    gradient_penalty,
    interpolate,
)

if TYPE_CHECKING:
    from img2img.losses.diff_augment import Augment

Terms = dict[str, Tensor]
Output = Tensor | list[Tensor] | list[list[Tensor]]
"""Output of a discriminator: logits (B, ...); or a list with one entry per scale, either the logits of that scale or
the list of its layers' outputs, logits last."""


class GANLoss:
    """Adversarial losses for a discriminator whose input is an image, or a condition and an image, concatenated.

    The D step of a conditional model such as pix2pix::

        real, fake = gan.inputs(y, G(x).detach(), condition=x)
        terms, statistics = gan.discriminator_loss(D(real), D(fake), weight=0.5)
        terms |= gan.penalty(D, real, fake, condition=x, weight=0.5)

    The G step::

        loss = gan.generator_loss(D(gan.input(G(x), condition=x)))

    Args:
        kind: lsgan, vanilla, minimax, hinge or wasserstein.
        options: label smoothing, instance noise, augmentation and gradient penalty; all off by default.
    """

    def __init__(self, kind: LossKind, options: BalanceConfig | None = None) -> None:
        self.kind, self.options = kind, options or BalanceConfig()
        self.noise_share = 1.0  # factor of balance.instance_noise; the training step lowers it
        self._augment: Augment | None = None
        if self.options.augment:
            from img2img.losses.diff_augment import Augment  # rarely needed

            self._augment = Augment(self.options.augment)

    def inputs(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, *, shared_draws: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's inputs for real and fake images: condition and image concatenated, augmented, with noise.

        Args:
            real, fake: (B, C, H, W); the fakes are detached in the D step.
            condition: (B, C_condition, H, W), the same for both.
            shared_draws: use the same augmentation and noise for both, so that their features can be compared.

        Returns:
            Two tensors (B, C_condition + C, H, W).
        """
        interpolates = self.options.gradient_penalty == "wgan-gp" and real.shape == fake.shape
        if shared_draws or interpolates:  # points between real and fake need one condition, augmented the same way
            real_input, fake_input = self._prepare([real, fake], condition)
            return real_input, fake_input
        return self.input(real, condition), self.input(fake, condition)

    def input(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """As ``inputs`` for one image, for the G step: (B, C, H, W) -> (B, C_condition + C, H, W)."""
        (prepared,) = self._prepare([image], condition)
        return prepared

    def discriminator_loss(self, real: Output, fake: Output, weight: float = 1.0) -> tuple[Terms, Terms]:
        """Loss terms of the D step, summed over scales.

        Args:
            real, fake: the discriminator's outputs for real and for fake images.
            weight: factor of both terms.

        Returns:
            The terms "real" and "fake", and ``discriminator_statistics`` of the first scale.

        Raises:
            ValueError: an output is not an ``Output``.
        """
        real_logits, fake_logits = logits_of(real), logits_of(fake)
        label_real, label_fake = self.options.label_real, self.options.label_fake
        terms = {
            "real": weight * self._labelled_loss(real_logits, label_real, flipped=label_fake),
            "fake": weight * self._labelled_loss(fake_logits, label_fake, flipped=label_real),
        }
        mean_labels = self.options.mean_labels
        return terms, discriminator_statistics(real_logits[0], fake_logits[0], self.kind, labels=mean_labels)

    def generator_loss(self, output: Output) -> Tensor:
        """Loss of the G step from the discriminator's output for fake images, summed over scales.

        Raises:
            ValueError: the output is not an ``Output``.
        """
        return total([generator_gan_loss(logits, self.kind) for logits in logits_of(output)])

    def penalty(
        self,
        discriminator: Callable[[Tensor], Any],
        real: Tensor,
        fake: Tensor,
        *,
        condition: Tensor | None = None,
        weight: float = 1.0,
        logits: Callable[[Any], Output] = lambda output: output,
    ) -> Terms:
        """Gradient penalty of a discriminator, ``balance.gradient_penalty``, as {"penalty": loss}; {} if it is none.

        The gradient is taken with respect to the image, not the condition.

        Args:
            discriminator: the network, or a function that calls it.
            real, fake: what ``inputs`` returned, (B, C_condition + C, H, W).
            condition: what ``inputs`` was given.
            weight: factor in addition to ``balance.lambda_gp``.
            logits: extracts the logits from the discriminator's output; needed if that is not an ``Output``, such as
                (logits, class logits).

        Raises:
            ValueError: wgan-gp with real and fake images of different sizes.
        """
        if self.options.gradient_penalty == "none":
            return {}
        channels = 0 if condition is None else condition.shape[1]
        prepared_condition, image = real[:, :channels], real[:, channels:]
        norm = None
        if self.options.gradient_penalty == "wgan-gp":
            if real.shape != fake.shape:
                raise ValueError(
                    "balance.gradient_penalty wgan-gp: needs real and fake images of one size, to interpolate between "
                    "them; set it to r1, or set data.preprocess to one that crops"
                )
            image, norm = interpolate(image, fake[:, channels:]), 1.0

        def discriminate(x: Tensor) -> list[Tensor]:
            return logits_of(logits(discriminator(torch.cat([prepared_condition, x], dim=1))))

        penalty = gradient_penalty(discriminate, image, norm=norm, of=self.options.penalty_of)
        return {"penalty": weight * self.options.lambda_gp * penalty}

    def _prepare(self, images: Sequence[Tensor], condition: Tensor | None) -> list[Tensor]:
        """The discriminator's input for each image (B, C, H, W) of one size, with the same augmentation and noise."""
        inputs = [image if condition is None else torch.cat([condition, image], dim=1) for image in images]
        if self._augment:
            inputs = self._augment(inputs, [image.shape[1] for image in images])
        sigma = self.options.instance_noise * self.noise_share
        if sigma:
            noise = sigma * torch.randn_like(images[0])
            if condition is not None:  # it gets no noise
                noise = torch.cat([torch.zeros_like(condition, dtype=noise.dtype), noise], dim=1)
            inputs = [x + noise for x in inputs]
        return inputs

    def _labelled_loss(
        self, scales: Sequence[Tensor], label: tuple[float, float], *, flipped: tuple[float, float]
    ) -> Tensor:
        """Sum over scales of the discriminator's loss, with labels drawn from the range ``label``, or ``flipped``."""
        losses = []
        for logits in scales:
            labels = self._labels(len(logits), logits.device, label, flipped=flipped)
            losses.append(discriminator_gan_loss(logits, labels, self.kind))
        return total(losses)

    def _labels(
        self, count: int, device: torch.device, label: tuple[float, float], *, flipped: tuple[float, float]
    ) -> Tensor | float:
        """One label for all images, or with random ranges or flips a label for each: (B,)."""
        flip = self.options.label_flip
        if label[0] == label[1] and not flip:
            return label[0]
        drawn = _uniform(count, label, device)
        return torch.where(torch.rand(count, device=device) < flip, _uniform(count, flipped, device), drawn)


def logits_of(output: Any) -> list[Tensor]:
    """The logits of each scale in a discriminator's output.

    Raises:
        ValueError: it is not an ``Output``, but for example a tuple of logits and class logits.
    """
    scales = [output] if isinstance(output, Tensor) else output
    if isinstance(scales, list) and scales:
        logits = [scale[-1] if isinstance(scale, list) and scale else scale for scale in scales]
        if all(isinstance(scale, Tensor) for scale in logits):
            return logits
    raise ValueError(
        f"a discriminator's output is a {type(output).__name__}: GANLoss needs a tensor of logits, or a list with one "
        "entry per scale, each a tensor of logits or a list of layers' outputs, logits last; of (logits, classes) pass "
        "output[0]"
    )


def total(losses: Sequence[Tensor]) -> Tensor:
    """Sum of scalar tensors."""
    return torch.stack(list(losses)).sum()


def _uniform(count: int, ends: tuple[float, float], device: torch.device) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * torch.rand(count, device=device)
