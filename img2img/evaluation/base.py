"""Data types of evaluation (image record, image set, batch) and the base classes of metrics.

A metric is one object, as in torchmetrics, with three methods: ``begin``, ``update`` (once a batch) and ``compute``.
To add a metric, write a subclass of ``PairMetric`` (each image and its target) or ``Metric`` (anything else) in
``metrics.py``, or in the file of a model from outside for runs of that model. ``img2img evaluate``, its --help, the
reports and ``train.metrics`` then know it by its ``name``.

This file, ``metrics`` and ``fcn.score`` import torch inside functions only: importing it takes seconds, and --help
needs the names of the metrics alone.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, cast

import numpy as np
from tqdm import tqdm

from img2img.errors import printable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from img2img.data.base import Item, TargetLabel
    from img2img.evaluation.classifier import Classifier

T = TypeVar("T")
S = TypeVar("S", bound="Statistic")
FeatureName = Literal["inception", "vgg16"]
PlaneProtocol = Literal["colour", "y"]


class ImageRecord(NamedTuple):
    """One image to evaluate, with what it is compared with."""

    name: str
    image: np.ndarray
    """(H, W, C) uint8 or uint16, or floats in [0, 1]."""
    target: np.ndarray | None = None
    """Ground-truth image of the same kind; None if there is none."""
    class_map: np.ndarray | None = None
    """Ground-truth class ids (H', W'), for the FCN-score."""
    mask: np.ndarray | None = None
    """(h, w, 1) uint8, white in the holes that were filled; as large as the image, or smaller by an integer."""


class ClassReader(Protocol):
    """Predicts the class of each pixel: a segmentation network, or the nearest colour of a palette."""

    @property
    def title(self) -> str:
        """Its name in reports."""
        ...

    @property
    def classes(self) -> tuple[int, ...]:
        """Class ids that it can predict."""
        ...

    def __call__(self, image: np.ndarray, size: tuple[int, int], /) -> np.ndarray:
        """(H, W, 3) uint8, (H', W') -> class ids (H', W'); -1 for ignored pixels."""
        ...


@dataclass
class ImageSet:
    """Images to evaluate, and the real images that metrics such as FID compare them with.

    Images are generated or read one at a time, when they are iterated over, so that a set may be of any size.
    """

    title: str
    """Its name in reports."""
    count: int
    """Number of images, those that can't be decoded included."""
    images: Callable[[], Iterator[ImageRecord]]
    """Starts a pass over the images."""
    real: ImageSet | None = None
    """The real images; None if there are none."""
    label: str = "made"
    """Label of the progress bar."""
    without_target: Sequence[str] = ()
    """Names of images without a target."""
    class_reader: ClassReader | None = None
    """If the images are colour-coded label maps: decodes their colours. None for photos, which a segmentation network
    labels."""
    eval_classes: tuple[int, ...] = ()
    """Class ids evaluated by the FCN-score; empty for all that the class reader can predict."""
    class_names: Mapping[int, str] = field(default_factory=dict)
    """Names of the classes, by id."""
    target_label: TargetLabel | None = None
    """The label that the images should have or lack, as the real ones do; None if the data set has no labels."""
    restores: bool = False
    """Whether the images are restored ones, of which papers measure Y as well."""
    has_masks: bool = False
    """Whether holes of the images were filled: ``ImageRecord.mask``."""
    shave: int = 0
    """Border in pixels that metrics of Y leave out: by convention the scale of a run that enlarges."""
    protocol: PlaneProtocol = "colour"
    """What was degraded and is compared: the images, or their Y planes ("y")."""
    baselines: Mapping[str, ImageSet] = field(default_factory=dict)
    """Trivial answers to the same inputs by title, which the report measures beside the images."""
    skipped: set[str] = field(default_factory=set)
    """Error messages of files that can't be decoded and were left out."""
    folders: tuple[Path, ...] = ()
    """Folders that the images, and those of ``real``, are read from."""
    other_files: int = 0
    """Number of files in the folder that are not images."""
    output: Path = Path()
    """Default folder of the report."""

    def compare_with(self, real: ImageSet) -> ImageSet:
        """Sets ``real`` and returns it."""
        real.skipped = self.skipped  # one list, so that a file which both sets read is reported once
        self.real = real
        return real

    def set_shave(self, shave: int | None) -> None:
        """Sets ``shave`` of the set and of its baselines; None leaves it."""
        for image_set in (self, *self.baselines.values()):
            image_set.shave = image_set.shave if shave is None else shave

    def skip_unreadable(self, calls: Iterable[Callable[[], T]], threads: int = 0) -> Iterator[T]:
        """Yields the results of ``calls`` in order, without those that raise UnreadableImage.

        Each skipped file is reported once, on standard error and in ``skipped``.

        Args:
            calls: functions that read an image.
            threads: threads that call ahead, since decoding files takes longer than a GPU's networks; 0 for none.
        """
        from img2img.data.images import UnreadableImage

        for read in calls if not threads else prefetch(calls, threads):
            try:
                yield read()
            except UnreadableImage as error:
                if str(error) not in self.skipped:
                    tqdm.write(printable(f"skipped     {error}"), file=sys.stderr)  # keeps progress bars intact
                self.skipped.add(str(error))


