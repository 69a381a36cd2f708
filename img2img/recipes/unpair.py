"""Makes an unpaired set for CycleGAN (Zhu et al., arXiv 1703.10593) of side-by-side pairs.

If A and B come from the same pairs, a random half of the training pairs gives A and the other half gives B, so that no
image's partner is in the training set. CycleGAN's paper used both halves of every training pair for maps and for
Cityscapes. In val and test both halves are always used, under the same name, for metrics that compare them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from img2img.recipes.files import by_stem, disk_errors, in_threads, whole_folder

SPLITS = ("train", "val", "test")
WRITE = {
    ".png": (),
    ".jpg": (
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,  # no chroma subsampling: it would mix the colours of neighbouring labels
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ),
}


@dataclass(frozen=True)
class Side:
    """Source of the images of A or B."""

    option: str  # --a or --b
    folder: Path
    half: str  # left or right


def same(a: Side, b: Side) -> bool:
    """Whether both sides come from the same pairs."""
    return a.folder.resolve() == b.folder.resolve()


def read(path: Path) -> np.ndarray:
    """An upright image: (H, W) or (H, W, 3 or 4) BGR(A), uint8 or uint16; with alpha always uint8."""
    data = path.read_bytes()
    # OpenCV fills truncated JPEGs with gray without an error; complete ones have FF D9 after their last scan (FF DA).
    whole = data[:2] != b"\xff\xd8" or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    image = None
    try:
        with Image.open(BytesIO(data)) as header:  # reads no pixels yet
            if header.has_transparency_data:  # OpenCV either drops alpha or ignores the orientation
                rgba = np.asarray(ImageOps.exif_transpose(header).convert("RGBA"))
                return cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
        if whole:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, SyntaxError, ValueError, cv2.error, Image.DecompressionBombError):
        pass
    if image is None:
        raise ValueError(f"{path} is not a readable image: save it again or remove it")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} has {image.dtype} pixels: save it with 8 or 16 bits per channel")
    return image


def write_halves(source: Path, targets: list[tuple[str, Path]]) -> None:
    """Write the named halves of a pair to their files."""
    pair = read(source)
    width = pair.shape[1]
    if width % 2:
        raise ValueError(
            f"{source} is {width} pixels wide, but two images side by side have an even width: correct or remove it"
        )
    halves = {"left": pair[:, : width // 2], "right": pair[:, width // 2 :]}
    for half, target in targets:
        image = halves[half]
        if target.suffix == ".jpg" and (image.dtype != np.uint8 or image.shape[2:] == (4,)):
            raise ValueError(f"{source} has 16 bits per channel or alpha, which JPEG cannot store: use --format png")
        _, data = cv2.imencode(target.suffix, image, WRITE[target.suffix])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.tobytes())


def find(side: Side) -> dict[str, dict[str, Path]]:
    """The pairs of every split below the side's folder, by their path without the suffix."""
    if not (side.folder / "train").is_dir():
        raise ValueError(
            f"{side.option} {side.folder}: has no folder train; give the folder that has it, with side-by-side pairs"
        )
    return {split: by_stem(side.option, side.folder / split) for split in SPLITS if (side.folder / split).is_dir()}


def deal(stems: list[str], seed: int) -> tuple[set[str], set[str]]:
    """Split pairs at random into those for A and those for B; the same seed and stems give the same split."""
    if len(stems) < 2:
        raise ValueError("there is only one training pair, which cannot give both A and B: use --both")
    b = set(random.Random(seed).sample(sorted(stems), len(stems) // 2))
    return set(stems) - b, b


def choose(a: Side, b: Side, both: bool, seed: int) -> dict[str, dict[str, Path]]:
    """The pairs from which each folder of the new set (trainA, trainB, valA, ...) gets a half."""
    pairs_a, pairs_b = find(a), find(b)
    parts = {}
    for split in [split for split in SPLITS if split in pairs_a and split in pairs_b]:
        parts[f"{split}A"], parts[f"{split}B"] = pairs_a[split], pairs_b[split]
    if same(a, b) and not both:
        for part, kept in zip(("trainA", "trainB"), deal(list(parts["trainA"]), seed), strict=True):
            parts[part] = {stem: path for stem, path in parts[part].items() if stem in kept}
    return parts


def unpair(a: Side, b: Side, to: Path, *, both: bool = False, seed: int = 0, suffix: str = ".png") -> None:
    """Makes the folder ``to`` with trainA, trainB, and valA, valB, testA, testB where there are such pairs.

    Args:
        a, b: where the images of A and of B come from.
        to: must not exist; it appears when all images are in it.
        both: whether A and B of the same pairs both get every training pair.
        seed: of the choice of training pairs for A and for B.
        suffix: of the files, ".png" or ".jpg".

    Raises:
        ValueError: there are no pairs, or one can't be cut in two; ``to`` exists or can't be written.
    """
    parts = choose(a, b, both, seed)
    with disk_errors(to), whole_folder(to) as unfinished:
        targets: dict[Path, list[tuple[str, Path]]] = {}  # by source: each file is read once
        for part, pairs in parts.items():
            for stem, source in pairs.items():
                half = (a if part.endswith("A") else b).half
                targets.setdefault(source, []).append((half, unfinished / part / f"{stem}{suffix}"))
        in_threads(write_halves, list(targets.items()), "writing halves")
    numbers = ", ".join(f"{len(pairs)} {part}" for part, pairs in parts.items())
    print(f"{to}: {numbers}; A = {a.half} halves of {a.folder}, B = {b.half} halves of {b.folder}")
