"""InfoGAN: codes, their losses, and the networks that these train; sample grids and options."""

import math

import pytest
import torch

from img2img.models.infogan import InfoGAN

SMALL = {"size": 32, "noise_dim": 5, "ngf": 4, "ndf": 4, "num_categorical": 2, "categories": 3, "num_continuous": 2}


def make(**options: object) -> InfoGAN:
    torch.manual_seed(0)
    return InfoGAN(InfoGAN.Config(**{**SMALL, **options}), {"target": 1})


def batch() -> dict[str, torch.Tensor]:
    return {"target": torch.rand(4, 1, 32, 32) * 2 - 1}


def test_infogan_noise_draws_codes_from_their_priors() -> None:
    drawn = make().noise(3000, torch.Generator().manual_seed(0))
    first, second, continuous = drawn["codes"].split([3, 3, 2], dim=1)
    for code in (first, second):
        assert torch.equal(code.sum(1), torch.ones(3000))
        assert torch.allclose(code.mean(0), torch.full((3,), 1 / 3), atol=0.05)
    assert (first.argmax(1) != second.argmax(1)).any()
    assert continuous.abs().max() <= 1
    assert torch.allclose(continuous.var(0), torch.full((2,), 1 / 3), atol=0.03)  # of U(-1, 1)


def test_infogan_code_losses_equal_a_slow_reference() -> None:
    model, data = make(lambda_categorical=2.0, lambda_continuous=0.5, init_gain=0.2).eval(), batch()
    images = model(data)
    terms, statistics = model.generator_loss(data, images)
    predictions = model.recogniser(model.discriminator(images["output"], return_features=True)[-2])
    categorical = continuous = accuracy = 0.0
    for predicted, code in zip(predictions.tolist(), images["codes"].tolist(), strict=True):
        for first in (0, 3):
            exponentials = [math.exp(x) for x in predicted[first : first + 3]]
            chosen = code[first : first + 3].index(1.0)
            categorical -= math.log(exponentials[chosen] / sum(exponentials)) / 4
            accuracy += (exponentials[chosen] == max(exponentials)) / 8
        # -log N(c; mean, 1) without its constant
        continuous += sum(0.5 * (c - mean) ** 2 for c, mean in zip(code[6:], predicted[6:], strict=True)) / 4
    assert terms["code_categorical"].item() == pytest.approx(2 * categorical, rel=1e-4)
    assert terms["code_continuous"].item() == pytest.approx(0.5 * continuous, rel=1e-4)
    assert statistics["accuracy_code"].item() == pytest.approx(accuracy)


def test_infogan_code_losses_train_only_generator_and_recogniser() -> None:
    model, data = make(), batch()
    model.discriminator.requires_grad_(False)  # as in the G step
    terms, _ = model.generator_loss(data, model(data))
    (terms["code_categorical"] + terms["code_continuous"]).backward()
    for name, network in model.named_children():
        learns = any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
        assert learns == (name in model.generators), name


def test_infogan_codes_have_their_values_by_name() -> None:
    model = make()
    assert {name: len(values) for name, values in model.codes.items()} == {"d1": 3, "d2": 3, "c1": 9, "c2": 9}
    assert model.codes["c1"][0] == -2
    assert model.codes["c1"][4] == 0
    assert model.codes["c1"][-1] == 2


def test_infogan_traversal_changes_one_code() -> None:
    model = make()
    start = model.noise(1)
    codes = model.traversal(start, "d2")["codes"]
    assert torch.equal(codes[:, 3:6], torch.eye(3))
    assert torch.equal(codes[:, :3], start["codes"][:, :3].repeat(3, 1))
    batch = model.traversal(start, "c2")
    assert batch["codes"][:, 7].tolist() == list(model.codes["c2"])
    assert torch.equal(batch["codes"][:, :7], start["codes"][:, :7].repeat(9, 1))
    assert torch.equal(batch["z"], start["z"].repeat(9, 1))


@pytest.mark.parametrize(
    ("options", "shape"),
    [({}, (3, 9)), ({"num_categorical": 0}, (9, 9)), ({"num_continuous": 0, "categories": 20}, (16, 9))],
)
def test_infogan_sheet_has_a_row_per_d1_and_a_column_per_c1(options: dict, shape: tuple[int, int]) -> None:
    model = make(**options).eval()
    rows = model.sheet()
    assert (len(rows), len(rows[0]["z"])) == shape
    assert all(torch.equal(a["codes"], b["codes"]) for a, b in zip(rows, model.sheet(), strict=True))
    assert model.samples(rows[0])["output"].shape == (9, 1, 32, 32)


@pytest.mark.parametrize(
    "options", [{"num_categorical": -1}, {"categories": 1}, {"num_continuous": -1}, {"lambda_continuous": -1.0}]
)
def test_infogan_config_names_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        InfoGAN.Config(**options)


def test_infogan_refuses_a_config_without_codes() -> None:
    with pytest.raises(ValueError, match=r"model\.num_categorical and model\.num_continuous.*dcgan"):
        InfoGAN.Config(num_categorical=0, num_continuous=0)
