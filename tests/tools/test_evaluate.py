"""tools/evaluate.py with --metrics: reports of runs and folders, errors."""

import json
import re
from pathlib import Path

import pytest
import torch

from tests.conftest import drawn_pair, write
from tests.helpers import TINY, Colours, call, use_small_classifier


def test_evaluate_writes_reports_of_a_run_and_of_a_folder(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    data = ("--model", "pix2pix", "--data.root", str(paired_root))
    assert call(monkeypatch, "train", *data, *TINY, "--name", "mine") == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "mine", "--metrics", "l1,psnr,ssim,fid,kid") == 0
    printed = capsys.readouterr().out
    assert "| FID | " in printed
    folder = Path("runs/mine/evaluation/step-000004/AtoB")
    assert f"report      {folder}" in printed
    names = {"summary.json", "table.md", "pictures.csv", "best_and_worst.png"}
    assert {path.name for path in folder.iterdir()} == names
    scores = json.loads((folder / "summary.json").read_text())["scores"]
    assert call(monkeypatch, "infer", "mine") == 0
    assert call(monkeypatch, "evaluate", "mine", "--metrics", "fid", "--reference", str(paired_root / "val")) == 0
    results = "runs/mine/results/step-000004"
    assert call(monkeypatch, "evaluate", results, "--metrics", "fid", "--reference", results, "--output", "o") == 0
    assert json.loads(Path("o/summary.json").read_text())["scores"]["fid"] == pytest.approx(0, abs=1e-12)
    assert scores["fid"] > 1e-4


def test_evaluate_writes_a_report_per_direction(unpaired_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    tiny = "--model.n_blocks 1 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1".split() + TINY[8:]
    data = ("--model", "cyclegan", "--data.root", str(unpaired_root))
    assert call(monkeypatch, "train", *data, *tiny, "--name", "two") == 0
    assert call(monkeypatch, "evaluate", "two", "--metrics", "fid", "--output", "o") == 0
    assert sorted(path.parent.name for path in Path("o").glob("*/summary.json")) == ["AtoB", "BtoA"]
    summary = json.loads(Path("o/summary.json").read_text())
    each = {path.parent.name: json.loads(path.read_text())["scores"] for path in Path("o").glob("*/summary.json")}
    assert summary == {
        "directions": each,
        "mean": {"fid": pytest.approx((each["AtoB"]["fid"] + each["BtoA"]["fid"]) / 2)},
    }
    assert len(Path("o/table.md").read_text().splitlines()) == 5  # two of the header, two directions, the mean


def test_evaluate_ends_mistakes_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        write(Path("images") / f"{i}.png", drawn_pair(i)[0])
    torch.save({"a": torch.zeros(1)}, "a.pth")
    for argv, message in {
        ("images",): "images .*--metrics",
        ("images", "--metrics", "fdi"): "fdi .*l1,psnr",
        ("images", "--metrics", "l1", "--checkpoint", "4"): "--checkpoint: .*images",
        ("nothing", "--reference", "images"): "--reference: .*--metrics",
        ("nothing", "--metrics", "fid"): "nothing: ",
        ("images", "--metrics", "l1"): r"l1: .*0\.png, 1\.png, 2\.png",
        ("images", "--metrics", "l1", "--reference", "other"): "other: ",
        ("images", "--metrics", "is", "--weights", "a.pth"): "is: .*10 images",
        (
            "images",
            "--metrics",
            "fid",
            "--reference",
            "images",
            "--weights",
            "a.pth",
        ): r"error: --weights a\.pth: .*inception",
        (
            "images",
            "--metrics",
            "l1",
            "--reference",
            "images",
            "--weights",
            "a.pth",
        ): r"error: --weights a\.pth: .*l1",
        (
            "images",
            "--metrics",
            "lpips",
            "--reference",
            "images",
            "--lpips-weights",
            "a.pth",
        ): r"error: --lpips-weights a\.pth: .*alexnet",
        (
            "images",
            "--metrics",
            "fcn",
        ): "--metrics fcn: .*--labels",
        ("images", "--metrics", "l1", "--palette", "cityscapes"): "--palette: .*--metrics fcn",
        ("images", "--metrics", "fcn", "--segmenter-steps", "3"): "--segmenter-steps: .*--train-segmenter",
    }.items():
        assert call(monkeypatch, "evaluate", *argv) == 2
        error = capsys.readouterr().err
        assert re.search(message, error)
        assert [line for line in error.splitlines() if line.startswith("error: ")] == [error.splitlines()[-1]]


def test_evaluate_refuses_options_of_other_runs(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = "--data.toy true --data.channels_b 1 --data.load_size 32 --data.crop_size 32".split()
    small = "--model.ngf 2 --model.ndf 2 --data.num_workers 0 --data.batch_size 4 --train.max_steps 1".split()
    assert call(monkeypatch, "train", "--model", "dcgan", *toy, *small, "--name", "digits") == 0
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    assert call(monkeypatch, "evaluate", "digits", "--metrics", "fid,is,pr", "--count", "24", "--seed", "2") == 0
    summary = json.loads(Path("runs/digits/evaluation/step-000001/summary.json").read_text())
    assert (summary["count"], summary["reference_count"]) == (24, 224)
    assert set(summary["scores"]) == {"fid", "is", "precision", "recall"}
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "digits", "--metrics", "psnr") == 2
    assert re.search("psnr.*digits|digits.*target", capsys.readouterr().err)
    assert call(monkeypatch, "evaluate", "digits", "--metrics", "fid", "--paired") == 2
    assert re.search("--paired: .*digits", capsys.readouterr().err)
    assert call(monkeypatch, "train", "--model", "pix2pix", "--data.root", str(paired_root), *TINY, "--name", "p") == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "p", "--metrics", "fid", "--count", "3") == 2
    assert re.search("--count: .* p ", capsys.readouterr().err)


