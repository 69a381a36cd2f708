"""Resizing, cropping and flipping of images and maps of ids, and the checks of sizes."""

import pickle

import albumentations as A
import cv2
import numpy as np
import pytest
import torch

from img2img.data.transforms import Jitter, SizeCheck
from img2img.networks.labels import boundary_map
from tests.conftest import drawn_pair, drawn_scene, photo_of

MODES = ("resize_and_crop", "scale_width", "scale_width_and_crop", "crop", "none")


def ids(label: np.ndarray, instances: np.ndarray) -> dict[str, np.ndarray]:
    """The maps of a scene as data sets hand them over: int32."""
    return {"label": label.astype(np.int32), "instance": instances.astype(np.int32)}


def flat(label: np.ndarray, instances: np.ndarray, margin: int) -> np.ndarray:
    """Mask (h, w) of a scene's pixels at least ``margin`` pixels away from the borders and from boundaries."""
    regions = torch.from_numpy(instances.astype(np.int64) * 10 + label)[None, None, :, :, 0]
    wide = torch.nn.functional.max_pool2d(boundary_map(regions).float(), 2 * margin + 1, 1, margin)
    inside = np.zeros(label.shape[:2], bool)
    inside[margin:-margin, margin:-margin] = True
    return inside & (wide[0, 0].numpy() == 0)


def test_jitter_draws_as_in_the_first_version() -> None:
    """A run resumed with a newer version sees the same images: this was the pipeline before it had modes."""
    resize = A.Resize(24, 24, interpolation=cv2.INTER_CUBIC, area_for_downscale="image")
    old = A.Compose([resize, A.RandomCrop(16, 16), A.HorizontalFlip(p=0.5)], additional_targets={"image1": "image"})
    new = Jitter(24, 16, flip=True)
    for seed in range(30):
        a, b = drawn_pair(seed, 20, 30)
        old.set_random_seed(seed)
        expected = old(image=a, image1=b)
        images = new(seed, {"a": a, "b": b})
        for key, name in (("a", "image"), ("b", "image1")):
            assert np.array_equal(images[key], expected[name])


@pytest.mark.parametrize(
    ("preprocess", "height", "width", "expected"),
    [
        ("resize_and_crop", 50, 90, (16, 16)),
        ("scale_width", 50, 90, (12, 24)),  # 13.3 x 24
        ("scale_width", 90, 50, (44, 24)),  # 43.2 x 24
        ("scale_width_and_crop", 90, 50, (16, 16)),
        ("crop", 17, 91, (16, 16)),
        ("crop", 16, 16, (16, 16)),
        ("none", 51, 89, (52, 88)),
        ("none", 1, 2, (4, 4)),
        ("none", 48, 96, (48, 96)),
    ],
)
@pytest.mark.parametrize("centre", [False, True])
def test_jitter_sizes(preprocess: str, height: int, width: int, expected: tuple[int, int], centre: bool) -> None:
    transform = Jitter(24, 16, True, preprocess, stride=4, centre=centre)
    assert transform.size(height, width) == expected
    image, label = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    arrays = transform(0, {"photo": image, "label": label})
    assert [*arrays] == ["photo", "label"]
    for array in arrays.values():
        assert array.shape[:2] == expected


@pytest.mark.parametrize("preprocess", MODES)
def test_jitter_keeps_maps_aligned_and_adds_no_ids(preprocess: str) -> None:
    label, instances, photo = drawn_scene(3, 61, 117)
    wide = instances.astype(np.int32)
    wide[instances == instances.max()] += 2**25  # more than float32 holds
    wide[0, 0] = 2**31 - 1
    transform = Jitter(120, 48, True, preprocess, stride=8)
    seen = set()
    for seed in range(12):
        x, a, b = transform(seed, {"photo": photo, **ids(label, wide)}).values()
        assert a.dtype == b.dtype == np.int32
        assert np.isin(a, label).all()
        assert np.isin(b, wide).all()
        b = np.where(b == 2**31 - 1, instances[0, 0], b % 2**25)
        inside = flat(a, b, 3)
        assert inside.mean() > 0.1
        assert np.abs(x.astype(int) - photo_of(a[:, :, 0], b[:, :, 0]))[inside].max() <= 3  # bicubic ripples
        seen.add(a.tobytes())
    assert len(seen) >= (6 if "crop" in preprocess else 2)  # crops, or the two ways that a flip leaves


