"""Means of the values of training steps until the next log. They stay on the device: reading a value waits for it."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

MEASURED = ("gradient_norm/", "signs/")  # measured at one step before a log, not averaged


class Means:
    """Means over the steps since the last regular log, and over processes; the newest value of what is MEASURED.

    Args:
        accelerator: reduces over the processes.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # steps in each sum: some steps have no G step

    def add(self, values: dict[str, Tensor]) -> None:
        """Adds the values of a step, scalars on the device by tag."""
        for name, value in values.items():
            is_summed = name in self.sums and not name.startswith(MEASURED)
            self.sums[name] = self.sums[name] + value if is_summed else value
            self.counts[name] = self.counts[name] + 1 if is_summed else 1

    def read(self) -> dict[str, float]:
        """The means so far, the same in all processes. Waits for the device."""
        return mean_over_processes(
            {name: value / self.counts[name] for name, value in self.sums.items()}, self.accelerator
        )

    def clear(self) -> None:
        self.sums, self.counts = {}, {}

    def state(self) -> dict[str, Any]:
        """Sums and counts for a checkpoint, which ``restore`` accepts; the same in all processes."""
        sums = {name: self.accelerator.reduce(value.clone(), "mean").cpu() for name, value in self.sums.items()}
        return {"sums": sums, "summed": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what ``state`` returned."""
        self.sums = {name: value.to(self.accelerator.device) for name, value in state["sums"].items()}
        self.counts = state["summed"]


def mean_over_processes(values: dict[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Mean of each scalar over the processes, as numbers. Takes one transfer from the device."""
    stacked = torch.stack([value.float() for value in values.values()])
    return dict(zip(values, accelerator.reduce(stacked, "mean").tolist(), strict=True))
