"""The sample grids of a run: outputs of the current weights, or of their EMA, as in inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from img2img.config import Config
from img2img.data.base import ImageDataset, Item
from img2img.data.images import Range, UnreadableImage, grid, to_array
from img2img.data.loader import collate, to_device
from img2img.models.base import Batch
from img2img.training.networks import Networks

SAMPLES = 8  # rows of a grid


def sample_grid(networks: Networks, dataset: ImageDataset, config: Config) -> np.ndarray:
    """A grid (H, W, 3) uint8: of the model's own fixed inputs (``Model.sheet``), or of a few validation items.

    Args:
        networks: the networks to sample from.
        dataset: the validation set.
        config: the resolved options.
    """
    ranges = dataset.ranges(config.data)
    model, device = networks.model, networks.accelerator.device
    columns: list[str] = []
    with networks.inference():
        sheet = [to_device(batch, device, networks.memory_format) for batch in model.sheet()]
        rows = [list(to_array(model.samples(batch)["output"], np.uint8)) for batch in sheet]
        for batch in [] if sheet else _batches(networks, dataset, config, ranges):
            shown = {**batch, **model.samples(batch)}
            columns = [name for name in model.columns if name in shown]
            rows.append([to_array(shown[name][0], np.uint8) for name in columns])
    titles = dataset.titles(dataset.config)
    return grid(rows, [titles.get(name, name) for name in columns])


def item_batch(item: Item, networks: Networks, ranges: Mapping[str, Range]) -> Batch:
    """A batch of one item, on the device; with ``target`` if the item has one."""
    target = {} if item.target is None else {"target": item.target}
    sample: dict[str, Any] = {**item.inputs, **target, "name": item.name, "skipped": []}
    return to_device(collate([sample]), networks.accelerator.device, networks.memory_format, ranges)


def _batches(networks: Networks, dataset: ImageDataset, config: Config, ranges: Mapping[str, Range]) -> list[Batch]:
    """A batch of one image for each row; from every domain if the model learns all directions.

    Items that can't be decoded are replaced by the next one that can.
    """
    if networks.model.learns_all:
        samples = (collate([dataset[0, index]]) for index in _spaced_indices(len(dataset)))
        return [to_device(batch, networks.accelerator.device, networks.memory_format, ranges) for batch in samples]
    items = dataset.items(config.data.direction)
    batches = []
    for first in _spaced_indices(len(items)):
        for index in range(first, first + len(items)):
            try:
                item = items[index % len(items)]
            except UnreadableImage:
                continue
            batches.append(item_batch(item, networks, ranges))
            break
    return batches


def _spaced_indices(count: int) -> list[int]:
    """Up to SAMPLES indices below ``count``, evenly spaced."""
    return sorted({round(i * (count - 1) / (SAMPLES - 1)) for i in range(SAMPLES)}) if count else []
