"""Measure speed and memory of training, data loading and inference on this machine.

Examples:
    python tools/benchmark.py --model pix2pix
    python tools/benchmark.py --model pix2pixhd --size 1024x512 --precision bf16
    python tools/benchmark.py --model stargan --size 128 --batch_size 4 --steps 1
"""

import platform

import jsonargparse
import torch

from img2img.benchmark.speed import BenchmarkOptions, benchmark, describe
from img2img.errors import one_line_errors


def main() -> None:
    options = jsonargparse.auto_cli(BenchmarkOptions, description=(__doc__ or "").partition("\n")[0])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    rows = benchmark(options)
    print(f"{describe(options)}, {device},")
    print(f"precision {options.precision}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| what | |\n| --- | --- |")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    with one_line_errors():
        main()
