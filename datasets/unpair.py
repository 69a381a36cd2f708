"""Make an unpaired set for CycleGAN from side-by-side pairs.

    python datasets/unpair.py --a edges2shoes --a-half right --b edges2handbags --b-half right --to shoes2handbags

--a and --b are folders DIR/{train,val,test} of files with two images of equal width side by side. One half of each file
is written to DIR/{trainA,valA,testA} or DIR/{trainB,valB,testB} of the new set, under the name of the pair.

If --a and --b are the same folder, a random half of the training pairs (--seed) gives A and the other half gives B, so
that no image's partner is in the training set. `--both` uses both halves of every training pair, as CycleGAN (Zhu et
al., arXiv 1703.10593) did for maps and Cityscapes. In val and test both halves are always used, under the same name,
for metrics that compare them.
"""

import random
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from _common import Parser, UserError, by_stem, in_threads, run, whole_folder
from PIL import Image, ImageOps

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
        raise UserError(f"{path} is not a readable image: save it again or remove it")
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} has {image.dtype} pixels: save it with 8 or 16 bits per channel")
    return image


def write_halves(source: Path, targets: list[tuple[str, Path]]) -> None:
    """Write the named halves of a pair to their files."""
    pair = read(source)
    width = pair.shape[1]
    if width % 2:
        raise UserError(
            f"{source} is {width} pixels wide, but two images side by side have an even width: correct or remove it"
        )
    halves = {"left": pair[:, : width // 2], "right": pair[:, width // 2 :]}
    for half, target in targets:
        image = halves[half]
        if target.suffix == ".jpg" and (image.dtype != np.uint8 or image.shape[2:] == (4,)):
            raise UserError(f"{source} has 16 bits per channel or alpha, which JPEG cannot store: use --format png")
        _, data = cv2.imencode(target.suffix, image, WRITE[target.suffix])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.tobytes())


def find(side: Side) -> dict[str, dict[str, Path]]:
    """The pairs of every split below the side's folder, by their path without the suffix."""
    if not (side.folder / "train").is_dir():
        raise UserError(
            f"{side.option} {side.folder}: has no folder train; give the folder that has it, with side-by-side pairs"
        )
    return {split: by_stem(side.option, side.folder / split) for split in SPLITS if (side.folder / split).is_dir()}


def deal(stems: list[str], seed: int) -> tuple[set[str], set[str]]:
    """Split pairs at random into those for A and those for B; the same seed and stems give the same split."""
    if len(stems) < 2:
        raise UserError("there is only one training pair, which cannot give both A and B: use --both")
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


def unpair(a: Side, b: Side, to: Path, both: bool, seed: int, suffix: str) -> None:
    """Make the folder `to`."""
    parts = choose(a, b, both, seed)
    with whole_folder(to) as unfinished:
        targets: dict[Path, list[tuple[str, Path]]] = {}  # by source: each file is read once
        for part, pairs in parts.items():
            for stem, source in pairs.items():
                half = (a if part.endswith("A") else b).half
                targets.setdefault(source, []).append((half, unfinished / part / f"{stem}{suffix}"))
        in_threads(write_halves, list(targets.items()), "writing halves")
    numbers = ", ".join(f"{len(pairs)} {part}" for part, pairs in parts.items())
    print(f"{to}: {numbers}; A = {a.half} halves of {a.folder}, B = {b.half} halves of {b.folder}")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = Parser(prog="unpair.py", description="Make an unpaired set from side-by-side pairs.", allow_abbrev=False)
    for side in ("a", "b"):
        name = side.upper()
        pairs = f"folder with train/ (and val/, test/) of side-by-side pairs for {name}"
        half = f"half of each pair to use for {name}"
        parser.add_argument(f"--{side}", type=Path, required=True, metavar="DIR", help=pairs)
        parser.add_argument(f"--{side}-half", choices=("left", "right"), required=True, help=half)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--both", action="store_true", help="use both halves of every training pair; --a and --b must be equal"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed that splits the training pairs (default: 0)"
    )
    parser.add_argument("--format", choices=("png", "jpg"), default="png", help="file format (default: png, lossless)")
    options = parser.parse_args(arguments)
    a = Side("--a", options.a, options.a_half)
    b = Side("--b", options.b, options.b_half)
    if same(a, b) and a.half == b.half:
        parser.error(f"--a-half {a.half} --b-half {b.half}: must differ when --a and --b are the same folder")
    if options.both and not same(a, b):
        parser.error("--both: --a and --b must be the same folder")
    suffix = f".{options.format}"
    return run(parser.prog, options.to, lambda: unpair(a, b, options.to, options.both, options.seed, suffix))


if __name__ == "__main__":
    sys.exit(main())
