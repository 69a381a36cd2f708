"""What ends a training early: its last finished step is saved, and it resumes exactly."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from img2img import load_translator
from img2img.checkpoint import list_checkpoints, newest_checkpoint
from img2img.config import Config, load_config
from img2img.errors import TrainingStopped
from img2img.run_files import config_file
from img2img.runs import find_run
from img2img.training.logger import RunLogger
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.helpers import equal, logged, rows, weights

Tiny = Callable[..., Config]
LONG = {"max_steps": 12, "log_every": 5}
TRAIN = Path(__file__).parents[2] / "tools" / "train.py"


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Calls ``act`` at the beginning of a step."""
    run_step = GANStep.run

    def run(self: GANStep, batches: list, number: int, rate_factor: float, **options: bool) -> dict:
        if number == step:
            act()
        return run_step(self, batches, number, rate_factor, **options)

    monkeypatch.setattr(GANStep, "run", run)


def same_as_uninterrupted(config: Config) -> bool:
    """Resumes the run and compares it with an uninterrupted one."""
    train(config, resume=True)
    whole = train(Config("whole", config.model, config.data, config.optim, config.train, config.balance))
    return equal(weights(Path("runs/tiny")), weights(whole)) and logged(Path("runs/tiny"))["12"] == logged(whole)["12"]


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_data_stop_the_run_after_a_save(
    tiny: Tiny, paired_root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    config = tiny(train=LONG, data={"num_workers": workers})
    away = paired_root.with_name("away")
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: paired_root.rename(away))
        with pytest.raises(TrainingStopped) as stopped:
            train(config)
    assert stopped.value.code == 2
    assert "train/" in str(stopped.value)  # the file
    assert "\n" not in str(stopped.value)
    (saved,) = list_checkpoints(Path("runs/tiny"))
    assert saved.name in str(stopped.value)
    away.rename(paired_root)
    assert same_as_uninterrupted(config)


