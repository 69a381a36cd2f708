"""What the scripts of this folder share: errors of one line, lists of images, a task for many files at once, and
folders that appear whole or not at all. The scripts are run as `python datasets/NAME.py`, so this file is found beside
them."""

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
    """Something that the user can mend; the message is one line that names the file or option and the remedy."""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (--help shows the options)\n")


def run(program: str, to: Path, task: Callable[[], None]) -> int:
    """Do the task, which writes to `to`; return the exit code: 0, or 2 after one line on stderr."""
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
    """Every image below `folder`, sorted; hidden files and folders (`._x.jpg` of macOS, thumbnails) are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def by_stem(option: str, folder: Path) -> dict[str, Path]:
    """Every image below `folder` by its relative path without the suffix."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: no such folder")
    for path in images(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise UserError(f"{found[stem]} and {path} differ by the suffix only: keep one of them")
        found[stem] = path
    if not found:
        raise UserError(f"{option} {folder}: no images there")
    return found


def some(names: Iterable[str], limit: int = 10) -> str:
    """The count and the first names, for a message: `12: a, b, c, ...`."""
    names = sorted(names)
    return f"{len(names)}: {', '.join(names[:limit])}{', ...' if len(names) > limit else ''}"


def in_threads(task: Callable[..., None], jobs: list[tuple], description: str) -> None:
    """Call task(*job) for every job; the first error ends it all. For tasks that work outside the interpreter's lock,
    as OpenCV does."""
    pool = ThreadPoolExecutor()
    try:
        futures = [pool.submit(task, *job) for job in jobs]
        for future in tqdm(as_completed(futures), total=len(jobs), desc=description, disable=None):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def whole_folder(goal: Path) -> Iterator[Path]:
    """A folder to fill, beside `goal` and with its name; it becomes `goal` only when the body ends without an error."""
    if goal.exists():
        raise UserError(f"{goal} is already there: move it away or choose another --to")
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent, prefix=f".{goal.name}-") as temporary:
        unfinished = Path(temporary) / goal.name  # one level down: mkdtemp's own folder is closed to other users
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(goal)
