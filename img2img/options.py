"""The options of optimizers and of training, the same for every model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from img2img.models.base import Side

Optimizer = Literal["adam", "rmsprop"]
Precision = Literal["no", "bf16", "fp16"]


@dataclass
class OptimConfig:
    """The optimizers: Adam for both sides (arXiv 1611.07004, Sec. 3.4), unless told."""

    optimizer: Optimizer = "adam"
    """Optimizer of the generators: adam, or rmsprop, the WGAN paper's (arXiv 1701.07875)."""
    optimizer_d: Optimizer | None = None
    """That of the discriminators; unset, that of the generators. So with the other options that end in _d."""

    lr: float = 2e-4
    """Learning rate before the decay."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the gradient's mean and of its square."""
    lr_d: float | None = None
    """Learning rate of the discriminators (two time-scales, TTUR: arXiv 1706.08500)."""
    betas_d: tuple[float, float] | None = None
    """Adam's decay rates for the discriminators."""
    clip_grad_norm: float = 0.0
    """Longest gradient, in L2 norm, of each of the generators in a step; longer ones are scaled down
    (Pascanu et al., arXiv 1211.5063, Algorithm 1). 0: any."""
    clip_grad_norm_d: float | None = None
    """The same for the discriminators."""
    clip_grad_value: float = 0.0
    """Largest value that an element of the generators' gradients may have; larger ones are cut. 0: any."""
    clip_grad_value_d: float | None = None
    """The same for the discriminators."""
    clip_d: float = 0.0
    """Clamp the discriminators' weights to [-clip_d, clip_d] after each of their steps, as the Wasserstein loss needs
    (arXiv 1701.07875, Algorithm 1: 0.01); 0 leaves them alone."""

    def __post_init__(self) -> None:
        for key in ("lr", "lr_d"):
            if getattr(self, key) is not None and getattr(self, key) <= 0:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must be positive")
        for key in ("clip_d", "clip_grad_norm", "clip_grad_norm_d", "clip_grad_value", "clip_grad_value_d"):
            if (getattr(self, key) or 0) < 0:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must not be negative")
        for key in ("betas", "betas_d"):
            if not all(0 <= beta < 1 for beta in getattr(self, key) or ()):
                raise ValueError(f"optim.{key} {list(getattr(self, key))}: both must lie in [0, 1)")

    def of(self, key: str, side: Side) -> Any:
        """An option for a side: the discriminators' own, if it is set."""
        own = getattr(self, f"{key}_d") if side == "discriminator" else None
        return getattr(self, key) if own is None else own


@dataclass
class TrainConfig:
    """How long, how fast and what is written when."""

    epochs: int = 100
    """Passes over the set at the full learning rate."""
    decay_epochs: int = 100
    """Passes after these, over which the rate falls linearly to zero."""
    max_steps: int = 0
    """Stop after this many steps, whatever the epochs; 0 for all. The rate's schedule stays that of the epochs."""
    seed: int = 0
    """Of the weights, the order of the pictures, the augmentation and the dropout."""
    log_every: int = 100
    """Steps between two lines of the log."""
    sample_every: int = 500
    """Steps between two sample grids."""
    evaluate_every: int = 0
    """Steps between two measurements of fixed validation pictures; 0 for none."""
    evaluate_pictures: int = 32
    """How many, evenly spaced in their set, or drawn; 0 for all. fid and its like want thousands."""
    metrics: str = "l1,psnr,ssim"
    """What is measured: l1, psnr, ssim, lpips (each picture and its true one), fid, kid, is, pr (all and real ones)."""
    metric_weights: str | None = None
    """File of Inception's weights, for fid, kid, is and pr; unset, they are downloaded."""
    lpips_weights: str | None = None
    """File of AlexNet's weights, for lpips; unset, they are downloaded."""
    best_by: str | None = None
    """Which score (precision or recall of pr) tells the best checkpoint, which is written and kept as checkpoints/best;
    unset, psnr if it is measured, else the first."""
    best_is: Literal["lower", "higher"] | None = None
    """Which values of it are better; unset, lower of l1, lpips, fid and kid, higher of the others."""
    save_every: int = 5000
    """Steps between two checkpoints; one more is written at the end."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints stay; 0 keeps all."""
    ema_decay: float = 0.0
    """Decay of the generator's running average, which samples and inference then use; 0 for none, 0.999 is usual."""
    init_from: str | None = None
    """Run, by name or folder, whose newest weights the networks begin with: for a local stage its global one."""
    freeze_global_epochs: float = 0.0
    """Passes in which what lies below the new enhancers of a local stage stays as it is (pix2pixHD)."""
    gradient_accumulation: int = 1
    """Batches whose gradients make one step: a large batch in the memory of a small one."""
    precision: Precision | Literal[False] | None = None
    """Precision of the networks' arithmetic: no (fp32), bf16 or fp16 (mixed with fp32); unset, what accelerate launch
    --mixed_precision says, else no. It is kept by --resume. Prefer bf16, whose range is that of fp32."""
    compile: bool = False
    """torch.compile the networks: the first steps take minutes, the later ones less."""
    channels_last: bool = False
    """Keep pictures and weights in channels-last memory order, which suits GPUs with tensor cores."""

    def __post_init__(self) -> None:
        if self.precision is False:  # what YAML takes an unquoted no for
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
        at_least |= {"log_every": 1, "sample_every": 1, "save_every": 1, "gradient_accumulation": 1}
        for key, least in at_least.items():
            if getattr(self, key) < least:
                raise ValueError(f"train.{key} {getattr(self, key)}: must be at least {least}")
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("train.epochs and train.decay_epochs are both 0: there is nothing to train")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"train.ema_decay {self.ema_decay}: must lie in [0, 1)")
