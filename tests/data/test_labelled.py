"""Samples of label maps: keys, layouts, toy scenes, pairs instead of label maps; and their batches."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from img2img.data import dataset_class
from img2img.data.images import UnreadableImage
from img2img.data.labelled import LabelledConfig, LabelledDataset
from img2img.data.loader import KeyedBatches, collate, keyed_loader, to_device
from img2img.data.paired import PairedDataset
from img2img.data.unpaired import UnpairedConfig, UnpairedDataset
from img2img.models.pix2pixhd import Pix2PixHD
from tests.conftest import drawn_pair, drawn_scene, photo_of, write


def options(root: Path | None, **changes: Any) -> LabelledConfig:
    base = {"label_nc": 5, "preprocess": "crop", "crop_size": 16, "load_size": 40, "stride": 4}
    return LabelledConfig(str(root) if root else None, **{**base, **changes})


def same(a: dict, b: dict) -> bool:
    assert a.keys() == b.keys()
    return all(np.array_equal(a[key], b[key]) for key in a if isinstance(a[key], np.ndarray))


def error(root: Path | None, part: str = "train", **changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        LabelledDataset(options(root, **changes), part, augment=part == "train")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_labelled_sample_has_maps_and_photo_of_one_geometry(labelled_root: Path) -> None:
    assert dataset_class("labelled") is LabelledDataset
    scenes = LabelledDataset(options(labelled_root), "train", augment=True)
    assert len(scenes) == 4
    for epoch in range(5):
        for i in range(4):
            sample = scenes[epoch, i]
            label, instance = sample["label"], sample["instance"]
            assert label.shape == instance.shape == (16, 16, 1)
            assert label.dtype == instance.dtype == np.int32
            assert np.array_equal(sample["target"], photo_of(label[:, :, 0], instance[:, :, 0]))
            assert (sample["name"], sample["skipped"]) == (str(i), [])


def test_labelled_sample_without_instances_or_photo(labelled_root: Path) -> None:
    assert "instance" not in LabelledDataset(options(labelled_root, instances=False), "train")[0, 0]
    test = LabelledDataset(options(labelled_root, val_split="test"), "val")
    assert sorted(test[0, 0]) == ["instance", "label", "name", "skipped"]
    assert (test.count("AtoB"), len(test.images("b")), test.has_target("AtoB", 0)) == (2, 0, False)
    assert (test.item("AtoB", 0).target, test.target_name("AtoB", 0)) == (None, None)


def test_labelled_augmentation_is_keyed_by_epoch_and_index(labelled_root: Path) -> None:
    data = options(labelled_root, preprocess="resize_and_crop")
    scenes = LabelledDataset(data, "train", augment=True, seed=1)
    assert same(scenes[3, 2], scenes[3, 2])
    assert not all(same(scenes[0, i], scenes[1, i]) for i in range(4))
    other = LabelledDataset(data, "train", augment=True, seed=2)
    assert not all(same(scenes[0, i], other[0, i]) for i in range(4))
    still = LabelledDataset(data, "train", seed=1)
    assert same(still[0, 1], still[9, 1])


def test_labelled_items_are_not_augmented(labelled_root: Path) -> None:
    scenes = LabelledDataset(options(labelled_root, preprocess="none"), "val")
    label, instances, photo = drawn_scene(31)
    item = scenes.items("AtoB")[1]
    assert np.array_equal(item.inputs["label"][:, :, 0], label)
    assert np.array_equal(item.inputs["instance"][:, :, 0], instances)
    assert item.target is not None
    assert np.array_equal(item.target, photo)
    assert np.array_equal(scenes.images("b")[1], photo)
    assert np.array_equal(scenes.class_map("AtoB", 1, "input", lambda _: np.empty(0)), label)
    assert (scenes.count("AtoB"), len(scenes.images("b"))) == (2, 2)
    assert (item.name, scenes.item_name("AtoB", 1), scenes.target_name("AtoB", 1)) == ("1", "1", "1")
    assert scenes.has_target("AtoB", 1)
    middle = LabelledDataset(options(labelled_root), "val")
    assert np.array_equal(middle.images("b")[1], photo[2:18, 12:28])


def test_labelled_skips_and_names_a_broken_scene(labelled_root: Path) -> None:
    scenes = LabelledDataset(options(labelled_root), "train")
    (labelled_root / "train_inst" / "2.png").write_bytes(b"")
    sample = scenes[0, 2]
    assert sample["name"] == "3"
    assert "train_inst/2.png" in sample["skipped"][0]
    with pytest.raises(UnreadableImage):
        scenes.item("AtoB", 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_labelled_batches_do_not_depend_on_workers(labelled_root: Path, workers: int) -> None:
    scenes = LabelledDataset(options(labelled_root), "train", augment=True)
    keys = KeyedBatches(len(scenes), 2, 0, 8)
    for a, b in zip(keyed_loader(scenes, keys, 0), keyed_loader(scenes, keys, workers), strict=True):
        assert all(torch.equal(a[key], b[key]) for key in ("label", "instance", "target"))


def test_to_device_keeps_ids_as_integers(labelled_root: Path) -> None:
    scenes = LabelledDataset(options(labelled_root, preprocess="none"), "val")
    samples = [scenes[0, i] for i in range(2)]
    samples[0]["instance"][0, 0] = 2**31 - 1
    batch = to_device(collate(samples), "cpu", torch.channels_last)
    for key in ("label", "instance"):
        assert (batch[key].dtype, batch[key].shape) == (torch.int32, (2, 1, 20, 40))
        assert np.array_equal(batch[key][1, 0].numpy(), samples[1][key][:, :, 0])
    assert batch["instance"].max() == 2**31 - 1
    assert batch["target"].dtype == torch.float32
    assert -1 <= batch["target"].min() < batch["target"].max() <= 1


def test_labelled_refuses_batches_of_two_sizes(labelled_root: Path) -> None:
    label, instances, photo = drawn_scene(0, 24, 40)
    write(labelled_root / "train_label" / "2.png", label)
    write(labelled_root / "train_inst" / "2.png", instances)
    write(labelled_root / "train_img" / "2.tif", photo)
    message = error(labelled_root, preprocess="none", batch_size=2)
    for part in ("train_label/2.png becomes 40x24 ", "train_label/0.png 40x20: ", "data.batch_size", "data.preprocess"):
        assert part in message
    one = LabelledDataset(options(labelled_root, preprocess="none"), "train", augment=True)
    with pytest.raises(ValueError, match=r"^label of 2 is 40x24 .* 0 40x20: [^\n]*data\.batch_size 1[^\n]*$"):
        collate([one[0, 0], one[0, 2]])
    LabelledDataset(options(labelled_root, batch_size=2), "train", augment=True)  # crops are all of one size


def test_labelled_names_images_too_small_for_the_crop(labelled_root: Path) -> None:
    message = error(labelled_root, crop_size=24)
    for part in ("train_label/0.png: 40x20 ", "data.crop_size 24: ", "data.preprocess scale_width_and_crop"):
        assert part in message
    message = error(labelled_root, crop_size=24, preprocess="scale_width_and_crop")
    for part in ("train_label/0.png: 40x20, ", "data.crop_size 24: ", "raise data.load_size"):
        assert part in message


def test_labelled_names_missing_root_and_wrong_ids(labelled_root: Path, tmp_path: Path) -> None:
    assert "data.root is not set" in error(None)
    assert "label_nc, now 4," in error(labelled_root, label_nc=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_nc": -1}, r"^data\.label_nc -1: .* 0$"),
        ({"ignore_id": -1}, r"^data\.ignore_id -1: .* 0$"),
        ({"stride": 0}, r"^data\.stride 0: .* 1$"),
        ({"direction": "BtoA"}, r"^data\.direction BtoA: .*label maps"),
        ({"preprocess": "scale_width_and_crop", "load_size": 8}, r"^data\.crop_size 16 .*data\.load_size 8:"),
    ],
)
def test_labelled_config_names_options_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(None, **changes)


@pytest.mark.parametrize("preprocess", ["scale_width", "crop", "none"])
def test_labelled_config_ignores_unused_sizes(preprocess: str) -> None:
    assert options(None, preprocess=preprocess, load_size=8).crop_size == 16


def test_labelled_config_channels_include_maps() -> None:
    channels = {"a": 3, "b": 3, "input": 3, "target": 3}
    assert LabelledConfig().channels == channels
    assert options(None).channels == {**channels, "label": 5, "instance": 1}
    assert options(None, instances=False).channels == {**channels, "label": 5}


@pytest.mark.parametrize("layout", ["train_", "train", "train/"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_labelled_config_without_label_nc_reads_pairs(tmp_path: Path, layout: str, direction: str) -> None:
    for i in range(2):
        for side, image in zip("AB", drawn_pair(i, 20, 40), strict=True):
            write(tmp_path / f"{layout}{side}" / f"{i}.png", image)
    data = options(tmp_path, label_nc=0, preprocess="none", direction=direction)
    pairs = dataset_class(Pix2PixHD.dataset, data)(data, "train")
    sample = pairs[0, 1]
    assert sorted(sample) == ["input", "name", "skipped", "target"]
    assert same(sample, PairedDataset(data, "train")[0, 1])
    a, b = drawn_pair(1, 20, 40)
    assert np.array_equal(sample["input"], a if direction == "AtoB" else b)
    assert np.array_equal(pairs.images("a")[1], a)
    assert np.array_equal(pairs.images("b")[1], b)
    for way, source, target in (("AtoB", a, b), ("BtoA", b, a)):  # whatever the options' own
        item = pairs.item(way, 1)
        assert np.array_equal(item.inputs["input"], source)
        assert item.target is not None
        assert np.array_equal(item.target, target)
        assert (pairs.count(way), pairs.has_target(way, 1), pairs.target_name(way, 1)) == (2, True, "1")
        for side, painted in (("input", source), ("target", target)):
            assert np.array_equal(pairs.class_map(way, 1, side, lambda image: image[:, :, 1]), painted[:, :, 1])
    assert (len(pairs.images("a")), len(pairs.images("b"))) == (2, 2)


def test_dataset_class_follows_the_options() -> None:
    assert dataset_class(Pix2PixHD.dataset) is LabelledDataset
    assert dataset_class(Pix2PixHD.dataset, options(None)) is LabelledDataset
    assert dataset_class(Pix2PixHD.dataset, options(None, label_nc=0)) is PairedDataset


@pytest.mark.parametrize("preprocess", ["scale_width", "scale_width_and_crop", "crop", "none"])
def test_paired_and_unpaired_support_every_preprocess(tmp_path: Path, preprocess: str) -> None:
    for i in range(2):
        for side, image in zip("AB", drawn_pair(i, 20, 40), strict=True):
            write(tmp_path / f"train{side}" / f"{i}.png", image)
    sizes: dict[str, Any] = {"load_size": 40, "stride": 4}
    data = options(tmp_path, label_nc=0, preprocess=preprocess)
    unpaired = UnpairedConfig(str(tmp_path), preprocess=preprocess, crop_size=16, **sizes)
    for dataset in (PairedDataset, UnpairedDataset):
        images = dataset(data if dataset is PairedDataset else unpaired, "train", augment=True)
        assert images.images("a")[0].shape == images.item("AtoB", 0).inputs["input"].shape
        assert images.images("a")[0].shape == ((16, 16, 3) if "crop" in preprocess else (20, 40, 3))
        assert images[0, 0][{PairedDataset: "input", UnpairedDataset: "b"}[dataset]].shape[1] in (16, 40)
    small = options(tmp_path, label_nc=0, preprocess="crop", crop_size=21)
    small_sides = UnpairedConfig(str(tmp_path), preprocess="crop", crop_size=21, **sizes)
    write(tmp_path / "trainB" / "1.png", drawn_pair(1, 24, 40)[0])
    write(tmp_path / "trainA" / "1.png", drawn_pair(1, 24, 40)[0])
    for dataset in (PairedDataset, UnpairedDataset):
        with pytest.raises(ValueError, match=r"trainA/0\.png: 40x20 .*data\.crop_size 21"):
            dataset(small if dataset is PairedDataset else small_sides, "train", augment=True)
    if preprocess == "none":
        with pytest.raises(ValueError, match=r"trainA/1\.png .*40x24 .*trainA/0\.png .*40x20: .*data\.preprocess"):
            UnpairedDataset(unpaired, "train", augment=True)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the drawings of the toy task by simple ones."""
    module = ModuleType("img2img.data.toy.streets")

    def draw_scene(index: int, split: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return drawn_scene(index + 1000 * len(split), height, width)

    module.SMALLEST = 10  # type: ignore[attr-defined]
    module.CLASSES, module.LENGTHS, module.draw_scene = tuple("abcde"), {"train": 9, "val": 3, "test": 2}, draw_scene  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "img2img.data.toy.streets", module)


