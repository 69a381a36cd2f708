"""GAN losses, statistics and penalties against their equations, in plain numbers."""

import math
from collections.abc import Callable

import pytest
import torch

from img2img.losses.gan import (
    PenaltyOf,
    discriminator_gan_loss,
    discriminator_statistics,
    diversity_loss,
    generator_gan_loss,
    gradient_penalty,
    interpolate,
)

LOGITS = [-1.5, 0.2, 0.7, 3.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


EQUATIONS = {
    ("vanilla", True): lambda x: -math.log(sigmoid(x)),
    ("vanilla", False): lambda x: -math.log(1 - sigmoid(x)),
    ("minimax", True): lambda x: -math.log(sigmoid(x)),
    ("minimax", False): lambda x: -math.log(1 - sigmoid(x)),
    ("lsgan", True): lambda x: (x - 1) ** 2,
    ("lsgan", False): lambda x: x**2,
    ("hinge", True): lambda x: max(0, 1 - x),
    ("hinge", False): lambda x: max(0, 1 + x),
    ("wasserstein", True): lambda x: -x,
    ("wasserstein", False): lambda x: x,
}


@pytest.mark.parametrize(("kind", "real"), EQUATIONS)
def test_discriminator_gan_loss_equals_its_equation(kind: str, real: bool) -> None:
    expected = sum(EQUATIONS[kind, real](x) for x in LOGITS) / len(LOGITS)
    assert discriminator_gan_loss(torch.tensor(LOGITS), real, kind).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["vanilla", "minimax", "lsgan", "hinge", "wasserstein"])
def test_discriminator_gan_loss_takes_a_label_per_image(kind: str) -> None:
    """Labels 1 and 0 in one batch of two images, each of two patches."""
    logits = torch.tensor([LOGITS[:2], LOGITS[2:]])
    expected = sum(EQUATIONS[kind, True](x) for x in LOGITS[:2]) + sum(EQUATIONS[kind, False](x) for x in LOGITS[2:])
    loss = discriminator_gan_loss(logits, torch.tensor([1.0, 0.0]), kind)
    assert loss.item() == pytest.approx(expected / 4, rel=1e-6)


@pytest.mark.parametrize("label", [0.9, 0.3, 1.2])
def test_discriminator_gan_loss_is_minimal_at_a_smoothed_label(label: float) -> None:
    """lsgan is 0 at the label; the derivative of vanilla's cross entropy is sigmoid(D) - label."""
    assert discriminator_gan_loss(torch.tensor([label]), label, "lsgan").item() == 0
    logits = torch.tensor([0.4], requires_grad=True)
    discriminator_gan_loss(logits, torch.tensor([label]), "vanilla").backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(sigmoid(0.4) - label, abs=1e-6)


def test_generator_gan_loss_minimax_saturates_and_vanilla_does_not() -> None:
    """log(1 - sigmoid(D)) and -log sigmoid(D) at D = -8: arXiv 1406.2661, Sec. 3."""
    gradients = {}
    for kind in ("minimax", "vanilla"):
        logits = torch.tensor([-8.0], requires_grad=True)
        loss = generator_gan_loss(logits, kind)
        loss.backward()
        gradients[kind] = logits.grad
    assert loss.item() == pytest.approx(-math.log(sigmoid(-8)), rel=1e-5)
    assert gradients["minimax"].item() == pytest.approx(-sigmoid(-8), rel=1e-4)
    assert gradients["vanilla"].item() == pytest.approx(sigmoid(-8) - 1, rel=1e-4)


@pytest.mark.parametrize("of", ["mean", "sum"])
@pytest.mark.parametrize(("norm", "penalty"), [(1.0, lambda n: (n - 1) ** 2), (None, lambda n: n**2 / 2)])
def test_gradient_penalty_equals_that_of_a_known_gradient(
    norm: float | None, penalty: Callable[[float], float], of: PenaltyOf
) -> None:
    """Logits a b.x and 3a b.x of two patches: their mean has the gradient 2a b, their sum 4a b, for any x."""
    factor = {"mean": 2, "sum": 4}[of] * 5  # the gradient's norm is a * factor
    b = torch.tensor([[[3.0, 4.0]]])  # of norm 5
    a = torch.tensor(0.2, requires_grad=True)

    def discriminate(x: torch.Tensor) -> list[torch.Tensor]:
        dot = (x * b).sum((1, 2, 3))
        return [torch.stack([a * dot, 3 * a * dot], dim=1)]

    value = gradient_penalty(discriminate, torch.rand(2, 1, 1, 2), norm=norm, of=of)
    assert value.item() == pytest.approx(penalty(0.2 * factor), rel=1e-5)
    value.backward()
    step = 1e-3
    numeric = (penalty((0.2 + step) * factor) - penalty((0.2 - step) * factor)) / (2 * step)
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(numeric, rel=1e-3)


