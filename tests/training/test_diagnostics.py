"""Diagnostics against slow references; measuring changes nothing; a resumed run logs the same ones."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import Config
from img2img.data.transforms import keyed_seed
from img2img.models.stargan import StarGAN
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


def test_correlation_is_pearsons() -> None:
    fake, real = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    expected = [np.corrcoef(f.flatten(), r.flatten())[0, 1] for f, r in zip(fake.numpy(), real.numpy(), strict=True)]
    assert correlation(fake, real).item() == pytest.approx(np.mean(expected), abs=1e-5)
    assert correlation(-0.5 * real + 0.1, real).item() == pytest.approx(-1, abs=1e-5)
    assert correlation(torch.ones_like(real), real).item() == pytest.approx(0, abs=1e-3)


def test_saturation_counts_both_ends() -> None:
    assert saturation(torch.tensor([[[[-1.0, 1.0, 0.0, SATURATED - 0.01]]]])).item() == 0.5


@pytest.mark.parametrize(("height", "width"), [(64, 32), (50, 37), (16, 16), (8, 20)])
def test_thumbnail_averages_images_of_any_size(height: int, width: int) -> None:
    """Exactly, if the sides are multiples of SIDE."""
    image = torch.rand(2, 3, height, width)
    small = thumbnail(image)
    assert small.shape == (2, 3, SIDE, SIDE)
    assert (small.mean((2, 3)) - image.mean((2, 3))).abs().max() < 0.06
    if height % SIDE == width % SIDE == 0:
        cells = image.reshape(2, 3, SIDE, height // SIDE, SIDE, width // SIDE).mean((3, 5))
        torch.testing.assert_close(small, cells)


def run_steps(config: Config, steps: list[int]) -> tuple[GANStep, list[dict[str, torch.Tensor]]]:
    """Runs a few steps on random images, and measures at each."""
    gan_step = make_step(config)
    values = []
    for step in steps:
        torch.manual_seed(step)
        batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target", "a", "b")}
        values.append(gan_step.run([batch], step, 1.0, measure=True))
    return gan_step, values


def test_diagnostics_keep_thumbnails_of_the_last_steps_before_a_log(tiny: Tiny) -> None:
    """Two of each of the last eight steps before a regular log, whether they are measured or not."""
    gan_step, values = run_steps(tiny(train={"log_every": 100}), [50, 91, 92, 93, 99])
    assert "signs/diversity_output" not in values[0]  # too few images
    assert "signs/diversity_output" not in values[2]
    assert all("signs/diversity_output" in logged_values for logged_values in values[3:])
    assert len(gan_step.diagnostics.kept["output"]) == 6
    gan_step, _ = run_steps(tiny(train={"log_every": 1}), list(range(KEPT)))
    kept = gan_step.diagnostics.kept["output"]
    torch.manual_seed(KEPT - 1)
    batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target")}
    torch.testing.assert_close(kept[-2:, 3:], batch["target"])
    fake, real = kept.chunk(2, dim=1)
    assert kept.shape == (KEPT, 6, SIDE, SIDE)
    last = gan_step.run([batch], KEPT, 1.0, measure=True)
    fake, real = gan_step.diagnostics.kept["output"].chunk(2, dim=1)
    assert last["signs/diversity_output"].item() == pytest.approx(
        ((spread(fake) + NO_DISTANCE) / (spread(real) + NO_DISTANCE)).item(), rel=1e-5
    )


def test_diagnostics_keep_thumbnails_of_generator_steps_only(tiny: Tiny) -> None:
    """Every third step has a G step; the last eight of them before the log have the sixteen images."""
    config = tiny(train={"log_every": 100}, balance={"discriminator_steps": 3})
    gan_step, _ = run_steps(config, list(range(100)))
    _, real = gan_step.diagnostics.kept["output"].chunk(2, dim=1)
    expected = []
    for step in range(77, 100, 3):  # G steps are 2, 5, ... 98
        torch.manual_seed(step)
        expected.append({key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("input", "target", "a", "b")}["target"])
    torch.testing.assert_close(real, torch.cat(expected))


def test_diagnostics_of_a_log_are_of_the_last_generator_step(tiny: Tiny) -> None:
    """G steps are 3, 6, ...; of the logs at 4, 8, 12, ... every third is at one."""
    options = {"log_every": 4, "max_steps": 25}
    run = train(tiny(train=options, balance={"discriminator_steps": 3}))
    every_fourth = logged(run)
    assert set(every_fourth) == {"4", "8", "12", "16", "20", "24", "25"}
    run = train(tiny("each", train={**options, "log_every": 1}, balance={"discriminator_steps": 3}))
    every = logged(run)
    for log, step in {"4": "3", "8": "6", "12": "12", "16": "15", "20": "18", "24": "24"}.items():
        for name in ("signs/saturation_output", "signs/correlation_output", "gradient_norm/generator"):
            assert every_fourth[log][name] == every[step][name] != "", (log, name)
    assert every_fourth["25"]["gradient_norm/generator"] == ""  # no G step since the log before


@pytest.mark.parametrize("stop", [7, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 9, 10))])
def test_diagnostics_are_kept_at_a_resume_between_a_generator_step_and_its_log(tiny: Tiny, stop: int) -> None:
    """G steps are 3, 6, 9, 12; logs are at 5, 10, 15."""
    options, balance = {"max_steps": 15, "log_every": 5}, {"discriminator_steps": 3}
    whole = train(tiny("whole", train=options, balance=balance))
    train(tiny("parts", train={**options, "max_steps": stop}, balance=balance))
    parts = train(tiny("parts", train=options, balance=balance), resume=True)
    assert {step: row for step, row in logged(parts).items() if step in ("5", "10", "15")} == logged(whole)
    states = [load_state(newest_checkpoint(run)[0]) for run in (whole, parts)]
    assert states[0]["monitor"] == states[1]["monitor"]
    assert torch.equal(states[0]["signs"]["output"], states[1]["signs"]["output"])


def test_diagnostics_measure_every_fake(tiny_cyclegan: Tiny) -> None:
    _, values = run_steps(tiny_cyclegan(), [0, 1, 2])
    for name in ("fake_a", "fake_b"):
        assert {f"signs/{kind}_{name}" for kind in ("diversity", "saturation", "saturation_real")} <= set(values[-1])
        assert f"signs/correlation_{name}" not in values[-1]  # there is no target
        assert f"signs/two_seeds_{name}" not in values[-1]  # nor dropout


def test_two_seeds_differ_where_there_is_dropout(tiny: Tiny) -> None:
    data = {"load_size": 32, "crop_size": 32}
    for dropout in (True, False):
        config = tiny(f"dropout-{dropout}", model={"num_downs": 5, "dropout": dropout}, data=data)
        gan_step = make_step(config)
        batch = {key: torch.rand(2, 3, 32, 32) * 2 - 1 for key in ("input", "target")}
        values = gan_step.run([batch], 1, 1.0, measure=True)
        assert ("signs/two_seeds_output" in values) == dropout
        assert values.get("signs/two_seeds_output", torch.ones(())) > 1e-4


FIVE = {"names": list("abcde")}


def five_domains(*, exclusive: bool = True) -> dict[str, torch.Tensor]:
    """A batch of four random images of five domains, or with five attributes."""
    torch.manual_seed(0)
    x, number = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([0, 4, 2, 2])
    batch = {"input": x, "target": x, "labels": torch.eye(5)[number]}
    return {**batch, "class": number if exclusive else torch.full((4,), -1)}


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "attributes"])
def test_two_targets_is_the_mean_distance_of_outputs_for_them(tiny_stargan: Tiny, exclusive: bool) -> None:
    """The same inputs with their targets, and with the next domain or all attributes flipped; as a share of the real
    images' distance.
    """
    gan_step = make_step(tiny_stargan(data=FIVE, balance={"discriminator_steps": 1}))
    generator = copy.deepcopy(gan_step.networks.bare["generator"])  # the step measures before it updates
    batch = five_domains(exclusive=exclusive)
    values = gan_step.run([batch], 7, 1.0, measure=True)
    torch.manual_seed(keyed_seed(0, "again", 7, 0))
    targets = batch["labels"][torch.randperm(4)]
    others = torch.eye(5)[(targets.argmax(1) + 1) % 5] if exclusive else 1 - targets
    with torch.no_grad():
        distance = (generator(batch["input"], targets) - generator(batch["input"], others)).abs().mean()
    expected = distance / (spread(thumbnail(batch["input"])) + NO_DISTANCE)
    assert values["signs/two_targets_output"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "signs/two_seeds_output" not in values  # G has no noise


def test_two_targets_differ_by_the_target_alone(tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by what spectral norm iterates from one pass to the next."""
    monkeypatch.setattr(StarGAN, "retargeted", lambda self, batch: batch)
    gan_step = make_step(tiny_stargan(data=FIVE, balance={"spectral_norm": "both", "discriminator_steps": 1}))
    assert gan_step.run([five_domains()], 1, 1.0, measure=True)["signs/two_targets_output"] == 0