Predict = Callable[["Item"], "tuple[np.ndarray, np.ndarray | None] | None"]
"""Item -> (image, target or None); None skips the item."""


def made_set(
    title: str,
    items: Sequence[Item],
    predict: Predict,
    *,
    places: Sequence[int] | None = None,
    class_map: Callable[[int], np.ndarray] | None = None,
) -> ImageSet:
    """The set of images that a model or a baseline makes of the items of a data set.

    Args:
        title: name of the set in reports.
        items: items of one direction of the data set, ``ImageDataset.items``.
        predict: makes an image of an item.
        places: indices of the items to evaluate, in order (default: all).
        class_map: index of an item -> its ground-truth class ids (H, W).
    """
    indices = range(len(items)) if places is None else places

    def make(index: int) -> ImageRecord | None:
        item = items[index]
        ids = None if class_map is None else class_map(index)
        prediction = predict(item)
        return None if prediction is None else ImageRecord(item.name, *prediction, ids, item.inputs.get("mask"))

    def images() -> Iterator[ImageRecord]:
        records = image_set.skip_unreadable(partial(make, index) for index in indices)
        return (record for record in records if record is not None)

    image_set = ImageSet(title, len(indices), images)
    return image_set


def real_set(title: str, images: Sequence[np.ndarray], places: Sequence[int] | None = None) -> ImageSet:
    """The set of a data set's real images, or of those with the indices ``places``."""
    indices = range(len(images)) if places is None else places

    def read(index: int) -> ImageRecord:
        return ImageRecord(str(index), images[index])

    real = ImageSet(title, len(indices), lambda: real.skip_unreadable(partial(read, i) for i in indices), label="real")
    return real


def shave_of(scale: int) -> int:
    """Border in pixels that metrics of Y leave out, of images that are ``scale`` times as large as their inputs."""
    return scale if scale > 1 else 0


def prefetch(calls: Iterable[Callable[[], T]], threads: int) -> Iterator[Callable[[], T]]:
    """Runs ``calls`` in threads, at most ``2 * threads`` ahead, and yields functions that wait for each result."""
    with ThreadPoolExecutor(threads) as pool:
        futures: deque[Future[T]] = deque()
        try:
            for call in calls:
                futures.append(pool.submit(call))
                if len(futures) > 2 * threads:
                    yield futures.popleft().result
            while futures:
                yield futures.popleft().result
        finally:  # if the caller stops early, calls that have not begun need not run
            for future in futures:
                future.cancel()


@dataclass
class FeatureNetworks:
    """Pretrained networks that metrics use. ``metrics.load_networks`` loads them."""

    features: nn.Module | None = None
    """(B, 3, H, W) uint8 -> features (B, D) and logits (B, K) or None."""
    lpips: nn.Module | None = None
    """Two batches (B, 3, H, W) in [-1, 1] -> distances (B, 1, 1, 1)."""
    segmenter: ClassReader | None = None
    """Segmentation network of the FCN-score."""
    classifier: Classifier | None = None
    """Recognises the labels of the data set."""
    title: str = "none"
    """Name of the feature network and its weights in reports."""
    device: torch.device | str = "cpu"
    """Where the networks are, and the tensors of ``ImageBatch``."""


