"""Provoked runs: each illness, brought about at toy size, is told by the run itself, in every place."""

import csv
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from img2img.config import Config
from img2img.errors import TrainingStopped
from img2img.models import model_class
from img2img.models.base import Batch, Images
from img2img.models.base_noise import NoiseModel
from img2img.models.pix2pix import Pix2Pix
from img2img.training.monitor import ALIKE, ILLNESSES
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import make_step

Tiny = Callable[..., Config]


def verdicts(run: Path) -> list[str]:
    """Those of metrics.csv; TensorBoard has the same ones as text."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["verdict"]]
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tag = "verdicts/text_summary"
    events = board.Tensors(tag) if tag in board.Tags()["tensors"] else []
    texts = [event.tensor_proto.string_val[0].decode() for event in events]
    assert [int(row["step"]) for row in rows] == [event.step for event in events]
    assert [row["verdict"].split(" | ") for row in rows] == [text.split("  \n") for text in texts]
    return [line for row in rows for line in row["verdict"].split(" | ")]


def illnesses(run: Path) -> set[str]:
    return {line.partition(" (")[0] for line in verdicts(run)}


def test_a_discriminator_that_learns_far_faster_overpowers(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so above the bar, once."""
    options = {"max_steps": 120, "log_every": 5}
    config = tiny(optim={"lr": 1e-7, "lr_d": 2e-3}, model={"ndf": 16, "gan_loss": "vanilla"}, train=options)
    run = train(config)
    assert illnesses(run) == {"D overpowering"}
    assert capsys.readouterr().out.count("verdict     D overpowering (D): accuracy 1.00 on real and 1.00 on fake") == 1


def test_a_discriminator_that_does_not_learn_is_blind(tiny: Tiny) -> None:
    assert illnesses(train(tiny(optim={"lr_d": 1e-9}, train={"max_steps": 20, "log_every": 1}))) == {"D blind"}


def test_a_generator_that_ignores_its_input_has_collapsed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": self.generator(torch.zeros_like(batch["input"]))}

    monkeypatch.setattr(Pix2Pix, "forward", deaf)
    found = verdicts(train(tiny(train={"max_steps": 20, "log_every": 1})))
    assert [line for line in found if re.match(r"collapse \(G of output\): .*balance.minibatch_std", line)] == found
    assert len(found) == 1


def test_a_generator_that_ignores_its_noise_has_collapsed(tiny_noise: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes that dcgan is told leave its images as different as they were; infogan is told none."""
    config = tiny_noise(
        data={"batch_size": 8}, model={"ngf": 8, "init_gain": 0.2}, train={"max_steps": 36, "log_every": 2}
    )
    model = model_class(config.model.name)
    real = model.noise

    def silent(self: NoiseModel, *args: Any, **more: Any) -> Batch:
        return {key: torch.zeros_like(value) for key, value in real(self, *args, **more).items()}

    monkeypatch.setattr(model, "noise", silent)
    run = train(config)
    (line,) = [line for line in verdicts(run) if line.startswith("collapse (G of output)")]
    if config.model.name == "dcgan":
        assert "output, given other noise, is" in line
        with (run / "metrics.csv").open(newline="") as file:
            assert min(float(row["signs/diversity_output"]) for row in csv.DictReader(file)) > ALIKE


def test_a_drift_is_no_diversity(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image for all inputs, which drifts: sixteen steps change it little, sixteen logs altogether."""
    steps = itertools.count()

    def drifting(self: Pix2Pix, batch: Batch) -> Images:
        place = torch.linspace(0, 6, batch["target"].shape[-1]) + 0.003 * next(steps)
        return {"output": 0 * self.generator(batch["input"]) + torch.sin(place)}

    monkeypatch.setattr(Pix2Pix, "forward", drifting)
    config = tiny(
        data={"batch_size": 1, "load_size": 16},
        model={"dropout": False},
        train={"max_steps": 400, "log_every": 25, "sample_every": 1000, "save_every": 1000},
    )
    (line,) = [line for line in verdicts(train(config)) if line.startswith("collapse")]
    assert "minibatch_std" not in line


def test_the_hints_of_a_collapse_can_be_taken(tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny) -> None:
    """By every model, with batches of one and of two."""
    collapse = next(illness for illness in ILLNESSES if illness.name == "collapse")
    for make, size in itertools.product((tiny, tiny_cyclegan, tiny_hd), (1, 2)):
        config = make(data={"batch_size": size})
        monitor = Trainer(config, Path("runs/none")).monitor
        for key, value in re.findall(r"balance\.(\w+) (\w+)", collapse.advice(monitor.unfit)):
            value = {"true": True, "1": 1.0}.get(value, value)
            make_step(make(data={"batch_size": size}, balance={key: value}))


def test_a_generator_at_the_ends_of_tanh_is_saturated(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain of 1e4 before it; the images of the set are mostly white, and that is no saturation."""
    real = Pix2Pix.forward

    def shrill(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": torch.tanh(1e4 * real(self, batch)["output"])}

    monkeypatch.setattr(Pix2Pix, "forward", shrill)
    assert illnesses(train(tiny(train={"max_steps": 12, "log_every": 1}))) == {"saturation"}


def test_a_negative_is_an_inversion(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def negative(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": 0.2 * self.generator(batch["input"]) - batch["target"]}

    monkeypatch.setattr(Pix2Pix, "forward", negative)
    assert illnesses(train(tiny(train={"max_steps": 12, "log_every": 1}))) == {"colour inversion"}


@pytest.mark.parametrize("kind", ["lsgan", "vanilla"])
def test_a_huge_rate_diverges(tiny: Tiny, kind: str) -> None:
    config = tiny(
        optim={"lr_d": 30.0}, model={"gan_loss": kind, "norm": "none"}, train={"max_steps": 12, "log_every": 1}
    )
    assert "D divergence" in illnesses(train(config))


def test_nan_is_told_with_its_keys_and_written(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    real = GANStep.run

    def poisoned(self: GANStep, batches: list, step: int, rate_factor: float, **more: bool) -> dict[str, Tensor]:
        told = real(self, batches, step, rate_factor, **more)
        return {**told, "loss/generator/l1": told["loss/generator/l1"] * float("nan" if step == 3 else 1)}

    monkeypatch.setattr(GANStep, "run", poisoned)
    with pytest.raises(TrainingStopped, match=r"try optim\.lr lower or optim\.clip_grad_norm 1, or bf16"):
        train(tiny(train={"max_steps": 20, "log_every": 2}))
    (line,) = verdicts(Path("runs/tiny"))
    assert line.startswith(
        "NaN: loss/generator/l1 became NaN or infinite before step 4; try optim.lr lower or optim.clip"
    )


def test_a_healthy_run_is_told_nothing(tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny) -> None:
    for make in (tiny, tiny_cyclegan, tiny_hd):
        assert verdicts(train(make(train={"max_steps": 30, "log_every": 2}), overwrite=True)) == []
