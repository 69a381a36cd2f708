"""The data set of several domains: each image has the label of its domain, or labels for its attributes.

Choi et al., "StarGAN", arXiv 1711.09020, Sec. 3. Domains exclude each other (expressions, seasons, cameras) or are
attributes, of which an image can have several (Black_Hair, Male, Young):

    exclusive     root/train/DOMAIN/..., root/val/DOMAIN/..., or data.domains, a folder for each domain
    attributes    root has the images, data.attributes names columns of a table in it or beside it
    joint         one of both, and data.joint_root with the folders of a second set of exclusive domains

Directions are named after their target. Every exclusive domain is the target of one direction, from all other domains.
An attribute NAME has two: NAME, from images without it, and no_NAME. Attributes of ``data.exclusive``, such as hair
colours, have the first only, which also turns the others of the group off. ``domain_labels`` has the label vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from img2img.data.base import (
    Direction,
    ImageDataset,
    Item,
    LabelSet,
    Lazy,
    TargetLabel,
    read_or_next,
    refuse_companions,
)
from img2img.data.domain_files import (
    DomainSource,
    FolderDomains,
    Table,
    TableImages,
    domain_folders,
    domain_of,
    find_table,
    in_validation_share,
    no_domains,
    read_table,
    row_of,
    table_rows,
)
from img2img.data.domain_labels import Labels, SetLabels
from img2img.data.folder import Check, require_root
from img2img.data.images import read_image
from img2img.data.options import DataConfig, Part, check_channels
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed
from img2img.errors import require_at_least

UNEVEN = 10  # ratio of the largest to the smallest domain from which a training prints a remark
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")  # of CelebA
Source = Callable[[Part, Check], DomainSource]
ALL = ""  # the direction of all images, without a target


@dataclass
class DomainsConfig(DataConfig):
    """Where the images of several domains are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = [
        *DataConfig.everyday,
        *"domains attributes table exclusive val_share center_crop joint_root image_channels direction".split(),
    ]
    folders: ClassVar[Sequence[str]] = ("root", "domains")
    fixed: ClassVar[Sequence[str]] = ("names", "joint_names", "attributes", "image_channels")

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
    """Attributes of which an image has at most one: turning one on turns the others off. Several groups: a list of
    texts, ['A,B', 'C,D']. Default: CelebA's hair colours among the attributes."""
    val_share: float = 0.0
    """Share of the images to use for validation, in [0, 1), chosen by a hash of their names, if the set has no
    validation split."""
    even_domains: bool = False
    """Sample all domains equally often, however many images they have."""
    center_crop: int = 0
    """Side in pixels of a square cut from the centre of each image before resizing (CelebA: 178); 0: none."""
    joint_root: str | None = None
    """Folder of a second set, whose domains exclude each other: train/ and val/ with a folder for each domain. Both
    sets are learned jointly; every second image is of this set (Sec. 3.2)."""
    joint_center_crop: int = 0
    """center_crop of the images of joint_root (RaFD: 256 or none)."""
    image_channels: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA). Files are converted."""
    direction: str = ""
    """Domain that inference translates to by default (unset: the first)."""
    names: list[str] | None = None
    """Domains or attributes in the order of the label vector. Set when a training starts: folders sorted by name, or
    the attributes."""
    joint_names: list[str] | None = None
    """Domains of joint_root in the order of the label vector. Set when a training starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attributes, self.exclusive = _as_list(self.attributes), _as_groups(self.exclusive)
        if self.names and not self.direction:
            self.direction = self.names[0]
        check_channels(self, "image_channels")
        require_at_least("data", self, {"center_crop": 0, "joint_center_crop": 0})
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
        for name, count in Counter(name for group in self.groups for name in group).items():
            if name not in (self.attributes or ()):
                raise ValueError(f"data.exclusive {name}: must be one of data.attributes")
            if count > 1:
                raise ValueError(f"data.exclusive: {name} is there {count} times; give it once")
        for name in self.joint_names or ():
            if name in (self.names or ()):
                raise ValueError(f"data.joint_root {self.joint_root}: {name} is a domain of both sets; rename one")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups of attributes of which at most one holds."""
        if self.exclusive is None:
            hair = tuple(name for name in self.attributes or () if name in HAIR_COLOURS)
            return (hair,) if hair else ()
        separate = [tuple(_as_list(each) or ()) for each in self.exclusive]
        if all(len(names) == 1 for names in separate):  # [A, B] is one group
            return (tuple(name for names in separate for name in names),)
        return tuple(separate)

    @property
    def labels(self) -> Labels:
        """What the label vector means. Known when ``names`` is set."""
        names = tuple(self.names or self.attributes or ())
        sets = [SetLabels(names, exclusive=not self.attributes, groups=self.groups)]
        sets += [SetLabels(tuple(self.joint_names), exclusive=True)] if self.joint_names else []
        return Labels(tuple(sets))

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of images; length of the label vector ``domain``; how many of its labels are of the first
        of two sets."""
        labels = self.labels
        joint = {"first_labels": len(labels.sets[0].names)} if len(labels.sets) > 1 else {}
        return {"input": self.image_channels, "target": self.image_channels, "domain": labels.length, **joint}


