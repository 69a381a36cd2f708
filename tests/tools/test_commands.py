"""The tools as from the command line: what they print and write, and their exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from img2img.runs import hold_run
from tests.conftest import drawn_scene, write
from tests.helpers import ROOT, TINY, call


def test_train_infer_and_evaluate_pix2pix(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--model", "pix2pix", "--data.root", str(paired_root))
    assert call(monkeypatch, "train", *data, *TINY, "--name", "mine", "--data.direction", "BtoA") == 0
    assert call(monkeypatch, "infer", "mine") == 0
    assert "runs/mine/results/step-000004" in capsys.readouterr().out
    assert len(list(Path("runs/mine/results/step-000004").glob("*.png"))) == 3
    assert call(monkeypatch, "infer", "runs/mine", "--input", str(paired_root / "val" / "0.png"), "--output", "o") == 0
    assert {p.name for p in Path("o").iterdir()} == {"0.png", "grids"}
    capsys.readouterr()
    for argv in (
        ["--input", str(paired_root / "val"), "--output", str(paired_root / "val")],
        ["--device", "gpu"],
        ["--device", "meta"],
        ["--seed", "-1"],
        ["--checkpoint", "²"],
    ):
        assert call(monkeypatch, "infer", "mine", *argv) == 2
        error = capsys.readouterr().err
        assert argv[-2] in error
        assert error.count("\n") == 1
    assert call(monkeypatch, "evaluate", "mine") == 0
    assert "| output |" in capsys.readouterr().out
    assert call(monkeypatch, "train", "--name", "mine", "--resume", "--train.max_steps", "6") == 0
    assert Path("runs/mine/checkpoints/latest").read_text() == "step-000006\n"


def test_infer_and_evaluate_both_directions_of_cyclegan(
    unpaired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = "--model.n_blocks 1 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1".split() + TINY[8:]
    data = ("--model", "cyclegan", "--data.root", str(unpaired_root), "--data.direction", "BtoA")
    assert call(monkeypatch, "train", *data, *tiny, "--name", "two") == 0
    assert "4 + 7 training, 3 + 3 validation images" in capsys.readouterr().out
    assert call(monkeypatch, "infer", "two") == 0  # the run's own direction
    assert call(monkeypatch, "infer", "two", "--direction", "AtoB", "--cycle") == 0
    results = Path("runs/two/results/step-000004")
    assert {p.name for p in (results / "BtoA").glob("*.png")} == {f"{i}_B.png" for i in range(3)}
    assert {p.name for p in (results / "AtoB").glob("*.png")} == {f"{i}_A.png" for i in range(3)}
    assert call(monkeypatch, "evaluate", "two") == 0
    assert "| cycle |" in capsys.readouterr().out
    assert call(monkeypatch, "evaluate", "two", "--paired") == 0
    printed = capsys.readouterr().out
    assert printed.index("| BtoA |") < printed.index("| output |") < printed.index("| AtoB |")
    scores = json.loads(Path("runs/two/evaluation/step-000004/pixels.json").read_text())
    assert set(scores["AtoB"]) == set(scores["BtoA"]) == {"output", "input", "mean training image", "cycle"}


def test_infer_refuses_directions_that_the_run_did_not_learn(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--model", "pix2pix", "--data.root", str(paired_root))
    assert call(monkeypatch, "train", *data, *TINY, "--name", "one") == 0
    assert call(monkeypatch, "infer", "one", "--direction", "AtoB") == 0
    capsys.readouterr()
    assert call(monkeypatch, "encode_features", "one") == 2
    error = capsys.readouterr().err
    assert "run one" in error
    assert "--model.instance_features" in error
    for argv, message in {
        ("--direction", "BtoA"): r"--direction BtoA: run one .*AtoB.*--data\.direction BtoA",
        ("--cycle",): "--cycle: run one .*AtoB",
        ("--direction", "BtoC"): r"--direction BtoC: run one (?!.*data\.direction).*AtoB",
    }.items():
        assert call(monkeypatch, "infer", "one", *argv) == 2
        error = capsys.readouterr().err
        assert re.search(message, error)
        assert error.count("\n") == 1


def test_train_encode_features_and_infer_styles_of_pix2pixhd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pix2pixHD on the toy streets: train, cluster the styles, translate label maps in them."""
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 80, "val": 4, "test": 4})
    small = "--model.ngf 4 --model.n_downs 1 --model.n_blocks 1 --model.ndf 4 --model.n_layers_d 1 --model.nef 4"
    data = "--data.toy true --data.label_nc 9 --data.preprocess scale_width --data.load_size 64 --data.stride 16"
    steps = "--data.num_workers 0 --train.max_steps 3 --train.log_every 3 --model.init_gain 0.3"
    flat = "--model.lambda_vgg 0 --model.n_scales 1 --model.instance_features true"
    argv = f"--model pix2pixhd --name toy {small} {data} {steps} {flat}".split()
    assert call(monkeypatch, "train", *argv) == 0
    capsys.readouterr()
    assert call(monkeypatch, "infer", "toy", "--style", "random") == 2
    assert "tools/encode_features.py runs/toy" in capsys.readouterr().err
    assert call(monkeypatch, "encode_features", "toy", "--clusters", "4") == 0
    printed = capsys.readouterr().out
    assert "runs/toy/styles/step-000003.npz" in printed
    assert re.search("9 classes, 80 images", printed)
    assert re.search("--min-share .*: class ", printed)
    assert call(monkeypatch, "infer", "toy", "--style", "random;cluster:road=1", "--samples", "2", "--output", "o") == 0
    assert len(list(Path("o").glob("*.png"))) == 2 * 4
    label, instances = drawn_scene(0)[:2]
    one = ["--input", str(write(Path("label.png"), label)), "--instances", str(write(Path("inst.png"), instances))]
    styled = ["toy", *one, "--samples", "5", "--seed", "3", "--style", "random"]
    assert call(monkeypatch, "infer", *styled, "--output", "five") == 0
    assert call(monkeypatch, "infer", *styled[:-4], "--seed", "5", *styled[-2:], "--output", "again") == 0
    five = [Path(f"five/label_{i}.png").read_bytes() for i in range(1, 6)]
    assert len(set(five)) > 1
    assert Path("again/label_1.png").read_bytes() == five[2]  # the seeds are 3 to 7
    for style in ("random", "cluster:road=1"):  # each has its own folder
        assert call(monkeypatch, "infer", "toy", *one, "--style", style, "--relabel", "1:tree") == 0
        place = f"runs/toy/results/step-000003/{style.replace(':', '-')}_relabel-1-tree"
        assert place in capsys.readouterr().out
        assert Path(place, "label.png").is_file()
    assert call(monkeypatch, "infer", *styled, "--relabel", "1:tree", "--output", "e") == 0
    assert Path("e/label_1.png").read_bytes() != five[0]
    capsys.readouterr()
    for argv, message in {
        ("--style", "cluster:raod=1"): "--style cluster:raod=1: .*raod.*road",
        ("--style", "cluster:car=4"): "--style cluster:car=4: class car .*0 to 3",
        ("--style", "instance:77=0"): "--style instance:77=0: .*77.*0, 1",
        ("--style", "cars"): "--style cars: .*cluster:CLASS=N",
        ("--relabel", "car:9"): "--relabel car:9: .*0 to 8: 0 void, 1 road",
        ("--samples", "2"): "run toy .*dropout.*--style random",
        (): "run toy .*--style random",
    }.items():
        assert call(monkeypatch, "infer", "toy", *one, *argv) == 2
        error = capsys.readouterr().err
        assert re.search(message, error)
        assert error.count("\n") == 1


