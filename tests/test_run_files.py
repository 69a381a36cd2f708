"""What is read of runs without torch."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.config import Config
from img2img.run_files import RUNS, is_training, list_runs, summarise
from img2img.runs import hold_run
from img2img.training.trainer import train
from tests.helpers import ROOT, run_command

Tiny = Callable[..., Config]


def test_summary_of_a_run_with_scores(tiny: Tiny) -> None:
    before = time.time() - 1
    train(tiny(train={"evaluate_every": 2, "metrics": "l1,psnr"}))
    run = summarise(RUNS / "tiny")
    assert (run.name, run.model, run.steps, run.training) == ("tiny", "pix2pix", 4, False)
    assert run.data.endswith("/set")
    score, _, step = run.best.partition(" (")
    assert score.startswith("psnr ")
    assert step in ("step 2)", "step 4)")
    assert before < run.changed < time.time() + 1


def test_summaries_of_kept_runs() -> None:
    folder = ROOT / "tests" / "kept_runs"
    runs = {name: summarise(folder / name) for name in list_runs(folder)}
    assert {name: run.steps for name, run in runs.items()} == dict.fromkeys(runs, 4)
    assert runs["dcgan"].model == "dcgan"
    assert runs["dcgan"].data == "toy"


def test_training_is_noticed(tiny: Tiny) -> None:
    train(tiny(train={"max_steps": 1}))
    run = RUNS / "tiny"
    assert not is_training(run)
    with hold_run(run):
        assert is_training(run)
    assert not is_training(run)


def test_damaged_files_are_no_error() -> None:
    run = Path("runs/broken")
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("model: [")
    (run / "checkpoints" / "latest").write_text("")
    (run / "checkpoints" / "best").write_text("step-000004")
    (run / "metrics.csv").write_bytes(b"\0\0")
    summary = summarise(run)
    assert (summary.model, summary.data, summary.steps, summary.best) == ("?", "-", 0, "step 4")


def test_command_lists_runs(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("runs") == 0
    assert "no runs" in capsys.readouterr().out
    for name in ("one", "two"):
        train(tiny(name, train={"max_steps": 1}))
    capsys.readouterr()
    with hold_run(RUNS / "two"):
        assert run_command("runs") == 0
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "model", "data", "steps", "best", "changed"]
    assert one.startswith("one ")
    assert two.startswith("two ")
    assert two.endswith("training now")
    assert "training now" not in one


def test_wrong_folder_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("runs", "nowhere") == 2
    assert str(Path("nowhere").resolve()) in capsys.readouterr().err
