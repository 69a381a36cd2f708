"""Scores while training: what they are, that they change nothing, and which checkpoint they keep."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models

from img2img import load_translator
from img2img.checkpoint import find_checkpoint, list_checkpoints, load_state
from img2img.config import Config, TrainConfig
from img2img.evaluation.base import FeatureNetworks
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.report import pixel_scores
from img2img.training.best import Best
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import measure
from tests.helpers import Colours


def measured(run: Path, names: tuple[str, ...] = ("l1", "psnr", "ssim")) -> dict[int, dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[f"val/{names[0]}"]]
    return {int(row["step"]): {key: float(row[f"val/{key}"]) for key in names} for row in rows}


@pytest.mark.parametrize(("best_is", "choose"), [(None, min), ("higher", max)])
def test_scores_and_the_best_checkpoint(
    tiny: Callable[..., Config], best_is: Any, choose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"max_steps": 7, "evaluate_every": 2, "keep_checkpoints": 1, "best_by": "l1", "best_is": best_is}
    run = train(tiny(train=options, optim={"lr": 0.02}))
    found = measured(run)
    assert list(found) == [2, 4, 6, 7]
    best = choose(found, key=lambda step: found[step]["l1"])
    path, _ = find_checkpoint(run, "best")
    assert path.name == f"step-{best:06d}"
    lines = capsys.readouterr().out.splitlines()
    evaluations = [line for line in lines if line.startswith("evaluation")]
    assert [line.split(":")[0] for line in evaluations] == [f"evaluation  step {step}" for step in found]
    marked = [line for line in evaluations if line.endswith("; the best so far")]
    assert f"step {best}:" in marked[-1]
    assert lines[-2] == f"done        {run}/checkpoints/step-000007; python tools/infer.py tiny"
    assert lines[-1].startswith(f"best        step {best}: l1 ")
    assert lines[-1].endswith("--checkpoint best takes it") == (best != 7)
    assert {p.name for p in list_checkpoints(run)} == {path.name, "step-000007"}  # neither of which was pruned
    assert load_state(find_checkpoint(run, "latest")[0])["best"]["values"]["val/l1"] == found[best]["l1"]
    assert found[best] == pytest.approx(
        pixel_scores(load_translator(run, checkpoint="best"))["output"].scores, rel=1e-3
    )


def test_measuring_changes_nothing(tiny: Callable[..., Config]) -> None:
    runs = [train(tiny(f"every{every}", train={"evaluate_every": every, "max_steps": 3})) for every in (0, 1)]
    a, b = (load_state(find_checkpoint(run, "3")[0]) for run in runs)
    assert b["best"]["step"] in (1, 2, 3)
    assert a["position"] == b["position"]
    weights = [load_translator(run).model.generator.state_dict() for run in runs]  # type: ignore[attr-defined]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_resuming_knows_the_best(tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    def resumed(**more: Any) -> Trainer:
        trainer = Trainer(tiny(train={"max_steps": 9, "keep_checkpoints": 1, **more}), Path("runs/tiny"))
        trainer.restore()
        return trainer

    train(tiny(train={"evaluate_every": 1, "max_steps": 3, "keep_checkpoints": 1}))
    best = resumed(evaluate_every=1).best
    before = best.state
    values = before["values"]
    assert not best.beaten(9, values, "psnr", "higher")  # as good is not better
    assert best.state == before
    assert not best.beaten(9, {**values, "val/psnr": 0}, "psnr", "higher")
    assert not best.beaten(9, {**values, "val/psnr": 0}, "l1", "lower")  # another score: the old one's value is known
    assert best.beaten(9, {**values, "val/psnr": 1e9}, "psnr", "higher")
    assert best.step == 9

    resumed(evaluate_every=0).save()  # a while without measurements forgets nothing
    assert resumed(evaluate_every=1).best.state == before
    capsys.readouterr()
    assert resumed(evaluate_every=1, best_by="ssim", metrics="ssim").best.state == before
    assert "best   " not in capsys.readouterr().out
    kept = Path("runs/tiny/checkpoints") / f"step-{before['step']:06d}"
    other = Best()
    note = other.restore(before, kept.parent, "fid")
    assert note == f"best        step {before['step']}, which has no fid: the next measurement takes its place"
    assert other.beaten(9, {"val/fid": 7.0}, "fid", "lower")
    kept.rename("elsewhere")
    assert Best().restore(before, kept.parent, "psnr") == ""
    assert Best().step is None  # what is not there can't be kept


def test_distances_of_sets(
    tiny_cyclegan: Callable[..., Config],
    tiny_noise: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without true partners: FID as evaluate.py finds it, of all images, and the best checkpoint by it."""
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    options = {"evaluate_every": 1, "evaluate_pictures": 0, "max_steps": 3, "metrics": "fid,kid", "keep_checkpoints": 0}
    for config in (tiny_cyclegan("unpaired", train=options), tiny_noise("noise", train=options)):
        run = train(config)
        found = measured(run, ("fid", "kid"))
        best = min(found, key=lambda step: found[step]["fid"])
        assert find_checkpoint(run, "best")[0].name == f"step-{best:06d}"
        made = open_image_sets(str(run), options=RunOptions(checkpoint="3"))[0]
        scores = measure(made, "fid,kid", FeatureNetworks(Colours())).scores
        assert found[3] == pytest.approx(scores, rel=1e-6)


