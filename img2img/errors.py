"""How a tool ends when something is wrong: one line on standard error and an exit code, no traceback.

What a user got wrong is a ValueError raised by this package: exit code 2. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

own_code = {Path(__file__).parent}  # whose ValueErrors are meant for users: this package, and models from outside it


class TrainingStopped(Exception):
    """Training ended before its last step, with its state saved or not worth saving; ``code`` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wraps a tool's ``main``: turns our ValueErrors, a stopped training and Ctrl-C into a line and an exit code."""
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
    """Whether this package, or a model from outside it, raised the error, and no library: its text is for users."""
    if type(error).__module__.partition(".")[0] == "img2img":
        return True
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return not own_code.isdisjoint((raised_in, *raised_in.parents))


def printable(text: str) -> str:
    """A text that any file and terminal takes: bytes of file names that are no UTF-8 become \\udcXX."""
    return text.encode("utf-8", "backslashreplace").decode()


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are a ValueError of one line, with the nearest option for one that is unknown."""

    def __init__(self, description: str | None) -> None:
        raw = argparse.RawDescriptionHelpFormatter  # keeps the line breaks of the examples in a tool's docstring
        super().__init__(description=description, formatter_class=raw, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises ValueError."""
        known = [option for action in self._actions for option in action.option_strings]
        words = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        near = difflib.get_close_matches(words[0], known, 1) if "unrecognized" in message and words else []
        raise ValueError(f"{message}; {f'did you mean {near[0]}?' if near else '--help lists the options'}")


def leave_console(stream: TextIO) -> None:
    """Lets what is printed to a standard stream vanish: its terminal was closed, or the program that read it ended.

    Without this each further line, and Python's own flush at exit, would fail anew.
    """
    with suppress(OSError, ValueError):  # a stream without a file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        time.sleep(1)  # what befalls all processes is told by the first, and the launcher ends the others meanwhile
        line = f"[process {rank}] {line}"
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except OSError:
        leave_console(sys.stderr)