def test_jitter_crops_and_flips_exactly_without_resizing() -> None:
    label, instances, photo = drawn_scene(5, 40, 70)
    for seed in range(10):
        x, a, b = Jitter(1, 32, True, "crop")(seed, {"photo": photo, **ids(label, instances)}).values()
        assert np.array_equal(x, photo_of(a[:, :, 0], b[:, :, 0]))


@pytest.mark.parametrize("preprocess", MODES)
def test_jitter_transforms_maps_alone_as_with_a_photo(preprocess: str) -> None:
    label, instances, photo = drawn_scene(1, 40, 70)
    transform = Jitter(64, 32, True, preprocess, stride=8)
    for seed in range(5):
        alone = transform(seed, ids(label, instances))
        beside = transform(seed, {"photo": photo, **ids(label, instances)})
        assert [*alone] == ["label", "instance"]
        assert all(np.array_equal(alone[key], beside[key]) for key in alone)


def test_jitter_resizes_ids_by_pixel_centres() -> None:
    """OpenCV's INTER_NEAREST takes the first of four pixels, 1.5 pixels off the centre of the averaged photo."""
    ramp = np.arange(16, dtype=np.int32)[None].repeat(16, 0)
    shrunk = Jitter(4, 4, False)(0, {"ids": ramp})["ids"]
    assert shrunk[0, :, 0].tolist() == [2, 6, 10, 14]


@pytest.mark.parametrize("preprocess", ["scale_width_and_crop", "crop"])
def test_jitter_crops_the_centre(preprocess: str) -> None:
    ramp = np.arange(40, dtype=np.int32)[None].repeat(20, 0)
    transform = Jitter(40, 10, False, preprocess, centre=True)
    for seed in range(3):
        cropped = transform(seed, {"ids": ramp})["ids"]
        assert cropped[0, :, 0].tolist() == list(range(15, 25))


def test_jitter_can_be_pickled() -> None:
    transform = Jitter(24, 16, True, "scale_width", stride=8)
    arrays = dict(zip("ab", drawn_pair(0, 30, 50), strict=True))
    expected = transform(7, arrays)
    copied = pickle.loads(pickle.dumps(transform))(7, arrays)  # the names of the arrays are known by now
    assert all(np.array_equal(expected[key], copied[key]) for key in "ab")


@pytest.mark.parametrize(
    ("preprocess", "height", "width", "message"),
    [
        ("crop", 15, 99, r"^x\.png: 99x15 .*data\.crop_size 16: .*data\.preprocess scale_width_and_crop"),
        ("scale_width_and_crop", 50, 99, r"^x\.png: 99x50, .*24x12.*data\.crop_size 16: .*data\.load_size"),
    ],
)
def test_size_check_names_images_too_small_for_the_crop(preprocess: str, height: int, width: int, message: str) -> None:
    check = SizeCheck(Jitter(24, 16, False, preprocess))
    check("y.png", 200, 200)
    with pytest.raises(ValueError, match=message):
        check("x.png", height, width)


def test_size_check_names_images_of_two_sizes() -> None:
    wide, cropped = (Jitter(24, 16, False, mode, stride=4) for mode in ("scale_width", "scale_width_and_crop"))
    for transform, reason in ((wide, ""), (cropped, "one size")):
        check = SizeCheck(transform, reason)
        check("x.png", 50, 50)
        check("y.png", 50, 40)
    check = SizeCheck(wide, "one size, please")
    check("x.png", 100, 100)
    check("y.png", 51, 50)  # 24.5, of which nothing is left
    with pytest.raises(ValueError, match=r"^z\.png .*24x48 .*x\.png .*24x24: one size, please$"):
        check("z.png", 100, 50)


@pytest.mark.parametrize(("preprocess", "advice"), [("scale_width", "data.load_size"), ("none", "data.preprocess")])
def test_size_check_names_the_smallest_image(preprocess: str, advice: str) -> None:
    check = SizeCheck(Jitter(48, 1, False, preprocess, stride=4))
    check.require_side(100)  # no image yet
    for name, height, width in (("wide.png", 16, 48), ("flat.png", 8, 48), ("high.png", 96, 48)):
        check(name, height, width)
    check.require_side(8)
    with pytest.raises(ValueError, match=rf"^flat\.png .*48x8, .* 9 pixels .* {advice}"):
        check.require_side(9)
