"""The data set of unpaired translation: a picture of A and one of B, which have nothing to do with each other.

Zhu et al., arXiv 1703.10593, Sec. 3. The pictures come from two folders (``folder.FolderImages``) or are drawn
(``ToyImages``). An epoch visits every picture of the larger side once and goes on among those of the smaller one where
the last epoch stopped, so that in the long run all of them are seen equally often. Who meets whom is drawn anew in each
epoch: by a permutation, not picture by picture, so that the parts of an epoch that several processes read are disjoint,
but for the pictures of the smaller side that must come again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from img2img.data.folder import FolderImages, find_sides, no_split, some
from img2img.data.options import DataConfig, Domain, Part
from img2img.data.paired import read_or_next, refuse_label_maps, set_folder
from img2img.data.toy.shoes import draw_pair, draw_shoe, toy_split
from img2img.data.transforms import SizeCheck, jitter, keyed_seed

POOLS = "image pools keep one size a side: use a data.preprocess that crops"


class ImageSource(Protocol):
    """Where the pictures of a domain come from."""

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> np.ndarray: ...


class ToyImages:
    """The embedded task: A has outlines, B shoes. In training no outline is that of a shoe; elsewhere all are."""

    def __init__(self, domain: Domain, splits: tuple[str, ...], size: int) -> None:
        self.split, self.length = toy_split(splits)
        self.domain, self.size, self.first = domain, size, 0
        if self.split == "train":
            self.length //= 2
            self.first = self.length if domain == "b" else 0

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"shoe-{self.first + index:04d}"

    def read(self, index: int) -> np.ndarray:
        index += self.first
        return (
            draw_shoe(index, self.split, self.size)
            if self.domain == "b"
            else draw_pair(index, self.split, self.size)[0]
        )


class UnpairedDataset(Dataset[dict]):
    """``dataset[epoch, index]`` is one sample: ``a`` and ``b`` (crop, crop, C) integers, ``name``, and ``skipped``, the
    messages of files that could not be decoded, in whose place the next picture of their side came.

    Args:
        config: the data options.
        part: which part of the set.
        augment: whether pictures are jittered, flipped and mixed as the options say, or only resized.
        seed: of the augmentation and of who meets whom.

    Raises:
        ValueError: a side is missing, empty, the same as or a part of the other, or has unreadable pictures; no
            partners where ``config.val_paired`` promises them; when sampling, if no picture of a side can be decoded.
    """

    def __init__(self, config: DataConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        refuse_label_maps(config)
        self.transform = jitter(config, augment)
        load_size = config.resized(augment)
        one_size = POOLS if augment else ""
        self.checks = checks = [SizeCheck(self.transform, one_size) for _ in "ab"]  # the sides' sizes may differ
        self.sources: dict[Domain, ImageSource]
        if config.toy:
            config.require_colour()
            splits = config.splits(part)
            checks[0]("the toy task's picture", load_size, load_size)
            self.sources = {"a": ToyImages("a", splits, load_size), "b": ToyImages("b", splits, load_size)}
        else:
            a, b = _folders(config, part)
            self.sources = {
                "a": FolderImages(a, config.channels_a, checks[0]),
                "b": FolderImages(b, config.channels_b, checks[1]),
            }
        self.partners: dict[Domain, dict[int, int]] = {"a": {}, "b": {}}
        if part == "val" and config.val_paired:
            self.partners["a"] = _partners(self.sources)
            self.partners["b"] = {theirs: mine for mine, theirs in self.partners["a"].items()}
        self.augment, self.seed = augment, seed
        self.notes: list[str] = []  # there is nothing to tell of pictures that can be used
        self.mixed: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # the newest epoch's permutation

    def __len__(self) -> int:
        return max(len(source) for source in self.sources.values())

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if a picture becomes less than ``least`` pixels wide or high."""
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
            picture, name, skipped = read_or_next(self.sources[domain], place)
            (sample[domain],) = self.transform(keyed_seed(self.seed, epoch, index, domain), picture)
            sample["skipped"] += skipped
            names.append(name)
        return {**sample, "name": " + ".join(names)}

    def _partner_of_the_day(self, epoch: int, index: int) -> int:
        """Which of B meets the picture ``index`` of A in this epoch."""
        if self.mixed[0] != epoch:
            self.mixed = epoch, np.random.default_rng((self.seed, epoch, 1)).permutation(len(self))
        return int(self.mixed[1][index])

    def count(self, domain: Domain) -> int:
        """Pictures of a domain."""
        return len(self.sources[domain])

    def name(self, domain: Domain, index: int) -> str:
        """Name of a picture."""
        return self.sources[domain].name(index)

    def picture(self, domain: Domain, index: int) -> np.ndarray:
        """One picture as it is translated and compared: (crop, crop, C). Raises UnreadableImage."""
        return self.transform(0, self.sources[domain].read(index))[0]

    def class_map(self, domain: Domain, index: int, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """As that of ``PairedDataset``."""
        return self.transform(0, ids=(read(self.sources[domain].read(index)),))[0][:, :, 0]

    def partner(self, domain: Domain, index: int) -> int | None:
        """Index, in the other domain, of the picture that shows the same thing, where that is known."""
        return self.partners[domain].get(index)


def _folders(config: DataConfig, part: Part) -> tuple[Path, Path]:
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
        raise ValueError(f"{folders[0]} is given as A and as B: two folders of different pictures are needed")
    if a in b.parents or b in a.parents:
        raise ValueError(f"{folders[0]} and {folders[1]}: one lies within the other; separate them")
    return folders


def _partners(sources: dict[Domain, ImageSource]) -> dict[int, int]:
    """Index in A -> index in B of the pictures that share a name, x and x or x_A and x_B."""
    stems = {
        domain: {source.name(i).removesuffix(f"_{domain.upper()}"): i for i in range(len(source))}
        for domain, source in sources.items()
    }
    for domain, source in sources.items():
        if len(stems[domain]) < len(source):
            raise ValueError(f"data.val_paired: several pictures of {domain.upper()} have one name; keep one of each")
    lonely = sorted(stems["a"].keys() ^ stems["b"].keys())
    if lonely:
        raise ValueError(f"data.val_paired: no partner of the same name for {some(lonely)}; set it to false")
    return {place: stems["b"][stem] for stem, place in stems["a"].items()}
