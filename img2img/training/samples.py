"""The sample grids of a run: what inference would show now."""

from __future__ import annotations

from typing import Any

import numpy as np

from img2img.data.images import grid, to_array
from img2img.data.loader import collate, to_device
from img2img.training.networks import Networks

SAMPLES = 8  # rows of a grid


def sample_grid(networks: Networks, pictures: Any) -> np.ndarray:
    """(H, W, 3) uint8: the model's own sheet, or a row for each of a few inputs of the validation set ``pictures``."""
    model, device = networks.model, networks.accelerator.device
    last = len(pictures) - 1
    columns: list[str] = []
    with networks.inference():
        sheet = [to_device(batch, device, networks.memory_format) for batch in model.sheet()]
        rows = [list(to_array(model.samples(batch)["output"], np.uint8)) for batch in sheet]
        places = () if sheet else sorted({round(i * last / (SAMPLES - 1)) for i in range(SAMPLES)})
        for index in places:
            batch = to_device(collate([pictures[0, index]]), device, networks.memory_format)
            shown = {**batch, **model.samples(batch)}
            columns = [name for name in model.columns if name in shown]
            rows.append([to_array(shown[name][0], np.uint8) for name in columns])
    return grid(rows, columns)
