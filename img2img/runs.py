"""Run folders: ``runs/NAME`` holds config.yaml, checkpoints/, tensorboard/, samples/ and metrics.csv."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

from img2img.checkpoint import list_checkpoints
from img2img.config import CONFIG_FILE, Config

RUNS = Path("runs")


def check_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises ValueError unless a training may begin in ``folder``; touches nothing."""
    if resume:
        if not list_checkpoints(folder):
            raise ValueError(f"--resume: there is no checkpoint in {folder}; leave --resume out to begin")
    elif folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists: --resume continues it, --overwrite begins anew, --name takes another name")
    elif folder.exists() and not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"--overwrite: {folder} is no run of img2img (it has no {CONFIG_FILE}): remove it yourself")


def begin_run(folder: Path, config: Config, *, resume: bool) -> None:
    """Makes the folder with the resolved options in it; a new run deletes what an old one of the name left.

    Raises:
        ValueError: the folder can't be written.
    """
    try:
        if not resume and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{CONFIG_FILE}.part"
        aside.write_text(config.to_yaml())
        aside.replace(folder / CONFIG_FILE)
    except OSError as error:
        raise ValueError(f"{folder}: can't be written ({error.strerror})") from error


def find_run(name: str) -> Path:
    """The run's folder, given its path or its name under runs/.

    Raises:
        ValueError: there is none, with the names that there are.
    """
    for folder in (Path(name), RUNS / name):
        if (folder / CONFIG_FILE).is_file():
            return folder
    names = sorted(path.parent.name for path in RUNS.glob(f"*/{CONFIG_FILE}"))
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"runs/ has {', '.join(names) or 'none yet'}"
    raise ValueError(f"{name}: no such run; {hint}")
