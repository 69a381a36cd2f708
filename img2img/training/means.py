"""What training steps return, collected for the log: on the device, since reading a value waits for it."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

MEASURED = ("gradient_norm/", "signs/")  # of one step, not means over many


class Means:
    """Means over the steps since the last regular log; of what is MEASURED, the newest value.

    Args:
        accelerator: of the processes, over which values are averaged, too.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # steps in each sum: not every step has a D step and a G step

    def add(self, values: dict[str, Tensor]) -> None:
        """Takes in what a step returned."""
        for name, value in values.items():
            is_added = name in self.sums and not name.startswith(MEASURED)
            self.sums[name] = self.sums[name] + value if is_added else value
            self.counts[name] = self.counts[name] + 1 if is_added else 1

    def read(self) -> dict[str, float]:
        """The means so far, the same in all processes."""
        return mean_over_processes(
            {name: value / self.counts[name] for name, value in self.sums.items()}, self.accelerator
        )

    def clear(self) -> None:
        self.sums, self.counts = {}, {}

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes back, as a part of a checkpoint's state; the same in all processes."""
        sums = {name: self.accelerator.reduce(value.clone(), "mean").cpu() for name, value in self.sums.items()}
        return {"sums": sums, "summed": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on with a checkpoint's state."""
        self.sums = {name: value.to(self.accelerator.device) for name, value in state["sums"].items()}
        self.counts = state["summed"]


def mean_over_processes(values: dict[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Scalars as numbers, in one transfer."""
    stacked = torch.stack([value.float() for value in values.values()])
    return dict(zip(values, accelerator.reduce(stacked, "mean").tolist(), strict=True))
