"""Data set of unpaired images of two domains, for CycleGAN (Zhu et al., arXiv 1703.10593, Sec. 3).

Images are read from two folders (``folder.FolderImages``) or drawn (``ToyImages``). An epoch visits every image of the
larger side once; the smaller side is repeated, and continues in the next epoch where the last one stopped, so that all
of its images are seen equally often. In each epoch, a new permutation pairs A with B, so processes read disjoint parts
(but images of the smaller side repeat).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import ImageDataset, Item, Lazy, read_or_next
from img2img.data.folder import FolderImages, find_sides, no_split, require_root, some
from img2img.data.options import Domain, Part, TwoDomainConfig, domains, refuse_splits
from img2img.data.paired import map_of_classes, read_input
from img2img.data.transforms import SizeCheck, jitter, keyed_seed
from img2img.program import command

POOLS = "the image pools need images of one size per domain: set data.preprocess resize_and_crop"


class ImageSource(Protocol):
    """A source of a domain's images."""

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> np.ndarray: ...


@dataclass
class UnpairedConfig(TwoDomainConfig):
    """Where the images of A and of B are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = [*TwoDomainConfig.everyday, "root_a", "root_b", "val_paired"]
    folders: ClassVar[Sequence[str]] = ("root", "root_a", "root_b")
    places: ClassVar[Sequence[str]] = [*TwoDomainConfig.places, "root_a", "root_b"]
    instead: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("root_a", "root_b"), f"make a data.root of the two folders by {command('pair')}"
    )

    root: str | None = None
    """Folder of the image set, with trainA/ + trainB/, train_A/ + train_B/, or train/A/ + train/B/; the same for val or
    test."""
    toy: bool = False
    """Train on the toy task, drawn shoes and outlines of other shoes, instead of data.root."""
    root_a: str | None = None
    """Folder of the training images of A; set root_a and root_b instead of root if they are in different places."""
    root_b: str | None = None
    """Folder of the training images of B."""
    val_paired: bool = False
    """Validation images of the same name (x and x, or x_A and x_B) are pairs, so metrics can compare an output with its
    target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        others = {"root_a": "root_b", "root_b": "root_a"}
        sides = {key: folder for key in others if (folder := getattr(self, key)) is not None}
        for key, folder in sides.items():
            if self.root is not None:
                raise ValueError(
                    f"data.root {self.root} and data.{key} {folder}: set only one of them (data.root null to unset it)"
                )
        if len(sides) == 1:
            ((key, folder),) = sides.items()
            raise ValueError(f"data.{key} {folder}: set data.{others[key]}, too, the folder of the other domain")

    def moved(self, new: Mapping[str, Any]) -> UnpairedConfig:
        """As in the base class. ``root`` takes the place of ``root_a`` and ``root_b``, and they that of ``root``."""
        sides = ("root_a", "root_b")
        replaced = sides if "root" in new else ("root",) if any(key in new for key in sides) else ()
        config = super().moved({**dict.fromkeys(replaced), **new})
        if config.root_a is not None:
            refuse_splits(new, "data.root_a and data.root_b are folders without splits")
        return config

    def with_partners(self) -> UnpairedConfig:
        return replace(self, val_paired=True)


