"""The toy task of shoes: the same shoe every time and at every size, with an outline that fits it."""

import cv2
import numpy as np
import pytest

from img2img.data.toy.shoes import KINDS, draw_outline, draw_pair, draw_shoe

INDICES = range(0, 24, 5)  # each of another kind


def hue(image: np.ndarray) -> int:
    """The commonest hue of the saturated pixels, 0 to 179."""
    hue, saturation, _ = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    return int(np.bincount(hue[saturation > 120], minlength=180).argmax())


@pytest.mark.parametrize("size", [16, 64, 100, 128, 256])
def test_draw_pair_shape_and_dtype(size: int) -> None:
    for image in draw_pair(3, size=size):
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8


def test_draw_pair_is_deterministic() -> None:
    for index in INDICES:
        for first, second in zip(draw_pair(index, "val"), draw_pair(index, "val"), strict=True):
            np.testing.assert_array_equal(first, second)


def test_draw_pair_is_the_same_in_every_process() -> None:
    """Python's own hash() would differ from one process to the next: these numbers come from another one."""
    means = [draw_shoe(index, "train", 64).mean() for index in range(3)]
    np.testing.assert_allclose(means, [222.3, 201.9, 231.1], atol=0.5)


def test_draw_shoe_depends_on_index_and_split() -> None:
    shoe = draw_shoe(7, "train", 64)
    for other in (draw_shoe(8, "train", 64), draw_shoe(7 + len(KINDS), "train", 64), draw_shoe(7, "val", 64)):
        assert np.abs(shoe.astype(int) - other).mean() > 1


def test_draw_shoe_splits_are_disjoint() -> None:
    drawn = [draw_shoe(index, split, 32).tobytes() for split in ("train", "val", "test") for index in range(70)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("size", [128, 256])
def test_draw_shoe_is_the_same_at_every_size(size: int) -> None:
    for index in INDICES:
        small = draw_shoe(index, size=64).astype(int)
        shrunk = cv2.resize(draw_shoe(index, size=size), (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small - shrunk).mean() < 2


def test_draw_shoe_background_is_white() -> None:
    for index in range(24):
        for image in draw_pair(index, size=64):
            assert (image[[0, -1]] == 255).all()
            assert (image[:, [0, -1]] == 255).all()


def test_draw_shoe_kinds_have_different_colours() -> None:
    """A network can learn the colour from the outline only if it follows from the kind."""
    assert len(set(KINDS)) == len(KINDS) >= 5
    hues = np.array([hue(draw_shoe(index, size=64)) for index in range(16 * len(KINDS))]).reshape(16, -1)  # (16, kinds)
    assert (np.ptp(hues, axis=0) < 8).all()
    apart = np.abs(hues[:, :, None] - hues[:, None, :]) + 180 * np.eye(len(KINDS), dtype=int)
    assert np.minimum(apart, 180 - apart % 180).min() > 5


@pytest.mark.parametrize("size", [64, 128, 256])
def test_draw_outline_follows_the_edges(size: int) -> None:
    for index in INDICES:
        outline, image = draw_pair(index, size=size)
        np.testing.assert_array_equal(outline, draw_outline(image))
        assert (outline == outline[..., :1]).all()
        lines = outline[..., 0] < 128
        assert 0.02 < lines.mean() < 0.25
        steps = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max(axis=2)
        assert (steps[lines] > 25).mean() > 0.97  # lines only where the image changes,
        assert outline[steps == 0].min() == 255  # none where it is flat,
        shoe = (image.min(axis=2) < 235).astype(np.uint8)
        rim = cv2.morphologyEx(shoe, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
        near = cv2.dilate((outline[..., 0] < 255).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert near[rim].mean() > 0.95  # and all around the shoe


def test_draw_outline_ignores_shading() -> None:
    """A wellington's leg is one smooth piece: its lines are on the silhouette and on seams, where the colour jumps."""
    for index in range(KINDS.index("wellington"), 60, len(KINDS)):
        outline, image = draw_pair(index, size=128)
        inside = cv2.erode((image.min(axis=2) < 250).astype(np.uint8), np.ones((9, 9), np.uint8))
        smooth = cv2.morphologyEx(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.MORPH_GRADIENT, np.ones((3, 3))) < 12
        assert ((outline[..., 0] < 128) & smooth & (inside > 0)).sum() < 10


def test_draw_shoe_refuses_a_tiny_size() -> None:
    with pytest.raises(ValueError, match=r"15x15.*\b16\b"):
        draw_shoe(0, size=15)
