"""Options of the sections ``optim`` and ``train``, as dataclasses.

Those of the sections ``model``, ``data`` and ``balance`` stand beside what they are options of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from img2img.errors import require_at_least
from img2img.models.base import Side

Optimizer = Literal["adam", "rmsprop"]
Precision = Literal["no", "bf16", "fp16"]


@dataclass
class OptimConfig:
    """Optimizers of the generators and of the discriminators (defaults: arXiv 1611.07004, Sec. 3.3)."""

    everyday: ClassVar = "lr lr_d betas".split()

    optimizer: Optimizer = "adam"
    """Optimizer of the generators: adam or rmsprop (used by WGAN, arXiv 1701.07875)."""
    optimizer_d: Optimizer | None = None
    """Optimizer of the discriminators (unset: same as optimizer). Every *_d option works this way."""

    lr: float = 2e-4
    """Learning rate of the generators, before the decay."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas for the generators: decay rates of the averages of the gradient and of its square."""
    lr_d: float | None = None
    """Learning rate of the discriminators (TTUR: arXiv 1706.08500)."""
    betas_d: tuple[float, float] | None = None
    """Adam's betas for the discriminators."""
    schedule: Literal["linear", "cosine", "steps"] = "linear"
    """How the learning rate falls: linear (constant for train.epochs, then a line over train.decay_epochs), cosine
    (over all epochs, arXiv 1608.03983, Eq. 5), or steps (by step_factor at each of milestones)."""
    decay_to: float = 0.0
    """Share of the learning rate, in [0, 1], that linear and cosine end at. 0.999: as StarGAN's released code, whose
    rate hardly falls."""
    cycles: int = 1
    """Number of equal parts of the training in each of which cosine falls anew from the full rate."""
    milestones: tuple[float, ...] = ()
    """Shares of the training, in (0, 1), at which steps lowers the rate, such as '[0.5,0.75]'."""
    step_factor: float = 0.5
    """Factor of the learning rate at each of milestones."""
    clip_grad_norm: float = 0.0
    """Maximum L2 norm of the gradients of each generator; larger gradients are scaled down. 0: no clipping
    (arXiv 1211.5063, Algorithm 1)."""
    clip_grad_norm_d: float | None = None
    """Maximum L2 norm of the gradients of each discriminator."""
    clip_grad_value: float = 0.0
    """Maximum absolute value of each element of the generators' gradients; larger ones are clamped. 0: no clipping."""
    clip_grad_value_d: float | None = None
    """Maximum absolute value of each element of the discriminators' gradients."""
    clip_d: float = 0.0
    """Clamp the discriminators' weights to [-clip_d, clip_d] after each D step, as WGAN does with 0.01. 0: no clamping
    (arXiv 1701.07875, Algorithm 1)."""

    def __post_init__(self) -> None:
        for key in ("lr", "lr_d"):
            if getattr(self, key) is not None and getattr(self, key) <= 0:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must be positive")
        for key in ("decay_to", "step_factor"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must lie in [0, 1]")
        if not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"optim.milestones {list(self.milestones)}: must be shares of the training in (0, 1)")
        if self.milestones and self.schedule != "steps":
            raise ValueError(f"optim.milestones {list(self.milestones)}: needs optim.schedule steps")
        if self.schedule == "steps" and not self.milestones:
            raise ValueError("optim.schedule steps: needs optim.milestones, such as '[0.5,0.75]'")
        if self.cycles > 1 and self.schedule != "cosine":
            raise ValueError(f"optim.cycles {self.cycles}: needs optim.schedule cosine")
        clips = ("clip_d", "clip_grad_norm", "clip_grad_norm_d", "clip_grad_value", "clip_grad_value_d")
        require_at_least("optim", self, {**dict.fromkeys(clips, 0), "cycles": 1})
        for key in ("betas", "betas_d"):
            if not all(0 <= beta < 1 for beta in getattr(self, key) or ()):
                raise ValueError(f"optim.{key} {list(getattr(self, key))}: both must lie in [0, 1)")

    def rate_factor(self, epoch: float, *, epochs: int, decay_epochs: int) -> float:
        """Share of the full learning rate.

        Args:
            epoch: passes over the training set so far.
            epochs, decay_epochs: those of ``TrainConfig``.
        """
        if self.schedule == "linear":
            if epoch <= epochs:
                return 1.0
            return max(self.decay_to, 1 - (1 - self.decay_to) * ((epoch - epochs) / max(decay_epochs, 1)))
        progress = min(epoch / (epochs + decay_epochs), 1.0)
        if self.schedule == "steps":
            return float(self.step_factor ** sum(progress >= share for share in self.milestones))
        within = 1.0 if progress == 1 else progress * self.cycles % 1  # the part of the cycle that is over
        return self.decay_to + (1 - self.decay_to) * (1 + math.cos(math.pi * within)) / 2

    def of(self, key: str, side: Side) -> Any:
        """The value of an option for a side. Unset options of the discriminators equal the generators'."""
        value_d = getattr(self, f"{key}_d") if side == "discriminator" else None
        return getattr(self, key) if value_d is None else value_d


