"""Runs of an earlier version (``tests/kept_runs``), as users have them: they open, answer and go on as they did then.

Nothing here knows how a checkpoint is made up: the ways in are those that users have.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img import Sampler, Translator, load_sampler, load_translator
from img2img.config import load_config
from tests.helpers import call
from tests.kept_runs.make import LAST, OPTIONS, SAVED, answers, draw_files, losses

KEPT = Path(__file__).parent / "kept_runs"
FAR = 2e-4  # as a share of max(1, |loss|): other CPUs round differently


@pytest.fixture(params=list(OPTIONS))
def run(request: pytest.FixtureRequest) -> Path:
    """A copy of a kept run where runs are."""
    return shutil.copytree(KEPT / request.param, Path("runs", request.param))


def load(run: Path, checkpoint: str = "latest") -> Translator | Sampler:
    open_run = load_sampler if run.name in ("dcgan", "infogan") else load_translator
    return open_run(run.name, checkpoint=checkpoint, device="cpu")


def expected(run: Path) -> dict[str, np.ndarray]:
    with np.load(KEPT / "expected" / f"{run.name}.npz") as file:
        return dict(file)


def check_answers(run: Path, step: int) -> None:
    wanted = expected(run)
    for name, answer in answers(run, step).items():
        kept = wanted[f"answer/{step}/{name}"]
        assert (answer.dtype, answer.shape) == (np.uint8, kept.shape)
        assert np.abs(answer.astype(int) - kept).max() <= 1, name
        assert answer.std() > 4, f"{name} is an even gray, as any small network answers"


def test_kept_run_opens(run: Path) -> None:
    config = load_config(run / "config.yaml")
    assert (config.name, config.model.name) == (run.name, run.name.removesuffix("-gray"))
    assert config.train.max_steps == SAVED
    for which in ("latest", str(SAVED), *(["best"] if run.name == "pix2pix" else [])):
        opened = load(run, which)
        assert opened.config.model == config.model
        assert opened.checkpoint == run / "checkpoints" / f"step-{SAVED:06d}"


def test_kept_run_answers(run: Path) -> None:
    check_answers(run, SAVED)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kept losses are of a CPU")
def test_kept_run_resumes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_files()
    assert call(monkeypatch, "train", "--name", run.name, "--resume", "--train.max_steps", str(LAST)) == 0
    assert load_config(run / "config.yaml").train.max_steps == LAST
    assert load(run).checkpoint == run / "checkpoints" / f"step-{LAST:06d}"
    found, wanted = losses(run), expected(run)
    for column in wanted:
        if column.startswith("loss/"):
            far = np.abs(found[column] - wanted[column]) / np.maximum(1, np.abs(wanted[column]))
            assert (far[:SAVED] == 0).all(), f"{column}: rows of before are not as they were"
            assert (far < FAR).all(), f"{column}: {found[column]}, and was {wanted[column]}"
    check_answers(run, LAST)