def test_lpips_needs_its_weights(tiny: Callable[..., Config]) -> None:
    options = {"evaluate_every": 1, "metrics": "lpips,l1", "lpips_weights": "none.pth", "evaluate_pictures": 2}
    big = {"load_size": 32, "crop_size": 32}
    with pytest.raises(ValueError, match=r"weights none\.pth: can't be read \(No such file"):
        Trainer(tiny(train=options, data=big), Path("nowhere"))
    with pytest.raises(ValueError, match=r"lpips: needs images of 31 pixels a side, and 0 is 16x16"):
        Trainer(tiny(train=options), Path("nowhere"))
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), "none.pth")
    run = train(tiny(train={**options, "max_steps": 1}, data=big))
    assert measured(run, ("lpips",))[1]["lpips"] > 0
    assert load_state(find_checkpoint(run, "best")[0])["best"]["step"] == 1


def test_a_image_that_can_not_be_decoded_is_left_out(
    tiny_cyclegan: Callable[..., Config], unpaired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = unpaired_root / "testB" / "1_B.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    config = tiny_cyclegan(train={"evaluate_every": 1, "max_steps": 1, "sample_every": 9}, data={"val_paired": True})
    trainer = Trainer(config, Path("runs/tiny"))
    assert trainer.validation is not None
    assert trainer.validation.image_set.count == 2
    run = train(config)
    assert "train.evaluate_every 1: left out is" in capsys.readouterr().out
    assert 0 < measured(run)[1]["l1"] < 255


def test_partners_of_two_sizes_are_named_before_training(
    tiny_cyclegan: Callable[..., Config], unpaired_root: Path
) -> None:
    for path in (unpaired_root / "trainA").iterdir():
        write(path, drawn_pair(0)[0])
    write(unpaired_root / "testB" / "2_B.png", drawn_pair(3, 24, 24)[1])
    data = {"val_paired": True, "preprocess": "none", "stride": 4, "batch_size": 1}
    message = r"train\.evaluate_every 2: 2_A becomes 20x20, and its target is 24x24; a pair needs one size"
    with pytest.raises(ValueError, match=message):
        Trainer(tiny_cyclegan(train={"evaluate_every": 2}, data=data, model={"pool_size": 0}), Path("nowhere"))


def test_partners_of_a_run_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    options = {"evaluate_every": 2, "max_steps": 2}
    with pytest.raises(ValueError, match=r"train.evaluate_every 2: .* or data.val_paired true"):
        Trainer(tiny_cyclegan(train=options), Path("nowhere"))
    run = train(tiny_cyclegan(train=options, data={"val_paired": True, "direction": "BtoA"}, model={"init_gain": 0.3}))
    assert measured(run)[2] == pytest.approx(pixel_scores(load_translator(run))["output"].scores, rel=1e-3)


def test_label_maps_are_measured(tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    run = train(tiny_hd(train={"evaluate_every": 2, "max_steps": 2}))
    assert 0 < measured(run)[2]["l1"] < 255


def test_what_can_not_be_measured_is_named(tiny: Callable[..., Config], tiny_dcgan: Callable[..., Config]) -> None:
    with pytest.raises(ValueError, match=r"train\.evaluate_every 5: what is drawn from noise has no true image"):
        Trainer(tiny_dcgan(train={"evaluate_every": 5}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"metrics l1,fdi: fdi is none; there are l1,psnr,ssim,lpips,fid,kid,is,pr"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "l1,fdi"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"train\.best_by psnr: train\.metrics gives precision, recall"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "pr", "best_by": "psnr"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"pr: needs 4 images in each set, and there are 3"):
        Trainer(tiny(train={"evaluate_every": 5, "metrics": "pr"}), Path("nowhere"))
    with pytest.raises(ValueError, match=r"train\.evaluate_every -1: must be at least 0"):
        TrainConfig(evaluate_every=-1)
    run = train(tiny(train={"max_steps": 1}))
    with pytest.raises(ValueError, match=r"--checkpoint best: .*train\.evaluate_every"):
        find_checkpoint(run, "best")


def test_no_number_is_never_the_best() -> None:
    best = Best()
    assert [
        best.beaten(step, {"val/fid": value}, "fid", "lower") for step, value in enumerate((math.nan, 5, math.nan, 4))
    ] == [
        False,
        True,
        False,
        True,
    ]
    best.state = {"step": 0, "values": {"val/fid": math.nan}}
    assert best.beaten(1, {"val/fid": 9}, "fid", "lower")


def test_files_that_are_gone_end_no_training(
    tiny_cyclegan: Callable[..., Config], unpaired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_cyclegan(train={"evaluate_every": 1, "max_steps": 2}, data={"val_paired": True})
    trainer = Trainer(config, Path("runs/tiny"))
    for path in (unpaired_root / "testA").iterdir():
        path.unlink()
    assert trainer.validation is not None
    assert trainer.validation.measure() == {}
    assert "evaluation  none: made: none of its images can be decoded" in capsys.readouterr().out
