"""``BalanceConfig``: options that stabilise GAN training, for every model. All are off by default.

docs/balance.md says which option helps against which problem.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from img2img.errors import require_at_least
from img2img.losses.gan import LossKind, PenaltyOf

Policy = Literal["color", "translation", "cutout"]


@dataclass
class BalanceConfig:
    """Options that stabilise GAN training, all off by default."""

    everyday: ClassVar = "augment gradient_penalty spectral_norm discriminator_steps warmup_d".split()

    label_real: tuple[float, float] = (1.0, 1.0)
    """Range [low,high] from which each real image's label is drawn uniformly in the D step. [0.9,0.9] is one-sided
    label smoothing (arXiv 1606.03498, Sec. 3.4), [0.7,1.2] gives noisy labels. gan_loss vanilla, minimax and lsgan
    only."""
    label_fake: tuple[float, float] = (0.0, 0.0)
    """Range [low,high] of fake images' labels in the D step, such as [0,0.3]. It must lie below label_real. gan_loss
    vanilla, minimax and lsgan only."""
    label_flip: float = 0.0
    """Probability, in [0, 0.5), that an image's real or fake label is swapped in the D step (S. Chintala et al., "How
    to Train a GAN?", 2016)."""
    instance_noise: float = 0.0
    """Standard deviation of Gaussian noise added to real and fake images, in [-1, 1], before the discriminators
    (arXiv 1610.04490, Sec. 3). 0 turns it off."""
    feature_noise: float = 0.0
    """Standard deviation of Gaussian noise added to the discriminators' features (official code of arXiv 1606.03498).
    0 turns it off."""
    noise_steps: int = 10000
    """Number of steps over which instance_noise and feature_noise fall linearly to 0. 0 keeps them constant."""
    augment: tuple[Policy, ...] = ()
    """Differentiable augmentations of real and fake images before the discriminators, such as
    [color,translation,cutout]; for data sets of a few hundred images (DiffAugment, arXiv 2006.10738)."""
    dropout_d: float = 0.0
    """Dropout probability, in [0, 1), after each hidden layer of the discriminators (arXiv 1406.2661, Sec. 5)."""
    minibatch_std: bool = False
    """Give the discriminators the standard deviation over the batch as another feature map, against mode collapse
    (arXiv 1710.10196, Sec. 3)."""
    spectral_norm: Literal["none", "d", "g", "both"] = "none"
    """Spectral normalisation of the discriminators (d), of the generators and the auxiliary networks trained with them
    (g), or of both (arXiv 1802.05957)."""
    gradient_penalty: Literal["none", "wgan-gp", "r1"] = "none"
    """Gradient penalty of the discriminators: wgan-gp, between real and fake images (arXiv 1704.00028, Eq. 3), or r1,
    on real images (arXiv 1801.04406, Eq. 9)."""
    lambda_gp: float = 10.0
    """Weight of the gradient penalty (10 in both papers). Models that halve D's loss, such as pix2pix and CycleGAN,
    halve the penalty, too."""
    penalty_of: PenaltyOf = "mean"
    """Scalar whose gradient is penalised: the mean of an image's logits, as in the loss, or their sum, as in some other
    toolkits. With the 900 logits of a 70x70 PatchGAN at 256x256 the sum's gradient is 900 times as large."""
    diversity: float = 0.0
    """Weight of a loss that rewards the generators for different outputs of one input (arXiv 1901.09024). Only for
    models whose generators have noise."""
    discriminator_steps: int = 1
    """Number of D steps for each G step, each with a new batch (arXiv 1701.07875: 5)."""
    first_discriminator_steps: int = 0
    """discriminator_steps at the beginning of the run, for first_steps steps (official WGAN code: 100). 0 turns it off;
    set both or neither."""
    first_steps: int = 0
    """Number of steps during which first_discriminator_steps applies, such as 2500."""
    warmup_d: int = 0
    """Number of steps at the beginning of the run in which only the discriminators are trained, such as 500. Use it
    when trained generators (train.init_from) get new discriminators, whose first gradients would harm them."""
    skip_above: float = 1.0
    """Skip a discriminator update if the discriminators' accuracy on that step's images is above this, such as 0.8; in
    [0.5, 1], 1 never skips. A rule of thumb without a paper."""

    def __post_init__(self) -> None:
        at_least = {"instance_noise": 0, "feature_noise": 0, "noise_steps": 0, "lambda_gp": 0, "diversity": 0}
        at_least |= {"first_discriminator_steps": 0, "first_steps": 0, "warmup_d": 0, "discriminator_steps": 1}
        require_at_least("balance", self, at_least)
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
                raise ValueError(f"balance.{key} {[low, high]}: must be [low, high], with low not above high")
        if self.label_fake[1] >= self.label_real[0]:
            raise ValueError(
                f"balance.label_fake {list(self.label_fake)} and balance.label_real {list(self.label_real)}: the range "
                "of label_fake must lie below that of label_real"
            )

    @property
    def smooths(self) -> bool:
        """Whether label_real or label_fake differs from 1 and 0."""
        return (*self.label_real, *self.label_fake) != (1.0, 1.0, 0.0, 0.0)

    @property
    def mean_labels(self) -> tuple[float, float]:
        """Expected labels of real and of fake images in the D step, flips included."""
        real, fake, flip = sum(self.label_real) / 2, sum(self.label_fake) / 2, self.label_flip
        return (1 - flip) * real + flip * fake, (1 - flip) * fake + flip * real

    @property
    def changes_networks(self) -> bool:
        """Whether an option adds layers or a parametrization to the networks."""
        return bool(self.dropout_d or self.feature_noise or self.minibatch_std or self.spectral_norm != "none")

    @property
    def used(self) -> list[str]:
        """The options that differ from their defaults, each as "key value"."""
        return [f"{name} {list(value) if isinstance(value, tuple) else value}" for name, value in self.changed.items()]

    @property
    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}

    def check_loss(self, kind: LossKind, clip_d: float) -> None:
        """Raises ValueError if these options can't be used with a loss.

        Args:
            kind: the model's ``gan_loss``.
            clip_d: the option ``optim.clip_d``.
        """
        if self.smooths and kind in ("hinge", "wasserstein"):
            raise ValueError(
                f"balance.label_real and balance.label_fake: model.gan_loss {kind} has no labels to smooth; leave them "
                "out, or set model.gan_loss to lsgan or vanilla"
            )
        if kind in ("vanilla", "minimax") and not all(0 <= mean <= 1 for mean in self.mean_labels):
            raise ValueError(
                f"balance.label_real {list(self.label_real)} and balance.label_fake {list(self.label_fake)}: with "
                f"model.gan_loss {kind} labels are probabilities, and their means must lie in [0, 1]; choose other "
                "ranges, or model.gan_loss lsgan"
            )
        if self.gradient_penalty != "none" and not self.lambda_gp:
            raise ValueError(
                "balance.lambda_gp 0: must be positive with a gradient penalty; set it to 10, or set "
                "balance.gradient_penalty none"
            )
        if kind == "wasserstein":
            if self.skip_above < 1:
                raise ValueError(
                    f"balance.skip_above {self.skip_above}: model.gan_loss wasserstein has no accuracy; set it to 1"
                )
            if not (clip_d or self.gradient_penalty != "none" or self.spectral_norm in ("d", "both")):
                raise ValueError(
                    "model.gan_loss wasserstein: needs a Lipschitz discriminator; set balance.gradient_penalty wgan-gp "
                    "or optim.clip_d 0.01"
                )

    def noise_share(self, step: int) -> float:
        """Factor in [0, 1] of instance_noise and feature_noise at a step."""
        return max(0.0, 1 - step / self.noise_steps) if self.noise_steps else 1.0

    def has_generator_step(self, step: int) -> bool:
        """Whether ``step`` has a G step: every ``discriminator_steps``-th one has, and none of the warm-up."""
        step -= self.warmup_d
        if step < 0:
            return False
        if step < self.first_steps:
            return (step + 1) % self.first_discriminator_steps == 0
        return (step - self.first_steps + 1) % self.discriminator_steps == 0
