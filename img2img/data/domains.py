"""The data set of many domains: images, each with the domain that it is of, or with the attributes that it has.

Choi et al., "StarGAN", arXiv 1711.09020, Sec. 3. Domains exclude each other (folders: an expression, a season, a
camera), or are attributes of which several hold at once (a table: Black_Hair, Male, Young).

    exclusive     root/train/DOMAIN/..., root/val/DOMAIN/..., or data.domains, a folder for each
    attributes    root holds the images, data.attributes names columns of a table beside it

Directions are named by their target. Of exclusive domains there is one to each, from all others. Of an attribute NAME
there are NAME, from images without it to images with it, and no_NAME; but the attributes of ``data.exclusive``, such as
hair colours, have the first only, which switches the others of the group off.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import Direction, ImageDataset, Item, Lazy, read_or_next, refuse_companions
from img2img.data.folder import Check, FolderImages, list_images, other_splits, require_root, some
from img2img.data.images import read_image
from img2img.data.options import DataConfig, Part, check_channels, require_at_least
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed

CELEBA_TABLE = "list_attr_celeba.txt"
CELEBA_SEED, CELEBA_TEST = 1234, 1999  # of the official code's split: lines shuffled, the first ones are its test part
UNEVEN = 10  # times as many images in the largest domain as in the smallest, from which a training says so
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
OFF = "no_"  # before an attribute's name: the direction that switches it off


@dataclass
class DomainsConfig(DataConfig):
    """Where the images of all domains are and what is done to them."""

    everyday: ClassVar[Sequence[str]] = [
        *DataConfig.everyday,
        *"domains attributes table exclusive val_share center_crop image_channels direction".split(),
    ]
    folders: ClassVar[Sequence[str]] = ("root", "domains")
    fixed: ClassVar[Sequence[str]] = ("names", "attributes", "image_channels")

    root: str | None = None
    """Folder of the set: train/ and val/ in it, with a folder for each domain; with attributes the folder of the
    images."""
    toy: bool = False
    """Train on the embedded toy task, drawn shoes in five colours, instead of files of data.root."""
    domains: dict[str, str] | None = None
    """Folders of training images by the name of their domain, instead of root: {black: DIR1, blond: DIR2}."""
    attributes: list[str] | str | None = None
    """Attributes to learn, columns of the table: [Black_Hair,Blond_Hair,Male], or one text with commas."""
    table: str | None = None
    """Table of attributes: CSV with a header whose first column is the file's name and whose values are 1 and 0 or -1,
    or CelebA's list_attr_celeba.txt. Unset, that file or attributes.csv in root or beside it."""
    exclusive: list[str] | str | None = None
    """Attributes of which one holds at most, such as hair colours; switching one on switches the others off. Unset,
    those of Black_Hair, Blond_Hair, Brown_Hair and Gray_Hair that are learnt."""
    val_share: float = 0.0
    """Share of the images that is kept for validation, by a hash of their names, where the set has no such part."""
    even_domains: bool = False
    """Draw images of rare domains as often as those of frequent ones."""
    center_crop: int = 0
    """Side in pixels of a square that is cut from the middle of each image first (CelebA: 178); 0: none."""
    image_channels: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA); files are converted to it."""
    direction: str = ""
    """Domain that inference makes unless --direction says another; unset, the first."""
    names: list[str] | None = None
    """Domains, or attributes, in the order of the target vector. Unset, they are found in the set when a training
    begins, folders in the order of the alphabet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attributes, self.exclusive = _words(self.attributes), _words(self.exclusive)
        check_channels(self, "image_channels")
        if self.names and not self.direction:
            self.direction = self.names[0]
        require_at_least(self, 0, ("center_crop",))
        if not 0 <= self.val_share < 1:
            raise ValueError(f"data.val_share {self.val_share}: must lie in [0, 1)")
        if self.domains is not None and self.root is not None:
            raise ValueError(f"data.domains and data.root {self.root}: choose one of them")
        if self.domains is not None and self.attributes:
            raise ValueError(
                "data.domains and data.attributes: choose one of them; attributes are of images in data.root"
            )
        if self.attributes and self.toy:
            raise ValueError("data.attributes and data.toy true: choose one of them")
        if twice := [name for name, count in Counter(self.attributes or ()).items() if count > 1]:
            raise ValueError(f"data.attributes: {twice[0]} stands there twice")
        for name in self.exclusive or ():
            if name not in (self.attributes or ()):
                raise ValueError(f"data.exclusive {name}: is none of data.attributes")

    @property
    def channels(self) -> dict[str, int]:
        """Channels of the images, and the length of the target vector, ``domain``."""
        return {
            "input": self.image_channels,
            "target": self.image_channels,
            "domain": len(self.names or self.attributes or ()),
        }

    @property
    def group(self) -> list[str]:
        """Attributes that exclude each other."""
        if self.exclusive is not None:
            return list(self.exclusive)
        return [name for name in self.attributes or () if name in HAIR_COLOURS]


