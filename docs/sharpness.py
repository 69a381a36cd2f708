"""How sharp outputs are beside the true images: the mean slope of their brightness, and of its second derivative.

    python docs/sharpness.py datasets/streets/val runs/first/outputs runs/sharp/outputs

Each folder has images of the same names (suffixes may differ). A ratio of 1 is as sharp as the truth; less is softer.
Neither number says whether the details are right.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("outputs", metavar="DIR", nargs="+", type=Path)
    args = parser.parse_args()
    for folder in [args.truth, *args.outputs]:
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder")
    truths = images(args.truth)
    print("| folder | slope : truth's | second derivative : truth's |\n| --- | --- | --- |")
    for folder in args.outputs:
        outputs = images(folder)
        names = sorted(truths.keys() & outputs.keys())
        if not names:
            parser.error(f"{folder} has no image with a name of {args.truth}")
        ratios = [sharpness(outputs[name]) / sharpness(truths[name]) for name in names]
        slope, second = np.mean(ratios, axis=0)
        print(f"| {folder} | {slope:.3f} | {second:.3f} |")


def images(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def sharpness(path: Path) -> np.ndarray:
    """(mean length of the gradient, mean absolute Laplacian) of an image's brightness."""
    gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
    slope = np.hypot(np.diff(gray, axis=0)[:, :-1], np.diff(gray, axis=1)[:-1])
    return np.array([slope.mean(), np.abs(cv2.Laplacian(gray, cv2.CV_32F)).mean()])


if __name__ == "__main__":
    main()
