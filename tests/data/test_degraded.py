"""Clean images that are degraded as they are read: samples, keys, files, options, pairs of two sizes, runs."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2img import load_translator, models
from img2img.command_line import parse_train_arguments
from img2img.config import Config, load_config
from img2img.data import dataset_class
from img2img.data.classical import bicubic_up
from img2img.data.degradations import bicubic_down, lightness
from img2img.data.degraded import DegradedConfig, DegradedDataset, mask_file
from img2img.data.images import UnreadableImage, luma_plane, read_image
from img2img.data.loader import BatchReader, KeyedBatches, collate, keyed_loader, to_device
from img2img.data.paired import PairedConfig, PairedDataset
from img2img.data.transforms import Patch
from img2img.errors import own_code
from img2img.models import load_model_file
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.helpers import call, equal, outside_models, rows, weights

MODEL = outside_models() / "small_restoration.py"
SMALL = (
    "--data.crop_size 16 --data.batch_size 2 --data.num_workers 0 --train.log_every 2 --train.save_every 100 "
    "--train.max_steps 4"
)


def photo(seed: int, height: int = 40, width: int = 36) -> np.ndarray:
    """Shapes, and a texture that differs at every pixel."""
    texture = np.random.default_rng(seed).integers(0, 40, (height, width, 3), np.uint8)
    return drawn_pair(seed, height, width)[1] // 2 + texture


def deep(seed: int, height: int = 40, width: int = 36) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (height, width, 3), np.uint16)


def draw(root: Path, *names: str, make: Callable[[int], np.ndarray] = photo) -> Path:
    for i, name in enumerate(names):
        write(root / name, make(i))
    return root


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Four training and two validation images."""
    names = [f"train/{'a' if i % 2 else 'b'}/{i}.png" for i in range(4)]
    return draw(tmp_path / "clean", *names, "val/8.png", "val/9.png")


def options(root: Path | None, **changes: Any) -> DegradedConfig:
    return DegradedConfig(root and str(root), **{"crop_size": 16, **changes})


def training(root: Path, seed: int = 0, **changes: Any) -> DegradedDataset:
    return DegradedDataset(options(root, **changes), "train", augment=True, seed=seed)


def validation(root: Path, **changes: Any) -> DegradedDataset:
    return DegradedDataset(options(root, **changes), "val")


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a if key not in ("name", "skipped"))


