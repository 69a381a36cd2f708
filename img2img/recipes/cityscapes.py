"""Makes pix2pix's Cityscapes set, side-by-side pairs [photo | colour label], of the two official archives.

Cityscapes (Cordts et al., arXiv 1604.01685) as used by pix2pix (arXiv 1611.07004, Sec. 6.1): 2975 training and 500
validation pairs, both halves 256x256. Photos are resized by area averaging, labels by nearest neighbour, so that every
pixel keeps a colour of the palette. JPEG files, as in the paper, are written at quality 100 without chroma subsampling,
which would mix the colours of neighbouring labels; PNG files keep the colours exactly.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from img2img.recipes.files import disk_errors, in_threads, some, whole_folder

PHOTO = "_leftImg8bit.png"
LABEL = "_gtFine_color.png"
COUNTS = {"train": 2975, "val": 500}
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def find(option: str, root: Path, split: str, ending: str) -> dict[str, Path]:
    """Every file `root`/`split`/CITY/NAME`ending` by its NAME, which begins with the city."""
    folder = root / split
    if not folder.is_dir():
        raise ValueError(f"{option} {root}: has no folder {split}; give the unpacked folder with train and val")
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*/*{ending}"))}


def find_pairs(left: Path, gt: Path, split: str) -> dict[str, tuple[Path, Path]]:
    """(photo, label) by name. Raises ValueError if a photo or a label has no partner."""
    photos, labels = find("--left", left, split, PHOTO), find("--gt", gt, split, LABEL)
    problems = []
    if photos.keys() - labels.keys():
        problems.append(f"photos without *{LABEL}, {some(photos.keys() - labels.keys())}")
    if labels.keys() - photos.keys():
        problems.append(f"labels without *{PHOTO}, {some(labels.keys() - photos.keys())}")
    if problems:
        raise ValueError(f"{split}: {'; '.join(problems)} (unpack both archives completely)")
    if not photos:
        raise ValueError(f"{left / split} has no */*{PHOTO}: unpack leftImg8bit_trainvaltest.zip there")
    return {name: (photos[name], labels[name]) for name in photos}


def read(path: Path) -> np.ndarray:
    """An image as (H, W, 3) BGR, without the alpha channel of labels."""
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"{path} is not a readable image: unpack its archive again")
    return image


def write_pair(photo: Path, label: Path, out: Path, size: int) -> None:
    """Write [photo | label], each `size` x `size`, to `out`."""
    a, b = read(photo), read(label)
    if a.shape != b.shape:
        raise ValueError(f"{photo} and {label} differ in size: unpack both archives again")
    a = cv2.resize(a, (size, size), interpolation=cv2.INTER_AREA)
    b = cv2.resize(b, (size, size), interpolation=cv2.INTER_NEAREST)
    pair = np.concatenate([a, b], axis=1)  # (size, 2 * size, 3)
    _, data = cv2.imencode(out.suffix, pair, JPEG if out.suffix == ".jpg" else ())
    out.write_bytes(data.tobytes())


def prepare(left: Path, gt: Path, to: Path, *, size: int = 256, suffix: str = ".jpg") -> None:
    """Makes the folder ``to`` with the pairs of train and val, and prints their numbers.

    Args:
        left: the unpacked folder leftImg8bit.
        gt: the unpacked folder gtFine.
        to: must not exist; it appears when all pairs are in it.
        size: side of both halves in pixels.
        suffix: of the files, ".jpg" or ".png".

    Raises:
        ValueError: a photo has no label or the other way round; a file can't be read; ``to`` exists or can't be
            written.
    """
    pairs = {split: find_pairs(left, gt, split) for split in COUNTS}
    with disk_errors(to), whole_folder(to) as unfinished:
        jobs = []
        for split, files in pairs.items():
            (unfinished / split).mkdir()
            jobs += [(a, b, unfinished / split / f"{name}{suffix}", size) for name, (a, b) in files.items()]
        in_threads(write_pair, jobs, "writing pairs")
    for split, files in pairs.items():
        if len(files) != COUNTS[split]:
            print(f"warning: {split} has {len(files)} pairs, the official set {COUNTS[split]}", file=sys.stderr)
    numbers = ", ".join(f"{len(files)} {split}" for split, files in pairs.items())
    print(f"{to}: {numbers}; A (left) = photo, B (right) = label; label -> photo: BtoA")
