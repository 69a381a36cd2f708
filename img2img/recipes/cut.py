"""Cuts large images into overlapping squares, which training reads faster than whole ones."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from img2img.data.folder import list_images
from img2img.data.images import read_header, read_image, write_image


def cut_images(source: Path, output: Path, *, size: int, step: int) -> tuple[int, int]:
    """Cuts all images below ``source``: SOURCE/train/street.jpg becomes OUTPUT/train/street_s001.png, _s002.png, ...

    The squares of an image are numbered row by row. Depth, alpha and gray stay. ``output`` appears when all are cut.

    Args:
        source: folder of images, at any depth.
        output: folder to write to; must not exist.
        size: side of the squares in pixels. A shorter side of an image stays whole.
        step: distance between the corners of neighbours in pixels, at most ``size``. The last ones end at the image's
            edge.

    Returns:
        The numbers of images and of squares.

    Raises:
        ValueError: ``size`` or ``step`` is out of range; ``output`` exists, lies within ``source``, or can't be
            written; there are no images, two have one name, or one can't be read.
    """
    if size < 1:
        raise ValueError(f"size {size}: must be 1 or more")
    if not 1 <= step <= size:
        raise ValueError(f"step {step}: must be from 1 to {size}, the size; pixels between squares would be lost")
    if output.exists():
        raise ValueError(f"{output}: exists already; name a new folder")
    if source.resolve() in output.resolve().parents:
        raise ValueError(f"{output}: lies within {source}; name a folder outside of it")
    files = _different_names(list_images(source))
    aside = output.with_name(f".{output.name}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
        with ThreadPoolExecutor() as threads:
            targets = [aside / file.relative_to(source) for file in files]
            counts = list(threads.map(lambda file, target: _cut(file, target, size, step), files, targets))
        aside.rename(output)
    except OSError as error:
        raise ValueError(f"{output}: can't be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return len(files), sum(counts)


def _different_names(files: list[Path]) -> list[Path]:
    """The files. Raises ValueError if two differ in their suffixes only: their squares would have the same names."""
    first: dict[Path, Path] = {}
    for file in files:
        other = first.setdefault(file.with_suffix(""), file)
        if other != file:
            raise ValueError(f"{file}: {other.name} beside it has the same name; rename one of them")
    return files


def _cut(file: Path, target: Path, size: int, step: int) -> int:
    """Writes the squares of an image to TARGET_s001.png, ... without TARGET's suffix; returns their number."""
    header = read_header(file)
    image = read_image(file, 4 if header.alpha else 1 if header.gray else 3)
    corners = list(product(_starts(header.height, size, step), _starts(header.width, size, step)))
    for number, (top, left) in enumerate(corners, 1):
        square = image[top : top + size, left : left + size]
        write_image(target.with_name(f"{target.stem}_s{number:03d}.png"), square)
    return len(corners)


def _starts(length: int, size: int, step: int) -> list[int]:
    """Where squares begin along a side."""
    last = max(0, length - size)
    return [*range(0, last, step), last]
