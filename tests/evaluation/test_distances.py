"""FID, KID, IS, precision and recall of features against their definitions in scipy and plain loops, in float64."""

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import scipy.special

from img2img.evaluation import distances
from img2img.evaluation.distances import (
    Gaussian,
    InceptionScore,
    Reservoir,
    frechet_distance,
    kernel_distance,
    precision_recall,
    squared_mmd,
)


def features(seed: int, count: int, size: int = 12) -> np.ndarray:
    """(count, size): correlated, far from zero and positive, as features of a network are."""
    random = np.random.default_rng(seed)
    return np.abs(random.normal(size=(count, size)) @ random.normal(size=(size, size)) + 5)


def gaussian(points: np.ndarray, batch: int = 7) -> Gaussian:
    moments = Gaussian()
    for first in range(0, len(points), batch):
        moments.add(points[first : first + batch])
    return moments


def reference_fid(a: np.ndarray, b: np.ndarray) -> float:
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a + covariance_b - 2 * root))


def test_gaussian_of_batches_equals_numpy() -> None:
    points = features(0, 100) + 1e6
    moments = gaussian(points)
    np.testing.assert_allclose(moments.mean, points.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(points, rowvar=False), rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_equals_definition(seed: int) -> None:
    a, b = features(seed, 90), features(seed + 10, 110)
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(reference_fid(a, b), rel=1e-6)


def test_frechet_distance_of_fewer_images_than_features() -> None:
    """Two sets in a 5-dimensional subspace: the distance equals that within the subspace."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(60, 60)))[0][:5]
    a, b = features(1, 20, 5), features(2, 30, 5)
    distance = frechet_distance(gaussian(a @ axes), gaussian(b @ axes))
    assert distance == pytest.approx(reference_fid(a, b), rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero() -> None:
    points = features(0, 40, 50)
    assert frechet_distance(gaussian(points), gaussian(points, 40)) == pytest.approx(0, abs=1e-9)


def test_precision_recall_of_a_set_with_itself_is_one() -> None:
    points = features(0, 40, 50)
    assert precision_recall(points, points) == (1, 1)
    repeated = np.repeat(points, 5, axis=0)  # radii are zero
    assert precision_recall(repeated, repeated[::-1]) == (1, 1)


def test_kernel_distance_equals_definition() -> None:
    a, b = features(0, 20), features(1, 25)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 12 + 1) ** 3

    within = sum(np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b))
    expected = within - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert squared_mmd(a, b) == pytest.approx(expected, rel=1e-6)
    mean, deviation = kernel_distance(a, b, subsets=2000, subset=10)
    assert mean == pytest.approx(expected, abs=4 * deviation / 2000**0.5)  # subsets are unbiased
    assert kernel_distance(a[:20], b[:20]) == (squared_mmd(a[:20], b[:20]), 0)


def test_inception_score_equals_definition() -> None:
    logits = 3 * np.random.default_rng(0).normal(size=(47, 9)) + 100
    streamed = InceptionScore()
    for first in range(0, 47, 6):
        streamed.add(logits[first : first + 6])
    p = scipy.special.softmax(logits, axis=1)
    scores = []
    for first in range(10):
        part = p[first::10]
        scores.append(np.exp(np.mean([scipy.special.rel_entr(row, part.mean(axis=0)).sum() for row in part])))
    assert streamed.score() == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-6)


def test_inception_score_of_certain_predictions_is_the_number_of_classes() -> None:
    score = InceptionScore()
    score.add(1e4 * np.eye(4)[np.repeat(np.arange(4), 10)])
    assert score.score() == pytest.approx((4, 0), rel=1e-12)


@pytest.mark.parametrize("block", [7, 1000])
def test_precision_recall_equals_definition(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", block)
    fake, real = features(0, 40, 3), features(0, 55, 3)[::-1] + 0.5

    def share(points: np.ndarray, support: np.ndarray) -> float:
        radius = np.sort(scipy.spatial.distance.cdist(support, support), axis=1)[:, 3]
        return float(np.mean((scipy.spatial.distance.cdist(points, support) <= radius).any(axis=1)))

    precision, recall = precision_recall(fake, real)
    assert (precision, recall) == pytest.approx((share(fake, real), share(real, fake)), rel=1e-6)
    assert 0.1 < min(precision, recall) <= max(precision, recall) < 1  # not trivially 0 or 1


def test_frechet_distance_grows_with_noise() -> None:
    points, noise = features(0, 200), np.random.default_rng(1).normal(size=(200, 12))
    levels = (0, 0.1, 0.5, 1, 2, 5)
    distances = [frechet_distance(gaussian(points), gaussian(points + level * noise)) for level in levels]
    assert distances == sorted(distances)
    assert distances[1] > 1e-4


def test_reservoir_keeps_a_uniform_sample() -> None:
    few = Reservoir(10)
    few.add(np.arange(8.0)[:, None])
    assert few.features[:, 0].tolist() == list(range(8))
    many = Reservoir(500)
    for first in range(0, 5000, 100):
        many.add(np.arange(first, first + 100.0)[:, None])
    assert many.count == 5000
    assert len(set(many.features[:, 0])) == 500
    assert many.features.mean() == pytest.approx(2500, abs=4 * 1443 / 500**0.5)


@pytest.mark.parametrize(
    ("measure", "numbers"),  # those needed and those given
    [
        (lambda a: frechet_distance(gaussian(a[:1]), gaussian(a)), r"^FID: .*\b2\b.*\b1\b"),
        (lambda a: kernel_distance(a[:1], a), r"^KID: .*\b2\b.*\b1\b"),
        (lambda a: InceptionScore().score(), r"Inception Score: .*\b10\b.*\b0\b"),
        (lambda a: precision_recall(a, a[:3]), r"^precision and recall: .*\b4\b.*\b3\b"),
    ],
)
def test_distances_need_enough_images(measure: object, numbers: str) -> None:
    with pytest.raises(ValueError, match=numbers):
        measure(features(0, 12))  # type: ignore[operator]


def test_precision_recall_is_exact_far_from_the_origin() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(60, 5)), 1.5 * random.normal(size=(80, 5))
    assert precision_recall(a + 1e7, b + 1e7) == precision_recall(a, b)
    assert 0 < precision_recall(a, b)[1] < 1
