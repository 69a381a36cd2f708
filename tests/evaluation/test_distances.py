"""Distances between sets of features against their definitions in scipy and plain loops, in float64."""

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
    """Correlated, far from zero, all positive: as a network's are."""
    random = np.random.default_rng(seed)
    return np.abs(random.normal(size=(count, size)) @ random.normal(size=(size, size)) + 5)


def gaussian(points: np.ndarray, batch: int = 7) -> Gaussian:
    found = Gaussian()
    for first in range(0, len(points), batch):
        found.add(points[first : first + batch])
    return found


def reference_fid(a: np.ndarray, b: np.ndarray) -> float:
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a + covariance_b - 2 * root))


def test_streamed_moments_are_those_of_the_whole() -> None:
    points = features(0, 100) + 1e6
    found = gaussian(points)
    np.testing.assert_allclose(found.mean, points.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(points, rowvar=False), rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_fid_is_its_definition(seed: int) -> None:
    a, b = features(seed, 90), features(seed + 10, 110)
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(reference_fid(a, b), rel=1e-6)


def test_fid_of_fewer_images_than_features() -> None:
    """Two sets in planes of the space: the distance is that of the same sets without the useless axes."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(60, 60)))[0][:5]
    a, b = features(1, 20, 5), features(2, 30, 5)
    found = frechet_distance(gaussian(a @ axes), gaussian(b @ axes))
    assert found == pytest.approx(reference_fid(a, b), rel=1e-6)


def test_a_set_against_itself() -> None:
    points = features(0, 40, 50)
    assert frechet_distance(gaussian(points), gaussian(points, 40)) == pytest.approx(0, abs=1e-9)
    assert precision_recall(points, points) == (1, 1)
    repeated = np.repeat(points, 5, axis=0)  # radii are zero
    assert precision_recall(repeated, repeated[::-1]) == (1, 1)


def test_kid_is_its_definition() -> None:
    a, b = features(0, 20), features(1, 25)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 12 + 1) ** 3

    within = sum(np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b))
    expected = within - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert squared_mmd(a, b) == pytest.approx(expected, rel=1e-6)
    mean, deviation = kernel_distance(a, b, subsets=2000, subset=10)
    assert mean == pytest.approx(expected, abs=4 * deviation / 2000**0.5)  # subsets estimate the same without bias
    assert kernel_distance(a[:20], b[:20]) == (squared_mmd(a[:20], b[:20]), 0)


def test_inception_score_is_its_definition() -> None:
    logits = 3 * np.random.default_rng(0).normal(size=(47, 9)) + 100
    streamed = InceptionScore()
    for first in range(0, 47, 6):
        streamed.add(logits[first : first + 6])
    p = scipy.special.softmax(logits, axis=1)
    scores = []
    for part in range(10):
        mine = p[part::10]
        scores.append(np.exp(np.mean([scipy.special.rel_entr(row, mine.mean(axis=0)).sum() for row in mine])))
    assert streamed.score() == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-6)


def test_inception_score_of_certain_classes_is_their_number() -> None:
    score = InceptionScore()
    score.add(1e4 * np.eye(4)[np.repeat(np.arange(4), 10)])
    assert score.score() == pytest.approx((4, 0), rel=1e-12)


@pytest.mark.parametrize("block", [7, 1000])
def test_precision_and_recall_are_their_definition(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", block)
    fake, real = features(0, 40, 3), features(0, 55, 3)[::-1] + 0.5

    def share(points: np.ndarray, support: np.ndarray) -> float:
        own = scipy.spatial.distance.cdist(support, support)
        radius = np.sort(own, axis=1)[:, 3]
        return float(np.mean((scipy.spatial.distance.cdist(points, support) <= radius).any(axis=1)))

    found = precision_recall(fake, real)
    assert found == pytest.approx((share(fake, real), share(real, fake)), rel=1e-6)
    assert 0.1 < min(found) <= max(found) < 1  # or this would show nothing


def test_more_noise_is_never_nearer() -> None:
    points, noise = features(0, 200), np.random.default_rng(1).normal(size=(200, 12))
    found = [frechet_distance(gaussian(points), gaussian(points + level * noise)) for level in (0, 0.1, 0.5, 1, 2, 5)]
    assert found == sorted(found)
    assert found[1] > 1e-4


def test_a_reservoir_keeps_a_fair_draw() -> None:
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
    ("measure", "message"),
    [
        (lambda a: frechet_distance(gaussian(a[:1]), gaussian(a)), "FID: needs 2 images in each set"),
        (lambda a: kernel_distance(a[:1], a), "KID: needs 2 images"),
        (lambda a: InceptionScore().score(), "the Inception Score: needs 10 images in each set, and there are 0"),
        (lambda a: precision_recall(a, a[:3]), "precision and recall: needs 4 images in each set, and there are 3"),
    ],
)
def test_too_few_images_are_named(measure: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(features(0, 12))  # type: ignore[operator]


def test_precision_and_recall_are_those_of_moved_points() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(60, 5)), 1.5 * random.normal(size=(80, 5))
    assert precision_recall(a + 1e7, b + 1e7) == precision_recall(a, b)
    assert 0 < precision_recall(a, b)[1] < 1
