"""What evaluation works with: an image and its target, a set of such, a batch of a set, and the contract of a metric.

A metric is one object, as torchmetrics has it: ``begin``, ``update`` with every batch, ``compute``. To add one, write
a subclass of ``Metric`` or ``PairMetric`` in ``metrics.py``, or in a file of its own that is imported: its ``name`` is
then known to the commands, their help, the reports and the validation of a training run.

This file, ``metrics`` and ``fcn.score`` import torch inside functions only: it takes seconds, and --help lists the
metrics' names.
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

    from img2img.data.base import Item

T = TypeVar("T")
S = TypeVar("S", bound="Statistic")
FeatureName = Literal["inception", "vgg16"]


class ImageRecord(NamedTuple):
    """An image (H, W, C) of integers, or of floats in [0, 1]; and its target, where it is known."""

    name: str
    image: np.ndarray
    target: np.ndarray | None = None
    class_map: np.ndarray | None = None
    """Class ids (H', W'), for the FCN-score."""


class ClassReader(Protocol):
    """Tells the class of each pixel: a segmentation network, or the colours of a palette."""

    @property
    def title(self) -> str: ...
    @property
    def scored(self) -> tuple[int, ...]: ...
    def __call__(self, image: np.ndarray, sides: tuple[int, int], /) -> np.ndarray:
        """(H, W, 3) uint8 -> class ids (H', W') of these sides; -1 where it is none."""
        ...


@dataclass
class ImageSet:
    """Images to be measured one after the other, and the real ones that they are to resemble as a set.

    Images are made or read when they are asked for, so that any number of them can be measured.
    """

    title: str
    count: int
    images: Callable[[], Iterator[ImageRecord]]
    real: ImageSet | None = None
    label: str = "made"
    """Of its progress bar."""
    without_target: Sequence[str] = ()
    """Names of images that have no target."""
    painted: ClassReader | None = None
    """Reads the classes of its images, where these are painted class maps themselves."""
    scored: tuple[int, ...] = ()
    """Classes that count in the FCN-score, where the set knows its own."""
    class_names: Mapping[int, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    """Messages of files that were left out because they can't be decoded."""
    folders: tuple[Path, ...] = ()
    """Folders of images that it, and ``real``, are read from."""
    other_files: int = 0
    """Files beside the images that are of another kind."""
    output: Path = Path()
    """Where the report goes unless another folder is chosen."""

    def compare_with(self, real: ImageSet) -> ImageSet:
        """Makes ``real`` the images that these are to resemble, and returns it."""
        real.skipped = self.skipped  # a file that both read is named once
        self.real = real
        return real

    def readable(self, reads: Iterable[Callable[[], T]], threads: int = 0) -> Iterator[T]:
        """What these calls return, in order, without those that read a file which can't be decoded: it is named once.

        With ``threads`` they are called ahead of time, a few of them: decoding takes longer than a GPU's networks.
        """
        from img2img.data.images import UnreadableImage

        for read in reads if not threads else ahead(reads, threads):
            try:
                yield read()
            except UnreadableImage as error:
                if str(error) not in self.skipped:  # beside a progress bar
                    tqdm.write(printable(f"skipped     {error}"), file=sys.stderr)
                self.skipped.add(str(error))


Answer = Callable[["Item"], "tuple[np.ndarray, np.ndarray | None] | None"]


def made_set(
    title: str,
    items: Sequence[Item],
    answer: Answer,
    *,
    places: Sequence[int] | None = None,
    class_map: Callable[[int], np.ndarray] | None = None,
) -> ImageSet:
    """The image set of what is made of the items of a data set.

    Args:
        title: of the image set.
        items: of a direction of the data set.
        answer: item -> the image made of it, and its target; None leaves the item out.
        places: of the items that are asked for, in order; unset, all.
        class_map: index of an item -> its class map.
    """
    chosen = range(len(items)) if places is None else places

    def made(index: int) -> ImageRecord | None:
        item = items[index]
        ids = None if class_map is None else class_map(index)
        answered = answer(item)
        return None if answered is None else ImageRecord(item.name, *answered, ids)

    def images() -> Iterator[ImageRecord]:
        records = image_set.readable(partial(made, index) for index in chosen)
        return (record for record in records if record is not None)

    image_set = ImageSet(title, len(chosen), images)
    return image_set


