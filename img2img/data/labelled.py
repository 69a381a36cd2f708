"""The data set of models that draw photos from label maps, as pix2pixHD (Wang et al., arXiv 1711.11585) does.

A scene is a map of class ids, a map of instance ids and a photo. They come from a folder (``label_files.LabelFiles``)
or are drawn (``ToyScenes``).
Ids stay integers up to the device: ``networks.labels`` makes one-hot classes and boundaries of them there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import Direction, ImageDataset, Item, Lazy, read_or_next, refuse_companions
from img2img.data.folder import list_images
from img2img.data.label_files import LabelFiles, read_ids, scene_name
from img2img.data.options import Part, TwoDomainConfig, require_at_least
from img2img.data.paired import set_folder
from img2img.data.toy import toy_split
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed

LABELS, INSTANCES = "_labelIds", "_instanceIds"  # how the names of Cityscapes' files end


class SceneSource(Protocol):
    """Where scenes come from: dictionaries of ``label`` and ``instance`` (H, W), ``target`` and ``input`` (H, W, C)."""

    notes: list[str]

    @property
    def photos(self) -> bool: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> dict[str, np.ndarray]: ...


@dataclass
class LabelledConfig(TwoDomainConfig):
    """Where the label maps and photos are and what is done to them; or, with label_nc 0, pairs of images."""

    everyday: ClassVar[Sequence[str]] = [*TwoDomainConfig.everyday, "label_nc", "instances"]
    fixed: ClassVar[Sequence[str]] = [*TwoDomainConfig.fixed, "label_nc", "ignore_id", "instances"]

    root: str | None = None
    """Folder of the set: train_label/ + train_inst/ + train_img/; with label_nc 0 pairs: trainA/ + trainB/, train_A/ +
    train_B/, train/A/ + train/B/, or train/ with A and B side by side in each file."""
    toy: bool = False
    """Train on the embedded toy task, drawn streets (label_nc 9), instead of files of data.root."""
    label_nc: int = 0
    """Classes of the label maps, ids 0..label_nc-1; 0: the inputs are images, as of pairs."""
    ignore_id: int = 255
    """Id of label maps that means no class; its one-hot is all zero."""
    instances: bool = True
    """Read instance maps beside label maps, whose boundaries the networks then see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, ("label_nc", "ignore_id"))
        if self.label_nc and self.direction != "AtoB":
            raise ValueError(f"data.direction {self.direction}: label maps become images, AtoB, and not the reverse")

    @property
    def channels(self) -> dict[str, int]:
        """Those of the domains; with label maps also of the one-hot ``label`` and, if read, of ``instance``."""
        if not self.label_nc:
            return super().channels
        boundaries = {"instance": 1} if self.instances else {}
        return {**super().channels, "label": self.label_nc, **boundaries}


class ToyScenes:
    """The embedded task: scenes twice as wide as high, drawn when asked for, ``width`` pixels wide."""

    photos = True

    def __init__(self, config: LabelledConfig, splits: tuple[str, ...], width: int, check: SizeCheck) -> None:
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
        label, instance, image = self.scenes.draw_scene(index, self.split, self.height, self.width)
        maps = {"label": label, "instance": instance} if self.instances else {"label": label}
        return {**{kind: ids.astype(np.int32) for kind, ids in maps.items()}, "target": image}


class LabelledDataset(ImageDataset):
    """Samples have ``label`` and ``instance`` (h, w, 1) int32, the latter where the options ask for it, and ``target``
    (h, w, C) integers, where this part of the set has photos; the training part must have them. Pixels of no class,
    ``config.ignore_id``, have the label -1. Where a scene can't be decoded, the next one comes.

    Raises:
        ValueError: as LabelFiles or FolderPairs; when sampling, if no scene of the set can be decoded.
    """

    companions = ("instance",)
    Config = LabelledConfig
    config: LabelledConfig

    def __init__(self, config: LabelledConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.check = check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        splits, size = config.splits(part), config.resized(augment)
        self.source: SceneSource
        if config.toy:
            self.source = ToyScenes(config, splits, size, check)
        else:
            self.source = LabelFiles(
                set_folder(config, part),
                splits,
                label_nc=config.label_nc,
                ignore_id=config.ignore_id,
                instances=config.instances,
                channels=config.channels_b,
                photos=part == "train",
                check=check,
            )
        self.notes = self.source.notes

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        scene, name, skipped = read_or_next(self.source, index)
        return {**self._transformed(keyed_seed(self.seed, epoch, index), scene), "name": name, "skipped": skipped}

    def _transformed(self, seed: int, scene: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self.transform(seed, scene)
        if "label" in found:  # what is no class is negative from here on
            found["label"] = np.where(found["label"] == self.config.ignore_id, -1, found["label"])
        return found

    def _scene(self, index: int) -> dict[str, np.ndarray]:
        """A sample's arrays, without chance. Raises UnreadableImage."""
        return self._transformed(0, self.source.read(index))

    def count(self, direction: str) -> int:
        return len(self)

    def item(self, direction: str, index: int) -> Item:
        scene = self._scene(index)
        target = scene.pop("target", None)
        return Item(self.source.name(index), scene, target)

    def item_name(self, direction: str, index: int) -> str:
        return self.source.name(index)

    def has_target(self, direction: str, index: int) -> bool:
        return self.source.photos

    def images(self, domain: str) -> Sequence[np.ndarray]:
        if domain != "b":
            raise ValueError(f"domain {domain}: has label maps, and no images")
        return Lazy(len(self) if self.source.photos else 0, lambda index: self._scene(index)["target"])

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return self._scene(index)["label"][:, :, 0]

    @classmethod
    def is_meant(cls, config: LabelledConfig) -> bool:
        return config.label_nc > 0

    @classmethod
    def directions(cls, config: LabelledConfig) -> Mapping[str, Direction]:
        return {"AtoB": Direction("a", "b")}

    @classmethod
    def read(cls, config: LabelledConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        refuse_companions(others, ("instance",) if config.instances else ())
        maps = {"label": read_ids(path)[:, :, None]}
        if config.instances:
            maps["instance"] = read_ids(instance_file(path, others.get("instance")))[:, :, None]
        return Item(path.stem, maps)

    @classmethod
    def inputs(cls, config: LabelledConfig, files: Sequence[Path]) -> list[Path]:
        """Of Cityscapes' own folders the label maps alone, beside which a scene's instances and colours lie."""
        scenes = {(path.parent, scene_name(path.stem)) for path in files if path.stem.endswith(LABELS)}
        return [p for p in files if p.stem.endswith(LABELS) or (p.parent, scene_name(p.stem)) not in scenes]


def instance_file(path: Path, given: Path | None) -> Path:
    """The instance map of a label map: ``given``, the one of its scene in the folder ``given``, or, of Cityscapes'
    names, the one beside it. Raises ValueError if there is none, or several.
    """
    if given is None:
        beside = path.with_name(f"{path.stem.removesuffix(LABELS)}{INSTANCES}{path.suffix}")
        if not path.stem.endswith(LABELS) or not beside.is_file():
            raise ValueError(f"{path}: its run sees instance maps: give them by --instances FILE|DIR")
        return beside
    if not given.is_dir():
        return given
    scene = scene_name(path.stem)
    found = [p for p in list_images(given) if scene_name(p.stem) == scene and not p.samefile(path)]
    if len(found) > 1:  # Cityscapes' own folders hold colours, labels and instances side by side
        found = [p for p in found if p.stem.endswith(INSTANCES)]
    if len(found) != 1:
        raise ValueError(f"--instances {given}: {len(found)} files for {path.name}; one is needed")
    return found[0]