def test_train_print_config_prints_a_config_that_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        call(monkeypatch, "train", "--model", "pix2pix", "--data.root", "x", "--print_config", "--optim.lr", "3e-4")
        == 0
    )
    Path("c.yaml").write_text(capsys.readouterr().out)
    assert call(monkeypatch, "train", "--config", "c.yaml", "--print_config") == 0
    assert capsys.readouterr().out == Path("c.yaml").read_text()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("train", ["--model", "pix2pix", "--data.rot", "x"], "--data.root?"),
        ("train", ["--model", "pix2pix", "--data.root", "nowhere"], "nowhere: "),
        ("train", ["--model", "pix2pix", "--data.root", "{root}", "--train.seed", "-1"], "train.seed -1"),
        ("train", ["--model", "pix2pix", "--data.root", "{root}", "--data.crop_size", "60"], "data.crop_size 60"),
        ("train", ["--model", "pix2pix", "--data.root", "{root}", "--name", "new", "--resume"], "--resume"),
        ("train", ["--model", "cyclegan", "--data.root", "{root}"], "datasets/unpair.py"),
        ("train", ["--model", "cyclegan", "--data.root_a", "{root}"], "data.root_b"),
        ("train", ["--model", "cyclegan", "--data.root_a", "{root}", "--data.root_b", "{root}"], "{root}"),
        ("train", ["--model", "pix2pix", "--data.root_a", "{root}", "--data.root_b", "{root}"], "pair"),
        ("infer", ["nothing"], "nothing: "),
        ("infer", ["nothing", "--sampels", "3"], "--samples?"),
        ("infer", ["nothing", "--seed", "x"], "--seed: "),
        ("infer", [], ": run"),
        ("infer", ["{root}"], "{root}: "),
        ("evaluate", ["nothing"], "nothing: "),
        ("encode_features", ["nothing"], "nothing: "),
        ("encode_features", ["nothing", "--clusters", "x"], "--clusters: "),
    ],
)
def test_tools_end_mistakes_with_one_line_and_code_2(
    name: str,
    argv: list[str],
    message: str,
    paired_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, name, *[word.format(root=paired_root) for word in argv]) == 2
    error = capsys.readouterr().err
    assert message.format(root=paired_root) in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_train_replaces_or_changes_an_existing_run_only_on_request(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--model", "pix2pix", "--data.root", str(paired_root), *TINY, "--name", "mine"]
    assert call(monkeypatch, "train", *argv) == 0
    marker = Path("runs/mine/metrics.csv").read_text()
    assert call(monkeypatch, "train", *argv) == 2
    error = capsys.readouterr().err
    assert "--resume" in error
    assert "--overwrite" in error
    assert (
        call(monkeypatch, "train", *argv, "--overwrite", "--data.val_split", "nope") == 2
    )  # refused before the old run is removed
    assert Path("runs/mine/metrics.csv").read_text() == marker
    with hold_run(Path("runs/mine")):  # as another training does
        for options in (["--overwrite"], ["--resume", "--train.max_steps", "9"]):
            capsys.readouterr()
            assert call(monkeypatch, "train", *argv, *options) == 2
            assert "runs/mine is being trained" in capsys.readouterr().err
    assert Path("runs/mine/metrics.csv").read_text() == marker
    assert call(monkeypatch, "train", *argv, "--overwrite") == 0
    capsys.readouterr()
    options = "--resume --train.max_steps 6 --optim.lr 0.001 --optim.betas [0,0.9] --train.evaluate_every 6".split()
    assert call(monkeypatch, "train", "--name", "mine", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "changed     optim.lr 0.0002 -> 0.001" in lines
    assert {line for line in lines if line.startswith("changed")} == {
        "changed     optim.lr 0.0002 -> 0.001",
        "changed     optim.betas [0.5, 0.999] -> [0.0, 0.9]",
        "changed     train.max_steps 4 -> 6",
        "changed     train.evaluate_every 0 -> 6",
    }
    (scores,) = (line for line in lines if line.startswith("evaluation  step 6: l1 "))
    assert "best" in scores
    assert "done        runs/mine/checkpoints/step-000006; python tools/infer.py mine" in lines
    assert lines[-1].startswith("best        step 6: l1 ")


def test_one_line_errors_keeps_the_traceback_of_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.errors import one_line_errors

    with pytest.raises(ValueError, match="invalid literal"), one_line_errors():
        int("x")  # raised outside of the package


def test_train_saves_a_checkpoint_on_sigterm_to_the_launcher(paired_root: Path) -> None:
    """One process under ``accelerate launch``, which by itself would leave it training as an orphan."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", str(ROOT / "tools" / "train.py")]
    command += ["--model", "pix2pix", "--data.root", str(paired_root), *TINY, "--name", "mine"]
    command += ["--train.max_steps", "100000", "--train.epochs", "100000", "--train.log_every", "5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert launcher.stdout is not None
    for line in launcher.stdout:
        if line.startswith("step "):
            break
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(30)
    deadline = time.monotonic() + 30
    while not Path("runs/mine/checkpoints/latest").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert Path("runs/mine/checkpoints/latest").exists()


def test_train_and_infer_models_that_draw_from_noise(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Classes, interpolations, codes; and options that a run has no use for."""
    toy = "--data.toy true --data.channels_b 1 --data.load_size 32 --data.crop_size 32".split()
    small = "--model.ngf 2 --model.ndf 2 --data.num_workers 0 --data.batch_size 4 --train.max_steps 2".split()
    classes = ("--model.num_classes", "10", "--name", "classes")
    assert call(monkeypatch, "train", "--model", "dcgan", *toy, *small, *classes) == 0
    assert call(monkeypatch, "train", "--model", "infogan", *toy, *small, "--name", "codes") == 0
    assert call(monkeypatch, "infer", "classes", "--count", "5", "--seed", "1") == 0
    assert "runs/classes/results/step-000002" in capsys.readouterr().out
    results = Path("runs/classes/results/step-000002/seed-1")
    assert {path.name for path in results.glob("*.png")} == {f"0000{i}.png" for i in range(5)}
    assert call(monkeypatch, "infer", "classes", "--class", "3", "--interpolate", "--count", "2") == 0
    assert call(monkeypatch, "infer", "codes", "--traverse", "c1", "--output", "o") == 0
    assert call(monkeypatch, "infer", "codes", "--traverse", "d1", "--output", "o", "--count", "2") == 0
    assert {path.name for path in Path("o/grids").iterdir()} == {"traverse-c1.png", "traverse-d1.png"}
    assert results.with_name("seed-0_class-3").joinpath("grids", "interpolation.png").is_file()
    assert call(monkeypatch, "train", "--model", "pix2pix", "--data.root", str(paired_root), *TINY, "--name", "p") == 0
    capsys.readouterr()
    for command, message in {
        ("infer", "classes", "--input", "x.png"): "--input: .*classes",
        ("infer", "classes", "--samples", "2"): "--samples: .*classes",
        ("infer", "classes", "--class", "10"): "--class 10: run classes .*0 to 9",
        ("infer", "classes", "--traverse", "c1"): "code c1: run classes ",
        ("infer", "codes", "--class", "1"): r"--class 1: run codes .*model\.num_classes",
        ("infer", "p", "--count", "3"): "--count: .* p ",
        ("infer", "p", "--class", "0"): "--class: .* p ",
        ("evaluate", "classes"): r"tools/evaluate\.py classes --metrics fid",
        ("encode_features", "codes"): r"run codes .*tools/infer\.py codes",
        (
            "train",
            "--model",
            "dcgan",
            *toy,
            *small,
            *classes,
            "--model.num_classes",
            "9",
            "--overwrite",
        ): "10 class",
    }.items():
        assert call(monkeypatch, *command) == 2
        error = capsys.readouterr().err
        assert re.search(message, error)
        assert error.count("\n") == 1
