"""The functions for Python: the same options, checks and results as the commands."""

import csv
from pathlib import Path

import numpy as np
import pytest

import img2img
from img2img.data.images import write_image
from tests.helpers import equal, weights

TINY = {"num_downs": 4, "ngf": 4, "ndf": 4, "n_layers_d": 1}
DATA = {"toy": True, "load_size": 18, "crop_size": 16, "batch_size": 2, "num_workers": 0}
STEPS = {"max_steps": 3, "log_every": 1}


def tiny(name: str = "r", **changes: object) -> img2img.Run:
    return img2img.train({"name": "pix2pix", **TINY}, name=name, data=DATA, train={**STEPS, **changes})


def test_train_returns_the_run_that_the_command_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.cli.train import main

    words = [f"--model.{key}={value}" for key, value in TINY.items()]
    words += [f"--data.{key}={str(value).lower()}" for key, value in DATA.items()]
    words += [f"--train.{key}={value}" for key, value in STEPS.items()]
    main(["--model", "pix2pix", "--name", "of-command", *words])
    run = tiny("of-python")
    assert equal(weights(run.path), weights(Path("runs/of-command")))
    assert run.config.model.ngf == 4
    assert run.steps == [3]
    with (run.path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in run.log] == [1, 2, 3]
    assert run.log[-1]["loss/generator/l1"] == float(rows[-1]["loss/generator/l1"])


def test_run_is_resumed_loaded_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    tiny()
    longer = img2img.train("pix2pix", name="r", resume=True, train={"max_steps": 5})
    assert img2img.load_run("r") == longer
    assert longer.steps == [3, 5]
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    assert img2img.load_translator(longer)(image).shape == (16, 16, 3)
    scores = img2img.evaluate(longer)
    assert set(scores) == {"AtoB"}
    assert {"output", "input"} <= set(scores["AtoB"])
    assert f"{scores['AtoB']['output']['psnr']:.2f}" in capsys.readouterr().out
    chosen = img2img.evaluate("r", "psnr,l1", checkpoint=3)
    assert set(chosen["AtoB"]["output"]) == {"psnr", "l1"}


def test_mistakes_are_those_of_the_command() -> None:
    with pytest.raises(ValueError, match=r"train\.epoch\b"):
        img2img.train("pix2pix", data=DATA, train={"epoch": 3})
    with pytest.raises(ValueError, match=r"data x: must be a mapping"):
        img2img.train("pix2pix", data="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pix2pics"):
        img2img.train("pix2pics", data=DATA)
    with pytest.raises(ValueError, match=r"nowhere"):
        img2img.load_run("nowhere")
    assert not Path("runs").exists()


def test_values_of_every_type_arrive() -> None:
    """Lists, mappings, None, numbers and strings, as a file of options has them."""
    run = img2img.train(
        {"name": "restoration", "width": 4, "encoder": [1], "middle": 1, "decoder": [1], "vgg_weights": None},
        name="r",
        data={**DATA, "load_size": 64, "degrade": [{"blur": {"sigma": [0, 2], "kind": ["motion"]}}, {"noise": 5}]},
        optim={"betas": (0.9, 0.99)},
        train={**STEPS, "max_steps": 1, "metrics": "l1"},
    )
    assert run.config.data.degrade[0]["blur"]["kind"] == ["motion"]
    assert run.config.optim.betas == (0.9, 0.99)
    assert run.config.model.vgg_weights is None


def test_scores_are_those_of_the_direction_or_of_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    tiny()
    assert set(img2img.evaluate("r", "psnr", output="report")) == {"AtoB"}
    rng = np.random.default_rng(0)
    for folder in ("made", "real"):
        Path(folder).mkdir()
        write_image(Path(folder) / "x.png", rng.integers(0, 255, (16, 16, 3), np.uint8))
    assert set(img2img.evaluate("made", "psnr", reference="real")) == {"made"}
