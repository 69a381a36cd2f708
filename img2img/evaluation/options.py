"""What tools/evaluate.py is asked for: options of runs, of metrics and of the FCN-score, and which go together.

``arguments`` reads them from the command line. Like ``base`` this file imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from img2img.evaluation.base import FeatureName, Metric
from img2img.evaluation.metrics import metrics_help

if TYPE_CHECKING:
    from img2img.inference.translator import NormPolicy

Kind = Literal["run", "noise", "folder"]
"""What is measured: a run that translates, a run that draws from noise, or a folder of images."""


@dataclass(frozen=True)
class RunOptions:
    """How a run makes the images that are measured. Raises ValueError for a number out of range."""

    checkpoint: str = "latest"
    """A step, "latest" or "best"."""
    norm_policy: NormPolicy = "running"
    """See ``Translator``."""
    paired: bool = False
    """Whether validation images of one name are partners although the run's options don't say so."""
    count: int | None = None
    """Images to draw from noise; unset, as many as there are real ones."""
    seed: int = 0
    """Of the noise, or of a random style."""
    style: str | None = None
    """In which scenes are drawn, see ``Style``; unset, each in that of its own photo."""

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"--count {self.count}: must be at least 1")


@dataclass(frozen=True)
class MetricOptions:
    """What metrics compare with and compute with. Raises ValueError for a number out of range."""

    reference: Path | None = None
    """Folder of real images; of a run, instead of its validation set's."""
    features: FeatureName = "inception"
    """Network whose features metrics of sets compare."""
    weights: str | None = None
    """File of its weights; unset, they are downloaded."""
    lpips_weights: str | None = None
    """File of AlexNet's weights; unset, they are downloaded."""
    batch_size: int = 16
    """Images that a network sees at once."""
    output: Path | None = None
    """Folder of the report; unset, that of the image set."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: must be at least 1")


@dataclass(frozen=True)
class FCNOptions:
    """Where class maps and the segmenter of the FCN-score come from. Raises ValueError for what excludes each other."""

    train_segmenter: bool = False
    """Whether one is trained on the run's real photos first."""
    segmenter_steps: int = 1000
    """Steps of that training."""
    segmenter: str | None = None
    """See ``load_segmenter``; unset, the one that was trained for the run before."""
    classes: str | None = None
    """See ``parse_classes``."""
    palette: str | None = None
    """See ``load_palette``."""
    labels: Path | None = None
    """Folder of class maps, instead of the set's own."""

    def __post_init__(self) -> None:
        if self.train_segmenter and self.segmenter:
            raise ValueError("--train-segmenter and --segmenter: choose one of them")
        if self.segmenter_steps < 1:
            raise ValueError(f"--segmenter-steps {self.segmenter_steps}: must be at least 1")
        if "--segmenter-steps" in given(self) and not self.train_segmenter:
            raise ValueError("--segmenter-steps: goes with --train-segmenter")

    @property
    def train_steps(self) -> int | None:
        """Steps in which a segmenter is trained first; None, if none is."""
        return self.segmenter_steps if self.train_segmenter else None

    @property
    def photos(self) -> bool:
        """Whether a network looks at images, so that those of a folder are photos; else they are painted maps."""
        return bool(self.segmenter or self.train_segmenter)


@dataclass(frozen=True)
class EvaluateOptions:
    """What is measured of a run or a folder. Raises ValueError for an option that is of no use to it."""

    name: str
    """Of the run, or the folder."""
    kind: Kind
    metrics: Sequence[Metric] | None
    """Unset, L1, PSNR and SSIM of a run beside answers without learning."""
    device: str | None
    """Unset, the GPU if there is one."""
    of_run: RunOptions
    of_metrics: MetricOptions
    of_fcn: FCNOptions

    def __post_init__(self) -> None:
        if self.kind == "folder":
            self._check_folder()
        style = ["--style"] if self.of_run.style else []
        for option in [] if self.metrics is not None else [*given(self.of_metrics), *style]:
            raise ValueError(f"{option}: goes with --metrics")
        for option in [] if self.needs_class_maps else given(self.of_fcn):
            raise ValueError(f"{option}: goes with --metrics fcn")
        self._check_run()

    @property
    def needs_class_maps(self) -> bool:
        """Whether a metric compares images with class maps."""
        return any(metric.needs_class_maps for metric in self.metrics or ())

    @property
    def needs_target(self) -> bool:
        """Whether a metric compares each image with its target."""
        return any(metric.needs_target for metric in self.metrics or ())

    def _check_folder(self) -> None:
        for option in given(self.of_run):
            raise ValueError(f"{option}: is for runs, and {self.name} is a folder of images")
        if self.metrics is None:
            raise ValueError(f"{self.name} is a folder of images: --metrics says what to measure: {metrics_help()}")

    def _check_run(self) -> None:
        """Refuses options that a run of this kind has no use for."""
        noise = self.kind == "noise"
        useless = {"--norm-policy", "--paired", "--style"} if noise else {"--count", "--seed"}
        if self.of_run.style:
            useless -= {"--seed"}
        for option in given(self.of_run):
            if option in useless:
                reason = "draws images from noise" if noise else "draws none from noise for --metrics"
                raise ValueError(f"{option}: is of no use here, {self.name} {reason}")


def given(options: RunOptions | MetricOptions | FCNOptions) -> list[str]:
    """The options that are not at their defaults, as the command line calls them."""
    chosen = [each.name for each in fields(options) if getattr(options, each.name) != each.default]
    return [f"--{name.replace('_', '-')}" for name in chosen]
