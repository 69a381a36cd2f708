"""Validation during training: its scores, that it changes nothing, and which checkpoint it keeps."""

import csv
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models

from img2img import load_translator
from img2img.checkpoint import find_checkpoint, list_checkpoints, load_state
from img2img.config import Config
from img2img.evaluation.base import FeatureNetworks
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.report import pixel_scores
from img2img.training.best import Best
from img2img.training.trainer import Trainer, train
from img2img.training_options import TrainConfig
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import measure
from tests.helpers import Colours, rows


def measured(run: Path, names: tuple[str, ...] = ("l1", "psnr", "ssim")) -> dict[int, dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[f"val/{names[0]}"]]
    return {int(row["step"]): {key: float(row[f"val/{key}"]) for key in names} for row in rows}


@pytest.mark.parametrize(("best_is", "choose"), [(None, min), ("higher", max)])
def test_validation_logs_scores_and_keeps_the_best_checkpoint(
    tiny: Callable[..., Config], best_is: Any, choose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"max_steps": 7, "evaluate_every": 2, "keep_checkpoints": 1, "best_by": "l1", "best_is": best_is}
    run = train(tiny(train=options, optim={"lr": 0.02}))
    scores = measured(run)
    assert list(scores) == [2, 4, 6, 7]
    best = choose(scores, key=lambda step: scores[step]["l1"])
    path, _ = find_checkpoint(run, "best")
    assert path.name == f"step-{best:06d}"
    lines = capsys.readouterr().out.splitlines()
    evaluations = [line for line in lines if line.startswith("evaluation")]
    assert [line.split(":")[0] for line in evaluations] == [f"evaluation  step {step}" for step in scores]
    marked = [line for line in evaluations if line.endswith("; the best so far")]
    assert f"step {best}:" in marked[-1]
    assert lines[-2].startswith(f"done        {run}/checkpoints/step-000007; ")
    assert lines[-1].startswith(f"best        step {best}: l1 ")
    assert ("--checkpoint best" in lines[-1]) == (best != 7)
    assert {p.name for p in list_checkpoints(run)} == {path.name, "step-000007"}  # neither was pruned
    assert load_state(find_checkpoint(run, "latest")[0])["best"]["values"]["val/l1"] == scores[best]["l1"]
    assert scores[best] == pytest.approx(
        pixel_scores(load_translator(run, checkpoint="best"))["output"].scores, rel=1e-3
    )


def test_validation_changes_no_weights(tiny: Callable[..., Config]) -> None:
    runs = [train(tiny(f"every{every}", train={"evaluate_every": every, "max_steps": 3})) for every in (0, 1)]
    a, b = (load_state(find_checkpoint(run, "3")[0]) for run in runs)
    assert b["best"]["step"] in (1, 2, 3)
    assert a["position"] == b["position"]
    weights = [load_translator(run).model.generator.state_dict() for run in runs]  # type: ignore[attr-defined]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_resume_keeps_the_best_step(tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    def resumed(**options: Any) -> Trainer:
        trainer = Trainer(tiny(train={"max_steps": 9, "keep_checkpoints": 1, **options}), Path("runs/tiny"))
        trainer.restore()
        return trainer

    train(tiny(train={"evaluate_every": 1, "max_steps": 3, "keep_checkpoints": 1}))
    best = resumed(evaluate_every=1).best
    before = best.state
    values = before["values"]
    assert not best.beaten(9, values, "psnr", "higher")  # equal is not better
    assert best.state == before
    assert not best.beaten(9, {**values, "val/psnr": 0}, "psnr", "higher")
    assert not best.beaten(9, {**values, "val/psnr": 0}, "l1", "lower")  # its best value is known, too
    assert best.beaten(9, {**values, "val/psnr": 1e9}, "psnr", "higher")
    assert best.step == 9

    resumed(evaluate_every=0).save()  # resumed once without validation
    assert resumed(evaluate_every=1).best.state == before
    capsys.readouterr()
    assert resumed(evaluate_every=1, best_by="ssim", metrics="ssim").best.state == before
    assert "best   " not in capsys.readouterr().out
    kept = Path("runs/tiny/checkpoints") / f"step-{before['step']:06d}"
    other = Best()
    note = other.restore(before, kept.parent, "fid")
    assert note.startswith(f"best        step {before['step']}, ")
    assert "fid" in note
    assert other.beaten(9, {"val/fid": 7.0}, "fid", "lower")
    kept.rename("elsewhere")
    assert Best().restore(before, kept.parent, "psnr") == ""
    assert Best().step is None  # its checkpoint is gone


