"""``img2img train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Trains a model; see ``command_line`` for the arguments."""
    from img2img.command_line import parse_train_arguments
    from img2img.training.process import die_with_launcher

    die_with_launcher()
    arguments = parse_train_arguments(sys.argv[1:] if argv is None else argv)
    if arguments.print_config:
        print(arguments.config.to_yaml(), end="")
        return 0
    from img2img.training.trainer import train  # late: accelerate takes seconds to import

    train(arguments.config, resume=arguments.resume, overwrite=arguments.overwrite, notes=arguments.notes)
    return 0
