"""The processes of a training: stop signals, the agreement to stop, precision, memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import torch

from img2img.data.loader import STOP_SIGNALS, DeadReader
from img2img.errors import TrainingStopped
from img2img.training_options import Precision

if TYPE_CHECKING:
    from accelerate import Accelerator


class StopRequest:
    """Context manager that catches stop signals: it only sets ``signal``, which the loop reads between two steps.

    The signals are Ctrl-C (SIGINT), SIGTERM, SIGHUP (a closed terminal), SIGQUIT, and SIGUSR1, which job managers send
    before the time is up. A second Ctrl-C ends at once. SIGHUP, SIGQUIT and SIGUSR1 stay ignored if they were before,
    as under nohup. The former handlers are restored at the end.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._former_handlers: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in STOP_SIGNALS:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
                self._former_handlers[number] = signal.signal(number, self._set_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _set_signal(self, number: int, _: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Agreement:
    """Makes all processes stop at the same step, for the same reason.

    They communicate on the CPU (gloo): waiting for the GPUs after each step would slow them down.
    """

    def __init__(self, processes: int, *, on_gpus: bool) -> None:
        self.processes = processes
        needs_group = processes > 1 and on_gpus
        self.group: Any = torch.distributed.new_group(backend="gloo") if needs_group else None

    def reason_to_stop(
        self, *, signal: int, read_error: Exception | None, step: int | None = None
    ) -> TrainingStopped | None:
        """Why the run must stop, the same in all processes: a signal, or a batch that can't be read. None to go on.

        Args:
            signal: number of the signal that this process received, or 0.
            read_error: why this process has no batch for the next step.
            step: the step that has just ended; None before the first.

        Returns:
            An exception to raise, with exit code 128 + signal, 2 for wrong data, 1 for other read errors.
        """
        data_is_wrong = isinstance(read_error, ValueError) and not isinstance(read_error, DeadReader)
        code = 0 if read_error is None else 2 if data_is_wrong else 1
        messages = [str(read_error or "")]
        if self.processes > 1:
            highest = torch.tensor([signal, code])
            torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX, group=self.group)
            signal, code = highest.tolist()
        if code and self.processes > 1:
            own_message, messages = messages[0], [""] * self.processes
            torch.distributed.all_gather_object(messages, own_message, group=self.group)
        if code:
            message = next(message for message in messages if message).splitlines()[0]
            return TrainingStopped(f"error: {message}" + ("" if step is None else f"; stopped at step {step}"), code)
        return TrainingStopped(f"stopped at step {step}", 128 + signal) if signal else None


def resolve_precision(option: Precision | Literal[False] | None) -> Precision:
    """The precision of a run: ``train.precision``, or that of ``accelerate launch`` if it isn't set.

    Args:
        option: ``train.precision``; None if unset. The launcher's default is "no".

    Raises:
        ValueError: the two contradict each other.
    """
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launcher not in ("no", "bf16", "fp16"):
        raise ValueError(f"--mixed_precision {launcher} of accelerate launch: must be no, bf16 or fp16")
    if option is not None and launcher not in ("no", option):
        raise ValueError(
            f"train.precision {option} and --mixed_precision {launcher} of accelerate launch contradict each other: "
            f"leave the latter out, or set --train.precision {launcher}"
        )
    return option or launcher  # type: ignore[return-value]


def make_accelerator(precision: Precision) -> Accelerator:
    """The Accelerator of this process, in this precision.

    Raises:
        ValueError: options of ``accelerate launch`` that don't fit the trainer, the device or each other.
    """
    # broadcast_buffers: D has two forwards before its backward; a broadcast in between would break its batch norm
    from accelerate import Accelerator  # takes a while, which --help and mistakes need not wait for
    from accelerate.utils import DistributedDataParallelKwargs

    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[ddp])
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:  # each would train alone, and all would write to one folder
        raise ValueError(
            f"{launched} processes were launched but don't find each other: on a CPU set ACCELERATE_USE_CPU=true"
        )
    if accelerator.gradient_accumulation_steps != 1:  # accelerate would divide the losses by it
        raise ValueError("--gradient_accumulation_steps of accelerate: use --train.gradient_accumulation instead")
    if accelerator.device.type == "cpu":
        if precision == "fp16":
            raise ValueError("train.precision fp16: needs a GPU; use bf16 on a CPU")
        keep_memory()
    return accelerator


def die_with_launcher() -> None:
    """Asks Linux to send SIGTERM to this process when its parent ends, if that is ``accelerate launch``.

    With a single process, the launcher doesn't forward SIGTERM: the training would continue as an orphan.
    """
    if sys.platform == "linux" and "ACCELERATE_MIXED_PRECISION" in os.environ and "RANK" not in os.environ:
        parent, pr_set_pdeathsig = os.getppid(), 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before the call
            os.kill(os.getpid(), signal.SIGTERM)


def keep_memory() -> None:
    """Makes glibc reuse freed memory instead of returning it to the system.

    On a CPU every large tensor of a step would otherwise be mapped and faulted in anew. ``img2img benchmark`` shows
    the difference. No effect with other allocators.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            m_trim_threshold, m_mmap_max = -1, -4
            mallopt(m_mmap_max, 0)
            mallopt(m_trim_threshold, 2**31 - 1)
