"""How a tool ends when something is wrong: one line on standard error and an exit code, no traceback.

What a user got wrong is a ValueError raised by this package: exit code 2. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent


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
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if PACKAGE not in raised_in.parents:
            raise
        _say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # every process of a run fails alike
        print(line, file=sys.stderr, flush=True)
