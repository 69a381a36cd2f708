"""The sample grids of a run: outputs of the current weights, or of their EMA, as in inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from img2img.config import Config
from img2img.data.base import ImageDataset, Item
from img2img.data.images import Range, UnreadableImage, grid, padded_inputs, to_array
from img2img.data.loader import collate, to_device
from img2img.models.base import Batch, Images
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
        for shown in [] if sheet else _shown(networks, dataset, config, ranges):
            columns = [name for name in model.columns if name in shown]
            rows.append([to_array(shown[name][0], np.uint8) for name in columns])
    titles = dataset.titles(dataset.config)
    return grid(rows, [titles.get(name, name) for name in columns])


def item_batch(item: Item, networks: Networks, ranges: Mapping[str, Range]) -> Batch:
    """A batch of one item, on the device; with ``target`` if the item has one."""
    target = {} if item.target is None else {"target": item.target}
    sample: dict[str, Any] = {**item.inputs, **target, "name": item.name, "skipped": []}
    return to_device(collate([sample]), networks.accelerator.device, networks.memory_format, ranges)


def of_any_size(make: Callable[[Batch], Images], item: Item, networks: Networks, ranges: Mapping[str, Range]) -> Images:
    """The images that ``make`` returns for a batch of one item, whose size the networks need not accept.

    As in inference, the inputs are padded by reflection, and the images are cropped accordingly.
    """
    model = networks.model
    if all(model.padded(side) == side for side in item.image.shape[-3:-1]):
        return make(item_batch(item, networks, ranges))
    inputs, (rows, columns) = padded_inputs(item.inputs, model.padded, model.scale)
    images = make(item_batch(replace(item, inputs=inputs, target=None), networks, ranges))
    return {key: image[..., rows, columns] for key, image in images.items()}


def _shown(networks: Networks, dataset: ImageDataset, config: Config, ranges: Mapping[str, Range]) -> Iterator[Batch]:
    """The images of each row, (1, C, H, W) by column; from every domain if the model learns all directions.

    Items that can't be decoded are replaced by the next one that can.
    """
    model = networks.model
    if model.learns_all:
        for index in _spaced_indices(len(dataset)):
            sample = collate([dataset[0, index]])
            batch = to_device(sample, networks.accelerator.device, networks.memory_format, ranges)
            yield {**batch, **model.samples(batch)}
        return
    items = dataset.items(config.data.direction)
    for first in _spaced_indices(len(items)):
        for index in range(first, first + len(items)):
            try:
                item = items[index % len(items)]
            except UnreadableImage:
                continue
            yield {**item_batch(item, networks, ranges), **of_any_size(model.samples, item, networks, ranges)}
            break


def _spaced_indices(count: int) -> list[int]:
    """Up to SAMPLES indices below ``count``, evenly spaced."""
    return sorted({round(i * (count - 1) / (SAMPLES - 1)) for i in range(SAMPLES)}) if count else []
