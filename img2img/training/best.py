"""Which step of a run had the best scores so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def scores_line(values: Mapping[str, float]) -> str:
    """Scores for a line: "psnr 17.31, ssim 0.6032"."""
    return ", ".join(f"{name.removeprefix('val/')} {value:.4g}" for name, value in values.items())


class Best:
    """Which step had the best scores so far, for the checkpoint's state: ``step``, None before there is one."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    @property
    def step(self) -> int | None:
        return self.state.get("step")

    def beaten(self, step: int, values: dict[str, float], metric: str, better: str) -> bool:
        """Whether these scores are better than the best ones, which they then are; without a value of it, they are."""
        value = values[f"val/{metric}"]
        before = self.state.get("values", {}).get(f"val/{metric}")
        known = before is not None and not math.isnan(before)
        if math.isnan(value) or (known and not (value < before if better == "lower" else value > before)):
            return False
        self.state = {"step": step, "values": values}
        return True

    def restore(self, state: dict[str, Any], checkpoints: Path, metric: str | None) -> str:
        """Goes on with a checkpoint's state, if the best one's own checkpoint is still there.

        Returns what a user should know: that the best so far can't be compared by ``metric``; or nothing.
        """
        if not state or not (checkpoints / f"step-{state['step']:06d}").is_dir():
            return ""
        self.state = state
        if metric is None or f"val/{metric}" in state.get("values", {}):
            return ""
        return f"best        step {state['step']}, which has no {metric}: the next measurement takes its place"
