"""Signs of images against slow references; that measuring changes nothing; what a resumed run remembers."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import Config
from img2img.training.diagnostics import KEPT, NO_DISTANCE, SATURATED, SIDE, correlation, saturation, spread, thumbnail
from img2img.training.step import GANStep
from img2img.training.trainer import train
from tests.conftest import make_step
from tests.helpers import equal, logged, weights

Tiny = Callable[..., Config]


def test_spread_is_the_mean_over_all_pairs() -> None:
    images = torch.rand(5, 3, 4, 4) * 2 - 1
    pairs = [(a - b).abs().mean().item() for a, b in itertools.combinations(images, 2)]
    assert spread(images).item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)


def test_correlation_is_pearsons_and_tells_a_negative() -> None:
    fake, real = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    expected = [np.corrcoef(f.flatten(), r.flatten())[0, 1] for f, r in zip(fake.numpy(), real.numpy(), strict=True)]
    assert correlation(fake, real).item() == pytest.approx(np.mean(expected), abs=1e-5)
    assert correlation(-0.5 * real + 0.1, real).item() == pytest.approx(-1, abs=1e-5)
    assert correlation(torch.ones_like(real), real).item() == pytest.approx(0, abs=1e-3)


def test_saturation_counts_both_ends() -> None:
    assert saturation(torch.tensor([[[[-1.0, 1.0, 0.0, SATURATED - 0.01]]]])).item() == 0.5


@pytest.mark.parametrize(("height", "width"), [(64, 32), (50, 37), (16, 16), (8, 20)])
def test_a_thumbnail_of_any_size_has_the_mean_of_its_parts(height: int, width: int) -> None:
    """Exactly so where the sides are multiples of its own."""
    image = torch.rand(2, 3, height, width)
    small = thumbnail(image)
    assert small.shape == (2, 3, SIDE, SIDE)
    assert (small.mean((2, 3)) - image.mean((2, 3))).abs().max() < 0.06
    if height % SIDE == width % SIDE == 0:
        cells = image.reshape(2, 3, SIDE, height // SIDE, SIDE, width // SIDE).mean((3, 5))
        torch.testing.assert_close(small, cells)


def played(config: Config, steps: list[int]) -> tuple[GANStep, list[dict[str, torch.Tensor]]]:
    """A few steps on drawn noise, measured at each."""
    gan_step = make_step(config)
    told = []
    for step in steps:
        torch.manual_seed(step)
        batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target", "a", "b")}
        told.append(gan_step.run([batch], step, 1.0, measure=True))
    return gan_step, told


def test_the_latest_images_before_a_regular_log_are_kept(tiny: Tiny) -> None:
    """Two of each step: of the last eight, whether they are measured or not; a run's last step may be any."""
    gan_step, told = played(tiny(train={"log_every": 100}), [50, 91, 92, 93, 99])
    assert "signs/diversity_output" not in told[0]  # one pair says little
    assert "signs/diversity_output" not in told[2]
    assert all("signs/diversity_output" in values for values in told[3:])
    assert len(gan_step.diagnostics.kept["output"]) == 6
    gan_step, _ = played(tiny(train={"log_every": 1}), list(range(KEPT)))
    kept = gan_step.diagnostics.kept["output"]
    torch.manual_seed(KEPT - 1)
    batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target")}
    torch.testing.assert_close(kept[-2:, 3:], batch["target"])
    fake, real = kept.chunk(2, dim=1)
    assert kept.shape == (KEPT, 6, SIDE, SIDE)
    told = gan_step.run([batch], KEPT, 1.0, measure=True)
    fake, real = gan_step.diagnostics.kept["output"].chunk(2, dim=1)
    assert told["signs/diversity_output"].item() == pytest.approx(
        ((spread(fake) + NO_DISTANCE) / (spread(real) + NO_DISTANCE)).item(), rel=1e-5
    )


