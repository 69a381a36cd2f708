"""Measures training, loading, inference and memory on this machine: python tools/benchmark.py [--size 256] [--help]."""

import platform

import jsonargparse
import torch

from img2img.errors import one_line_errors
from img2img.evaluation.benchmark import BenchmarkOptions, benchmark


def main() -> None:
    options = jsonargparse.auto_cli(BenchmarkOptions)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    rows = benchmark(options)
    print(f"{options.model} {options.size}x{options.size}, batch {options.batch_size}, ngf {options.ngf}, {device},")
    print(f"precision {options.precision}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| what | |\n| --- | --- |")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    with one_line_errors():
        main()