class UnpairedDataset(ImageDataset):
    """Samples have ``a`` and ``b`` (crop, crop, C) uint8 or uint16; ``input`` and ``target`` are the same two arrays
    according to ``config.direction``. Images that can't be decoded are replaced by the next one of their side. ``seed``
    also determines which images are paired.

    Raises:
        ValueError: a side's folder is missing, empty, equal to or inside the other one's, or has unreadable images;
            validation images have no partner although ``config.val_paired`` is set; when sampling, if no image of a
            side can be decoded.
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
            from img2img.data.toy.shoes import ToyImages  # not needed by other sets

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
            self.notes = ["data.root_a and data.root_b have no validation split: sample grids show training images"]
        self.partners: dict[Domain, dict[int, int]] = {"a": {}, "b": {}}
        if part == "val" and config.val_paired:
            self.partners["a"] = _partners(self.sources)
            self.partners["b"] = {b: a for a, b in self.partners["a"].items()}
        self.permutation: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # (epoch, its permutation)

    def __len__(self) -> int:
        return max(len(source) for source in self.sources.values())

    def require_side(self, least: int) -> None:
        for check in self.checks:
            check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        places: dict[Domain, int] = {"a": index, "b": index}
        if self.augment:
            passed = epoch * len(self)  # indices are modulo a side's length, so this shifts the smaller side only
            places = {"a": passed + index, "b": passed + self._paired_index(epoch, index)}
        sample: dict = {"name": "", "skipped": []}
        names = []
        for domain, place in places.items():
            image, name, skipped = read_or_next(self.sources[domain], place)
            sample[domain] = self._transformed(image, keyed_seed(self.seed, epoch, index, domain))
            sample["skipped"] += skipped
            names.append(name)
        source, target = domains(self.config.direction)
        return {**sample, "input": sample[source], "target": sample[target], "name": " + ".join(names)}

    def _paired_index(self, epoch: int, index: int) -> int:
        """Index of the image of B that is paired with image ``index`` of A in this epoch."""
        if self.permutation[0] != epoch:
            self.permutation = epoch, np.random.default_rng((self.seed, epoch, 1)).permutation(len(self))
        return int(self.permutation[1][index])

    def _transformed(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": image})["image"]

    def _image(self, domain: Domain, index: int) -> np.ndarray:
        return self._transformed(self.sources[domain].read(index))

    def count(self, direction: str) -> int:
        return len(self.sources[domains(direction)[0]])

    def item(self, direction: str, index: int) -> Item:
        source, target = domains(direction)
        partner = self.partners[source].get(index)
        image = None if partner is None else self._image(target, partner)
        return Item(self.item_name(direction, index), {"input": self._image(source, index)}, image)

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
        side: Domain = "a" if domain == "a" else "b"
        return Lazy(len(self.sources[side]), lambda index: self._image(side, index))

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        source, target = domains(direction)
        image = self.sources[source].read(index)
        if side == "target":
            image = self.sources[target].read(self.partners[source][index])
        return map_of_classes(self.transform, read(image))

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
            raise ValueError(
                "data.val_paired true: data.root_a and data.root_b have no validation split; set a data.root that has "
                "one, or data.val_paired false"
            )
        folders = Path(config.root_a), Path(config.root_b)
        for key, folder in zip(("root_a", "root_b"), folders, strict=True):
            require_root(folder, key)
    else:
        root, splits = require_root(config.root), config.splits(part)
        sides = next((pair for split in splits if (pair := find_sides(root, split))), None)
        if sides is None:
            if any((root / split).is_dir() for split in splits):
                raise ValueError(
                    f"data.root {root}: {splits[0]}A/ and {splits[0]}B/ are missing; "
                    f"make them of side-by-side pairs by {command('unpair')}"
                )
            raise no_split(root, splits)
        folders = sides
    a, b = (folder.resolve() for folder in folders)
    if a == b:
        raise ValueError(f"{folders[0]} is given as A and as B: give two folders with different images")
    if a in b.parents or b in a.parents:
        raise ValueError(f"{folders[0]} and {folders[1]}: one is inside the other; separate A and B")
    return folders


def _partners(sources: dict[Domain, ImageSource]) -> dict[int, int]:
    """Index in A -> index in B of the images of the same name, x and x or x_A and x_B."""
    stems = {
        domain: {source.name(i).removesuffix(f"_{domain.upper()}"): i for i in range(len(source))}
        for domain, source in sources.items()
    }
    for domain, source in sources.items():
        if len(stems[domain]) < len(source):
            raise ValueError(
                f"data.val_paired true: several images of {domain.upper()} have the same name; keep one of each"
            )
    unmatched = sorted(stems["a"].keys() ^ stems["b"].keys())
    if unmatched:
        raise ValueError(f"data.val_paired true: no partner of the same name for {some(unmatched)}; set it to false")
    return {place: stems["b"][stem] for stem, place in stems["a"].items()}
