"""What a run tells: a progress bar, metrics.csv, TensorBoard and sample grids. Rank 0 alone has a logger."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from img2img.data.images import write_image

LAYOUT = {  # of TensorBoard's custom scalars: title -> chart -> what is drawn, by regular expressions for any model
    "balance": {
        "accuracy of the discriminators": ["Multiline", [r"^discriminator/accuracy_"]],
        "gap between the logits of real and fake": ["Multiline", [r"^discriminator/gap"]],
        "loss of the discriminators, 1 undecided": ["Multiline", [r"^discriminator/relative_loss"]],
        "loss of the generators : discriminators": ["Multiline", [r"^signs/loss_ratio$"]],
        "diversity of the outputs, 1 as the real ones": ["Multiline", [r"^signs/(noise_)?diversity_"]],
    },
    "losses": {
        "generators": ["Multiline", [r"^loss/generator/"]],
        "discriminators": ["Multiline", [r"^loss/discriminator/"]],
    },
    "gradients": {"norms": ["Multiline", [r"^gradient_norm/"]]},
}


class RunLogger:
    """Writes into the run's folder ``runs/NAME``.

    Args:
        run: the folder.
        step: the step that the run stands at; what an interrupted run wrote of later ones is dropped.
        total: the step at which it will end.
        config: the resolved options as YAML.
    """

    def __init__(self, run: Path, step: int, total: int, config: str) -> None:
        self.run = run
        self.csv = run / "metrics.csv"
        self.columns = self._keep_rows_until(step)
        self.board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)
        self.board.add_text("config", f"```yaml\n{config}```", step)
        self.board.add_custom_scalars(LAYOUT)
        # disable=None: no bar, and plain lines instead, where the output is no terminal
        self.bar = tqdm(initial=step, total=total, unit="step", dynamic_ncols=True, disable=None, smoothing=0.05)

    def advance(self) -> None:
        """One step is done."""
        self.bar.update()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(line.encode("utf-8", "backslashreplace").decode())  # file names may be of any bytes

    def record(self, step: int, epoch: float, values: Mapping[str, float], verdicts: Sequence[str] = ()) -> None:
        """A row of metrics.csv, a point of every TensorBoard curve, and the verdicts, each a line, as its text."""
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        if verdicts:
            self.board.add_text("verdicts", "  \n".join(verdicts), step)
        row = {"step": step, "epoch": round(epoch, 4), "time": round(time.time(), 2), "verdict": " | ".join(verdicts)}
        row |= values
        new = [column for column in row if column not in self.columns]
        if new:  # some values come later than others, and none were there in runs of earlier versions
            self._add_columns(new)
        self._append([[row.get(column, "") for column in self.columns]])

    def scalars(self, step: int, epoch: float, values: Mapping[str, float], verdicts: Sequence[str] = ()) -> None:
        """``record``, the losses beside the bar, and the verdicts above it."""
        self.record(step, epoch, values, verdicts)
        losses = {
            name.removeprefix("loss/"): f"{value:.3f}" for name, value in values.items() if name.startswith("loss/")
        }
        speed = f"{values.get('speed/images_per_second', 0):.1f} images/s"
        if self.bar.disable:
            told = "  ".join(f"{name} {value}" for name, value in losses.items())
            self.say(f"step {step}/{self.bar.total}  epoch {epoch:.2f}  {speed}  {told}")
        else:
            self.bar.set_postfix_str(", ".join([speed, *(f"{name.split('/')[-1]} {v}" for name, v in losses.items())]))
        for line in verdicts:
            self.say(f"verdict     {line}")

    def sample(self, step: int, sheet: np.ndarray) -> None:
        """A sample grid (H, W, 3) uint8: samples/step-XXXXXX.png, and TensorBoard's images."""
        write_image(self.run / "samples" / f"step-{step:06d}.png", sheet)
        self.board.add_image("samples", sheet, step, dataformats="HWC")
        self.board.flush()

    def close(self) -> None:
        self.bar.close()
        self.board.close()

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        with self.csv.open("a", newline="") as file:
            csv.writer(file).writerows(rows)

    def _keep_rows_until(self, step: int) -> list[str]:
        """Cuts the rows after ``step`` off metrics.csv and returns its columns, or none if there is no file yet."""
        if not self.csv.exists():
            return []
        with self.csv.open(newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        kept = [row for row in rows if row and row[0].isdecimal() and int(row[0]) <= step]
        self._rewrite([header, *kept])
        return header

    def _add_columns(self, names: Sequence[str]) -> None:
        """Widens metrics.csv; what was written before has nothing in the new columns."""
        rows: list[list[str]] = []
        if self.columns:
            with self.csv.open(newline="") as file:
                _, *rows = list(csv.reader(file))
        self.columns = [*self.columns, *names]
        self._rewrite([self.columns, *([*row, *[""] * (len(self.columns) - len(row))] for row in rows)])

    def _rewrite(self, rows: Sequence[Sequence[object]]) -> None:
        aside = self.csv.with_suffix(".part")
        with aside.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        aside.replace(self.csv)
