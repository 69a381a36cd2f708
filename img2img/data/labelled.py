"""The data set of models that draw photos from label maps, as pix2pixHD (Wang et al., arXiv 1711.11585) does.

A scene is a map of class ids, a map of instance ids and a photo. They come from a folder (``label_files.LabelFiles``)
or are drawn (``ToyScenes``); with ``data.label_nc`` 0 the inputs are pictures, and the scenes pairs (``PairScenes``).
Ids stay integers up to the device: ``networks.labels`` makes one-hot classes and boundaries of them there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from img2img.data.label_files import LabelFiles
from img2img.data.options import DataConfig, Direction, Domain, Part, domains
from img2img.data.paired import PairSource, pair_source, read_or_next, set_folder
from img2img.data.toy.shoes import toy_split
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed

IDS = ("label", "instance")


class SceneSource(Protocol):
    """Where scenes come from: dictionaries of ``label`` and ``instance`` (H, W), ``target`` and ``input`` (H, W, C)."""

    notes: list[str]

    @property
    def photos(self) -> bool: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> dict[str, np.ndarray]: ...


class ToyScenes:
    """The embedded task: scenes twice as wide as high, drawn when asked for, ``width`` pixels wide."""

    photos = True

    def __init__(self, config: DataConfig, splits: tuple[str, ...], width: int, check: SizeCheck) -> None:
        config.require_colour()
        self.scenes: Any = importlib.import_module("img2img.data.toy.streets")
        self.split, self.length = toy_split(splits, self.scenes.LENGTHS)
        classes = len(self.scenes.CLASSES)
        if config.label_nc < classes:
            raise ValueError(f"data.label_nc {config.label_nc}: the toy scenes have {classes} classes")
        self.height, self.width, self.instances = max(1, width // 2), width, config.instances
        check("the toy task's scene", self.height, self.width)
        if self.height < self.scenes.SMALLEST:
            raise ValueError(
                f"the toy task's scenes would be {width}x{self.height}: raise data.load_size, and data.crop_size with "
                f"resize_and_crop, to {2 * self.scenes.SMALLEST} or more"
            )
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"scene-{index:04d}"

    def read(self, index: int) -> dict[str, np.ndarray]:
        label, instance, picture = self.scenes.draw_scene(index, self.split, self.height, self.width)
        maps = {"label": label, "instance": instance} if self.instances else {"label": label}
        return {**{kind: ids.astype(np.int32) for kind, ids in maps.items()}, "target": picture}


class PairScenes:
    """Pairs of pictures as scenes: ``input`` and ``target``, in the direction of the task."""

    photos = True

    def __init__(self, pairs: PairSource, direction: Direction) -> None:
        self.pairs, self.domains = pairs, domains(direction)
        self.notes = pairs.notes

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs.name(index)

    def read(self, index: int) -> dict[str, np.ndarray]:
        sides = dict(zip("ab", self.pairs.read(index), strict=True))
        return dict(zip(("input", "target"), (sides[domain] for domain in self.domains), strict=True))


class LabelledDataset(Dataset[dict]):
    """``dataset[epoch, index]`` is one sample: ``label`` and ``instance`` (h, w, 1) int32, the latter where the options
    ask for it; ``target`` (h, w, C) integers, where this part of the set has photos; ``name``; and ``skipped``, the
    messages of files that could not be decoded, in whose place the next scene of the set came. Pixels of no class,
    ``config.ignore_id``, have the label -1. With ``config.label_nc`` 0 there is ``input`` (h, w, C) instead of
    the maps.

    Args:
        config: the data options.
        part: which part of the set; the training part must have photos.
        augment: whether crops and flips are random as the options say, or there is no chance in them.
        seed: of the augmentation.

    Raises:
        ValueError: as LabelFiles or FolderPairs; when sampling, if no scene of the set can be decoded.
    """

    notes: list[str]
    """What a user should know of the set although it can be used."""

    def __init__(self, config: DataConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        self.transform = jitter(config, augment)
        self.seed, self.ignore_id = seed, config.ignore_id
        self.keys = dict(
            zip(domains(config.direction), ("label" if config.label_nc else "input", "target"), strict=True)
        )
        self.check = check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        splits, size = config.splits(part), config.resized(augment)
        self.source: SceneSource
        if not config.label_nc:
            self.source = PairScenes(pair_source(config, part, size, check), config.direction)
        elif config.toy:
            self.source = ToyScenes(config, splits, size, check)
        else:
            self.source = LabelFiles(set_folder(config, part), splits, config, photos=part == "train", check=check)
        self.notes = self.source.notes

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if a scene becomes less than ``least`` pixels wide or high."""
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        scene, name, skipped = read_or_next(self.source, index)
        return {**self._transformed(keyed_seed(self.seed, epoch, index), scene), "name": name, "skipped": skipped}

    def _transformed(self, seed: int, scene: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pictures = {key: array for key, array in scene.items() if key not in IDS}
        maps = {key: array for key, array in scene.items() if key in IDS}
        arrays = self.transform(seed, *pictures.values(), ids=tuple(maps.values()))
        found = dict(zip([*pictures, *maps], arrays, strict=True))
        if "label" in found:  # what is no class is negative from here on
            found["label"] = np.where(found["label"] == self.ignore_id, -1, found["label"])
        return found

    def count(self, domain: Domain) -> int:
        """Label maps (a) or photos (b); pictures of a domain, where the inputs are pictures."""
        return len(self) if self.keys[domain] != "target" or self.source.photos else 0

    def name(self, domain: Domain, index: int) -> str:
        """Name of a scene."""
        return self.source.name(index)

    def scene(self, index: int) -> dict[str, np.ndarray]:
        """One scene as it is translated and compared: a sample's arrays, without chance. Raises UnreadableImage."""
        return self._transformed(0, self.source.read(index))

    def picture(self, domain: Domain, index: int) -> np.ndarray:
        """The label map (a) or the photo (b) of a scene, as ``scene`` has them: (h, w, C). Raises UnreadableImage."""
        return self.scene(index)[self.keys[domain]]

    def class_map(self, domain: Domain, index: int, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """As that of ``PairedDataset``, where the inputs are pictures; label maps are what they are."""
        key = self.keys[domain]
        if key == "label":
            return self.scene(index)["label"][:, :, 0]
        return self.transform(0, ids=(read(self.source.read(index)[key]),))[0][:, :, 0]

    def partner(self, domain: Domain, index: int) -> int | None:
        """Index, in the other domain, of the same scene, where it has both."""
        return index if self.source.photos else None
