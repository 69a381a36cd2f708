"""Distances between two sets of images, given the features of each: FID, KID, IS, improved precision and recall.

Heusel et al., arXiv 1706.08500 (FID); Bińkowski et al., arXiv 1801.01401 (KID); Salimans et al., arXiv 1606.03498 (IS);
Kynkäänniemi et al., arXiv 1904.06991 (precision, recall). Everything is computed in float64. FID and IS keep sums only
(``Gaussian``, ``InceptionScore``). KID, precision and recall compare single features, of which ``Reservoir`` keeps a
random sample.
"""

from __future__ import annotations

import numpy as np

SPLITS = 10  # parts of the images in the Inception Score, as in its official code
SUBSETS, SUBSET = 100, 1000  # number of random subsets in KID, and their size
NEIGHBOURS = 3  # k of precision and recall, Sec. 3.1
BLOCK = 1000  # rows of a distance matrix that are in memory at once


class Gaussian:
    """Mean and covariance of features, accumulated over batches (B, D)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(0)
        self.scatter = np.zeros((0, 0))  # sum of the outer products of deviations from the mean

    def add(self, features: np.ndarray) -> None:
        """Adds a batch (B, D), by the update of Chan et al. 1979, which is exact for large means, too."""
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
        """(D, D), unbiased, as of numpy.cov."""
        return self.scatter / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """FID: |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    With S_a = F F^T and S_b = G G^T, the trace of the root is the sum of the singular values of F^T G. This needs no
    matrix square root. It is exact for fewer images than features, where the root loses half of the digits.

    Raises:
        ValueError: a set has fewer than two images.
    """
    _require("FID", 2, a.count, b.count)
    overlap = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return float(((a.mean - b.mean) ** 2).sum() + spread)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (D, R) with F F^T = covariance, without eigenvalues that are rounding errors of the largest one."""
    values, vectors = np.linalg.eigh(covariance)
    nonzero = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, nonzero] * np.sqrt(values[nonzero])


class Reservoir:
    """A uniform random sample of at most ``capacity`` features; all of them, in order, if there are no more."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count = capacity, 0
        self.rows: list[np.ndarray] = []
        self.random = np.random.default_rng(0)

    def add(self, features: np.ndarray) -> None:
        """Adds a batch (B, D): Vitter 1985, Algorithm R."""
        for row in features:
            self.count += 1
            if len(self.rows) < self.capacity:
                self.rows.append(row.copy())
            elif (place := int(self.random.integers(self.count))) < self.capacity:
                self.rows[place] = row.copy()

    @property
    def features(self) -> np.ndarray:
        """The sample, (N, D) float64."""
        return np.array(self.rows, np.float64) if self.rows else np.zeros((0, 0))


def kernel_distance(a: np.ndarray, b: np.ndarray, subsets: int = SUBSETS, subset: int = SUBSET) -> tuple[float, float]:
    """KID: mean and standard deviation of the squared MMD over random subsets of the features (N, D) and (M, D).

    If a set has fewer than ``subset`` features, subsets have the size of the smaller set. If both sets have that size,
    there is one subset, with a deviation of 0.

    Raises:
        ValueError: a set has fewer than two images.
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
    """Unbiased estimate of the squared MMD of (N, D) and (M, D), kernel (x.y / D + 1)^3 (Bińkowski et al., Sec. 3)."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_within(x: np.ndarray) -> float:
        values = kernel(x, x)
        return float(values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return mean_within(a) + mean_within(b) - 2 * float(kernel(a, b).mean())


class InceptionScore:
    """exp E KL(p(y|x) || p(y)): mean and standard deviation over ``SPLITS`` parts of the images.

    Image i belongs to part i mod SPLITS, so that in a folder sorted by class every part has images of all classes.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sizes = np.zeros(SPLITS)
        self.negative_entropy = np.zeros(SPLITS)
        self.probabilities: np.ndarray = np.zeros((SPLITS, 0))

    def add(self, logits: np.ndarray) -> None:
        """Adds a batch of logits (B, K)."""
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
        """Mean and standard deviation over the parts. Raises ValueError if there are fewer images than parts."""
        _require("the Inception Score", SPLITS, self.count)
        p = self.probabilities / self.sizes[:, None]  # (SPLITS, K)
        entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
        scores = np.exp(self.negative_entropy / self.sizes + entropy)
        return float(scores.mean()), float(scores.std())


def precision_recall(fake: np.ndarray, real: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Improved precision and recall: shares of fake features (N, D) within the real manifold, and the reverse.

    A point lies within the manifold of a set if its distance to some point of the set is at most that point's distance
    to its k-th nearest neighbour in the set (Kynkäänniemi et al., Sec. 2).

    Raises:
        ValueError: a set has no more than ``neighbours`` images.
    """
    _require("precision and recall", neighbours + 1, len(fake), len(real))
    centre = real.mean(axis=0)  # distances are computed from products, which lose digits far from the origin
    fake, real = fake - centre, real - centre
    return _share_within(fake, real, neighbours), _share_within(real, fake, neighbours)


def _share_within(points: np.ndarray, support: np.ndarray, neighbours: int) -> float:
    """The share of ``points`` (N, D) within the manifold of ``support`` (M, D)."""
    radius = np.concatenate(
        [
            # index 0 is the point itself
            np.partition(_squared_distances(support[i : i + BLOCK], support), neighbours, axis=1)[:, neighbours]
            for i in range(0, len(support), BLOCK)
        ]
    )
    # Distances of equal points are rounding errors, and so are the radii of points that occur several times
    slack = 1e-13 * ((points**2).sum(axis=1).max() + (support**2).sum(axis=1).max())
    inside = sum(
        int((_squared_distances(points[i : i + BLOCK], support) <= radius + slack).any(axis=1).sum())
        for i in range(0, len(points), BLOCK)
    )
    return inside / len(points)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> squared Euclidean distances (N, M)."""
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T


def _require(metric: str, least: int, *counts: int) -> None:
    if min(counts) < least:
        raise ValueError(f"{metric}: needs {least} images in each set, and there are {min(counts)}")