@dataclass
class TrainConfig:
    """Length of the training, logging, evaluation, checkpoints and precision."""

    everyday: ClassVar = (
        "epochs decay_epochs max_steps seed log_every sample_every evaluate_every metrics save_every ema_decay "
        "init_from gradient_accumulation precision"
    ).split()

    epochs: int = 100
    """Epochs at the full learning rate."""
    decay_epochs: int = 100
    """Further epochs, over which the learning rate falls linearly to optim.decay_to, 0 by default."""
    max_steps: int = 0
    """Stop after this many steps at the latest; 0: no limit. The learning rate schedule still follows the epochs."""
    seed: int = 0
    """Random seed of the initial weights, the order of the images, augmentation and dropout."""
    log_every: int = 100
    """Steps between two lines of the log."""
    sample_every: int = 500
    """Steps between two sample grids."""
    evaluate_every: int = 0
    """Steps between two evaluations on fixed validation images; 0: never."""
    evaluate_pictures: int = 32
    """Number of images to evaluate: validation images, evenly spaced, or images sampled from noise. 0: all. fid, kid,
    is and pr need thousands."""
    metrics: str = "l1,psnr,ssim"
    """Metrics to compute, separated by commas: those of evaluate --metrics, except the ones of label maps. l1, psnr,
    ssim and lpips need a target for each output; fid, kid and pr need real images; is needs outputs only; domain needs
    several domains."""
    metric_weights: str | None = None
    """File of Inception weights for fid, kid, is and pr (unset: downloaded)."""
    lpips_weights: str | None = None
    """File of AlexNet weights for lpips (unset: downloaded)."""
    classifier: str | None = None
    """File of a classifier for domain (unset: classifier.safetensors of the run, trained when the run starts)."""
    classifier_steps: int = 1000
    """Steps of training that classifier, with 32 real images each."""
    best_by: str | None = None
    """Metric that selects the best checkpoint, which is kept as checkpoints/best; for pr: precision or recall (unset:
    psnr if it is computed, else the first of train.metrics)."""
    best_is: Literal["lower", "higher"] | None = None
    """Whether lower or higher values of best_by are better (unset: as the metric defines)."""
    save_every: int = 5000
    """Steps between two checkpoints. The last step always saves one."""
    keep_checkpoints: int = 3
    """Number of newest checkpoints to keep; 0: all. The best one is always kept."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average (EMA) of the generator's weights, which samples and inference then use;
    0: no EMA, 0.999 is usual."""
    init_from: str | None = None
    """Run (name or folder) whose latest weights initialise the networks: the global stage's run for pix2pixHD's local
    stage."""
    freeze_global_epochs: float = 0.0
    """Epochs during which a local stage trains its new enhancers only and the layers below are frozen (pix2pixHD)."""
    gradient_accumulation: int = 1
    """Batches whose gradients are accumulated for one step."""
    precision: Precision | Literal[False] | None = None
    """Precision of the networks: no (fp32), bf16 or fp16 (mixed precision); unset: that of accelerate launch
    --mixed_precision, else no. Resumed runs keep it. Prefer bf16, which has the range of fp32."""
    compile: bool = False
    """Compile the networks with torch.compile: the first steps take minutes, later ones are faster."""
    channels_last: bool = False
    """Use the channels-last memory format, which is faster on GPUs with tensor cores."""

    def __post_init__(self) -> None:
        if self.precision is False:  # YAML reads an unquoted no as false
            self.precision = "no"
        at_least = {
            "epochs": 0,
            "decay_epochs": 0,
            "freeze_global_epochs": 0,
            "max_steps": 0,
            "seed": 0,
            "keep_checkpoints": 0,
            "evaluate_every": 0,
            "evaluate_pictures": 0,
        }
        positive = ("log_every", "sample_every", "save_every", "gradient_accumulation", "classifier_steps")
        at_least |= dict.fromkeys(positive, 1)
        require_at_least("train", self, at_least)
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("train.epochs and train.decay_epochs are both 0: set one of them to 1 or more")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"train.ema_decay {self.ema_decay}: must lie in [0, 1)")
