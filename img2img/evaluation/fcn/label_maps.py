"""Class maps of images: painted in a palette's colours, or files beside them in a folder; and which classes count.

Class ids are those of the set's label maps. -1 is no class; it is neither scored nor learnt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from img2img.data.folder import list_images, read_headers, some
from img2img.data.images import SUFFIXES, Header, UnreadableImage, eight_bits, read_header, read_image
from img2img.data.label_files import read_id_header, read_ids, resize_ids, scene_name
from img2img.data.labelled import LABELS
from img2img.inference.label_edits import CITYSCAPES

# Cordts et al., arXiv 1604.01685; ids and colours of mcordts/cityscapesScripts, cityscapesscripts/helpers/labels.py
CITYSCAPES_SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_COLOURS = (
    (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (111, 74, 0), (81, 0, 81), (128, 64, 128), (244, 35, 232),
    (250, 170, 160), (230, 150, 140), (70, 70, 70), (102, 102, 156), (190, 153, 153), (180, 165, 180), (150, 100, 100),
    (150, 120, 90), (153, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
    (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 0, 90), (0, 0, 110),
    (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip


HEX = re.compile(r"^\s*#([0-9a-fA-F]{6})\b")
BLOCK = 1 << 16  # colours of an image that are compared with a palette's at once


class Palette:
    """Colours of classes: id i is painted in ``colours[i]``.

    Args:
        name: how messages call it.
        colours: (N, 3) RGB of 0..255. Of classes that share one, a painted map can only mean the first.
        names: of the classes, as far as they are known.
    """

    def __init__(self, name: str, colours: Sequence[Sequence[int]], names: Sequence[str] = ()) -> None:
        self.name, self.names = name, dict(enumerate(names))
        self.colours = np.array(colours, np.float32)  # (N, 3)
        self.squares = (self.colours**2).sum(axis=1)

    @property
    def meant(self) -> tuple[int, ...]:
        """The classes that a painted map can mean."""
        first = np.unique(self.colours, axis=0, return_index=True)[1]
        return tuple(sorted(first.tolist()))

    def ids(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 -> (H, W) int32: the class of the nearest colour, in Euclidean distance."""
        return self._nearest(image)[0]

    def strangeness(self, image: np.ndarray) -> float:
        """How far, in levels of 0..255, a pixel of an image (H, W, C) uint8 is from the palette at the median."""
        return float(np.median(self._nearest(image)[1]))

    def _nearest(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class and distance of each pixel, both (H, W)."""
        red, green, blue = np.moveaxis(eight_bits(image).astype(np.int32), 2, 0)
        codes, back = np.unique(red << 16 | green << 8 | blue, return_inverse=True)  # (K,): each colour once
        colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.float32)  # (K, 3)
        classes, distances = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        for part in (colours[first : first + BLOCK] for first in range(0, len(colours), BLOCK)):
            squares = (part**2).sum(axis=1)[:, None] + self.squares - 2 * part @ self.colours.T  # (BLOCK, N)
            classes.append(squares.argmin(axis=1).astype(np.int32))
            distances.append(np.sqrt(squares.min(axis=1).clip(0)))
        shape = red.shape
        return np.concatenate(classes)[back].reshape(shape), np.concatenate(distances)[back].reshape(shape)


class PaintedMaps:
    """Reads the classes of painted class maps by their colours: a ``ClassReader``.

    Args:
        palette: in which they are painted.
        scored: the classes that count.
    """

    def __init__(self, palette: Palette, scored: tuple[int, ...]) -> None:
        self.palette, self.scored = palette, scored
        self.title = f"the colours of the palette {palette.name}"

    def __call__(self, image: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
        ids = self.palette.ids(image)
        return ids if ids.shape == sides else resize_ids(ids, *sides)


def load_palette(text: str) -> Palette:
    """ "cityscapes", or a file of lines ``R G B [name]`` or ``#rrggbb [name]``, of which the first is class 0.

    Any other # begins a comment.

    Raises:
        ValueError: no such file, or a line that is none of these.
    """
    if text == "cityscapes":
        return Palette(text, CITYSCAPES_COLOURS, CITYSCAPES)
    option = f"--palette {text}"
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ValueError(f"{option}: {reason}; it is cityscapes, or a file of lines R G B [name]") from error
    colours: list[list[int]] = []
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        line = HEX.sub(lambda found: " ".join(str(value) for value in bytes.fromhex(found[1])), line)
        words = line.partition("#")[0].replace(",", " ").split(maxsplit=3)
        if not words:
            continue
        if len(words) < 3 or not all(word.isdecimal() and int(word) < 256 for word in words[:3]):
            raise ValueError(
                f"{option}, line {number}: expected R G B of 0..255 and perhaps a name, not {line.strip()!r}"
            )
        colours.append([int(word) for word in words[:3]])
        names.append(words[3] if words[3:] else str(len(names)))
    if len(colours) < 2:
        raise ValueError(f"{option}: {len(colours)} colours in it; there must be two or more")
    return Palette(text, colours, names)


def parse_classes(text: str) -> tuple[int, ...]:
    """ "cityscapes" (its 19 of the benchmark), or ids "7,8,-,11", where - is none. ValueError: anything else."""
    if text == "cityscapes":
        return CITYSCAPES_SCORED
    words = [word.strip() for word in text.split(",")]
    if not all(word == "-" or word.isdecimal() for word in words):
        raise ValueError(f"--classes {text}: expected cityscapes, or ids with commas, such as 7,8,11")
    ids = tuple(-1 if word == "-" else int(word) for word in words)
    scored = [number for number in ids if number >= 0]
    if not scored or len({*scored}) < len(scored):
        raise ValueError(f"--classes {text}: {'an id stands there twice' if scored else 'no id among them'}")
    return ids


def scored_classes(chosen: Sequence[int] | None, known: Sequence[int], names: Mapping[int, str]) -> tuple[int, ...]:
    """Those that count: the chosen ones, or Cityscapes' 19 where these are its names, or all that are known.

    Raises:
        ValueError: one that was chosen is not known.
    """
    if not chosen:
        return CITYSCAPES_SCORED if dict(names) == dict(enumerate(CITYSCAPES)) else tuple(known)
    wanted = tuple(number for number in chosen if number >= 0)
    beyond = [number for number in wanted if number not in known]
    if beyond:
        raise ValueError(f"--classes: {beyond[0]} is no class of the set, which has {known[0]}..{known[-1]}")
    return wanted


class LabelFolder:
    """Class maps in a folder, by the names of the images that they belong to, sub-folders aside.

    A file of one channel holds ids, any other one colours. Of Cityscapes' own folders the files ``_labelIds`` count,
    and names agree up to ``_gtFine`` and ``_leftImg8bit``.

    Args:
        folder: of the maps.
        palette: how they are painted, if they are.
        painted: classes that count of images that are painted maps, too; None: the images are photos.

    Raises:
        ValueError: there is no such folder, no map in it, or two of one name.
    """

    def __init__(self, folder: Path, palette: Palette | None = None, painted: tuple[int, ...] | None = None) -> None:
        if not folder.is_dir():
            raise ValueError(f"--labels {folder}: no such folder")
        self.folder, self.palette, self.painted = folder, palette, painted
        found = list_images(folder)
        own = [path for path in found if path.stem.endswith(LABELS)]
        self.files: dict[str, Path] = {}
        for path in own or found:
            other = self.files.setdefault(_key(Path(path.name)), path)
            if other != path:
                raise ValueError(f"--labels {folder}: {other} and {path} have one name; keep one of them")

    def __contains__(self, name: str) -> bool:
        return _key(Path(name)) in self.files

    def require(self, names: Iterable[str]) -> None:
        """Raises ValueError if one of these images has no map, or one that can't be read."""
        wanted = list(dict.fromkeys(names))
        lonely = [name for name in wanted if name not in self]
        if lonely:
            raise ValueError(f"--labels {self.folder}: no map for {some(sorted(lonely))}")
        headers = read_headers([self.files[_key(Path(name))] for name in wanted], self._header)
        wrong = [header for header in headers if isinstance(header, str)]
        if wrong:
            raise ValueError(f"--labels {wrong[0]}")

    def read(self, name: str) -> np.ndarray:
        """The map of an image, (H, W) int32. Raises UnreadableImage."""
        path = self.files[_key(Path(name))]
        try:
            read_id_header(path)
        except UnreadableImage:
            if self.palette is not None:
                return self.palette.ids(read_image(path, 3))
        return read_ids(path)

    def _header(self, path: Path) -> Header:
        """Of ids, or else of what is painted. Raises UnreadableImage if it can be neither."""
        try:
            return read_id_header(path)
        except UnreadableImage as error:
            if self.palette is None:
                hint = "if it is painted, --palette tells what its colours mean"
                raise UnreadableImage(f"{error}; {hint}") from error
        return read_header(path)


def _key(path: Path) -> str:
    """What an image's name and its map's have in common; of a data set's names, too, which have no suffix."""
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return scene_name(stem)
