"""pix2pix: losses, sizes and options; and the search for a model by its name."""

import inspect

import pytest
import torch

from img2img.models import model_class, model_names
from img2img.models.base import Model
from img2img.models.pix2pix import Pix2Pix


def make(**options: object) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(
        Pix2Pix.Config(**{"num_downs": 4, "ngf": 4, "ndf": 4, "n_layers_d": 1, **options}), {"input": 3, "target": 1}
    )


def batch() -> dict[str, torch.Tensor]:
    return {"input": torch.rand(2, 3, 16, 16) * 2 - 1, "target": torch.rand(2, 1, 16, 16) * 2 - 1}


def test_model_class_finds_the_model_of_every_file() -> None:
    for name in model_names():
        model = model_class(name)
        assert issubclass(model, Model)
        assert inspect.getmodule(model).__doc__
        assert model.Config().name == name


def test_model_class_suggests_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"--model pixpix: .*\bpix2pix\b"):
        model_class("pixpix")


def test_pix2pix_losses_equal_the_papers() -> None:
    """Eq. 1 with D's loss halved (Sec. 3.3), on (input, target) and (input, output) pairs; Eq. 4 with Eq. 3's L1."""
    model, data = make(gan_loss="vanilla", lambda_l1=100.0).eval(), batch()
    images = model(data)
    real = model.discriminator(torch.cat([data["input"], data["target"]], 1)).sigmoid()
    fake = model.discriminator(torch.cat([data["input"], images["output"]], 1)).sigmoid()
    terms, statistics = model.discriminator_loss(data, images)
    assert sum(terms.values()).item() == pytest.approx(
        -0.5 * (real.log().mean() + (1 - fake).log().mean()).item(), rel=1e-5
    )
    assert set(statistics) == {"accuracy_real", "accuracy_fake", "gap", "relative_loss"}
    terms, _ = model.generator_loss(data, images)
    assert terms["gan"].item() == pytest.approx(-fake.log().mean().item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(100 * (images["output"] - data["target"]).abs().mean().item(), rel=1e-5)


def test_pix2pix_generate_needs_only_the_input() -> None:
    data = batch()
    assert make().generate({"input": data["input"]})["output"].shape == data["target"].shape


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"num_downs": 4}, 24, r"model\.num_downs 3"),
        ({"num_downs": 4}, 17, r"\b16\b"),
        ({"num_downs": 2, "n_layers_d": 5}, 64, r"model\.n_layers_d 5"),
    ],
)
def test_pix2pix_check_size_names_the_option_to_change(options: dict, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.crop_size {size}\b.*{message}"):
        make(**options).check_size(size)


@pytest.mark.parametrize("options", [{"num_downs": 1}, {"ngf": 0}, {"lambda_l1": -1.0}, {"init_gain": 0.0}])
def test_pix2pix_config_names_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        Pix2Pix.Config(**options)
