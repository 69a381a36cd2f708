"""Reproducible batches: the images of a step depend only on (seed, position), so a run can resume at any step.

Training reads one endless stream of indices: a permutation of the set for each epoch, one after the other. The only
state is the position, the number of images read so far. The epoch and the index in it follow from it, for any batch
size and number of processes. No images are dropped at the end of an epoch: a batch may have images of two epochs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from img2img.data.base import ImageDataset
from img2img.data.images import Range, as_input
from img2img.data.transforms import BATCH, keyed_seed
from img2img.errors import is_ours

# Signals that make training save a checkpoint and stop, if the system has them. The whole process group gets them,
# including the workers of the loader.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)
)


class KeyedBatches(Sampler[list[tuple[int, int]]]):
    """Yields lists of (epoch, index): this process's part of every batch from position ``start`` up to ``stop``.

    Args:
        length: images in the set.
        batch_size: images per batch on each process.
        start, stop: positions in the stream, as numbers of images of all processes.
        seed: of the permutations.
        rank, world: index of this process and number of processes. They get consecutive parts of each global batch.
    """

    def __init__(
        self, length: int, batch_size: int, start: int, stop: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.stop, self.rank, self.world = start, stop, rank, world

    def __len__(self) -> int:
        return max(0, -(-(self.stop - self.start) // (self.batch_size * self.world)))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        current, order = -1, np.empty(0, np.int64)
        for first in range(self.start, self.stop, self.batch_size * self.world):
            keys = []
            for position in range(first + self.rank * self.batch_size, first + (self.rank + 1) * self.batch_size):
                epoch, place = divmod(position, self.length)
                if epoch != current:
                    current, order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.length)
                keys.append((epoch, int(order[place])))
            yield keys


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Makes a batch of samples.

    Arrays are stacked: images become (B, H, W, C). Integers, such as a class, become (B,) int64. ``name`` becomes a
    list of names, and the lists ``skipped`` are joined. If samples have one array under two keys, such as ``a`` and
    ``input``, it is stacked once, and ``aliases`` maps the second key to the first for ``to_device``.

    Raises:
        ValueError: arrays of a key differ in size; the message names the images.
    """
    first = samples[0]
    arrays = {key: value for key, value in first.items() if isinstance(value, np.ndarray)}
    aliases: dict[str, str] = {}
    for key, value in arrays.items():
        owner = next(other for other, same in arrays.items() if same is value)
        if owner != key and all(sample[key] is sample[owner] for sample in samples):
            aliases[key] = owner
        for sample in samples:
            if sample[key].shape != value.shape:
                size, expected = _size(sample[key]), _size(value)
                raise ValueError(f"{key} of {sample['name']} is {size} but that of {first['name']} {expected}: {BATCH}")
    batch = {
        key: default_collate([torch.from_numpy(np.ascontiguousarray(sample[key])) for sample in samples])
        for key in arrays
        if key not in aliases
    }
    numbers = {key: torch.tensor([sample[key] for sample in samples]) for key in first if isinstance(first[key], int)}
    return {
        **batch,
        **numbers,
        "aliases": aliases,
        "name": [sample["name"] for sample in samples],
        "skipped": [message for sample in samples for message in sample["skipped"]],
    }


def _size(array: np.ndarray) -> str:
    """Size for a message: "640x480" for an image, a map or a clip; the length of a vector."""
    return f"{array.shape[-2]}x{array.shape[-3]}" if array.ndim > 2 else str(len(array))


