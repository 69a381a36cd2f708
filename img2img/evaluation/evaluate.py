"""Measuring an image set: one pass over its images, and one over the real ones where a metric compares with them.

Images go in batches of one shape to the device of the networks. Nothing of them is kept but what the metrics keep,
their names, and the few that a report shows.
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
SHOWN = 10  # best and worst images in a report
SIDE = 256  # in pixels at most, of what it shows

Table = tuple[Sequence[str], list[Sequence[object]]]


class NoImages(ValueError):
    """An image set without an image that can be measured."""


class Shown(NamedTuple):
    """A row of a report's sheet: the image and ``Scores.columns``, (h, w, 3) uint8 each."""

    value: float
    name: str
    cells: list[np.ndarray]


@dataclass
class Scores:
    """What was measured of an image set."""

    count: int = 0
    """Images that were measured."""
    real_count: int = 0
    """Real ones that they were compared with as a set."""
    scores: dict[str, float] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    """Of the scores, with their units."""
    deviations: dict[str, float] = field(default_factory=dict)
    """Of scores that are means over parts."""
    names: list[str] = field(default_factory=list)
    """Of the images, where they have values of their own."""
    per_image: dict[str, list[float]] = field(default_factory=dict)
    ranked_by: str | None = None
    """Which of these values ``best`` and ``worst`` are chosen by."""
    columns: list[str] = field(default_factory=list)
    """What the sheet shows beside an image."""
    best: list[Shown] = field(default_factory=list)
    worst: list[Shown] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """What metrics add to summary.json."""
    rows: dict[str, str] = field(default_factory=dict)
    """What metrics add to the report's table, above the scores."""
    tables: dict[str, Table] = field(default_factory=dict)
    """Further CSV files of the report, by their names: head and rows."""


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
    """All ``metrics`` of an image set.

    Args:
        image_set: what is measured. Images that can't be decoded are left out and named.
        metrics: see ``metrics.choose_metrics``.
        networks: that they need, see ``metrics.load_networks``.
        batch_size: images that a network sees at once.
        real: ``real_statistics`` of its real images, not to look at them again.
        shown: how many of the best and of the worst images ``Scores`` keeps for a report.
        progress: whether bars are shown; unset, on a terminal.

    Raises:
        ValueError: as ``check``; a pair of two sizes, or too small for a metric; too few images that can be decoded.
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
        _note(scores, batch, metrics, shown)
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
    """Raises ValueError, before any image is made, if targets, real images or enough of them are missing."""
    for metric in metrics:
        real = image_set.real
        if metric.needs_real and real is None:
            raise ValueError(f"{metric.name}: compares with real images, and there are none; name a folder of them")
        counts = [image_set.count, *([real.count] if metric.needs_real and real else [])]
        if min(counts) < metric.fewest:
            raise ValueError(f"{metric.name}: needs {metric.fewest} images in each set, and there are {min(counts)}")
    pairwise = [metric.name for metric in metrics if metric.needs_target]
    if pairwise and image_set.without_target:
        names = some(image_set.without_target, 3)
        raise ValueError(f"{pairwise[0]}: no target of the name of {names}; leave {', '.join(pairwise)} out")


@torch.inference_mode()
def real_statistics(
    image_set: ImageSet,
    metrics: Sequence[Metric],
    networks: FeatureNetworks,
    *,
    batch_size: int = BATCH_SIZE,
    progress: bool | None = None,
) -> SetStatistics:
    """What ``metrics`` need of an image set's real images, each of which is looked at once."""
    comparing = [metric for metric in metrics if metric.needs_real]
    statistics = SetStatistics(comparing)
    if comparing and image_set.real is not None:
        for batch in _batches(image_set.real, networks, batch_size, progress):
            statistics.update(batch)
    return statistics


def _batches(
    image_set: ImageSet, networks: FeatureNetworks, batch_size: int, progress: bool | None
) -> Iterator[ImageBatch]:
    """Neighbours of one shape and depth, at most ``batch_size`` of them."""
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: must be at least 1")
    disable = None if progress is None else not progress
    batch: list[ImageRecord] = []
    for record in tqdm(image_set.images(), image_set.label, image_set.count, unit="image", disable=disable):
        if batch and (len(batch) == batch_size or _kind(record) != _kind(batch[0])):
            yield ImageBatch(batch, networks)
            batch = []
        batch.append(record)
    if batch:
        yield ImageBatch(batch, networks)


def _kind(record: ImageRecord) -> list[Any]:
    return [None if array is None else (array.shape, array.dtype) for array in record[1:]]


def _note(scores: Scores, batch: ImageBatch, metrics: Sequence[Metric], shown: int) -> None:
    """Notes each image's values, and shows it if it is among the best or the worst by the first of them."""
    # those of class maps come last, as in the reports of all versions
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


def _row(batch: ImageBatch, place: int, value: float) -> Shown:
    record, beside = batch.records[place], batch.shown[place].values()
    image = captioned(cell(record.image, SIDE), f"{value:.4g}  {record.name}")
    return Shown(value, record.name, [image, *(cell(other, SIDE) for other in beside)])
