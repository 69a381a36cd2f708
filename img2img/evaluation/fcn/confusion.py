"""Which classes were taken for which, and the scores of Long et al. (arXiv 1411.4038) that follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Confusion:
    """How many pixels of each class were taken for which: ``counts`` (K, K + 1), the last column for none of them.

    Args:
        ids: the K classes that are scored; pixels that are truly of another one, or of none, are left out.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = np.array(sorted(ids))
        self.counts = np.zeros((len(ids), len(ids) + 1), np.int64)

    def add(self, truth: np.ndarray, seen: np.ndarray) -> float:
        """Takes in two maps of ids of one shape and returns the share of scored pixels that agree; NaN without any."""
        size = len(self.ids)
        rows, columns = places(truth.ravel(), self.ids), places(seen.ravel(), self.ids)
        scored = rows < size
        found = np.bincount(rows[scored] * (size + 1) + columns[scored], minlength=size * (size + 1))
        found = found.reshape(size, size + 1)
        self.counts += found
        return float(np.trace(found) / found.sum()) if found.any() else float("nan")

    def scores(self) -> dict[str, float]:
        """Pixel accuracy, class accuracy (mean over the classes that are there) and mean IoU (over those and the seen).

        The definitions of Long et al., arXiv 1411.4038, Sec. 5. Raises ValueError if no pixel was scored.
        """
        if not self.counts.any():
            raise ValueError(f"fcn: no pixel of the class maps is of a class that counts ({self.ids.tolist()})")
        return {
            "pixel_accuracy": float(np.trace(self.counts) / self.counts.sum()),
            "class_accuracy": float(np.nanmean(self.accuracies())),
            "mean_iou": float(np.nanmean(self.ious())),
        }

    def accuracies(self) -> np.ndarray:
        """(K,): the share of each class's pixels that was recognised; NaN where there are none."""
        there = self.counts.sum(axis=1)
        return np.where(there > 0, np.diag(self.counts) / np.maximum(there, 1), np.nan)

    def ious(self) -> np.ndarray:
        """(K,): intersection over union of each class; NaN where it is neither there nor seen."""
        right = np.diag(self.counts)
        union = self.counts.sum(axis=1) + self.counts[:, :-1].sum(axis=0) - right
        return np.where(union > 0, right / np.maximum(union, 1), np.nan)


def places(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Where each label stands among the sorted ``ids`` (K,), in an array of the same shape; K if it is none of them."""
    place = np.searchsorted(ids, labels).clip(max=len(ids) - 1)
    return np.where(ids[place] == labels, place, len(ids))
