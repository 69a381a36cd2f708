"""The data set of several domains: each image has the label of its domain, or labels for its attributes.

Choi et al., "StarGAN", arXiv 1711.09020, Sec. 3. Domains exclude each other (expressions, seasons, cameras) or are
attributes, of which an image can have several (Black_Hair, Male, Young):

    exclusive     root/train/DOMAIN/..., root/val/DOMAIN/..., or data.domains, a folder for each domain
    attributes    root has the images, data.attributes names columns of a table in it or beside it

Directions are named after their target. Every exclusive domain is the target of one direction, from all other domains.
An attribute NAME has two: NAME, from images without it, and no_NAME. Attributes of ``data.exclusive``, such as hair
colours, have the first only, which also turns the others of the group off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from img2img.data.base import (
    Direction,
    ImageDataset,
    Item,
    Labels,
    Lazy,
    TargetLabel,
    read_or_next,
    refuse_companions,
)
from img2img.data.domain_files import (
    DomainSource,
    FolderDomains,
    TableImages,
    domain_folders,
    find_table,
    in_validation_share,
    no_domains,
    read_table,
    table_rows,
)
from img2img.data.folder import Check, require_root
from img2img.data.images import read_image
from img2img.data.options import DataConfig, Part, check_channels
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed
from img2img.errors import require_at_least

UNEVEN = 10  # ratio of the largest to the smallest domain from which a training prints a remark
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")  # of CelebA
OFF = "no_"  # prefix of the directions that turn an attribute off


@dataclass
class DomainsConfig(DataConfig):
    """Where the images of several domains are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = [
        *DataConfig.everyday,
        *"domains attributes table exclusive val_share center_crop image_channels direction".split(),
    ]
    folders: ClassVar[Sequence[str]] = ("root", "domains")
    fixed: ClassVar[Sequence[str]] = ("names", "attributes", "image_channels")

    root: str | None = None
    """Folder of the image set: train/ and val/ with a folder for each domain; with attributes, the folder of the
    images."""
    toy: bool = False
    """Train on the toy task, drawn shoes in five colours, instead of data.root."""
    domains: dict[str, str] | None = None
    """Folder of the training images of each domain, instead of root: {black: DIR1, blond: DIR2}."""
    attributes: list[str] | str | None = None
    """Attributes to learn, columns of the table: [Black_Hair,Blond_Hair,Male], or a text with commas."""
    table: str | None = None
    """Table of attributes: CSV with a header, file names in the first column, values 1 and 0 or -1; or CelebA's
    list_attr_celeba.txt. Default: that file, or attributes.csv, in root or beside it."""
    exclusive: list[str] | str | None = None
    """Attributes of which an image has at most one: turning one on turns the others off. Default: CelebA's hair colours
    among the attributes."""
    val_share: float = 0.0
    """Share of the images to use for validation, in [0, 1), chosen by a hash of their names, if the set has no
    validation split."""
    even_domains: bool = False
    """Sample all domains equally often, however many images they have."""
    center_crop: int = 0
    """Side in pixels of a square cut from the centre of each image before resizing (CelebA: 178); 0: none."""
    image_channels: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA). Files are converted."""
    direction: str = ""
    """Domain that inference translates to by default (unset: the first)."""
    names: list[str] | None = None
    """Domains or attributes in the order of the label vector. Set when a training starts: folders sorted by name, or
    the attributes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attributes, self.exclusive = _as_list(self.attributes), _as_list(self.exclusive)
        if self.names and not self.direction:
            self.direction = self.names[0]
        check_channels(self, "image_channels")
        require_at_least("data", self, {"center_crop": 0})
        if not 0 <= self.val_share < 1:
            raise ValueError(f"data.val_share {self.val_share}: must be in [0, 1)")
        if self.domains is not None and self.root is not None:
            raise ValueError(f"data.domains and data.root {self.root}: set only one of them")
        if self.domains is not None and self.attributes:
            raise ValueError("data.domains and data.attributes: set only one of them; attributes need data.root")
        if self.attributes and self.toy:
            raise ValueError("data.attributes and data.toy true: set only one of them")
        for name, count in Counter(self.attributes).items():
            if count > 1:
                raise ValueError(f"data.attributes: {name} is there {count} times; give it once")
        for name in self.exclusive or ():
            if name not in (self.attributes or ()):
                raise ValueError(f"data.exclusive {name}: must be one of data.attributes")

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of images, and the length of the label vector ``domain``."""
        labels = self.names or self.attributes or ()
        return {"input": self.image_channels, "target": self.image_channels, "domain": len(labels)}

    @property
    def exclusive_attributes(self) -> list[str]:
        """Attributes of which an image has at most one."""
        if self.exclusive is not None:
            return list(self.exclusive)
        return [name for name in self.attributes or () if name in HAIR_COLOURS]


class DomainsDataset(ImageDataset):
    """Images with labels. ``config`` has the ``names`` that the set on disk fills in.

    Samples have ``input`` (crop, crop, C) integers, the same as ``target``, and ``labels`` (n,) float32: 1 for the
    image's domain or its attributes. If domains exclude each other, ``class`` is the number of its domain. An image
    that can't be decoded is replaced by the next one.

    Raises:
        ValueError: the set is missing or unreadable, the table doesn't fit the images, or there are fewer than two
            domains; when sampling, if no image can be decoded.
    """

    Config = DomainsConfig
    config: DomainsConfig

    def __init__(self, config: DomainsConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(_with_names(config), part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        self.source = _source(self.config, part, self._check_cropped)
        self.has_label = self.source.labels > 0  # (N, n)
        self.places = {name: np.flatnonzero(self._starts(name)) for name in self.directions(self.config)}
        if part == "train":
            self.notes = self._check_counts()

    @property
    def names(self) -> list[str]:
        """Domains or attributes, in the order of the label vector."""
        return list(self.config.names or ())

    def _check_cropped(self, path: Path, height: int, width: int) -> None:
        side = self.config.center_crop or max(height, width)
        self.check(path, min(height, side), min(width, side))

    def _starts(self, direction: str) -> np.ndarray:
        """Whether a direction translates each image (N,): it does unless the image is of the target domain."""
        number, on = _target(self.config, direction)
        return self.has_label[:, number] != on

    def _check_counts(self) -> list[str]:
        """Remarks about the numbers of images. Raises ValueError for a label that none or all of the images have."""
        counts = self.has_label.sum(0)
        for name, count in zip(self.names, counts, strict=True):
            if not 0 < count < len(self):
                share = "every" if count else "no"
                raise ValueError(f"data: {share} training image has the label {name}: leave it out or add images")
        notes = []
        if counts.max() >= UNEVEN * counts.min():
            few, many = self.names[int(counts.argmin())], self.names[int(counts.argmax())]
            notes.append(
                f"domains     {counts.max()} images of {many}, but {counts.min()} of {few}: data.even_domains true "
                "samples them equally often"
            )
        if not _has_validation(self.config):
            notes.append("domains     no validation split: data.val_share 0.05 makes one")
        return notes

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        place = self._even_place(epoch, index) if self.augment and self.config.even_domains else index
        (image, labels), name, skipped = read_or_next(self.source, place)
        image = self._transform(image, keyed_seed(self.seed, epoch, index))
        number = {} if self.config.attributes else {"class": int(labels.argmax())}
        return {"input": image, "target": image, "labels": labels, **number, "name": name, "skipped": skipped}

    def _even_place(self, epoch: int, index: int) -> int:
        """A random image with the label ``index`` modulo the number of labels."""
        places = np.flatnonzero(self.has_label[:, index % len(self.names)])
        return int(places[np.random.default_rng((self.seed, epoch, index)).integers(len(places))])

    def _transform(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": center_crop(image, self.config.center_crop)})["image"]

    def count(self, direction: str) -> int:
        return len(self.places[direction])

    def item(self, direction: str, index: int) -> Item:
        place = int(self.places[direction][index])
        image, labels = self.source.read(place)
        domain = target_labels(self.config, direction, labels)
        return Item(self.source.name(place), {"input": self._transform(image), "domain": domain})

    def item_name(self, direction: str, index: int) -> str:
        return self.source.name(int(self.places[direction][index]))

    def has_target(self, direction: str, index: int) -> bool:
        return False

    def images(self, domain: str) -> Sequence[np.ndarray]:
        places = np.flatnonzero(~self._starts(domain))
        return Lazy(len(places), lambda index: self._transform(self.source.read(int(places[index]))[0]))

    @property
    def size(self) -> str:
        counts = zip(self.has_label.sum(0), self.names, strict=True)
        return f"{len(self)} ({', '.join(f'{count} {name}' for count, name in counts)})"

    @classmethod
    def directions(cls, config: DomainsConfig) -> Mapping[str, Direction]:
        directions = {}
        for name in config.names or ():
            is_single = not config.attributes or name in config.exclusive_attributes
            directions[name] = Direction(None if is_single else OFF + name, name)
            if not is_single:
                directions[OFF + name] = Direction(name, OFF + name)
        return directions

    @classmethod
    def validated(cls, config: DomainsConfig) -> Sequence[str]:
        """All directions: one generator learns them together."""
        return list(cls.directions(config))

    @classmethod
    def labels(cls, config: DomainsConfig) -> Labels:
        return Labels(tuple(config.names or ()), exclusive=not config.attributes)

    @classmethod
    def target_label(cls, config: DomainsConfig, direction: str) -> TargetLabel:
        return _target(config, direction)

    @classmethod
    def complete(cls, config: DomainsConfig, direction: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds ``domain``, the target's labels, if it isn't there: an image from a file has no known attributes."""
        no_labels = np.zeros(len(config.names or ()), np.float32)
        return {**arrays, "domain": arrays.get("domain", target_labels(config, direction, no_labels))}

    @classmethod
    def read(cls, config: DomainsConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        refuse_companions(others, ())
        image = read_image(path, config.image_channels)
        return Item(path.stem, cls.complete(config, direction, {"input": image}))


def target_labels(config: DomainsConfig, direction: str, labels: np.ndarray) -> np.ndarray:
    """The labels (n,) float32 that an image with ``labels`` (n,) is translated to in a direction."""
    number, on = _target(config, direction)
    target = labels.copy() if config.attributes else np.zeros_like(labels)
    if on and direction in config.exclusive_attributes:
        for name in config.exclusive_attributes:
            target[_target(config, name)[0]] = 0
    target[number] = on
    return target


def center_crop(image: np.ndarray, side: int) -> np.ndarray:
    """The central square (side, side, C) of an image (H, W, C); all of it along a shorter side, or with side 0."""
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _target(config: DomainsConfig, direction: str) -> TargetLabel:
    """The label that a direction turns on or off. Raises ValueError for an unknown direction."""
    names = config.names or []
    if direction in names:
        return TargetLabel(names.index(direction), True)
    if config.attributes and direction.removeprefix(OFF) in names:
        return TargetLabel(names.index(direction.removeprefix(OFF)), False)
    raise ValueError(f"domain {direction}: must be one of {', '.join(names)}")


def _with_names(config: DomainsConfig) -> DomainsConfig:
    """The options with the names of the domains. Raises ValueError if there are fewer than two."""
    if config.names:
        return config
    if config.attributes:
        names = list(config.attributes)
    elif config.toy:
        from img2img.data.toy.shoes import COLOURS  # imported only for the toy task

        names = list(COLOURS)
    else:
        names = list(_training_folders(config))
    if len(names) < 2:
        raise ValueError(f"data: {names[0] if names else 'no domain'} alone: two domains or more are needed")
    return replace(config, names=names)


def _source(config: DomainsConfig, part: Part, check: Check) -> DomainSource:
    """The images of a split. Raises ValueError if they can't be found or read."""
    if config.toy:
        from img2img.data.toy.shoes import ToyColours

        if config.image_channels != 3:
            raise ValueError(f"data.image_channels {config.image_channels}: the toy task draws RGB images; set it to 3")
        size = config.resized(augment=part == "train")
        check(Path("the toy task's image"), size, size)
        return ToyColours(config.splits(part), size)
    channels = config.image_channels
    if config.attributes:
        root = _root(config)
        table = read_table(Path(config.table) if config.table else find_table(root))
        rows = table_rows(
            table,
            root,
            part,
            attributes=config.attributes,
            train_split=config.train_split,
            val_share=config.val_share,
        )
        return TableImages(root, rows, channels, check)
    own_split = _validation_folders(config)
    if part == "val" and own_split is not None:
        return FolderDomains(own_split, channels, check, lambda name: True)
    share = config.val_share if own_split is None else 0.0
    is_val = part == "val"
    return FolderDomains(
        _training_folders(config), channels, check, lambda name: in_validation_share(name, share) == is_val
    )


def _has_validation(config: DomainsConfig) -> bool:
    """Whether there may be validation images."""
    return bool(config.toy or config.attributes or config.val_share) or _validation_folders(config) is not None


def _training_folders(config: DomainsConfig) -> dict[str, Path]:
    """The folders of the training images by domain. Raises ValueError if there are none."""
    if config.domains is not None:
        return {name: Path(folder) for name, folder in config.domains.items()}
    root, splits = _root(config), config.splits("train")
    folders = domain_folders(root, splits, config.names)
    if folders is None:
        raise no_domains(root, splits)
    return folders


def _validation_folders(config: DomainsConfig) -> dict[str, Path] | None:
    """The folders of the validation images by domain; None if the set has no validation split.

    Raises:
        ValueError: ``val_split`` is set, and there is no such split.
    """
    if config.domains is not None:
        return None
    root, splits = _root(config), config.splits("val")
    folders = domain_folders(root, splits, config.names)
    if folders is None and config.val_split:
        raise no_domains(root, splits)
    return folders


def _root(config: DomainsConfig) -> Path:
    if config.root is None:
        raise ValueError("data.root is not set: set it to the folder of the images, or use --data.toy true")
    require_root(Path(config.root))
    return Path(config.root)


def _as_list(value: list[str] | str | None) -> list[str] | None:
    """A list of names from a list, or from a text with commas or spaces; None if it is empty."""
    words: Any = value.replace(",", " ").split() if isinstance(value, str) else value
    return list(words) if words else None
