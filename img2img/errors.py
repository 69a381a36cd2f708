"""Errors of commands: one line on standard error and an exit code instead of a traceback.

A ValueError raised by this package is a mistake of the user: exit code 2. Any other exception is a bug and keeps its
traceback.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TextIO

own_code = {Path(__file__).parent}  # code whose ValueErrors are for users: this package and outside models


class TrainingStopped(Exception):
    """Training ended before its last step, and a checkpoint was saved if needed; ``code`` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class MissingPlace(ValueError):
    """A folder or file that an option of the data set names is not there, or no place is set.

    The message ends with what the user can do in a training. ``problem`` is the message without that, for commands that
    open a finished run.

    Args:
        option: such as "data.root".
        place: its value; None if it is not set.
        kind: what is missing.
        advice: what to do.
        value: how the option's value is written.
    """

    def __init__(
        self, option: str, place: Path | None, *, kind: Literal["folder", "file"], advice: str, value: str = "NEW"
    ) -> None:
        self.option, self.place, self.kind, self.value = option, place, kind, value
        self.problem = f"{option} is not set" if place is None else f"{option} {place}: no such {kind}"
        if place is not None and not place.is_absolute():
            self.problem += f": {Path.cwd() / place} (relative paths begin in the current folder)"
        super().__init__(f"{self.problem}; {advice}")


def require_at_least(section: str, options: object, least: Mapping[str, float]) -> None:
    """Raises ValueError if one of the options of a section, "model" say, is below its least value; None is allowed."""
    for key, lowest in least.items():
        value = getattr(options, key)
        if value is not None and value < lowest:
            raise ValueError(f"{section}.{key} {value}: must be at least {lowest}")


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Wraps imports of optional packages. Raises ValueError, with the command to install them, if one is missing.

    Args:
        extra: its name in setup.cfg.
        what: what needs the packages, such as "styles".
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0] or str(error)
        raise ValueError(f"{what}: the package {package} is missing; pip install 'img2img-toolkit[{extra}]'") from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wraps a command's ``main``: turns ValueErrors, a stopped training and Ctrl-C into one line and an exit code."""
    try:
        yield
    except TrainingStopped as stopped:
        _say(str(stopped))
        sys.exit(stopped.code)
    except ValueError as error:
        if not is_ours(error):
            raise
        _say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def is_ours(error: BaseException) -> bool:
    """Whether the error was raised by this package or an outside model, not by a library: its message is for users."""
    if type(error).__module__.partition(".")[0] == "img2img":
        return True
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return not own_code.isdisjoint((raised_in, *raised_in.parents))


def printable(text: str) -> str:
    """The text as valid UTF-8: other bytes, which file names may have, are written as \\udcXX."""
    return text.encode("utf-8", "backslashreplace").decode()


def leave_console(stream: TextIO) -> None:
    """Redirects a standard stream to /dev/null after its terminal or the program that read it was closed.

    Otherwise every further line, and Python's flush at exit, would raise an error.
    """
    with suppress(OSError, ValueError):  # a stream without a file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        time.sleep(1)  # rank 0 prints errors of all processes; the launcher then ends the others
        line = f"[process {rank}] {line}"
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except OSError:
        leave_console(sys.stderr)
