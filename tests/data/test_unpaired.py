"""Unpaired samples: which images are paired, layouts, partners in validation, and sets with errors."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from img2img.config import Config
from img2img.data.images import UnreadableImage
from img2img.data.loader import KeyedBatches, keyed_loader
from img2img.data.toy.shoes import draw_pair, draw_shoe
from img2img.data.unpaired import UnpairedConfig, UnpairedDataset
from tests.conftest import drawn_pair, write

Tiny = Callable[..., Config]


def same(a: dict, b: dict) -> bool:
    return all(np.array_equal(a[key], b[key]) for key in "ab")


def test_unpaired_visits_every_image_once_an_epoch(tiny_cyclegan: Tiny) -> None:
    dataset = UnpairedDataset(tiny_cyclegan().data, "train", augment=True)
    assert (len(dataset), dataset.count("AtoB"), dataset.count("BtoA"), dataset.size) == (7, 4, 7, "4 + 7")
    epochs = []
    for epoch in range(30):
        names = [dataset[epoch, i]["name"].split(" + ") for i in range(7)]
        assert Counter(b for _, b in names) == {f"b{i}": 1 for i in range(7)}
        assert sorted(Counter(a for a, _ in names).values()) == [1, 2, 2, 2]
        epochs.append(tuple(map(tuple, names)))
    assert len(set(epochs)) == 30  # a new permutation in each epoch
    assert len({pair for pairs in epochs for pair in pairs}) == 4 * 7  # every pair occurs


def test_unpaired_visits_images_of_the_smaller_side_equally_often(tiny_cyclegan: Tiny) -> None:
    """4 and 7 images: an epoch shows three of the four twice, and not always the same three."""
    dataset = UnpairedDataset(tiny_cyclegan().data, "train", augment=True)
    seen = Counter(name for epoch in range(28) for i in range(7) for name in dataset[epoch, i]["name"].split(" + "))
    assert [seen[f"a{i}"] for i in range(4)] == [28 * 7 // 4] * 4
    assert [seen[f"b{i}"] for i in range(7)] == [28] * 7


def test_unpaired_augmentation_changes_with_the_epoch(tiny_cyclegan: Tiny) -> None:
    dataset = UnpairedDataset(tiny_cyclegan().data, "train", augment=True)
    crops: dict[str, set[bytes]] = {}
    for epoch in range(6):
        for i in range(7):
            sample = dataset[epoch, i]
            crops.setdefault(sample["name"].split(" + ")[1], set()).add(sample["b"].tobytes())
    assert min(len(different) for different in crops.values()) >= 3


def test_unpaired_samples_are_keyed(tiny_cyclegan: Tiny) -> None:
    data = tiny_cyclegan().data
    dataset = UnpairedDataset(data, "train", augment=True, seed=1)
    backwards = [UnpairedDataset(data, "train", augment=True, seed=1)[1, i] for i in reversed(range(7))][::-1]
    assert all(same(dataset[1, i], backwards[i]) for i in range(7))
    other = UnpairedDataset(data, "train", augment=True, seed=2)
    assert not all(same(dataset[1, i], other[1, i]) for i in range(7))
    assert dataset[0, 0]["a"].shape == dataset[0, 0]["b"].shape == (16, 16, 3)


def test_unpaired_sides_are_augmented_independently(unpaired_root: Path) -> None:
    """Crops and flips of a file that is on both sides differ."""
    image = drawn_pair(0, 40, 40)[0]
    for side in "AB":
        write(unpaired_root / "same" / f"train{side}" / "0.png", image)
    dataset = UnpairedDataset(
        UnpairedConfig(str(unpaired_root / "same"), load_size=40, crop_size=24), "train", augment=True
    )
    assert sum(np.array_equal(dataset[e, 0]["a"], dataset[e, 0]["b"]) for e in range(20)) < 3


def test_unpaired_processes_read_disjoint_parts(tiny_cyclegan: Tiny, unpaired_root: Path) -> None:
    def parts(domain: int, length: int) -> list[set[str]]:
        dataset = UnpairedDataset(tiny_cyclegan().data, "train", augment=True)
        assert len(dataset) == length
        keys = [[k for part in KeyedBatches(length, 1, 0, 6, rank=rank, world=2) for k in part] for rank in (0, 1)]
        return [{dataset[key]["name"].split(" + ")[domain] for key in part} for part in keys]

    seen = parts(1, 7)  # of the larger side
    assert len(seen[0]) == len(seen[1]) == 3
    assert not seen[0] & seen[1]
    for i in range(4, 7):
        write(unpaired_root / "trainA" / f"a{i}.png", drawn_pair(i)[0])
    for domain in (0, 1):  # of both, where they are equally large
        seen = parts(domain, 7)
        assert len(seen[0]) == len(seen[1]) == 3
        assert not seen[0] & seen[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_unpaired_batches_do_not_depend_on_workers(tiny_cyclegan: Tiny, workers: int) -> None:
    dataset = UnpairedDataset(tiny_cyclegan().data, "train", augment=True)
    keys = KeyedBatches(len(dataset), 2, 0, 28)
    alone = list(keyed_loader(dataset, keys, 0))
    for a, b in zip(alone, keyed_loader(dataset, keys, workers), strict=True):
        assert same(a, b)
        assert a["name"] == b["name"]


def test_unpaired_reads_every_layout(unpaired_root: Path, tmp_path: Path) -> None:
    size = {"load_size": 16, "crop_size": 16}
    by_root = UnpairedDataset(UnpairedConfig(str(unpaired_root), **size), "train")
    a, b = str(unpaired_root / "trainA"), str(unpaired_root / "trainB")
    by_folders = UnpairedDataset(UnpairedConfig(root_a=a, root_b=b, **size), "train")
    for side in "AB":
        (tmp_path / "other" / "train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / "train" / side).symlink_to(unpaired_root / f"train{side}")
    inside = UnpairedDataset(UnpairedConfig(str(tmp_path / "other"), **size), "train")
    for i in range(7):
        assert same(by_root[0, i], by_folders[0, i])
        assert same(by_root[0, i], inside[0, i])
    assert (
        len(UnpairedDataset(UnpairedConfig(root_a=a, root_b=b, **size), "val")) == 7
    )  # the training images: there is no other split


def test_unpaired_validation_is_val_or_else_test(unpaired_root: Path) -> None:
    data = UnpairedConfig(str(unpaired_root), load_size=16, crop_size=16)
    assert UnpairedDataset(data, "val").item_name("AtoB", 0) == "0_A"
    for side in "AB":
        write(unpaired_root / f"val{side}" / "new.png", drawn_pair(0)[0])
    assert UnpairedDataset(data, "val").item_name("AtoB", 0) == "new"


def test_unpaired_partners_have_the_same_name(tiny_cyclegan: Tiny, unpaired_root: Path) -> None:
    plain = UnpairedDataset(tiny_cyclegan().data, "val")
    assert (plain.has_target("AtoB", 0), plain.target_name("AtoB", 0)) == (False, None)
    assert plain.item("AtoB", 0).target is None
    write(unpaired_root / "testB" / "1.png", drawn_pair(101)[1])
    (unpaired_root / "testB" / "1_B.png").unlink()  # sorted otherwise than its partner now
    dataset = UnpairedDataset(tiny_cyclegan(data={"val_paired": True}).data, "val")
    other = {"AtoB": "BtoA", "BtoA": "AtoB"}
    for direction, back in other.items():
        for i in range(3):
            assert dataset.has_target(direction, i)
            partner = dataset.target_name(direction, i)
            assert partner is not None
            assert dataset.item_name(direction, i)[0] == partner[0]
            (place,) = [j for j in range(3) if dataset.item_name(back, j) == partner]
            item = dataset.item(direction, i)
            assert item.target is not None
            assert np.array_equal(item.target, dataset.item(back, place).inputs["input"])
    (unpaired_root / "testB" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"^data\.val_paired true: .* 1; .*false"):
        UnpairedDataset(tiny_cyclegan(data={"val_paired": True}).data, "val")
    UnpairedDataset(tiny_cyclegan(data={"val_paired": True}).data, "train")  # needs no partners


def test_unpaired_sides_have_their_own_channels_and_depth(unpaired_root: Path) -> None:
    write(unpaired_root / "trainA" / "deep.png", drawn_pair(9)[0].astype(np.uint16) * 257)
    data = UnpairedConfig(str(unpaired_root), load_size=18, crop_size=16, channels_a=1)
    sample = UnpairedDataset(data, "train", augment=True)[0, 0]
    assert (sample["a"].shape, sample["a"].dtype) == ((16, 16, 1), np.uint16)
    assert (sample["b"].shape, sample["b"].dtype) == ((16, 16, 3), np.uint8)


def test_unpaired_skips_and_names_a_broken_file(tiny_cyclegan: Tiny, unpaired_root: Path) -> None:
    dataset = UnpairedDataset(tiny_cyclegan().data, "train")
    (unpaired_root / "trainB" / "b2.jpg").write_bytes(b"")
    sample = dataset[0, 2]
    assert sample["name"] == "a2 + b3"
    assert "b2.jpg" in sample["skipped"][0]
    with pytest.raises(UnreadableImage):
        dataset.images("b")[2]
    with pytest.raises(UnreadableImage):
        dataset.item("BtoA", 2)
    for path in (unpaired_root / "trainA").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 4 .*trainA"):
        dataset[0, 0]


def test_unpaired_toy_has_no_pairs_in_training() -> None:
    data = UnpairedConfig(toy=True, load_size=32, crop_size=32, val_paired=True)
    train, val = UnpairedDataset(data, "train"), UnpairedDataset(data, "val")
    names = [{train.item_name(way, i) for i in range(train.count(way))} for way in ("AtoB", "BtoA")]
    assert len(names[0]) == len(names[1]) == 1000
    assert not names[0] & names[1]
    assert np.array_equal(train.images("a")[3], draw_pair(3, "train", 32)[0])
    assert np.array_equal(train.images("b")[3], draw_shoe(1003, "train", 32))
    assert len(val) == 48
    item = val.item("AtoB", 5)
    assert (item.name, val.target_name("AtoB", 5)) == ("shoe-0005", "shoe-0005")
    assert item.target is not None
    assert np.array_equal(item.target, draw_pair(5, "val", 32)[1])
    assert np.array_equal(val.images("b")[5], item.target)


def error(**options: object) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        UnpairedDataset(UnpairedConfig(**options), "train")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_unpaired_names_what_is_wrong_in_one_line(unpaired_root: Path, tmp_path: Path) -> None:
    a, b = str(unpaired_root / "trainA"), str(unpaired_root / "trainB")
    assert error(root_a=a, root_b=a + "/../trainA").startswith(f"{a} is given as A and as B: ")
    assert error(root_a=a, root_b=str(unpaired_root)).startswith(f"{a} and {unpaired_root}: ")
    assert error().startswith("data.root is not set")
    assert error(root_a=a).startswith(f"data.root_a {a}: set data.root_b,")
    assert error(root_b=b).startswith(f"data.root_b {b}: set data.root_a,")
    message = error(root=str(unpaired_root), root_a=a, root_b=b)
    assert message.startswith(f"data.root {unpaired_root} and data.root_a {a}: ")
    assert "null" in message
    assert error(root_a=a, root_b=b, toy=True).startswith(f"data.root_a {a} and data.toy true: ")
    assert error(root_a=a, root_b="nowhere").startswith("data.root_b nowhere: ")
    assert "no split valid" in error(root=str(unpaired_root), train_split="valid")
    (tmp_path / "empty").mkdir()
    assert error(root_a=a, root_b=str(tmp_path / "empty")).startswith(f"{tmp_path / 'empty'}: no images")
    (tmp_path / "half" / "trainB").mkdir(parents=True)
    assert error(root=str(tmp_path / "half")).startswith(f"{tmp_path / 'half' / 'trainA'}: no such folder")
    write(tmp_path / "pairs" / "train" / "0.png", drawn_pair(0)[0])
    assert "img2img unpair" in error(root=str(tmp_path / "pairs"))
    (unpaired_root / "trainB" / "b1.jpg").write_text("no image")
    (unpaired_root / "trainB" / "b2.jpg").write_text("no image")
    assert "b1.jpg" in error(root=str(unpaired_root))
    assert "and 1 more" in error(root=str(unpaired_root))
