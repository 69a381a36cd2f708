"""Images without inputs: folders, classes, digits, torchvision's sets."""

import gzip
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.data.loader import collate, to_device
from img2img.data.paired import PairedConfig, PairedDataset
from img2img.data.unconditional import Digits, UnconditionalConfig, UnconditionalDataset
from tests.conftest import drawn_pair, write


def options(root: Path | None = None, **more: object) -> UnconditionalConfig:
    return UnconditionalConfig(**{"root": root and str(root), "load_size": 18, "crop_size": 16, **more})


def error(root: Path | None = None, part: str = "train", **more: object) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        UnconditionalDataset(options(root, **more), part)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    return str(raised.value)


def draw(folder: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        write(folder / name, drawn_pair(i)[1])
    return folder


def test_unconditional_classes_are_sub_folders_of_training(tmp_path: Path) -> None:
    root = draw(tmp_path / "s", "train/dog/1.png", "train/cat/deep/2.png", "train/cat/3.jpg", "test/dog/4.png")
    dataset = UnconditionalDataset(options(root), "train")
    assert dataset.classes == ("cat", "dog")
    assert dataset.notes == ["classes     0 cat, 1 dog"]
    assert [dataset[0, i]["class"] for i in range(3)] == [0, 0, 1]
    assert [dataset[0, i]["name"] for i in range(len(dataset.images("b")))] == ["cat/3", "cat/deep/2", "dog/1"]
    assert dataset.images("b")[0].shape == dataset[0, 0]["target"].shape == (16, 16, 3)
    # As in training, although it is the only class of this split
    assert UnconditionalDataset(options(root), "val")[0, 0]["class"] == 1
    draw(root, "test/cow/5.png")
    assert error(root, "val").startswith(f"{root / 'test'}: cow ")


def test_unconditional_root_without_splits_is_training(tmp_path: Path) -> None:
    root = draw(tmp_path / "s", "1.png", "2.png")
    dataset = UnconditionalDataset(options(root), "train")
    assert (len(dataset), dataset.classes, dataset.notes) == (2, (), [])
    assert "class" not in dataset[0, 0]
    assert len(UnconditionalDataset(options(root), "val")) == 0
    draw(root, "more/3.png")  # some in a sub-folder, some not: sub-folders are not classes
    assert UnconditionalDataset(options(root), "train").classes == ()
    classes = draw(tmp_path / "t", "x/1.png", "y/2.png")
    assert UnconditionalDataset(options(classes), "train").classes == ("x", "y")


def test_unconditional_names_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    root = draw(tmp_path / "s", "val/1.png")
    assert error(root).startswith(f"data.root {root}: no split train; ")
    assert "no split nope" in error(draw(tmp_path / "t", "train/1.png"), "val", val_split="nope")
    assert "no split nope" in error(tmp_path / "t", train_split="nope")
    assert error(tmp_path / "nothing").startswith(f"data.root {tmp_path / 'nothing'}: ")
    assert error().startswith("data.root is not set")
    assert error(tmp_path / "t", preprocess="none").startswith("data.preprocess none: ")
    assert "data.crop_size 64: " in error(tmp_path / "t", preprocess="crop", crop_size=64)


def test_unconditional_augmentation_is_keyed(tmp_path: Path) -> None:
    root = draw(tmp_path / "s", "1.png")
    one, other = (UnconditionalDataset(options(root), "train", augment=True, seed=3) for _ in range(2))
    assert all(np.array_equal(one[e, 0]["target"], other[e, 0]["target"]) for e in range(5))
    assert any(not np.array_equal(one[0, 0]["target"], one[e, 0]["target"]) for e in range(5))


def test_digits_are_split_once_and_keep_their_pixels() -> None:
    """Shrunk back, an enlarged digit is the 8x8 one of scikit-learn."""
    from sklearn.datasets import load_digits

    data = options(toy=True, load_size=32, crop_size=32, channels_b=1, flip=False)
    train, val = UnconditionalDataset(data, "train"), UnconditionalDataset(data, "val")
    assert (len(train), len(val)) == (1573, 224)
    names = [dataset[0, i]["name"] for dataset in (train, val) for i in range(len(dataset))]
    assert len(set(names)) == 1797
    assert train.classes == tuple("0123456789")
    digits = load_digits()
    sample = val[0, 2]
    assert (sample["name"], sample["class"]) == ("digit-0023", digits.target[23])
    shrunk = sample["target"].reshape(8, 4, 8, 4).mean((1, 3)) / 255 * 16
    assert np.abs(shrunk - digits.images[23]).mean() < 1
    assert UnconditionalDataset(replace(data, channels_b=3), "val")[0, 0]["target"].shape == (32, 32, 3)
    assert "'nope'" in error(toy=True, train_split="nope")


def test_unconditional_batch_has_classes_and_images(tmp_path: Path) -> None:
    dataset = UnconditionalDataset(options(draw(tmp_path / "s", "x/1.png", "y/2.png")), "train")
    batch = to_device(collate([dataset[0, 0], dataset[0, 1]]), "cpu")
    assert batch["class"].tolist() == [0, 1]
    assert batch["class"].dtype == torch.int64
    assert batch["target"].shape == (2, 3, 16, 16)
    assert batch["target"].min() >= -1
    noise = torch.randn(2, 5)
    assert torch.equal(to_device({"z": noise}, "cpu")["z"], noise)


def write_mnist(root: Path) -> Path:
    """A tiny MNIST in its own file format: 6 training and 3 test digits."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 6), ("t10k", 3)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        headers = {"images-idx3": [2051, count, 28, 28], "labels-idx1": [2049, count]}
        bodies = {"images-idx3": images, "labels-idx1": np.arange(count, dtype=np.uint8)}
        for kind, header in headers.items():
            content = np.array(header, ">i4").tobytes() + bodies[kind].tobytes()
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(content)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


def test_torchvision_set_by_name(tmp_path: Path) -> None:
    data = options(write_mnist(tmp_path / "m"), torchvision="MNIST", channels_b=1, load_size=32, crop_size=32)
    train, val = UnconditionalDataset(data, "train"), UnconditionalDataset(data, "val")
    assert (len(train), len(val), len(train.classes)) == (6, 3, 10)
    assert [train[0, i]["class"] for i in range(6)] == list(range(6))
    assert train[0, 0]["target"].shape == (32, 32, 1)
    assert train[0, 3]["name"] == "MNIST-000003"


def test_torchvision_set_names_what_is_wrong(tmp_path: Path) -> None:
    message = error(tmp_path, torchvision="MINST")
    assert message.startswith("data.torchvision MINST: ")
    assert message.endswith("did you mean MNIST?")
    message = error(torchvision="MNIST")
    assert message.startswith("data.torchvision MNIST: ")
    assert "data.root" in message
    assert error(tmp_path, torchvision="CocoDetection").startswith("data.torchvision CocoDetection: ")
    message = error(write_kitti(tmp_path), torchvision="Kitti")
    assert message.startswith("data.torchvision Kitti: ")
    assert " list," in message
    with pytest.raises(ValueError, match=r"^data\.torchvision MNIST and data\.toy true: "):
        options(torchvision="MNIST", toy=True)


def write_kitti(root: Path) -> Path:
    """A Kitti of one image: its samples are an image and a list of boxes."""
    box = "Car 0 0 0 1 1 2 2 1 1 1 1 1 1 1"
    folder = root / "Kitti" / "raw" / "training"
    write(folder / "image_2" / "0.png", drawn_pair(0)[0])
    (folder / "label_2").mkdir()
    (folder / "label_2" / "0.txt").write_text(box)
    return root


def test_toy_pairs_refuse_other_channels_than_rgb() -> None:
    with pytest.raises(ValueError, match=r"^data\.channels_b 1: .* 3$"):
        PairedDataset(PairedConfig(toy=True, channels_b=1), "train")


def test_digits_name_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"digits.*sklearn.*\[digits\]"):
        Digits(("train",), 1, 32)
