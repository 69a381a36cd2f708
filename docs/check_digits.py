"""Classifies the digits that a run draws: python docs/check_digits.py RUN [--count 1000].

A support vector machine is trained on scikit-learn's real training digits (8x8) and tested on the held-out ones. For a
conditional run (dcgan with model.num_classes) it prints how often a digit has the requested class; for InfoGAN the
purity of d1's values: the share of each value's commonest digit, and how many different digits these are.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from sklearn.svm import SVC

from img2img import load_sampler
from img2img.data.unconditional import UnconditionalConfig, UnconditionalDataset

TASK = UnconditionalConfig(toy=True, channels_b=1, load_size=8, crop_size=8)


def real(part: str) -> tuple[np.ndarray, np.ndarray]:
    """The real digits (N, 64) in 0..255, and their classes (N,)."""
    digits = UnconditionalDataset(TASK, part)  # type: ignore[arg-type]
    samples = [digits[0, i] for i in range(len(digits))]
    return np.stack([s["target"].ravel() for s in samples]), np.array([s["class"] for s in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    classifier = SVC(gamma="scale").fit(*real("train"))
    print(f"classifier: {classifier.score(*real('val')):.1%} of the held-out real digits")
    sampler = load_sampler(args.run)

    def seen(**chosen: object) -> np.ndarray:
        images = sampler(args.count // 10, **chosen)  # type: ignore[arg-type]
        small = [cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA).ravel() for image in images]
        return classifier.predict(np.stack(small))

    if sampler.model.num_classes:
        agreed = [float((seen(label=digit, seed=digit) == digit).mean()) for digit in range(10)]
        print(f"agrees with the asked-for class: {np.mean(agreed):.1%} of {args.count}, by class", np.round(agreed, 2))
        return
    counts = [np.bincount(seen(codes={"d1": value}, seed=int(value)), minlength=10) for value in sampler.values("d1")]
    purity = sum(int(row.max()) for row in counts) / np.sum(counts)
    best = [int(row.argmax()) for row in counts]
    print(f"purity of d1: {purity:.1%}; commonest digit of each value: {best}, {len(set(best))} different ones")


if __name__ == "__main__":
    main()
