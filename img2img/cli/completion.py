"""Print a script that completes commands, options, presets and runs with Tab.

Examples:
    img2img completion bash > ~/.local/share/bash-completion/completions/img2img
    img2img completion zsh > ~/.zfunc/_img2img        # a folder of $fpath
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from img2img.arguments import Parser
from img2img.errors import needs_extra
from img2img.presets import preset_names

PREAMBLE = {
    "bash": """
_img2img_runs() { compgen -W "$(ls runs 2>/dev/null)" -- "$1"; compgen -d -- "$1"; }
_img2img_presets() { compgen -W "PRESETS" -- "$1"; compgen -f -- "$1"; }
""",
    "zsh": """
_img2img_runs() { _alternative 'runs:run:_path_files -W runs -/' 'folders:folder:_files -/' }
_img2img_presets() { _alternative 'presets:preset:(PRESETS)' 'files:file:_files' }
""",
}
RUN = {"bash": "_img2img_runs", "zsh": "_img2img_runs"}
PRESET = {"bash": "_img2img_presets", "zsh": "_img2img_presets"}


def parser() -> Parser:
    """The options."""
    parser = Parser("completion", __doc__)
    parser.add_argument("shell", choices=list(PREAMBLE), help="the shell that reads the script")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the script."""
    args = parser().parse_args(argv)
    with needs_extra("completion", "completion"):
        import shtab
    presets = " ".join(preset_names())
    preamble: Any = {shell: text.replace("PRESETS", presets) for shell, text in PREAMBLE.items()}
    print(shtab.complete(_all_commands(), args.shell, preamble=preamble))
    return 0


def _all_commands() -> argparse.ArgumentParser:
    """One parser of all commands."""
    from img2img.cli.main import COMMANDS  # that file finds this one

    everything = argparse.ArgumentParser("img2img")
    everything.add_argument("--version", action="store_true", help="print the version")
    commands = everything.add_subparsers()
    for name, (module, about) in COMMANDS.items():
        if name == "train":
            part: argparse.ArgumentParser = _train_parser()
        else:
            part = importlib.import_module(f"img2img.cli.{module}").parser()
        for action in part._actions:
            _add_completion(action)
        commands.add_parser(name, parents=[part], add_help=False, help=about)
    return everything


def _add_completion(action: argparse.Action) -> None:
    """Sets what completes an argument's value, for shtab."""
    import shtab

    what: Any = None  # a function of the script, or one of shtab's
    if action.dest in ("run", "name", "init_from", "train.init_from"):
        what = RUN
    elif action.dest == "config":
        what = PRESET
    elif "DIR" in str(action.metavar) and "FILE" not in str(action.metavar):
        what = shtab.DIRECTORY
    elif "FILE" in str(action.metavar):
        what = shtab.FILE
    if what is not None and not action.choices:
        action.complete = what  # type: ignore[attr-defined]


def _train_parser() -> argparse.ArgumentParser:
    """The options of all models."""
    from img2img.config import option_keys
    from img2img.models import model_names

    parser = argparse.ArgumentParser("train")
    parser.add_argument("--model", choices=model_names(), help="the model")
    parser.add_argument("--config", help="file of options, or preset")
    for flag in ("--resume", "--overwrite", "--print_config"):
        parser.add_argument(flag, action="store_true")
    keys = set().union(*(option_keys(model) for model in model_names())) - {"config"}
    for key in sorted(keys):
        parser.add_argument(f"--{key}", metavar="DIR" if key.startswith("data.root") else "VALUE")
    return parser
