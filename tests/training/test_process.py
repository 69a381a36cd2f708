"""Stop signals, and glibc's memory."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from img2img.training.process import StopRequest


def test_stop_request_keeps_the_signal_and_restores_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert stop.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_stop_request_ends_at_once_at_a_second_ctrl_c() -> None:
    with StopRequest() as stop, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


MEASURE = """
import sys
from img2img.training.process import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
block = bytearray(64 << 20)
del block
print(int(open("/proc/self/statm").read().split()[1]) * 4096)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_keep_memory_keeps_freed_memory() -> None:
    """Without the setting, glibc returns a block of 64 MiB to the system at once."""
    kept, not_kept = (
        int(subprocess.run([sys.executable, "-c", MEASURE, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "return")
    )
    assert kept - not_kept > 60 << 20