def test_train_command_ends_when_its_data_workers_raise(paired_root: Path, tmp_path: Path) -> None:
    """Without a hang, with one line and exit code 2."""
    for file in (paired_root / "train").iterdir():
        data = file.read_bytes()
        file.write_bytes(data[: len(data) * 2 // 3])  # whole headers, no images
    small = (
        "--data.load_size 16 --data.crop_size 16 --model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1"
    )
    command = [sys.executable, str(TRAIN), "--model", "pix2pix", "--data.root", str(paired_root), *small.split()]
    done = subprocess.run(
        [*command, "--data.num_workers", "2", "--name", "x"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs" / "x").exists()  # so that the same command can be run again


def test_overwrite_keeps_the_old_run_if_the_data_are_broken(tiny: Tiny, paired_root: Path) -> None:
    before = weights(train(tiny()))
    for file in (paired_root / "train").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    with pytest.raises((TrainingStopped, ValueError)):
        train(tiny(), overwrite=True)
    assert equal(weights(Path("runs/tiny")), before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_stop_signal_finishes_and_saves_the_step(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    config = tiny(train=LONG)
    former = signal.signal(number, signal.SIG_DFL)  # a job in the background ignores some of them
    try:
        with monkeypatch.context() as patch:
            at_step(patch, 2, lambda: os.kill(os.getpid(), number))
            with pytest.raises(TrainingStopped) as stopped:
                train(config)
    finally:
        signal.signal(number, former)
    assert stopped.value.code == 128 + number
    assert [path.name for path in list_checkpoints(Path("runs/tiny"))] == ["step-000003"]
    assert same_as_uninterrupted(config)


def test_sighup_stays_ignored_under_nohup(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        at_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGHUP))
        run = train(tiny())
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
    assert newest_checkpoint(run)[0].name == "step-000004"


def test_error_between_two_steps_saves_the_last_one(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Trainer) -> None:
        raise RuntimeError("out of memory")

    config = tiny(train=LONG)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "log", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            train(config)
    assert [path.name for path in list_checkpoints(Path("runs/tiny"))] == ["step-000005"]
    train(config, resume=True)
    whole = train(tiny("whole", train=LONG))
    assert equal(weights(Path("runs/tiny")), weights(whole))


def test_error_within_a_step_saves_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator has been updated, the generator has not."""
    config = tiny(train={**LONG, "save_every": 2})
    backward = GANStep._backward
    calls = iter(range(100))

    def fail(self: GANStep, side: str, *args: object, **options: object) -> dict:
        if next(calls) == 2 * 3 + 1:
            raise RuntimeError("out of memory")
        return backward(self, side, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(GANStep, "_backward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            train(config)
    assert [path.name for path in list_checkpoints(Path("runs/tiny"))] == ["step-000002"]
    assert same_as_uninterrupted(config)


def test_logger_reports_and_retries_what_it_cannot_write(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a few steps metrics.csv is a folder and samples/ a file."""
    run = Path("runs/tiny")
    kept = Path("kept.csv")

    def break_both() -> None:
        (run / "metrics.csv").rename(kept)
        (run / "metrics.csv").mkdir()
        shutil.rmtree(run / "samples")
        (run / "samples").write_text("")

    def repair_both() -> None:
        (run / "metrics.csv").rmdir()
        kept.rename(run / "metrics.csv")
        (run / "samples").unlink()

    acts = {3: break_both, 6: repair_both}
    run_step = GANStep.run

    def run_with_acts(self: GANStep, batches: list, number: int, rate_factor: float, **options: bool) -> dict:
        acts.get(number, lambda: None)()
        return run_step(self, batches, number, rate_factor, **options)

    monkeypatch.setattr(GANStep, "run", run_with_acts)
    train(tiny(train={"max_steps": 8, "log_every": 1, "sample_every": 2}))
    lines = capsys.readouterr().out.splitlines()
    assert sum("metrics.csv" in line for line in lines) == 3  # steps 4 to 6
    assert sum(line.startswith("no samples ") for line in lines) == 2  # steps 4 and 6
    assert [row["step"] for row in rows(run)] == [str(step) for step in range(1, 9)]
    assert [path.name for path in (run / "samples").iterdir()] == ["step-000008.png"]


def test_logger_begins_a_new_event_file_after_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = RunLogger(tmp_path, 0, 10, "")
    logger.record(1, 0.1, {"loss/x": 1.0})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert logger._board is not None
    logger._board.add_scalar = full
    logger.record(2, 0.2, {"loss/x": 2.0})
    logger.record(3, 0.3, {"loss/x": 3.0})
    logger.close()
    assert capsys.readouterr().out.count("No space left on device") == 1
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_logger_writes_on_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ClosedTerminal:
        def write(self, text: str) -> None:
            raise OSError(5, "Input/output error")

        flush = write

        def fileno(self) -> int:
            raise OSError(9, "Bad file descriptor")

    logger = RunLogger(tmp_path, 0, 10, "")
    monkeypatch.setattr(sys, "stdout", ClosedTerminal())
    logger.log(1, 0.1, {"loss/x": 1.0})
    logger.close()
    assert [row["step"] for row in rows(tmp_path)] == ["1"]


@pytest.mark.parametrize("rest", [b"", b"\0" * 700, None], ids=["empty", "zeros", "gone"])
def test_config_lost_in_a_power_cut_is_read_from_the_newest_checkpoint(tiny: Tiny, rest: bytes | None) -> None:
    """By resuming, by finding the run and by inference."""
    run = train(tiny(train=LONG))
    config = load_config(run / "config.yaml")
    file = run / "config.yaml"
    if rest is None:
        file.unlink()
    else:
        file.write_bytes(rest)
    assert load_config(config_file(run)) == config
    assert find_run("tiny") == run
    assert load_translator("tiny").config == config
    train(tiny(train={**LONG, "max_steps": 13}), resume=True)
    assert load_config(file).train.max_steps == 13


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text + b"\0" * 300,
        lambda text: text[:-20] + b"\0" * 20,
        lambda text: text + b"13,2.",
        lambda text: b"\0" * len(text),
    ],
    ids=["zeros after", "zeros in the last row", "half a row", "all zeros"],
)
def test_resume_repairs_metrics_after_a_power_cut(tiny: Tiny, damage: Callable[[bytes], bytes]) -> None:
    config = tiny(train={"max_steps": 4, "log_every": 1, "save_every": 2})
    run = train(config)
    before = logged(run)
    shutil.rmtree(newest_checkpoint(run)[0])
    file = run / "metrics.csv"
    file.write_bytes(damage(file.read_bytes()))
    train(config, resume=True)
    after = logged(run)
    assert after == {step: row for step, row in before.items() if step in after}
    assert {"3", "4"} <= set(after)
    assert b"\0" not in file.read_bytes()


def test_files_of_a_run_are_flushed_before_they_are_renamed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the rename must not leave an empty file."""
    flushed: set[int] = set()
    unsafe = []
    os_fsync, os_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        os_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        if os.stat(source).st_ino not in flushed and Path(target).suffix != ".png":  # noqa: PTH116
            unsafe.append(str(target))
        os_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    run = train(tiny())
    assert unsafe == []
    assert {(run / name).stat().st_ino for name in ("config.yaml", "metrics.csv")} <= flushed
    assert {run.stat().st_ino, (run / "checkpoints").stat().st_ino, run.parent.stat().st_ino} <= flushed
