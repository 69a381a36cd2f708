"""Keyed batches: which pictures come at which step is a function of (seed, position), so any run can resume anywhere.

Training reads one endless stream, the permutations of all epochs one after the other. Its position, the number of
pictures consumed so far, is the only state: the epoch and the place in it follow, for any batch size and any number of
processes. There is no remainder to drop: a batch may straddle two epochs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from img2img.data.images import as_input
from img2img.data.transforms import BATCH, keyed_seed


class KeyedBatches(Sampler[list[tuple[int, int]]]):
    """Yields lists of (epoch, index): this process's part of every batch from position ``start`` up to ``stop``.

    Args:
        length: pictures in the set.
        batch_size: pictures a process takes at once.
        start, stop: positions in the stream, in pictures over all processes.
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
    """Samples -> a batch: pictures are stacked to (B, H, W, C), integers such as a class to (B,) int64, names listed,
    skipped files joined to one list.

    Raises:
        ValueError: two pictures differ in size; the message names them.
    """
    first = samples[0]
    for sample in samples:
        for key, value in first.items():
            if isinstance(value, np.ndarray) and sample[key].shape[:2] != value.shape[:2]:
                (height, width), (h, w) = sample[key].shape[:2], value.shape[:2]
                raise ValueError(
                    f"{key} of {sample['name']} is {width}x{height} and that of {first['name']} {w}x{h}: {BATCH}"
                )
    batch = {
        key: default_collate([torch.from_numpy(np.ascontiguousarray(sample[key])) for sample in samples])
        for key, value in first.items()
        if isinstance(value, np.ndarray)
    }
    numbers = {key: torch.tensor([sample[key] for sample in samples]) for key in first if isinstance(first[key], int)}
    return {
        **batch,
        **numbers,
        "name": [sample["name"] for sample in samples],
        "skipped": [message for sample in samples for message in sample["skipped"]],
    }


def keyed_loader(
    dataset: Dataset, batches: Iterable[list[tuple[int, int]]], num_workers: int, pin_memory: bool = False
) -> DataLoader:
    """Loads ``batches`` in their order. The workers start once, and no more of them than there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=min(num_workers, cores),
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator().manual_seed(keyed_seed("loader")),  # its seed must not come from the global one
    )


def _prepare_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
    # Ctrl-C and a job manager's SIGTERM reach the whole process group. The trainer still wants its next pictures then,
    # to end the step and save; the workers end when it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def to_device(
    batch: dict[str, Any], device: torch.device | str, memory_format: torch.memory_format = torch.contiguous_format
) -> dict[str, Any]:
    """Moves the pictures of a batch as the integers that they are, and normalises them there: (B, C, H, W), [-1, 1].

    Maps of ids, which are int32, stay integers: (B, 1, H, W) int32. What is no picture, such as classes (B,) or noise
    (B, length), is moved as it is.
    """
    moved = {}
    for key, value in batch.items():
        if isinstance(value, Tensor):
            there = value.to(device, non_blocking=True)
            moved[key] = as_input(there).contiguous(memory_format=memory_format) if value.ndim == 4 else there
        else:
            moved[key] = value
    return moved
