"""Evaluates an image set: one pass over its images, and one over the real images if a metric compares with them.

Images of one shape form batches on the networks' device. Images are not kept, apart from the few that a report shows.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from img2img.data.folder import some
from img2img.data.images import captioned, cell
from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageRecord, ImageSet, Metric, SetStatistics

BATCH_SIZE = 16
SHOWN = 10  # number of best images in a report, and of worst images
SIDE = 256  # largest side of these images in pixels

Table = tuple[Sequence[str], list[Sequence[object]]]


class NoImages(ValueError):
    """None of a set's images can be decoded."""


class SheetRow(NamedTuple):
    """A row of best_and_worst.png."""

    value: float
    name: str
    cells: list[np.ndarray]
    """The image and what stands beside it (``Scores.columns``), (h, w, 3) uint8 each."""


@dataclass
class Scores:
    """The result of ``evaluate``."""

    count: int = 0
    """Number of images that were evaluated."""
    real_count: int = 0
    """Number of real images that they were compared with as a set."""
    scores: dict[str, float] = field(default_factory=dict)
    """Scores of the set, by name."""
    titles: dict[str, str] = field(default_factory=dict)
    """Titles of the scores, with units."""
    deviations: dict[str, float] = field(default_factory=dict)
    """Standard deviations of scores that are means over subsets."""
    names: list[str] = field(default_factory=list)
    """Names of the images, if a metric has a value for each image; else empty."""
    per_image: dict[str, list[float]] = field(default_factory=dict)
    """Values of the images by metric, in the order of ``names``."""
    ranked_by: str | None = None
    """The metric in ``per_image`` that ``best`` and ``worst`` are chosen by."""
    columns: list[str] = field(default_factory=list)
    """Titles of what best_and_worst.png shows beside an image."""
    best: list[SheetRow] = field(default_factory=list)
    worst: list[SheetRow] = field(default_factory=list)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    """Scores of ``ImageSet.baselines``, by title. Set by the report."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further entries of summary.json."""
    rows: dict[str, str] = field(default_factory=dict)
    """Further lines of the report's table, above the scores."""
    tables: dict[str, Table] = field(default_factory=dict)
    """Further CSV files of the report, by name: header and rows."""


@torch.inference_mode()
def evaluate(
    image_set: ImageSet,
    metrics: Sequence[Metric],
    networks: FeatureNetworks | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    real: SetStatistics | None = None,
    shown: int = SHOWN,
    progress: bool | None = None,
) -> Scores:
    """Computes ``metrics`` of an image set.

    Args:
        image_set: the images. Those that can't be decoded are skipped and reported.
        metrics: see ``metrics.choose_metrics``.
        networks: the networks that the metrics need, see ``metrics.load_networks``.
        batch_size: images per batch.
        real: result of ``real_statistics``, if it is there already (default: computed here).
        shown: number of best and of worst images that ``Scores`` keeps for a report.
        progress: whether to show progress bars (default: on a terminal).

    Raises:
        ValueError: as ``check``; an image and its target differ in size; an image is too small for a metric; too few
            images can be decoded.
    """
    check(image_set, metrics)
    networks = networks or FeatureNetworks()
    made, scores = SetStatistics(metrics), Scores()
    for metric in metrics:
        metric.begin(image_set, networks)
    for batch in _batches(image_set, networks, batch_size, progress):
        made.update(batch)
        for metric in metrics:
            metric.update(batch)
        _add_values(scores, batch, metrics, shown)
    if not made.count:
        raise NoImages(f"{image_set.title}: none of its images can be decoded")
    if real is None:
        real = real_statistics(image_set, metrics, networks, batch_size=batch_size, progress=progress)
    scores.count, scores.real_count = made.count, real.count
    for metric in metrics:
        scores.scores |= metric.compute(made, real)
        scores.titles |= metric.titles
        scores.deviations |= metric.deviations
        scores.details |= metric.details
        scores.rows |= metric.rows()
        scores.tables |= metric.tables(image_set)
    return scores


