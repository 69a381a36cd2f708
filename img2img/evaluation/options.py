"""Options of ``img2img evaluate`` as dataclasses: of runs, of metrics, of the FCN-score and of the classifier of
domains, and which go together.

``arguments`` reads them from the command line. Like ``base``, this file does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from img2img.evaluation.base import FeatureName, Metric, PlaneProtocol
from img2img.evaluation.metrics import metric_classes, metrics_help

if TYPE_CHECKING:
    from img2img.inference.translator import NormPolicy

Kind = Literal["run", "noise", "folder"]
"""What is evaluated: a run that translates images, a run that draws images from noise, or a folder of images."""


@dataclass(frozen=True)
class RunOptions:
    """How a run makes the images to evaluate. Raises ValueError for a number out of range."""

    checkpoint: str = "latest"
    """A step number, "latest" or "best"."""
    norm_policy: NormPolicy = "running"
    """Statistics of batch norm, see ``Translator``."""
    paired: bool = False
    """Treat unpaired validation images of the same name as pairs."""
    count: int | None = None
    """Images to draw from noise (default: as many as there are real images)."""
    seed: int = 0
    """Seed of the noise, or of a random style."""
    style: str | None = None
    """Style of images made from label maps, see ``Style`` (default: each photo's own)."""
    protocol: PlaneProtocol = "colour"
    """What is degraded and compared: the validation images, or their Y planes ("y")."""
    data: Mapping[str, Any] | None = None
    """Where the run's data set is now, see ``load_translator``."""

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"--count {self.count}: must be at least 1")


@dataclass(frozen=True)
class MetricOptions:
    """Reference images, networks and output of metrics. Raises ValueError for a number out of range."""

    reference: Path | None = None
    """Folder of real images (default for a run: its validation set)."""
    features: FeatureName = "inception"
    """Feature network of FID, KID, IS, precision and recall."""
    weights: str | None = None
    """File of the feature network's weights (default: downloaded)."""
    lpips_weights: str | None = None
    """File of AlexNet's weights (default: downloaded)."""
    batch_size: int = 16
    """Images per batch."""
    output: Path | None = None
    """Folder of the report (default: ``ImageSet.output``)."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: must be at least 1")


@dataclass(frozen=True)
class FCNOptions:
    """Label maps and segmentation network of the FCN-score. Raises ValueError for options that exclude each other."""

    train_segmenter: bool = False
    """Train a segmentation network on the run's real photos first."""
    segmenter_steps: int = 1000
    """Steps of that training."""
    segmenter: str | None = None
    """See ``load_segmenter`` (default: the network that was trained for the run before)."""
    classes: str | None = None
    """See ``parse_classes``."""
    palette: str | None = None
    """See ``load_palette``."""
    labels: Path | None = None
    """Folder of label maps (default: those of the data set)."""

    def __post_init__(self) -> None:
        if self.train_segmenter and self.segmenter:
            raise ValueError("--train-segmenter and --segmenter: choose one of them")
        if self.segmenter_steps < 1:
            raise ValueError(f"--segmenter-steps {self.segmenter_steps}: must be at least 1")
        if "--segmenter-steps" in changed_options(self) and not self.train_segmenter:
            raise ValueError("--segmenter-steps: goes with --train-segmenter")

    @property
    def train_steps(self) -> int | None:
        """Training steps of the segmentation network; None without training."""
        return self.segmenter_steps if self.train_segmenter else None

    @property
    def photos(self) -> bool:
        """Whether a folder's images are photos, for a segmentation network. Else they are colour-coded label maps."""
        return bool(self.segmenter or self.train_segmenter)


@dataclass(frozen=True)
class ClassifierOptions:
    """Classifier of the domain error. Raises ValueError for options that exclude each other."""

    train_classifier: bool = False
    """Train a classifier on the run's real images first."""
    classifier_steps: int | None = None
    """Steps of that training (default: the run's ``train.classifier_steps``)."""
    classifier: str | None = None
    """File of a classifier (default: the one that was trained for the run before)."""

    def __post_init__(self) -> None:
        if self.train_classifier and self.classifier:
            raise ValueError("--train-classifier and --classifier: choose one of them")
        if self.classifier_steps is not None and self.classifier_steps < 1:
            raise ValueError(f"--classifier-steps {self.classifier_steps}: must be at least 1")
        if self.classifier_steps is not None and not self.train_classifier:
            raise ValueError("--classifier-steps: goes with --train-classifier")


