"""Batches from worker processes: errors, the end of workers, and the memory layout of tensors."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.images import Range, UnreadableImage
from img2img.data.loader import STOP_SIGNALS, BatchReader, DeadReader, collate, keyed_loader, to_device
from tests.conftest import in_order

WORKERS = [0, 1]


class Numbers(Dataset):
    """Sample i is an image of value i; ``act`` happens first."""

    def __init__(self, act: Callable[[int], None] = lambda index: None) -> None:
        self.act = act

    def __getitem__(self, key: tuple[int, int]) -> dict:
        self.act(key[1])
        return {"input": np.full((2, 2, 1), key[1], np.uint8), "name": str(key[1]), "skipped": []}


def unreadable(index: int) -> None:
    if index == 3:
        raise UnreadableImage("3.png: can't be read")


def mistaken(index: int) -> None:
    np.zeros(2).reshape(3)


def die(index: int) -> None:
    if index == 5:  # read ahead, when the first batch has been taken
        os.kill(os.getpid(), signal.SIGKILL)


def stuck(index: int) -> None:
    if index == 1:
        time.sleep(1000)


@pytest.mark.parametrize("workers", WORKERS)
def test_reader_yields_batches_in_order(workers: int) -> None:
    with BatchReader(keyed_loader(Numbers(), in_order(6, 2), workers)) as reader:
        assert [batch["name"] for batch in reader] == [["0", "1"], ["2", "3"], ["4", "5"]]


@pytest.mark.parametrize("workers", WORKERS)
def test_reader_raises_errors_of_the_data_set(workers: int) -> None:
    """With the original message, with and without workers."""
    with BatchReader(keyed_loader(Numbers(unreadable), in_order(6, 2), workers)) as reader:
        assert next(reader)["name"] == ["0", "1"]
        with pytest.raises(UnreadableImage) as raised:
            next(reader)
    assert str(raised.value) == "3.png: can't be read"
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", WORKERS)
def test_reader_keeps_the_traceback_of_library_errors(workers: int) -> None:
    """A ValueError raised by numpy is a bug, not a message for users."""
    with (
        BatchReader(keyed_loader(Numbers(mistaken), in_order(2, 2), workers)) as reader,
        pytest.raises(ValueError, match="reshape"),
    ):
        next(reader)
    assert not multiprocessing.active_children()


def test_reader_reports_a_dead_worker_with_the_next_batch() -> None:
    with BatchReader(keyed_loader(Numbers(die), in_order(40, 2), 1)) as reader:
        next(reader)
        end = time.monotonic() + 20
        while multiprocessing.active_children() and time.monotonic() < end:
            time.sleep(0.01)  # where torch's own handler would raise
        with pytest.raises(DeadReader, match=r"/dev/shm.*data\.num_workers"):
            for _ in range(20):
                next(reader)


@pytest.mark.parametrize("kept", [True, False], ids=["with its traceback", "alone"])
def test_reader_ends_its_workers_with_the_block(kept: bool) -> None:
    """Also while an exception's traceback keeps the iterator alive, as before the end of a program."""
    before = signal.getsignal(signal.SIGCHLD)
    try:
        with BatchReader(keyed_loader(Numbers(), in_order(40, 2), 1)) as reader:
            next(reader)
            assert multiprocessing.active_children()
            raise RuntimeError("outside")
    except RuntimeError as error:
        held = error if kept else None
    assert not multiprocessing.active_children()
    assert held is None or held.__traceback__ is not None
    assert callable(before) or signal.getsignal(signal.SIGCHLD) is not before


def test_reader_kills_a_worker_that_does_not_end() -> None:
    """For example one that waits for a dead disk: it ignores SIGTERM."""
    reader = BatchReader(keyed_loader(Numbers(stuck), in_order(2, 1), 1))
    next(reader)
    (worker,) = multiprocessing.active_children()
    reader.close()
    assert worker.exitcode == -signal.SIGKILL


