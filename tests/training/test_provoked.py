"""Provoked problems: a toy run with each of them reports it, in metrics.csv, in TensorBoard and on the screen."""

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
from img2img.models.stargan import Generator
from img2img.training.monitor import IGNORED, PROBLEMS, SAME_DIVERSITY
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import make_step
from tests.helpers import rows, with_reflection_padding

Tiny = Callable[..., Config]


def reports(run: Path) -> list[str]:
    """Lines of the monitor's reports in metrics.csv; asserts that TensorBoard has the same ones."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["verdict"]]
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tag = "verdicts/text_summary"
    events = board.Tensors(tag) if tag in board.Tags()["tensors"] else []
    texts = [event.tensor_proto.string_val[0].decode() for event in events]
    assert [int(row["step"]) for row in rows] == [event.step for event in events]
    assert [row["verdict"].split(" | ") for row in rows] == [text.split("  \n") for text in texts]
    return [line for row in rows for line in row["verdict"].split(" | ")]


def problems(run: Path) -> set[str]:
    return {line.partition(" (")[0] for line in reports(run)}


def test_overpowering_of_a_far_faster_discriminator_is_printed_once(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"max_steps": 120, "log_every": 5}
    config = tiny(optim={"lr": 1e-7, "lr_d": 2e-3}, model={"ndf": 16, "gan_loss": "vanilla"}, train=options)
    run = train(config)
    assert problems(run) == {"D overpowering"}
    assert capsys.readouterr().out.count("verdict     D overpowering (D): ") == 1


def test_blind_is_a_discriminator_that_does_not_learn(tiny: Tiny) -> None:
    assert problems(train(tiny(optim={"lr_d": 1e-9}, train={"max_steps": 20, "log_every": 1}))) == {"D blind"}


def test_collapse_of_a_generator_that_ignores_its_input(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": self.generator(torch.zeros_like(batch["input"]))}

    monkeypatch.setattr(Pix2Pix, "forward", deaf)
    (line,) = reports(train(tiny(train={"max_steps": 20, "log_every": 1})))
    assert re.match(r"collapse \(G of output\): .*balance.minibatch_std", line)


def test_collapse_of_a_generator_that_ignores_its_noise(tiny_noise: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """dcgan's images still differ by their classes; infogan has none."""
    config = tiny_noise(
        data={"batch_size": 8}, model={"ngf": 8, "init_gain": 0.2}, train={"max_steps": 36, "log_every": 2}
    )
    model = model_class(config.model.name)
    noise = model.noise

    def zeros(self: NoiseModel, *args: Any, **options: Any) -> Batch:
        return {key: torch.zeros_like(value) for key, value in noise(self, *args, **options).items()}

    monkeypatch.setattr(model, "noise", zeros)
    run = train(config)
    (line,) = [line for line in reports(run) if line.startswith("collapse (G of output)")]
    if config.model.name == "dcgan":
        assert "noise" in line
        with (run / "metrics.csv").open(newline="") as file:
            assert min(float(row["signs/diversity_output"]) for row in csv.DictReader(file)) > SAME_DIVERSITY


def test_collapse_is_found_though_the_one_image_drifts(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image for all inputs changes little in sixteen steps, and completely in sixteen logs."""
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
    (line,) = [line for line in reports(train(config)) if line.startswith("collapse")]
    assert "minibatch_std" not in line


def test_collapse_hints_are_options_that_every_model_accepts(tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny) -> None:
    """With batches of one and of two."""
    collapse = next(problem for problem in PROBLEMS if problem.name == "collapse")
    for make, size in itertools.product((tiny, tiny_cyclegan, tiny_hd), (1, 2)):
        config = make(data={"batch_size": size})
        monitor = Trainer(config, Path("runs/none")).monitor
        for key, value in re.findall(r"balance\.(\w+) (\w+)", collapse.advice(monitor.excluded_hints)):
            value = {"true": True, "1": 1.0}.get(value, value)
            make_step(make(data={"batch_size": size}, balance={key: value}))


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_ignored_domain_of_a_generator_with_reflection_padding(
    tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch, padding: str
) -> None:
    """Planes of labels are constant. Reflection keeps them so, and instance norm removes them; zeros do not."""
    init = Generator.__init__

    def reflecting(self: Generator, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        with_reflection_padding(self)

    if padding == "reflect":
        monkeypatch.setattr(Generator, "__init__", reflecting)
    config = tiny_stargan(data={"batch_size": 4}, train={"max_steps": 24, "log_every": 2}, optim={"lr": 1e-3})
    lines = reports(train(config))
    effects = [float(row["signs/two_targets_output"]) for row in rows(Path("runs/tiny"))]
    if padding == "zeros":
        assert lines == []
        assert min(effects) > 10 * IGNORED
    else:
        (line,) = lines
        assert re.match(
            r"G ignores the domain \(G of output\): .*lambda_class higher or model\.lambda_cycle lower", line
        )
        assert max(effects) < 1e-4


def test_saturation_of_a_generator_at_the_ends_of_tanh(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain of 1e4 before tanh; the real images are mostly white, which doesn't count as saturation."""
    forward = Pix2Pix.forward

    def saturated(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": torch.tanh(1e4 * forward(self, batch)["output"])}

    monkeypatch.setattr(Pix2Pix, "forward", saturated)
    assert problems(train(tiny(train={"max_steps": 12, "log_every": 1}))) == {"saturation"}


def test_inversion_of_a_generator_of_negatives(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def negative(self: Pix2Pix, batch: Batch) -> Images:
        return {"output": 0.2 * self.generator(batch["input"]) - batch["target"]}

    monkeypatch.setattr(Pix2Pix, "forward", negative)
    assert problems(train(tiny(train={"max_steps": 12, "log_every": 1}))) == {"colour inversion"}


@pytest.mark.parametrize("kind", ["lsgan", "vanilla"])
def test_discriminator_divergence_at_a_huge_rate(tiny: Tiny, kind: str) -> None:
    config = tiny(
        optim={"lr_d": 30.0}, model={"gan_loss": kind, "norm": "none"}, train={"max_steps": 12, "log_every": 1}
    )
    assert "D divergence" in problems(train(config))


def test_nan_ends_the_run_and_is_reported_with_hints(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GANStep.run

    def with_nan(self: GANStep, batches: list, step: int, rate_factor: float, **options: bool) -> dict[str, Tensor]:
        values = run(self, batches, step, rate_factor, **options)
        return {**values, "loss/generator/l1": values["loss/generator/l1"] * float("nan" if step == 3 else 1)}

    monkeypatch.setattr(GANStep, "run", with_nan)
    with pytest.raises(TrainingStopped, match=r"loss/generator/l1 .*optim\.lr .*optim\.clip_grad_norm 1"):
        train(tiny(train={"max_steps": 20, "log_every": 2}))
    (line,) = reports(Path("runs/tiny"))
    assert re.match(r"NaN: loss/generator/l1 .*step 4; .*optim\.lr lower .*optim\.clip_grad_norm 1", line)


def test_healthy_runs_of_every_model_report_nothing(
    tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny, tiny_stargan: Tiny
) -> None:
    for make in (tiny, tiny_cyclegan, tiny_hd, tiny_stargan):
        assert reports(train(make(train={"max_steps": 30, "log_every": 2}), overwrite=True)) == []
