"""Of all recipes: lists of images, threads, and atomic creation of folders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


@contextmanager
def disk_errors(to: Path) -> Iterator[None]:
    """Turns errors of the file system in its body, such as a full disk, into a ValueError.

    Args:
        to: the folder that is written, which is named if the error names no file.
    """
    try:
        yield
    except OSError as error:
        problem = f"{error.filename or to}: {error.strerror or error}"
        raise ValueError(f"{problem}; check permissions and free space, or choose another --output") from error


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
        raise ValueError(f"{option} {folder}: no such folder")
    for path in images(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in paths:
            raise ValueError(f"{paths[stem]} and {path} differ by the suffix only: keep one of them")
        paths[stem] = path
    if not paths:
        raise ValueError(f"{option} {folder}: no images in this folder")
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
        raise ValueError(f"{goal} already exists: move it away or choose another --output")
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent, prefix=f".{goal.name}-") as temporary:
        unfinished = Path(temporary) / goal.name  # one level down: mkdtemp makes its folder private
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(goal)
