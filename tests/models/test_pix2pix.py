"""pix2pix: losses, sizes and options; and the search for a model by its name."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from img2img.losses.restoration import ms_ssim_loss, ssim_loss
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


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_pix2pix_feature_matching_compares_the_layers_of_the_discriminator(layers: int) -> None:
    """Eq. 4 of arXiv 1711.11585, layer by layer, without the logits; the adversarial loss stays as it is."""
    plain, data = make(n_layers_d=layers).eval(), batch()
    model = make(n_layers_d=layers, lambda_fm=7.0).eval()
    model.load_state_dict(plain.state_dict())
    images = model(data)
    real = torch.cat([data["input"], data["target"]], dim=1)
    fake = torch.cat([data["input"], images["output"]], dim=1)
    distances = []
    for stage in model.discriminator.stages[:-1]:
        real, fake = stage(real), stage(fake)
        distances.append((real - fake).abs().mean())
    expected = plain.generator_loss(data, images)[0]
    expected["fm"] = 7 * 4 / len(distances) * torch.stack(distances).sum()
    terms, _ = model.generator_loss(data, images)
    assert set(terms) == {"gan", "l1", "fm"}
    parameters = [*model.generator.parameters()]
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])
        gradients, wanted = (
            torch.autograd.grad(x, parameters, retain_graph=True, materialize_grads=True)
            for x in (term, expected[name])
        )
        for gradient, other in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kind", "loss"), [("ssim", ssim_loss), ("ms_ssim", ms_ssim_loss)])
def test_pix2pix_weighs_ssim_and_vgg_of_output_and_target(kind: str, loss) -> None:  # type: ignore[no-untyped-def]
    model, data = make(lambda_vgg=3.0, lambda_ssim=2.0, ssim=kind).eval(), batch()
    model.similarity.perceptual = lambda x, y: F.mse_loss(x, y)  # type: ignore[assignment]
    images = model(data)
    terms, _ = model.generator_loss(data, images)
    assert set(terms) == {"gan", "l1", kind, "vgg"}
    assert terms["vgg"].item() == pytest.approx(3 * F.mse_loss(images["output"], data["target"]).item(), rel=1e-5)
    assert terms[kind].item() == pytest.approx(2 * loss(images["output"], data["target"]).item(), rel=1e-5)


def test_pix2pix_leaves_out_terms_of_weight_zero() -> None:
    model, data = make(lambda_l1=0.0), batch()
    model.load_pretrained()  # needs no VGG19
    assert set(model.generator_loss(data, model(data))[0]) == {"gan"}


def test_pix2pix_generate_needs_only_the_input() -> None:
    data = batch()
    assert make().generate({"input": data["input"]})["output"].shape == data["target"].shape


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"num_downs": 4}, 24, r"model\.num_downs 3"),
        ({"num_downs": 4}, 17, r"\b16\b"),
        ({"num_downs": 2, "n_layers_d": 5}, 64, r"model\.n_layers_d 5"),
        ({"num_downs": 2, "lambda_vgg": 1.0}, 12, r"\b16\b.*model\.lambda_vgg"),
        ({"num_downs": 2, "lambda_ssim": 1.0}, 8, r"\b11\b.*model\.lambda_ssim"),
    ],
)
def test_pix2pix_check_size_names_the_option_to_change(options: dict, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.crop_size {size}\b.*{message}"):
        make(**options).check_size(size)


@pytest.mark.parametrize(
    "options",
    [
        {"num_downs": 1},
        {"ngf": 0},
        {"lambda_l1": -1.0},
        {"lambda_vgg": -1.0},
        {"lambda_ssim": -1.0},
        {"lambda_fm": -1.0},
        {"init_gain": 0.0},
    ],
)
def test_pix2pix_config_names_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        Pix2Pix.Config(**options)
