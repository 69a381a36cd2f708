"""Sampler: seeds, classes, codes, interpolations and traversals; the files and grids that are written."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import img2img
from img2img.config import Config
from img2img.inference.loading import load_sampler, load_translator
from img2img.inference.sampler import Sampler, slerp, write_samples
from img2img.models import model_class
from img2img.training.trainer import train

Tiny = Callable[..., Config]


@pytest.fixture
def sampler(tiny_noise: Tiny) -> Sampler:
    """Of weights large enough for images that differ."""
    config = tiny_noise(model={"init_gain": 0.3})
    torch.manual_seed(0)
    return Sampler(model_class(config.model.name)(config.model, config.data.channels), config)  # type: ignore[arg-type]


def test_sampler_images_do_not_depend_on_the_count(sampler: Sampler) -> None:
    many = sampler(19, seed=4)
    assert many.shape == (19, 32, 32, 1)
    assert many.dtype == np.uint8
    assert len({image.tobytes() for image in many}) == 19
    for count in (1, 5, 17):
        assert np.array_equal(sampler(count, seed=4), many[:count])
    assert not np.array_equal(sampler(1, seed=5), many[:1])


def test_sampler_draws_classes_in_turn_or_one(sampler: Sampler) -> None:
    if not sampler.model.num_classes:
        with pytest.raises(ValueError, match=r"^--class 3: .*model\.num_classes"):
            sampler(1, label=3)
        return
    mixed, threes = sampler(14), sampler(14, label=3)
    assert np.array_equal(mixed[3], threes[3])  # image 3 is of class 3, and so is image 13
    assert np.array_equal(mixed[13], threes[13])
    assert not np.array_equal(mixed[4], threes[4])
    with pytest.raises(ValueError, match=r"^--class 10: .* 0 to 9$"):
        sampler(1, label=10)


def test_sampler_codes(sampler: Sampler) -> None:
    if not sampler.model.codes:
        with pytest.raises(ValueError, match=r"^code c1: run tiny "):
            sampler(1, codes={"c1": 0.0})
        return
    shown = sampler.traversal(sampler.noise(0, 2), "d1")
    assert len(shown) == 10
    assert np.abs(sampler(3, codes={"d1": 7})[2].astype(int) - shown[7]).max() <= 1  # in a batch of another size
    with pytest.raises(ValueError, match=r"^code d1 10: .* 0 to 9 "):
        sampler(1, codes={"d1": 10})
    with pytest.raises(ValueError, match=r"^code c3: run tiny .* d1, c1, c2$"):
        sampler.traversal(sampler.noise(0, 0), "c3")


def test_interpolation_begins_and_ends_at_its_noises(sampler: Sampler) -> None:
    first, last = (sampler.noise(0, index, None) for index in (0, 10))  # of one class
    images = sampler.interpolation(first, last)
    assert np.array_equal(images[:1], sampler.interpolation(first, first)[:1])
    assert len({image.tobytes() for image in images}) == 9
    end = sampler.draw({**first, "z": last["z"]})
    assert np.abs(images[-1].astype(int) - end[0]).max() <= 1


def test_slerp_follows_the_great_circle() -> None:
    """On the unit sphere: equal angles, no change of length; between alike vectors, themselves."""
    a, b = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    for share in (0.0, 0.25, 0.5, 1.0):
        angle = torch.tensor(share * torch.pi / 2)
        expected = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.0)])
        assert torch.allclose(slerp(a, b, share)[0], expected, atol=1e-6)
    assert torch.allclose(slerp(a, a, 0.3), a)
    assert torch.allclose(slerp(2 * a, 4 * a, 0.5), 3 * a)


def test_write_samples_writes_files_and_grids(sampler: Sampler) -> None:
    write_samples(sampler, Path("o"), count=66, seed=1)
    assert len(list(Path("o").glob("*.png"))) == 66
    assert {path.name for path in Path("o/grids").iterdir()} == {"00000-00063.png", "00064-00065.png"}
    drawn = sampler(66, seed=1)
    assert np.array_equal(cv2.imread("o/00065.png", cv2.IMREAD_GRAYSCALE), drawn[65, :, :, 0])
    assert cv2.imread("o/grids/00000-00063.png").shape == (4 + 8 * 36, 4 + 8 * 36, 3)
    write_samples(sampler, Path("w"), count=3, interpolate=True)
    assert cv2.imread("w/grids/interpolation.png").shape == (4 + 3 * 36, 4 + 9 * 36, 3)
    assert not list(Path("w").glob("*.png"))
    with pytest.raises(ValueError, match="--interpolate and --traverse c1: "):
        write_samples(sampler, Path("w"), interpolate=True, traverse="c1")


@pytest.mark.parametrize(("options", "message"), [({"count": 0}, "--count 0"), ({"seed": -1}, "--seed -1")])
def test_write_samples_refuses_numbers_out_of_range(sampler: Sampler, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_samples(sampler, Path("o"), **options)
    assert not Path("o").exists()


def test_load_sampler_and_load_translator_refuse_each_others_runs(tiny_noise: Tiny, tiny: Tiny) -> None:
    train(tiny_noise("draws", train={"max_steps": 1, "ema_decay": 0.9}))
    sampler = img2img.load_sampler("draws", device="cpu")
    assert np.array_equal(sampler(2, seed=3), load_sampler(Path("runs/draws"))(2, seed=3))
    assert sampler.results(3, 1) == Path("runs/draws/results/step-000001/seed-3_class-1")
    with pytest.raises(ValueError, match=r"^run draws .*infer draws --count 64.*load_sampler"):
        load_translator("draws")
    train(tiny("translates", train={"max_steps": 1}))
    with pytest.raises(ValueError, match=r"^run translates .*load_translator"):
        load_sampler("translates")