class DomainSource(Protocol):
    """Where images come from: ``labels`` (N, n) float32 has a row for each, 1 where it is of a domain."""

    labels: np.ndarray
    notes: list[str]

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> np.ndarray: ...


class FolderDomains:
    """Images of exclusive domains, a folder for each.

    Args:
        folders: by the name of the domain, in the order of the target vector.
        channels: what the files hold is converted to.
        check: called with every image (file, height, width), to refuse sizes that can't be used.
        keep: which images belong to this part, by their name with the domain's.

    Raises:
        ValueError: a folder is missing, or holds no image or unreadable ones.
    """

    def __init__(self, folders: Mapping[str, Path], channels: int, check: Check, keep: Callable[[str], bool]) -> None:
        self.sources = [FolderImages(folder, channels, check) for folder in folders.values()]
        self.domains = list(folders)
        self.places = [
            (number, index)
            for number, (domain, source) in enumerate(zip(folders, self.sources, strict=True))
            for index in range(len(source))
            if keep(f"{domain}/{source.name(index)}")
        ]
        self.labels = np.eye(len(folders), dtype=np.float32)[[number for number, _ in self.places]]

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        number, place = self.places[index]
        return f"{self.domains[number]}/{self.sources[number].name(place)}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        number, place = self.places[index]
        return self.sources[number].read(place), self.labels[index]


