"""Train a model: python tools/train.py --model pix2pix --data.root DIR; on several GPUs with accelerate launch."""

import sys
from pathlib import Path

from img2img.command_line import parse_train_arguments
from img2img.errors import one_line_errors
from img2img.training.process import die_with_launcher

PRESETS = Path(__file__).resolve().parents[1] / "configs"


def main() -> None:
    die_with_launcher()
    arguments = parse_train_arguments(sys.argv[1:], PRESETS)
    if arguments.print_config:
        print(arguments.config.to_yaml(), end="")
        return
    from img2img.training.trainer import train  # late: accelerate takes seconds to import

    train(arguments.config, resume=arguments.resume, overwrite=arguments.overwrite, notes=arguments.notes)


if __name__ == "__main__":
    with one_line_errors():
        main()
