"""Runs whose data moved: ``--data.KEY NEW`` of infer, evaluate and styles, and ``data`` of the functions for Python."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import img2img
from img2img.config import Config, with_places
from img2img.data.degraded import DegradedConfig
from img2img.data.domain_options import DomainsConfig
from img2img.data.options import DataConfig
from img2img.data.unconditional import UnconditionalConfig
from img2img.data.unpaired import UnpairedConfig
from img2img.errors import MissingPlace
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.models.pix2pixhd import Pix2PixHD
from img2img.models.restoration import Restoration
from img2img.training.trainer import train
from tests.conftest import drawn_pair, tiny_config, write, write_scenes
from tests.helpers import ROOT, run_command, use_small_classifier

SCENES = {"label_nc": 5, "preprocess": "scale_width", "load_size": 40, "stride": 4, "flip": False}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command ends."""
    capsys.readouterr()
    assert run_command(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def moved(tiny: Callable[..., Config], paired_root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(A pix2pix run, trained with the relative root "set"; where that set is now), and another current folder."""
    run = train(tiny(data={"root": "set"})).resolve()
    new = paired_root.rename(paired_root.with_name("new"))
    (run.parents[1] / "elsewhere").mkdir()
    monkeypatch.chdir(run.parents[1] / "elsewhere")
    return run, new


def test_infer_and_evaluate_read_the_moved_set(moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, new = moved
    assert run_command("infer", run, "--data.root", new, "--output", "out") == 0
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["0.png", "1.png", "2.png"]
    assert run_command("evaluate", run, "--data.root=../new") == 0
    scores = json.loads((run / "evaluation" / "step-000004" / "pixels.json").read_text())
    assert set(scores["AtoB"]) == {"output", "input", "mean training image"}
    assert scores["data"] == {"root": "../new"}
    assert run_command("evaluate", run, "--data-root", new, "--metrics", "l1") == 0
    report = json.loads((run / "evaluation" / "step-000004" / "AtoB" / "summary.json").read_text())
    assert report["scores"]["l1"] == pytest.approx(scores["AtoB"]["output"]["l1"], rel=1e-3)
    assert str(new) in report["pictures"]


def test_another_split_is_validated(moved: tuple[Path, Path]) -> None:
    run, new = moved
    assert run_command("infer", run, "--data.root", new, "--data.val-split", "train") == 0
    assert len(list((run / "results" / "step-000004" / "val_split-train").glob("*.png"))) == 6


def test_missing_folder_is_named_with_its_place_and_the_remedy(
    moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, new = moved
    for command, options in (("infer", ("--data.root", "--input")), ("evaluate", ("--data.root",))):
        message = refused(capsys, command, run)
        assert message.startswith("error: data.root set: ")
        assert str(Path.cwd() / "set") in message
        assert all(option in message for option in options)
    assert str(Path.cwd() / "no") in refused(capsys, "evaluate", run, "--data.root", "no")
    new.rename(new.with_name("set"))  # it is back, and only the current folder is another
    assert str(run.parents[1] / "set") in refused(capsys, "infer", run)
    assert f"data.root {new}: " in refused(capsys, "train", "--model", "pix2pix", "--data.root", new)


def test_given_images_need_no_data_set(moved: tuple[Path, Path]) -> None:
    run, new = moved
    assert run_command("infer", run, "--input", new / "val" / "0.png", "--output", "out") == 0
    assert Path("out/0.png").is_file()


@pytest.mark.parametrize("command", ["infer", "evaluate", "styles"])
@pytest.mark.parametrize("option", ["data.load_size", "data.rot", "data.root_a", "model.ngf", "train.seed"])
def test_other_options_are_the_checkpoints(
    moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    message = refused(capsys, command, moved[0], f"--{option}", "3")
    assert message.startswith(f"error: {option}: ")
    assert all(f"data.{key}" in message for key in DataConfig.places)


def test_mistakes_are_one_line(moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, new = moved
    assert "--data.root" in refused(capsys, "infer", run, "--data.root")
    assert "--data.root" in refused(capsys, "infer", run, "--data.root", "--cycle")
    assert str(new) in refused(capsys, "evaluate", new, "--metrics", "is", "--data.root", new)
    assert "nowhere" in refused(capsys, "infer", "nowhere", "--data.root", new)
    assert "extra" in refused(capsys, "infer", run, "--data.root", new, "--data.val_split", "extra")


def test_resumed_training_reads_the_moved_set(
    moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, new = moved
    monkeypatch.chdir(run.parents[1])
    words = ("train", "--name", "tiny", "--resume", "--train.max_steps", "5")
    assert "data.root" in refused(capsys, *words)
    assert run_command(*words, "--data.root", new) == 0
    assert img2img.load_run("tiny").config.data.root == str(new)


def test_python_functions_take_the_place(moved: tuple[Path, Path]) -> None:
    run, new = moved
    scores = img2img.evaluate(run, data={"root": new, "val_split": "val"})
    assert scores["AtoB"].keys() == {"output", "input", "mean training image"}
    assert img2img.load_translator(run, data={"root": new}).config.data.root == str(new)
    with pytest.raises(ValueError, match=r"^data\.load_size: "):
        img2img.load_translator(run, data={"load_size": 3})
    with pytest.raises(ValueError, match=r"^model\.ngf: |^data\.model\.ngf: "):
        img2img.evaluate(run, data={"model.ngf": 3})


@pytest.mark.slow  # draws the 2000 images of the toy set
def test_run_of_the_toy_task_measures_own_images(tiny: Callable[..., Config], paired_root: Path) -> None:
    run = train(tiny(data={"root": None, "toy": True}))
    scores = img2img.evaluate(run, data={"root": paired_root})
    assert scores != img2img.evaluate(run)


def test_baselines_without_training_images_are_left_out(
    moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, new = moved
    (new / "train").rename("train")
    scores = img2img.evaluate(run, data={"root": new})
    assert scores["AtoB"].keys() == {"output", "input"}
    assert "mean training image" in capsys.readouterr().err


def test_two_folders_and_a_root_replace_each_other(tiny_cyclegan: Callable[..., Config], unpaired_root: Path) -> None:
    a, b = unpaired_root / "trainA", unpaired_root / "trainB"
    run = train(tiny_cyclegan(data={"root": None, "root_a": "unpaired/trainA", "root_b": "unpaired/trainB"}))
    new = unpaired_root.rename(unpaired_root.with_name("new"))
    with pytest.raises(ValueError, match=r"data\.root_a unpaired/trainA: .*--data\.root_a"):
        img2img.evaluate(run)
    scores = img2img.evaluate(run, data={"root_a": new / a.name, "root_b": new / b.name})
    assert scores.keys() == {"AtoB", "BtoA"}
    assert img2img.evaluate(run, data={"root": new}, paired=True)["AtoB"].keys() >= {"output", "input"}


def test_styles_and_label_maps_are_of_the_moved_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Pix2PixHD.Config(ngf=4, n_downs=1, n_blocks=1, ndf=4, n_layers_d=1, n_scales=1, lambda_vgg=0, nef=4)
    model.instance_features = True
    root = write_scenes(tmp_path / "scenes")
    run = train(tiny_config(model, root, data=SCENES, train={"max_steps": 1}))
    new = root.rename(tmp_path / "new")
    message = refused(capsys, "styles", run)
    assert str(root) in message
    assert "--data.root" in message
    assert run_command("styles", run, "--clusters", 2, "--data.root", new) == 0
    assert (run / "styles" / "step-000001.npz").is_file()
    words = ("--metrics", "fcn", "--train-segmenter", "--segmenter-steps", 1, "--data.root", new)
    assert run_command("evaluate", run, *words) == 0
    assert (run / "segmenter.safetensors").is_file()


def test_classifier_is_trained_on_the_moved_domains(
    tiny_stargan: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_classifier(monkeypatch)
    for i in range(8):
        write(tmp_path / "two" / ("train", "val")[i % 2] / ("a", "b")[i // 2 % 2] / f"{i}.png", drawn_pair(i)[1])
    run = train(tiny_stargan(data={"root": "two", "toy": False}, train={"max_steps": 1}))
    new = (tmp_path / "two").rename(tmp_path / "new")
    words = ("--metrics", "domain", "--train-classifier", "--classifier-steps", 2)
    assert run_command("evaluate", run, *words, "--data.root", new) == 0
    assert (run / "classifier.safetensors").is_file()
    swapped = {"b": str(new / "train" / "b"), "a": str(new / "train" / "a")}
    config = img2img.load_translator(run, data={"domains": swapped}).config.data
    assert config.root is None
    assert list(config.domains) == ["a", "b"]  # in the order of the label vector
    for data, name in (({"domains": {"a": "x"}}, "domains"), ({"joint_root": "x"}, "joint_root")):
        with pytest.raises(ValueError, match=rf"^data\.{name} "):
            img2img.load_translator(run, data=data)


def test_noise_run_is_compared_with_the_moved_images(
    tiny_dcgan: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 4), ("val", 3)):
        for i in range(count):
            write(tmp_path / "faces" / split / f"{i}.png", drawn_pair(i, 32, 32)[1])
    data = {"root": "faces", "toy": False, "channels_b": 3}
    run = train(tiny_dcgan(data=data, model={"num_classes": 0}, train={"max_steps": 1}))
    new = (tmp_path / "faces").rename(tmp_path / "new")
    assert run_command("infer", run, "--count", 2) == 0
    assert "--data.root" in refused(capsys, "infer", run, "--data.root", new)
    (image_set,) = open_image_sets(str(run), options=RunOptions(data={"root": str(new)}))
    assert image_set.real is not None
    assert image_set.real.count == 3
    assert str(new) in image_set.real.title


@pytest.mark.parametrize("step", [{"mask": "masks"}, {"degrade": [{"noise": 5}, {"mask": {"kind": "masks"}}]}])
def test_folder_of_masks_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str], step: dict) -> None:
    hole = np.zeros((32, 32), np.uint8)
    hole[8:20, 8:20] = 255
    write(tmp_path / "masks" / "0.png", hole)
    for split in ("train", "val"):
        for i in range(2):
            write(tmp_path / "clean" / split / f"{i}.png", drawn_pair(i, 32, 32)[1])
    model = Restoration.Config(width=4, encoder=[1], middle=1, decoder=[1])
    data = {"load_size": 32, "crop_size": 32, **step}
    run = train(tiny_config(model, tmp_path / "clean", data=data, train={"max_steps": 1}))
    new = (tmp_path / "masks").rename(tmp_path / "new")
    assert "data.mask masks: " in refused(capsys, "evaluate", run)
    assert img2img.evaluate(run, data={"mask": "new"}).keys() == {"AtoB"}
    assert img2img.evaluate(run, "l1_hole", data={"mask": new})["AtoB"]["output"].keys() == {"l1_hole"}
    with pytest.raises(ValueError, match=r"^data\.mask strokes: "):
        img2img.load_translator(run, data={"mask": "strokes"})
    (tmp_path / "clean" / "train").rename(tmp_path / "away")  # non-local means are tuned on training images
    scores = img2img.evaluate(run, data={"mask": "new"})["AtoB"]
    assert "output" in scores
    assert "non-local means" not in scores


def test_options_of_a_data_set_of_ones_own_are_taken(tiny: Callable[..., Config]) -> None:
    """The declaration is the data set's: nothing else knows its places."""

    @dataclass
    class Config(DataConfig):
        places: ClassVar[Sequence[str]] = [*DataConfig.places, "depth_root"]
        depth_root: str | None = None
        """Folder of depth maps."""

        @property
        def channels(self) -> dict[str, int]:
            return {"input": 3, "target": 3, "a": 3, "b": 3}

    config = tiny()
    config.data = Config("set", depth_root="old")
    with pytest.raises(ValueError, match=r"data\.depth_root"):
        with_places(config, {"stride": 3})
    assert config.data.moved({"depth_root": "new"}) == replace(config.data, depth_root="new")


@pytest.mark.parametrize("kind", [DataConfig, UnpairedConfig, DomainsConfig, DegradedConfig])
def test_places_are_options_on_which_no_weights_depend(kind: type[DataConfig]) -> None:
    assert set(kind.places) <= set(kind.__dataclass_fields__)
    assert set(kind.folders) <= set(kind.places)
    assert not set(kind.places) & set(kind.fixed)


def test_help_lists_the_options_without_torch() -> None:
    code = "import sys; from img2img.cli import infer, styles, evaluate\n"
    code += "print(infer.parser().format_help() + styles.parser().format_help() + evaluate.parser().format_help())\n"
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^  --data\.root DIR", done.stdout, re.M)) == 3
    assert len(re.findall(r"^  --data\.val_split NAME", done.stdout, re.M)) == 3


def test_names_of_folders_are_taken_as_they_are(moved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, new = moved
    for name in ("#1", "null", "~", "1e3", "yes", "[x]", "{a}", "a: b", "2024", "a=b", "x y"):
        assert img2img.load_translator(run, data={"root": name}).config.data.root == name
        assert name in refused(capsys, "evaluate", run, f"--data.root={name}")
    new.rename("null")
    assert run_command("evaluate", run, "--data.root", "null") == 0


def test_domains_may_have_names_that_yaml_reads_as_numbers() -> None:
    trained = DomainsConfig(domains={0: "a", 1: "b"}, names=["0", "1"])  # type: ignore[dict-item]
    assert trained.domains == {"0": "a", "1": "b"}
    assert trained.moved({"domains": "{1: d, 0: c}"}).domains == {"0": "c", "1": "d"}
    assert trained.moved({"root": "set"}).domains is None
    with pytest.raises(ValueError, match=r"data\.domains.*quotes"):
        trained.moved({"domains": "{yes: c, no: d}"})
    for wrong in ("{0: c}", "folder", {"0": "c", "2": "d"}):
        with pytest.raises(ValueError, match=r"data\.domains.*0: DIR, 1: DIR"):
            trained.moved({"domains": wrong})


def test_places_that_the_set_does_not_read_are_refused() -> None:
    sides = UnpairedConfig(root_a="a", root_b="b")
    with pytest.raises(ValueError, match=r"data\.val_split x"):
        sides.moved({"val_split": "x"})
    assert sides.moved({"root": "set", "val_split": "x"}).val_split == "x"
    folders = DomainsConfig(domains={"a": "x", "b": "y"}, names=["a", "b"])
    with pytest.raises(ValueError, match=r"data\.table t"):
        folders.moved({"table": "t"})
    with pytest.raises(ValueError, match=r"data\.val_split x"):
        folders.moved({"domains": {"a": "p", "b": "q"}, "val_split": "x"})


def test_set_of_torchvision_is_not_downloaded_to_a_mistyped_folder() -> None:
    config = UnconditionalConfig(root="sets", torchvision="MNIST")
    with pytest.raises(MissingPlace, match=r"data\.root sest"):
        config.moved({"root": "sest"})
    assert not Path("sest").exists()


def test_missing_folder_of_a_domain_is_answered_with_the_form_of_the_option(
    tmp_path: Path, tiny_stargan: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        for index in range(2):
            write(tmp_path / "two" / name / f"{index}.png", drawn_pair(index)[0])
    folders = {name: str(tmp_path / "two" / name) for name in "ab"}
    train(tiny_stargan("r", data={"root": None, "domains": folders, "toy": False}))
    (tmp_path / "two").rename(tmp_path / "moved")
    assert "'{a: DIR, b: DIR}'" in refused(capsys, "evaluate", "r")
    now = f"{{a: {tmp_path}/moved/a, b: {tmp_path}/moved/b}}"
    assert run_command("infer", "r", "--data.domains", now, "--to", "b") == 0
