"""Runs of an earlier version (``tests/kept_runs``) can still be loaded and resumed, with the same outputs and losses.

The tests use only what users have: the tools and the loading functions, not the files of checkpoints.
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
TOLERANCE = 2e-4  # relative to max(1, |loss|): other CPUs round differently


@pytest.fixture(params=list(OPTIONS))
def run(request: pytest.FixtureRequest) -> Path:
    """A kept run, copied to runs/."""
    return shutil.copytree(KEPT / request.param, Path("runs", request.param))


def load(run: Path, checkpoint: str = "latest") -> Translator | Sampler:
    open_run = load_sampler if run.name in ("dcgan", "infogan") else load_translator
    return open_run(run.name, checkpoint=checkpoint, device="cpu")


def expected(run: Path) -> dict[str, np.ndarray]:
    with np.load(KEPT / "expected" / f"{run.name}.npz") as file:
        return dict(file)


def check_outputs(run: Path, step: int) -> None:
    kept = expected(run)
    for name, output in answers(run, step).items():
        image = kept[f"answer/{step}/{name}"]
        assert (output.dtype, output.shape) == (np.uint8, image.shape)
        assert np.abs(output.astype(int) - image).max() <= 1, name
        assert output.std() > 4, f"{name} is an even gray, as an untrained network's outputs"


def test_kept_run_opens(run: Path) -> None:
    config = load_config(run / "config.yaml")
    assert (config.name, config.model.name) == (run.name, run.name.removesuffix("-gray"))
    assert config.train.max_steps == SAVED
    for which in ("latest", str(SAVED), *(["best"] if run.name == "pix2pix" else [])):
        opened = load(run, which)
        assert opened.config.model == config.model
        assert opened.checkpoint == run / "checkpoints" / f"step-{SAVED:06d}"


def test_kept_run_gives_the_same_outputs(run: Path) -> None:
    check_outputs(run, SAVED)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kept losses are of a CPU")
def test_kept_run_resumes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_files()
    assert call(monkeypatch, "train", "--name", run.name, "--resume", "--train.max_steps", str(LAST)) == 0
    assert load_config(run / "config.yaml").train.max_steps == LAST
    assert load(run).checkpoint == run / "checkpoints" / f"step-{LAST:06d}"
    resumed, kept = losses(run), expected(run)
    for column in kept:
        if column.startswith("loss/"):
            error = np.abs(resumed[column] - kept[column]) / np.maximum(1, np.abs(kept[column]))
            assert (error[:SAVED] == 0).all(), f"{column}: rows before resuming have changed"
            assert (error < TOLERANCE).all(), f"{column}: {resumed[column]}, was {kept[column]}"
    check_outputs(run, LAST)
