"""The data set of paired translation: (epoch, index) -> a sample, whatever process asks for it.

The pairs come from a folder (``folder.FolderPairs``) or are drawn (``ToyPairs``); here they are turned into the
direction of the task, transformed and named.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from img2img.data.folder import FolderPairs
from img2img.data.images import UnreadableImage
from img2img.data.options import DataConfig
from img2img.data.toy import draw_pair
from img2img.data.transforms import PairTransform, keyed_seed


class PairSource(Protocol):
    """Where pairs come from."""

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...


class ToyPairs:
    """The embedded task as a source of pairs: A is a shoe's outline, B the shoe, drawn at ``size`` when asked for."""

    LENGTHS = {"train": 2000, "val": 48, "test": 48}  # noqa: RUF012

    def __init__(self, split: str, size: int) -> None:
        if split not in self.LENGTHS:
            raise ValueError(f"data split '{split}': the toy task has {', '.join(self.LENGTHS)}")
        self.split, self.size = split, size

    def __len__(self) -> int:
        return self.LENGTHS[self.split]

    def name(self, index: int) -> str:
        return f"shoe-{index:04d}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_pair(index, self.split, self.size)


class PairedDataset(Dataset[dict]):
    """``dataset[epoch, index]`` is one sample: ``input`` and ``target`` (crop, crop, C) integers, ``name``, and
    ``skipped``, the messages of files that could not be decoded, in whose place the next pair of the set came.

    Args:
        config: the data options.
        split: name of the part of the set.
        augment: whether pictures are jittered and flipped as the options say, or only resized.
        seed: of the augmentation.

    Raises:
        ValueError: as FolderPairs; when sampling, if no pair of the set can be decoded.
    """

    def __init__(self, config: DataConfig, split: str, *, augment: bool = False, seed: int = 0) -> None:
        load_size = config.load_size if augment else config.crop_size
        self.source: PairSource
        if config.toy:
            self.source = ToyPairs(split, load_size)
        elif config.root is None:
            raise ValueError("data.root is not set: give the folder of the pictures, or --data.toy true")
        else:
            self.source = FolderPairs(config.root, split, (config.channels_a, config.channels_b))
        self.transform = PairTransform(load_size, config.crop_size, flip=augment and config.flip)
        self.swap = config.direction == "BtoA"
        self.seed = seed

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        skipped = []
        for attempt in range(len(self)):
            chosen = (index + attempt) % len(self)
            try:
                a, b = self.source.read(chosen)
                break
            except UnreadableImage as error:
                skipped.append(str(error))
        else:
            raise ValueError(f"no picture of the set can be decoded: {skipped[0]}")
        a, b = self.transform(a, b, keyed_seed(self.seed, epoch, index))
        source, target = (b, a) if self.swap else (a, b)
        name = self.source.name(chosen)
        return {"input": source, "target": target, "name": name, "skipped": skipped}
