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
from img2img.config import CONFIG_FILE, Config, config_file, list_runs
from img2img.errors import printable
from img2img.files import flush, write_whole
from img2img.models import model_file

RUNS = Path("runs")


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Keeps every other process from training or replacing the run ``folder`` while the block lasts.

    The lock is a file beside the run, so that it outlives the folder's renaming by --overwrite. The kernel holds it: it
    ends with the process, however that ends. Of several processes that train one run together only the first locks.

    Raises:
        ValueError: another process has it, or the lock can't be written; nothing is touched.
    """
    if int(os.environ.get("RANK", "0")):
        yield
        return
    made = not folder.parent.exists()
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder} is being trained by another process; wait for it or stop it, or --name another"
        ) from None
    except OSError as error:
        raise ValueError(f"{folder}: can't be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # while it is held: whoever comes next makes a new one
        lock.release()
        if made:  # a mistake that was found before training leaves nothing
            with suppress(OSError):
                folder.parent.rmdir()


def is_image_folder(name: str) -> bool:
    """Whether a command's NAME|DIR is a folder of images: one that is there and is no run."""
    path = Path(name)
    return path.is_dir() and not any(config_file(folder).is_file() for folder in (path, RUNS / name))


def check_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises ValueError unless a training may begin in ``folder``; touches nothing."""
    has_checkpoint = bool(list_checkpoints(folder))
    if resume and not has_checkpoint:
        remedy = "--overwrite begins anew" if folder.exists() else "leave --resume out to begin"
        raise ValueError(f"--resume: there is no checkpoint in {folder}; {remedy}")
    if folder.exists() and not (resume or overwrite):
        remedy = "--resume continues it, " if has_checkpoint else ""
        raise ValueError(f"{folder} exists: {remedy}--overwrite begins anew, --name takes another name")
    if folder.exists() and not resume and not config_file(folder).is_file():
        raise ValueError(f"--overwrite: {folder} is no run of img2img (it has no {CONFIG_FILE}): remove it yourself")


def begin_run(folder: Path, config: Config, *, resume: bool) -> None:
    """Makes the folder with the resolved options in it; a new run deletes what an old one of the name left.

    Raises:
        ValueError: the folder can't be written.
    """
    try:
        if not resume and folder.exists():
            old = folder.with_name(f".{folder.name}.old")  # out of the way at once, whatever befalls the deletion
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            shutil.rmtree(old)
        folder.mkdir(parents=True, exist_ok=True)
        flush(folder.parent)
    except OSError as error:
        raise ValueError(f"{folder}: can't be written ({error.strerror or error})") from error
    write_text(folder / CONFIG_FILE, config.to_yaml())
    if source := model_file(config.model.name):  # from outside the package: the run shall not depend on where it lies
        write_text(folder / source.name, source.read_text(encoding="utf-8"))


def replace_run(aside: Path, folder: Path) -> None:
    """Renames a run that is whole to ``folder``; one that is there goes when the new one stands.

    Raises:
        ValueError: the folder can't be written; what was there is there.
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
    """Writes a file aside, flushes and renames it. Raises ValueError if it can't be written."""
    try:
        write_whole(path, printable(text).encode())
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error


def find_run(name: str) -> Path:
    """The run's folder, given its path or its name under runs/.

    Raises:
        ValueError: there is none, with the names that there are.
    """
    with suppress(OSError):  # a name that is too long for a file
        for folder in (Path(name), RUNS / name):
            if config_file(folder).is_file():
                return folder
    names = list_runs(RUNS)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"{RUNS.resolve()} has {', '.join(names) or 'none yet'}"
    raise ValueError(f"{name}: no such run; {hint}")
