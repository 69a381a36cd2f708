"""Shared functions of the scripts in this folder: one-line errors, lists of images, threads, and atomic creation of
folders. The scripts are run as `python datasets/NAME.py`, so Python finds this file beside them."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


class UserError(Exception):
    """A mistake that the user can correct; the message is one line that names the file or option and what to do."""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help shows the options)\n")


def run(program: str, to: Path, task: Callable[[], None]) -> int:
    """Run a task that writes to `to`. Return the exit code: 0, 2 (error, one line on stderr) or 130 (Ctrl-C)."""
    try:
        task()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # no space left, a folder that cannot be written
        problem = f"{error.filename or to}: {error.strerror or error}"
        print(f"{program}: {problem}; check permissions and free space, or choose another --to", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0


def images(folder: Path) -> list[Path]:
    """Every image below `folder`, sorted, without hidden files and folders (such as `._x.jpg` of macOS)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def by_stem(option: str, folder: Path) -> dict[str, Path]:
    """Every image below `folder` by its relative path without the suffix."""
    paths: dict[str, Path] = {}
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: no such folder")
    for path in images(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in paths:
            raise UserError(f"{paths[stem]} and {path} differ by the suffix only: keep one of them")
        paths[stem] = path
    if not paths:
        raise UserError(f"{option} {folder}: no images in this folder")
    return paths


def some(names: Iterable[str], limit: int = 10) -> str:
    """The number of names and the first ones, for a message: `12: a, b, c, ...`."""
    names = sorted(names)
    return f"{len(names)}: {', '.join(names[:limit])}{', ...' if len(names) > limit else ''}"


def in_threads(task: Callable[..., None], jobs: list[tuple], description: str) -> None:
    """Call task(*job) for every job in threads, up to the first error. For tasks that release the GIL (OpenCV)."""
    pool = ThreadPoolExecutor()
    try:
        futures = [pool.submit(task, *job) for job in jobs]
        for future in tqdm(as_completed(futures), total=len(jobs), desc=description, disable=None):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def whole_folder(goal: Path) -> Iterator[Path]:
    """A temporary folder to fill, which is renamed to `goal` if the body ends without an error."""
    if goal.exists():
        raise UserError(f"{goal} already exists: move it away or choose another --to")
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent, prefix=f".{goal.name}-") as temporary:
        unfinished = Path(temporary) / goal.name  # one level down: mkdtemp makes its folder private
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(goal)