def test_validation_without_targets_uses_distances_of_sets(
    tiny_cyclegan: Callable[..., Config],
    tiny_noise: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FID and KID are the same as by evaluate.py, over all images; the best checkpoint is that of the lowest FID."""
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    options = {"evaluate_every": 1, "evaluate_pictures": 0, "max_steps": 3, "metrics": "fid,kid", "keep_checkpoints": 0}
    for config in (tiny_cyclegan("unpaired", train=options), tiny_noise("noise", train=options)):
        run = train(config)
        scores = measured(run, ("fid", "kid"))
        best = min(scores, key=lambda step: scores[step]["fid"])
        assert find_checkpoint(run, "best")[0].name == f"step-{best:06d}"
        made = open_image_sets(str(run), options=RunOptions(checkpoint="3"))[0]
        evaluated = measure(made, "fid,kid", FeatureNetworks(Colours())).scores
        assert scores[3] == pytest.approx(evaluated, rel=1e-6)


def test_validation_by_lpips_needs_its_weights_and_large_images(tiny: Callable[..., Config]) -> None:
    options = {"evaluate_every": 1, "metrics": "lpips,l1", "lpips_weights": "none.pth", "evaluate_pictures": 2}
    big = {"load_size": 32, "crop_size": 32}
    with pytest.raises(ValueError, match=r"none\.pth"):
        Trainer(tiny(train=options, data=big), Path("nowhere"))
    with pytest.raises(ValueError, match=r"lpips: .*\b31\b.*16x16"):
        Trainer(tiny(train=options), Path("nowhere"))
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), "none.pth")
    run = train(tiny(train={**options, "max_steps": 1}, data=big))
    assert measured(run, ("lpips",))[1]["lpips"] > 0
    assert load_state(find_checkpoint(run, "best")[0])["best"]["step"] == 1


def test_validation_leaves_out_images_that_can_not_be_decoded(
    tiny_cyclegan: Callable[..., Config], unpaired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = unpaired_root / "testB" / "1_B.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    config = tiny_cyclegan(train={"evaluate_every": 1, "max_steps": 1, "sample_every": 9}, data={"val_paired": True})
    trainer = Trainer(config, Path("runs/tiny"))
    assert trainer.validation is not None
    assert trainer.validation.image_sets["AtoB"].count == 2
    run = train(config)
    assert re.search(r"train\.evaluate_every 1: .*1_B\.png", capsys.readouterr().out)
    assert 0 < measured(run)[1]["l1"] < 255


def test_validation_refuses_targets_of_another_size(tiny_cyclegan: Callable[..., Config], unpaired_root: Path) -> None:
    for path in (unpaired_root / "trainA").iterdir():
        write(path, drawn_pair(0)[0])
    write(unpaired_root / "testB" / "2_B.png", drawn_pair(3, 24, 24)[1])
    data = {"val_paired": True, "preprocess": "none", "stride": 4, "batch_size": 1}
    with pytest.raises(ValueError, match=r"train\.evaluate_every 2: 2_A .*20x20.*24x24"):
        Trainer(tiny_cyclegan(train={"evaluate_every": 2}, data=data, model={"pool_size": 0}), Path("nowhere"))


def test_validation_of_cyclegan_compares_partners_in_its_direction(tiny_cyclegan: Callable[..., Config]) -> None:
    options = {"evaluate_every": 2, "max_steps": 2}
    with pytest.raises(ValueError, match=r"train\.evaluate_every 2: .*data\.val_paired true"):
        Trainer(tiny_cyclegan(train=options), Path("nowhere"))
    run = train(tiny_cyclegan(train=options, data={"val_paired": True, "direction": "BtoA"}, model={"init_gain": 0.3}))
    assert measured(run)[2] == pytest.approx(pixel_scores(load_translator(run))["output"].scores, rel=1e-3)
    columns = {name for name in rows(run)[0] if name.startswith("val/")}
    assert columns == {"val/l1", "val/psnr", "val/ssim"}  # of data.direction alone


def test_validation_scores_images_from_label_maps(
    tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    run = train(tiny_hd(train={"evaluate_every": 2, "max_steps": 2}))
    assert 0 < measured(run)[2]["l1"] < 255


def test_validation_refuses_what_can_not_be_measured(
    tiny: Callable[..., Config], tiny_dcgan: Callable[..., Config]
) -> None:
    with pytest.raises(ValueError, match=r"train\.evaluate_every 5: .*train\.metrics fid"):
        Trainer(tiny_dcgan(train={"evaluate_every": 5}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"metrics l1,fdi: fdi .*l1,psnr,ssim"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "l1,fdi"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"train\.best_by psnr: .*train\.metrics.* precision, recall"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "pr", "best_by": "psnr"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"pr: .*\b4\b.*\b3\b"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "pr"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"train\.evaluate_every -1: .*\b0\b"):
        TrainConfig(evaluate_every=-1)
    run = train(tiny(train={"max_steps": 1}))
    with pytest.raises(ValueError, match=r"--checkpoint best: .*train\.evaluate_every"):
        find_checkpoint(run, "best")


def test_best_ignores_nan() -> None:
    best = Best()
    values = (math.nan, 5, math.nan, 4)
    beaten = [best.beaten(step, {"val/fid": value}, "fid", "lower") for step, value in enumerate(values)]
    assert beaten == [False, True, False, True]
    best.state = {"step": 0, "values": {"val/fid": math.nan}}
    assert best.beaten(1, {"val/fid": 9}, "fid", "lower")


def test_validation_returns_no_scores_if_its_files_were_removed(
    tiny_cyclegan: Callable[..., Config], unpaired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_cyclegan(train={"evaluate_every": 1, "max_steps": 2}, data={"val_paired": True})
    trainer = Trainer(config, Path("runs/tiny"))
    for path in (unpaired_root / "testA").iterdir():
        path.unlink()
    assert trainer.validation is not None
    assert trainer.validation.measure() == {}
    assert capsys.readouterr().out.startswith("evaluation  none: ")