def test_toy_scenes_are_twice_as_wide_as_high(toy: None) -> None:
    data = options(None, toy=True, preprocess="scale_width", load_size=64)
    train, val = LabelledDataset(data, "train", augment=True), LabelledDataset(data, "val")
    assert (len(train), len(val), train.notes) == (9, 3, [])
    sample = val[0, 1]
    label, instances, photo = drawn_scene(3001, 32, 64)
    for key, drawn in (("label", label), ("instance", instances)):
        assert sample[key].dtype == np.int32
        assert np.array_equal(sample[key][:, :, 0], drawn)
    assert np.array_equal(sample["target"], photo)
    assert sample["name"] == "scene-0001"
    assert "instance" not in LabelledDataset(options(None, toy=True, instances=False), "val")[0, 0]
    shoes = options(None, toy=True, label_nc=0)
    assert dataset_class(Pix2PixHD.dataset, shoes)(shoes, "val")[0, 0]["input"].shape == (16, 16, 3)


def test_toy_scenes_refuse_unsuitable_options(toy: None) -> None:
    message = error(None, toy=True, label_nc=4)
    assert message.startswith("data.label_nc 4: ")
    assert message.endswith("5")
    message = error(None, "val", toy=True, val_split="nope")
    assert "'nope'" in message
    assert "train, val, test" in message
    message = error(None, toy=True, load_size=18, crop_size=8)
    for part in ("18x9: ", "data.load_size", "data.crop_size", " 20 "):
        assert part in message
    message = error(None, toy=True, crop_size=24)
    assert "scene: 40x20 " in message
    assert "data.crop_size 24" in message
