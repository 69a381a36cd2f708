"""What a training asks of its process: to save when it is told to stop, and to keep the memory that it uses."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType


class StopRequest:
    """Ctrl-C and SIGTERM only set ``signal``; the loop looks at it between two steps. A second Ctrl-C ends at once.

    A context manager: the former handlers come back at its end.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._former: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def die_with_launcher() -> None:
    """Asks Linux for a SIGTERM when the parent ends, if the parent is ``accelerate launch``.

    The launcher of a single process does not pass SIGTERM on: without this the training would go on as an orphan.
    """
    if sys.platform == "linux" and "ACCELERATE_MIXED_PRECISION" in os.environ and "RANK" not in os.environ:
        parent, pr_set_pdeathsig = os.getppid(), 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != parent:  # it has just ended
            os.kill(os.getpid(), signal.SIGTERM)


def keep_memory() -> None:
    """Tells glibc to reuse freed memory instead of returning it to the system after each tensor.

    Otherwise every large tensor of a step on the CPU is mapped and faulted in anew. It is part of the lead over the
    plain loop that ``tools/benchmark.py`` shows; other allocators don't know the call, and nothing is lost.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            m_trim_threshold, m_mmap_max = -1, -4
            mallopt(m_mmap_max, 0)
            mallopt(m_trim_threshold, 2**31 - 1)