def test_interpolate_returns_points_between_real_and_fake() -> None:
    real, fake = torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    points = interpolate(real, fake)
    assert ((points >= 0) & (points <= 1)).all()
    assert (points == points[:, :, :1, :1]).all()  # one epsilon for all pixels of an image
    assert points[:, 0, 0, 0].std() > 0.2


def test_diversity_loss_is_the_bounded_mean_distance() -> None:
    first, second = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.25)
    second[1] = 9.0
    assert diversity_loss(first, second).item() == pytest.approx(-(0.25 + 1.0) / 2)


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "hinge", "wasserstein"])
def test_generator_gan_loss_equals_its_equation_and_raises_logits(kind: str) -> None:
    expected = -sum(LOGITS) / 4 if kind == "hinge" else sum(EQUATIONS[kind, True](x) for x in LOGITS) / 4
    assert generator_gan_loss(torch.tensor(LOGITS), kind).item() == pytest.approx(expected, rel=1e-6)
    logits = torch.zeros(3, requires_grad=True)
    generator_gan_loss(logits, kind).backward()
    assert logits.grad is not None
    assert (logits.grad < 0).all()  # gradient descent raises the logits


@pytest.mark.parametrize(("kind", "expected"), [("lsgan", (0.5, 0.75)), ("hinge", (0.75, 0.5))])
def test_discriminator_statistics_accuracy_counts_logits_on_the_right_side(
    kind: str, expected: tuple[float, float]
) -> None:
    real, fake = torch.tensor([0.2, 0.6, 2.0, -1.0]), torch.tensor([0.2, 0.6, -2.0, -1.0])
    statistics = discriminator_statistics(real, fake, kind)
    assert (statistics["accuracy_real"].item(), statistics["accuracy_fake"].item()) == expected


def test_discriminator_statistics_of_wasserstein_is_the_gap() -> None:
    statistics = discriminator_statistics(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0]), "wasserstein")
    assert {name: value.item() for name, value in statistics.items()} == {"gap": 2.5}


@pytest.mark.parametrize(
    ("kind", "undecided", "right"), [("lsgan", 0.5, (1, 0)), ("hinge", 0, (1, -1)), ("vanilla", 0, (50, -50))]
)
def test_discriminator_statistics_relative_loss_is_1_if_undecided_and_0_if_perfect(
    kind: str, undecided: float, right: tuple[float, float]
) -> None:
    neither, real, fake = (torch.full((2, 1, 3, 3), float(logit)) for logit in (undecided, *right))
    assert discriminator_statistics(neither, neither, kind)["relative_loss"].item() == pytest.approx(1, abs=1e-6)
    statistics = discriminator_statistics(real, fake, kind)
    assert statistics["relative_loss"].item() == pytest.approx(0, abs=1e-6)
    assert statistics["gap"].item() == right[0] - right[1]


@pytest.mark.parametrize(("kind", "labels"), [("lsgan", (0.9, 0.1)), ("vanilla", (0.9, 0.0)), ("minimax", (0.8, 0.15))])
def test_discriminator_statistics_relative_loss_is_0_at_smoothed_labels(kind: str, labels: tuple[float, float]) -> None:
    """It is larger for other logits, and if the smoothed labels are not taken into account."""
    real, fake = (
        torch.tensor([label if kind == "lsgan" else max(-30.0, math.log(label / (1 - label)) if label else -30.0)])
        for label in labels
    )

    def relative_loss(shift: float, **options: tuple[float, float]) -> float:
        return discriminator_statistics(real + shift, fake + shift, kind, **options)["relative_loss"].item()

    assert relative_loss(0, labels=labels) == pytest.approx(0, abs=1e-6)
    assert min(relative_loss(0.3, labels=labels), relative_loss(-0.3, labels=labels)) > 1e-3
    assert relative_loss(0) > 0.02
    assert relative_loss(0, labels=(1.0, 0.0)) == relative_loss(0)


def test_discriminator_statistics_relative_loss_is_not_negative_for_other_labels() -> None:
    right, wrong = torch.tensor([9.0]), torch.tensor([-9.0])
    assert discriminator_statistics(right, wrong, "hinge", labels=(0.9, 0.1))["relative_loss"].item() == 0
    assert 0 <= discriminator_statistics(right, wrong, "vanilla", labels=(1.1, -0.1))["relative_loss"].item() < 1e-3
