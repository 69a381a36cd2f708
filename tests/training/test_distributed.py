"""Two processes on the CPU (gloo) give the same results as one process with twice the batch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from img2img.checkpoint import list_checkpoints, load_state, newest_checkpoint
from img2img.config import Config
from img2img.training.trainer import train
from tests.helpers import launch, rows

COARSE = ("coarse.encoder.0.weight", "coarse.blocks.0.layers.0.weight")  # of a generator, from a global stage


@pytest.mark.parametrize(
    ("norm", "accumulation", "further"),
    [
        ("instance", 1, {}),
        pytest.param("none", 2, {}, marks=pytest.mark.slow),
        pytest.param("none", 1, {"lambda_fm": 10.0, "lambda_ssim": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_equal_one(
    tiny: Callable[..., Config], norm: str, accumulation: int, further: dict[str, float]
) -> None:
    model = {"norm": norm, "dropout": False, **further}  # batch statistics and noise differ by process
    options = {"max_steps": 10, "gradient_accumulation": accumulation, "ema_decay": 0.9}
    train(tiny("one", model=model, data={"batch_size": 4}, train=options))
    assert "processes: 2" in launch(tiny("two", model=model, train=options), 2)
    for file in sorted(newest_checkpoint(Path("runs/one"))[0].glob("*.safetensors")):
        two = load_file(newest_checkpoint(Path("runs/two"))[0] / file.name)
        for key, value in load_file(file).items():
            # before instance norm a bias has only rounding noise as its gradient, which Adam scales up to full steps
            if norm == "none" or key.endswith("weight"):
                assert (value - two[key]).abs().max() < 2e-5, f"{file.name} {key}"
    one, two = (rows(Path("runs") / name)[-1] for name in ("one", "two"))
    for name in (name for name in one if name.startswith("signs/")):  # of the images of both processes
        assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-3, abs=1e-3), name


@pytest.mark.slow
def test_two_processes_equal_one_for_restoration(tiny_restoration: Callable[..., Config]) -> None:
    """Noise is drawn for each image by its number, whichever process has it."""
    options = {"max_steps": 8, "ema_decay": 0.9}
    train(tiny_restoration("one", data={"batch_size": 4}, train=options))
    assert "processes: 2" in launch(tiny_restoration("two", train=options), 2)
    one, two = (newest_checkpoint(Path("runs") / name)[0] / "generator.safetensors" for name in ("one", "two"))
    for key, value in load_file(one).items():
        assert (value - load_file(two)[key]).abs().max() < 2e-5, key


@pytest.mark.slow
def test_two_processes_equal_one_for_four_networks(tiny_cyclegan: Callable[..., Config]) -> None:
    """CycleGAN without its pools, which draw other random numbers in each process."""
    model, options = {"norm": "none", "pool_size": 0}, {"max_steps": 8, "ema_decay": 0.9}
    train(tiny_cyclegan("one", model=model, data={"batch_size": 4}, train=options))
    assert "processes: 2" in launch(tiny_cyclegan("two", model=model, train=options), 2)
    for file in sorted(newest_checkpoint(Path("runs/one"))[0].glob("*.safetensors")):
        two = load_file(newest_checkpoint(Path("runs/two"))[0] / file.name)
        for key, value in load_file(file).items():
            assert (value - two[key]).abs().max() < 2e-5, f"{file.name} {key}"


@pytest.mark.slow
def test_two_processes_equal_one_for_a_frozen_stage_with_an_encoder(tiny_hd: Callable[..., Config]) -> None:
    """400 scenes in batches of two: 0.02 of an epoch are four steps, of eight."""
    model = {"norm": "none", "instance_features": True}
    train(tiny_hd("first", model=model))
    model |= {"stage": "local", "ngf": 2}
    options = {"max_steps": 8, "save_every": 4, "init_from": "first", "freeze_global_epochs": 0.02, "ema_decay": 0.9}
    train(tiny_hd("one", model=model, train=options))
    assert "processes: 2" in launch(tiny_hd("two", model=model, data={"batch_size": 1}, train=options), 2)
    first = load_file(newest_checkpoint(Path("runs/first"))[0] / "generator.safetensors")
    for step in ("step-000004", "step-000008"):
        one, two = (Path("runs") / name / "checkpoints" / step for name in ("one", "two"))
        for file in sorted(one.glob("*.safetensors")):
            two_weights = load_file(two / file.name)
            for key, value in load_file(file).items():
                assert (value - two_weights[key]).abs().max() < 2e-5, f"{step} {file.name} {key}"
        frozen = [torch.equal(load_file(two / "generator.safetensors")[key], first[key]) for key in COARSE]
        assert frozen == [step == "step-000004"] * len(COARSE)
    initial = load_file(newest_checkpoint(Path("runs/first"))[0] / "encoder.safetensors")
    final = load_file(two / "encoder.safetensors")
    assert not any(torch.equal(final[key], initial[key]) for key in initial if key.endswith("weight"))


@pytest.mark.slow
def test_two_processes_resume_with_their_own_pools(tiny_cyclegan: Callable[..., Config]) -> None:
    options = {"max_steps": 8, "save_every": 5, "keep_checkpoints": 0}
    launch(tiny_cyclegan("two", train=options), 2)
    last = newest_checkpoint(Path("runs/two"))[0]
    whole, pools = load_state(last)["pools"], [state["pool_a"]["pictures"] for state in load_state(last)["pools"]]
    weights = {file.name: load_file(file) for file in last.glob("*.safetensors")}
    assert len(pools) == 2
    assert not torch.equal(*pools)
    shutil.rmtree(last)
    launch(tiny_cyclegan("two", train=options), 2, "--resume")
    for before, after in zip(whole, load_state(last)["pools"], strict=True):
        assert all(torch.equal(before[name]["pictures"], after[name]["pictures"]) for name in before)
    for name, tensors in weights.items():
        assert all(torch.equal(value, load_file(last / name)[key]) for key, value in tensors.items())


def test_two_processes_stop_and_save_together_when_one_can_not_read(tiny: Callable[..., Config]) -> None:
    """At the same step, and they resume exactly."""
    options = {"max_steps": 6, "log_every": 2}
    launch(tiny("whole", train=options), 2)
    errors = launch(tiny("two", train=options), 2, "--unreadable", "3", fails=True)
    assert "this.png" in errors
    assert [path.name for path in list_checkpoints(Path("runs/two"))] == ["step-000003"]
    launch(tiny("two", train=options), 2, "--resume")
    whole, two = (newest_checkpoint(Path("runs") / name)[0] for name in ("whole", "two"))
    assert whole.name == two.name
    for file in whole.glob("*.safetensors"):
        two_weights = load_file(two / file.name)
        assert all(torch.equal(value, two_weights[key]) for key, value in load_file(file).items())
