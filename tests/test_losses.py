"""Losses against their equations, written out with plain numbers."""

import math

import pytest
import torch

from img2img.losses import (
    discriminator_gan_loss,
    discriminator_statistics,
    feature_matching_loss,
    generator_gan_loss,
)

LOGITS = [-1.5, 0.2, 0.7, 3.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


EQUATIONS = {
    ("vanilla", True): lambda x: -math.log(sigmoid(x)),
    ("vanilla", False): lambda x: -math.log(1 - sigmoid(x)),
    ("lsgan", True): lambda x: (x - 1) ** 2,
    ("lsgan", False): lambda x: x**2,
    ("hinge", True): lambda x: max(0, 1 - x),
    ("hinge", False): lambda x: max(0, 1 + x),
    ("wasserstein", True): lambda x: -x,
    ("wasserstein", False): lambda x: x,
}


@pytest.mark.parametrize(("kind", "real"), EQUATIONS)
def test_discriminator_loss_is_its_equation(kind: str, real: bool) -> None:
    expected = sum(EQUATIONS[kind, real](x) for x in LOGITS) / len(LOGITS)
    assert discriminator_gan_loss(torch.tensor(LOGITS), real, kind).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "hinge", "wasserstein"])
def test_generator_wants_its_pictures_called_real(kind: str) -> None:
    expected = -sum(LOGITS) / 4 if kind == "hinge" else sum(EQUATIONS[kind, True](x) for x in LOGITS) / 4
    assert generator_gan_loss(torch.tensor(LOGITS), kind).item() == pytest.approx(expected, rel=1e-6)
    logits = torch.zeros(3, requires_grad=True)
    generator_gan_loss(logits, kind).backward()
    assert logits.grad is not None
    assert (logits.grad < 0).all()  # a step against the gradient raises the logits


@pytest.mark.parametrize(("kind", "expected"), [("lsgan", (0.5, 0.75)), ("hinge", (0.75, 0.5))])
def test_accuracy_counts_the_right_verdicts(kind: str, expected: tuple[float, float]) -> None:
    found = discriminator_statistics(torch.tensor([0.2, 0.6, 2.0, -1.0]), torch.tensor([0.2, 0.6, -2.0, -1.0]), kind)
    assert (found["accuracy_real"].item(), found["accuracy_fake"].item()) == expected


def test_a_critic_is_described_by_its_gap() -> None:
    found = discriminator_statistics(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0]), "wasserstein")
    assert {name: value.item() for name, value in found.items()} == {"gap": 2.5}


@pytest.mark.parametrize(
    ("kind", "undecided", "right"), [("lsgan", 0.5, (1, 0)), ("hinge", 0, (1, -1)), ("vanilla", 0, (50, -50))]
)
def test_the_relative_loss_is_one_when_undecided_and_none_at_the_labels(
    kind: str, undecided: float, right: tuple[float, float]
) -> None:
    neither, real, fake = (torch.full((2, 1, 3, 3), float(logit)) for logit in (undecided, *right))
    assert discriminator_statistics(neither, neither, kind)["relative_loss"].item() == pytest.approx(1, abs=1e-6)
    found = discriminator_statistics(real, fake, kind)
    assert found["relative_loss"].item() == pytest.approx(0, abs=1e-6)
    assert found["gap"].item() == right[0] - right[1]


@pytest.mark.parametrize("layers", [2, 4])
def test_feature_matching_is_its_equation(layers: int) -> None:
    """Eq. 4 of arXiv 1711.11585 by the authors' weights, in plain loops; the logits don't count."""
    torch.manual_seed(0)
    shapes = [(1, 2, 8 >> i, 8 >> i) for i in range(layers)] + [(1, 1, 2, 2)]
    real, fake = ([[torch.rand(shape) for shape in shapes] for _ in range(3)] for _ in range(2))
    expected = 0.0
    for r, f in zip(real, fake, strict=True):
        for j in range(layers):
            expected += 4 / layers / 3 * (f[j] - r[j]).abs().sum().item() / r[j].numel()
    assert feature_matching_loss(real, fake).item() == pytest.approx(expected, rel=1e-5)


def test_feature_matching_teaches_the_fake_alone() -> None:
    real, fake = torch.rand(1, 1, 4, 4, requires_grad=True), torch.rand(1, 1, 4, 4, requires_grad=True)
    feature_matching_loss([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None
