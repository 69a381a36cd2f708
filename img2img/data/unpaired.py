"""The data set of unpaired translation: an image of A and one of B, which have nothing to do with each other.

Zhu et al., arXiv 1703.10593, Sec. 3. The images come from two folders (``folder.FolderImages``) or are drawn
(``ToyImages``). An epoch visits every image of the larger side once and goes on among those of the smaller one where
the last epoch stopped, so that in the long run all of them are seen equally often. Who meets whom is drawn anew in each
epoch: by a permutation, not image by image, so that the parts of an epoch that several processes read are disjoint,
but for the images of the smaller side that must come again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from img2img.data.base import ImageDataset, Item, Lazy, read_or_next
from img2img.data.folder import FolderImages, find_sides, no_split, some
from img2img.data.options import Domain, Part, TwoDomainConfig, domains
from img2img.data.paired import map_of_classes, read_input, set_folder
from img2img.data.transforms import SizeCheck, jitter, keyed_seed

POOLS = "image pools keep one size a side: use a data.preprocess that crops"


class ImageSource(Protocol):
    """Where the images of a domain come from."""

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> np.ndarray: ...


@dataclass
class UnpairedConfig(TwoDomainConfig):
    """Where the images of A and of B are and what is done to them."""

    everyday: ClassVar[Sequence[str]] = [*TwoDomainConfig.everyday, "root_a", "root_b", "val_paired"]
    folders: ClassVar[Sequence[str]] = ("root", "root_a", "root_b")

    root: str | None = None
    """Folder of the set: trainA/ + trainB/, train_A/ + train_B/, or train/A/ + train/B/; the same for val or test."""
    toy: bool = False
    """Train on the embedded toy task, drawn shoes and outlines of other ones, instead of files of data.root."""
    root_a: str | None = None
    """Folder of A's training images, instead of root."""
    root_b: str | None = None
    """Folder of B's training images."""
    val_paired: bool = False
    """Whether validation images of one name (x and x, or x_A and x_B) show the same thing, so that evaluation compares
    the output with its partner."""

    def __post_init__(self) -> None:
        super().__post_init__()
        others = {"root_a": "root_b", "root_b": "root_a"}
        given = {key: folder for key in others if (folder := getattr(self, key)) is not None}
        for key, folder in given.items():
            if self.root is not None:
                raise ValueError(f"data.root {self.root} and data.{key} {folder}: choose one; null drops a preset's")
        if len(given) == 1:
            ((key, folder),) = given.items()
            raise ValueError(f"data.{key} {folder}: give the other side's folder, too: data.{others[key]}")

    def with_partners(self) -> UnpairedConfig:
        return replace(self, val_paired=True)


