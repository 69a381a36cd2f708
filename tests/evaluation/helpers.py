"""Helpers of several test modules of evaluation."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from img2img.data import folder
from img2img.evaluation.base import FeatureNetworks, ImageSet
from img2img.evaluation.evaluate import Scores, evaluate
from img2img.evaluation.metrics import choose_metrics
from tests.conftest import drawn_pair, write


def folders(count: int = 24, noise: float = 20) -> tuple[Path, Path]:
    """Writes images of two sizes, made/NN.png with noise and real/NN.bmp without, and returns both folders."""
    random = np.random.default_rng(0)
    for i in range(count):
        image = drawn_pair(i, 32, 32 + 8 * (i % 5 == 0))[1]
        write(Path("real") / f"{i:02d}.bmp", image)
        noisy = image + noise * (1 + i) / count * random.normal(size=image.shape)
        write(Path("made") / f"{i:02d}.png", noisy.clip(0, 255).astype(np.uint8))
    return Path("made"), Path("real")


def decoded_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often each image file of a folder is decoded from here on, by file name."""
    names: Counter[str] = Counter()
    read = folder.read_image

    def counted(path: Path, channels: int) -> np.ndarray:
        names[path.name] += 1
        return read(path, channels)

    monkeypatch.setattr(folder, "read_image", counted)
    return names


def measure(image_set: ImageSet, metrics: str, networks: FeatureNetworks | None = None, batch_size: int = 16) -> Scores:
    """Evaluates metrics by their names: "l1,fid"."""
    return evaluate(image_set, choose_metrics(metrics), networks, batch_size=batch_size)
