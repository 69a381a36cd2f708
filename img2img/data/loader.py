"""Keyed batches: which images come at which step is a function of (seed, position), so any run can resume anywhere.

Training reads one endless stream, the permutations of all epochs one after the other. Its position, the number of
images consumed so far, is the only state: the epoch and the place in it follow, for any batch size and any number of
processes. There is no remainder to drop: a batch may straddle two epochs.
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

from img2img.data.images import Range, as_input
from img2img.data.transforms import BATCH, keyed_seed
from img2img.errors import is_ours

# Each asks a training to save and to leave. They reach the whole process group, reading processes included; those that
# a system does not have are left out.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)
)


class KeyedBatches(Sampler[list[tuple[int, int]]]):
    """Yields lists of (epoch, index): this process's part of every batch from position ``start`` up to ``stop``.

    Args:
        length: images in the set.
        batch_size: images a process takes at once.
        start, stop: positions in the stream, in images over all processes.
        seed: of the permutations.
        rank, world: which process of how many; one global batch is split into consecutive parts.
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
    """Samples -> a batch: arrays are stacked, images to (B, H, W, C); integers such as a class become (B,) int64, names
    are listed, skipped files joined to one list.

    An array that a sample holds under two keys, as ``a`` and as ``input``, is stacked once: ``aliases`` tells
    ``to_device`` the second key.

    Raises:
        ValueError: two images differ in size; the message names them.
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
                there, here = _size(sample[key]), _size(value)
                raise ValueError(f"{key} of {sample['name']} is {there} and that of {first['name']} {here}: {BATCH}")
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
    """ "640x480" of an image, a map or a clip; of a vector its length."""
    return f"{array.shape[-2]}x{array.shape[-3]}" if array.ndim > 2 else str(len(array))


class DeadReader(ValueError):
    """A reading process was killed, or can't get memory. ``reason`` is what the system said."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"a process that reads images died ({reason.splitlines()[0].rstrip('. ')}), most often for want of memory, "
            "or of shared memory in /dev/shm (docker run --shm-size 2g): lower data.num_workers or data.batch_size"
        )

    def __reduce__(self) -> tuple[type[DeadReader], tuple[str]]:
        return DeadReader, (self.reason,)


class BatchReader:
    """The batches of a loader, one after the other; its reading processes end with the block, however that ends.

        with BatchReader(keyed_loader(dataset, batches, num_workers=4)) as reader:
            for batch in reader: ...

    A reading process that dies is reported when the next batch is asked for, never in between: torch's own handler
    raises at whatever the training is doing just then, which would leave half a step or half a file.

    Raises:
        ValueError: when a batch is asked for: the data can't be read, as the data set says it.
        DeadReader: when a batch is asked for: a reading process is gone.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._batches = iter(loader)
        self._workers = getattr(self._batches, "_workers", ())  # torch has no public name for them
        self._asked = False  # whether a batch is being waited for
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
        self._asked = True
        try:
            if self._child_ended and self._report:
                self._child_ended = False
                self._report(signal.SIGCHLD, None)
            batch = next(self._batches)
        except (RuntimeError, OSError, EOFError) as error:
            # What a process hands over while it dies fails in many ways; what it raised itself is "Caught ..."
            cut_off = self._workers and isinstance(error, (OSError, EOFError)) and not str(error).startswith("Caught")
            if not (cut_off or str(error).startswith("DataLoader worker")):
                raise
            raise DeadReader(str(error)) from error
        finally:
            self._asked = False
        if isinstance(batch, ValueError):
            raise batch
        return batch

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked and self._report:
            self._report(number, frame)
        else:
            self._child_ended = True

    def close(self) -> None:
        """Ends the reading processes. An exception's traceback keeps the iterator alive, and with it processes that
        ignore SIGTERM, for which the interpreter then waits for ever: they are told to end, and killed if they don't.
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
    """Loads ``batches`` in their order; read it with a ``BatchReader``. The workers start once, and no more of them
    than there are cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return DataLoader(
        _ErrorsAsSamples(dataset),
        batch_sampler=batches,
        num_workers=min(num_workers, cores),
        collate_fn=_collate_or_error,
        pin_memory=pin_memory,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator().manual_seed(keyed_seed("loader")),  # its seed must not come from the global one
    )


class _ErrorsAsSamples(Dataset):
    """A data set whose errors are samples: torch would raise them in the training with a traceback for a message."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key]
        except ValueError as error:
            if not is_ours(error):
                raise
            return error.with_traceback(None)


def _collate_or_error(samples: list[Any]) -> dict[str, Any] | ValueError:
    try:
        return next((sample for sample in samples if isinstance(sample, ValueError)), None) or collate(samples)
    except ValueError as error:
        if not is_ours(error):
            raise
        return error.with_traceback(None)
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        return DeadReader(str(error))


def _prepare_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
    # What stops a training reaches the whole process group. The trainer still wants its next images then, to end the
    # step and save; the workers end when it does.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def to_device(
    batch: dict[str, Any],
    device: torch.device | str,
    memory_format: torch.memory_format = torch.contiguous_format,
    ranges: Mapping[str, Range] | None = None,
) -> dict[str, Any]:
    """Moves the images of a batch as the integers that they are, and normalises them there: (B, C, H, W), [-1, 1].

    Maps of ids, which are int32, stay integers: (B, 1, H, W) int32. What is no image, such as classes (B,) or vectors
    (B, length), is moved as it is.

    Args:
        batch: of ``collate``.
        device, memory_format: where to, and in which order; clips stay in that of their axes.
        ranges: of ``ImageDataset.ranges``.
    """
    moved: dict[str, Any] = {}
    for key, value in batch.items():
        if isinstance(value, Tensor):
            there = as_input(value.to(device, non_blocking=True), (ranges or {}).get(key))
            moved[key] = there.contiguous(memory_format=memory_format) if value.ndim == 4 else there
        elif key != "aliases":
            moved[key] = value
    return moved | {alias: moved[key] for alias, key in batch.get("aliases", {}).items()}
