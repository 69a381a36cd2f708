"""Images of several domains on disk, with their labels: a folder for each domain, or one folder and a table.

``open_sources`` opens those that the options of the data set ``domains`` name.

A source has ``len()``, ``name(i)``, ``read(i)`` -> (image (H, W, C), labels (n,)), and ``labels`` (N, n) float32, which
are 1 where an image is of a domain or has an attribute. Tables are CSV files or CelebA's ``list_attr_celeba.txt``.
"""

from __future__ import annotations

import csv
import difflib
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from img2img.data.domain_options import DomainsConfig
from img2img.data.folder import (
    PARTS,
    Check,
    FolderImages,
    in_validation_share,
    list_images,
    other_splits,
    require_root,
    some,
)
from img2img.data.options import Part
from img2img.errors import MissingPlace

CELEBA_TABLE = "list_attr_celeba.txt"
CELEBA_SEED, CELEBA_TEST = 1234, 1999  # the official code shuffles the rows; the first 1999 are its test split


class DomainSource(Protocol):
    """Where images and their labels come from."""

    @property
    def labels(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...


Source = Callable[[Part, Check], DomainSource]
"""Opens a split of a set, given what checks the size of each image."""


class FolderDomains:
    """Images of domains that exclude each other, a folder for each.

    Args:
        folders: by the name of the domain, in the order of the labels.
        channels: files are converted to this number of channels.
        check: called with (file, height, width) of every image; raises ValueError for sizes that can't be used.
        keep: whether an image belongs to this split, by its name "DOMAIN/path/x.png".

    Raises:
        ValueError: a folder is missing or empty, or has unreadable images; the message names them.
    """

    def __init__(self, folders: Mapping[str, Path], channels: int, check: Check, keep: Callable[[str], bool]) -> None:
        self.domains = list(folders)
        self.sources: list[FolderImages] = []
        numbers: list[int] = []
        for number, (domain, folder) in enumerate(folders.items()):
            names = [path.relative_to(folder).as_posix() for path in list_images(folder)]
            names = [name for name in names if keep(f"{domain}/{name}")]
            self.sources.append(FolderImages(folder, channels, check, names=names))
            numbers += [number] * len(names)
        self.numbers = np.array(numbers, int)
        self.first = np.searchsorted(self.numbers, range(len(folders)))  # index of each domain's first image
        self.labels = np.eye(len(folders), dtype=np.float32)[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def _locate(self, index: int) -> tuple[int, int]:
        """(Number of the domain, index in its folder) of an image."""
        number = int(self.numbers[index])
        return number, index - int(self.first[number])

    def name(self, index: int) -> str:
        """The image's path, beginning with its domain, without a suffix."""
        number, place = self._locate(index)
        return f"{self.domains[number]}/{self.sources[number].name(place)}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decodes an image. Raises UnreadableImage for a damaged file."""
        number, place = self._locate(index)
        return self.sources[number].read(place), self.labels[index]


class TableImages:
    """Images of one folder with the attributes of a table.

    Args:
        folder: searched with its sub-folders.
        rows: attributes (n,) float32 by the image's path below the folder.
        channels, check: as in ``FolderDomains``.
    """

    def __init__(self, folder: Path, rows: Mapping[str, np.ndarray], channels: int, check: Check) -> None:
        self.images = FolderImages(folder, channels, check, names=list(rows))
        self.labels = np.stack(list(rows.values())) if rows else np.zeros((0, 0), np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The image's path below the folder, without a suffix."""
        return self.images.name(index)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decodes an image. Raises UnreadableImage for a damaged file."""
        return self.images.read(index), self.labels[index]


class Table(NamedTuple):
    """The content of a table of attributes."""

    path: Path
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    """(Name of the image, values of the columns)."""
    is_celeba: bool


def domain_folders(
    root: Path, splits: Sequence[str], names: Sequence[str] | None, *, key: str = "root"
) -> dict[str, Path] | None:
    """The folders of a split's domains, by name; None if there is no such split.

    Args:
        root: an existing folder.
        splits: names that the split may have; the first that exists is used.
        names: domains that there must be, no more and no less; None for those that are there, sorted.
        key: the data option that names the folder.

    Raises:
        ValueError: the split has other domains, or its folders are splits themselves.
    """
    split = next((root / name for name in splits if (root / name).is_dir()), None)
    if split is None:
        return None
    existing = _folder_names(split)
    if set(existing) & set(PARTS):
        raise ValueError(
            f"data.{key} {root}: {split.name}/ has {some(existing, 5)}, which are splits: use data.{key} {split}"
        )
    expected = list(names or existing)
    if unknown := sorted(set(existing) - set(expected)):
        raise ValueError(f"{split}: {some(unknown)} is none of the domains {', '.join(expected)}")
    if missing := [name for name in expected if name not in existing]:
        raise ValueError(f"{split}: no folder {missing[0]}, one of the domains {', '.join(expected)}")
    return {name: split / name for name in expected}


def no_domains(root: Path, splits: Sequence[str], key: str = "root") -> ValueError:
    """The error for a set without a split; ``key`` is the data option that names its folder."""
    existing = _folder_names(root)
    content = f"; it has {some(existing, 5)}" if existing else ""
    advice = other_splits(root, splits, ())
    return ValueError(f"data.{key} {root}: no folder {splits[0]}/ with one folder for each domain; {advice}{content}")


def domain_of(path: Path, root: Path) -> str | None:
    """The domain that a file belongs to by its place, root/SPLIT/DOMAIN/...; None if it lies elsewhere."""
    try:
        parts = path.resolve().relative_to(root.resolve()).parts
    except ValueError:
        return None
    return parts[1] if len(parts) > 2 else None


def find_table(root: Path) -> Path:
    """The table in a folder of images, or beside the folder. Raises ValueError if there is none."""
    paths = [folder / name for folder in (root, root.parent) for name in (CELEBA_TABLE, "attributes.csv")]
    table = next((path for path in paths if path.is_file()), None)
    if table is None:
        raise ValueError(f"data.attributes: no {CELEBA_TABLE} or attributes.csv in {root} or beside it; set data.table")
    return table


def read_table(path: Path) -> Table:
    """Reads a table of attributes; once, as long as the file stays the same.

    Raises:
        ValueError: the file is missing or not text, or a row has another number of values than there are columns.
    """
    try:
        return _read_table(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise MissingPlace("data.table", path, kind="file", advice="set it to the table of the attributes") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.table {path}: can't be read ({error})") from error


@lru_cache(maxsize=2)
def _read_table(path: Path, changed: int) -> Table:
    """Reads a table that was last changed at a time."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    is_celeba = bool(lines) and lines[0].strip().isdigit()  # the number of images; then the columns, then the rows
    if is_celeba:
        columns, *rows = [line.split() for line in lines[1:] if line.strip()] or [[]]
    else:
        cells = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
        columns, rows = (cells[0][1:] if cells else []), cells[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns) + 1:
            raise ValueError(f"{path}: row {number} ({row[0]}) has {len(row) - 1} values for {len(columns)} columns")
    return Table(path, columns, [(name, values) for name, *values in rows], is_celeba)


def table_rows(
    table: Table, root: Path, part: Part, *, attributes: Sequence[str], train_split: str, val_share: float
) -> dict[str, np.ndarray]:
    """The attributes (n,) float32 of a split's images, by the image's path below ``root``.

    Args:
        table: has a row for every image.
        root: folder of the images.
        part: the split.
        attributes: columns of the table.
        train_split: value of the column ``split`` or ``partition``, if there is one, that means training.
        val_share: share of the rows that is for validation, if there is no such column.

    Raises:
        ValueError: an attribute is missing; images without a row, or rows without an image; no row for training.
    """
    columns = [_column(table, name) for name in attributes]
    paths = {path.relative_to(root).as_posix() for path in list_images(root)}
    by_stem = {Path(path).with_suffix("").as_posix(): path for path in paths}
    files = [name if name in paths else by_stem.get(name) for name, _ in table.rows]
    without_image = [name for (name, _), file in zip(table.rows, files, strict=True) if file is None]
    if without_image:
        raise ValueError(f"{table.path}: {len(without_image)} rows have no image in {root}, first {without_image[0]}")
    without_row = sorted(paths.difference(file for file in files if file is not None))
    if without_row:
        raise ValueError(f"{table.path}: {len(without_row)} images of {root} have no row, first {without_row[0]}")
    is_val = _validation_rows(table, train_split=train_split, val_share=val_share)
    rows = {
        file: np.array([values[column] == "1" for column in columns], np.float32)
        for file, (_, values), val in zip(files, table.rows, is_val, strict=True)
        if file is not None and val == (part == "val")
    }
    if part == "train" and not rows:
        raise ValueError(f"{table.path}: all rows are for validation; set data.val_share to 0.1, for example")
    return rows


def row_of(table: Table, root: Path, path: Path, attributes: Sequence[str]) -> np.ndarray | None:
    """The attributes (n,) float32 of one file below ``root``; None if the table has no row for it."""
    try:
        name = path.resolve().relative_to(root.resolve())
    except ValueError:
        return None
    columns = [_column(table, attribute) for attribute in attributes]
    for row, values in table.rows:
        if row in (name.as_posix(), name.with_suffix("").as_posix()):
            return np.array([values[column] == "1" for column in columns], np.float32)
    return None


def _column(table: Table, name: str) -> int:
    if name in table.columns:
        return table.columns.index(name)
    near = difflib.get_close_matches(name, table.columns, 3, 0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"it has {some(table.columns, 20)}"
    raise ValueError(f"data.attributes {name}: {table.path} has no such column; {hint}")


def _validation_rows(table: Table, *, train_split: str, val_share: float) -> list[bool]:
    """Whether each row is for validation."""
    if table.is_celeba and not val_share:
        return celeba_test_rows(len(table.rows))
    split = next((table.columns.index(name) for name in ("split", "partition") if name in table.columns), None)
    if split is None:
        return [in_validation_share(name, val_share) for name, _ in table.rows]
    return [values[split] not in ("train", train_split, "0") for _, values in table.rows]  # 0: CelebA's own partition


def celeba_test_rows(count: int) -> list[bool]:
    """Whether each of CelebA's rows is in the test split of the official code."""
    order = list(range(count))
    random.Random(CELEBA_SEED).shuffle(order)
    test = set(order[:CELEBA_TEST])
    return [number in test for number in range(count)]


def _folder_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def with_names(config: DomainsConfig) -> DomainsConfig:
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


def open_sources(config: DomainsConfig) -> list[Source]:
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
    root = require_root(config.root, "root")
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
    return read_table(Path(config.table) if config.table else find_table(require_root(config.root, "root")))


def _training_folders(config: DomainsConfig, *, joint: bool = False) -> dict[str, Path]:
    """The folders of a set's training images by domain. Raises ValueError if there are none."""
    if config.domains is not None and not joint:
        own = {name: Path(folder) for name, folder in config.domains.items()}
        for folder in own.values():
            if not folder.is_dir():
                value = "'{" + ", ".join(f"{name}: DIR" for name in own) + "}'"
                advice = f"set it to {value}, with a folder of images for each domain"
                raise MissingPlace("data.domains", folder, kind="folder", advice=advice, value=value)
        return own
    root, splits, names = _folder_set(config, "train", joint=joint)
    key = "joint_root" if joint else "root"
    folders = domain_folders(root, splits, names, key=key)
    if folders is None:
        raise no_domains(root, splits, key)
    return folders


def _validation_folders(config: DomainsConfig, *, joint: bool = False) -> dict[str, Path] | None:
    """The folders of a set's validation images by domain; None if the set has no validation split.

    Raises:
        ValueError: ``val_split`` is set, and there is no such split.
    """
    if config.domains is not None and not joint:
        return None
    root, splits, names = _folder_set(config, "val", joint=joint)
    key = "joint_root" if joint else "root"
    folders = domain_folders(root, splits, names, key=key)
    if folders is None and config.val_split:
        raise no_domains(root, splits, key)
    return folders


def _folder_set(config: DomainsConfig, part: Part, *, joint: bool) -> tuple[Path, Sequence[str], list[str] | None]:
    """(Folder, names of the split, names of the domains) of the first set or of the second."""
    if joint:
        return require_root(config.joint_root, "joint_root"), config.splits(part), config.joint_names
    return require_root(config.root, "root"), config.splits(part), config.names


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
