"""How long commands take to start: CPU seconds and imported modules, each command in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from img2img.data.toy.shoes import draw_pair

TURNS = 5
COMMANDS = ("--version", "--help", "runs", "presets", "train --model pix2pix --help")  # what answers without a run
TINY = (
    "train --model pix2pix --name tiny --model.ngf 4 --model.ndf 4 --data.toy true --data.num_workers 0 "
    "--train.max_steps 1"
)


def start_rows(turns: int = TURNS) -> list[tuple[str, str]]:
    """Rows of the table: (command, CPU seconds and number of modules), medians over ``turns``."""
    torch_alone, modules = _measured("import torch", Path.cwd(), turns)
    rows = [("import torch", f"{torch_alone:.2f} s, {modules} modules")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in COMMANDS:
            rows.append((f"img2img {command}", _row(command, folder, turns, torch_alone)))
        _run(_call(TINY), folder)
        cv2.imwrite(str(folder / "x.png"), draw_pair(0, "val", 64)[0])
        infer = "infer tiny --input x.png --output out"
        rows.append(("img2img infer NAME --input x.png, small networks", _row(infer, folder, turns, torch_alone)))
    return rows


def _row(command: str, folder: Path, turns: int, torch_alone: float) -> str:
    seconds, modules = _measured(_call(command), folder, turns)
    beyond = f", {seconds - torch_alone:.2f} s beyond import torch" if seconds > torch_alone else ""
    return f"{seconds:.2f} s, {modules} modules{beyond}"


def _call(command: str) -> str:
    """Python code that runs a command of ``img2img``."""
    return (
        f"import runpy, sys; sys.argv = ['img2img', *{command.split()!r}]\n"
        "try: runpy.run_module('img2img', run_name='__main__', alter_sys=False)\n"
        "except SystemExit as ended: assert not ended.code, ended.code"
    )


def _measured(code: str, folder: Path, turns: int) -> tuple[float, int]:
    """Medians of the CPU seconds and of the number of modules of Python code, each time in a new process."""
    runs = [_run(code, folder) for _ in range(turns + 1)][1:]  # the first fills the disk's cache
    return statistics.median(seconds for seconds, _ in runs), int(statistics.median(count for _, count in runs))


def _run(code: str, folder: Path) -> tuple[float, int]:
    """CPU seconds and number of modules of Python code in a process in ``folder``. Raises RuntimeError if it fails."""
    counted = f"{code}\nimport sys; print(len(sys.modules), file=sys.stderr)"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    before = os.times()
    done = subprocess.run([sys.executable, "-c", counted], cwd=folder, env=environment, capture_output=True, text=True)
    after = os.times()
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, int(done.stderr.split()[-1])