def error(part: str, root: Path | None, **changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        DegradedDataset(options(root, **changes), part)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Training samples


def test_sample_is_a_patch_and_its_degradation(clean: Path) -> None:
    dataset = training(clean, down=2)
    sample = dataset[0, 1]
    assert sample["target"].shape == (16, 16, 3)
    expected = np.rint(bicubic_down(sample["target"].astype(float), 2).clip(0, 255))
    assert np.array_equal(sample["input"], expected)
    assert (sample["name"], dataset.config.scale, dataset.size) == ("a/3", 2, "4")


def test_target_is_a_patch_of_the_file_mirrored_and_turned(clean: Path) -> None:
    dataset = training(clean, noise=5)
    image, seen = dataset.source.read(0), set()
    patches = {
        np.ascontiguousarray(image[top : top + 16, left : left + 16]).tobytes(): (top, left)
        for top in range(25)
        for left in range(21)
    }
    for epoch in range(60):
        target = dataset[epoch, 0]["target"]
        ways = [np.rot90(side, turns) for side in (target, target[:, ::-1]) for turns in range(4)]
        found = [i for i, way in enumerate(ways) if np.ascontiguousarray(way).tobytes() in patches]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == set(range(8))
    plain = training(clean, noise=5, flip=False, rotate=False)
    assert all(plain[epoch, 0]["target"].tobytes() in patches for epoch in range(10))


def test_degradation_is_drawn_for_each_sample_by_its_key(clean: Path) -> None:
    dataset = training(clean, noise=[0, 55])
    assert same(dataset[3, 2], training(clean, noise=[0, 55])[3, 2])
    assert not same(dataset[3, 2], dataset[4, 2])
    assert not same(dataset[3, 2], training(clean, seed=1, noise=[0, 55])[3, 2])
    levels = [
        (sample["input"].astype(float) - sample["target"]).std()
        for sample in (dataset[epoch, index] for epoch in range(10) for index in range(4))
    ]
    assert min(levels) < 15
    assert max(levels) > 35


def test_batches_are_the_same_for_any_number_of_workers(clean: Path) -> None:
    dataset = training(clean, degrade=[{"blur": [0, 2]}, {"down": 2}, {"noise": [0, 25]}, {"jpeg": [30, 95]}])

    def batches(workers: int) -> list[torch.Tensor]:
        keys = KeyedBatches(length=4, batch_size=2, start=3, stop=13)
        with BatchReader(keyed_loader(dataset, keys, workers)) as reader:
            return [to_device(batch, "cpu")["input"] for batch in reader]

    assert all(torch.equal(a, b) for a, b in zip(batches(0), batches(2), strict=True))


def test_patches_of_one_image_are_samples_of_one_batch(clean: Path) -> None:
    dataset = training(clean, noise=5, patches=3)
    several = dataset.samples((0, 1))
    assert len(several) == 3
    assert same(several[0], dataset[0, 1])
    assert same(dataset[0, 1], training(clean, noise=5)[0, 1])
    assert len({sample["target"].tobytes() for sample in several}) == 3
    assert {sample["name"] for sample in several} == {"a/3"}
    with BatchReader(keyed_loader(dataset, KeyedBatches(4, 2, 0, 4), 0)) as reader:
        assert [len(batch["input"]) for batch in reader] == [6, 6]


def test_images_that_cant_be_decoded_are_replaced(clean: Path) -> None:
    dataset = training(clean, noise=5)
    file = clean / "train" / "a" / "1.png"
    file.write_bytes(file.read_bytes()[:60])
    sample = dataset[0, 0]
    assert sample["name"] == "a/3"
    assert "1.png" in sample["skipped"][0]


@pytest.mark.parametrize("steps", [{"noise": 25}, {"down": 4}, {"blur": 2}, {"lightness": True}, {"mask": True}])
def test_images_of_16_bits_stay_so(tmp_path: Path, steps: dict[str, Any]) -> None:
    dataset = training(draw(tmp_path, "train/0.png", "val/0.png", make=deep), **steps)
    sample = dataset[0, 0]
    assert sample["input"].dtype == sample["target"].dtype == np.uint16
    assert len(np.unique(sample["input"] % 257)) > 1  # not 8 bits stretched to 16


def test_gray_images_have_one_channel(clean: Path) -> None:
    dataset = training(clean, noise=25, channels_b=1)
    assert dataset[0, 0]["input"].shape == (16, 16, 1)
    channels = dataset.config.channels
    assert (channels["input"], channels["target"]) == (1, 1)


# Validation


def test_validation_image_has_the_same_degradation_in_every_set_by_its_name(clean: Path, tmp_path: Path) -> None:
    steps = [{"noise": [0, 55]}, {"jpeg": [10, 40]}, "mask"]
    items = validation(clean, degrade=steps).items("AtoB")
    other = draw(tmp_path / "other", "train/0.png", "val/1.png", "val/2.png")
    write(other / "val" / "9.png", read_image(clean / "val" / "9.png", 3))
    write(other / "val" / "sub" / "9.png", read_image(clean / "val" / "9.png", 3))
    others = {item.name: item for item in DegradedDataset(options(other, degrade=steps), "val", seed=7).items("AtoB")}
    assert same(dict(items[1].inputs), dict(items[1].inputs))
    assert same(dict(items[1].inputs), dict(others["9"].inputs))
    assert not same(dict(items[1].inputs), dict(others["sub/9"].inputs))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_validation_images_are_whole_and_cut_to_multiples_of_the_scale(tmp_path: Path, scale: int) -> None:
    root = draw(tmp_path, "train/0.png", "val/0.png", make=lambda i: photo(i, 41, 35))
    dataset = validation(root, down=scale, crop_size=12)
    item = dataset.items("AtoB")[0]
    assert item.target is not None
    assert item.target.shape == (41 // scale * scale, 35 // scale * scale, 3)
    assert item.image.shape == (41 // scale, 35 // scale, 3)
    assert np.array_equal(item.target, photo(1, 41, 35)[: item.target.shape[0], : item.target.shape[1]])
    assert np.array_equal(dataset.images("b")[0], item.target)
    assert dataset.target_name("AtoB", 0) == dataset.item_name("AtoB", 0) == item.name == "0"


def test_val_crop_takes_the_centre(tmp_path: Path) -> None:
    root = draw(tmp_path, "train/0.png", "val/0.png")
    item = validation(root, down=2, val_crop=20).items("AtoB")[0]
    assert item.target is not None
    assert np.array_equal(item.target, photo(1)[10:30, 8:28])
    assert item.image.shape == (10, 10, 3)
    item = validation(root, noise=2, val_crop=1000).items("AtoB")[0]
    assert item.image.shape == (40, 36, 3)


def test_val_share_takes_images_by_their_names(tmp_path: Path) -> None:
    root = draw(tmp_path, *(f"{i // 10}/{i}.png" for i in range(40)))
    train, val = (DegradedDataset(options(root, noise=5, val_share=0.2), part) for part in ("train", "val"))  # type: ignore[arg-type]
    names = [{part.source.name(i) for i in range(len(part))} for part in (train, val)]
    assert names[0] | names[1] == {f"{i // 10}/{i}" for i in range(40)}
    assert not names[0] & names[1]
    assert 2 <= len(val) <= 16
    for i in range(20, 40):
        (root / f"{i // 10}" / f"{i}.png").unlink()
    fewer = validation(root, noise=5, val_share=0.2)
    assert {fewer.source.name(i) for i in range(len(fewer))} == {n for n in names[1] if int(n[2:]) < 20}


def test_toy_task_needs_no_files() -> None:
    dataset = DegradedDataset(DegradedConfig(toy=True, noise=25, load_size=64, crop_size=32), "train", augment=True)
    assert dataset[0, 0]["input"].shape == (32, 32, 3)
    item = DegradedDataset(dataset.config, "val").items("AtoB")[0]
    assert item.image.shape == (32, 64, 3)
    with pytest.raises(ValueError, match=r"data\.load_size 40"):
        DegradedDataset(DegradedConfig(toy=True, noise=25, load_size=40, crop_size=16), "train")
    with pytest.raises(ValueError, match=r"data\.channels_b 1"):
        DegradedDataset(DegradedConfig(toy=True, noise=25, channels_b=1), "train")


# Files and arrays of users


def test_lightness_of_files_and_arrays_is_that_of_training(clean: Path) -> None:
    config = validation(clean, lightness=True).config
    assert config.channels == {"a": 3, "b": 3, "input": 1, "target": 3}
    item = DegradedDataset.read(config, "AtoB", clean / "val" / "8.png", {})
    image = read_image(clean / "val" / "8.png", 3)
    assert np.array_equal(item.image, validation(clean, lightness=True).items("AtoB")[0].image)
    for array in (image, image.astype(np.uint16) * 257, image / np.float32(255)):
        made = DegradedDataset.complete(config, "AtoB", {"input": array})["input"]
        assert made.dtype == array.dtype
        top = 1 if array.dtype == np.float32 else np.iinfo(array.dtype).max
        assert np.abs(made / top - lightness(image / np.float32(255))).max() <= 0.5 / 255 + 1e-6


def test_mask_is_a_companion(clean: Path, tmp_path: Path) -> None:
    config = options(clean, mask="boxes")
    file = clean / "val" / "8.png"
    mask = np.zeros((40, 36), np.uint8)
    mask[5:15] = 255
    given = write(tmp_path / "masks" / "8.png", mask)
    for others in ({"mask": given}, {"mask": given.parent}):
        item = DegradedDataset.read(config, "AtoB", file, others)
        assert set(np.unique(item.inputs["mask"])) == {0, 255}
        assert (item.image[5:15] == 128).all()
        assert np.array_equal(item.image[15:], read_image(file, 3)[15:])
    jpeg = write(tmp_path / "jpegs" / "8.jpg", mask)
    assert mask_file(file, jpeg.parent) == jpeg
    assert DegradedDataset.companions == ("mask",)


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (np.zeros((40, 36), np.uint8), r"m\.png: .*empty"),
        (np.full((40, 36), 255, np.uint8), r"m\.png: .*whole"),
        (np.eye(36, dtype=np.uint8) * 255, r"m\.png: .*36x36.*36x40"),
    ],
)
def test_wrong_masks_are_named(clean: Path, mask: np.ndarray, named: str, tmp_path: Path) -> None:
    others = {"mask": write(tmp_path / "m.png", mask)}
    with pytest.raises(ValueError, match=named):
        DegradedDataset.read(options(clean, mask=True), "AtoB", clean / "val" / "8.png", others)
    with pytest.raises(ValueError, match=r"mask"):
        DegradedDataset.complete(
            options(clean, mask=True),
            "AtoB",
            {"input": photo(0), "mask": mask[:, :, None]},
        )


def test_missing_masks_are_named(clean: Path) -> None:
    file = clean / "val" / "8.png"
    with pytest.raises(ValueError, match=r"8\.png: .*--with mask="):
        DegradedDataset.read(options(clean, mask=True), "AtoB", file, {})
    with pytest.raises(ValueError, match=r"no mask for 8\.png"):
        DegradedDataset.read(options(clean, mask=True), "AtoB", file, {"mask": clean / "train"})
    with pytest.raises(ValueError, match=r"--with mask="):
        DegradedDataset.read(options(clean, noise=5), "AtoB", file, {"mask": file})
    with pytest.raises(ValueError, match="mask"):
        DegradedDataset.complete(options(clean, mask=True), "AtoB", {"input": photo(0)})


# Mistakes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"noise": [55, 0]}, r"data\.noise: sigma \[55, 0\]"),
        ({"degrade": [{"nois": 25}]}, r"data\.degrade: nois: .*noise"),
        ({"degrade": [{"noise": {"sigm": 25}}]}, r"data\.degrade: noise: .*sigma"),
        ({"noise": 25, "jpeg": 10}, r"data\.noise and data\.jpeg"),
        ({"degrade": ["gray"], "jpeg": 10}, r"data\.degrade and data\.jpeg"),
        ({"degrade": ["mask", "gray"]}, r"data\.degrade: mask"),
        ({"down": 3}, r"data\.crop_size 16: .*3"),
        ({"down": 4, "val_crop": 30}, r"data\.val_crop 30: .*4"),
        ({"down": 2, "scale": 4}, r"data\.scale 4: .*2"),
        ({"lightness": True, "channels_b": 1}, r"data\.channels_b 1: .*3"),
        ({"noise": 5, "channels_b": 4}, r"data\.channels_b 4"),
        ({"noise": 5, "preprocess": "resize_and_crop"}, r"data\.preprocess resize_and_crop"),
        ({"noise": 5, "val_share": 1.0}, r"data\.val_share 1\.0"),
        ({"noise": 5, "patches": 0}, r"data\.patches 0"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        options(Path("x"), **changes)
    assert "\n" not in str(raised.value)


def test_unset_steps_are_none_or_false() -> None:
    assert options(Path("x"), noise=None, gray=False, lightness=False).degradation is None
    assert not DegradedDataset.is_meant(options(Path("x")))
    assert DegradedDataset.is_meant(options(Path("x"), gray=True))


def test_unfit_images_are_named(clean: Path, tmp_path: Path) -> None:
    assert "data.noise" in error("train", clean)
    write(clean / "train" / "tiny.png", photo(0, 15, 30))
    with pytest.raises(ValueError, match=r"tiny\.png: 30x15 .*data\.crop_size 16"):
        training(clean, noise=5)
    assert validation(clean, noise=5).count("AtoB") == 2  # smaller validation images are whole, too
    write(clean / "val" / "deep.png", deep(0))
    assert "deep.png: 16 bits" in error("val", clean, jpeg=10)
    (clean / "val" / "deep.png").unlink()
    write(clean / "val" / "point.png", photo(0, 1, 30))
    assert "point.png: 30x1" in error("val", clean, down=2)


def test_gray_images_are_refused_where_colour_is_learned(clean: Path, tmp_path: Path) -> None:
    assert len(training(clean, lightness=True)) == 4
    write(clean / "train" / "gray.png", photo(0)[:, :, 0])
    assert "gray.png: a gray image" in error("train", clean, lightness=True)
    assert "gray.png: a gray image" in error("train", clean, gray=True)
    assert len(training(clean, noise=5)) == 5
    as_rgb = draw(tmp_path / "rgb", "train/0.png", "val/0.png", make=lambda i: photo(i)[:, :, :1].repeat(3, axis=2))
    assert f"{as_rgb / 'train'}: its images are gray" in error("train", as_rgb, lightness=True)


def test_wrong_folders_are_named(clean: Path, tmp_path: Path) -> None:
    assert "data.root is not set" in error("train", None, noise=5)
    assert "no such folder" in error("train", tmp_path / "none", noise=5)
    assert f"data.root {clean}?" in error("train", tmp_path, noise=5)  # one level too high
    assert f"data.root {clean}?" in error("train", tmp_path, noise=5, val_share=0.1)
    assert f"data.root {clean}, its parent" in error("train", clean / "train", noise=5, val_share=0.1)
    assert "data.val_share 0.05" in error("train", clean / "train" / "a", noise=5)
    assert "no split x" in error("train", clean, noise=5, val_split="x")
    assert "no folder learn/" in error("train", clean, noise=5, train_split="learn")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "val").mkdir()
    assert "no images" in error("train", tmp_path / "empty", noise=5)
    flat = draw(tmp_path / "flat" / "set", "0.png", "1.png")
    assert "data.val_share 0.0001" in error("val", flat, noise=5, val_share=0.0001)
    assert "data.val_share 0.9999" in error("train", flat, noise=5, val_share=0.9999)
    pairs = draw(tmp_path / "pairs", "trainA/0.png", "trainB/0.png")
    assert "no folder train/" in error("train", pairs, noise=5, val_share=0.5)
    assert "data.mask strokse" in error("train", clean, mask="strokse")


# Pairs of two sizes


def draw_pairs(root: Path, scale: int, count: int = 4, height: int = 20, width: int = 24) -> Path:
    """Small images in A and large ones in B, which are A's pixels enlarged."""
    for part, number in (("train", count), ("val", 2)):
        for i in range(number):
            small = photo(i + 10 * (part == "val"), height, width)
            write(root / f"{part}A" / f"{i}.png", small)
            write(root / f"{part}B" / f"{i}.png", small.repeat(scale, axis=0).repeat(scale, axis=1))
    return root


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_pairs_of_two_sizes_are_cut_at_corresponding_places(tmp_path: Path, scale: int, direction: str) -> None:
    root = draw_pairs(tmp_path / "pairs", scale)
    if direction == "BtoA":
        for part in ("train", "val"):
            (root / f"{part}A").rename(root / "x")
            (root / f"{part}B").rename(root / f"{part}A")
            (root / "x").rename(root / f"{part}B")
    config = DegradedConfig(str(root), crop_size=12, direction=direction)
    assert dataset_class(("degraded", "paired"), config) is PairedDataset
    dataset = PairedDataset(config, "train", augment=True)
    assert dataset.config.scale == scale
    seen = set()
    for epoch in range(20):
        sample = dataset[epoch, 0]
        assert sample["input"].shape == (12 // scale, 12 // scale, 3)
        assert np.array_equal(sample["target"], sample["input"].repeat(scale, axis=0).repeat(scale, axis=1))
        seen.add(sample["input"].tobytes())
    assert len(seen) > 15
    item = PairedDataset(dataset.config, "val").items(direction)[0]
    assert item.target is not None
    assert (item.image.shape, item.target.shape) == ((20, 24, 3), (20 * scale, 24 * scale, 3))
    config = replace(dataset.config, val_crop=6 * scale, patches=4)
    assert PairedDataset(config, "val").items(direction)[0].image.shape == (6, 6, 3)
    assert len(PairedDataset(config, "train", augment=True).samples((0, 0))) == 4


def pair_error(root: Path, part: str = "train", **changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        PairedDataset(DegradedConfig(str(root), **{"crop_size": 12, **changes}), part)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_pairs_of_other_scales_are_named(tmp_path: Path, clean: Path, paired_root: Path) -> None:
    root = draw_pairs(tmp_path / "pairs", 2)
    assert "data.scale says 3" in pair_error(root, scale=3)
    assert "data.scale says 3" in pair_error(root, part="val", scale=3)
    assert "data.crop_size 13" in pair_error(root, crop_size=13)
    assert "A N times" in pair_error(root, direction="BtoA")
    write(root / "trainB" / "2.png", photo(2, 60, 72))
    message = pair_error(root)
    assert "2.png" in message
    assert "0.png says 2" in message
    write(root / "trainB" / "2.png", photo(2, 40, 49))
    assert "2.png is 49x40" in pair_error(root)
    assert "data.noise" in pair_error(clean)  # no pairs: a step is missing
    assert "data.noise" in pair_error(paired_root)  # side by side: the same
    write(root / "trainB" / "2.png", photo(2, 40, 48))
    assert "smaller than data.crop_size 64" in augmented_error(root, crop_size=64)


def augmented_error(root: Path, **changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        PairedDataset(DegradedConfig(str(root), **changes), "train", augment=True)
    return str(raised.value)


def test_pair_that_changed_its_size_is_unreadable(tmp_path: Path) -> None:
    root = draw_pairs(tmp_path / "pairs", 2)
    dataset = PairedDataset(DegradedConfig(str(root), crop_size=12), "train", augment=True)
    write(root / "trainB" / "1.png", photo(1, 60, 72))
    with pytest.raises(UnreadableImage, match=r"1\.png"):
        dataset.source.read(1)
    assert dataset[0, 1]["name"] == "2"


def test_patch_of_maps_and_of_whole_images() -> None:
    ids = np.arange(12, dtype=np.int32).reshape(3, 4)
    whole = Patch(0, multiple=2, centre=True)
    assert np.array_equal(whole(0, {"ids": ids})["ids"], ids[:2, :4, None])
    assert whole.size(3, 4) == (2, 4)
    assert Patch(2).size(3, 4) == (2, 2)
    with pytest.raises(ValueError, match="4x3"):
        Patch(4).size(3, 4)


# Whole runs


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Forgets the imported model files, as a new process would."""
    path, own, known = list(sys.path), set(own_code), set(models._outside)
    yield
    for name in set(models._outside) - known:
        models._outside.pop(name)
        sys.modules.pop(name)
    sys.path[:] = path
    own_code.intersection_update(own)


def config_of(*argv: str, name: str = "run", model: Path = MODEL) -> Config:
    line = ["--model", str(model), *SMALL.split(), "--name", name, *argv]
    return parse_train_arguments(line, Path()).config


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--data.noise", "25"], {"noise": 25}),
        (["--data.noise", "[0,55]"], {"noise": [0, 55]}),
        (["--data.noise", "{sigma: 25, clip: false}"], {"noise": {"sigma": 25, "clip": False}}),
        (["--data.jpeg", "[10,40]"], {"jpeg": [10, 40]}),
        (
            ["--data.blur", "{sigma: [0,2], kind: [motion, defocus]}"],
            {"blur": {"sigma": [0, 2], "kind": ["motion", "defocus"]}},
        ),
        (["--data.down", "2"], {"down": 2, "scale": 2}),
        (["--data.mask", "strokes"], {"mask": "strokes"}),
        (["--data.lightness", "true"], {"lightness": True}),
        (["--data.degrade", "[{down: 4}, gray]"], {"degrade": [{"down": 4}, "gray"], "scale": 4}),
    ],
)
def test_command_line_and_yaml_have_the_same_steps(clean: Path, argv: list[str], expected: dict[str, Any]) -> None:
    load_model_file(MODEL)
    config = config_of("--data.root", str(clean), *argv)
    assert {key: getattr(config.data, key) for key in expected} == expected
    assert config.model.scale == expected.get("scale", 1)
    Path("small_restoration.py").write_bytes(MODEL.read_bytes())
    Path("config.yaml").write_text(config.to_yaml())
    assert load_config(Path("config.yaml")) == config


@pytest.mark.parametrize(
    "argv",
    [
        ("--data.noise", "{sigma: [0,55], clip: false}"),
        (
            "--data.degrade",
            "[{blur: [0,2]}, {down: 2}, {noise: {sigma: 20, poisson: 0.5}}, {jpeg: [30,95]}]",
            "--data.patches",
            "2",
        ),
        ("--data.mask", "[strokes,boxes]"),
        ("--data.lightness", "true"),
        ("--data.degrade", "[scratches, stains, fade, {gray: 0.5}]"),
    ],
)
def test_run_resumes_bit_for_bit_translates_and_is_measured(
    clean: Path, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("--data.root", str(clean), "--train.evaluate_every", "4", "--train.sample_every", "4", *argv)
    whole = train(config_of(*argv, "--train.max_steps", "5", name="whole"))
    train(config_of(*argv, "--train.max_steps", "2", name="parts"))
    resumed = parse_train_arguments(["--name", "parts", "--resume", "--train.max_steps", "5"], Path())
    assert equal(weights(whole), weights(train(resumed.config, resume=True)))
    assert len([row for row in rows(whole) if row["val/psnr"]]) == 2
    assert call(monkeypatch, "infer", "whole") == 0
    outputs = sorted((whole / "results" / "step-000005").glob("*.png"))
    assert [path.name for path in outputs] == ["8.png", "9.png"]
    assert read_image(outputs[0], 3).shape == (40, 36, 3)
    assert read_image(outputs[0], 3).std() > 0
    assert call(monkeypatch, "evaluate", "whole") == 0


def test_pairs_of_two_sizes_train_and_translate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = draw_pairs(tmp_path / "pairs", 2)
    argv = ("--data.root", str(root), "--train.evaluate_every", "4")
    run = train(config_of(*argv))
    config = load_config(run / "config.yaml")
    assert (config.data.scale, config.model.scale) == (2, 2)
    assert call(monkeypatch, "infer", "run", "--input", str(root / "valA" / "0.png"), "--output", "o") == 0
    assert read_image(Path("o/0.png"), 3).shape == (40, 48, 3)
    resumed = parse_train_arguments(["--name", "run", "--resume", "--train.max_steps", "6"], Path())
    train(resumed.config, resume=True)


@pytest.mark.parametrize("argv", [("--data.down", "2"), ()])
def test_model_of_another_scale_is_refused_before_the_run_exists(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A model without the option ``scale``, whose output has the size of its input."""
    file = tmp_path / "elsewhere" / "same_size.py"
    file.parent.mkdir()
    text = MODEL.read_text().replace("small_restoration", "same_size").replace("config.scale or 1", "1")
    lines = [line for line in text.splitlines() if not line.startswith(("        scale: int", '        """Side of'))]
    file.write_text("\n".join(lines))
    root = draw_pairs(tmp_path / "pairs", 2) if not argv else draw(tmp_path / "clean", "train/0.png", "val/0.png")
    with pytest.raises(ValueError, match=r"data\.scale 2: .*data\.down"):
        train(config_of("--data.root", str(root), *argv, model=file))
    assert not Path("runs/run").exists()


def test_arrays_are_translated_as_files_are(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of which the run's input is made: a colour image for lightness, an image and a mask for holes."""
    file, mask = clean / "val" / "8.png", np.zeros((40, 36), np.uint8)
    mask[3:20, 5:30] = 255
    image, given = read_image(file, 3), write(tmp_path / "m.png", mask)
    run = train(config_of("--data.root", str(clean), "--data.lightness", "true", name="colour"))
    assert call(monkeypatch, "infer", "colour", "--input", str(file), "--output", "o") == 0
    assert np.array_equal(load_translator(run)(image), read_image(Path("o/8.png"), 3))
    run = train(config_of("--data.root", str(clean), "--data.mask", "strokes", name="holes"))
    assert call(monkeypatch, "infer", "holes", "--input", str(file), "--output", "o", "--with", f"mask={given}") == 0
    for array in (mask, mask > 0):
        assert np.array_equal(load_translator(run)(image, mask=array), read_image(Path("o/8.png"), 3))
    assert call(monkeypatch, "infer", "holes", "--input", str(file), "--output", "o") == 2


UNET = '''
from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.models.base import Model
from img2img.networks.unet import UNet


class Halving(Model):
    """A U-Net, which accepts multiples of 16 only."""

    @dataclass
    class Config:
        name: Literal["halving"] = "halving"

    dataset = "degraded"
    generators = ("generator",)
    fakes: ClassVar = {"output": "target"}
    paired = True

    def __init__(self, config, channels):
        super().__init__()
        self.generator = UNet(channels["input"], channels["target"], num_downs=4, ngf=4, norm="instance")

    def forward(self, batch):
        return {"output": self.generator(batch["input"])}

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        return {"output": self.generator(batch["input"])}
'''


def test_validation_pads_images_as_inference_does(clean: Path, tmp_path: Path) -> None:
    """40x36 is no multiple of the U-Net's stride."""
    file = tmp_path / "elsewhere" / "halving.py"
    file.parent.mkdir()
    file.write_text(UNET)
    config = config_of("--data.root", str(clean), "--data.noise", "10", "--train.evaluate_every", "4", model=file)
    run = train(config)
    (during,) = (float(row["val/l1"]) for row in rows(run) if row["val/l1"])
    translator = load_translator(run)
    errors = [
        np.abs(translator.translate(item).astype(float) - item.target).mean()
        for item in DegradedDataset(load_config(run / "config.yaml").data, "val").items("AtoB")
    ]
    assert during == pytest.approx(np.mean(errors), rel=1e-4)


def test_collate_keeps_floats_that_are_not_clipped(clean: Path) -> None:
    """They are in [0, 1] in the sample, and in [-1, 1] on the device, up to the noise."""
    dataset = training(clean, noise={"sigma": 50, "clip": False})
    sample = dataset[0, 0]
    batch = to_device(collate([sample]), "cpu")
    assert torch.allclose(batch["input"][0], torch.from_numpy(sample["input"]).permute(2, 0, 1) * 2 - 1, atol=1e-6)
    assert batch["input"].min() < -1
    difference = (batch["input"] - batch["target"]).std().item() * 255 / 2
    assert difference == pytest.approx(50, rel=0.15)


# Trivial answers, and Y planes


@pytest.mark.parametrize(
    ("steps", "titles"),
    [
        ({"jpeg": 10}, {"input"}),
        ({"lightness": True}, {"input"}),
        ({"down": 2}, {"bicubic"}),
        ({"degrade": ["realesrgan"]}, {"bicubic"}),
        ({"noise": 25}, {"input", "non-local means"}),
        ({"noise": {"sigma": 25, "clip": False}}, {"input", "non-local means"}),
        ({"mask": "boxes"}, {"input", "Telea"}),
        ({"degrade": [{"down": 2}, {"noise": 10}, {"mask": "boxes"}]}, {"bicubic", "non-local means", "Telea"}),
    ],
)
def test_trivial_answers_are_as_large_as_the_target(clean: Path, steps: dict[str, Any], titles: set[str]) -> None:
    dataset = validation(clean, **steps)
    item = dataset.item("AtoB", 0)
    assert item.target is not None
    answers = dataset.trivial_answers("AtoB")
    assert set(answers) == titles
    for answer in answers.values():
        image = answer(item)
        assert image.shape[:2] == item.target.shape[:2]
        assert image.dtype == item.image.dtype
    if "input" in answers:
        assert answers["input"](item) is item.image


def test_trivial_answers_of_pairs_are_the_enlarged_input(tmp_path: Path, paired_root: Path) -> None:
    dataset = PairedDataset(options(draw_pairs(tmp_path / "pairs", 3), crop_size=12), "val")
    item = dataset.item("AtoB", 0)
    np.testing.assert_array_equal(dataset.trivial_answers("AtoB")["bicubic"](item), bicubic_up(item.image, 3))
    plain = PairedDataset(PairedConfig(str(paired_root)), "val")
    assert plain.trivial_answers("AtoB") == {}
    with pytest.raises(ValueError, match=r"^--protocol y: "):
        plain.of_luma_planes()


@pytest.mark.parametrize("channels", [1, 3])
def test_luma_planes_are_degraded_themselves(clean: Path, channels: int) -> None:
    colour = write(clean / "val" / "8.png", photo(8))
    gray = write(clean / "val" / "9.png", photo(9)[:, :, :1])
    planes = validation(clean, down=2, channels_b=channels).of_luma_planes()
    expected = {"8": luma_plane(read_image(colour, 3)), "9": read_image(gray, 1)}
    for item in planes.items("AtoB"):
        assert item.target is not None
        np.testing.assert_array_equal(item.target, np.rint(expected[item.name]))
        small = bicubic_down(item.target.astype(np.float32) / 255, 2)
        np.testing.assert_array_equal(item.image, np.rint(small.clip(0, 1) * 255))
    with pytest.raises(ValueError, match=r"^--protocol y: "):
        validation(draw(clean.parent / "c", "train/0.png", "val/1.png"), lightness=True).of_luma_planes()
