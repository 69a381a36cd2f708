"""Distances between two sets of images, given the features of each: FID, KID, IS, improved precision and recall.

Heusel et al., arXiv 1706.08500; Bińkowski et al., arXiv 1801.01401; Salimans et al., arXiv 1606.03498; Kynkäänniemi et
al., arXiv 1904.06991. Everything is computed in float64. ``Gaussian`` and ``InceptionScore`` take any number of
features and keep sums only; ``Reservoir`` keeps a fixed number for the two that compare features with each other.
"""

from __future__ import annotations

import numpy as np

SPLITS = 10  # of the Inception Score, Sec. 4 of its code's convention
SUBSETS, SUBSET = 100, 1000  # of KID: how many, and of how many features each
NEIGHBOURS = 3  # k of precision and recall, Sec. 3.1
BLOCK = 1000  # rows of a distance matrix that are in memory at once


class Gaussian:
    """Mean and covariance of features that come in batches (B, D)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(0)
        self.scatter = np.zeros((0, 0))  # sum of the outer products of deviations from the mean

    def add(self, features: np.ndarray) -> None:
        """Takes a batch in, by the rule of Chan et al. 1979, which loses no digits where means are large."""
        batch = features.astype(np.float64)
        size, mean = len(batch), batch.mean(axis=0)
        if not self.count:
            self.mean, self.scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)))
        gap, total = mean - self.mean, self.count + size
        centred = batch - mean
        self.scatter += centred.T @ centred + np.outer(gap, gap) * (self.count * size / total)
        self.mean = self.mean + gap * (size / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), unbiased, as numpy.cov has it."""
        return self.scatter / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """FID: |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    With S_a = F F^T and S_b = G G^T the last trace is the sum of the singular values of F^T G. This needs no root of a
    matrix, and stays exact where there are fewer images than features and the usual way loses half of the digits.

    Raises:
        ValueError: a set of fewer than two images.
    """
    _require("FID", 2, a.count, b.count)
    overlap = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return float(((a.mean - b.mean) ** 2).sum() + spread)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (D, R) with F F^T = covariance; what is below the rounding of its largest eigenvalue is not there."""
    values, vectors = np.linalg.eigh(covariance)
    there = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, there] * np.sqrt(values[there])


class Reservoir:
    """At most ``capacity`` features, a fair draw of all that came, in the order in which they came if all fit."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count = capacity, 0
        self.rows: list[np.ndarray] = []
        self.random = np.random.default_rng(0)

    def add(self, features: np.ndarray) -> None:
        """Takes a batch (B, D) in: Vitter 1985, Algorithm R."""
        for row in features:
            self.count += 1
            if len(self.rows) < self.capacity:
                self.rows.append(row.copy())
            elif (place := int(self.random.integers(self.count))) < self.capacity:
                self.rows[place] = row.copy()

    @property
    def features(self) -> np.ndarray:
        """(N, D) float64."""
        return np.array(self.rows, np.float64) if self.rows else np.zeros((0, 0))


def kernel_distance(a: np.ndarray, b: np.ndarray, subsets: int = SUBSETS, subset: int = SUBSET) -> tuple[float, float]:
    """KID: mean and standard deviation of the squared MMD over random subsets of (N, D) and (M, D).

    A set smaller than ``subset`` makes all subsets as small as itself; where both are used whole, there is one subset
    and a deviation of 0.

    Raises:
        ValueError: a set of fewer than two images.
    """
    _require("KID", 2, len(a), len(b))
    size = min(subset, len(a), len(b))
    if size == len(a) == len(b):
        return squared_mmd(a, b), 0.0
    random = np.random.default_rng(0)
    estimates = [
        squared_mmd(a[random.choice(len(a), size, replace=False)], b[random.choice(len(b), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared MMD of (N, D) and (M, D), kernel (x.y / D + 1)^3 (Sec. 3 there)."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def among(x: np.ndarray) -> float:
        inside = kernel(x, x)
        return float(inside.sum() - np.trace(inside)) / (len(x) * (len(x) - 1))

    return among(a) + among(b) - 2 * float(kernel(a, b).mean())


class InceptionScore:
    """exp E KL(p(y|x) || p(y)), mean and deviation over ``SPLITS`` parts of the images.

    Image i is of part i mod SPLITS, so that a folder sorted by class has no part of one class.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sizes = np.zeros(SPLITS)
        self.negative_entropy = np.zeros(SPLITS)
        self.probabilities: np.ndarray = np.zeros((SPLITS, 0))

    def add(self, logits: np.ndarray) -> None:
        """Takes a batch (B, K) in."""
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)  # (B, K)
        if not self.count:
            self.probabilities = np.zeros((SPLITS, p.shape[1]))
        part = (self.count + np.arange(len(p))) % SPLITS
        np.add.at(self.sizes, part, 1)
        np.add.at(self.negative_entropy, part, (p * log_p).sum(axis=1))
        np.add.at(self.probabilities, part, p)
        self.count += len(p)

    def score(self) -> tuple[float, float]:
        """Mean and standard deviation over the parts. Raises ValueError: fewer images than parts."""
        _require("the Inception Score", SPLITS, self.count)
        p = self.probabilities / self.sizes[:, None]  # (SPLITS, K)
        entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
        scores = np.exp(self.negative_entropy / self.sizes + entropy)
        return float(scores.mean()), float(scores.std())


def precision_recall(fake: np.ndarray, real: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """The share of fakes (N, D) that lie among the reals (M, D), and of reals that lie among the fakes.

    A point lies among those of a set if it is no farther from one of them than that one's k-th neighbour in its set.

    Raises:
        ValueError: a set of no more than ``neighbours`` images.
    """
    _require("precision and recall", neighbours + 1, len(fake), len(real))
    middle = real.mean(axis=0)  # far from the origin products lose the digits that tell near points apart
    fake, real = fake - middle, real - middle
    return _share_within(fake, real, neighbours), _share_within(real, fake, neighbours)


def _share_within(points: np.ndarray, support: np.ndarray, neighbours: int) -> float:
    radius = np.concatenate(
        [
            # the nearest is the point itself
            np.partition(_squared_distances(support[i : i + BLOCK], support), neighbours, axis=1)[:, neighbours]
            for i in range(0, len(support), BLOCK)
        ]
    )
    # Equal points differ by the rounding of these products, and where points repeat radii are zero but for that
    slack = 1e-13 * ((points**2).sum(axis=1).max() + (support**2).sum(axis=1).max())
    inside = sum(
        int((_squared_distances(points[i : i + BLOCK], support) <= radius + slack).any(axis=1).sum())
        for i in range(0, len(points), BLOCK)
    )
    return inside / len(points)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N, M)."""
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T


def _require(metric: str, least: int, *counts: int) -> None:
    if min(counts) < least:
        raise ValueError(f"{metric}: needs {least} images in each set, and there are {min(counts)}")
