"""Make a training set from your own two folders of images.

    python datasets/pair.py --a photos --b drawings --to datasets/mine --val 0.1

Two images are a pair when their paths below --a and --b agree up to the suffix: `x/1.jpg` goes with `x/1.png`. Pairs
are drawn into the validation set by --seed, and the files are copied (or hard-linked by --link) into
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

Image.MAX_IMAGE_PIXELS = None  # only headers are read here, so a huge image is no danger
ORIENTATION = 0x0112  # EXIF; 5 to 8 turn the image by a quarter


def size(path: Path) -> tuple[int, int]:
    """(width, height) as the image is shown, from its header."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = Image.Image.getexif(image).get(ORIENTATION, 1) >= 5  # PNG's own getexif decodes the whole file
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not a readable image: save it again or remove it") from error
    return (height, width) if turned else (width, height)


def check(a: dict[str, Path], b: dict[str, Path]) -> None:
    """Every image has its partner, of the same size."""
    missing = {"--b": a.keys() - b.keys(), "--a": b.keys() - a.keys()}
    lonely = [f"{option} lacks the partners of {some(stems)}" for option, stems in missing.items() if stems]
    if lonely:
        raise UserError(f"{'; '.join(lonely)} (the names of partners agree up to the suffix)")
    unequal = []
    for stem in tqdm(a, desc="checking sizes", disable=None):
        (wa, ha), (wb, hb) = size(a[stem]), size(b[stem])
        if (wa, ha) != (wb, hb):
            unequal.append(f"{stem} ({wa}x{ha} and {wb}x{hb})")
    if unequal:
        raise UserError(f"partners that differ in size, {some(unequal)} (crop or resize them to the same size)")


def split(stems: list[str], fraction: float, seed: int) -> dict[str, list[str]]:
    """The stems of train and val; the same seed and the same stems give the same split."""
    count = round(fraction * len(stems))
    if fraction > 0:
        count = min(max(count, 1), len(stems) - 1)  # neither is empty
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
        raise UserError(f"cannot hard-link {source} ({error.strerror}): leave --link out to copy") from error


def pair(folders: dict[str, Path], to: Path, fraction: float, seed: int, link: bool) -> None:
    """Make the folder `to` from the folders of A and B."""
    found = {side: by_stem(f"--{side.lower()}", folder) for side, folder in folders.items()}
    check(found["A"], found["B"])
    parts = split(list(found["A"]), fraction, seed)
    with whole_folder(to) as unfinished:
        jobs = [(part, side, stem) for part, stems in parts.items() for side in found for stem in stems]
        for part, side, stem in tqdm(jobs, desc="linking" if link else "copying", disable=None):
            source = found[side][stem]
            place(source, unfinished / f"{part}{side}" / source.relative_to(folders[side]), link)
    print(f"{to}: {', '.join(f'{len(stems)} {part}' for part, stems in parts.items())} pairs")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = Parser(prog="pair.py", description="Make a training set from two folders.", allow_abbrev=False)
    parser.add_argument("--a", type=Path, required=True, metavar="DIR", help="images of side A")
    parser.add_argument("--b", type=Path, required=True, metavar="DIR", help="their partners of side B")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--val", type=float, default=0.1, metavar="X", help="fraction for validation (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses the validation pairs (default: 0)")
    parser.add_argument("--link", action="store_true", help="hard links instead of copies")
    options = parser.parse_args(arguments)
    if not 0 <= options.val < 1:
        parser.error(f"--val {options.val}: must be at least 0 and below 1")
    folders = {"A": options.a, "B": options.b}
    return run(parser.prog, options.to, lambda: pair(folders, options.to, options.val, options.seed, options.link))


if __name__ == "__main__":
    sys.exit(main())
