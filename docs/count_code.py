"""Counts the files and lines that a training runs through: python docs/count_code.py [MODEL].

Runs a few steps in this process: of pix2pix on six pairs that it writes, of another model on its toy task. Prints the
package's files of which a line inside a function ran, with their lines; all files that were loaded; and the files that
one step of pix2pix runs through.
"""

from __future__ import annotations

import os
import sys
import tempfile
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import cv2
import numpy as np

import img2img

PACKAGE = Path(img2img.__file__).parent
STEP = (
    "training/step.py",
    "models/pix2pix.py",
    "models/base.py",
    "losses/adversarial.py",
    "losses/gan.py",
    "networks/unet.py",
    "networks/patchgan.py",
    "networks/blocks.py",
)
SMALL = "--train.max_steps 4 --train.log_every 2 --data.num_workers 0"
ON_PAIRS = "--data.root pairs --data.load_size 72 --data.crop_size 64 --model.num_downs 6"


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "pix2pix"
    ran: set[Path] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = Path(frame.f_code.co_filename)
        if PACKAGE in file.parents and inside_function(frame.f_code):
            ran.add(file)
        return None  # calls are enough: a function that is called runs a line

    os.chdir(tempfile.mkdtemp())
    if model == "pix2pix":
        write_pairs()
    argv = ["--model", model, "--name", "counted", *SMALL.split(), *(ON_PAIRS.split() if model == "pix2pix" else [])]
    sys.settrace(trace)
    from img2img.command_line import parse_train_arguments

    presets = PACKAGE.parent / "configs"
    arguments = parse_train_arguments(argv, presets)
    from img2img.training.trainer import train

    train(arguments.config)
    sys.settrace(None)
    loaded = {Path(module.__file__ or "") for name, module in sys.modules.items() if name.startswith("img2img")}
    print(f"\nruns        {len(ran)} files, {lines(ran)} lines")
    print(f"loads       {len(loaded)} files, {lines(loaded)} lines")
    step = {PACKAGE / name for name in STEP}
    print(f"a step      {len(step)} files, {lines(step)} lines (of pix2pix)")
    for file in sorted(ran, key=lambda file: file.as_posix()):
        print(f"  {lines({file}):5} {file.relative_to(PACKAGE)}")


def write_pairs() -> None:
    for i in range(6):
        file = Path("pairs", "train" if i < 5 else "val", f"{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        pair = np.random.default_rng(i).integers(0, 256, (64, 128, 3), np.uint8)  # (H, 2W, 3)
        cv2.imwrite(str(file), pair)


def inside_function(code: CodeType) -> bool:
    """Whether ``code`` is a function, not the body of a module or a class."""
    return bool(code.co_flags & CO_OPTIMIZED)


def lines(files: set[Path]) -> int:
    return sum(len(file.read_text().splitlines()) for file in files)


if __name__ == "__main__":
    main()
