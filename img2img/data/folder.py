"""Finds and reads the images of a set on disk, in any of these layouts:

root/trainA/x.png  root/trainB/x.jpg     pairs: files of one name without the suffix, sub-folders included
root/train_A/x.png root/train_B/x.jpg    the same
root/train/A/x.png root/train/B/x.jpg    the same
root/train/x.jpg                         pairs: A (left) and B (right) side by side in one file

For label maps see ``label_files``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from img2img.data.images import SUFFIXES, Header, UnreadableImage, read_header, read_image, to_channels
from img2img.data.transforms import SizeCheck, keyed_seed
from img2img.errors import MissingPlace
from img2img.program import command

PARTS = ("train", "val", "test")  # the usual names of splits
LONG = 2  # halves with a larger aspect ratio are suspicious: the file may be a single image, not a pair
Check = Callable[[Path, int, int], None]
"""Called with the path, height and width of an image; raises ValueError for a size that can't be used."""


def list_images(folder: Path) -> list[Path]:
    """Every image file below ``folder``, sorted, without hidden ones (such as ._x.jpg of macOS).

    Raises:
        ValueError: the folder is missing, or has no images.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    images = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not images:
        raise ValueError(f"{folder}: no images in this folder ({', '.join(sorted(SUFFIXES))})")
    return images


def frame_order(path: Path) -> tuple[str, list[tuple[int, str]]]:
    """Sort key for video frames: by folder, then by the numbers in their names, 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return path.parent.as_posix(), [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


@dataclass(frozen=True)
class Files:
    """The files of one split, as names below one or two folders (a million ``Path`` objects would take hundreds of MB).

    Without ``folder_b``, each file of A holds both images side by side.
    """

    folder_a: Path
    a: list[str]
    folder_b: Path | None = None
    b: list[str] | None = None


class FolderPairs:
    """The pairs of one split: ``len()``, ``name(i)`` and ``read(i) -> (A, B)``, (H, W, C) arrays of one size.

    All headers are read at the start, so that errors in the files show before training. ``notes`` describe how
    side-by-side files are split.

    Args:
        root: the set's folder.
        splits: names of the split to look for; the first that exists is used.
        channels: of A and of B; files are converted.
        check: called with (file, height, width) of every pair; raises ValueError for sizes that can't be used.
        scale: if given, sizes may differ by this integer, the same for all pairs, and ``check`` gets the larger size.

    Raises:
        ValueError: the folder or split is missing or empty; an image has no partner, can't be read or differs in size
            from its partner; the message names the files.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[str],
        channels: tuple[int, int],
        check: SizeCheck | None = None,
        scale: PairScale | None = None,
    ) -> None:
        self.channels, self.scale = channels, scale or PairScale("a", 1)
        self.files = find_files(Path(root), splits)
        sizes: dict[tuple[int, int], str] = {}
        # A batch has one dtype: if a side has a single 16-bit file, all of its files become 16-bit.
        deep = _check_headers(self.files, check, sizes, self.scale)
        self.dtypes = tuple(np.uint16 if is_deep else np.uint8 for is_deep in deep)
        self.notes = _notes(sizes) if self.files.folder_b is None else []

    def __len__(self) -> int:
        return len(self.files.a)

    def name(self, index: int) -> str:
        """The pair's path below the split's folder, without a suffix."""
        return Path(self.files.a[index]).with_suffix("").as_posix()

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decodes A and B. Raises UnreadableImage for a damaged file."""
        files = self.files
        if files.folder_b is None or files.b is None:
            both = read_image(files.folder_a / files.a[index], max(self.channels))
            half = both.shape[1] // 2
            images = [both[:, :half], both[:, half:]]
        else:
            images = [
                read_image(files.folder_a / files.a[index], self.channels[0]),
                read_image(files.folder_b / files.b[index], self.channels[1]),
            ]
            a, b = ((image.shape[1], image.shape[0]) for image in images)
            if self.scale.of(a, b) != self.scale.value:  # replaced since the headers were read
                raise UnreadableImage(f"{files.folder_b / files.b[index]}: no longer has the size of its partner")
        first, second = (
            as_dtype(to_channels(image, channels), dtype)
            for image, channels, dtype in zip(images, self.channels, self.dtypes, strict=True)
        )
        return first, second


class PairScale:
    """How many times larger the target of a pair is than its input, the same integer for all pairs of a set.

    Args:
        source: the input's side, "a" or "b".
        value: the scale if it is known; None if the first pair determines it.
    """

    def __init__(self, source: str, value: int | None = None) -> None:
        self.source, self.value = source, value
        self.fixed = value == 1  # both sides have one size
        self.first = "data.scale"  # what determined it

    def of(self, a: tuple[int, int], b: tuple[int, int]) -> int | None:
        """The scale of a pair with the sizes (width, height) of A and B; None if it is no integer."""
        small, large = (a, b) if self.source == "a" else (b, a)
        scale = large[0] // small[0]
        return scale if large == (small[0] * scale, small[1] * scale) else None

    def check(self, path_a: Path, a: Header, path_b: Path, b: Header) -> None:
        """Raises ValueError, naming the files, if a pair is of another scale than the others."""
        scale = self.of((a.width, a.height), (b.width, b.height))
        if self.value is None and scale is not None:
            self.value, self.first = scale, str(path_a)
        if scale == self.value and scale is not None:
            return
        sizes = f"{path_a} is {a.width}x{a.height} but {path_b} is {b.width}x{b.height}"
        if self.fixed:
            raise ValueError(f"{sizes}: the images of a pair must have the same size")
        if scale is not None:
            raise ValueError(f"{sizes}, {scale} times as large, but {self.first} says {self.value} times")
        large = "B" if self.source == "a" else "A"
        raise ValueError(f"{sizes}: must be of one size, or {large} N times as wide and high, N an integer")


def as_dtype(image: np.ndarray, dtype: type) -> np.ndarray:
    """The image as ``dtype``: 8-bit images are converted to 16 bits if the other images of their side have 16."""
    return image.astype(np.uint16) * 257 if dtype == np.uint16 and image.dtype == np.uint8 else image


class FolderImages:
    """The images of one folder: ``len()``, ``name(i)`` and ``read(i)``, an (H, W, C) array. ``deep`` and ``gray`` are
    the names of the files with 16 bits and of those without colour.

    Args:
        folder: searched with its sub-folders; all headers are read at the start.
        channels: files are converted to this number of channels.
        check: called with (file, height, width) of every image; raises ValueError for sizes that can't be used.

    Raises:
        ValueError: the folder is missing or empty, or has unreadable images; the message names them.
    """

    def __init__(
        self, folder: Path, channels: int, check: Check | None = None, names: Sequence[str] | None = None
    ) -> None:
        self.folder, self.channels = folder, channels
        self.names = _names(folder) if names is None else list(names)
        headers = list(read_headers(folder / name for name in self.names))
        refuse_unreadable([header for header in headers if isinstance(header, str)])
        for name, header in zip(self.names, headers, strict=True):
            if check and isinstance(header, Header):
                check(folder / name, header.height, header.width)
        with_headers = [(n, h) for n, h in zip(self.names, headers, strict=True) if isinstance(h, Header)]
        self.deep = [name for name, header in with_headers if header.depth == 16]
        self.gray = [name for name, header in with_headers if header.gray]
        self.dtype = np.uint16 if self.deep else np.uint8

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The image's path below the folder, without a suffix."""
        return Path(self.names[index]).with_suffix("").as_posix()

    def read(self, index: int) -> np.ndarray:
        """Decodes an image. Raises UnreadableImage for a damaged file."""
        return as_dtype(read_image(self.folder / self.names[index], self.channels), self.dtype)


def find_files(root: Path, splits: Sequence[str]) -> Files:
    """The pairs of the first of ``splits`` that exists below ``root``, sorted by name.

    Raises:
        ValueError: as FolderPairs.
    """
    for split in splits:
        if folders := find_sides(root, split):
            return _match(*folders)
        if (root / split).is_dir():
            return Files(root / split, _names(root / split))
    raise no_split(root, splits)


def in_validation_share(name: str, share: float) -> bool:
    """Whether an image belongs to the validation split, by a hash of its name: the same on every machine."""
    return keyed_seed(name) < share * 2**32


def require_root(root: str | Path | None, key: str = "root") -> Path:
    """The folder that a data option names.

    Args:
        root: the option's value; None if it is not set, as in runs of imported weights.
        key: the option.

    Raises:
        MissingPlace: it is not set, or there is no such folder.
    """
    if root is None:
        advice = "set it to the folder of the images, or set data.toy true"
        raise MissingPlace(f"data.{key}", None, kind="folder", advice=advice)
    if not Path(root).is_dir():
        advice = f"set it to the folder of the images ({command('fetch')} downloads public sets)"
        raise MissingPlace(f"data.{key}", Path(root), kind="folder", advice=advice)
    return Path(root)


def find_sides(root: Path, split: str) -> tuple[Path, Path] | None:
    """The folders of A and of B of a split; None if both are missing. Raises ValueError if one of them is missing."""
    require_root(root)
    for side in (f"{split}%s", f"{split}_%s", f"{split}/%s"):
        folders = root / (side % "A"), root / (side % "B")
        existing = [folder for folder in folders if folder.is_dir()]
        if len(existing) == 1:
            missing = folders[1] if existing[0] == folders[0] else folders[0]
            raise ValueError(f"{missing}: no such folder, but {existing[0]} exists: a set needs both")
        if existing:
            return folders
    return None


def no_split(root: Path, splits: Sequence[str]) -> ValueError:
    """The error for a set that has none of ``splits``."""
    first = splits[0]
    folders = sorted(_folders(root))
    if len(folders) == 2 and not any(part_of(name) in PARTS or _folders(root / name) for name in folders):
        a, b = (root / name for name in folders)
        return ValueError(
            f"data.root {root}: no split {' or '.join(splits)}, but two folders: make pairs of them by "
            f"{command('pair')} --a {a} --b {b} --output DIR; without pairs: --model cyclegan --data.root_a {a} "
            f"--data.root_b {b}"
        )
    return ValueError(
        f"data.root {root}: no split {' or '.join(splits)} ({first}A/ + {first}B/, {first}/A/ + {first}/B/, or "
        f"{first}/ with side-by-side pairs); {other_splits(root, splits, ('A', 'B'))}"
    )


def other_splits(root: Path, splits: Sequence[str], suffixes: Sequence[str]) -> str:
    """Advice for a message about missing ``splits``: a nearby folder that is a set, or other splits that ``root`` has.

    ``suffixes`` are those of the folders of a split, such as A and B.
    """
    names = set(_folders(root))
    sets = [name for name in sorted(names) if any(part_of(inner) in PARTS for inner in _folders(root / name))]
    if sets and not any(part_of(name) in PARTS for name in names):
        return f"did you mean a set in this folder ({some(sets, 5)}), such as data.root {root / sets[0]}?"
    whole = root.resolve()
    if part_of(whole.name) in PARTS and not any(part_of(name) in PARTS for name in names):
        return f"this folder is a split: set data.root {whole.parent}, its parent"
    if "label" not in suffixes and any(name.endswith("_label") for name in names):
        return "it has label maps: use --model pix2pixhd --data.label_nc N, the number of classes"
    for suffix in suffixes:
        names = {name.removesuffix(suffix).removesuffix("_") for name in names}
    other = sorted(names - {""})
    defaults = {("train",): "data.train_split", ("val", "test"): "data.val_split"}  # other names may be of either
    key = defaults.get(tuple(splits), "data.train_split or data.val_split")
    return f"it has {', '.join(other)}: set {key} {other[0]}" if other else "it has no other split"


def _folders(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."]


def part_of(folder: str) -> str:
    """The split of a folder's name: "train" for "trainA", "train_A" and "train_label"."""
    return re.sub(r"(_?[AB]|_label|_inst|_img)$", "", folder)


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def _match(folder_a: Path, folder_b: Path) -> Files:
    """Pairs the files of two folders by their relative path without the suffix."""
    a, b = by_key(folder_a), by_key(folder_b)
    require_partners((folder_a, a), (folder_b, b))
    return Files(folder_a, [a[stem] for stem in sorted(a)], folder_b, [b[stem] for stem in sorted(a)])


def by_key(folder: Path, key: Callable[[str], str] = str) -> dict[str, str]:
    """File names of a folder's images by ``key(stem)``. Raises ValueError if two images have the same key."""
    names = _names(folder)
    stems = [key(Path(name).with_suffix("").as_posix()) for name in names]
    duplicates = [stem for stem, count in Counter(stems).items() if count > 1]
    if duplicates:
        raise ValueError(f"{folder}: several files for {some(duplicates)}: keep one of each")
    return dict(zip(stems, names, strict=True))


def require_partners(first: tuple[Path, dict[str, str]], second: tuple[Path, dict[str, str]]) -> None:
    """Raises ValueError unless two folders, given as (folder, names of ``by_key``), have images of the same keys."""
    for (other, names), (folder, partners) in ((first, second), (second, first)):
        missing = sorted(names.keys() - partners.keys())
        if missing:
            images = f"{len(missing)} image{'s' if missing[1:] else ''}"
            raise ValueError(f"{folder}: no partner for {images} of {other} ({some(missing)}): add or remove files")


def side_by_side(root: Path, split: str) -> Path | None:
    """The first file of a split of side-by-side pairs; None if the split is missing or has another layout."""
    try:
        return None if find_sides(root, split) else list_images(root / split)[0]
    except ValueError:
        return None


def _notes(sizes: dict[tuple[int, int], str]) -> list[str]:
    """Log lines that show how side-by-side files are split, given the first file of each size (width, height)."""
    width, height = next(iter(sizes))
    others = "; others differ in size" if len(sizes) > 1 else ""
    half = width // 2
    notes = [
        f"pairs       side by side, {width}x{height}{'' if others else ' each'}: A and B are {half}x{height}{others}"
    ]
    for (width, height), name in sizes.items():
        if not 1 / LONG <= width / 2 / height <= LONG:
            notes.append(
                f"pairs       {name} is split into two images of {width // 2}x{height}; if it is a single image, the "
                "set has no pairs: use --model cyclegan with trainA/ and trainB/"
            )
            break
    return notes


def _check_headers(
    files: Files, check: SizeCheck | None, sizes: dict[tuple[int, int], str], scale: PairScale
) -> tuple[bool, bool]:
    """Reads every header; returns whether A and whether B have 16-bit images.

    ``sizes`` is filled with the sizes (width, height) of A's files and the name of the first file of each.

    Raises:
        ValueError: some files are unreadable (the message names the first one and their number), or the images of a
            pair differ in size.
    """
    deep = [False, False]
    unreadable: list[str] = []
    paths_a = [files.folder_a / name for name in files.a]
    paths_b = [files.folder_b / name for name in files.b] if files.b and files.folder_b else []
    headers_a = read_headers(paths_a)
    if not paths_b:
        pairs: Iterable = ((path, header, path, header) for path, header in zip(paths_a, headers_a, strict=True))
    else:
        pairs = zip(paths_a, headers_a, paths_b, read_headers(paths_b), strict=True)
    for path_a, a, path_b, b in pairs:
        unreadable += dict.fromkeys(header for header in (a, b) if isinstance(header, str))
        if isinstance(a, str) or isinstance(b, str):
            continue
        _check_halves(path_a, a, path_b)
        scale.check(path_a, a, path_b, b)
        sizes.setdefault((a.width, a.height), path_a.name)
        path, header = (path_b, b) if b.width > a.width else (path_a, a)
        if check:
            check(path, header.height, header.width // 2 if path_a == path_b else header.width)
        deep = [deep[0] or a.depth == 16, deep[1] or b.depth == 16]
    refuse_unreadable(unreadable)
    return deep[0], deep[1]


def read_headers(
    paths: Iterable[Path], read: Callable[[Path], Header] = read_header, portion: int = 1000
) -> Iterator[Header | str]:
    """The header of each file, or an error message if it can't be read. Uses threads: network disks are slow."""

    def header(path: Path) -> Header | str:
        try:
            return read(path)
        except UnreadableImage as error:
            return str(error)

    remaining = iter(paths)
    while some_paths := list(islice(remaining, portion)):
        with ThreadPoolExecutor(8) as pool:  # closed before the yield, where the caller may stop reading
            headers = list(pool.map(header, some_paths))
        yield from headers


def refuse_unreadable(messages: Sequence[str]) -> None:
    """Raises ValueError with the first of these messages, if there are any, and the number of the others."""
    if messages:
        others = f", and {len(messages) - 1} more such files" if messages[1:] else ""
        raise ValueError(f"{messages[0]}{others}: replace or remove {'them' if others else 'it'}")


def _check_halves(path_a: Path, a: Header, path_b: Path) -> None:
    if path_a == path_b and (a.width % 2 or a.width < 2):
        raise ValueError(
            f"{path_a}: {a.width} pixels wide, but A and B side by side have an even width; "
            "put separate images into trainA/ and trainB/"
        )


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first names and the number of the others, for a message: "a, b and 3 more"."""
    others = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + others
