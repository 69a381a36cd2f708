"""The toy task of street scenes: arrays that agree, the same at every size, and styles that the maps don't show."""

import cv2
import numpy as np
import pytest

from img2img.data.toy.streets import CLASSES, LENGTHS, THINGS, draw_scene

ID = {name: index for index, name in enumerate(CLASSES)}
INDICES = range(0, 40, 5)
TRAIN = [draw_scene(index) for index in range(60)]


def zenith(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """The colour of the sky at the image's upper edge."""
    labels, _, image = scene
    return image[0][labels[0] == ID["sky"]].mean(axis=0)


def commonest(name: str, pixels: int) -> list[tuple[np.ndarray, float]]:
    """By daylight: each instance's commonest colour and its share, of instances of a class with so many pixels."""
    found = []
    for labels, instances, image in (scene for scene in TRAIN if zenith(scene)[2] > 200):
        for instance in np.unique(instances[labels == ID[name]]):
            colours = image[instances == instance].astype(float)
            if len(colours) >= pixels:
                colours = colours[:: len(colours) // 200 + 1]
                near = np.abs(colours[:, None] - colours).max(axis=2) < 25
                most = near[near.sum(axis=1).argmax()]
                found.append((colours[most].mean(axis=0), float(most.mean())))
    assert len(found) > 15
    return found


def distinct(colours: list[np.ndarray], apart: float) -> int:
    """How many of the colours differ so much from all that are already counted."""
    counted: list[np.ndarray] = []
    for colour in colours:
        if all(np.linalg.norm(colour - other) > apart for other in counted):
            counted.append(colour)
    return len(counted)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 128), (75, 100), (96, 64), (256, 512)])
def test_draw_scene_shape_and_dtype(height: int, width: int) -> None:
    labels, instances, image = draw_scene(3, "val", height, width)
    assert (labels.shape, labels.dtype) == ((height, width), np.uint8)
    assert (instances.shape, instances.dtype) == ((height, width), np.uint16)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)


def test_draw_scene_is_deterministic() -> None:
    for index in INDICES:
        for first, second in zip(draw_scene(index, "val"), draw_scene(index, "val"), strict=True):
            np.testing.assert_array_equal(first, second)


def test_draw_scene_is_the_same_in_every_process() -> None:
    """Python's own hash() would differ from one process to the next: these numbers come from another one."""
    np.testing.assert_allclose([TRAIN[index][2].mean() for index in range(3)], [126.6, 127.8, 132.8], atol=0.5)


def test_draw_scene_depends_on_index_and_split() -> None:
    for part in range(3):
        scene = draw_scene(7)[part].astype(int)
        for other in (draw_scene(8), draw_scene(7, "val"), draw_scene(7, "test")):
            assert (scene != other[part]).mean() > 0.05


def test_draw_scene_splits_are_disjoint() -> None:
    drawn = [draw_scene(index, split)[1].tobytes() for split in LENGTHS for index in range(LENGTHS["val"])]
    assert len(set(drawn)) == len(drawn) == 3 * LENGTHS["val"]


