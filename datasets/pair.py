"""Make a training set from your own two folders of images.

    python datasets/pair.py --a photos --b drawings --to datasets/mine --val 0.1

Two images are a pair if their paths below --a and --b are the same without the suffix: `x/1.jpg` and `x/1.png`. A
random part of them (--val, --seed) is for validation. The files are copied (or hard-linked with --link) to
DIR/{trainA,trainB,valA,valB}.
"""

import os
import random
import shutil
import sys
from pathlib import Path

from _common import Parser, UserError, by_stem, run, some, whole_folder
from PIL import Image
from tqdm import tqdm

Image.MAX_IMAGE_PIXELS = None  # only headers are read here, so huge images are harmless
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 mean a rotation by 90 degrees


def size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright image, from its header."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = Image.Image.getexif(image).get(ORIENTATION, 1) >= 5  # PNG's own getexif decodes the whole file
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not a readable image: save it again or remove it") from error
    return (height, width) if turned else (width, height)


def check(a: dict[str, Path], b: dict[str, Path]) -> None:
    """Raise UserError unless every image has a partner of the same size."""
    missing = {"--b": a.keys() - b.keys(), "--a": b.keys() - a.keys()}
    problems = [f"{option} lacks the partners of {some(stems)}" for option, stems in missing.items() if stems]
    if problems:
        raise UserError(f"{'; '.join(problems)} (partners have the same name without the suffix)")
    unequal = []
    for stem in tqdm(a, desc="checking sizes", disable=None):
        (wa, ha), (wb, hb) = size(a[stem]), size(b[stem])
        if (wa, ha) != (wb, hb):
            unequal.append(f"{stem} ({wa}x{ha} and {wb}x{hb})")
    if unequal:
        raise UserError(f"partners that differ in size, {some(unequal)} (crop or resize them to the same size)")


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
        raise UserError(f"cannot hard-link {source} ({error.strerror}): leave --link out to copy the files") from error


def pair(folders: dict[str, Path], to: Path, fraction: float, seed: int, link: bool) -> None:
    """Make the folder `to` from the folders of A and B."""
    files = {side: by_stem(f"--{side.lower()}", folder) for side, folder in folders.items()}
    check(files["A"], files["B"])
    parts = split(list(files["A"]), fraction, seed)
    with whole_folder(to) as unfinished:
        jobs = [(part, side, stem) for part, stems in parts.items() for side in files for stem in stems]
        for part, side, stem in tqdm(jobs, desc="linking" if link else "copying", disable=None):
            source = files[side][stem]
            place(source, unfinished / f"{part}{side}" / source.relative_to(folders[side]), link)
    print(f"{to}: {', '.join(f'{len(stems)} {part}' for part, stems in parts.items())} pairs")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = Parser(prog="pair.py", description="Make a set of pairs from two folders.", allow_abbrev=False)
    parser.add_argument("--a", type=Path, required=True, metavar="DIR", help="folder with the images of A")
    parser.add_argument("--b", type=Path, required=True, metavar="DIR", help="folder with the images of B, same names")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--val", type=float, default=0.1, metavar="X", help="fraction of validation pairs, 0 to 1 (default: 0.1)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of the choice of validation pairs (default: 0)"
    )
    parser.add_argument("--link", action="store_true", help="make hard links instead of copies")
    options = parser.parse_args(arguments)
    if not 0 <= options.val < 1:
        parser.error(f"--val {options.val}: must be at least 0 and below 1")
    folders = {"A": options.a, "B": options.b}
    return run(parser.prog, options.to, lambda: pair(folders, options.to, options.val, options.seed, options.link))


if __name__ == "__main__":
    sys.exit(main())
