"""Presets: the papers' settings, by name. ``--config pix2pix/facades`` or, if no other model has it, ``facades``.

Their one place is configs/<model>/<task>.yaml beside this package in a checkout; in a wheel they are in the package
(setup.cfg, ``package_dir``).
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from img2img.program import command

PACKAGE = Path(__file__).resolve().parent
FOLDER = next(folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir())
SUFFIXES = (".yaml", ".yml")


def preset_names(folder: Path = FOLDER) -> list[str]:
    """The names of all presets, such as "pix2pix/facades", sorted."""
    return sorted(preset_name(path, folder) for path in folder.glob("*/*.yaml"))


def preset_name(path: Path, folder: Path = FOLDER) -> str:
    """The name of a preset's file."""
    return path.relative_to(folder).with_suffix("").as_posix()


def about(path: Path) -> str:
    """What a preset is: the first line of its file, a comment, up to its paper or to the end of a sentence."""
    with path.open(encoding="utf-8") as file:
        line = file.readline().lstrip("#").strip()
    paper = re.match(r".*?arXiv [0-9]{4}\.[0-9]{5}\)?", line)
    sentence = re.match(r".*?(?<!\bal)(?<!\bSec)\.(?= [A-Z]|$)", line)
    ends = [match[0] for match in (paper, sentence) if match]
    return min(ends, key=len, default=line).rstrip(".,:;")


def find_config(text: str, folder: Path = FOLDER, model: str | None = None) -> Path:
    """The file that ``--config`` means: a path if there is such a file, else a preset.

    Args:
        text: a path, "MODEL/TASK" or "TASK".
        folder: of the presets.
        model: the model of ``--model``, which decides if several have a preset of the name.

    Raises:
        ValueError: there is neither; or several presets have the name.
    """
    path = Path(text)
    if path.suffix in SUFFIXES or path.is_file():
        _require_file(path, folder)
        return path
    names = preset_names(folder)
    same = [text] if text in names else [name for name in names if name.partition("/")[2] == text]
    if len(same) > 1 and f"{model}/{text}" in same:
        same = [f"{model}/{text}"]
    if len(same) > 1:
        raise ValueError(f"--config {text}: several presets have this name; choose one of {', '.join(same)}")
    if not same:
        raise ValueError(f"--config {text}: no preset, and no file {path.absolute()}; {_nearest(text, names)}")
    return folder / f"{same[0]}.yaml"


def _require_file(path: Path, folder: Path) -> None:
    """Raises ValueError if a path is no file; the message names the preset of the same name, if there is one."""
    if path.is_file():
        return
    name = "/".join(path.with_suffix("").parts[-2:])
    hint = f"; the preset is --config {name}" if name in preset_names(folder) else ""
    reason = "is a folder" if path.is_dir() else "no such file"
    raise ValueError(f"--config {path}: {reason}: {path.absolute()}{hint}")


def _nearest(text: str, names: list[str]) -> str:
    by_last_part = {name.partition("/")[2]: name for name in reversed(names)}
    near = difflib.get_close_matches(text, names, 1) or [
        by_last_part[task] for task in difflib.get_close_matches(text, by_last_part, 1)
    ]
    if near:
        return f"did you mean {near[0]}?"
    models = sorted({name.partition("/")[0] for name in names})
    return f"{command('presets')} lists them, for {', '.join(models)}"
