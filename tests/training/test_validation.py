"""Scores while training: what they are, that they change nothing, and which checkpoint they keep."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from img2img import load_translator
from img2img.checkpoint import find_checkpoint, list_checkpoints, load_state
from img2img.config import Config, TrainConfig
from img2img.evaluation.pixels import pixel_scores
from img2img.training.trainer import Trainer, train


def measured(run: Path) -> dict[int, dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/l1"]]
    return {int(row["step"]): {key: float(row[f"val/{key}"]) for key in ("l1", "psnr", "ssim")} for row in rows}


@pytest.mark.parametrize(("best_is", "choose"), [(None, min), ("higher", max)])
def test_scores_and_the_best_checkpoint(tiny: Callable[..., Config], best_is: Any, choose: Any) -> None:
    options = {"max_steps": 7, "evaluate_every": 2, "keep_checkpoints": 1, "best_by": "l1", "best_is": best_is}
    run = train(tiny(train=options, optim={"lr": 0.02}))
    found = measured(run)
    assert list(found) == [2, 4, 6, 7]
    best = choose(found, key=lambda step: found[step]["l1"])
    path, _ = find_checkpoint(run, "best")
    assert path.name == f"step-{best:06d}"
    assert {p.name for p in list_checkpoints(run)} == {path.name, "step-000007"}  # neither of which was pruned
    assert load_state(find_checkpoint(run, "latest")[0])["best"]["value"] == found[best]["l1"]
    scores = pixel_scores(load_translator(run, "best"))["output"]
    assert found[best] == pytest.approx(vars(scores), rel=1e-3)


def test_measuring_changes_nothing(tiny: Callable[..., Config]) -> None:
    runs = [train(tiny(f"every{every}", train={"evaluate_every": every, "max_steps": 3})) for every in (0, 1)]
    a, b = (load_state(find_checkpoint(run, "3")[0]) for run in runs)
    assert b["best"]["step"] in (1, 2, 3)
    assert a["position"] == b["position"]
    weights = [load_translator(run).model.generator.state_dict() for run in runs]  # type: ignore[attr-defined]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_resuming_knows_the_best(tiny: Callable[..., Config]) -> None:
    def config(steps: int, **more: Any) -> Config:
        return tiny(train={"evaluate_every": 1, "max_steps": steps, "keep_checkpoints": 1, **more})

    train(config(3))
    trainer = Trainer(config(6), Path("runs/tiny"))
    trainer.restore()
    assert trainer.validation is not None
    before = trainer.validation.best
    values = {f"val/{key}": 1e9 for key in ("l1", "psnr", "ssim")}
    assert before["metric"] == "psnr"
    assert not trainer.validation.is_best(9, {**values, "val/psnr": before["value"]})
    assert trainer.validation.best == before
    assert trainer.validation.is_best(9, values)
    (Path("runs/tiny/checkpoints") / f"step-{before['step']:06d}").rename("elsewhere")
    trainer.validation.restore(before, Path("runs/tiny/checkpoints"))
    assert trainer.validation.best == {}  # what is not there can't be kept
    Path("elsewhere").rename(Path("runs/tiny/checkpoints") / f"step-{before['step']:06d}")
    other = Trainer(config(6, best_by="l1"), Path("runs/tiny"))
    other.restore()
    assert other.validation is not None
    assert other.validation.is_best(4, values)  # the best by another score is no rival


def test_partners_of_a_run_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    options = {"evaluate_every": 2, "max_steps": 2}
    with pytest.raises(ValueError, match=r"train.evaluate_every 2: .* or data.val_paired true"):
        Trainer(tiny_cyclegan(train=options), Path("nowhere"))
    run = train(tiny_cyclegan(train=options, data={"val_paired": True, "direction": "BtoA"}, model={"init_gain": 0.3}))
    scores = pixel_scores(load_translator(run))["output"]
    assert measured(run)[2] == pytest.approx(vars(scores), rel=1e-3)


def test_label_maps_are_measured(tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.data.scenes.LENGTHS", {"train": 4, "val": 2, "test": 2})
    run = train(tiny_hd(train={"evaluate_every": 2, "max_steps": 2}))
    assert 0 < measured(run)[2]["l1"] < 255


def test_what_can_not_be_measured_is_named(tiny: Callable[..., Config], tiny_dcgan: Callable[..., Config]) -> None:
    with pytest.raises(ValueError, match=r"train\.evaluate_every 5: what is drawn from noise has no true picture"):
        Trainer(tiny_dcgan(train={"evaluate_every": 5}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"train\.evaluate_every -1: must be at least 0"):
        TrainConfig(evaluate_every=-1)
    run = train(tiny(train={"max_steps": 1}))
    with pytest.raises(ValueError, match=r"--checkpoint best: .* measured none"):
        find_checkpoint(run, "best")