def test_evaluate_fcn_trains_and_reads_a_segmenter(
    labelled_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"--data.root {labelled_root} --data.label_nc 5 --data.preprocess scale_width --data.load_size 40".split()
    small = (
        "--data.stride 4 --model.n_downs 1 --model.n_blocks 1 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1".split()
    )
    rest = "--model.lambda_vgg 0 --train.max_steps 1 --data.num_workers 0 --name scenes".split()
    assert call(monkeypatch, "train", "--model", "pix2pixhd", *data, *small, *rest) == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "scenes", "--metrics", "fcn") == 2
    error = capsys.readouterr().err
    assert "--train-segmenter" in error
    assert "--segmenter " in error
    train = ("--train-segmenter", "--segmenter-steps", "2", "--classes", "0,1,3")
    assert call(monkeypatch, "evaluate", "scenes", "--metrics", "fcn,l1", *train) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\| runs/scenes/segmenter\.safetensors, 3 classes \|", printed)
    assert "| mean IoU of the real " in printed
    folder = Path("runs/scenes/evaluation/step-000001/AtoB")
    assert (folder / "classes.csv").read_text().startswith("id,name,pixels,accuracy,iou\n0,,")
    scores = json.loads((folder / "summary.json").read_text())["scores"]
    results = "runs/scenes/results/step-000001"
    assert call(monkeypatch, "infer", "scenes", "--input", str(labelled_root / "val_label"), "--instances",
                str(labelled_root / "val_inst"), "--output", results) == 0  # fmt: skip
    beside = ("--labels", str(labelled_root / "val_label"), "--segmenter", "runs/scenes/segmenter.safetensors")
    assert call(monkeypatch, "evaluate", results, "--metrics", "fcn", *beside, "--output", "o") == 0
    again = json.loads(Path("o/summary.json").read_text())["scores"]
    assert again == pytest.approx({key: scores[key] for key in ("pixel_accuracy", "class_accuracy", "mean_iou")})


def test_evaluate_domain_trains_and_reads_a_classifier(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report for each domain, and their mean; images that fail are those of the value 1."""
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    use_small_classifier(monkeypatch)
    small = (
        "--model.ngf 4 --model.ndf 4 --model.n_blocks 1 --model.n_layers_d 2 --data.load_size 16 --data.crop_size 16"
    )
    rest = "--data.num_workers 0 --data.batch_size 2 --train.max_steps 1 --train.classifier_steps 4".split()
    toy = ("--model", "stargan", "--data.toy", "true", *small.split(), *rest)
    assert call(monkeypatch, "train", *toy, "--name", "shoes") == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "shoes", "--metrics", "domain") == 2
    error = capsys.readouterr().err
    assert "--train-classifier" in error
    assert "--classifier " in error
    assert call(monkeypatch, "evaluate", "shoes", "--metrics", "domain,fid", "--train-classifier") == 0
    folder = Path("runs/shoes/evaluation/step-000001")
    scores = json.loads((folder / "summary.json").read_text())
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "shoes") == 2
    assert re.search("^error: run shoes: .*--metrics fid", capsys.readouterr().err)
    assert set(scores["directions"]) == {"blue", "brown", "green", "pink", "yellow"}
    assert set(scores["mean"]) == {"domain_error", "domain_error_real", "fid"}
    summary = json.loads((folder / "blue" / "summary.json").read_text())
    assert summary["classifier"]["steps"] == 4
    lines = (folder / "blue" / "pictures.csv").read_text().splitlines()
    assert lines[0] == "name,domain_error"
    wrong = [float(line.split(",")[1]) for line in lines[1:]]
    assert summary["scores"]["domain_error"] == pytest.approx(100 * sum(wrong) / len(wrong))
    assert (folder / "blue" / "best_and_worst.png").is_file()
    again = ("--classifier", "runs/shoes/classifier.safetensors", "--output", "o")
    assert call(monkeypatch, "evaluate", "shoes", "--metrics", "domain,fid", *again) == 0
    assert json.loads(Path("o/summary.json").read_text()) == scores
    capsys.readouterr()
    assert call(monkeypatch, "train", "--model", "pix2pix", "--data.root", str(paired_root), *TINY, "--name", "p") == 0
    for name in ("p", str(paired_root / "val")):
        assert call(monkeypatch, "evaluate", name, "--metrics", "domain", "--train-classifier") == 2
        assert re.search("^error: domain: .*domains", capsys.readouterr().err)
    assert not Path("runs/p/classifier.safetensors").exists()
