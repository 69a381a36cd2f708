"""Sorts the photos of edges2shoes and edges2handbags by colour, for StarGAN's real run in docs/results.md:

    python docs/make_shoe_colours.py datasets/edges2shoes datasets/edges2handbags --output datasets/colours

Writes OUTPUT/{train,val}/{black,brown,red}/NAME.png at 96x96. Photos of other colours are left out.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

SIDE = 96
WHITE = 235  # pixels whose darkest channel is brighter are the ground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    counts: dict[str, int] = {}
    for folder in args.folders:
        for path in sorted([*folder.glob("train/*.jpg"), *folder.glob("val/*.jpg")]):
            photo = cv2.imread(str(path))
            photo = photo[:, : photo.shape[1] // 2]  # edges are on the right
            colour = colour_of(photo)
            if colour is None:
                continue
            target = args.output / path.parent.name / colour / f"{folder.name}-{path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            counts[f"{path.parent.name}/{colour}"] = counts.get(f"{path.parent.name}/{colour}", 0) + 1
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")


def colour_of(photo: np.ndarray) -> str | None:
    """The colour of most of an object on white ground (H, W, 3) BGR; None if it is none of the three."""
    hue, saturation, value = (channel.astype(int) for channel in cv2.split(cv2.cvtColor(photo, cv2.COLOR_BGR2HSV)))
    inside = photo.min(2) < WHITE
    coloured = inside & (saturation > 60) & (value > 50)
    masks = {
        "black": inside & (value < 75) & ~(coloured & (saturation > 120)),
        "brown": coloured & (hue >= 5) & (hue <= 22) & (value < 200),
        "red": coloured & ((hue < 5) | (hue > 165)) & (saturation > 100),
    }
    shares = {name: mask.sum() / max(1, inside.sum()) for name, mask in masks.items()}
    name = max(shares, key=lambda key: shares[key])
    return name if shares[name] > 0.5 else None


if __name__ == "__main__":
    main()
