"""The log of a run: progress bar, metrics.csv, TensorBoard and sample grids. Only rank 0 has a logger."""

from __future__ import annotations

import csv
import io
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from img2img.data.images import write_image
from img2img.errors import leave_console, printable
from img2img.files import write_whole

LAYOUT = {  # of TensorBoard's custom scalars: title -> chart -> regular expressions of the tags that it draws
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
    """Writes the log into the run's folder, and prints it.

    Args:
        run: the folder, runs/NAME.
        step: number of finished steps; rows of later steps, which an interrupted run wrote, are dropped.
        total: number of the last step.
        config: the resolved options as YAML.
    """

    def __init__(self, run: Path, step: int, total: int, config: str) -> None:
        self.run, self.step, self.config = run, step, config
        self.csv = run / "metrics.csv"
        self.columns = self._keep_rows_until(step)
        self.unwritten: list[dict[str, object]] = []  # rows that are not in metrics.csv yet
        self._board: SummaryWriter | None = None
        threading.excepthook = _without_file_errors
        # disable=None: no bar if the output is no terminal; log() then prints lines instead
        self.bar = tqdm(initial=step, total=total, unit="step", dynamic_ncols=True, disable=None, smoothing=0.05)

    def advance(self) -> None:
        """Moves the progress bar on by one step."""
        self.bar.update()

    def say(self, line: str) -> None:
        """Prints a line above the progress bar. If the terminal is gone, the run goes on without."""
        try:
            tqdm.write(printable(line))
        except OSError:
            leave_console(sys.stdout)

    def record(self, step: int, epoch: float, values: Mapping[str, float], problems: Sequence[str] = ()) -> None:
        """Writes values and problems to metrics.csv (a row) and to TensorBoard (a point of each curve, a text).

        If a file can't be written, a line says so. The rows of metrics.csv are kept for the next time; TensorBoard's
        points are lost.

        Args:
            step: number of finished steps.
            epoch: passes over the training set, as a fraction.
            values: scalars by tag, which are the columns of metrics.csv.
            problems: a line for each problem that the monitor reports.
        """
        with self._to_board() as board:
            for name, value in values.items():
                board.add_scalar(name, value, step)
            if problems:
                board.add_text("verdicts", "  \n".join(problems), step)
        row = {"step": step, "epoch": round(epoch, 4), "time": round(time.time(), 2), "verdict": " | ".join(problems)}
        self.unwritten.append({**row, **values})
        with self._report_unwritable(self.csv):
            self._write_rows()

    def log(self, step: int, epoch: float, values: Mapping[str, float], problems: Sequence[str] = ()) -> None:
        """As ``record``; also prints the losses and the problems."""
        self.record(step, epoch, values, problems)
        losses = {
            name.removeprefix("loss/"): f"{value:.3f}" for name, value in values.items() if name.startswith("loss/")
        }
        speed = f"{values.get('speed/images_per_second', 0):.1f} images/s"
        if self.bar.disable:
            loss_text = "  ".join(f"{name} {value}" for name, value in losses.items())
            self.say(f"step {step}/{self.bar.total}  epoch {epoch:.2f}  {speed}  {loss_text}")
        else:
            self.bar.set_postfix_str(", ".join([speed, *(f"{name.split('/')[-1]} {v}" for name, v in losses.items())]))
        for line in problems:
            self.say(f"verdict     {line}")

    def sample(self, step: int, sheet: np.ndarray) -> None:
        """Writes a sample grid (H, W, 3) uint8 to samples/step-XXXXXX.png and to TensorBoard's images."""
        try:
            write_image(self.run / "samples" / f"step-{step:06d}.png", sheet)
        except ValueError as error:
            self.say(f"no samples  {error}; tried again at the next train.sample_every")
        with self._to_board() as board:
            board.add_image("samples", sheet, step, dataformats="HWC")
            board.flush()

    def close(self) -> None:
        self.bar.close()
        with self._report_unwritable(self.csv):
            self._write_rows()
        if self._board:
            with self._report_unwritable(self.run / "tensorboard"):
                self._board.close()

    @contextmanager
    def _to_board(self) -> Iterator[SummaryWriter]:
        """TensorBoard's writer. After an error it is closed, and the next call begins a new file."""
        with self._report_unwritable(self.run / "tensorboard"):
            try:
                if self._board is None:
                    self._board = self._new_board()
                yield self._board
            except OSError:
                failed, self._board = self._board, None
                if failed:
                    with suppress(OSError):
                        failed.close()
                raise

    def _new_board(self) -> SummaryWriter:
        board = SummaryWriter(str(self.run / "tensorboard"), purge_step=self.step + 1 if self.step else None)
        board.add_text("config", f"```yaml\n{self.config}```", self.step)
        board.add_custom_scalars(LAYOUT)
        return board

    @contextmanager
    def _report_unwritable(self, path: Path) -> Iterator[None]:
        """Prints a line, instead of an OSError, if a file can't be written."""
        try:
            yield
        except OSError as error:
            self.say(f"not logged  {path}: can't be written ({error.strerror or error}); tried again at the next log")

    def _write_rows(self) -> None:
        """Appends the unwritten rows to metrics.csv, all of them or none. Raises OSError."""
        if not self.unwritten:
            return
        new = [column for row in self.unwritten for column in row if column not in self.columns]
        if new:  # some values are not in the first rows, or not in those of an older version
            self._add_columns(list(dict.fromkeys(new)))
        size = self.csv.stat().st_size
        try:
            with self.csv.open("a", newline="") as file:
                csv.writer(file).writerows([row.get(name, "") for name in self.columns] for row in self.unwritten)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # the next row would continue one that was cut off in its middle
                os.truncate(self.csv, size)
            raise
        self.unwritten.clear()

    def _keep_rows_until(self, step: int) -> list[str]:
        """Removes the rows after ``step`` from metrics.csv; returns its columns, [] if there is no file.

        Half a row is removed, too: a power cut can leave one, followed by zero bytes.
        """
        if not self.csv.exists():
            return []
        header, rows = self._read()
        if header[:1] != ["step"]:
            self.csv.unlink()
            return []
        kept = [row for row in rows if row[0].isdecimal() and int(row[0]) <= step and len(row) == len(header)]
        self._rewrite([header, *kept])
        return header

    def _read(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of metrics.csv, without zero bytes and empty lines."""
        text = self.csv.read_bytes().replace(b"\0", b"").decode("utf-8", "replace")
        lines = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        return (lines[0], lines[1:]) if lines else ([], [])

    def _add_columns(self, names: Sequence[str]) -> None:
        """Adds columns to metrics.csv, empty in the rows so far."""
        rows = self._read()[1] if self.columns else []
        columns = [*self.columns, *names]
        self._rewrite([columns, *([*row, *[""] * (len(columns) - len(row))] for row in rows)])
        self.columns = columns

    def _rewrite(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        write_whole(self.csv, text.getvalue().encode())


def _without_file_errors(failure: threading.ExceptHookArgs) -> None:
    """A threading.excepthook that ignores OSErrors: ``RunLogger`` reports those of TensorBoard's thread."""
    if not (failure.exc_type and issubclass(failure.exc_type, OSError)):
        threading.__excepthook__(failure)
