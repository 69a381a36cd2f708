"""Data set of image pairs, for pix2pix.

Pairs are read from a folder (``folder.FolderPairs``) or drawn (``ToyPairs``). This file transforms them and makes one
side the input and the other the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from img2img.data.base import ImageDataset, Item, Lazy, read_or_next, refuse_companions
from img2img.data.classical import plain_answers
from img2img.data.folder import FolderPairs, PairScale, find_sides, require_root, side_by_side
from img2img.data.images import read_image
from img2img.data.options import Part, PatchConfig, TwoDomainConfig, domains
from img2img.data.transforms import BATCH, Patch, SizeCheck, Transform, jitter, patch_seed


class PairSource(Protocol):
    """A source of pairs (A, B); ``notes`` are lines for the log."""

    notes: list[str]

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass
class PairedConfig(TwoDomainConfig):
    """Where the pairs are, and how they are resized, cropped and batched."""

    root: str | None = None
    """Folder of the image set, with trainA/ + trainB/, train_A/ + train_B/, train/A/ + train/B/, or train/ with
    side-by-side pairs (A left); the same for val or test."""
    toy: bool = False
    """Train on the toy task, drawn shoes and their outlines, instead of data.root."""


class PairedDataset(ImageDataset):
    """Samples have ``input`` and ``target`` (crop, crop, C) uint8 or uint16. Pairs that can't be decoded are replaced
    by the next one.

    With a ``PatchConfig``, targets may be larger than their inputs, by an integer that is found in the files and that
    becomes ``config.scale``; inputs are then (crop / scale, crop / scale, C).

    Raises:
        ValueError: as FolderPairs; when sampling, if no pair can be decoded.
    """

    Config = PairedConfig
    config: TwoDomainConfig

    def __init__(self, config: TwoDomainConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        scale = _scale(config, part)
        self.source = pair_source(config, part, config.resized(augment), self.check, scale)
        self.notes = self.source.notes
        if isinstance(config, PatchConfig):
            self.config = replace(config, scale=scale.value or 1)
            self.transform = jitter(self.config, augment)

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        if not isinstance(self.transform, Patch):  # patches have one size, and whole images are padded
            self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        return self._patches(key, 1)[0]

    def samples(self, key: tuple[int, int]) -> list[dict[str, Any]]:
        return self._patches(key, self.config.patches if isinstance(self.config, PatchConfig) else 1)

    def _patches(self, key: tuple[int, int], count: int) -> list[dict[str, Any]]:
        epoch, index = key
        pair, name, skipped = read_or_next(self.source, index)
        source, target = domains(self.config.direction)
        patches = []
        for number in range(count):
            sides = self._sides(patch_seed(self.seed, epoch, index, number), pair)
            patches.append({"input": sides[source], "target": sides[target], "name": name, "skipped": skipped})
        return patches

    def _sides(self, seed: int, pair: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        """The transformed pair, by domain: ``a`` and ``b``."""
        return self.transform(seed, {"a": pair[0], "b": pair[1]})

    def count(self, direction: str) -> int:
        return len(self)

    def item(self, direction: str, index: int) -> Item:
        source, target = domains(direction)
        sides = self._sides(0, self.source.read(index))
        return Item(self.source.name(index), {"input": sides[source]}, sides[target])

    def item_name(self, direction: str, index: int) -> str:
        return self.source.name(index)

    def has_target(self, direction: str, index: int) -> bool:
        return True

    def images(self, domain: str) -> Sequence[np.ndarray]:
        return Lazy(len(self), lambda index: self._sides(0, self.source.read(index))[domain])

    def trivial_answers(self, direction: str) -> Mapping[str, Callable[[Item], np.ndarray]]:
        """The enlarged input, of pairs for restoration."""
        if not isinstance(self.config, PatchConfig):
            return {}
        return plain_answers(self.config.scale or 1)

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        sides = dict(zip("ab", self.source.read(index), strict=True))
        image = sides[domains(direction)[side == "target"]]
        return map_of_classes(self.transform, read(image))

    @classmethod
    def side_by_side(cls, config: TwoDomainConfig) -> Path | None:
        return None if config.root is None else side_by_side(Path(config.root), config.train_split)

    @classmethod
    def read(cls, config: TwoDomainConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        return read_input(config, direction, path, others)


def map_of_classes(transform: Transform, ids: np.ndarray) -> np.ndarray:
    """Resizes and crops a map of class ids (H, W) to (h, w) as the images, taking nearest pixels."""
    return transform(0, {"ids": ids.astype(np.int32)})["ids"][:, :, 0]


def read_input(config: TwoDomainConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
    """Reads an image file as an item of a data set whose only input is an image. Raises as ``ImageDataset.read``."""
    refuse_companions(others, ())
    channels = config.channels[domains(direction)[0]]
    return Item(path.stem, {"input": read_image(path, channels)})


def _scale(config: TwoDomainConfig, part: Part) -> PairScale:
    """The scale that pairs must have: 1 unless the options allow others.

    Raises:
        ValueError: the options allow other scales, and the set has no folders of inputs and of targets.
    """
    source, _ = domains(config.direction)
    if not isinstance(config, PatchConfig):
        return PairScale(source, 1)
    if not config.toy:
        root, splits = require_root(config.root), config.splits(part)
        if not any(find_sides(root, split) for split in splits):
            raise ValueError(
                f"data.root {root}: what is the input? Set data.degrade, or a short form such as data.noise 25; or "
                f"give pairs, {splits[0]}A/ (input) and {splits[0]}B/ (target)"
            )
    return PairScale(source, config.scale)


def pair_source(config: TwoDomainConfig, part: Part, size: int, check: SizeCheck, scale: PairScale) -> PairSource:
    """The pairs of the options' folder, or toy pairs of ``size`` pixels. Raises ValueError as FolderPairs."""
    splits = config.splits(part)
    if config.toy:
        from img2img.data.toy.shoes import ToyPairs  # not needed by other sets

        config.require_colour()
        check("the toy task's pair", size, size)
        return ToyPairs(splits, size)
    pairs = FolderPairs(require_root(config.root), splits, (config.channels_a, config.channels_b), check, scale)
    if part == "val":
        pairs.notes = []  # the training split has logged them
    return pairs
