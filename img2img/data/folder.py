"""Finds the images of a set on disk, in any of the layouts that people have.

root/trainA/x.png  root/trainB/x.jpg     pairs are matched by file stem, sub-folders included
root/train_A/x.png root/train_B/x.jpg    the same
root/train/A/x.png root/train/B/x.jpg    the same
root/train/x.jpg                         pairs: A (left) and B (right) side by side in one file

Label maps have names of their own: ``label_files``.
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
from img2img.data.transforms import SizeCheck

PARTS = ("train", "val", "test")  # as most sets name them
LONG = 2  # a half longer or higher than this times its other side is seldom an image of a pair
Check = Callable[[Path, int, int], None]
"""Called with a file, its height and its width; raises ValueError for a size that can't be used."""


def list_images(folder: Path) -> list[Path]:
    """Every image file below ``folder``, sorted; hidden files (macOS's ._x.jpg) are passed over.

    Raises:
        ValueError: the folder is missing, or holds no image.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if not name.startswith(".")]
    images = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if not images:
        raise ValueError(f"{folder}: no image in it ({', '.join(sorted(SUFFIXES))})")
    return images


def frame_order(path: Path) -> tuple[str, list[tuple[int, str]]]:
    """Sorts the frames of films: folder by folder, by the numbers in their names, 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return path.parent.as_posix(), [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


@dataclass(frozen=True)
class Files:
    """The files of one split, as names below one or two folders: a set of a million pairs is a few hundred MB of paths
    otherwise. Without ``folder_b`` each file of A holds both images side by side.
    """

    folder_a: Path
    a: list[str]
    folder_b: Path | None = None
    b: list[str] | None = None


class FolderPairs:
    """The pairs of one split: ``len()``, ``name(i)`` and ``read(i) -> (A, B)``, (H, W, C) arrays of one size.

    Every header is read at once, so that what is wrong with a set shows before training and not at epoch 40.

    Args:
        root: the set's folder.
        splits: names that the wanted part of it may have.
        channels: of A and of B; what the files hold is converted.
        check: called with every pair (file, height, width), to refuse sizes that can't be used.

    ``notes`` tells how files of two images are taken apart.

    Raises:
        ValueError: no such folder or split, an empty one, images without a partner, or unreadable, or of different
            sizes; the message names them.
    """

    def __init__(
        self, root: str, splits: Sequence[str], channels: tuple[int, int], check: SizeCheck | None = None
    ) -> None:
        self.channels = channels
        self.files = find_files(Path(root), splits)
        sizes: dict[tuple[int, int], str] = {}
        # One depth for a side: a batch holds one type. A stray 16-bit file lifts its side to 16 bits.
        self.dtypes = tuple(np.uint16 if deep else np.uint8 for deep in _check_headers(self.files, check, sizes))
        self.notes = _notes(sizes) if self.files.folder_b is None else []

    def __len__(self) -> int:
        return len(self.files.a)

    def name(self, index: int) -> str:
        """The pair's path below its split, without a suffix."""
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
            if images[0].shape[:2] != images[1].shape[:2]:  # replaced since the headers were read
                raise UnreadableImage(f"{files.folder_b / files.b[index]}: not of its partner's size any more")
        a, b = (
            as_dtype(to_channels(image, channels), dtype)
            for image, channels, dtype in zip(images, self.channels, self.dtypes, strict=True)
        )
        return a, b


def as_dtype(image: np.ndarray, dtype: type) -> np.ndarray:
    """An 8-bit image at the 16 bits of its fellows."""
    return image.astype(np.uint16) * 257 if dtype == np.uint16 and image.dtype == np.uint8 else image


class FolderImages:
    """The images of one folder: ``len()``, ``name(i)`` and ``read(i)``, an (H, W, C) array.

    Args:
        folder: searched with its sub-folders; every header is read at once.
        channels: what the files hold is converted to.
        check: called with every image (file, height, width), to refuse sizes that can't be used.
        names: paths below the folder of the images to take; unset, all.

    Raises:
        ValueError: no such folder, an empty one, or unreadable images; the message names them.
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
        deep = any(isinstance(header, Header) and header.depth == 16 for header in headers)
        self.dtype = np.uint16 if deep else np.uint8

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The image's path below the folder, without a suffix."""
        return Path(self.names[index]).with_suffix("").as_posix()

    def read(self, index: int) -> np.ndarray:
        """Decodes an image. Raises UnreadableImage for a damaged file."""
        return as_dtype(read_image(self.folder / self.names[index], self.channels), self.dtype)


def find_files(root: Path, splits: Sequence[str]) -> Files:
    """The pairs of the first of ``splits`` that is below ``root``, sorted by name.

    Raises:
        ValueError: as FolderPairs.
    """
    for split in splits:
        if folders := find_sides(root, split):
            return _match(*folders)
        if (root / split).is_dir():
            return Files(root / split, _names(root / split))
    raise no_split(root, splits)


def require_root(root: Path) -> None:
    """Raises ValueError if there is no such folder."""
    if not root.is_dir():
        raise ValueError(f"data.root {root}: no such folder (datasets/README.md tells how to fetch the public sets)")


def find_sides(root: Path, split: str) -> tuple[Path, Path] | None:
    """The folders of A and of B of a split, if it has such. Raises ValueError if only one of the two is there."""
    require_root(root)
    for side in (f"{split}%s", f"{split}_%s", f"{split}/%s"):
        folders = root / (side % "A"), root / (side % "B")
        there = [folder for folder in folders if folder.is_dir()]
        if len(there) == 1:
            missing = folders[1] if there[0] == folders[0] else folders[0]
            raise ValueError(f"{missing}: no such folder, though its other side is there")
        if there:
            return folders
    return None


def no_split(root: Path, splits: Sequence[str]) -> ValueError:
    """The error for a set without the wanted part."""
    first = splits[0]
    return ValueError(
        f"data.root {root}: no split {' or '.join(splits)} ({first}A/ + {first}B/, {first}/A/ + {first}/B/, or for "
        f"pairs {first}/); {other_splits(root, splits, ('A', 'B'))}"
    )


def other_splits(root: Path, splits: Sequence[str], suffixes: Sequence[str]) -> str:
    """What a message says of the parts that a set has, in folders with these suffixes, instead of ``splits``; or of
    the folder that may have been meant.
    """
    names = set(_folders(root))
    sets = [name for name in sorted(names) if any(_part(inner) in PARTS for inner in _folders(root / name))]
    if sets and not any(_part(name) in PARTS for name in names):
        return f"it holds sets ({some(sets, 5)}): data.root {root / sets[0]}?"
    whole = root.resolve()
    if _part(whole.name) in PARTS and not any(_part(name) in PARTS for name in names):
        return f"this is the split itself: give its parent, data.root {whole.parent}"
    if "label" not in suffixes and any(name.endswith("_label") for name in names):
        return "these are label maps: --model pix2pixhd --data.label_nc N, the number of classes"
    for suffix in suffixes:
        names = {name.removesuffix(suffix).removesuffix("_") for name in names}
    there = sorted(names - {""})
    defaults = {("train",): "data.train_split", ("val", "test"): "data.val_split"}  # other names may be of either
    key = defaults.get(tuple(splits), "data.train_split or data.val_split")
    return f"there is {', '.join(there)}: set {key} {there[0]}" if there else "there is no other one in it"


def _folders(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."]


def _part(folder: str) -> str:
    """ "train" of "trainA", "train_A" and "train_label"."""
    return re.sub(r"(_?[AB]|_label|_inst|_img)$", "", folder)


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def _match(folder_a: Path, folder_b: Path) -> Files:
    """Pairs the files of two folders by their relative path without the suffix."""
    a, b = by_key(folder_a), by_key(folder_b)
    refuse_lonely((folder_a, a), (folder_b, b))
    return Files(folder_a, [a[stem] for stem in sorted(a)], folder_b, [b[stem] for stem in sorted(a)])


def by_key(folder: Path, key: Callable[[str], str] = str) -> dict[str, str]:
    """The names of a folder's images by what ``key`` makes of their stems. Raises ValueError if two share one."""
    names = _names(folder)
    stems = [key(Path(name).with_suffix("").as_posix()) for name in names]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"{folder}: several files for {some(twice)}: keep one of each")
    return dict(zip(stems, names, strict=True))


def refuse_lonely(mine: tuple[Path, dict[str, str]], other: tuple[Path, dict[str, str]]) -> None:
    """Raises ValueError unless every image of a folder has its partner in the other."""
    for (_, names), (folder, partners) in ((mine, other), (other, mine)):
        missing = sorted(names.keys() - partners.keys())
        if missing:
            raise ValueError(f"{folder}: no partner for {some(missing)}")


def side_by_side(root: Path, split: str) -> Path | None:
    """The first file of a split whose files are A and B side by side; None if it is no such split, or is not there."""
    try:
        return None if find_sides(root, split) else list_images(root / split)[0]
    except ValueError:
        return None


def _notes(sizes: dict[tuple[int, int], str]) -> list[str]:
    """What a user should know of files of A and B side by side, given each size (width, height) with its first file."""
    width, height = next(iter(sizes))
    others = "; others differ in size" if len(sizes) > 1 else ""
    half = width // 2
    notes = [
        f"pairs       side by side, {width}x{height}{'' if others else ' each'}: A and B are {half}x{height}{others}"
    ]
    for (width, height), name in sizes.items():
        if not 1 / LONG <= width / 2 / height <= LONG:
            notes.append(
                f"pairs       {name} would be two images of {width // 2}x{height}: if it is one, not two, the set "
                "has no pairs; cyclegan learns from trainA/ and trainB/"
            )
            break
    return notes


def _check_headers(files: Files, check: SizeCheck | None, sizes: dict[tuple[int, int], str]) -> tuple[bool, bool]:
    """Reads every header; returns whether A, and B, has 16 bits, and puts each size (width, height) of A's files with
    the first file of it into ``sizes``.

    Raises:
        ValueError: naming the first unreadable file and how many there are, or the first pair of different sizes.
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
        unreadable += dict.fromkeys(found for found in (a, b) if isinstance(found, str))
        if isinstance(a, str) or isinstance(b, str):
            continue
        _check_size(path_a, a, path_b, b)
        sizes.setdefault((a.width, a.height), path_a.name)
        if check:
            check(path_a, a.height, a.width // 2 if path_a == path_b else a.width)
        deep = [deep[0] or a.depth == 16, deep[1] or b.depth == 16]
    refuse_unreadable(unreadable)
    return deep[0], deep[1]


def read_headers(
    paths: Iterable[Path], read: Callable[[Path], Header] = read_header, portion: int = 1000
) -> Iterator[Header | str]:
    """Headers, or what is wrong with the file; read by a few threads, since network disks answer slowly."""

    def header(path: Path) -> Header | str:
        try:
            return read(path)
        except UnreadableImage as error:
            return str(error)

    remaining = iter(paths)
    while some_paths := list(islice(remaining, portion)):
        with ThreadPoolExecutor(8) as pool:  # closed before the caller, who may stop here for good, sees anything
            headers = list(pool.map(header, some_paths))
        yield from headers


def refuse_unreadable(messages: Sequence[str]) -> None:
    """Raises ValueError with the first of these messages, if there is one, and how many more there are."""
    if messages:
        more = f", and {len(messages) - 1} more such files" if messages[1:] else ""
        raise ValueError(f"{messages[0]}{more}: mend or remove it")


def _check_size(path_a: Path, a: Header, path_b: Path, b: Header) -> None:
    if path_a == path_b and (a.width % 2 or a.width < 2):
        raise ValueError(
            f"{path_a}: {a.width} pixels wide, so it can't be A and B side by side; "
            "two folders of images go into trainA/ and trainB/"
        )
    if (a.width, a.height) != (b.width, b.height):
        raise ValueError(
            f"{path_a} is {a.width}x{a.height} but {path_b} is {b.width}x{b.height}: a pair needs one size"
        )


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first names and how many more there are, for a message."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
