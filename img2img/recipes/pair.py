"""Makes a training set of pairs from two folders of images.

Two images are a pair if their paths below the folders are the same without the suffix: ``x/1.jpg`` and ``x/1.png``.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from img2img.recipes.files import by_stem, disk_errors, some, whole_folder

ORIENTATION = 0x0112  # EXIF tag; 5 to 8 mean a rotation by 90 degrees


def size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright image, from its header."""
    try:
        with _any_size(), Image.open(path) as image:
            width, height = image.size
            turned = Image.Image.getexif(image).get(ORIENTATION, 1) >= 5  # PNG's own getexif decodes the whole file
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is not a readable image: save it again or remove it") from error
    return (height, width) if turned else (width, height)


@contextmanager
def _any_size() -> Iterator[None]:
    """Context in which Pillow opens huge images: only their headers are read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def check(a: dict[str, Path], b: dict[str, Path]) -> None:
    """Raise ValueError unless every image has a partner of the same size."""
    missing = {"--b": a.keys() - b.keys(), "--a": b.keys() - a.keys()}
    problems = [f"{option} lacks the partners of {some(stems)}" for option, stems in missing.items() if stems]
    if problems:
        raise ValueError(f"{'; '.join(problems)} (partners have the same name without the suffix)")
    unequal = []
    for stem in tqdm(a, desc="checking sizes", disable=None):
        (wa, ha), (wb, hb) = size(a[stem]), size(b[stem])
        if (wa, ha) != (wb, hb):
            unequal.append(f"{stem} ({wa}x{ha} and {wb}x{hb})")
    if unequal:
        raise ValueError(f"partners that differ in size, {some(unequal)} (crop or resize them to the same size)")


def split(stems: list[str], fraction: float, seed: int) -> dict[str, list[str]]:
    """The stems of train and val, chosen at random; the same seed and stems give the same split."""
    count = round(fraction * len(stems))
    if fraction > 0:
        count = min(max(count, 1), len(stems) - 1)  # so that neither is empty
    val = set(random.Random(seed).sample(sorted(stems), count))
    chosen = {"train": [stem for stem in stems if stem not in val], "val": sorted(val)}
    return {name: members for name, members in chosen.items() if members}


def place(source: Path, target: Path, link: bool) -> None:
    """Copy or hard-link one file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not link:
        shutil.copy2(source, target)
        return
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        raise ValueError(f"cannot hard-link {source} ({error.strerror}): leave --link out to copy the files") from error


def pair(folders: dict[str, Path], to: Path, *, fraction: float = 0.1, seed: int = 0, link: bool = False) -> None:
    """Makes the folder ``to`` with trainA, trainB, valA and valB, and prints the numbers of pairs.

    Args:
        folders: those of "A" and "B".
        to: must not exist; it appears when all images are in it.
        fraction: part of the pairs, in [0, 1), chosen at random for validation.
        seed: of that choice.
        link: whether to make hard links instead of copies.

    Raises:
        ValueError: an image has no partner, or one of another size; ``to`` exists or can't be written.
    """
    files = {side: by_stem(f"--{side.lower()}", folder) for side, folder in folders.items()}
    check(files["A"], files["B"])
    parts = split(list(files["A"]), fraction, seed)
    with disk_errors(to), whole_folder(to) as unfinished:
        jobs = [(part, side, stem) for part, stems in parts.items() for side in files for stem in stems]
        for part, side, stem in tqdm(jobs, desc="linking" if link else "copying", disable=None):
            source = files[side][stem]
            place(source, unfinished / f"{part}{side}" / source.relative_to(folders[side]), link)
    print(f"{to}: {', '.join(f'{len(stems)} {part}' for part, stems in parts.items())} pairs")
