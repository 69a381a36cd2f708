"""Confusion matrix of semantic segmentation, and its scores (Long et al., arXiv 1411.4038, Sec. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Confusion:
    """Confusion matrix ``counts`` (K, K + 1): pixels by true class (row) and predicted class (column).

    The last column counts predictions outside ``ids``. Pixels whose true class is not in ``ids`` are ignored.

    Args:
        ids: the K class ids to evaluate.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = np.array(sorted(ids))
        self.counts = np.zeros((len(ids), len(ids) + 1), np.int64)

    def add(self, target: np.ndarray, predicted: np.ndarray) -> float:
        """Adds two arrays of class ids of one shape and returns their pixel accuracy; NaN if all pixels are ignored."""
        size = len(self.ids)
        rows, columns = class_indices(target.ravel(), self.ids), class_indices(predicted.ravel(), self.ids)
        evaluated = rows < size
        counts = np.bincount(rows[evaluated] * (size + 1) + columns[evaluated], minlength=size * (size + 1))
        counts = counts.reshape(size, size + 1)
        self.counts += counts
        return float(np.trace(counts) / counts.sum()) if counts.any() else float("nan")

    def scores(self) -> dict[str, float]:
        """Pixel accuracy, class accuracy and mean IoU.

        Class accuracy is the mean over classes in the ground truth, mean IoU over classes in the ground truth or the
        predictions. Raises ValueError if all pixels are ignored.
        """
        if not self.counts.any():
            raise ValueError(f"fcn: no pixel of the label maps has a class that is evaluated ({self.ids.tolist()})")
        return {
            "pixel_accuracy": float(np.trace(self.counts) / self.counts.sum()),
            "class_accuracy": float(np.nanmean(self.accuracies())),
            "mean_iou": float(np.nanmean(self.ious())),
        }

    def accuracies(self) -> np.ndarray:
        """(K,): share of each class's pixels that was predicted correctly; NaN for classes without pixels."""
        pixels = self.counts.sum(axis=1)
        return np.where(pixels > 0, np.diag(self.counts) / np.maximum(pixels, 1), np.nan)

    def ious(self) -> np.ndarray:
        """(K,): intersection over union of each class; NaN for classes neither in ground truth nor predictions."""
        intersection = np.diag(self.counts)
        union = self.counts.sum(axis=1) + self.counts[:, :-1].sum(axis=0) - intersection
        return np.where(union > 0, intersection / np.maximum(union, 1), np.nan)


def class_indices(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The index of each label in the sorted ``ids`` (K,), in an array of the same shape; K for labels not in it."""
    index = np.searchsorted(ids, labels).clip(max=len(ids) - 1)
    return np.where(ids[index] == labels, index, len(ids))
