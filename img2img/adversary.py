"""The adversarial loss of both sides with every remedy for their balance: labels, noise, augmentation, slope.

A model names its networks and its pictures; what they pay each other is decided here, by the same options for every
model (``docs/balance.md``: which symptom each is for). What is built into the networks is ``networks.remedies``, what
concerns steps and optimizers the trainer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from img2img.losses import (
    GanLoss,
    between,
    discriminator_gan_loss,
    discriminator_statistics,
    generator_gan_loss,
    gradient_penalty,
)

Policy = Literal["color", "translation", "cutout"]
Terms = dict[str, Tensor]


@dataclass
class BalanceConfig:
    """Remedies for a game out of balance; all are off unless asked for. See docs/balance.md."""

    label_real: tuple[float, float] = (1.0, 1.0)
    """Range of the label of real pictures, drawn for each: [0.9,0.9] is one-sided smoothing (arXiv 1606.03498, Sec.
    3.4), [0.7,1.2] a noisy one; of vanilla, minimax and lsgan."""
    label_fake: tuple[float, float] = (0.0, 0.0)
    """Range of the label of fakes when the discriminators learn: [0,0.3], say."""
    label_flip: float = 0.0
    """Probability that a picture is labelled as the opposite when the discriminators learn (S. Chintala et al., "How to
    Train a GAN?", 2016)."""
    instance_noise: float = 0.0
    """Standard deviation of the noise on what the discriminators see, real or fake, of pictures in [-1, 1] (arXiv
    1610.04490, Sec. 3)."""
    feature_noise: float = 0.0
    """Standard deviation of the noise on the discriminators' features, as in the code of arXiv 1606.03498."""
    noise_steps: int = 10000
    """Steps in which both noises fall linearly to 0; 0 keeps them."""
    augment: tuple[Policy, ...] = ()
    """What happens to real pictures and fakes alike before the discriminators see them: color, translation, cutout
    (DiffAugment, arXiv 2006.10738); for sets of a few hundred pictures."""
    dropout_d: float = 0.0
    """Dropout after each layer of the discriminators (arXiv 1406.2661, Sec. 5)."""
    minibatch_std: bool = False
    """The discriminators also see how much the pictures of a batch differ (arXiv 1710.10196, Sec. 3)."""
    spectral_norm: Literal["none", "d", "g", "both"] = "none"
    """Spectral norm (arXiv 1802.05957) in the discriminators (d), in the generators and what learns along with them
    (g), or in both."""
    gradient_penalty: Literal["none", "wgan-gp", "r1"] = "none"
    """Penalty on the discriminators' slope: wgan-gp (arXiv 1704.00028) or r1 (arXiv 1801.04406)."""
    lambda_gp: float = 10.0
    """Weight of this penalty: 10 in both papers."""
    diversity: float = 0.0
    """Weight of the distance between two outputs for one input, which the generators seek (arXiv 1901.09024); of
    models whose generators have noise."""
    discriminator_steps: int = 1
    """Steps of the discriminators, each with pictures of its own, for one of the generators (arXiv 1701.07875: 5)."""
    first_discriminator_steps: int = 0
    """The same for the first ``first_steps`` (the WGAN authors' code: 100); 0 for no difference."""
    first_steps: int = 0
    """How many steps of the run these are; 2500, say."""
    warmup_d: int = 0
    """Steps of the run in which the discriminators alone learn, before all others: new ones beside generators that are
    trained already (train.init_from), which they would spoil; 500, say."""
    skip_above: float = 1.0
    """The discriminators skip an update where they judge more than this share of a step's pictures rightly: 0.8, say;
    1 never skips. A rule of practice, of no paper."""

    def __post_init__(self) -> None:
        for key in ("instance_noise", "feature_noise", "noise_steps", "lambda_gp", "diversity"):
            if getattr(self, key) < 0:
                raise ValueError(f"balance.{key} {getattr(self, key)}: must not be negative")
        for key in ("first_discriminator_steps", "first_steps", "warmup_d"):
            if getattr(self, key) < 0:
                raise ValueError(f"balance.{key} {getattr(self, key)}: must not be negative")
        if self.discriminator_steps < 1:
            raise ValueError(f"balance.discriminator_steps {self.discriminator_steps}: must be at least 1")
        if bool(self.first_discriminator_steps) != bool(self.first_steps):
            raise ValueError(
                f"balance.first_discriminator_steps {self.first_discriminator_steps} and balance.first_steps "
                f"{self.first_steps}: set both, or neither"
            )
        if not 0 <= self.label_flip < 0.5:
            raise ValueError(f"balance.label_flip {self.label_flip}: must lie in [0, 0.5)")
        if not 0 <= self.dropout_d < 1:
            raise ValueError(f"balance.dropout_d {self.dropout_d}: must lie in [0, 1)")
        if not 0.5 <= self.skip_above <= 1:
            raise ValueError(f"balance.skip_above {self.skip_above}: must lie in [0.5, 1]; 1 never skips")
        for key in ("label_real", "label_fake"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"balance.{key} {[low, high]}: the first must not be above the second")
        if self.label_fake[1] >= self.label_real[0]:
            raise ValueError(
                f"balance.label_fake {list(self.label_fake)} and balance.label_real {list(self.label_real)}: fakes' "
                "labels must lie below those of real pictures"
            )

    @property
    def smooths(self) -> bool:
        """Whether labels are other than 0 and 1."""
        return (*self.label_real, *self.label_fake) != (1.0, 1.0, 0.0, 0.0)

    @property
    def mean_labels(self) -> tuple[float, float]:
        """Means of the labels of real pictures and of fakes, as the discriminators learn them."""
        real, fake, flip = sum(self.label_real) / 2, sum(self.label_fake) / 2, self.label_flip
        return (1 - flip) * real + flip * fake, (1 - flip) * fake + flip * real

    @property
    def used(self) -> list[str]:
        """What differs from the defaults, as "key value"."""
        mine = ((f.name, getattr(self, f.name), f.default) for f in fields(self))
        return [f"{name} {list(value) if isinstance(value, tuple) else value}" for name, value, d in mine if value != d]

    def check_loss(self, kind: GanLoss, clip_d: float) -> None:
        """Raises ValueError if these options and the loss exclude each other."""
        if self.smooths and kind in ("hinge", "wasserstein"):
            raise ValueError(
                f"balance.label_real and label_fake: {kind} has no labels to smooth; leave them out, or set "
                "model.gan_loss lsgan or vanilla"
            )
        if kind in ("vanilla", "minimax") and not all(0 <= mean <= 1 for mean in self.mean_labels):
            raise ValueError(
                f"balance.label_real {list(self.label_real)} and label_fake {list(self.label_fake)}: {kind}'s labels "
                "are probabilities, whose means lie in [0, 1]; beyond them the logits run away"
            )
        if self.gradient_penalty != "none" and not self.lambda_gp:
            raise ValueError("balance.lambda_gp 0: a penalty of no weight; set it to 10, or gradient_penalty none")
        if kind == "wasserstein":
            if self.skip_above < 1:
                raise ValueError(
                    f"balance.skip_above {self.skip_above}: a Wasserstein critic has no accuracy; set it to 1"
                )
            if not (clip_d or self.gradient_penalty != "none" or self.spectral_norm in ("d", "both")):
                raise ValueError(
                    "model.gan_loss wasserstein: needs a critic of bounded slope; set balance.gradient_penalty wgan-gp "
                    "or optim.clip_d 0.01"
                )

    def noise_share(self, step: int) -> float:
        """Share of the noises that is left at a step."""
        return max(0.0, 1 - step / self.noise_steps) if self.noise_steps else 1.0

    def plays_generator(self, step: int) -> bool:
        """Whether the generators have a turn in a step: the last of every so many, and none of the warm-up's."""
        step -= self.warmup_d
        if step < 0:
            return False
        if step < self.first_steps:
            return (step + 1) % self.first_discriminator_steps == 0
        return (step - self.first_steps + 1) % self.discriminator_steps == 0


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
                from img2img.augment import Augment  # kornia takes seconds to import

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
