"""Data set of label maps, instance maps and photos, for pix2pixHD (Wang et al., arXiv 1711.11585).

Scenes are read from a folder (``label_files.LabelFiles``) or drawn (``ToyScenes``). Batches have ids as integers;
``networks.labels`` makes one-hot classes and instance boundaries of them on the device.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import Direction, ImageDataset, Item, Lazy, read_or_next, refuse_companions
from img2img.data.folder import list_images, require_root
from img2img.data.label_files import LabelFiles, read_ids, scene_name
from img2img.data.options import Part, TwoDomainConfig
from img2img.data.toy import toy_split
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed
from img2img.errors import require_at_least

LABELS, INSTANCES = "_labelIds", "_instanceIds"  # endings of Cityscapes' file names


class SceneSource(Protocol):
    """A source of scenes: dictionaries of ``label`` and ``instance`` (H, W) int32 and ``target`` (H, W, C)."""

    notes: list[str]

    @property
    def photos(self) -> bool: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> dict[str, np.ndarray]: ...


@dataclass
class LabelledConfig(TwoDomainConfig):
    """Where the images are (label maps and photos; or pairs, with label_nc 0), and how they are resized and batched."""

    everyday: ClassVar[Sequence[str]] = [*TwoDomainConfig.everyday, "label_nc", "instances"]
    fixed: ClassVar[Sequence[str]] = [*TwoDomainConfig.fixed, "label_nc", "ignore_id", "instances"]

    root: str | None = None
    """Folder of the image set, with train_label/, train_inst/ and train_img/ (the same for val or test). With label_nc
    0: trainA/ + trainB/, train_A/ + train_B/, train/A/ + train/B/, or train/ with side-by-side pairs (A left)."""
    toy: bool = False
    """Train on the toy task, drawn street scenes (set label_nc 9), instead of data.root."""
    label_nc: int = 0
    """Number of classes of the label maps, whose ids are 0..label_nc-1. 0: translate images instead of label maps."""
    ignore_id: int = 255
    """Id of pixels without a class in label maps; their one-hot encoding is all zeros."""
    instances: bool = True
    """With label maps: also read instance maps, whose boundaries are an input of the networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("data", self, {"label_nc": 0, "ignore_id": 0})
        if self.label_nc and self.direction != "AtoB":
            raise ValueError(
                f"data.direction {self.direction}: label maps are translated to images only; set it to AtoB"
            )

    @property
    def channels(self) -> dict[str, int]:
        """As for pairs; with label maps also those of the one-hot ``label`` and of ``instance``, if read."""
        if not self.label_nc:
            return super().channels
        boundaries = {"instance": 1} if self.instances else {}
        return {**super().channels, "label": self.label_nc, **boundaries}


class ToyScenes:
    """The toy task: street scenes of ``width`` x ``width / 2`` pixels, drawn on access."""

    photos = True

    def __init__(self, config: LabelledConfig, splits: tuple[str, ...], width: int, check: SizeCheck) -> None:
        config.require_colour()
        self.scenes: Any = importlib.import_module("img2img.data.toy.streets")
        self.split, self.length = toy_split(splits, self.scenes.LENGTHS)
        classes = len(self.scenes.CLASSES)
        if config.label_nc < classes:
            raise ValueError(
                f"data.label_nc {config.label_nc}: the toy task has {classes} classes; set it to {classes}"
            )
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
    """Samples have ``label`` (h, w, 1) int32, with -1 for ``config.ignore_id``; ``instance`` (h, w, 1) int32 if
    ``config.instances``; and ``target`` (h, w, C) uint8 or uint16, which only the validation split may lack. Scenes
    that can't be decoded are replaced by the next one.

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
                require_root(config.root),
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
        arrays = self.transform(seed, scene)
        if "label" in arrays:
            arrays["label"] = np.where(arrays["label"] == self.config.ignore_id, -1, arrays["label"])
        return arrays

    def _scene(self, index: int) -> dict[str, np.ndarray]:
        """A scene without random augmentation. Raises UnreadableImage."""
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
            raise ValueError(f"domain {domain}: has label maps instead of images")
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
        """All files; in a folder of Cityscapes only the label maps, not the instance maps and colours beside them."""
        scenes = {(path.parent, scene_name(path.stem)) for path in files if path.stem.endswith(LABELS)}
        return [p for p in files if p.stem.endswith(LABELS) or (p.parent, scene_name(p.stem)) not in scenes]


def instance_file(path: Path, instances: Path | None) -> Path:
    """The file with the instance map of a label map.

    Args:
        path: the label map.
        instances: the file itself, or a folder that has it; unset, it is looked for beside the label map by its name
            in Cityscapes.

    Raises:
        ValueError: there is no such file, or several.
    """
    if instances is None:
        beside = path.with_name(f"{path.stem.removesuffix(LABELS)}{INSTANCES}{path.suffix}")
        if not path.stem.endswith(LABELS) or not beside.is_file():
            raise ValueError(f"{path}: the run sees instance maps: give them by --instances FILE|DIR")
        return beside
    if not instances.is_dir():
        return instances
    scene = scene_name(path.stem)
    files = [p for p in list_images(instances) if scene_name(p.stem) == scene and not p.samefile(path)]
    if len(files) > 1:  # Cityscapes has colours, labels and instances in one folder
        files = [p for p in files if p.stem.endswith(INSTANCES)]
    if len(files) != 1:
        raise ValueError(f"--instances {instances}: {len(files)} files for {path.name}; there must be one")
    return files[0]