def test_images_are_of_the_latest_turns_of_the_generators(tiny: Tiny) -> None:
    """Of two steps in three the discriminators' alone; eight turns before the log have the sixteen images."""
    config = tiny(train={"log_every": 100}, balance={"discriminator_steps": 3})
    gan_step, _ = played(config, list(range(100)))
    _, real = gan_step.diagnostics.kept["output"].chunk(2, dim=1)
    expected = []
    for step in range(77, 100, 3):  # the turns are 2, 5, ... 98
        torch.manual_seed(step)
        expected.append({key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target", "a", "b")}["target"])
    torch.testing.assert_close(real, torch.cat(expected))


def test_every_log_has_signs_of_the_last_turn_before_it(tiny: Tiny) -> None:
    """The generators have the steps 3, 6, ...; a log every four steps falls on a turn of theirs but once in three."""
    options = {"log_every": 4, "max_steps": 25}
    run = train(tiny(train=options, balance={"discriminator_steps": 3}))
    row = logged(run)
    assert set(row) == {"4", "8", "12", "16", "20", "24", "25"}
    each = train(tiny("each", train={**options, "log_every": 1}, balance={"discriminator_steps": 3}))
    every = logged(each)
    for log, turn in {"4": "3", "8": "6", "12": "12", "16": "15", "20": "18", "24": "24"}.items():
        for name in ("signs/saturation_output", "signs/correlation_output", "gradient_norm/generator"):
            assert row[log][name] == every[turn][name] != "", (log, name)
    assert row["25"]["gradient_norm/generator"] == ""  # no turn since the log before


@pytest.mark.parametrize("stop", [4, 7, 9, 10])
def test_a_resume_between_a_turn_and_its_log_tells_the_same(tiny: Tiny, stop: int) -> None:
    """Turns at the steps 3, 6, 9, 12; logs at 5, 10, 15."""
    options, balance = {"max_steps": 15, "log_every": 5}, {"discriminator_steps": 3}
    whole = train(tiny("whole", train=options, balance=balance))
    train(tiny("parts", train={**options, "max_steps": stop}, balance=balance))
    parts = train(tiny("parts", train=options, balance=balance), resume=True)
    assert {step: row for step, row in logged(parts).items() if step in ("5", "10", "15")} == logged(whole)
    states = [load_state(newest_checkpoint(run)[0]) for run in (whole, parts)]
    assert states[0]["monitor"] == states[1]["monitor"]
    assert torch.equal(states[0]["signs"]["output"], states[1]["signs"]["output"])


def test_of_every_fake_there_are_signs(tiny_cyclegan: Tiny) -> None:
    _, told = played(tiny_cyclegan(), [0, 1, 2])
    for name in ("fake_a", "fake_b"):
        assert {f"signs/{sign}_{name}" for sign in ("diversity", "saturation", "saturation_real")} <= set(told[-1])
        assert f"signs/correlation_{name}" not in told[-1]  # there is no target
        assert f"signs/two_seeds_{name}" not in told[-1]  # nor dropout


def test_two_seeds_differ_where_there_is_dropout(tiny: Tiny) -> None:
    data = {"load_size": 32, "crop_size": 32}
    for dropout in (True, False):
        config = tiny(f"dropout-{dropout}", model={"num_downs": 5, "dropout": dropout}, data=data)
        gan_step = make_step(config)
        batch = {key: torch.rand(2, 3, 32, 32) * 2 - 1 for key in ("input", "target")}
        told = gan_step.run([batch], 1, 1.0, measure=True)
        assert ("signs/two_seeds_output" in told) == dropout
        assert told.get("signs/two_seeds_output", torch.ones(())) > 1e-4


@pytest.mark.parametrize("accumulation", [1, 2])
def test_measuring_changes_nothing(tiny: Tiny, accumulation: int) -> None:
    """Dropout, batch norm's running statistics and all: weights are the same whether each step is measured or one."""
    model, data = {"num_downs": 5}, {"load_size": 32, "crop_size": 32}
    options = {"max_steps": 5, "gradient_accumulation": accumulation}
    train(tiny("often", model=model, data=data, train={**options, "log_every": 1}))
    train(tiny("seldom", model=model, data=data, train={**options, "log_every": 100}))
    assert equal(weights(Path("runs/often")), weights(Path("runs/seldom")))


def test_measuring_leaves_the_pools_coins_alone(tiny_cyclegan: Tiny) -> None:
    """The generators' turn comes first, and the discriminators' draws random numbers after it."""
    for name, every in (("often", 1), ("seldom", 100)):
        options = {"max_steps": 7, "log_every": every}
        train(tiny_cyclegan(name, model={"dropout": True}, train=options))
    assert equal(weights(Path("runs/often")), weights(Path("runs/seldom")))


def test_a_resumed_run_remembers_its_images_and_its_sickness(tiny: Tiny) -> None:
    options = {"max_steps": 8, "log_every": 1}
    whole = train(tiny("whole", train=options))
    train(tiny("parts", train={**options, "max_steps": 5}))
    parts = train(tiny("parts", train=options), resume=True)
    assert logged(parts) == logged(whole)
    states = [load_state(newest_checkpoint(run)[0]) for run in (whole, parts)]
    assert states[0]["monitor"] == states[1]["monitor"]
    assert states[0]["monitor"]["logs"]
    assert torch.equal(states[0]["signs"]["output"], states[1]["signs"]["output"])


def test_a_checkpoint_of_before_there_was_a_monitor_resumes(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.training import trainer

    def old(path: Path) -> dict:
        return {key: value for key, value in load_state(path).items() if key not in ("monitor", "signs")}

    train(tiny(train={"max_steps": 2, "log_every": 1}))
    monkeypatch.setattr(trainer, "load_state", old)
    run = train(tiny(train={"max_steps": 4, "log_every": 1}), resume=True)
    assert list(logged(run)) == ["1", "2", "3", "4"]
