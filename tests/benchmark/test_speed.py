"""The plain loops do the same maths as the training step; the table's rows; wrong options."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torchvision.models import vgg19

from img2img.benchmark.loading import STEPS, loading_rows
from img2img.benchmark.plain_loops import PLAIN
from img2img.benchmark.speed import BenchmarkOptions, _batch, _draw_set, _generator_passes, _Worker, benchmark
from img2img.config import Config
from img2img.data.transforms import keyed_seed
from tests.conftest import make_step

Tiny = Callable[..., Config]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "pix2pixhd", "stargan", "srgan"])
def test_plain_loop_trains_like_the_training_step(
    name: str, tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny, tiny_stargan: Tiny, tiny_srgan: Tiny
) -> None:
    esrgan = {"stage": "gan", "network": "rrdb", "relativistic": True, "discriminator": "srgan", "scale": 1}
    esrgan |= {"lambda_vgg": 1.0, "vgg_layers": ("conv1_2",), "vgg_weights": "vgg.pth"}
    config = {
        "pix2pix": lambda: tiny(model={"norm": "none", "dropout": False}),
        "cyclegan": lambda: tiny_cyclegan(model={"norm": "none", "pool_size": 50}),
        "pix2pixhd": lambda: tiny_hd(model={"norm": "none", "n_layers_d": 2}),
        "stargan": lambda: tiny_stargan(data={"names": list("abcde")}, balance={"discriminator_steps": 5}),
        "srgan": lambda: tiny_srgan(model=esrgan, data={"down": None, "noise": 25}),
    }[name]()
    if name == "srgan":
        torch.save(vgg19(weights=None).state_dict(), "vgg.pth")
    gan_step = make_step(config)
    if name == "srgan":  # in fp32 batch norm of two values leaves rounding noise, which Adam scales up to full steps
        gan_step.model.double()
    plain_model = copy.deepcopy(gan_step.model)
    torch.manual_seed(0)
    batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("a", "b", "input", "target")}
    batch |= {key: torch.randint(-1, 9, (2, 1, 16, 16), dtype=torch.int32) for key in ("label", "instance")}
    batch["labels"] = torch.eye(5)[[0, 3]]
    batch["class"] = batch["labels"].argmax(1)
    if name == "srgan":
        batch = {key: batch[key].double() for key in ("input", "target")}
    plain_step = PLAIN[name](plain_model, batch, nullcontext)
    before = {key: value.clone() for key, value in gan_step.model.state_dict().items()}
    for step in range(6):
        torch.manual_seed(keyed_seed(0, step, 0, 0))  # StarGAN draws its targets, and points between real and fake
        plain_step()
        gan_step.run([batch], step, 1.0)
    expected = plain_model.state_dict()
    for key, value in gan_step.model.state_dict().items():
        if key.startswith("content.") or key.endswith(STATISTICS):  # the latter count the plain loop's further passes
            continue
        assert not key.endswith("weight") or not torch.equal(value, before[key])
        difference = (value - expected[key]).abs()
        if (name, key) == ("stargan", "generator.main.0.weight"):
            # The middle of a kernel adds a constant for a plane of labels, which instance norm removes: its gradient is
            # rounding noise, which Adam scales up to full steps
            difference[:, 3:, 3, 3] = 0
        assert difference.max() < 1e-5, key


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [("pix2pix", 32, 1), ("cyclegan", 32, 6), ("pix2pixhd", "96x64", 1), ("stargan", 32, 2), ("srgan", 32, 1)],
)
def test_generator_passes_counts_images_per_sample(name: str, size: int | str, count: int) -> None:
    options = BenchmarkOptions(model=name, size=size, ngf=2, batch_size=3)
    _draw_set(Path("set"), options)
    shapes = {value.shape[:3] for value in _batch(options, "set").values() if getattr(value, "ndim", 0) == 4}
    expected = {(3, options.height, options.width)}
    assert shapes == expected | ({(3, options.height // 4, options.width // 4)} if name == "srgan" else set())
    assert _generator_passes(options, "set") == count


def test_benchmark_inference_only_has_no_training_rows() -> None:
    small = {"size": "128x64", "ngf": 1, "steps": 1, "turns": 1}
    rows = dict(benchmark(BenchmarkOptions(model="pix2pixhd", stage="local", inference_only=True, **small)))
    assert list(rows) == ["inference, random weights", "peak memory, inference"]
    assert 50 < float(rows["peak memory, inference"].split()[-2]) < 4000


def test_loading_rows_are_pairs_a_second() -> None:
    rows = loading_rows(seconds=0.01)
    assert len(rows) == len(STEPS) + 3
    assert all(float(value) > 5 for _, value in rows)


def test_worker_that_dies_raises() -> None:
    with pytest.raises(RuntimeError, match="process died"):
        _Worker(exiting_commands, BenchmarkOptions(), "unused")


def exiting_commands(options: BenchmarkOptions, root: str) -> dict:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "64x"}, "^size 64x: .*WIDTHxHEIGHT"),
        ({"size": 0}, "^size 0: .*WIDTHxHEIGHT"),
        ({"size": "64x32"}, "^size 64x32: .*pix2pix$"),
        ({"size": 96}, "^size 96: .*pix2pix$"),
        ({"model": "pix2pixhd", "size": "500x250"}, r"^size 500x250: .*\b32\b.*pix2pixhd"),
        ({"stage": "local"}, "^stage local: .*pix2pixhd"),
        ({"turns": 0}, r"^turns 0: .*\b1$"),
    ],
)
def test_benchmark_options_names_the_wrong_option(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchmarkOptions(**options)


@pytest.mark.slow
def test_benchmark_training_only_has_the_ratio_and_the_memory() -> None:
    small = {"size": 32, "ngf": 2, "steps": 1, "turns": 1}
    rows = dict(benchmark(BenchmarkOptions(model="stargan", training_only=True, **small)))  # type: ignore[arg-type]
    assert len(rows) == 5
    assert float(rows["training step : plain loop, median of the turns"]) > 0
