"""What several tests of evaluation need: two folders of images, and the scores of an image set by metrics' names."""

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
    """Images with noise on them, of two sizes, and without; names agree but for the suffix."""
    random = np.random.default_rng(0)
    for i in range(count):
        image = drawn_pair(i, 32, 32 + 8 * (i % 5 == 0))[1]
        write(Path("real") / f"{i:02d}.bmp", image)
        noisy = image + noise * (1 + i) / count * random.normal(size=image.shape)
        write(Path("made") / f"{i:02d}.png", noisy.clip(0, 255).astype(np.uint8))
    return Path("made"), Path("real")


def decoded_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The names of the image files of folders that are decoded from here on, and how often each was."""
    names: Counter[str] = Counter()
    read = folder.read_image

    def counted(path: Path, channels: int) -> np.ndarray:
        names[path.name] += 1
        return read(path, channels)

    monkeypatch.setattr(folder, "read_image", counted)
    return names


def measure(image_set: ImageSet, metrics: str, networks: FeatureNetworks | None = None, batch_size: int = 16) -> Scores:
    """Scores of metrics by their names."""
    return evaluate(image_set, choose_metrics(metrics), networks, batch_size=batch_size)
