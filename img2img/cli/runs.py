"""List the runs of this folder: model, data, steps, best score, last change, and whether they are being trained.

Examples:
    img2img runs
    img2img runs elsewhere/runs
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser
from img2img.program import command
from img2img.run_files import RUNS, RunSummary, list_runs, summarise

HEAD = ("run", "model", "data", "steps", "best", "changed", "")


def parser() -> Parser:
    """The options."""
    parser = Parser("runs", __doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=RUNS, help="folder of runs (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each run, the newest last."""
    folder = parser().parse_args(argv).folder
    if folder != RUNS and not folder.is_dir():
        raise ValueError(f"{folder}: no such folder: {folder.resolve()}")
    runs = sorted((summarise(folder / name) for name in list_runs(folder)), key=lambda run: run.changed)
    if not runs:
        print(f"{folder.resolve()} has no runs; {command('train')} --model pix2pix makes one")
        return 0
    lines = [HEAD, *map(_columns, runs)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _columns(run: RunSummary) -> tuple[str, ...]:
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.changed))
    state = "training now" if run.training else ""
    return run.name, run.model, run.data, str(run.steps), run.best, changed, state