def check(image_set: ImageSet, metrics: Sequence[Metric]) -> None:
    """Raises ValueError if targets or real images are missing, or images are too few. Generates no image."""
    for metric in metrics:
        if metric.needs_classifier and image_set.target_label is None:
            raise ValueError(
                f"{metric.name}: needs a run whose data set has several domains or attributes; leave out {metric.name}"
            )
        if metric.needs_mask and not image_set.has_masks:
            raise ValueError(f"{metric.name}: needs a run that fills holes, with masks; leave out {metric.name}")
        real = image_set.real
        if metric.needs_real and real is None:
            raise ValueError(
                f"{metric.name}: compares with real images, and there are none; name a folder of them with --reference"
            )
        counts = [image_set.count, *([real.count] if metric.needs_real and real else [])]
        if min(counts) < metric.min_images:
            raise ValueError(
                f"{metric.name}: needs {metric.min_images} images in each set, and there are {min(counts)} "
                f"({image_set.title})"
            )
    pairwise = [metric.name for metric in metrics if metric.needs_target]
    if pairwise and image_set.without_target:
        names = some(image_set.without_target, 3)
        raise ValueError(f"{pairwise[0]}: no target for {names}; leave out {', '.join(pairwise)}")


@torch.inference_mode()
def real_statistics(
    image_set: ImageSet,
    metrics: Sequence[Metric],
    networks: FeatureNetworks,
    *,
    batch_size: int = BATCH_SIZE,
    progress: bool | None = None,
) -> SetStatistics:
    """Accumulates the statistics of a set's real images that ``metrics`` need, in one pass. Empty if none do."""
    comparing = [metric for metric in metrics if metric.needs_real]
    statistics = SetStatistics(comparing)
    if comparing and image_set.real is not None:
        for batch in _batches(image_set.real, networks, batch_size, progress):
            statistics.update(batch)
    return statistics


def _batches(
    image_set: ImageSet, networks: FeatureNetworks, batch_size: int, progress: bool | None
) -> Iterator[ImageBatch]:
    """Batches of at most ``batch_size`` consecutive images of one shape and dtype."""
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: must be at least 1")
    disable = None if progress is None else not progress
    batch: list[ImageRecord] = []
    for record in tqdm(image_set.images(), image_set.label, image_set.count, unit="image", disable=disable):
        if batch and (len(batch) == batch_size or _shapes(record) != _shapes(batch[0])):
            yield ImageBatch(batch, networks)
            batch = []
        batch.append(record)
    if batch:
        yield ImageBatch(batch, networks)


def _shapes(record: ImageRecord) -> list[Any]:
    """Shape and dtype of the image, its target, its class map and its mask."""
    return [None if array is None else (array.shape, array.dtype) for array in record[1:]]


def _add_values(scores: Scores, batch: ImageBatch, metrics: Sequence[Metric], shown: int) -> None:
    """Adds the values of a batch's images, and those images that are among the best or worst by the first metric."""
    # the FCN-score comes last, as in reports of earlier versions
    single = sorted((metric for metric in metrics if metric.values), key=lambda metric: metric.needs_class_maps)
    if not single:
        return
    scores.names += [record.name for record in batch.records]
    for metric in single:
        scores.per_image[metric.value_name or metric.name] = metric.values
    first = single[0]
    scores.ranked_by, scores.columns = next(iter(scores.per_image)), scores.columns or [*batch.shown[0]]
    best_first = 1 if first.lower_is_better else -1
    for rows, order in ((scores.best, best_first), (scores.worst, -best_first)):
        for place, value in enumerate(first.values[-len(batch) :]):
            if value == value and shown and (len(rows) < shown or order * value < order * rows[-1].value):
                bisect.insort_right(rows, _row(batch, place, value), key=lambda row: order * row.value)
                del rows[shown:]


def _row(batch: ImageBatch, place: int, value: float) -> SheetRow:
    record, others = batch.records[place], batch.shown[place].values()
    image = captioned(cell(record.image, SIDE), f"{value:.4g}  {record.name}")
    return SheetRow(value, record.name, [image, *(cell(other, SIDE) for other in others)])