class UnpairedDataset(ImageDataset):
    """Samples have ``a`` and ``b`` (crop, crop, C) integers, and as ``input`` and ``target`` the same two in the
    direction of the options. Where an image can't be decoded, the next one of its side comes. ``seed`` is also that of
    who meets whom.

    Raises:
        ValueError: a side is missing, empty, the same as or a part of the other, or has unreadable images; no
            partners where ``config.val_paired`` promises them; when sampling, if no image of a side can be decoded.
    """

    Config = UnpairedConfig
    config: UnpairedConfig

    def __init__(self, config: UnpairedConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        load_size = config.resized(augment)
        one_size = POOLS if augment else ""
        self.checks = checks = [SizeCheck(self.transform, one_size) for _ in "ab"]  # the sides' sizes may differ
        self.sources: dict[Domain, ImageSource]
        if config.toy:
            from img2img.data.toy.shoes import ToyImages  # drawing, which other sets don't need

            config.require_colour()
            splits = config.splits(part)
            checks[0]("the toy task's image", load_size, load_size)
            self.sources = {"a": ToyImages("a", splits, load_size), "b": ToyImages("b", splits, load_size)}
        else:
            a, b = _folders(config, part)
            self.sources = {
                "a": FolderImages(a, config.channels_a, checks[0]),
                "b": FolderImages(b, config.channels_b, checks[1]),
            }
        if part == "train" and config.root_a is not None:
            self.notes = ["data.root_a and data.root_b have no validation part: samples show training images"]
        self.partners: dict[Domain, dict[int, int]] = {"a": {}, "b": {}}
        if part == "val" and config.val_paired:
            self.partners["a"] = _partners(self.sources)
            self.partners["b"] = {theirs: mine for mine, theirs in self.partners["a"].items()}
        self.mixed: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # the newest epoch's permutation

    def __len__(self) -> int:
        return max(len(source) for source in self.sources.values())

    def require_side(self, least: int) -> None:
        for check in self.checks:
            check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        places: dict[Domain, int] = {"a": index, "b": index}
        if self.augment:
            passed = epoch * len(self)  # a multiple of the larger side's number: it moves the smaller side alone
            places = {"a": passed + index, "b": passed + self._partner_of_the_day(epoch, index)}
        sample: dict = {"name": "", "skipped": []}
        names = []
        for domain, place in places.items():
            image, name, skipped = read_or_next(self.sources[domain], place)
            sample[domain] = self._transformed(image, keyed_seed(self.seed, epoch, index, domain))
            sample["skipped"] += skipped
            names.append(name)
        source, target = domains(self.config.direction)
        return {**sample, "input": sample[source], "target": sample[target], "name": " + ".join(names)}

    def _partner_of_the_day(self, epoch: int, index: int) -> int:
        """Which of B meets the image ``index`` of A in this epoch."""
        if self.mixed[0] != epoch:
            self.mixed = epoch, np.random.default_rng((self.seed, epoch, 1)).permutation(len(self))
        return int(self.mixed[1][index])

    def _transformed(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": image})["image"]

    def _image(self, domain: Domain, index: int) -> np.ndarray:
        return self._transformed(self.sources[domain].read(index))

    def count(self, direction: str) -> int:
        return len(self.sources[domains(direction)[0]])

    def item(self, direction: str, index: int) -> Item:
        source, target = domains(direction)
        partner = self.partners[source].get(index)
        known = None if partner is None else self._image(target, partner)
        return Item(self.item_name(direction, index), {"input": self._image(source, index)}, known)

    def item_name(self, direction: str, index: int) -> str:
        return self.sources[domains(direction)[0]].name(index)

    def has_target(self, direction: str, index: int) -> bool:
        return index in self.partners[domains(direction)[0]]

    def target_name(self, direction: str, index: int) -> str | None:
        source, target = domains(direction)
        partner = self.partners[source].get(index)
        return None if partner is None else self.sources[target].name(partner)

    def without_targets(self) -> UnpairedDataset:
        other = copy.copy(self)
        other.partners = {"a": {}, "b": {}}
        return other

    def images(self, domain: str) -> Sequence[np.ndarray]:
        own: Domain = "a" if domain == "a" else "b"
        return Lazy(len(self.sources[own]), lambda index: self._image(own, index))

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        source, target = domains(direction)
        painted = self.sources[source].read(index)
        if side == "target":
            painted = self.sources[target].read(self.partners[source][index])
        return map_of_classes(self.transform, read(painted))

    @property
    def size(self) -> str:
        return " + ".join(str(len(source)) for source in self.sources.values())

    @classmethod
    def read(cls, config: UnpairedConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        return read_input(config, direction, path, others)


def _folders(config: UnpairedConfig, part: Part) -> tuple[Path, Path]:
    """The folders of A and of B."""
    if config.root_a is not None and config.root_b is not None:
        if part == "val" and config.val_paired:
            raise ValueError(f"data.val_paired: {config.root_a} has no validation part; give a data.root that has one")
        folders = Path(config.root_a), Path(config.root_b)
    else:
        root, splits = Path(set_folder(config, part)), config.splits(part)
        found = next((sides for split in splits if (sides := find_sides(root, split))), None)
        if found is None:
            if any((root / split).is_dir() for split in splits):
                raise ValueError(
                    f"data.root {root}: {splits[0]}A/ and {splits[0]}B/ are missing; "
                    "datasets/unpair.py makes them of side-by-side pairs"
                )
            raise no_split(root, splits)
        folders = found
    a, b = (folder.resolve() for folder in folders)
    if a == b:
        raise ValueError(f"{folders[0]} is given as A and as B: two folders of different images are needed")
    if a in b.parents or b in a.parents:
        raise ValueError(f"{folders[0]} and {folders[1]}: one lies within the other; separate them")
    return folders


def _partners(sources: dict[Domain, ImageSource]) -> dict[int, int]:
    """Index in A -> index in B of the images that share a name, x and x or x_A and x_B."""
    stems = {
        domain: {source.name(i).removesuffix(f"_{domain.upper()}"): i for i in range(len(source))}
        for domain, source in sources.items()
    }
    for domain, source in sources.items():
        if len(stems[domain]) < len(source):
            raise ValueError(f"data.val_paired: several images of {domain.upper()} have one name; keep one of each")
    lonely = sorted(stems["a"].keys() ^ stems["b"].keys())
    if lonely:
        raise ValueError(f"data.val_paired: no partner of the same name for {some(lonely)}; set it to false")
    return {place: stems["b"][stem] for stem, place in stems["a"].items()}