class TableImages:
    """Images of one folder with the attributes of a table.

    Args:
        folder: searched with its sub-folders.
        rows: attributes (n,) float32 by the image's path below the folder.
        channels, check: as ``FolderDomains``.
    """

    def __init__(self, folder: Path, rows: Mapping[str, np.ndarray], channels: int, check: Check) -> None:
        self.images = FolderImages(folder, channels, check, names=list(rows))
        self.labels = np.stack(list(rows.values())) if rows else np.zeros((0, 0), np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images.name(index)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images.read(index), self.labels[index]


class DomainsDataset(ImageDataset):
    """Samples have ``input`` (crop, crop, C) integers, the same as ``target``, and ``labels`` (n,) float32, 1 where the
    image is of a domain or has an attribute; where domains exclude each other also ``class``, the number of its own.
    Where an image can't be decoded, the next one comes.

    Raises:
        ValueError: a set that can't be found or read, a table that doesn't fit the images, an empty domain, or a
            single one; when sampling, if no image of the set can be decoded.
    """

    Config = DomainsConfig
    config: DomainsConfig

    def __init__(self, config: DomainsConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(self.resolve(config), part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        self.source = _source(self.config, part, config.resized(augment), self._check)
        names, counts = self.names, self.source.labels.sum(0)
        if part == "train":
            for name, count in zip(names, counts, strict=True):
                if not 0 < count < len(self.source):
                    raise ValueError(f"data: {'no' if not count else 'every'} training image is {name}; leave it out")
            self.notes = _notes(names, counts, has_val=self._has_val)
        self.of_domain = [np.flatnonzero(column) for column in self.source.labels.T]

    @property
    def names(self) -> list[str]:
        """Domains, or attributes, in the order of the target vector."""
        return list(self.config.names or ())

    @property
    def _has_val(self) -> bool:
        has_share = self.config.toy or self.config.val_share > 0 or bool(self.config.attributes)
        return has_share or _folders(self.config, "val") is not None

    def _check(self, path: Path, height: int, width: int) -> None:
        side = self.config.center_crop or max(height, width)
        self.check(path, min(height, side), min(width, side))

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        place = self._drawn(epoch, index) if self.augment and self.config.even_domains else index
        (image, labels), name, skipped = read_or_next(self.source, place)
        image = self._transformed(image, keyed_seed(self.seed, epoch, index))
        number = {} if self.config.attributes else {"class": int(labels.argmax())}
        return {"input": image, "target": image, "labels": labels, **number, "name": name, "skipped": skipped}

    def _drawn(self, epoch: int, index: int) -> int:
        """An image of any domain, whose domains are equally likely: place ``index`` of an epoch takes turns."""
        places = self.of_domain[index % len(self.of_domain)]
        return int(places[np.random.default_rng((self.seed, epoch, index)).integers(len(places))])

    def _transformed(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": middle(image, self.config.center_crop)})["image"]

    def _places(self, direction: str) -> np.ndarray:
        """Which images a direction starts from: those that are not of its target yet."""
        number, is_on = _target(self.config, direction)
        return np.flatnonzero((self.source.labels[:, number] > 0) != is_on)

    def count(self, direction: str) -> int:
        return len(self._places(direction))

    def item(self, direction: str, index: int) -> Item:
        place = int(self._places(direction)[index])
        image, labels = self.source.read(place)
        vector = target_vector(self.config, direction, labels)
        return Item(self.source.name(place), {"input": self._transformed(image), "domain": vector})

    def item_name(self, direction: str, index: int) -> str:
        return self.source.name(int(self._places(direction)[index]))

    def has_target(self, direction: str, index: int) -> bool:
        return False

    def images(self, domain: str) -> Sequence[np.ndarray]:
        number, is_on = _target(self.config, domain)
        places = np.flatnonzero((self.source.labels[:, number] > 0) == is_on)
        return Lazy(len(places), lambda index: self._transformed(self.source.read(int(places[index]))[0]))

    @property
    def size(self) -> str:
        counts = self.source.labels.sum(0).astype(int)
        return f"{len(self)} ({', '.join(f'{n} {name}' for n, name in zip(counts, self.names, strict=True))})"

    @classmethod
    def resolve(cls, config: DomainsConfig) -> DomainsConfig:
        """Fills in the domains' names, of the training part's folders, and the direction."""
        if config.names:
            return config
        if config.attributes:
            names = list(config.attributes)
        elif config.toy:
            from img2img.data.toy.shoes import ToyColours  # drawing, which other sets don't need

            names = list(ToyColours.names)
        else:
            names = list(_folders(config, "train") or {})
        if len(names) < 2:
            raise ValueError(f"data: {names[0] if names else 'no domain'} alone: two domains or more are needed")
        return replace(config, names=names)

    @classmethod
    def directions(cls, config: DomainsConfig) -> Mapping[str, Direction]:
        if not config.attributes:
            return {name: Direction(None, name) for name in config.names or ()}
        directions = {}
        for name in config.names or ():
            if name in config.group:
                directions[name] = Direction(None, name)
            else:
                directions[name] = Direction(OFF + name, name)
                directions[OFF + name] = Direction(name, OFF + name)
        return directions

    @classmethod
    def complete(cls, config: DomainsConfig, direction: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds ``domain``, the target vector, where the user gives none: the direction's domain alone."""
        if "domain" in arrays:
            return dict(arrays)
        nothing = np.zeros(len(config.names or ()), np.float32)
        return {**arrays, "domain": target_vector(config, direction, nothing)}

    @classmethod
    def read(cls, config: DomainsConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        refuse_companions(others, ())
        image = read_image(path, config.image_channels)
        return Item(path.stem, cls.complete(config, direction, {"input": image}))


def target_vector(config: DomainsConfig, direction: str, labels: np.ndarray) -> np.ndarray:
    """What an image with these labels (n,) is to become in a direction: (n,) float32."""
    number, is_on = _target(config, direction)
    vector = np.zeros_like(labels) if not config.attributes else labels.copy()
    if is_on:
        for name in config.group if direction in config.group else ():
            vector[(config.names or []).index(name)] = 0
    vector[number] = is_on
    return vector


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The square of that side in the middle of an image (H, W, C), or what there is of it; 0: all of the image."""
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _target(config: DomainsConfig, direction: str) -> tuple[int, bool]:
    """(place in the target vector, whether it is to be on) of a direction. Raises ValueError for an unknown one."""
    names = config.names or []
    if direction in names:
        return names.index(direction), True
    if config.attributes and direction.removeprefix(OFF) in names:
        return names.index(direction.removeprefix(OFF)), False
    raise ValueError(f"domain {direction}: there are {', '.join(names)}")


def _source(config: DomainsConfig, part: Part, size: int, check: Check) -> Any:
    """The images of a part. Raises ValueError if they can't be found, or can't be read."""
    splits = config.splits(part)
    if config.toy:
        from img2img.data.toy.shoes import ToyColours

        if config.image_channels != 3:
            raise ValueError(f"data.image_channels {config.image_channels}: the toy task draws 3")
        check(Path("the toy task's image"), size, size)
        return _Toy(ToyColours(splits, size))
    if config.attributes:
        root = _root(config)
        return TableImages(root, _rows(config, root, part), config.image_channels, check)
    folders = _folders(config, part)
    if folders is None:  # the training part's, shared by a hash
        folders = _folders(config, "train") or {}
        return FolderDomains(folders, config.image_channels, check, lambda name: _is_val(name, config.val_share))
    has_val = part == "train" and _folders(config, "val") is None
    share = config.val_share if has_val else 0.0
    return FolderDomains(folders, config.image_channels, check, lambda name: not _is_val(name, share))


class _Toy:
    """The embedded task as a source with labels."""

    def __init__(self, colours: Any) -> None:
        self.colours = colours
        numbers = [colours.domain(index) for index in range(len(colours))]
        self.labels = np.eye(len(colours.names), dtype=np.float32)[numbers]
        self.name = colours.name

    def __len__(self) -> int:
        return len(self.colours)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.colours.read(index), self.labels[index]


def _root(config: DomainsConfig) -> Path:
    if config.root is None:
        raise ValueError("data.root is not set: give the folder of the images, or --data.toy true")
    require_root(Path(config.root))
    return Path(config.root)


def _folders(config: DomainsConfig, part: Part) -> dict[str, Path] | None:
    """The folders of a part's domains by name; None where a set has no validation part."""
    if config.domains is not None:
        if part == "val":
            return None
        return {name: Path(folder) for name, folder in config.domains.items()}
    root, splits = _root(config), config.splits(part)
    split = next((split for split in splits if (root / split).is_dir()), None)
    if split is None and part == "val" and not config.val_split:
        return None
    if split is None:
        inside = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
        raise ValueError(
            f"data.root {root}: no folder {splits[0]}/ with one folder for each domain; "
            f"{other_splits(root, splits, ())}" + (f"; it holds {some(inside, 5)}" if inside else "")
        )
    names = sorted(path.name for path in (root / split).iterdir() if path.is_dir() and path.name[0] != ".")
    if set(names) & {"train", "val", "test"}:
        raise ValueError(
            f"data.root {root}: {split}/ holds {some(names, 5)}, which are no domains; give data.root {root / split}"
        )
    wanted = config.names or names
    if unknown := sorted(set(names) - set(wanted)):
        raise ValueError(f"{root / split}: {some(unknown)} is none of the domains {', '.join(wanted)}")
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{root / split}: no folder {missing[0]}, one of the domains {', '.join(wanted)}")
    return {name: root / split / name for name in wanted}


def _is_val(name: str, share: float) -> bool:
    """Whether an image belongs to the validation part, by a hash of its name: the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2**64


def _rows(config: DomainsConfig, root: Path, part: Part) -> dict[str, np.ndarray]:
    """The rows of a part: attributes by the image's path below ``root``."""
    table = _find_table(config, root)
    header, lines, is_celeba = _read_table(table)
    columns = []
    for name in config.attributes or ():
        if name not in header:
            near = difflib.get_close_matches(name, header, 3, 0.4)
            raise ValueError(
                f"data.attributes {name}: {table} has no such column; "
                + (f"did you mean {', '.join(near)}?" if near else f"there are {some(header, 20)}")
            )
        columns.append(header.index(name))
    split_column = next((header.index(key) for key in ("split", "partition") if key in header), None)
    rows: dict[str, np.ndarray] = {}
    paths = {path.relative_to(root).as_posix(): path for path in list_images(root)}
    by_stem = {Path(name).with_suffix("").as_posix(): name for name in paths}
    missing, known = [], set()
    val = _celeba_val(lines) if is_celeba and not config.val_share else None
    for number, (name, values) in enumerate(lines):
        path = name if name in paths else by_stem.get(name)
        if path is None:
            missing.append(name)
            continue
        known.add(path)
        if val is not None:
            is_val = number in val
        elif split_column is not None:
            is_val = values[split_column] not in ("train", config.train_split, "0")
        else:
            is_val = _is_val(name, config.val_share)
        if is_val == (part == "val"):
            rows[path] = np.array([values[column] == "1" for column in columns], np.float32)
    if missing:
        raise ValueError(f"{table}: {len(missing)} rows have no image in {root}, the first is {missing[0]}")
    if strangers := sorted(paths.keys() - known):
        raise ValueError(f"{table}: {len(strangers)} images of {root} have no row, the first is {strangers[0]}")
    if part == "train" and not rows:
        raise ValueError(f"{table}: no row is left for training; set data.val_share, 0.1 say")
    return rows


def _find_table(config: DomainsConfig, root: Path) -> Path:
    if config.table:
        table = Path(config.table)
        if not table.is_file():
            raise ValueError(f"data.table {table}: no such file")
        return table
    places = [folder / name for folder in (root, root.parent) for name in (CELEBA_TABLE, "attributes.csv")]
    table_found = next((path for path in places if path.is_file()), None)
    if table_found is None:
        raise ValueError(
            f"data.attributes: no {CELEBA_TABLE} or attributes.csv in {root} or beside it; give data.table FILE"
        )
    return table_found


def _read_table(table: Path) -> tuple[list[str], list[tuple[str, list[str]]], bool]:
    """(names of the columns, (name of the image, its values) by row, whether it is of CelebA's form)."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{table}: can't be read ({error})") from error
    lines = text.splitlines()
    if lines and lines[0].strip().isdigit():  # CelebA's: the number of images, names, rows
        header = lines[1].split() if len(lines) > 1 else []
        rows = [line.split() for line in lines[2:] if line.strip()]
    else:
        cells = [row for row in csv.reader(lines) if row]
        header = [cell.strip() for cell in cells[0][1:]] if cells else []
        rows = [[cell.strip() for cell in row] for row in cells[1:]]
    for number, row in enumerate(rows):
        if len(row) != len(header) + 1:
            raise ValueError(
                f"{table}: row {number + 1} ({row[0]}) has {len(row) - 1} values for {len(header)} columns"
            )
    return header, [(row[0], row[1:]) for row in rows], bool(lines) and lines[0].strip().isdigit()


def _celeba_val(lines: Sequence[tuple[str, list[str]]]) -> set[int]:
    """Numbers of the rows of the test part as the official code splits CelebA: shuffled, the first 1999 of them."""
    order = list(range(len(lines)))
    random.Random(CELEBA_SEED).shuffle(order)
    return set(order[:CELEBA_TEST])


def _notes(names: Sequence[str], counts: np.ndarray, *, has_val: bool) -> list[str]:
    notes = []
    if counts.max() >= UNEVEN * counts.min():
        few, many = names[int(counts.argmin())], names[int(counts.argmax())]
        notes.append(
            f"domains     {int(counts.max())} images are {many} and {int(counts.min())} {few}: "
            "data.even_domains true draws them equally often"
        )
    if not has_val:
        notes.append("data        no validation part: data.val_share 0.05 keeps some images for it")
    return notes


def _words(value: list[str] | str | None) -> list[str] | None:
    """A list of names, given as such or as one text with commas or spaces."""
    if value is None:
        return None
    words = value.replace(",", " ").split() if isinstance(value, str) else list(value)
    return words or None