@dataclass(frozen=True)
class EvaluateOptions:
    """All options of ``img2img evaluate``. Raises ValueError for an option that does not apply."""

    name: str
    """Name or folder of the run, or folder of images."""
    kind: Kind
    metrics: Sequence[Metric] | None
    """None: L1, PSNR and SSIM of a run's output and of the baselines."""
    device: str | None
    """None: the GPU if there is one."""
    of_run: RunOptions
    of_metrics: MetricOptions
    of_fcn: FCNOptions
    of_classifier: ClassifierOptions
    shave: int | None = None
    """Border in pixels that metrics of Y leave out (default: the scale of a run that enlarges, else 0)."""

    def __post_init__(self) -> None:
        if self.kind == "folder":
            self._check_folder()
        style = ["--style"] if self.of_run.style else []
        for option in [] if self.metrics is not None else [*changed_options(self.of_metrics), *style]:
            raise ValueError(f"{option}: goes with --metrics")
        for option in [] if self.needs_class_maps else changed_options(self.of_fcn):
            raise ValueError(f"{option}: goes with --metrics fcn")
        for option in [] if self.needs_classifier else changed_options(self.of_classifier):
            raise ValueError(f"{option}: goes with --metrics domain")
        self._check_run()
        self._check_shave()

    @property
    def needs_class_maps(self) -> bool:
        """Whether a metric compares images with ground-truth label maps."""
        return any(metric.needs_class_maps for metric in self.metrics or ())

    @property
    def needs_classifier(self) -> bool:
        """Whether a metric asks a classifier of the data set's labels."""
        return any(metric.needs_classifier for metric in self.metrics or ())

    @property
    def needs_target(self) -> bool:
        """Whether a metric compares each image with its target."""
        return any(metric.needs_target for metric in self.metrics or ())

    def _check_folder(self) -> None:
        for option in changed_options(self.of_run):
            raise ValueError(f"{option}: is for runs, and {self.name} is a folder of images")
        if self.metrics is None:
            raise ValueError(f"{self.name} is a folder of images: choose --metrics: {metrics_help()}")

    def _check_shave(self) -> None:
        if self.shave is None:
            return
        if self.shave < 0:
            raise ValueError(f"--shave {self.shave}: must be at least 0")
        if self.metrics is not None and not any(metric.shaves for metric in self.metrics):
            names = ", ".join(name for name, kind in metric_classes().items() if kind.shaves)
            raise ValueError(f"--shave {self.shave}: goes with {names}")

    def _check_run(self) -> None:
        """Raises ValueError for an option that has no effect on a run of this kind."""
        noise = self.kind == "noise"
        ineffective = {"--norm-policy", "--paired", "--style", "--protocol"} if noise else {"--count", "--seed"}
        if self.of_run.style:
            ineffective -= {"--seed"}
        for option in changed_options(self.of_run):
            if option not in ineffective:
                continue
            if noise:
                raise ValueError(f"{option}: is for runs that translate images, and {self.name} draws from noise")
            if self.metrics is None:
                raise ValueError(f"{option}: goes with --metrics")
            alternative = " or for --style" if option == "--seed" else ""
            raise ValueError(
                f"{option}: is for runs that draw from noise{alternative}, and {self.name} translates images"
            )


def changed_options(options: RunOptions | MetricOptions | FCNOptions | ClassifierOptions) -> list[str]:
    """The options that differ from their defaults, as named on the command line: "--batch-size"."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    changed = [each.name for each in fields(options) if values[each.name] != each.default]
    places = [f"--data.{key}" for key in values.get("data") or {}]
    return [*(f"--{name.replace('_', '-')}" for name in changed if name != "data"), *places]