class ImageBatch:
    """Consecutive images of a set with one shape and dtype. Tensors and features are computed once for all metrics."""

    def __init__(self, records: Sequence[ImageRecord], networks: FeatureNetworks) -> None:
        self.records, self.networks = records, networks
        self.shown: list[dict[str, np.ndarray]] = [
            {} if record.target is None else {"target": record.target} for record in records
        ]
        """Images that best_and_worst.png shows beside each image, by column title. Metrics may add to it."""

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def images(self) -> Tensor:
        """(B, C, H, W) in [0, 1]."""
        return to_unit_range([record.image for record in self.records], self.networks.device)

    @cached_property
    def targets(self) -> Tensor:
        """(B, C, H, W) in [0, 1]. Only if all images have targets: ``needs_target`` of a metric ensures this."""
        targets = [record.target for record in self.records if record.target is not None]
        return to_unit_range(targets, self.networks.device)

    @cached_property
    def holes(self) -> Tensor:
        """(B, 1, H, W), 1 in the holes that were filled, else 0. Only for metrics with ``needs_mask``."""
        height, width = self.records[0].image.shape[:2]
        masks = []
        for record in self.records:
            assert record.mask is not None, "evaluate.check refuses image sets without masks"
            repeats = height // record.mask.shape[0], width // record.mask.shape[1]
            masks.append(np.kron(record.mask > 127, np.ones((*repeats, 1))))
        return to_unit_range(masks, self.networks.device)

    def require_pairs(self) -> None:
        """Raises ValueError if images and targets differ in size."""
        name, image, target = self.records[0][:3]
        assert target is not None, "evaluate.check refuses image sets without targets"
        if image.shape[:2] != target.shape[:2]:
            raise ValueError(
                f"{name} is {size_of(image)}, and its target {size_of(target)}: both must have the same size"
            )

    @property
    def features(self) -> np.ndarray:
        """Features (B, D) of the feature network. Only for metrics with ``needs_features``."""
        return self._features_and_logits[0]

    @property
    def logits(self) -> np.ndarray:
        """Logits (B, K) of the feature network. Raises ValueError if it has none."""
        logits = self._features_and_logits[1]
        if logits is None:
            raise ValueError("is: the Inception Score needs logits of Inception; this feature network has none")
        return logits

    @cached_property
    def label_logits(self) -> np.ndarray:
        """The classifier's logits (B, n) of the data set's labels. Only for metrics with ``needs_classifier``."""
        assert self.networks.classifier is not None, "choose_classifier loads it for metrics with needs_classifier"
        return self.networks.classifier.logits([record.image for record in self.records])

    @cached_property
    def _features_and_logits(self) -> tuple[np.ndarray, np.ndarray | None]:
        import torch

        from img2img.data.images import eight_bits

        assert self.networks.features is not None, "load_networks loads it for metrics with needs_features"
        rgb = np.stack([eight_bits(record.image) for record in self.records])  # (B, H, W, 3)
        features, logits = self.networks.features(torch.from_numpy(rgb).permute(0, 3, 1, 2).to(self.networks.device))
        return features.cpu().numpy(), None if logits is None else logits.cpu().numpy()


def to_unit_range(images: Sequence[np.ndarray], device: torch.device | str) -> Tensor:
    """Images (H, W, C) -> (B, C, H, W) in [0, 1], in float64: PSNR and SSIM of nearly equal images need it."""
    import torch

    stacked = np.stack(images)
    scaled = stacked / np.iinfo(stacked.dtype).max if stacked.dtype.kind == "u" else stacked.astype(np.float64)
    tensor = torch.from_numpy(scaled).permute(0, 3, 1, 2)
    return (tensor.float() if torch.device(device).type == "mps" else tensor).to(device)  # MPS has no float64


def size_of(image: np.ndarray) -> str:
    """The size of an image (H, W, C), for messages: "640x480"."""
    return f"{image.shape[1]}x{image.shape[0]}"


class Statistic:
    """What is accumulated over a whole image set, such as the mean of its features.

    Metrics with the same class in ``statistics`` share one instance per set.
    """

    def update(self, batch: ImageBatch) -> None:
        """Adds a batch of the set."""
        raise NotImplementedError