class DomainsDataset(ImageDataset):
    """Images with labels. ``config`` has the ``names`` that the set on disk fills in.

    Samples have ``input`` (crop, crop, C) integers, the same as ``target``; ``labels`` (length,) float32, the vector of
    the image's domain or attributes; and ``class``, the number of its domain among those of its set, or -1 if the set
    has attributes. Samples without augmentation also have ``targets`` (n, length), the vectors that sample grids show.
    An image that can't be decoded is replaced by the next one of its set.

    Of two sets learned jointly, sample 2 i is of the first one, and sample 2 i + 1 of the second. The smaller set is
    repeated until the larger one ends.

    Raises:
        ValueError: the set is missing or unreadable, the table doesn't fit the images, or there are fewer than two
            domains; when sampling, if no image can be decoded.
    """

    Config = DomainsConfig
    config: DomainsConfig

    def __init__(self, config: DomainsConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(_with_names(config), part, augment=augment, seed=seed)
        self.labels = self.config.labels
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        self.crops = [config.center_crop, config.joint_center_crop][: len(self.labels.sets)]
        self.sources = [
            self._open(source, crop) for source, crop in zip(_sources(self.config), self.crops, strict=True)
        ]
        known = [
            [self.labels.known(number, values) for values in source.labels]
            for number, source in enumerate(self.sources)
        ]
        self.known = np.array([labels for each in known for labels in each]).reshape(-1, len(self.names))  # (N, n)
        self.set_numbers = np.repeat(np.arange(len(self.sources)), [len(each) for each in known])  # (N,)
        self.places = {name: np.flatnonzero(self._starts(name)) for name in self.directions(self.config)}
        self.places[ALL] = np.arange(len(self.known))
        if part == "train":
            self.notes = self._check_counts()

    def _open(self, source: Source, crop: int) -> DomainSource:
        """The images of this part of a set; those of training for validation if the set has no others."""
        check = partial(self._check_cropped, crop)
        images = source(self.part, check)
        if self.part == "val" and not len(images):
            self.notes = [
                "domains     no validation split, so sample grids and metrics show training images; "
                "data.val_share 0.05 keeps some for validation"
            ]
            return source("train", check)
        return images

    @property
    def names(self) -> list[str]:
        """Domains or attributes, in the order of the label vector."""
        return list(self.labels.names)

    def _check_cropped(self, crop: int, path: Path, height: int, width: int) -> None:
        side = crop or max(height, width)
        self.check(path, min(height, side), min(width, side))

    def _starts(self, direction: str) -> np.ndarray:
        """Whether a direction translates each image (N,): it does unless the image is of the target domain, or of the
        other of two sets."""
        index, on = self.labels.target(direction)
        own = self.known[:, index]
        return np.where(np.isnan(own), False, own != on)

    def _check_counts(self) -> list[str]:
        """Remarks about the numbers of images. Raises ValueError for a label that none or all of its set's images
        have."""
        counts = np.nansum(self.known, 0).astype(int)
        sizes = (~np.isnan(self.known)).sum(0)
        for name, count, size in zip(self.names, counts, sizes, strict=True):
            if not 0 < count < size:
                share = "every" if count else "no"
                raise ValueError(f"data: {share} training image has the label {name}: leave it out or add images")
        if counts.max() >= UNEVEN * counts.min():
            few, many = self.names[int(counts.argmin())], self.names[int(counts.argmax())]
            return [
                f"domains     {counts.max()} images of {many}, but {counts.min()} of {few}: data.even_domains true "
                "samples them equally often"
            ]
        return []

    def __len__(self) -> int:
        return len(self.sources) * max(len(source) for source in self.sources)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        number, place = index % len(self.sources), index // len(self.sources)
        source = self.sources[number]
        if self.augment and self.config.even_domains:
            place = self._even_place(source, epoch, index)
        (image, values), name, skipped = read_or_next(source, place % len(source))
        image = self._transform(image, number, keyed_seed(self.seed, epoch, index))
        own = self.labels.known(number, values)
        is_exclusive = self.labels.sets[number].exclusive
        sample = {
            "input": image,
            "target": image,
            "labels": self.labels.vector(number, own),
            "class": int(values.argmax()) if is_exclusive else -1,
            "name": name,
            "skipped": skipped,
        }
        return sample if self.augment else {**sample, "targets": self.labels.shown(own)}

    def _even_place(self, source: DomainSource, epoch: int, index: int) -> int:
        """A random image of a set; its label takes turns."""
        has_label = source.labels > 0  # (N, n)
        turn = index // len(self.sources) % has_label.shape[1]
        places = np.flatnonzero(has_label[:, turn])
        return int(places[np.random.default_rng((self.seed, epoch, index)).integers(len(places))])

    def _transform(self, image: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": center_crop(image, self.crops[number])})["image"]

    def _locate(self, place: int) -> tuple[int, int]:
        """(Number of the set, index in it) of one of all N images."""
        number = int(self.set_numbers[place])
        return number, place - int(np.searchsorted(self.set_numbers, number))

    def _image(self, place: int) -> np.ndarray:
        number, index = self._locate(place)
        return self._transform(self.sources[number].read(index)[0], number)

    def count(self, direction: str) -> int:
        return len(self.places[direction])

    def item(self, direction: str, index: int) -> Item:
        """As in the base class. The items of the direction ``ALL`` are all images, with their ``labels`` (n,)."""
        place = int(self.places[direction][index])
        own = self.known[place]
        label = {"labels": own} if direction == ALL else {"domain": self.labels.directed(direction, own)}
        return Item(self.item_name(direction, index), {"input": self._image(place), **label})

    def item_name(self, direction: str, index: int) -> str:
        number, place = self._locate(int(self.places[direction][index]))
        return self.sources[number].name(place)

    def has_target(self, direction: str, index: int) -> bool:
        return False

    def images(self, domain: str) -> Sequence[np.ndarray]:
        index, on = self.labels.target(domain)
        places = np.flatnonzero(self.known[:, index] == on)
        return Lazy(len(places), lambda i: self._image(int(places[i])))

    @property
    def size(self) -> str:
        counts = zip(np.nansum(self.known, 0).astype(int), self.names, strict=True)
        return f"{len(self.known)} ({', '.join(f'{count} {name}' for count, name in counts)})"

    @classmethod
    def directions(cls, config: DomainsConfig) -> Mapping[str, Direction]:
        return config.labels.directions() if config.names else {}

    @classmethod
    def titles(cls, config: DomainsConfig) -> Mapping[str, str]:
        return {f"domain_{number}": name for number, name in enumerate(config.labels.names)}

    @classmethod
    def validated(cls, config: DomainsConfig) -> Sequence[str]:
        """All directions: one generator learns them together."""
        return list(cls.directions(config))

    @classmethod
    def label_sets(cls, config: DomainsConfig) -> Sequence[LabelSet]:
        return [LabelSet(each.names, each.exclusive) for each in config.labels.sets]

    @classmethod
    def target_label(cls, config: DomainsConfig, direction: str) -> TargetLabel:
        return TargetLabel(*config.labels.target(direction))

    def known_labels(self, sample: Mapping[str, Any]) -> np.ndarray:
        return self.labels.of_vector(sample["labels"])

    @classmethod
    def read(cls, config: DomainsConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        """As in the base class; with the image's ``labels`` (n,): those that the set knows, NaN for the others."""
        refuse_companions(others, ())
        image = read_image(path, config.image_channels)
        return Item(path.stem, {"input": image, "labels": known_labels(config, path)})


def known_labels(config: DomainsConfig, path: Path) -> np.ndarray:
    """What the set knows of a file of its own: labels (n,), NaN for those that it does not know."""
    labels = config.labels
    for name, folder in (config.domains or {}).items():
        if Path(folder).resolve() in path.resolve().parents:
            return labels.own([name])
    exclusive = () if config.attributes else config.names or ()
    for root, names in ((config.root, exclusive), (config.joint_root, config.joint_names or ())):
        domain = domain_of(path, Path(root)) if root else None
        if domain is not None and domain in names:
            return labels.own([domain])
    if config.attributes and config.root:
        with suppress(ValueError):  # the set may have been moved or deleted since the training
            values = row_of(_table(config), Path(config.root), path, config.attributes)
            return labels.unknown if values is None else labels.known(0, values)
    return labels.unknown


def center_crop(image: np.ndarray, side: int) -> np.ndarray:
    """The central square (side, side, C) of an image (H, W, C); all of it along a shorter side, or with side 0."""
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _with_names(config: DomainsConfig) -> DomainsConfig:
    """The options with the names of the domains. Raises ValueError if there are fewer than two."""
    names, joint_names = config.names, config.joint_names
    if not names:
        names = _names(config)
        if len(names) < 2:
            raise ValueError(f"data: {names[0] if names else 'no domain'} alone: two domains or more are needed")
    if config.joint_root and not joint_names:
        joint_names = list(_training_folders(config, joint=True))
    if (names, joint_names) == (config.names, config.joint_names):
        return config
    return replace(config, names=names, joint_names=joint_names)


def _names(config: DomainsConfig) -> list[str]:
    """The labels of the first set."""
    if config.attributes:
        return list(config.attributes)
    if config.toy:
        from img2img.data.toy.shoes import COLOURS  # imported only for the toy task

        return list(COLOURS)
    return list(_training_folders(config))


def _sources(config: DomainsConfig) -> list[Source]:
    """The functions that open a split of each set. They raise ValueError if images can't be found or read."""
    if config.toy:
        first: Source = partial(_toy, config)
    elif config.attributes:
        first = partial(_table_images, config)
    else:
        first = partial(_folder_images, config, joint=False)
    return [first, *([partial(_folder_images, config, joint=True)] if config.joint_names else [])]


def _toy(config: DomainsConfig, part: Part, check: Check) -> DomainSource:
    from img2img.data.toy.shoes import ToyColours

    if config.image_channels != 3:
        raise ValueError(f"data.image_channels {config.image_channels}: the toy task draws RGB images; set it to 3")
    size = config.resized(augment=part == "train")
    check(Path("the toy task's image"), size, size)
    return ToyColours(config.splits(part), size)


def _table_images(config: DomainsConfig, part: Part, check: Check) -> DomainSource:
    root = _root(config.root, "root")
    rows = table_rows(
        _table(config),
        root,
        part,
        attributes=config.attributes or (),
        train_split=config.train_split,
        val_share=config.val_share,
    )
    return TableImages(root, rows, config.image_channels, check)


def _folder_images(config: DomainsConfig, part: Part, check: Check, *, joint: bool) -> DomainSource:
    own_split = _validation_folders(config, joint=joint)
    if part == "val" and own_split is not None:
        return FolderDomains(own_split, config.image_channels, check, lambda name: True)
    share = config.val_share if own_split is None else 0.0
    return FolderDomains(
        _training_folders(config, joint=joint),
        config.image_channels,
        check,
        lambda name: in_validation_share(name, share) == (part == "val"),
    )


def _table(config: DomainsConfig) -> Table:
    return read_table(Path(config.table) if config.table else find_table(_root(config.root, "root")))


def _training_folders(config: DomainsConfig, *, joint: bool = False) -> dict[str, Path]:
    """The folders of a set's training images by domain. Raises ValueError if there are none."""
    if config.domains is not None and not joint:
        return {name: Path(folder) for name, folder in config.domains.items()}
    root, splits, names = _folder_set(config, "train", joint=joint)
    folders = domain_folders(root, splits, names)
    if folders is None:
        raise no_domains(root, splits)
    return folders


def _validation_folders(config: DomainsConfig, *, joint: bool = False) -> dict[str, Path] | None:
    """The folders of a set's validation images by domain; None if the set has no validation split.

    Raises:
        ValueError: ``val_split`` is set, and there is no such split.
    """
    if config.domains is not None and not joint:
        return None
    root, splits, names = _folder_set(config, "val", joint=joint)
    folders = domain_folders(root, splits, names)
    if folders is None and config.val_split:
        raise no_domains(root, splits)
    return folders


def _folder_set(config: DomainsConfig, part: Part, *, joint: bool) -> tuple[Path, Sequence[str], list[str] | None]:
    """(Folder, names of the split, names of the domains) of the first set or of the second."""
    if joint:
        return _root(config.joint_root, "joint_root"), config.splits(part), config.joint_names
    return _root(config.root, "root"), config.splits(part), config.names


def _root(folder: str | None, key: str) -> Path:
    if folder is None:
        raise ValueError(f"data.{key} is not set: set it to the folder of the images, or use --data.toy true")
    require_root(Path(folder))
    return Path(folder)


def _as_list(value: list[str] | str | None) -> list[str] | None:
    """A list of names from a list, or from a text with commas or spaces; None if it is empty."""
    words: Any = value.replace(",", " ").split() if isinstance(value, str) else value
    return list(words) if words else None


def _as_groups(value: list[str] | str | None) -> list[str] | None:
    """A list of groups, each a text with commas, from a list or from a text with semicolons; None if it is empty."""
    if isinstance(value, str) and ";" in value:
        return [part.strip() for part in value.split(";") if part.strip()]
    return _as_list(value)
