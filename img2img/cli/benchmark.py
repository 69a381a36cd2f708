"""Measure speed and memory of training, data loading and inference on this machine.

Examples:
    img2img benchmark --model pix2pix
    img2img benchmark --model pix2pixhd --size 1024x512 --precision bf16
    img2img benchmark --model stargan --size 128 --batch_size 4 --steps 1
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

import jsonargparse

from img2img.arguments import refuse_wrong_dashes, with_underscores
from img2img.program import command, wording


def parser() -> jsonargparse.ArgumentParser:
    """The options."""
    from img2img.benchmark.speed import BenchmarkOptions  # imports torch

    parser = jsonargparse.ArgumentParser(
        prog=command("benchmark"), description=wording(__doc__ or "").partition("\n")[0], exit_on_error=False
    )
    parser.add_class_arguments(BenchmarkOptions)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints a table."""
    import torch

    from img2img.benchmark.speed import BenchmarkOptions, benchmark, describe
    from img2img.config import parse

    options_parser = parser()
    words = sys.argv[1:] if argv is None else argv
    refuse_wrong_dashes(words)
    options = BenchmarkOptions(**parse(options_parser, with_underscores(words)).as_dict())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    rows = benchmark(options)
    print(f"{describe(options)}, {device},")
    print(f"precision {options.precision}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| what | |\n| --- | --- |")
    for name, value in rows:
        print(f"| {name} | {value} |")
    return 0