class DeadReader(ValueError):
    """A worker process of the loader was killed, or couldn't allocate memory; ``reason`` is the system's message."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"a worker process that loads images died ({reason.splitlines()[0].rstrip('. ')}), most often for lack of "
            "memory or of shared memory (/dev/shm; docker run --shm-size 2g): lower data.num_workers or data.batch_size"
        )

    def __reduce__(self) -> tuple[type[DeadReader], tuple[str]]:
        return DeadReader, (self.reason,)


class BatchReader:
    """Iterates over a loader's batches; its worker processes end with the ``with`` block, also after an exception.

        with BatchReader(keyed_loader(dataset, batches, num_workers=4)) as reader:
            for batch in reader: ...

    The death of a worker is reported with the next batch. torch's own handler would raise at any point of the training
    and could interrupt a step or the writing of a file.

    Raises:
        ValueError: on ``next``: the data set can't read a sample.
        DeadReader: on ``next``: a worker process died.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._batches = iter(loader)
        self._workers = getattr(self._batches, "_workers", ())  # torch has no public name for them
        self._waiting = False  # for a batch
        self._child_ended = False  # since the last batch
        self._report: Callable[[int, FrameType | None], Any] | None = None  # torch's handler
        if loader.num_workers and hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
            report = signal.getsignal(signal.SIGCHLD)
            assert callable(report), "torch sets it with a loader's first reading process"
            self._report = report
            signal.signal(signal.SIGCHLD, self._note)

    def __iter__(self) -> BatchReader:
        return self

    def __next__(self) -> dict[str, Any]:
        self._waiting = True
        try:
            if self._child_ended and self._report:
                self._child_ended = False
                self._report(signal.SIGCHLD, None)
            batch = next(self._batches)
        except (RuntimeError, OSError, EOFError) as error:
            # Reading from a dying process fails in many ways; errors that a worker raised begin with "Caught"
            cut_off = self._workers and isinstance(error, (OSError, EOFError)) and not str(error).startswith("Caught")
            if not (cut_off or str(error).startswith("DataLoader worker")):
                raise
            raise DeadReader(str(error)) from error
        finally:
            self._waiting = False
        if isinstance(batch, ValueError):
            raise batch
        return batch

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._waiting and self._report:
            self._report(number, frame)
        else:
            self._child_ended = True

    def close(self) -> None:
        """Ends the worker processes, and kills those that don't end.

        Without this, an exception's traceback would keep the iterator alive, and the interpreter would wait for ever
        for its workers, which ignore SIGTERM.
        """
        shut_down = getattr(self._batches, "_shutdown_workers", None)  # a loader without workers has none
        try:
            if shut_down:
                shut_down()
        finally:
            for worker in self._workers:
                if worker.is_alive():
                    worker.kill()
                    worker.join()
            if self._report:
                signal.signal(signal.SIGCHLD, self._report)
                self._report = None

    def __enter__(self) -> BatchReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        self.close()


def keyed_loader(
    dataset: Dataset, batches: Iterable[list[tuple[int, int]]], num_workers: int, pin_memory: bool = False
) -> DataLoader:
    """A loader of ``batches`` in their order, with at most one worker per CPU core. Read it with a ``BatchReader``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return DataLoader(
        _ErrorsAsSamples(dataset),
        batch_sampler=batches,
        num_workers=min(num_workers, cores),
        collate_fn=_collate_or_error,
        pin_memory=pin_memory,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator().manual_seed(
            keyed_seed("loader")
        ),  # so that it doesn't draw its seed from the global generator
    )


class _ErrorsAsSamples(Dataset):
    """Returns a list of samples, or an error of a data set: torch would raise it again with a traceback as its
    message.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Any) -> list[dict[str, Any]] | ValueError:
        try:
            return self.dataset.samples(key) if isinstance(self.dataset, ImageDataset) else [self.dataset[key]]
        except ValueError as error:
            if not is_ours(error):
                raise
            return error.with_traceback(None)


def _collate_or_error(made: list[list[dict[str, Any]] | ValueError]) -> dict[str, Any] | ValueError:
    samples: list[dict[str, Any]] = []
    for of_one_image in made:
        if isinstance(of_one_image, ValueError):
            return of_one_image
        samples += of_one_image
    try:
        return collate(samples)
    except ValueError as error:
        if not is_ours(error):
            raise
        return error.with_traceback(None)
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        return DeadReader(str(error))


def _prepare_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the workers run in parallel already
    # The whole process group gets these signals. The trainer needs more batches to finish its step and save, so workers
    # ignore them. They end when the trainer does.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def to_device(
    batch: dict[str, Any],
    device: torch.device | str,
    memory_format: torch.memory_format = torch.contiguous_format,
    ranges: Mapping[str, Range] | None = None,
) -> dict[str, Any]:
    """Moves a batch to a device and normalises its images there: (B, C, H, W) float32 in [-1, 1].

    Maps of ids become (B, 1, H, W) int32. Classes (B,) and vectors (B, N) are moved unchanged.

    Args:
        batch: a result of ``collate``.
        device: to move the tensors to.
        memory_format: of images and maps; clips stay contiguous.
        ranges: pixel values that are mapped to -1 and 1, see ``ImageDataset.ranges``.
    """
    moved: dict[str, Any] = {}
    for key, value in batch.items():
        if isinstance(value, Tensor):
            tensor = as_input(value.to(device, non_blocking=True), (ranges or {}).get(key))
            moved[key] = tensor.contiguous(memory_format=memory_format) if value.ndim == 4 else tensor
        elif key != "aliases":
            moved[key] = value
    return moved | {alias: moved[key] for alias, key in batch.get("aliases", {}).items()}
