"""The step of a run with the best validation scores so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def scores_line(values: Mapping[str, float]) -> str:
    """Formats scores for a line: "psnr 17.31, ssim 0.6032"."""
    return ", ".join(f"{name.removeprefix('val/')} {value:.4g}" for name, value in values.items())


class Best:
    """Keeps the step with the best scores so far. ``state`` goes into checkpoints."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    @property
    def step(self) -> int | None:
        """The best step, None before the first scores."""
        return self.state.get("step")

    def beaten(self, step: int, values: dict[str, float], metric: str, better: str) -> bool:
        """Whether a step's scores are the best so far; if so, keeps them.

        They are if the best ones so far have no value of ``metric``, and they aren't if their own value is NaN.

        Args:
            step: number of the step.
            values: ``val/NAME`` -> score.
            metric: NAME of the score that decides.
            better: which of its values are better, "lower" or "higher".
        """
        value = values[f"val/{metric}"]
        best = self.state.get("values", {}).get(f"val/{metric}")
        has_best = best is not None and not math.isnan(best)
        if math.isnan(value) or (has_best and not (value < best if better == "lower" else value > best)):
            return False
        self.state = {"step": step, "values": values}
        return True

    def restore(self, state: dict[str, Any], checkpoints: Path, metric: str | None) -> str:
        """Restores ``state`` from a checkpoint, if the best step's own checkpoint still exists.

        Args:
            state: what ``state`` was.
            checkpoints: the run's folder of checkpoints.
            metric: the score that decides from now on.

        Returns:
            A line for the user if the best scores so far don't include ``metric``, else "".
        """
        if not state or not (checkpoints / f"step-{state['step']:06d}").is_dir():
            return ""
        self.state = state
        if metric is None or f"val/{metric}" in state.get("values", {}):
            return ""
        return f"best        step {state['step']}, which has no {metric}: the next evaluation replaces it"
