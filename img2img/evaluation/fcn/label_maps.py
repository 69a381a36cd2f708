"""Ground-truth label maps: palettes of colour-coded maps, folders of maps, and the classes to evaluate.

Class ids are those of the data set. -1 means ignored: such pixels are neither trained on nor evaluated.
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
CITYSCAPES_EVAL_CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_COLOURS = (
    (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (111, 74, 0), (81, 0, 81), (128, 64, 128), (244, 35, 232),
    (250, 170, 160), (230, 150, 140), (70, 70, 70), (102, 102, 156), (190, 153, 153), (180, 165, 180), (150, 100, 100),
    (150, 120, 90), (153, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
    (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 0, 90), (0, 0, 110),
    (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip

HEX = re.compile(r"^\s*#([0-9a-fA-F]{6})\b")
BLOCK = 1 << 16  # number of an image's colours that are compared with a palette at once, which limits memory


class Palette:
    """Colours of classes in colour-coded label maps: class i has ``colours[i]``.

    Args:
        name: name of the palette in messages.
        colours: (N, 3) RGB of 0..255. Of classes that share a colour, the first is decoded.
        names: names of the classes, if known.
    """

    def __init__(self, name: str, colours: Sequence[Sequence[int]], names: Sequence[str] = ()) -> None:
        self.name, self.names = name, dict(enumerate(names))
        self.colours = np.array(colours, np.float32)  # (N, 3)
        self.squares = (self.colours**2).sum(axis=1)

    @property
    def classes(self) -> tuple[int, ...]:
        """Class ids that colours can be decoded to: the first of each colour."""
        first = np.unique(self.colours, axis=0, return_index=True)[1]
        return tuple(sorted(first.tolist()))

    def ids(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 -> class ids (H, W) int32, those of the nearest colours in Euclidean distance."""
        return self._nearest(image)[0]

    def distance(self, image: np.ndarray) -> float:
        """Distance of an image (H, W, C) uint8 to the palette: median over its pixels, in levels of 0..255."""
        return float(np.median(self._nearest(image)[1]))

    def _nearest(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class of the nearest colour and distance to it, both (H, W)."""
        red, green, blue = np.moveaxis(eight_bits(image).astype(np.int32), 2, 0)
        codes, inverse = np.unique(red << 16 | green << 8 | blue, return_inverse=True)  # (K,): each colour once
        colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.float32)  # (K, 3)
        classes, distances = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        for part in (colours[first : first + BLOCK] for first in range(0, len(colours), BLOCK)):
            squares = (part**2).sum(axis=1)[:, None] + self.squares - 2 * part @ self.colours.T  # (BLOCK, N)
            classes.append(squares.argmin(axis=1).astype(np.int32))
            distances.append(np.sqrt(squares.min(axis=1).clip(0)))
        shape = red.shape
        return np.concatenate(classes)[inverse].reshape(shape), np.concatenate(distances)[inverse].reshape(shape)


class PaletteReader:
    """A ``ClassReader`` that decodes colour-coded label maps.

    Args:
        palette: the palette of the label maps.
        classes: class ids to evaluate.
    """

    def __init__(self, palette: Palette, classes: tuple[int, ...]) -> None:
        self.palette, self.classes = palette, classes
        self.title = f"the colours of the palette {palette.name}"

    def __call__(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        ids = self.palette.ids(image)
        return ids if ids.shape == size else resize_ids(ids, *size)


def load_palette(text: str) -> Palette:
    """Loads a palette.

    Args:
        text: "cityscapes", or a file of lines ``R G B [name]`` or ``#rrggbb [name]``, the first for class 0. Any other
            # begins a comment.

    Raises:
        ValueError: there is no such file, it has an invalid line, or fewer than two colours.
    """
    if text == "cityscapes":
        return Palette(text, CITYSCAPES_COLOURS, CITYSCAPES)
    option = f"--palette {text}"
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ValueError(f"{option}: {reason}; expected cityscapes, or a file of lines R G B [name]") from error
    colours: list[list[int]] = []
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        line = HEX.sub(lambda match: " ".join(str(value) for value in bytes.fromhex(match[1])), line)
        words = line.partition("#")[0].replace(",", " ").split(maxsplit=3)
        if not words:
            continue
        if len(words) < 3 or not all(word.isdecimal() and int(word) < 256 for word in words[:3]):
            raise ValueError(
                f"{option}, line {number}: expected R G B of 0..255 and an optional name, not {line.strip()!r}"
            )
        colours.append([int(word) for word in words[:3]])
        names.append(words[3] if words[3:] else str(len(names)))
    if len(colours) < 2:
        raise ValueError(f"{option}: has {len(colours)} colours; needs at least 2")
    return Palette(text, colours, names)


def parse_classes(text: str) -> tuple[int, ...]:
    """Parses class ids.

    Args:
        text: "cityscapes" for the 19 classes of its benchmark, or ids "7,8,-,11", where - (here -1) is ignored.

    Raises:
        ValueError: it is neither, has an id twice, or no id.
    """
    if text == "cityscapes":
        return CITYSCAPES_EVAL_CLASSES
    words = [word.strip() for word in text.split(",")]
    if not all(word == "-" or word.isdecimal() for word in words):
        raise ValueError(f"--classes {text}: expected cityscapes, or ids separated by commas, such as 7,8,11")
    ids = tuple(-1 if word == "-" else int(word) for word in words)
    named = [number for number in ids if number >= 0]
    if not named or len({*named}) < len(named):
        raise ValueError(f"--classes {text}: {'an id occurs twice' if named else 'no id in it'}")
    return ids


def choose_eval_classes(
    chosen: Sequence[int] | None, known: Sequence[int], names: Mapping[int, str]
) -> tuple[int, ...]:
    """The class ids to evaluate: ``chosen``, or Cityscapes' 19 if ``names`` are its names, or all of ``known``.

    Args:
        chosen: ids from ``parse_classes``, or None.
        known: ids of the data set.
        names: names of the data set's classes.

    Raises:
        ValueError: a chosen id is not known.
    """
    if not chosen:
        return CITYSCAPES_EVAL_CLASSES if dict(names) == dict(enumerate(CITYSCAPES)) else tuple(known)
    ids = tuple(number for number in chosen if number >= 0)
    unknown = [number for number in ids if number not in known]
    if unknown:
        raise ValueError(f"--classes: the data set has no class {unknown[0]}, only {known[0]}..{known[-1]}")
    return ids


class LabelFolder:
    """Ground-truth label maps in a folder, found by the names of the images. Sub-folders are searched, too.

    A file with one channel holds class ids, any other one colours of ``palette``. In Cityscapes' own folders the files
    ``_labelIds`` are used, and names are compared up to ``_gtFine`` or ``_leftImg8bit``.

    Args:
        folder: the folder.
        palette: palette of colour-coded maps, if there are any.
        image_classes: if the images to evaluate are colour-coded label maps themselves, the class ids to evaluate;
            None if they are photos.

    Raises:
        ValueError: there is no such folder, it has no label maps, or two of one name.
    """

    def __init__(
        self, folder: Path, palette: Palette | None = None, image_classes: tuple[int, ...] | None = None
    ) -> None:
        if not folder.is_dir():
            raise ValueError(f"--labels {folder}: no such folder")
        self.folder, self.palette, self.image_classes = folder, palette, image_classes
        paths = list_images(folder)
        label_ids = [path for path in paths if path.stem.endswith(LABELS)]
        self.files: dict[str, Path] = {}
        for path in label_ids or paths:
            other = self.files.setdefault(_key(Path(path.name)), path)
            if other != path:
                raise ValueError(f"--labels {folder}: {other} and {path} have the same name; keep one of them")

    def __contains__(self, name: str) -> bool:
        return _key(Path(name)) in self.files

    def require(self, names: Iterable[str]) -> None:
        """Raises ValueError if an image of one of these names has no label map, or one that can't be read."""
        unique = list(dict.fromkeys(names))
        missing = [name for name in unique if name not in self]
        if missing:
            raise ValueError(f"--labels {self.folder}: no label map for {some(sorted(missing))}")
        headers = read_headers([self.files[_key(Path(name))] for name in unique], self._header)
        errors = [header for header in headers if isinstance(header, str)]
        if errors:
            raise ValueError(f"--labels {errors[0]}")

    def read(self, name: str) -> np.ndarray:
        """The label map of an image, class ids (H, W) int32. Raises UnreadableImage."""
        path = self.files[_key(Path(name))]
        try:
            read_id_header(path)
        except UnreadableImage:
            if self.palette is not None:
                return self.palette.ids(read_image(path, 3))
        return read_ids(path)

    def _header(self, path: Path) -> Header:
        """The header of a file of ids, or of colours if there is a palette. Raises UnreadableImage for other files."""
        try:
            return read_id_header(path)
        except UnreadableImage as error:
            if self.palette is None:
                hint = "if it is colour-coded, name its colours with --palette"
                raise UnreadableImage(f"{error}; {hint}") from error
        return read_header(path)


def _key(path: Path) -> str:
    """The part of a name that an image and its label map share. Names in a data set may have no suffix."""
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return scene_name(stem)
