"""Samples of pairs: geometry, keys, direction, broken files; and their batches."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.config import Config
from img2img.data.loader import KeyedBatches, collate, keyed_loader, to_device
from img2img.data.paired import PairedConfig, PairedDataset
from img2img.data.transforms import Jitter, keyed_seed
from tests.conftest import drawn_pair, in_order, write


def same(a: dict, b: dict) -> bool:
    return all(np.array_equal(a[key], b[key]) for key in ("input", "target"))


def test_jitter_keeps_a_and_b_aligned() -> None:
    a = drawn_pair(0, 40, 40)[0]
    transform = Jitter(48, 32, flip=True)
    seen = set()
    for seed in range(20):
        x, y = transform(seed, {"a": a, "b": a.copy()}).values()
        assert np.array_equal(x, y)
        assert x.shape == (32, 32, 3)
        seen.add(x.tobytes())
    assert len(seen) > 10


def test_jitter_accepts_different_depths_and_channels() -> None:
    a = np.random.default_rng(0).integers(0, 255, (20, 20, 1), np.uint8)
    b = np.repeat(a.astype(np.uint16) * 257, 4, axis=2)
    x, y = Jitter(24, 16, flip=True)(3, {"a": a, "b": b}).values()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((16, 16, 1), np.uint8, (16, 16, 4), np.uint16)
    assert np.abs(y[:, :, :1] / 257 - x).max() <= 1


def test_jitter_averages_areas_when_shrinking() -> None:
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    x, _ = Jitter(16, 16, flip=False)(0, {"a": board, "b": board}).values()
    assert np.abs(x.astype(int) - 127).max() <= 1  # bicubic without antialiasing would keep a pattern


def test_jitter_flips_half_of_the_pairs() -> None:
    a = drawn_pair(1)[0]
    transform = Jitter(20, 20, flip=True)
    flipped = sum(np.array_equal(transform(seed, {"a": a, "b": a})["a"], a[:, ::-1]) for seed in range(200))
    assert 70 < flipped < 130


def test_keyed_seed_is_stable_and_unrelated() -> None:
    assert keyed_seed(1, 2, 3) == 3922471037
    assert len({keyed_seed(0, epoch, index) for epoch in range(50) for index in range(50)}) == 2500


def test_paired_direction_swaps_the_sides(tiny: Callable[..., Config]) -> None:
    forth = PairedDataset(tiny().data, "val")[0, 0]
    back = PairedDataset(tiny(data={"direction": "BtoA"}).data, "val")[0, 0]
    assert np.array_equal(forth["input"], back["target"])
    assert np.array_equal(forth["target"], back["input"])
    assert PairedConfig(direction="BtoA", channels_a=1, channels_b=4).channels == {
        "a": 1,
        "b": 4,
        "input": 4,
        "target": 1,
    }


def test_paired_augmentation_is_keyed_by_epoch_and_index(tiny: Callable[..., Config]) -> None:
    pairs = PairedDataset(tiny().data, "train", augment=True, seed=1)
    assert same(pairs[3, 2], pairs[3, 2])
    assert not all(same(pairs[0, i], pairs[1, i]) for i in range(6))
    assert not all(same(pairs[0, i], PairedDataset(tiny().data, "train", augment=True, seed=2)[0, i]) for i in range(6))


def test_paired_skips_and_names_a_broken_file(tiny: Callable[..., Config], paired_root: Path) -> None:
    pairs = PairedDataset(tiny().data, "train")
    (paired_root / "train" / "2.png").write_bytes((paired_root / "train" / "2.png").read_bytes()[:-40])
    sample = pairs[0, 2]
    assert same(sample, pairs[0, 3])  # the next one comes in its place
    assert sample["name"] == "3"
    assert "2.png" in sample["skipped"][0]
    for path in (paired_root / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 6 .*train/0\.png"):
        pairs[0, 0]


def test_paired_toy_has_disjoint_splits() -> None:
    config = PairedConfig(toy=True, load_size=32, crop_size=32)
    train, val = PairedDataset(config, "train"), PairedDataset(config, "val")
    assert (len(train), len(val)) == (2000, 48)
    assert not same(train[0, 0], val[0, 0])
    with pytest.raises(ValueError, match="train, val, test"):
        PairedDataset(replace(config, val_split="nope"), "val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load_size": 64}, r"^data\.crop_size 256 .*data\.load_size 64:"),
        ({"batch_size": 0}, r"^data\.batch_size 0: .* 1$"),
        ({"channels_a": 2}, r"^data\.channels_a 2: "),
        ({"num_workers": -1}, r"^data\.num_workers -1: .* 0$"),
        ({"root": "x", "toy": True}, r"^data\.root x and data\.toy true: "),
    ],
)
def test_paired_config_names_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairedConfig(**options)


def test_paired_requires_a_root() -> None:
    with pytest.raises(ValueError, match=r"data\.root is not set"):
        PairedDataset(PairedConfig(), "train")


def test_keyed_batches_visit_every_image_once_an_epoch() -> None:
    keys = [key for batch in KeyedBatches(7, 2, 0, 28, seed=5) for key in batch]
    for epoch in range(4):
        part = keys[7 * epoch : 7 * epoch + 7]
        assert {e for e, _ in part} == {epoch}
        assert sorted(i for _, i in part) == list(range(7))
    assert [i for _, i in keys[:7]] != [i for _, i in keys[7:14]]


def test_keyed_batches_resume_anywhere_and_split_between_processes() -> None:
    whole = [key for batch in KeyedBatches(7, 4, 0, 40) for key in batch]
    assert [key for batch in KeyedBatches(7, 4, 12, 40) for key in batch] == whole[12:]
    halves = [list(KeyedBatches(7, 2, 0, 40, rank=rank, world=2)) for rank in (0, 1)]
    assert [key for pair in zip(*halves, strict=True) for part in pair for key in part] == whole
    assert len(KeyedBatches(7, 4, 0, 40)) == 10


def test_loader_keeps_16_bits(tmp_path: Path) -> None:
    for i in range(4):
        deep = drawn_pair(i)[0].astype(np.uint16) * 257 - 1 * (drawn_pair(i)[0] > 0).astype(np.uint16)
        write(tmp_path / "train" / f"{i}.png", np.concatenate([deep, deep], axis=1))
    pairs = PairedDataset(PairedConfig(str(tmp_path), load_size=20, crop_size=20), "train")
    (batch,) = keyed_loader(pairs, in_order(4, 4), 1)
    assert batch["input"].dtype == torch.uint16
    assert np.array_equal(batch["input"][2].numpy(), pairs[0, 2]["input"])
    assert to_device(batch, "cpu")["input"].max().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("workers", [1, 2])
def test_paired_batches_do_not_depend_on_workers(tiny: Callable[..., Config], workers: int) -> None:
    pairs = PairedDataset(tiny().data, "train", augment=True)
    keys = KeyedBatches(len(pairs), 2, 0, 24)
    alone = list(keyed_loader(pairs, keys, 0))
    for a, b in zip(alone, keyed_loader(pairs, keys, workers), strict=True):
        assert same(a, b)


def test_loader_does_not_use_the_global_generator(tiny: Callable[..., Config]) -> None:
    pairs = PairedDataset(tiny().data, "train", augment=True)
    torch.manual_seed(0)
    list(keyed_loader(pairs, in_order(4, 2), 0))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def test_collate_and_to_device(tiny: Callable[..., Config]) -> None:
    pairs = PairedDataset(tiny().data, "val")
    batch = collate([pairs[0, 0], pairs[0, 1]])
    assert (batch["input"].dtype, batch["input"].shape) == (torch.uint8, (2, 16, 16, 3))
    moved = to_device(batch, "cpu", torch.channels_last)
    assert moved["input"].shape == (2, 3, 16, 16)
    assert moved["input"].is_contiguous(memory_format=torch.channels_last)
    assert -1 <= moved["input"].min() < moved["input"].max() <= 1
    assert moved["name"] == ["0", "1"]
