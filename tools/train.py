"""Trains a model: accelerate launch tools/train.py --model pix2pix [--config FILE] [--data.root DIR] [--help]."""

import sys
from pathlib import Path

from img2img.config import parse_train_arguments
from img2img.errors import one_line_errors

PRESETS = Path(__file__).resolve().parents[1] / "configs"


def main() -> None:
    arguments = parse_train_arguments(sys.argv[1:], PRESETS)
    if arguments.print_config:
        print(arguments.config.to_yaml(), end="")
        return
    from img2img.training.trainer import train  # after the options are known to be good: torch takes seconds

    train(arguments.config, resume=arguments.resume, overwrite=arguments.overwrite, notes=arguments.notes)


if __name__ == "__main__":
    with one_line_errors():
        main()
