"""``img2img COMMAND``: finds the command's file and calls it."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from img2img import __version__
from img2img.errors import leave_console, one_line_errors
from img2img.other_toolkits import command_here
from img2img.program import SCRIPTS, command, launched

COMMANDS = {  # by name: the file in this folder, and what the command does
    "train": ("train", "train a model, or resume a run"),
    "infer": ("infer", "translate images with a run, or draw images from noise"),
    "evaluate": ("evaluate", "measure the images of a run or of a folder"),
    "runs": ("runs", "list the runs of this folder"),
    "presets": ("presets", "list the presets of the papers' settings, for train --config"),
    "styles": ("styles", "cluster the styles of a pix2pixHD run"),
    "import": ("import_weights", "import official weights as a run"),
    "export": ("export_weights", "export a run for the official code"),
    "fetch": ("fetch", "download a public data set"),
    "pair": ("pair", "make a set of pairs of two folders"),
    "unpair": ("unpair", "make an unpaired set of side-by-side pairs"),
    "cut": ("cut", "cut large images into squares"),
    "cityscapes": ("cityscapes", "make the pairs of Cityscapes of its archives"),
    "benchmark": ("benchmark", "measure speed and memory on this machine"),
    "completion": ("completion", "print a script for completion in bash or zsh"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; mistakes are one line and code 2.

    Args:
        argv: the command and its arguments; None reads ``sys.argv``.
    """
    with one_line_errors():
        try:
            code = run(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
        except BrokenPipeError:  # img2img presets | head
            leave_console(sys.stdout)
            return 0
        return code


def run(argv: Sequence[str]) -> int:
    """Runs a command and returns its exit code.

    Raises:
        ValueError: there is no such command, or as the command.
        SystemExit: the command printed its help.
    """
    name, *rest = argv or ["--help"]
    if name in ("--help", "-h", "help"):
        print(overview())
        return 0
    if name in ("--version", "-V"):
        print(f"img2img {__version__}")
        return 0
    if name not in COMMANDS:
        raise ValueError(f"{name}: no such command; {_instead(name)}")
    module = importlib.import_module(f"img2img.cli.{COMMANDS[name][0]}")
    code: int = module.main(rest)
    return code


def _instead(name: str) -> str:
    """What a user may mean by an unknown command: a script's name, another toolkit's, or a similar word."""
    of_script = {Path(script).stem: known for known, script in SCRIPTS.items()}
    here = of_script.get(name.removesuffix(".py")) or command_here(name)
    if here:
        return f"here: {command(here)}"
    near = difflib.get_close_matches(name, COMMANDS, 1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"


def overview() -> str:
    """The text of --help."""
    program = command("")
    width = max(map(len, COMMANDS))
    lines = [f"usage: {program}COMMAND [options]", "", "Image-to-image translation in PyTorch.", "", "commands:"]
    lines += [f"  {name:{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    lines += [
        "",
        f"{program}COMMAND --help lists a command's options, {program}--version the version.",
        f"On several GPUs: accelerate launch {launched('train')} ...",
    ]
    return "\n".join(lines)
