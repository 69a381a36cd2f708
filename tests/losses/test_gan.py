"""Losses against their equations, written out with plain numbers."""

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
def test_discriminator_loss_is_its_equation(kind: str, real: bool) -> None:
    expected = sum(EQUATIONS[kind, real](x) for x in LOGITS) / len(LOGITS)
    assert discriminator_gan_loss(torch.tensor(LOGITS), real, kind).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["vanilla", "minimax", "lsgan", "hinge", "wasserstein"])
def test_every_image_pays_by_its_own_label(kind: str) -> None:
    """Labels 1 and 0 in one batch of two images, each of two patches."""
    logits = torch.tensor([LOGITS[:2], LOGITS[2:]])
    expected = sum(EQUATIONS[kind, True](x) for x in LOGITS[:2]) + sum(EQUATIONS[kind, False](x) for x in LOGITS[2:])
    found = discriminator_gan_loss(logits, torch.tensor([1.0, 0.0]), kind)
    assert found.item() == pytest.approx(expected / 4, rel=1e-6)


@pytest.mark.parametrize("label", [0.9, 0.3, 1.2])
def test_a_smooth_label_is_what_the_verdict_is_drawn_to(label: float) -> None:
    """The least squares are least at the label; the cross entropy's slope is sigmoid(D) - label."""
    assert discriminator_gan_loss(torch.tensor([label]), label, "lsgan").item() == 0
    logits = torch.tensor([0.4], requires_grad=True)
    discriminator_gan_loss(logits, torch.tensor([label]), "vanilla").backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(sigmoid(0.4) - label, abs=1e-6)


def test_the_saturating_loss_has_no_slope_where_the_discriminator_is_sure() -> None:
    """log(1 - sigmoid(D)) and -log sigmoid(D) at D = -8: arXiv 1406.2661, Sec. 3."""
    slopes = {}
    for kind in ("minimax", "vanilla"):
        logits = torch.tensor([-8.0], requires_grad=True)
        loss = generator_gan_loss(logits, kind)
        loss.backward()
        slopes[kind] = logits.grad
    assert loss.item() == pytest.approx(-math.log(sigmoid(-8)), rel=1e-5)
    assert slopes["minimax"].item() == pytest.approx(-sigmoid(-8), rel=1e-4)
    assert slopes["vanilla"].item() == pytest.approx(sigmoid(-8) - 1, rel=1e-4)


@pytest.mark.parametrize("of", ["mean", "sum"])
@pytest.mark.parametrize(("norm", "penalty"), [(1.0, lambda n: (n - 1) ** 2), (None, lambda n: n**2 / 2)])
def test_gradient_penalty_is_of_the_slope_of_an_images_logits(
    norm: float | None, penalty: Callable[[float], float], of: PenaltyOf
) -> None:
    """D(x) = a b . x on two patches, a and 3a of it: its mean has the slope 2a b, its sum 4a b, whatever x."""
    slope = {"mean": 2, "sum": 4}[of] * 5
    b = torch.tensor([[[3.0, 4.0]]])  # length 5
    a = torch.tensor(0.2, requires_grad=True)

    def judge(x: torch.Tensor) -> list[torch.Tensor]:
        dot = (x * b).sum((1, 2, 3))
        return [torch.stack([a * dot, 3 * a * dot], dim=1)]

    found = gradient_penalty(judge, torch.rand(2, 1, 1, 2), norm=norm, of=of)
    assert found.item() == pytest.approx(penalty(0.2 * slope), rel=1e-5)
    found.backward()
    step = 1e-3
    numeric = (penalty((0.2 + step) * slope) - penalty((0.2 - step) * slope)) / (2 * step)
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(numeric, rel=1e-3)


def test_points_between_lie_on_the_line_of_each_pair() -> None:
    real, fake = torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    found = interpolate(real, fake)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found == found[:, :, :1, :1]).all()  # one share for all of an image
    assert found[:, 0, 0, 0].std() > 0.2


def test_diversity_is_bounded_and_grows_with_the_distance() -> None:
    first, second = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.25)
    second[1] = 9.0
    assert diversity_loss(first, second).item() == pytest.approx(-(0.25 + 1.0) / 2)


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "hinge", "wasserstein"])
def test_generator_wants_its_images_called_real(kind: str) -> None:
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


@pytest.mark.parametrize(("kind", "labels"), [("lsgan", (0.9, 0.1)), ("vanilla", (0.9, 0.0)), ("minimax", (0.8, 0.15))])
def test_the_relative_loss_is_none_for_the_best_answer_to_smoothed_labels(
    kind: str, labels: tuple[float, float]
) -> None:
    """And more for all others; hard labels would never let it fall so low."""
    real, fake = (
        torch.tensor([label if kind == "lsgan" else max(-30.0, math.log(label / (1 - label)) if label else -30.0)])
        for label in labels
    )

    def share(off: float, **more: tuple[float, float]) -> float:
        return discriminator_statistics(real + off, fake + off, kind, **more)["relative_loss"].item()

    assert share(0, labels=labels) == pytest.approx(0, abs=1e-6)
    assert min(share(0.3, labels=labels), share(-0.3, labels=labels)) > 1e-3
    assert share(0) > 0.02
    assert share(0, labels=(1.0, 0.0)) == share(0)


def test_hinge_and_labels_beyond_the_two_leave_the_relative_loss_above_none() -> None:
    right, wrong = torch.tensor([9.0]), torch.tensor([-9.0])
    assert discriminator_statistics(right, wrong, "hinge", labels=(0.9, 0.1))["relative_loss"].item() == 0
    assert 0 <= discriminator_statistics(right, wrong, "vanilla", labels=(1.1, -0.1))["relative_loss"].item() < 1e-3