def real_set(title: str, images: Sequence[np.ndarray], places: Sequence[int] | None = None) -> ImageSet:
    """The image set of the real images of a data set, or of those at some places."""
    chosen = range(len(images)) if places is None else places

    def read(index: int) -> ImageRecord:
        return ImageRecord(str(index), images[index])

    real = ImageSet(title, len(chosen), lambda: real.readable(partial(read, i) for i in chosen), label="real")
    return real


def ahead(reads: Iterable[Callable[[], T]], threads: int) -> Iterator[Callable[[], T]]:
    """Calls these in threads, at most ``2 * threads`` more than were taken, and returns what waits for each result."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for read in reads:
                waiting.append(pool.submit(read))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result
            while waiting:
                yield waiting.popleft().result
        finally:  # whoever stops early waits for what runs, and not for what would
            for future in waiting:
                future.cancel()


@dataclass
class FeatureNetworks:
    """The pretrained networks that metrics ask, and where they are; ``metrics.load_networks`` loads them."""

    features: nn.Module | None = None
    """(B, 3, H, W) uint8 -> features (B, D), and logits (B, K) or None."""
    lpips: nn.Module | None = None
    """Two (B, 3, H, W) in [-1, 1] -> (B, 1, 1, 1)."""
    segmenter: ClassReader | None = None
    title: str = "none"
    """The feature network and where its weights are from, for the report."""
    device: torch.device | str = "cpu"


class ImageBatch:
    """Neighbours of an image set, of one shape and depth. What several metrics read of them is computed once."""

    def __init__(self, records: Sequence[ImageRecord], networks: FeatureNetworks) -> None:
        self.records, self.networks = records, networks
        self.shown: list[dict[str, np.ndarray]] = [
            {} if record.target is None else {"truth": record.target} for record in records
        ]
        """What a report's sheet shows beside each image, by title; metrics may add to it."""

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def images(self) -> Tensor:
        """(B, C, H, W) in [0, 1]."""
        return unit([record.image for record in self.records], self.networks.device)

    @cached_property
    def targets(self) -> Tensor:
        """(B, C, H, W) in [0, 1]."""
        targets = [record.target for record in self.records if record.target is not None]
        return unit(targets, self.networks.device)

    def require_pairs(self) -> None:
        """Raises ValueError if the targets are of another size than the images."""
        name, image, target, _ = self.records[0]
        assert target is not None, "evaluate.check refuses image sets without targets"
        if image.shape[:2] != target.shape[:2]:
            raise ValueError(f"{name} is {size_of(image)}, and its target {size_of(target)}: a pair needs one size")

    @property
    def features(self) -> np.ndarray:
        """(B, D), of the feature network."""
        return self._asked[0]

    @property
    def logits(self) -> np.ndarray:
        """(B, K), of the feature network. Raises ValueError if it tells no classes."""
        logits = self._asked[1]
        if logits is None:
            raise ValueError("the Inception Score needs the classes of Inception; this feature network has none")
        return logits

    @cached_property
    def _asked(self) -> tuple[np.ndarray, np.ndarray | None]:
        import torch

        from img2img.data.images import eight_bits

        assert self.networks.features is not None, "a metric that needs features comes with their network"
        colour = np.stack([eight_bits(record.image) for record in self.records])  # (B, H, W, 3)
        features, logits = self.networks.features(torch.from_numpy(colour).permute(0, 3, 1, 2).to(self.networks.device))
        return features.cpu().numpy(), None if logits is None else logits.cpu().numpy()