class SetStatistics:
    """The statistics of one image set, by class (``statistics[Moments]``), and the number of its images."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.count = 0
        self.kinds: dict[type[Statistic], Statistic] = {
            kind: kind() for kind in dict.fromkeys(kind for metric in metrics for kind in metric.statistics)
        }

    def update(self, batch: ImageBatch) -> None:
        self.count += len(batch)
        for statistic in self.kinds.values():
            statistic.update(batch)

    def __getitem__(self, kind: type[S]) -> S:
        return cast(S, self.kinds[kind])


class Metric:
    """A metric of an image set.

    ``evaluate`` calls ``begin``, then ``update`` with each batch, then ``compute``. There are two kinds:

    - Metrics of single images (L1, SSIM) append the value of each image to ``values`` in ``update``. Where an image is
      compared with its target, derive from ``PairMetric``, which needs ``measure`` alone.
    - Metrics of whole sets (FID) list in ``statistics`` what is accumulated over a set, and implement ``compute``.

    Requirements are class attributes (``needs_...``, ``min_...``). They are checked before any image is generated.
    """

    name: ClassVar[str]
    """Name in ``--metrics`` and ``train.metrics``."""
    titles: ClassVar[Mapping[str, str]]
    """Title in reports of each score that ``compute`` returns, with its unit: ``{"psnr": "PSNR, dB"}``."""
    value_name: ClassVar[str | None] = None
    """Column of the images' values in pictures.csv (default: ``name``)."""
    lower_is_better: ClassVar[bool] = False
    """Orders the best and worst images of a report, and chooses the best checkpoint."""
    needs_target: ClassVar[bool] = False
    """Each image needs a target (``ImageRecord.target``)."""
    needs_real: ClassVar[bool] = False
    """The set needs real images to compare with (``ImageSet.real``)."""
    needs_mask: ClassVar[bool] = False
    """Each image needs a mask of its holes (``ImageRecord.mask``)."""
    shaves: ClassVar[bool] = False
    """Leaves out a border (``ImageSet.shave``)."""
    needs_class_maps: ClassVar[bool] = False
    """Each image needs ground-truth class ids (``ImageRecord.class_map``)."""
    needs_features: ClassVar[bool] = False
    """Uses ``ImageBatch.features``: the feature network is loaded."""
    needs_logits: ClassVar[bool] = False
    """Uses ``ImageBatch.logits``: the feature network must be Inception."""
    needs_lpips: ClassVar[bool] = False
    """Uses ``FeatureNetworks.lpips``."""
    needs_classifier: ClassVar[bool] = False
    """Uses ``ImageBatch.label_logits``: the images need a target among the data set's labels
    (``ImageSet.target_label``)."""
    min_images: ClassVar[int] = 1
    """Smallest number of images in each set."""
    min_side: ClassVar[int] = 1
    """Smallest height and width of an image in pixels."""
    statistics: ClassVar[tuple[type[Statistic], ...]] = ()
    """What is accumulated over the images, and over the real images if ``needs_real``."""
    files: ClassVar[tuple[str, ...]] = ()
    """Names of the CSV files that ``tables`` adds to a report."""

    values: list[float]
    """One value for each image so far; stays empty for metrics of sets."""
    deviations: dict[str, float]
    """Standard deviations of scores that are means over subsets, by score. Set by ``compute``."""
    details: dict[str, Any]
    """Further entries of summary.json. Set by ``compute``."""

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        """Resets the metric before an image set."""
        self.values, self.deviations, self.details = [], {}, {}

    def update(self, batch: ImageBatch) -> None:
        """Adds a batch of the image set. Does nothing by default, for metrics of sets."""

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        """Returns the scores by name; the names are the keys of ``titles``.

        Args:
            made: statistics of the image set.
            real: statistics of the real images; without any if no metric has ``needs_real``.

        Raises:
            ValueError: too few images could be decoded.
        """
        raise NotImplementedError

    def rows(self) -> dict[str, str]:
        """Further lines of a report's table, by title. Called after ``compute``."""
        return {}

    def tables(self, image_set: ImageSet) -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:
        """Further CSV files of a report: name in ``files`` -> (header, rows). Called after ``compute``."""
        return {}

    def require_side(self, name: str, height: int, width: int) -> None:
        """Raises ValueError if an image is smaller than ``min_side``."""
        if min(height, width) < self.min_side:
            raise ValueError(
                f"{self.name}: images must be at least {self.min_side} pixels a side; {name} is {width}x{height}"
            )


class PairMetric(Metric):
    """A metric of each image and its target. The score is the mean over the images. Subclasses define ``measure``."""

    needs_target = True

    def update(self, batch: ImageBatch) -> None:
        batch.require_pairs()
        self.require_side(batch.records[0].name, *batch.records[0].image.shape[:2])
        self.values += self.measure(batch).tolist()

    def measure(self, batch: ImageBatch) -> Tensor:
        """Values (B,) of the images of a batch, from ``batch.images`` and ``batch.targets``, (B, C, H, W) in [0, 1]."""
        raise NotImplementedError

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {self.name: float(np.mean(self.values))}
