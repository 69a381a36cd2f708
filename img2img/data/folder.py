"""Finds the pairs of a set on disk, in any of the layouts that people have.

root/train/x.jpg                    A (left) and B (right) side by side in one file
root/trainA/x.png  root/trainB/x.jpg     matched by file stem, sub-folders included
root/train/A/x.png root/train/B/x.jpg    the same
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.data.images import SUFFIXES, Header, UnreadableImage, read_header, read_image, to_channels


def list_images(folder: Path) -> list[Path]:
    """Every picture file below ``folder``, sorted; hidden files (macOS's ._x.jpg) are passed over.

    Raises:
        ValueError: the folder is missing, or holds no picture.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if not name.startswith(".")]
    images = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if not images:
        raise ValueError(f"{folder}: no picture in it ({', '.join(sorted(SUFFIXES))})")
    return images


@dataclass(frozen=True)
class Pair:
    """Where one pair lies: two files, or one file that holds both side by side (then ``b`` is None)."""

    name: str
    a: Path
    b: Path | None


class FolderPairs:
    """The pairs of one split: ``len()``, ``name(i)`` and ``read(i) -> (A, B)``, (H, W, C) arrays of one size.

    Every header is read at once, so that what is wrong with a set shows before training and not at epoch 40.

    Args:
        root: the set's folder.
        split: "train", "val", ...: which part of it.
        channels: of A and of B; what the files hold is converted.

    Raises:
        ValueError: no such folder or split, an empty one, pictures without a partner, or unreadable, or of different
            sizes; the message names them.
    """

    def __init__(self, root: str, split: str, channels: tuple[int, int]) -> None:
        self.channels = channels
        self.pairs = find_pairs(Path(root), split)
        headers = _read_headers(self.pairs)
        _check_sizes(self.pairs, headers)
        # One depth for a side: a batch holds one type. A stray 16-bit file lifts its side to 16 bits.
        self.dtypes = tuple(np.uint16 if any(h[side].depth == 16 for h in headers) else np.uint8 for side in (0, 1))

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs[index].name

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pair = self.pairs[index]
        if pair.b is None:
            both = read_image(pair.a, max(self.channels))
            half = both.shape[1] // 2
            images = [both[:, :half], both[:, half:]]
        else:
            images = [read_image(pair.a, self.channels[0]), read_image(pair.b, self.channels[1])]
        a, b = (
            _as_dtype(to_channels(image, n), dtype)
            for image, n, dtype in zip(images, self.channels, self.dtypes, strict=True)
        )
        return a, b


def _as_dtype(image: np.ndarray, dtype: type) -> np.ndarray:
    return image.astype(np.uint16) * 257 if dtype == np.uint16 and image.dtype == np.uint8 else image


def find_pairs(root: Path, split: str) -> list[Pair]:
    """The pairs of ``split`` below ``root``, sorted by name; see the module's docstring for the layouts.

    Raises:
        ValueError: as FolderPairs.
    """
    if not root.is_dir():
        raise ValueError(f"data.root {root}: no such folder")
    layouts = [(root / f"{split}A", root / f"{split}B"), (root / split / "A", root / split / "B")]
    for folder_a, folder_b in layouts:
        if folder_a.is_dir() or folder_b.is_dir():
            for folder in (folder_a, folder_b):
                if not folder.is_dir():
                    raise ValueError(f"{folder}: no such folder, though its other side is there")
            return _match(folder_a, folder_b)
    if (root / split).is_dir():
        together = list_images(root / split)
        return [Pair(path.relative_to(root / split).with_suffix("").as_posix(), path, None) for path in together]
    raise ValueError(
        f"data.root {root}: no split '{split}' ({split}/, {split}A/ + {split}B/ or {split}/A/ + {split}/B/); "
        f"{_splits_there(root)}"
    )


def _splits_there(root: Path) -> str:
    names = {p.name.removesuffix("A").removesuffix("B") for p in root.iterdir() if p.is_dir() and p.name[0] != "."}
    if not names:
        return "there is no folder in it at all"
    return f"there is {', '.join(sorted(names - {''}))}: set data.train_split and data.val_split"


def _match(folder_a: Path, folder_b: Path) -> list[Pair]:
    """Pairs the files of two folders by their relative path without the suffix."""
    by_stem = []
    for folder in (folder_a, folder_b):
        stems = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in list_images(folder)]
        twice = [stem for stem, count in Counter(stem for stem, _ in stems).items() if count > 1]
        if twice:
            raise ValueError(f"{folder}: several files for {_some(twice)}: keep one of each")
        by_stem.append(dict(stems))
    a, b = by_stem
    for mine, other, folder in ((a, b, folder_b), (b, a, folder_a)):
        missing = sorted(mine.keys() - other.keys())
        if missing:
            raise ValueError(f"{folder}: no partner for {_some(missing)}")
    return [Pair(stem, a[stem], b[stem]) for stem in sorted(a)]


def _read_headers(pairs: Sequence[Pair]) -> list[tuple[Header, Header]]:
    """The headers of A and B of every pair, read by a few threads since network disks answer slowly."""

    def header(path: Path) -> Header | str:
        try:
            return read_header(path)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        a = list(pool.map(header, [pair.a for pair in pairs]))
        b = list(pool.map(header, [pair.b for pair in pairs if pair.b])) or a
    bad = [found for found in dict.fromkeys([*a, *b]) if isinstance(found, str)]
    if bad:
        raise ValueError(f"{bad[0]}{f', and {len(bad) - 1} more such files' if bad[1:] else ''}: mend or remove it")
    return [(x, y) for x, y in zip(a, b, strict=True) if isinstance(x, Header) and isinstance(y, Header)]


def _check_sizes(pairs: Sequence[Pair], headers: Sequence[tuple[Header, Header]]) -> None:
    for pair, (a, b) in zip(pairs, headers, strict=True):
        if pair.b is None and (a.width % 2 or a.width < 2):
            raise ValueError(
                f"{pair.a}: {a.width} pixels wide, so it can't be A and B side by side; "
                "two folders of pictures go into trainA/ and trainB/"
            )
        if (a.width, a.height) != (b.width, b.height):
            raise ValueError(
                f"{pair.a} is {a.width}x{a.height} but {pair.b} is {b.width}x{b.height}: a pair needs one size"
            )


def _some(names: Sequence[str], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
