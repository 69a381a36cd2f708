"""What the training supports beyond pix2pix: no discriminators, networks that inference doesn't need, learning rates of
single networks; and which mistakes of a model's author it names.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from img2img import load_translator, models
from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import Config
from img2img.errors import own_code
from img2img.models import load_model_file, model_class
from img2img.models.cyclegan import CycleGAN
from img2img.training.monitor import PROBLEMS
from img2img.training.networks import Networks
from img2img.training.trainer import Trainer, train
from tests.conftest import make_step, tiny_config
from tests.helpers import batches, equal, launch, logged, rows, weights

Tiny = Callable[..., Config]
Make = Callable[..., Config]

RESTORER = '''
from dataclasses import dataclass
from typing import ClassVar, Literal

from img2img.models.base import Model
from img2img.networks.unet import UNet


class Restorer(Model):
    """A U-Net that learns by L1 alone."""

    @dataclass
    class Config:
        name: Literal["restorer"] = "restorer"
        dropout: bool = False
        norm: str = "batch"

    dataset = "paired"
    generators = ("generator",)
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        self.config = config
        options = {"num_downs": 4, "ngf": 4, "norm": config.norm, "dropout": config.dropout}
        self.generator = UNet(channels["input"], channels["target"], **options)

    def forward(self, batch):
        return {"output": self.generator(batch["input"])}

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        return self(batch)
'''
HEADED = '''
from dataclasses import dataclass
from typing import Literal

from torch import nn

from img2img.models.pix2pix import Pix2Pix


class Headed(Pix2Pix):
    """A pix2pix with a head that guesses the target's brightness from the output."""

    @dataclass
    class Config(Pix2Pix.Config):
        name: Literal["headed"] = "headed"
        head_rate: float = 1.0
        rated: str = "head"

    auxiliary = ("head",)

    def __init__(self, config, channels):
        super().__init__(config, channels)
        self.head = nn.Conv2d(channels["target"], 1, 1)
        self.rates = {config.rated: config.head_rate}

    def generator_loss(self, batch, images):
        terms, statistics = super().generator_loss(batch, images)
        brightness = batch["target"].mean(1, keepdim=True)
        return {**terms, "head": (self.head(images["output"]) - brightness).square().mean()}, statistics
'''
FORGETFUL = '''
from dataclasses import dataclass
from typing import Literal

from img2img.models.pix2pix import Pix2Pix


class Forgetful(Pix2Pix):
    """A pix2pix whose author didn't think of gradient penalties."""

    @dataclass
    class Config(Pix2Pix.Config):
        name: Literal["forgetful"] = "forgetful"

    def discriminator_loss(self, batch, images):
        return self.gan.discriminator_loss(
            *(self.discriminator(x) for x in self.gan.inputs(batch["target"], images["output"], batch["input"]))
        )