def test_measuring_two_targets_changes_no_weights(tiny_stargan: Tiny) -> None:
    """Spectral norm's vectors are among them; dropout in D draws random numbers after the measurement."""
    balance = {"spectral_norm": "both", "dropout_d": 0.2}
    for name, every in (("often", 1), ("seldom", 100)):
        train(tiny_stargan(name, balance=balance, train={"max_steps": 6, "log_every": every}))
    assert equal(weights(Path("runs/often")), weights(Path("runs/seldom")))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_measuring_changes_no_weights(tiny: Tiny, accumulation: int) -> None:
    """With dropout and batch norm's running statistics, whether each step is measured or only one."""
    model, data = {"num_downs": 5}, {"load_size": 32, "crop_size": 32}
    options = {"max_steps": 5, "gradient_accumulation": accumulation}
    train(tiny("often", model=model, data=data, train={**options, "log_every": 1}))
    train(tiny("seldom", model=model, data=data, train={**options, "log_every": 100}))
    assert equal(weights(Path("runs/often")), weights(Path("runs/seldom")))


def test_measuring_changes_no_random_numbers_of_the_pools(tiny_cyclegan: Tiny) -> None:
    """The G step is measured, and the D step after it draws random numbers for the pools."""
    for name, every in (("often", 1), ("seldom", 100)):
        options = {"max_steps": 7, "log_every": every}
        train(tiny_cyclegan(name, model={"dropout": True}, train=options))
    assert equal(weights(Path("runs/often")), weights(Path("runs/seldom")))


def test_resume_keeps_thumbnails_and_the_monitors_state(tiny: Tiny) -> None:
    options = {"max_steps": 8, "log_every": 1}
    whole = train(tiny("whole", train=options))
    train(tiny("parts", train={**options, "max_steps": 5}))
    parts = train(tiny("parts", train=options), resume=True)
    assert logged(parts) == logged(whole)
    states = [load_state(newest_checkpoint(run)[0]) for run in (whole, parts)]
    assert states[0]["monitor"] == states[1]["monitor"]
    assert states[0]["monitor"]["logs"]
    assert torch.equal(states[0]["signs"]["output"], states[1]["signs"]["output"])


def test_resume_accepts_checkpoints_without_monitor_and_thumbnails(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.training import resuming

    def old_state(path: Path) -> dict:
        return {key: value for key, value in load_state(path).items() if key not in ("monitor", "signs")}

    train(tiny(train={"max_steps": 2, "log_every": 1}))
    monkeypatch.setattr(resuming, "load_state", old_state)
    run = train(tiny(train={"max_steps": 4, "log_every": 1}), resume=True)
    assert list(logged(run)) == ["1", "2", "3", "4"]
