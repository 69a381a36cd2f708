"""Run folders: ``runs/NAME`` holds config.yaml, checkpoints/, tensorboard/, samples/ and metrics.csv."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from img2img.checkpoint import list_checkpoints
from img2img.config import Config
from img2img.errors import printable
from img2img.files import flush, write_whole
from img2img.models import model_file
from img2img.run_files import CONFIG_FILE, RUNS, config_file, list_runs, lock_file


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Context in which no other process can train or replace the run in ``folder``.

    The lock is a file beside the run's folder. The kernel releases it when the process ends for any reason. Of the
    processes of a distributed training, only rank 0 takes it.

    Raises:
        ValueError: another process holds the lock, or its file can't be written; nothing was changed.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    made = not folder.parent.exists()
    path = lock_file(folder)
    lock = FileLock(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0.2)  # ``is_training`` may hold it for a moment
    except Timeout:
        raise ValueError(
            f"{folder} is being trained by another process; wait for it, stop it, or choose another --name"
        ) from None
    except OSError as error:
        raise ValueError(f"{folder}: can't be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # while it is held: the next process makes a new one
        lock.release()
        if made:  # remove runs/ again if an error before training left it empty
            with suppress(OSError):
                folder.parent.rmdir()


def is_image_folder(name: str) -> bool:
    """Whether an argument NAME|DIR is a folder of images: an existing folder that isn't a run."""
    path = Path(name)
    return path.is_dir() and not any(config_file(folder).is_file() for folder in (path, RUNS / name))


def check_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises ValueError unless a training may begin in ``folder``; changes nothing."""
    has_checkpoint = bool(list_checkpoints(folder))
    if resume and not has_checkpoint:
        advice = "--overwrite begins anew" if folder.exists() else "leave --resume out to start it"
        raise ValueError(f"--resume: there is no checkpoint in {folder}; {advice}")
    if folder.exists() and not (resume or overwrite):
        advice = "--resume continues it, " if has_checkpoint else ""
        raise ValueError(f"{folder} exists: {advice}--overwrite begins anew, --name chooses another name")
    if folder.exists() and not resume and not config_file(folder).is_file():
        raise ValueError(
            f"--overwrite: {folder} is not a run of img2img (it has no {CONFIG_FILE}): remove it yourself, or choose "
            "another --name"
        )


def begin_run(folder: Path, config: Config, *, resume: bool) -> None:
    """Makes the run's folder with its config.yaml. Unless resuming, an existing folder is deleted first.

    Raises:
        ValueError: the folder can't be written.
    """
    try:
        if not resume and folder.exists():
            old = folder.with_name(f".{folder.name}.old")  # renamed first: deleting may be interrupted
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            shutil.rmtree(old)
        folder.mkdir(parents=True, exist_ok=True)
        flush(folder.parent)
    except OSError as error:
        raise ValueError(f"{folder}: can't be written ({error.strerror or error})") from error
    write_text(folder / CONFIG_FILE, config.to_yaml())
    if source := model_file(config.model.name):  # an outside model: the run gets its own copy
        write_text(folder / source.name, source.read_text(encoding="utf-8"))


def replace_run(aside: Path, folder: Path) -> None:
    """Renames the complete run ``aside`` to ``folder``, and then deletes the run that was there.

    Raises:
        ValueError: the folder can't be written; the old run is kept.
    """
    old = folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise ValueError(f"{folder}: can't be written ({error.strerror or error})") from error
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically. Raises ValueError if it can't be written."""
    try:
        write_whole(path, printable(text).encode())
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error


def find_run(name: str) -> Path:
    """The run's folder, given its path or its name in runs/.

    Raises:
        ValueError: there is no such run; the message lists those that exist.
    """
    with suppress(OSError):  # the name may be too long for a file
        for folder in (Path(name), RUNS / name):
            if config_file(folder).is_file():
                return folder
    names = list_runs(RUNS)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"{RUNS.resolve()} has {', '.join(names) or 'no runs'}"
    raise ValueError(f"{name}: no such run; {hint}")