@pytest.mark.parametrize(
    ("height", "width", "times", "agreement", "error"),
    [(32, 32, 3, 0.93, 10), (64, 128, 3, 0.96, 4), (100, 75, 5, 0.96, 5), (128, 256, 3, 0.98, 2.5)],
)
def test_draw_scene_is_the_same_at_every_size(
    height: int, width: int, times: int, agreement: float, error: float
) -> None:
    """Odd multiples: the middle of a small pixel is the middle of a large one."""
    for index in INDICES:
        labels, instances, image = draw_scene(index, "train", height, width)
        large = draw_scene(index, "train", times * height, times * width)
        middle = slice(times // 2, None, times)
        assert (labels == large[0][middle, middle]).mean() > agreement
        assert (instances == large[1][middle, middle]).mean() > agreement
        shrunk = cv2.resize(large[2], (width, height), interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - shrunk).mean() < error


def test_draw_scene_of_double_size_keeps_labels() -> None:
    for index in INDICES:
        large = draw_scene(index, "train", 128, 256)[0]
        assert (draw_scene(index)[0] == large[::2, ::2]).mean() > 0.93


def test_draw_scene_numbers_instances_as_cityscapes() -> None:
    things = [ID[name] for name in THINGS]
    for labels, instances, _ in TRAIN:
        np.testing.assert_array_equal(labels, np.where(instances >= 1000, instances // 1000, instances))
        np.testing.assert_array_equal(instances >= 1000, np.isin(labels, things))


@pytest.mark.parametrize("split", LENGTHS)
def test_draw_scene_has_every_class(split: str) -> None:
    counts = sum(np.bincount(draw_scene(index, split)[0].ravel(), minlength=len(CLASSES)) for index in range(24))
    share = counts / np.sum(counts)
    assert len(share) == len(CLASSES)
    assert (share[1:] > 0.008).all()
    assert 0.0002 < share[ID["void"]] < 0.01


@pytest.mark.parametrize(("name", "often"), [("car", 0.5), ("building", 0.9)])
def test_draw_scene_has_touching_instances(name: str, often: float) -> None:
    def touch(labels: np.ndarray, instances: np.ndarray) -> bool:
        inside = (labels[:, 1:] == ID[name]) & (labels[:, :-1] == ID[name])
        return bool((inside & (instances[:, 1:] != instances[:, :-1])).sum() >= 5)

    assert np.mean([touch(labels, instances) for labels, instances, _ in TRAIN]) > often


@pytest.mark.parametrize(
    ("name", "apart", "styles"), [("car", 60, 6), ("building", 45, 6), ("tree", 40, 3), ("sidewalk", 30, 3)]
)
def test_draw_scene_styles_are_few_and_distinct(name: str, apart: float, styles: int) -> None:
    colours = [colour for colour, _ in commonest(name, pixels=150)]
    assert styles - 1 <= distinct(colours, apart) <= styles + 1


def test_draw_scene_has_three_skies() -> None:
    assert distinct([zenith(scene) for scene in TRAIN], apart=50) == 3


@pytest.mark.parametrize("name", ["car", "building", "tree", "road", "sidewalk"])
def test_draw_scene_instances_have_a_main_colour(name: str) -> None:
    shares = [share for _, share in commonest(name, pixels=150)]
    assert np.quantile(shares, 0.1) > 0.3
    assert np.median(shares) > 0.4


def test_draw_scene_paint_is_independent_of_the_maps() -> None:
    """Cars of one scene differ among themselves: nothing but its own features tells a car's paint."""
    means = []
    for labels, instances, image in TRAIN:
        cars = [car for car in np.unique(instances[labels == ID["car"]]) if (instances == car).sum() > 100]
        means.append(distinct([np.median(image[instances == car], axis=0) for car in cars], apart=60))
    assert np.mean(np.array(means) >= 2) > 0.7


def test_draw_scene_classes_look_different() -> None:
    for labels, _, image in TRAIN:
        road, sidewalk, tree = (image[labels == ID[name]].mean(axis=0) for name in ("road", "sidewalk", "tree"))
        assert np.ptp(road) < 25  # grey,
        assert road.mean() < 130  # dark,
        assert sidewalk.mean() > road.mean() + 15  # and its pavement lighter
        assert tree[1] == tree.max()  # green
        top = zenith((labels, labels, image))
        assert top[2] == top.max()  # blue at the zenith, at dusk as well


def test_draw_scene_image_matches_its_maps() -> None:
    """Means of instances explain the image best where they are: a shift by a single pixel is worse, any way."""

    def error(shift: tuple[int, int]) -> float:
        total = 0.0
        for _, instances, image in TRAIN:
            inner = image[2:-2, 2:-2].reshape(-1, 3).astype(float)
            _, keys = np.unique(np.roll(instances, shift, (0, 1))[2:-2, 2:-2], return_inverse=True)
            sums = np.stack([np.bincount(keys.ravel(), inner[:, c]) for c in range(3)], axis=1)
            means = sums / np.bincount(keys.ravel())[:, None]
            total += np.abs(inner - means[keys.ravel()]).mean() / len(TRAIN)
        return total

    here = error((0, 0))
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        assert error(shift) > 1.02 * here


@pytest.mark.parametrize(("height", "width"), [(31, 128), (64, 31), (0, 0)])
def test_draw_scene_refuses_a_tiny_size(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"{width}x{height}.*32x32"):
        draw_scene(0, height=height, width=width)
