"""The processes of a training: signals that stop it, what ends it in all of them, precision, memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType
from typing import Any, Literal

import torch

from img2img.config import Precision
from img2img.data.loader import STOP_SIGNALS, DeadReader
from img2img.errors import TrainingStopped


class StopRequest:
    """What asks a training to stop only sets ``signal``; the loop looks at it between two steps.

    Ctrl-C, SIGTERM, a terminal that hangs up, SIGQUIT, and SIGUSR1, with which job managers announce the end. A second
    Ctrl-C ends at once. SIGHUP, SIGQUIT and SIGUSR1 that were ignored at the start, as nohup does, stay ignored.

    A context manager: the former handlers come back at its end.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._former: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in STOP_SIGNALS:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Agreement:
    """Lets all processes end at the same step, for the same reason.

    They agree on the CPU: waiting for GPUs after each step would slow them down.
    """

    def __init__(self, processes: int, *, on_gpus: bool) -> None:
        self.processes = processes
        needs_group = processes > 1 and on_gpus
        self.group: Any = torch.distributed.new_group(backend="gloo") if needs_group else None

    def reason_to_stop(
        self, *, signal: int, unread: Exception | None, step: int | None = None
    ) -> TrainingStopped | None:
        """What ends the run here, the same in all processes: a signal, or a batch that can't be read.

        Args:
            signal: the number of the one that this process got, or 0.
            unread: why this process has no batch for the next step.
            step: the one that has just ended; None before the first.
        """
        data_is_wrong = isinstance(unread, ValueError) and not isinstance(unread, DeadReader)
        code = 0 if unread is None else 2 if data_is_wrong else 1
        messages = [str(unread or "")]
        if self.processes > 1:
            worst = torch.tensor([signal, code])
            torch.distributed.all_reduce(worst, torch.distributed.ReduceOp.MAX, group=self.group)
            signal, code = worst.tolist()
        if code and self.processes > 1:
            own_message, messages = messages[0], [""] * self.processes
            torch.distributed.all_gather_object(messages, own_message, group=self.group)
        if code:
            message = next(message for message in messages if message).splitlines()[0]
            return TrainingStopped(f"error: {message}" + ("" if step is None else f"; stopped at step {step}"), code)
        return TrainingStopped(f"stopped at step {step}", 128 + signal) if signal else None


def resolve_precision(own: Precision | Literal[False] | None) -> Precision:
    """The precision of a run: its own, or the launcher's where it has none.

    Args:
        own: ``train.precision``, None where it is not set. ``accelerate launch`` says "no" if it isn't told any.

    Raises:
        ValueError: they contradict each other.
    """
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16", "fp16"):
        raise ValueError(f"--mixed_precision {launcher} of accelerate launch: there is no, bf16 and fp16")
    if own is not None and launcher not in ("no", own):
        raise ValueError(
            f"train.precision {own} and --mixed_precision {launcher} of accelerate launch: leave the latter out; "
            f"--train.precision {launcher} changes it"
        )
    return own or launcher  # type: ignore[return-value]


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
