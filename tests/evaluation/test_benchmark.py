"""What we are measured against does the same maths, and the table says what it should."""

import copy
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from accelerate import Accelerator

from img2img.config import Config
from img2img.evaluation.benchmark import BenchmarkOptions, _generated
from img2img.evaluation.plain import PLAIN
from img2img.training.game import Game

Tiny = Callable[..., Config]


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_the_plain_loop_trains_alike(name: str, tiny: Tiny, tiny_cyclegan: Tiny) -> None:
    if name == "pix2pix":
        config = tiny(model={"norm": "none", "dropout": False})
    else:
        config = tiny_cyclegan(model={"norm": "none", "pool_size": 50})
    game = Game(config, Accelerator())
    other = copy.deepcopy(game.model)
    torch.manual_seed(0)
    batch = {key: torch.rand(2, 3, 16, 16) * 2 - 1 for key in ("a", "b", "input", "target")}
    plain = PLAIN[name](other, batch, nullcontext)
    before = {key: value.clone() for key, value in game.model.state_dict().items()}
    for step in range(4):
        game.play([batch], step, 1.0)
        plain()
    theirs = other.state_dict()
    for key, value in game.model.state_dict().items():
        assert not key.endswith("weight") or not torch.equal(value, before[key])
        assert (value - theirs[key]).abs().max() < 1e-5, key


@pytest.mark.parametrize(("name", "count"), [("pix2pix", 1), ("cyclegan", 6)])
def test_the_table_counts_what_passes_through_the_generators(name: str, count: int) -> None:
    assert _generated(BenchmarkOptions(model=name, size=32, ngf=2)) == count