def unit(images: Sequence[np.ndarray], device: torch.device | str) -> Tensor:
    """(H, W, C) each -> (B, C, H, W) in [0, 1], in the precision that PSNR and SSIM of near images need."""
    import torch

    stacked = np.stack(images)
    scaled = stacked / np.iinfo(stacked.dtype).max if stacked.dtype.kind == "u" else stacked.astype(np.float64)
    tensor = torch.from_numpy(scaled).permute(0, 3, 1, 2)
    return (tensor.float() if torch.device(device).type == "mps" else tensor).to(device)  # which knows no float64


def size_of(image: np.ndarray) -> str:
    """The size of an image (H, W, C), for messages: "640x480"."""
    return f"{image.shape[1]}x{image.shape[0]}"


class Statistic:
    """What is kept of all images of a set. Metrics that name the same kind in ``statistics`` read the same one."""

    def update(self, batch: ImageBatch) -> None:
        """Takes a batch of the set in."""
        raise NotImplementedError


class SetStatistics:
    """The statistics of one image set that some metrics read, by their kind; and how many images it had."""

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
    """A measure of an image set. ``evaluate`` calls ``begin``, ``update`` with each batch, and ``compute``.

    A metric of single images keeps their ``values`` in ``update`` (``PairMetric`` does). A metric of sets names
    ``statistics``, which are kept of the made images and, if it ``needs_real``, of the real ones, and only computes.
    """

    name: ClassVar[str]
    """What ``--metrics`` and ``train.metrics`` call it."""
    titles: ClassVar[Mapping[str, str]]
    """Of its scores, by their names, with their unit."""
    value_name: ClassVar[str | None] = None
    """What a report calls the value of a single image; unset, ``name``."""
    lower_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False
    """Whether it compares each image with its target."""
    needs_real: ClassVar[bool] = False
    """Whether it compares the set with real images."""
    needs_class_maps: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    """Whether it asks the feature network (``ImageBatch.features``)."""
    needs_logits: ClassVar[bool] = False
    """Whether it asks for Inception's classes (``ImageBatch.logits``)."""
    needs_lpips: ClassVar[bool] = False
    fewest: ClassVar[int] = 1
    """Images in each set that it compares."""
    smallest_side: ClassVar[int] = 1
    """Pixels that an image must be wide and high."""
    statistics: ClassVar[tuple[type[Statistic], ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    """Names of the files that it adds to a report."""

    values: list[float]
    """Of each image so far, of a metric of single images; else empty."""
    deviations: dict[str, float]
    """Of scores that are means over parts, after ``compute``."""
    details: dict[str, Any]
    """What a report's summary.json adds to the scores, after ``compute``."""

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        """Forgets what was before; an image set is about to come."""
        self.values, self.deviations, self.details = [], {}, {}

    def update(self, batch: ImageBatch) -> None:
        """Takes a batch in."""

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        """The scores by name.

        Args:
            made: the statistics of the image set.
            real: those of the real images, empty if nothing needs them.

        Raises:
            ValueError: there are too few images.
        """
        raise NotImplementedError

    def rows(self) -> dict[str, str]:
        """Lines of a report's table above the scores, after ``compute``."""
        return {}

    def tables(self, image_set: ImageSet) -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:
        """What a report writes as CSV, by ``files``: a head and rows. After ``compute``."""
        return {}

    def require_side(self, name: str, height: int, width: int) -> None:
        """Raises ValueError for an image that is too small."""
        if min(height, width) < self.smallest_side:
            raise ValueError(
                f"{self.name}: needs images of {self.smallest_side} pixels a side, and {name} is {width}x{height}"
            )


class PairMetric(Metric):
    """A metric of each image and its target; the score is the mean over the images."""

    needs_target = True

    def update(self, batch: ImageBatch) -> None:
        batch.require_pairs()
        self.require_side(batch.records[0].name, *batch.records[0].image.shape[:2])
        self.values += self.measure(batch).tolist()

    def measure(self, batch: ImageBatch) -> Tensor:
        """The value of each image of a batch, (B,)."""
        raise NotImplementedError

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {self.name: float(np.mean(self.values))}