def test_workers_ignore_stop_signals() -> None:
    with BatchReader(keyed_loader(Numbers(), in_order(40, 2), 1)) as reader:
        next(reader)
        (worker,) = multiprocessing.active_children()
        for number in STOP_SIGNALS:
            os.kill(worker.pid or 0, number)
        assert len(list(reader)) == 19


@pytest.mark.parametrize("workers", WORKERS)
def test_collate_names_images_of_two_sizes(workers: int) -> None:
    class Sizes(Numbers):
        def __getitem__(self, key: tuple[int, int]) -> dict:
            return {**super().__getitem__(key), "input": np.zeros((2, 2 + key[1], 1), np.uint8)}

    with (
        BatchReader(keyed_loader(Sizes(), in_order(2, 2), workers)) as reader,
        pytest.raises(ValueError, match=r"input of 1 is 3x2 .* 0 2x2: .*data\.batch_size 1"),
    ):
        next(reader)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_to_device_makes_channels_first_strides(dtype: type, channels: int) -> None:
    """With one channel, strides that are also valid for channels_last make CPU convolutions less precise."""
    batch = {"input": torch.from_numpy(np.zeros((2, 4, 6, channels), dtype))}
    assert to_device(batch, "cpu")["input"].stride() == (24 * channels, 24, 6, 1)


def test_to_device_and_condition_make_contiguous_maps(tiny_hd: Callable[..., Config]) -> None:
    """Label maps, instance maps, and the one-hot classes and boundaries made of them."""
    from img2img.models import build_model

    config = tiny_hd()
    scenes = dataset_class("labelled")(config.data, "train")
    batch = to_device(collate([scenes[0, 0]]), "cpu")
    condition = build_model(config.model, config.data.channels, config.balance).condition(batch)  # type: ignore[operator]
    for name, image in {**batch, "condition": condition}.items():
        if isinstance(image, torch.Tensor) and image.ndim == 4:
            _, c, h, w = image.shape
            assert image.stride() == (c * h * w, h * w, w, 1), name


def test_to_device_of_one_channel_keeps_gradients_exact(tmp_path: Path) -> None:
    """The first gradient of a convolution on a gray image, which once was 1e-2 off."""
    torch.manual_seed(0)
    gray = torch.randint(0, 256, (1, 64, 64, 1), dtype=torch.uint8)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 4, 2, 1), torch.nn.Tanh(), torch.nn.Conv2d(16, 1, 4, 2, 1))
    x = to_device({"input": gray}, "cpu")["input"]
    grads = {}
    for dtype in (torch.float32, torch.float64):
        network.to(dtype).zero_grad()
        network(x.to(dtype)).square().mean().backward()
        grads[dtype] = [parameter.grad.double().clone() for parameter in network.parameters()]
    for single, double in zip(grads[torch.float32], grads[torch.float64], strict=True):
        assert (single - double).norm() / double.norm() < 1e-5


def test_to_device_maps_ranges_to_minus_one_and_one() -> None:
    """12-bit values in 16-bit files."""
    values = torch.tensor([0, 2047, 4095], dtype=torch.int32).to(torch.uint16).view(1, 1, 3, 1)
    batch = {"input": values, "target": values}
    moved = to_device(batch, "cpu", ranges={"input": Range(0, 4095)})
    assert torch.allclose(moved["input"].flatten(), torch.tensor([-1.0, 2 * 2047 / 4095 - 1, 1.0]), atol=1e-6)
    assert torch.allclose(moved["target"].flatten(), values.flatten().float() / 65535 * 2 - 1, atol=1e-6)


def test_collate_stacks_an_array_of_two_keys_once() -> None:
    image = np.zeros((2, 2, 1), np.uint8)
    sample = {"a": image, "b": image.copy(), "input": image, "name": "x", "skipped": []}
    batch = to_device(collate([sample, sample]), "cpu")
    assert batch["input"] is batch["a"]
    assert batch["input"] is not batch["b"]
    assert set(batch) == {"a", "b", "input", "name", "skipped"}
