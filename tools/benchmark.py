"""Measures training, loading, inference, memory on this machine: python tools/benchmark.py [--model NAME] [--help]."""

import platform

import jsonargparse
import torch

from img2img.benchmark.speed import BenchmarkOptions, benchmark, describe
from img2img.errors import one_line_errors


def main() -> None:
    options = jsonargparse.auto_cli(BenchmarkOptions)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    rows = benchmark(options)
    print(f"{describe(options)}, {device},")
    print(f"precision {options.precision}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| what | |\n| --- | --- |")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    with one_line_errors():
        main()
