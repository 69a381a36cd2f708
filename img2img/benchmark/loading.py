"""Measures how fast one process makes training pairs of the data set ``degraded`` from JPEG files."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from img2img.data.degraded import DegradedConfig, DegradedDataset
from img2img.data.loader import collate
from img2img.data.toy.streets import draw_scene

FILES = 4
STEPS: dict[str, dict[str, Any]] = {
    "bicubic x4": {"down": 4},
    "noise": {"noise": [0, 55]},
    "JPEG": {"jpeg": [10, 40]},
    "holes": {"mask": True},
    "lightness": {"lightness": True},
    "blur, bicubic x2, noise, JPEG": {
        "degrade": [{"blur": [0, 2]}, {"down": 2}, {"noise": [0, 25]}, {"jpeg": [30, 95]}],
    },
    "Real-ESRGAN x4, patches of 256": {"degrade": ["realesrgan"], "crop_size": 256},
}


def loading_rows(seconds: float = 2) -> list[tuple[str, str]]:
    """Rows of a table: (what is measured, training pairs a second of one core). Patches are of 128x128 pixels
    where no other size is named.

    Args:
        seconds: of each measurement.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in the processes of a loader
    try:
        with tempfile.TemporaryDirectory() as folder:
            small, large = Path(folder) / "small", Path(folder) / "large"
            _write_photos(small, 512, 512)
            _write_photos(large, 1536, 2048)
            rows = [(f"{name}, from 512x512", _speed(small, seconds, **steps)) for name, steps in STEPS.items()]
            for patches in (1, 4, 16):
                title = f"bicubic x4, from 2048x1536, data.patches {patches}"
                rows.append((title, _speed(large, seconds, down=4, patches=patches)))
            return rows
    finally:
        cv2.setNumThreads(threads)


def _write_photos(root: Path, height: int, width: int) -> None:
    """Street scenes with noise like a camera's, which makes their files about as large as photos'."""
    for split, count in (("train", FILES), ("val", 1)):
        (root / split).mkdir(parents=True)
        for i in range(count):
            scene = draw_scene(i, split, height, width)[2]
            noise = np.random.default_rng(i).normal(0, 4, scene.shape)
            photo = (scene + noise).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(root / split / f"{i}.jpg"), photo[:, :, ::-1])


def _speed(root: Path, seconds: float, **options: Any) -> str:
    """Training pairs a second of this process's time, decoding and collating included."""
    dataset = DegradedDataset(DegradedConfig(str(root), **options), "train", augment=True)

    def read(position: int) -> int:
        samples = dataset.samples((position // FILES, position % FILES))
        collate(samples)
        return len(samples)

    for position in range(FILES):
        read(position)  # the disk cache fills
    began, pairs, position = time.process_time(), 0, 0
    while time.process_time() - began < seconds:
        pairs += read(position)
        position += 1
    return f"{pairs / (time.process_time() - began):.0f}"
