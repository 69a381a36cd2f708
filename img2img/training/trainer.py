"""The trainer: one loop for every model, with data, log, samples, validation and checkpoints around the steps.

Random numbers are seeded by place, not carried from step to step: the order of images by (seed, epoch), their
augmentation by (seed, epoch, index), dropout by (seed, step, rank). A resumed run therefore equals an uninterrupted one
bit for bit, for any number of workers.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from img2img.checkpoint import checkpoint_of, save_checkpoint
from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.loader import BatchReader, KeyedBatches, keyed_loader, to_device
from img2img.errors import TrainingStopped
from img2img.models import model_class
from img2img.models.base import Batch
from img2img.runs import RUNS, begin_run, check_run, find_run, hold_run
from img2img.training.best import Best, scores_line
from img2img.training.logger import RunLogger
from img2img.training.means import Means, mean_over_processes
from img2img.training.monitor import NOT_FINITE, Monitor, excluded_hints, loss_ratio
from img2img.training.networks import Networks
from img2img.training.process import Agreement, StopRequest, make_accelerator, resolve_precision
from img2img.training.samples import sample_grid
from img2img.training.step import GANStep

if TYPE_CHECKING:
    from img2img.training.validation import Validation


def train(config: Config, *, resume: bool = False, overwrite: bool = False, notes: Sequence[str] = ()) -> Path:
    """Trains a model and returns the run's folder, runs/NAME.

    Args:
        config: the options.
        resume: continues the run from its newest checkpoint.
        overwrite: replaces a run of this name.
        notes: lines to print before the training begins.

    Raises:
        ValueError: wrong options or data, or a run that exists already.
        TrainingStopped: a signal or data that can't be read ended the run, after a checkpoint; or a loss or a weight is
            not finite.
    """
    run = RUNS / config.name
    with hold_run(run):
        check_run(run, resume=resume, overwrite=overwrite)
        if config.train.init_from and not resume and find_run(config.train.init_from).resolve() == run.resolve():
            raise ValueError(
                f"train.init_from {config.train.init_from}: is this run itself; choose another --name for the new one"
            )
        trainer = Trainer(config, run)
        for note in [
            *notes,
            *([] if resume else trainer.model.notes(config)),
            *trainer.train_set.notes,
            *trainer.val_set.notes,
            *(trainer.validation.notes if trainer.validation else []),
        ]:
            trainer.accelerator.print(note)
        if resume:
            trainer.restore()
        elif config.train.init_from:
            from img2img.training.starting import start_from  # imported only by runs that use it

            start_from(trainer.networks, config.train.init_from)
        try:
            trainer.fit(resume=resume)
        except TrainingStopped:  # in all processes; after other errors close() could wait for the others forever
            trainer.close()
            raise
        trainer.close()
        return run


class Trainer:
    """One run: networks, data and the position in the data.

    Args:
        config: the resolved options.
        run: the run's folder; nothing is written there before ``fit``.

    Raises:
        ValueError: data that can't be found or read, or doesn't fit the networks; options that exclude each other.
    """

    def __init__(self, config: Config, run: Path) -> None:
        self.config, self.run = config, run
        dataset = dataset_class(model_class(config.model.name).dataset, config.data)
        self.train_set = dataset(config.data, "train", augment=True, seed=config.train.seed)
        config = replace(config, data=self.train_set.config)
        self.val_set = dataset(config.data, "val")
        self.ranges = dataset.ranges(config.data)
        precision = resolve_precision(config.train.precision)
        self.accelerator = make_accelerator(precision)
        self.device = self.accelerator.device
        self.config = config = replace(config, train=replace(config.train, precision=precision))
        self.networks = Networks(config, self.accelerator)
        self.model = self.networks.model
        self.gan_step = GANStep(config, self.networks)
        self.monitor = Monitor(excluded_hints(config, self.model, precision))
        for split in (self.train_set, self.val_set):
            split.require_side(self.networks.smallest_side)
        self.model.check_set(self.train_set)
        self.validation: Validation | None = None
        if config.train.evaluate_every:
            from img2img.training.validation import Validation  # the metrics' libraries take seconds to import

            self.validation = Validation(config, self.val_set, self.networks)
        self.best = Best()

        self.step_size = config.data.batch_size * self.accelerator.num_processes * config.train.gradient_accumulation
        self.step = 0
        self.position = 0  # training images used so far, by all processes, over all epochs
        self.means = Means(self.accelerator)
        self.timed_steps = 0  # steps since the last log, for the speed
        self.clock = time.perf_counter()  # time of the last log, moved forward by every pause
        self.skipped: set[str] = set()  # a message for each file that couldn't be decoded
        self.checkpoint: Path | None = None  # the newest one
        self.logger: RunLogger | None = None  # on rank 0 only
        self.can_save = True  # False while a step or a save is under way
        self.agreement = Agreement(self.accelerator.num_processes, on_gpus=self.device.type != "cpu")

    def fit(self, *, resume: bool = False) -> None:
        """Trains from the current step to the last one, or until a signal.

        Raises:
            ValueError: the run is too short for ``balance.warmup_d``.
            TrainingStopped: see ``train``.
        """
        total = self.total_steps
        if self.step >= total:
            options = self.config.train
            by_steps = 0 < options.max_steps <= self.step
            limit = f"train.max_steps {options.max_steps}" if by_steps else f"train.epochs {options.epochs}"
            self.accelerator.print(f"{self.run} is complete at step {self.step}: to go on, raise {limit}")
            return
        warm_up = self.config.balance.warmup_d
        if total <= warm_up:
            raise ValueError(
                f"balance.warmup_d {warm_up}: the run ends at step {total}, so its generators would never learn; lower "
                "it, or raise train.epochs or train.max_steps"
            )
        with StopRequest() as stop, closing(self.batches(total)) as stream:
            # The first batch is read before the run's folder is touched, so that unreadable data changes nothing there.
            # Agreeing on it also means that all processes have checked the folder before the first one changes it.
            batches, read_error = next_or_error(stream)
            if stopped := self.agreement.reason_to_stop(signal=0, read_error=read_error):  # signals count after a step
                raise stopped
            if self.accelerator.is_main_process:
                begin_run(self.run, self.config, resume=resume)
                self.logger = RunLogger(self.run, self.step, total, self.config.to_yaml())
            with closing(self.logger) if self.logger else nullcontext():
                if self.logger:
                    self.logger.say(self.summary)
                    if not resume:
                        self.sample()
                if self.validation and self.validation.needs_classifier:
                    self._prepare(self.validation, stop)
                self.clock = time.perf_counter()
                try:
                    self._loop(batches, stream, total, stop)
                except Exception as error:
                    self._save_after_error(error)
                    raise
                if self.logger:
                    self._print_result()

    def _prepare(self, validation: Validation, stop: StopRequest) -> None:
        """Makes rank 0 load or train the classifier of validation, which may take minutes, while the others wait.

        Raises:
            TrainingStopped: a signal asked to stop meanwhile.
        """
        if self.logger:
            validation.prepare(self.run, self.train_set, say=self.logger.say, stopped=lambda: stop.signal != 0)
        self.accelerator.wait_for_everyone()
        if stopped := self.agreement.reason_to_stop(signal=stop.signal, read_error=None, step=self.step):
            raise stopped

    def _loop(self, batches: list[Batch], stream: Iterator[list[Batch]], total: int, stop: StopRequest) -> None:
        """Runs the steps up to number ``total``; logs, samples, evaluates and saves when due and after the last one.

        Args:
            batches: micro-batches of the first step.
            stream: yields those of the following steps.
            total: number of the last step.
            stop: has the signal that asks the run to stop.
        """
        options = self.config.train
        while True:
            self._step(batches, total)
            is_last = self.step == total

            if is_last or self.step % options.log_every == 0:
                self.log()
            if self.logger and (is_last or self.step % options.sample_every == 0):
                with self._pause_clock():
                    self.sample()
            is_best = False
            if options.evaluate_every and (is_last or self.step % options.evaluate_every == 0):
                with self._pause_clock():
                    is_best = self.evaluate()

            stopped = None
            if not is_last:
                batches, read_error = ([], None) if stop.signal else next_or_error(stream)
                stopped = self.agreement.reason_to_stop(signal=stop.signal, read_error=read_error, step=self.step)
            if is_last or is_best or stopped or self.step % options.save_every == 0:
                with self._pause_clock():
                    self.save()
            if stopped:
                raise TrainingStopped(f"{stopped}, saved in {self.checkpoint}; {self._how_to_resume}", stopped.code)
            if is_last:
                return

    def _step(self, batches: list[Batch], total: int) -> None:
        """Runs one step and collects its values for the log."""
        self.can_save = False
        frozen = self.epoch < self.config.train.freeze_global_epochs
        measure = self.gan_step.is_last_before_log(self.step, total)
        values = self.gan_step.run(batches, self.step, self.rate_factor, measure=measure, frozen=frozen)
        self.means.add(values)
        self.step += 1
        self.position += self.step_size
        self.timed_steps += 1
        self.can_save = True
        if self.logger:
            self.logger.advance()

    def batches(self, total: int) -> Generator[list[Batch], None, None]:
        """Yields the micro-batches of each step up to ``total``, on the device, from the current position on."""
        data, accumulation = self.config.data, self.config.train.gradient_accumulation
        keys = KeyedBatches(
            length=len(self.train_set),
            batch_size=data.batch_size,
            start=self.position,
            stop=self.position + (total - self.step) * self.step_size,
            seed=self.config.train.seed,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        loader = keyed_loader(self.train_set, keys, data.num_workers, pin_memory=self.device.type == "cuda")
        with BatchReader(loader) as reader:
            for _ in range(total - self.step):
                batches = [next(reader) for _ in range(accumulation)]
                for batch in batches:
                    self._print_skipped(batch["skipped"])
                yield [to_device(batch, self.device, self.networks.memory_format, self.ranges) for batch in batches]

    def _print_skipped(self, messages: list[str]) -> None:
        """Prints, once a file, that it can't be decoded; the log counts these files."""
        for message in messages:
            if message not in self.skipped:
                self.skipped.add(message)
                (self.logger.say if self.logger else print)(f"skipped     {message}")

    @property
    def epoch(self) -> float:
        """Passes over the training set so far, as a fraction."""
        return self.position / len(self.train_set)

    @property
    def rate_factor(self) -> float:
        """Share of the full learning rate, by ``optim.schedule``."""
        train = self.config.train
        return self.config.optim.rate_factor(self.epoch, epochs=train.epochs, decay_epochs=train.decay_epochs)

    @property
    def total_steps(self) -> int:
        """The number of the run's last step."""
        images = len(self.train_set) * (self.config.train.epochs + self.config.train.decay_epochs)
        by_epochs = self.step + math.ceil((images - self.position) / self.step_size)
        return min(by_epochs, self.config.train.max_steps or by_epochs)

    def log(self) -> None:
        """Logs the means since the last regular log, diagnostics, rates and speed. Waits for the device.

        Raises:
            TrainingStopped: a loss is not finite.
        """
        means = self.means.read()
        self._stop_unless_finite(means)
        means |= loss_ratio(means)
        # The last step also logs. Off the log interval it keeps the sums, so that a resumed run logs the same means.
        regular = self.step % self.config.train.log_every == 0
        problems = [report.line for report in self.monitor.observe(self.step, means)] if regular else []
        # The mean over processes of count is the sum of their numbers of skipped files
        count = torch.tensor(len(self.skipped) * self.accelerator.num_processes, device=self.device)
        skipped = mean_over_processes({"data/skipped": count}, self.accelerator)
        if self.logger:
            speed = self.timed_steps * self.step_size / (time.perf_counter() - self.clock)
            values = {**means, **self.networks.current_rates(), "speed/images_per_second": speed, **skipped}
            self.logger.log(self.step, self.epoch, values, problems)
        self.timed_steps, self.clock = 0, time.perf_counter()
        if regular:
            self.means.clear()

    @contextmanager
    def _pause_clock(self) -> Iterator[None]:
        """Leaves the time of the block out of the measured speed."""
        began = time.perf_counter()
        yield
        self.clock += time.perf_counter() - began

    def _stop_unless_finite(self, values: dict[str, float]) -> None:
        """Raises TrainingStopped if a loss among the values is not finite; the message names it."""
        bad = [name for name, value in values.items() if name.startswith("loss/") and not math.isfinite(value)]
        if bad:
            bad = [name.replace("loss/weights", "a weight") for name in bad]
            last = f"the last good checkpoint is {self.checkpoint}" if self.checkpoint else "there is no checkpoint yet"
            reason = f"{', '.join(bad)} became NaN or infinite before step {self.step}"
            if self.logger:
                self.logger.record(self.step, self.epoch, {}, [f"{NOT_FINITE.name}: {reason}; {NOT_FINITE.advice()}"])
            raise TrainingStopped(f"error: {reason}; {last}; {NOT_FINITE.advice()}, or bf16 instead of fp16", 1)

    def sample(self) -> None:
        """Writes a sample grid: the model's own fixed inputs, or a row for each of a few validation images."""
        assert self.logger is not None
        self.logger.sample(self.step, sample_grid(self.networks, self.val_set, self.config))

    def evaluate(self) -> bool:
        """Scores validation images and logs it. Returns whether they are the best so far, in all processes."""
        best = torch.zeros((), device=self.device)
        if self.logger and self.validation and (values := self.validation.measure(self.logger.say)):
            self.logger.record(self.step, self.epoch, values)
            overall = self.validation.overall(values)
            beaten = self.best.beaten(self.step, overall, self.validation.metric, self.validation.better)
            mark = "; the best so far" if beaten else ""
            self.logger.say(f"evaluation  step {self.step}: {scores_line(overall)}{mark}")
            best += beaten
        return bool(self.accelerator.reduce(best, "sum").item())

    def save(self) -> None:
        """Writes a checkpoint of this step.

        Raises:
            TrainingStopped: a loss or a weight is not finite; nothing is written.
        """
        means = self.means.state()
        # The losses were computed before the update, so that the weights need a check of their own
        values = {name: value.item() for name, value in means["sums"].items()}
        values["loss/weights"] = 0.0 if self.networks.is_finite() else math.nan
        self._stop_unless_finite(values)
        self.can_save = False
        state = {**self.networks.state(), "position": self.position, "length": len(self.train_set)}
        state |= {"signs": self.gan_step.diagnostics.state(), "monitor": self.monitor.state(), **means}
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.run,
                self.step,
                networks=self.networks.weights(),
                state={**state, "best": self.best.state},
                config=self.config.to_yaml(),
                keep=self.config.train.keep_checkpoints,
                best=self.best.step,
            )
        self.accelerator.wait_for_everyone()
        self.checkpoint = checkpoint_of(self.run, self.step)
        self.can_save = True

    def _save_after_error(self, error: Exception) -> None:
        """Saves the last finished step when an error ends the run, if possible.

        It isn't after half a step, nor with several processes, since the others don't take part in the save.
        """
        possible = self.can_save and self.accelerator.num_processes == 1 and not isinstance(error, TrainingStopped)
        if possible and self.checkpoint != checkpoint_of(self.run, self.step):
            with suppress(ValueError, RuntimeError, TrainingStopped):
                self.save()
                self.accelerator.print(f"saved       {self.checkpoint}; {self._how_to_resume}")

    @property
    def _how_to_resume(self) -> str:
        """The end of a line: which options resume the run."""
        return f"--name {self.config.name} --resume continues"

    def _print_result(self) -> None:
        """Prints the last and the best checkpoint, and how to use them."""
        assert self.logger is not None
        self.logger.say(f"done        {self.checkpoint}; python tools/infer.py {self.config.name}")
        if self.best.step is not None:
            usage = "" if self.best.step == self.step else "; infer.py --checkpoint best uses it"
            self.logger.say(f"best        step {self.best.step}: {scores_line(self.best.state['values'])}{usage}")

    @property
    def summary(self) -> str:
        """The lines printed before training: networks, data, steps, processes, precision."""
        sizes = {name: sum(p.numel() for p in net.parameters()) / 1e6 for name, net in self.networks.bare.items()}
        processes = self.accelerator.num_processes
        precision = {"no": "fp32"}.get(self.accelerator.mixed_precision, self.accelerator.mixed_precision)
        balance = f"balance     {', '.join(self.config.balance.used)}\n" if self.config.balance.used else ""
        return (
            f"run         {self.run} ({self.config.model.name})\n"
            f"networks    {', '.join(f'{name} {size:.3f} M parameters' for name, size in sizes.items())}\n"
            f"{balance}"
            f"data        {self.train_set.size} training, {self.val_set.size} validation images\n"
            f"training    {self.total_steps} steps of {self.step_size}; {processes} "
            f"process{'es' if processes > 1 else ''} on {self.device.type}, {precision}\n"
            f"log         tensorboard --logdir {self.run}/tensorboard"
        )

    def restore(self) -> None:
        """Restores the newest checkpoint whose checksums are right.

        Raises:
            ValueError: there is none, or it doesn't fit the options.
        """
        from img2img.training.resuming import changes, open_newest  # imported only by runs that use it

        path, state, before = open_newest(self.run, self.config, self.accelerator, learns_all=self.model.learns_all)
        self.networks.restore(path, state)
        self.gan_step.diagnostics.restore(state.get("signs", {}))  # old checkpoints may have neither this nor a monitor
        self.step, self.position = state["step"], state["position"]
        self.means.restore(state)
        if "monitor" in state:
            self.monitor.restore(state["monitor"])
        self.checkpoint = path
        metric = self.validation.metric if self.validation else None
        if note := self.best.restore(state.get("best", {}), path.parent, metric):
            self.accelerator.print(note)
        if state["length"] != len(self.train_set):
            self.accelerator.print(
                f"the set has {len(self.train_set)} images, but had {state['length']} when {path} was written; the "
                f"{self.position} images seen so far now count as {self.epoch:.1f} epochs"
            )
        for line in [f"resuming    {path}, epoch {self.epoch:.2f}", *changes(before, self.config)]:
            self.accelerator.print(line)

    def close(self) -> None:
        """Ends the processes; in another order one of them could hang."""
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()
        self.accelerator.end_training()


def next_or_error(stream: Iterator[list[Batch]]) -> tuple[list[Batch], Exception | None]:
    """The next step's micro-batches and None; or [] and the error that prevents reading them."""
    try:
        return next(stream), None
    except Exception as error:
        if not isinstance(error, ValueError):
            traceback.print_exception(error)  # not the user's data: a bug here or in a library
        return [], error
