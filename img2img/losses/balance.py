"""The options that keep generator and discriminator in balance: of every model, all off unless asked for.

See docs/balance.md for what helps when.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from img2img.losses.gan import GanLoss, PenaltyOf

Policy = Literal["color", "translation", "cutout"]


@dataclass
class BalanceConfig:
    """What keeps generator and discriminator in balance; all options are off by default. See docs/balance.md."""

    everyday: ClassVar = "augment gradient_penalty spectral_norm discriminator_steps warmup_d".split()

    label_real: tuple[float, float] = (1.0, 1.0)
    """Range of the label of real images, drawn for each: [0.9,0.9] is one-sided smoothing (arXiv 1606.03498, Sec.
    3.4), [0.7,1.2] a noisy one; of vanilla, minimax and lsgan."""
    label_fake: tuple[float, float] = (0.0, 0.0)
    """Range of the label of fakes when the discriminators learn: [0,0.3], say."""
    label_flip: float = 0.0
    """Probability that an image is labelled as the opposite when the discriminators learn (S. Chintala et al., "How to
    Train a GAN?", 2016)."""
    instance_noise: float = 0.0
    """Standard deviation of the noise on what the discriminators see, real or fake, of images in [-1, 1] (arXiv
    1610.04490, Sec. 3)."""
    feature_noise: float = 0.0
    """Standard deviation of the noise on the discriminators' features, as in the code of arXiv 1606.03498."""
    noise_steps: int = 10000
    """Steps in which both noises fall linearly to 0; 0 keeps them."""
    augment: tuple[Policy, ...] = ()
    """Augmentation of real images and fakes alike before the discriminators see them: color, translation, cutout
    (DiffAugment, arXiv 2006.10738); for sets of a few hundred images."""
    dropout_d: float = 0.0
    """Dropout after each layer of the discriminators (arXiv 1406.2661, Sec. 5)."""
    minibatch_std: bool = False
    """The discriminators also see how much the images of a batch differ (arXiv 1710.10196, Sec. 3)."""
    spectral_norm: Literal["none", "d", "g", "both"] = "none"
    """Spectral norm (arXiv 1802.05957) in the discriminators (d), in the generators and what learns along with them
    (g), or in both."""
    gradient_penalty: Literal["none", "wgan-gp", "r1"] = "none"
    """Penalty on the discriminators' slope: wgan-gp (arXiv 1704.00028) or r1 (arXiv 1801.04406)."""
    lambda_gp: float = 10.0
    """Weight of this penalty: 10 in both papers."""
    penalty_of: PenaltyOf = "mean"
    """What the slope is of: the mean of an image's logits, which the loss takes, or their sum, as the functions of some
    other toolkits have it; with a PatchGAN's 900 logits the sum's slope is 900 times as steep."""
    diversity: float = 0.0
    """Weight of the distance between two outputs for one input, which the generators seek (arXiv 1901.09024); of
    models whose generators have noise."""
    discriminator_steps: int = 1
    """Steps of the discriminators, each with images of its own, for one of the generators (arXiv 1701.07875: 5)."""
    first_discriminator_steps: int = 0
    """The same for the first ``first_steps`` (the WGAN authors' code: 100); 0 for no difference."""
    first_steps: int = 0
    """How many steps of the run these are; 2500, say."""
    warmup_d: int = 0
    """Steps of the run in which the discriminators alone learn, before all others: new ones beside generators that are
    trained already (train.init_from), which they would spoil; 500, say."""
    skip_above: float = 1.0
    """The discriminators skip an update where their accuracy on a step's images is above this: 0.8, say; 1 never skips.
    A rule of practice, of no paper."""

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
                "labels must lie below those of real images"
            )

    @property
    def smooths(self) -> bool:
        """Whether labels are other than 0 and 1."""
        return (*self.label_real, *self.label_fake) != (1.0, 1.0, 0.0, 0.0)

    @property
    def mean_labels(self) -> tuple[float, float]:
        """Means of the labels of real images and of fakes, as the discriminators learn them."""
        real, fake, flip = sum(self.label_real) / 2, sum(self.label_fake) / 2, self.label_flip
        return (1 - flip) * real + flip * fake, (1 - flip) * fake + flip * real

    @property
    def changes_networks(self) -> bool:
        """Whether something is built into the networks."""
        return bool(self.dropout_d or self.feature_noise or self.minibatch_std or self.spectral_norm != "none")

    @property
    def used(self) -> list[str]:
        """What differs from the defaults, as "key value"."""
        return [f"{name} {list(value) if isinstance(value, tuple) else value}" for name, value in self.changed.items()]

    @property
    def changed(self) -> dict[str, Any]:
        """What differs from the defaults, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}

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

    def has_generator_step(self, step: int) -> bool:
        """Whether the generators learn in a step, too: in the last of every so many, and in none of the warm-up."""
        step -= self.warmup_d
        if step < 0:
            return False
        if step < self.first_steps:
            return (step + 1) % self.first_discriminator_steps == 0
        return (step - self.first_steps + 1) % self.discriminator_steps == 0