'''
SMALL = {"num_downs": 4, "ngf": 4, "ndf": 4, "n_layers_d": 1}


@pytest.fixture
def outside(tmp_path: Path, paired_root: Path) -> Iterator[Callable[[str, str], Make]]:
    """Imports a model's text as a user's file NAME.py and returns a maker of options; removes the model afterwards."""
    path, code, names = list(sys.path), set(own_code), []

    def load(name: str, text: str) -> Make:
        (tmp_path / f"{name}.py").write_text(text)
        names.append(load_model_file(tmp_path / f"{name}.py"))
        config = model_class(name).Config

        def make(run: str = "tiny", **changes: dict[str, Any]) -> Config:
            small = SMALL if text != RESTORER else {}
            return tiny_config(config(**{**small, **changes.pop("model", {})}), paired_root, run, **changes)

        return make

    yield load
    for name in names:
        models._outside.pop(name)
        sys.modules.pop(name)
    sys.path[:] = path
    own_code.intersection_update(code)


def columns(run: Path) -> list[str]:
    with (run / "metrics.csv").open(newline="") as file:
        return next(csv.reader(file))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_model_without_discriminator_trains_and_resumes_bit_for_bit(outside: Callable, accumulation: int) -> None:
    make = outside("restorer", RESTORER)
    options = {"max_steps": 3, "log_every": 1, "ema_decay": 0.9, "gradient_accumulation": accumulation}
    whole = train(make("whole", train=options))
    train(make("parts", train={**options, "max_steps": 1}))
    parts = train(make("parts", train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole)["3"] == logged(parts)["3"]
    begun = train(make("begun", train={**options, "max_steps": 1}))
    assert not equal(weights(begun), weights(whole))
    assert {key.partition(".")[0] for key in weights(whole)} == {"generator", "generator_ema"}
    assert load_state(newest_checkpoint(whole)[0])["optimizers"].keys() == {"generator"}
    assert load_translator("whole").model.generators == ("generator",)


def test_model_without_discriminator_logs_no_gan_values(outside: Callable) -> None:
    run = train(outside("restorer", RESTORER)(train={"log_every": 1}))
    names = columns(run)
    assert [name for name in names if "discriminator" in name or "gan" in name or "loss_ratio" in name] == []
    assert {"loss/generator/l1", "rate/generator", "gradient_norm/generator", "signs/correlation_output"} <= set(names)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("balance", "label_real", (0.9, 0.9)),
        ("balance", "instance_noise", 0.1),
        ("balance", "augment", ("color",)),
        ("balance", "gradient_penalty", "r1"),
        ("balance", "discriminator_steps", 2),
        ("balance", "warmup_d", 1),
        ("balance", "skip_above", 0.8),
        ("balance", "spectral_norm", "both"),
        ("optim", "lr_d", 1e-4),
        ("optim", "optimizer_d", "rmsprop"),
        ("optim", "clip_grad_norm_d", 1.0),
        ("optim", "clip_d", 0.01),
    ],
)
def test_model_without_discriminator_refuses_its_options(
    outside: Callable, section: str, key: str, value: object
) -> None:
    make = outside("restorer", RESTORER)
    with pytest.raises(ValueError, match=rf"^{section}\.{key} .*model restorer\b"):
        Networks(make(**{section: {key: value}}), Accelerator())


def test_model_without_discriminator_accepts_generator_options(outside: Callable) -> None:
    make = outside("restorer", RESTORER)
    deep = {"load_size": 64, "crop_size": 64}
    run = train(make(data=deep, balance={"spectral_norm": "g"}, optim={"clip_grad_norm": 1.0, "lr": 1e-3}))
    assert any("parametrizations" in key for key in weights(run))


def test_monitor_hints_at_no_discriminator_options_without_one(outside: Callable) -> None:
    make = outside("restorer", RESTORER)
    monitor = Trainer(make(), Path("runs/none")).monitor
    for problem in PROBLEMS:
        if problem.side == "generator":
            advice = problem.advice(monitor.excluded_hints)
            assert "optim.lr lower" in advice or "train.seed another" in advice
            assert not any(key in advice for key in ("lr_d", "minibatch", "penalty", "spectral"))


def test_step_refuses_a_model_that_forgot_the_penalty(outside: Callable) -> None:
    make = outside("forgetful", FORGETFUL)
    make_step(make()).run(batches(make()), 0, 1.0)
    step = make_step(make(balance={"gradient_penalty": "r1"}))
    with pytest.raises(ValueError, match=r"^balance\.gradient_penalty r1: model forgetful\b"):
        step.run(batches(make()), 0, 1.0)


def test_auxiliary_network_learns_is_restored_and_has_no_ema(outside: Callable) -> None:
    make = outside("headed", HEADED)
    options = {"max_steps": 3, "log_every": 1, "save_every": 1, "keep_checkpoints": 0, "ema_decay": 0.9}
    whole = train(make("whole", train=options))
    train(make("parts", train={**options, "max_steps": 1}))
    parts = train(make("parts", train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    saved = {path.stem for path in newest_checkpoint(whole)[0].glob("*.safetensors")}
    assert saved == {"generator", "generator_ema", "discriminator", "head"}
    first, last = (load_file(whole / "checkpoints" / f"step-00000{i}" / "head.safetensors") for i in (1, 3))
    assert not torch.equal(first["weight"], last["weight"])
    assert float(rows(whole)[-1]["gradient_norm/head"]) > 0
    assert load_translator("whole")(np.zeros((20, 20, 3), np.uint8)).shape == (20, 20, 3)


def test_rates_are_shares_of_the_learning_rate(outside: Callable) -> None:
    """The head has a hundredth of the rate, in its own parameter group, and follows the schedule."""
    make = outside("headed", HEADED)
    step = make_step(make(model={"head_rate": 0.01}))
    groups = step.networks.optimizers["generator"].param_groups
    assert len(step.networks.optimizers["discriminator"].param_groups) == 1
    for factor in (1.0, 0.25):
        step.run(batches(make()), 0, factor)
        assert [group["lr"] for group in groups] == pytest.approx([2e-4 * factor, 2e-6 * factor])
    run = train(make("rates", model={"head_rate": 0.01}))
    assert [float(row["rate/head"]) for row in rows(run)] == pytest.approx([2e-6, 2e-6])
    assert {row["rate/generator"] for row in rows(run)} == {"0.0002"}


def test_rates_of_zero_freeze_a_network(outside: Callable) -> None:
    make = outside("headed", HEADED)
    step = make_step(make(model={"head_rate": 0.0}))
    before = {
        name: {key: value.clone() for key, value in network.items()}
        for name, network in step.networks.weights().items()
    }
    step.run(batches(make()), 0, 1.0)
    after = step.networks.weights()
    assert equal(before["head"], after["head"])
    assert not torch.equal(before["generator"]["head.0.weight"], after["generator"]["head.0.weight"])


def test_rates_of_an_unknown_network_are_refused(outside: Callable) -> None:
    make = outside("headed", HEADED)
    with pytest.raises(ValueError, match=r"^model headed: .*\bhaed\b"):
        make_step(make(model={"rated": "haed", "head_rate": 0.1}))


def test_equal_rates_give_the_state_of_a_single_group(outside: Callable, tiny: Tiny) -> None:
    """As in checkpoints written before models had rates."""
    headed = make_step(outside("headed", HEADED)(model={"head_rate": 1.0}))
    assert [len(optimizer.param_groups) for optimizer in headed.networks.optimizers.values()] == [1, 1]
    networks = make_step(tiny()).networks
    for side, optimizer in networks.optimizers.items():
        parameters = [p for name in networks.names[side] for p in networks.bare[name].parameters()]
        plain = torch.optim.Adam(parameters, 2e-4, (0.5, 0.999), fused=True)
        assert optimizer.state_dict() == plain.state_dict()
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        plain.step()
        optimizer.load_state_dict(plain.state_dict())
        assert len(optimizer.state_dict()["state"]) == len(parameters)


@pytest.mark.slow
def test_two_processes_with_an_auxiliary_network_equal_one(outside: Callable) -> None:
    make = outside("headed", HEADED)
    options = {"model": {"norm": "none", "dropout": False, "head_rate": 0.1}}
    steps = {"max_steps": 6, "gradient_accumulation": 2}
    train(make("one", data={"batch_size": 4}, train=steps, **options))
    assert "processes: 2" in launch(make("two", train=steps, **options), 2)
    one, two = weights(Path("runs/one")), weights(Path("runs/two"))
    assert "head.weight" in one
    assert max((one[key] - two[key]).abs().max().item() for key in one) < 2e-5


@pytest.mark.slow
def test_two_processes_without_a_discriminator_equal_one(outside: Callable) -> None:
    make = outside("restorer", RESTORER)
    train(make("one", model={"norm": "none"}, data={"batch_size": 4}, train={"max_steps": 6}))
    assert "processes: 2" in launch(make("two", model={"norm": "none"}, train={"max_steps": 6}), 2)
    one, two = weights(Path("runs/one")), weights(Path("runs/two"))
    assert max((one[key] - two[key]).abs().max().item() for key in one) < 2e-5


@pytest.mark.parametrize(
    ("model", "balance", "passes"),
    [
        ({}, {}, 8),
        ({"lambda_identity": 0.0}, {}, 4),
        ({"generator": "unet", "num_downs": 3}, {"warmup_d": 1}, 8),
        ({"dropout": True}, {}, 12),
        ({"norm": "batch"}, {}, 12),
        ({}, {"spectral_norm": "both"}, 12),
    ],
    ids=["instance", "no-identity", "unet", "dropout", "batch", "spectral"],
)
@pytest.mark.parametrize("accumulation", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_discriminator_images_skip_only_what_changes_no_number(
    tiny_cyclegan: Tiny, monkeypatch: pytest.MonkeyPatch, model: dict, balance: dict, passes: int, accumulation: int
) -> None:
    """They skip CycleGAN's cycles. ``passes``: images that the generators make in such a step for a batch of 2 + 2."""
    options = {
        "model": model,
        "balance": {"discriminator_steps": 2, **balance},
        "train": {"max_steps": 5, "log_every": 1, "gradient_accumulation": accumulation},
    }
    short = train(tiny_cyclegan("short", **options))
    step = make_step(tiny_cyclegan("count", **options))
    made: list[int] = []
    for name in CycleGAN.generators:
        step.networks.bare[name].register_forward_hook(lambda _, inputs, __: made.append(len(inputs[0])))
    step.run(batches(tiny_cyclegan(), accumulation), 0, 1.0)  # a D step only
    assert sum(made) == passes * accumulation
    monkeypatch.setattr(CycleGAN, "discriminator_images", lambda self, batch: self(batch))
    whole = train(tiny_cyclegan("whole", **options))
    assert equal(weights(short), weights(whole))
    assert logged(short) == logged(whole)
