"""The data set of paired translation: (epoch, index) -> a sample, whatever process asks for it.

The pairs come from a folder (``folder.FolderPairs``) or are drawn (``ToyPairs``); here they are turned into the
direction of the task, transformed and named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from img2img.data.folder import FolderPairs
from img2img.data.images import UnreadableImage
from img2img.data.options import DataConfig, Domain, Part, domains
from img2img.data.toy.shoes import draw_pair, toy_split
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed


class PairSource(Protocol):
    """Where pairs come from; ``notes`` is what a user should know of them."""

    notes: list[str]

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...


class ToyPairs:
    """The embedded task as a source of pairs: A is a shoe's outline, B the shoe, drawn at ``size`` when asked for."""

    def __init__(self, splits: tuple[str, ...], size: int) -> None:
        self.split, self.length = toy_split(splits)
        self.size = size
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"shoe-{index:04d}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_pair(index, self.split, self.size)


class PairedDataset(Dataset[dict]):
    """``dataset[epoch, index]`` is one sample: ``input`` and ``target`` (crop, crop, C) integers, ``name``, and
    ``skipped``, the messages of files that could not be decoded, in whose place the next pair of the set came.

    Args:
        config: the data options.
        part: which part of the set.
        augment: whether pictures are jittered and flipped as the options say, or only resized.
        seed: of the augmentation.

    Raises:
        ValueError: as FolderPairs; when sampling, if no pair of the set can be decoded.
    """

    def __init__(self, config: DataConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        refuse_label_maps(config)
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        self.source = pair_source(config, part, config.resized(augment), self.check)
        self.domains = domains(config.direction)
        self.notes = self.source.notes
        self.seed = seed

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if a pair becomes less than ``least`` pixels wide or high."""
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        pair, name, skipped = read_or_next(self.source, index)
        a, b = self.transform(keyed_seed(self.seed, epoch, index), *pair)
        source, target = (a, b) if self.domains == ("a", "b") else (b, a)
        return {"input": source, "target": target, "name": name, "skipped": skipped}

    def count(self, domain: Domain) -> int:
        """Pictures of a domain."""
        return len(self)

    def name(self, domain: Domain, index: int) -> str:
        """Name of a picture."""
        return self.source.name(index)

    def picture(self, domain: Domain, index: int) -> np.ndarray:
        """One picture as it is translated and compared: (crop, crop, C). Raises UnreadableImage."""
        return self.transform(0, *self.source.read(index))["ab".index(domain)]

    def class_map(self, domain: Domain, index: int, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A picture that is a painted map, as the classes that ``read`` finds in the file's own pixels: (crop, crop).

        Colours that are resized mix to those of other classes; classes take the nearest. Raises UnreadableImage.
        """
        painted = self.source.read(index)["ab".index(domain)]
        return self.transform(0, ids=(read(painted),))[0][:, :, 0]

    def partner(self, domain: Domain, index: int) -> int | None:
        """Index, in the other domain, of the picture that shows the same thing."""
        return index


def refuse_label_maps(config: DataConfig) -> None:
    """Raises ValueError if the options ask for label maps."""
    if config.label_nc:
        raise ValueError(f"data.label_nc {config.label_nc}: this model takes pictures; label maps are for pix2pixhd")


def pair_source(config: DataConfig, part: Part, size: int, check: SizeCheck) -> PairSource:
    """The pairs that the options ask for; toy ones are drawn at ``size``. Raises ValueError as FolderPairs."""
    splits = config.splits(part)
    if config.toy:
        config.require_colour()
        check("the toy task's pair", size, size)
        return ToyPairs(splits, size)
    pairs = FolderPairs(set_folder(config, part), splits, (config.channels_a, config.channels_b), check)
    if part == "val":
        pairs.notes = []  # which the training part tells already
    return pairs


def set_folder(config: DataConfig, part: Part) -> str:
    """``data.root``, a folder of the user's own. Raises ValueError if it is not set.

    Trainings look for their training part first: whoever asks for another has a run, which imported weights make
    without any data.
    """
    if config.torchvision:
        raise ValueError(f"data.torchvision {config.torchvision}: is for models that draw from noise, such as dcgan")
    if config.root is not None:
        return config.root
    if config.root_a is not None:
        raise ValueError(
            f"data.root_a {config.root_a}: two folders without pairs are for cyclegan; "
            "datasets/pair.py makes a data.root of two folders of partners"
        )
    if part == "val":
        raise ValueError(
            "data.root is not set in this run: infer.py takes --input; for its validation set make it anew with "
            "import_weights.py --data-root DIR --overwrite"
        )
    raise ValueError("data.root is not set: give the folder of the pictures, or --data.toy true")


def read_or_next(source: Any, index: int) -> tuple[Any, str, list[str]]:
    """What ``source.read`` gives for a sample, or for the next one that can be decoded; its name; and the messages of
    those that could not. Raises ValueError if none can.
    """
    skipped: list[str] = []
    for attempt in range(len(source)):
        chosen = (index + attempt) % len(source)
        try:
            return source.read(chosen), source.name(chosen), skipped
        except UnreadableImage as error:
            skipped.append(str(error))
    raise ValueError(f"no picture of the set can be decoded: {skipped[0]}")
