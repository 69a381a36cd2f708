"""The monitor on made-up courses: each illness by its own signs, once, and nothing about the healthy."""

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from img2img.config import Config
from img2img.models import model_class, model_names
from img2img.training.monitor import ILLNESSES, NOT_FINITE, PATIENCE, WINDOW, Monitor, Verdict, loss_ratio

Course = Callable[[int], dict[str, float]]


def healthy(i: int, side: str = "") -> dict[str, float]:
    """A pix2pix whose D wins early, as lsgan's does, and whose G learns all the same."""
    return {
        f"loss/discriminator/real{side}": 0.01,
        f"loss/discriminator/fake{side}": 0.02,
        f"discriminator/accuracy_real{side}": 0.97 + 0.02 * (i % 2),
        f"discriminator/accuracy_fake{side}": 0.99,
        f"discriminator/relative_loss{side}": 0.06 + 0.1 * (i % 3),
        f"discriminator/gap{side}": 0.9,
        f"loss/generator/gan{side}": 0.95 + 0.05 * math.sin(i),
        f"loss/generator/l1{side}": 80 / (1 + i) + 5,
        "gradient_norm/generator": 90 / (1 + i) + 10,
        "gradient_norm/discriminator": 3.0 + 10 * (i % 4 == 0),
        "signs/diversity_output": min(0.2 + 0.1 * i, 0.9),
        "signs/saturation_output": 0.2,
        "signs/saturation_real_output": 0.8,
        "signs/correlation_output": 0.02 * i,
        "signs/two_seeds_output": 0.001,
    }


def told(course: Course, logs: int = 20, monitor: Monitor | None = None) -> list[Verdict]:
    monitor = monitor or Monitor()
    return [verdict for i in range(logs) for verdict in monitor.observe(100 * (i + 1), course(i))]


WINNING = {"accuracy_real": 1.0, "accuracy_fake": 1.0, "relative_loss": 0.004}
GUESSING = {"accuracy_real": 0.02, "accuracy_fake": 0.99, "relative_loss": 1.9}
ILL: dict[str, Course] = {
    "D overpowering": lambda i: {
        **healthy(i),
        **{f"discriminator/{name}": value for name, value in WINNING.items()},
        "loss/generator/gan": 2 + 0.1 * i,
    },
    "D blind": lambda i: {
        **healthy(i),
        **{f"discriminator/{name}": value for name, value in GUESSING.items()},
        "loss/generator/gan": 0.98,
    },
    "collapse": lambda i: {**healthy(i), "signs/diversity_output": 0.9 if i < 4 else 0.03},
    "saturation": lambda i: {**healthy(i), "signs/saturation_output": 0.99},
    "colour inversion": lambda i: {**healthy(i), "signs/correlation_output": -0.4},
    "D divergence": lambda i: {**healthy(i), "discriminator/relative_loss": 40.0},
    "divergence": lambda i: {**healthy(i), "loss/generator/l1": 10.0 * 2**i},
}


def test_the_healthy_are_told_nothing() -> None:
    assert told(healthy, 60) == []
    assert told(lambda i: {**healthy(i, "_a"), **healthy(i, "_b")}, 60) == []


@pytest.mark.parametrize("illness", ILL)
def test_each_illness_is_told_once_by_its_name_with_two_keys(illness: str) -> None:
    verdicts = told(ILL[illness])
    assert [verdict.illness for verdict in verdicts] == [illness]
    hints = next(each.hints for each in ILLNESSES if each.name == illness)[:2]
    assert all(f"{key} {change}" in verdicts[0].line for key, change in hints)
    assert "\n" not in verdicts[0].line


def test_every_illness_has_its_course_here() -> None:
    assert set(ILL) == {illness.name for illness in ILLNESSES}


@pytest.mark.parametrize(("change", "logs"), [({"loss/generator/gan": 3.0}, 1), ({"loss/generator/gan": 1.9}, 0)])
def test_a_generator_that_wins_ground_back_is_left_alone(change: dict[str, float], logs: int) -> None:
    """D makes no mistakes; what counts is whether G's loss, 3 before, goes on or falls by a good third."""

    def course(i: int) -> dict[str, float]:
        return {**ILL["D overpowering"](i), "loss/generator/gan": 3.0, **(change if i > 2 else {})}

    assert len(told(course, 9)) == logs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discriminator/relative_loss", 50.0),
        ("gradient_norm/generator", 1e6),
        ("gradient_norm/discriminator", 1e5),
        ("loss/generator/l1", 150.0),
    ],
)
def test_all_ways_to_diverge(name: str, value: float) -> None:
    illness = "D divergence" if "relative_loss" in name else "divergence"
    assert [v.illness for v in told(lambda i: {**healthy(i), **({name: value} if i > 9 else {})})] == [illness]


def test_a_discriminator_that_ever_knew_better_is_not_blind() -> None:
    """At the end of a good training D guesses too."""
    assert told(lambda i: ILL["D blind"](i) if i else healthy(i), 40) == []


def test_a_blind_discriminator_of_hinge_is_seen_though_its_loss_is_about_none() -> None:
    verdicts = told(lambda i: {**ILL["D blind"](i), "loss/generator/gan": 0.01 * (i % 3 - 1)})
    assert [verdict.illness for verdict in verdicts] == ["D blind"]
    assert told(lambda i: {**ILL["D blind"](i), "loss/generator/gan": 0.1 * (i % 3 - 1)}) == []


@pytest.mark.parametrize("gan", [-0.05, -1e-3])
def test_a_minimax_loss_that_saturates_is_seen(gan: float) -> None:
    """It is negative, and near 0 when D is sure; it falls away from 0 when G wins ground back."""
    lost = {**ILL["D overpowering"](0), "loss/generator/gan": gan}
    assert [verdict.illness for verdict in told(lambda i: lost)] == ["D overpowering"]
    assert told(lambda i: {**lost, "loss/generator/gan": gan * 1.3**i}, 9) == []


def test_a_blind_discriminator_is_seen_where_generators_have_few_turns() -> None:
    def course(i: int) -> dict[str, float]:
        g = ("loss/generator/", "signs/", "gradient_norm/")
        return {name: value for name, value in ILL["D blind"](i).items() if i % 2 or not name.startswith(g)}

    assert [verdict.illness for verdict in told(course)] == ["D blind"]


def test_a_log_without_a_turn_of_the_generators_is_neither_well_nor_ill() -> None:
    """Every third log has one: the fifth of those that tell it is the verdict's, and it is told once."""

    def course(i: int) -> dict[str, float]:
        g = ("loss/generator/", "signs/", "gradient_norm/")
        values = {**ILL["collapse"](i), "signs/diversity_output": 0.9 if i < 6 else 0.03}
        return {name: value for name, value in values.items() if i % 3 == 0 or not name.startswith(g)}

    assert [(verdict.illness, verdict.step // 100 - 1) for verdict in told(course, 60)] == [("collapse", 18)]


def test_one_image_of_each_class_is_a_collapse() -> None:
    """The classes make the images differ; noise does not."""

    def course(i: int) -> dict[str, float]:
        return {**healthy(i), "signs/diversity_output": 0.8, "signs/noise_diversity_output": 0.5 if i < 5 else 0.01}

    (verdict,) = told(course)
    assert (verdict.illness, verdict.step // 100 - 1) == ("collapse", 5 + PATIENCE - 1)
    assert told(lambda i: {**course(i), "signs/noise_diversity_output": 0.3}) == []


def test_a_slow_start_is_no_collapse() -> None:
    """Untrained images may be alike; ten logs later it counts."""
    assert told(lambda i: {**healthy(i), "signs/diversity_output": 0.03 if i < WINDOW - 1 else 0.5}, 40) == []
    (verdict,) = told(lambda i: {**healthy(i), "signs/diversity_output": 0.03}, 40)
    assert (verdict.illness, verdict.step // 100) == ("collapse", WINDOW)


def critic(gap: float, gan: float) -> dict[str, float]:
    """What there is of a Wasserstein critic."""
    values = {name: value for name, value in healthy(9).items() if "accuracy" not in name and "relative" not in name}
    return {**values, "discriminator/gap": gap, "loss/generator/gan": gan}


def test_a_critic_that_runs_away_is_told() -> None:
    (verdict,) = told(lambda i: critic(2 * 1.5 ** max(0, i - 12), -(1.5 ** max(0, i - 12))), 40)
    assert verdict.illness == "D divergence"
    assert "a gap of" in verdict.line


@pytest.mark.parametrize(
    "course",
    [
        lambda i: critic(0.35 * (1 - math.exp(-((i + 1) ** 2) / 25)) / (1 + i / 30), 0.17),  # clipped: up, then down
        lambda i: critic((12, 30, 31, 28, 24, 20)[i] if i < 6 else 4 + 16 * 0.8 ** (i - 5), 18.0),  # with a penalty
        lambda i: critic(2.0, -3 + 0.5 * i),  # its offset wanders, through 0 too
        lambda i: critic(2.0 if i != 22 else -1e-6, 0.5 * (-1) ** i),
        lambda i: critic(1.0 * 1.5 ** max(0, i - 12), 3.0),  # G's loss is where it was
    ],
)
def test_a_healthy_critic_is_told_nothing(course: Course) -> None:
    assert told(course, 100 if course(99)["discriminator/gap"] < 50 else 40) == []


def test_white_paper_is_no_saturation() -> None:
    assert told(lambda i: {**healthy(i), "signs/saturation_output": 1.0, "signs/saturation_real_output": 0.999}) == []


def test_the_sick_one_of_two_is_named() -> None:
    def course(i: int) -> dict[str, float]:
        b = {f"{name}_b": value for name, value in ILL["D overpowering"](i).items() if not name.startswith("signs")}
        return {**healthy(i, "_a"), **b}

    (verdict,) = told(course)
    assert verdict.line.startswith("D overpowering (D of b): ")


def test_what_passes_by_itself_is_not_told() -> None:
    assert told(lambda i: ILL["collapse"](9) if i % PATIENCE else healthy(i), 60) == []


def test_one_is_told_when_certain_and_again_only_after_it_had_gone() -> None:
    sick, well = ILL["collapse"](9), healthy(9)
    course = [well, *[sick] * 20, *[well] * (PATIENCE - 1), *[sick] * 20, *[well] * PATIENCE, *[sick] * 20]
    steps = [verdict.step // 100 for verdict in told(course.__getitem__, len(course))]
    assert steps == [1 + PATIENCE, 41 + 2 * PATIENCE - 1 + PATIENCE]


@pytest.mark.parametrize("stop", range(1, 14))
def test_a_resumed_run_is_told_the_same(stop: int) -> None:
    def course(i: int) -> dict[str, float]:
        return {**ILL["collapse"](i), "loss/generator/l1": 10.0 * 2**i}

    first = Monitor()
    verdicts = told(course, stop, first)
    second = Monitor()
    second.restore(first.state())
    verdicts += [verdict for i in range(stop, 14) for verdict in second.observe(100 * (i + 1), course(i))]
    assert verdicts == told(course, 14)
    assert len(verdicts) == 2


def test_missing_and_infinite_values_are_borne() -> None:
    """A critic without verdicts, a first log without thumbnails, a gradient that fp16 scaled too high."""
    full = healthy(3)
    for name in full:
        assert told(lambda i, name=name: {k: v for k, v in full.items() if k != name}) == []
        assert told(lambda i, name=name: {**full, name: math.inf}) == []
    assert told(lambda i: {"loss/discriminator/real": -1e3 * i, "discriminator/gap": 1e3 * i}) == []


def test_the_loss_ratio_is_of_the_gan_terms_alone() -> None:
    values = {**healthy(3, "_a"), **healthy(3, "_b"), "loss/generator/gan_a": 0.6, "loss/generator/gan_b": 0.3}
    assert loss_ratio(values)["signs/loss_ratio"] == pytest.approx((0.6 + 0.3) / (2 * 0.03))
    assert loss_ratio({"loss/generator/gan": 1.0, "loss/discriminator/real": -1.0, "discriminator/gap": 2.0}) == {}


def test_hints_that_a_run_can_not_take_make_room() -> None:
    """There are two in any case."""
    unfit = set()
    hints = next(illness.hints for illness in ILLNESSES if illness.name == "collapse")
    for key, _ in hints[:-2]:
        (verdict,) = told(ILL["collapse"], monitor=Monitor(unfit))
        assert verdict.line.count(" or ") == 1
        assert key in verdict.line
        unfit.add(key)
        (verdict,) = told(ILL["collapse"], monitor=Monitor(unfit))
        assert key not in verdict.line
    assert verdict.line.endswith("; try optim.lr lower or optim.lr_d lower")


def test_the_keys_of_every_hint_exist() -> None:
    known = keys(Config)
    for name in model_names():
        known |= {f"model.{field.name}" for field in fields(model_class(name).Config)}
    for illness in (*ILLNESSES, NOT_FINITE):
        assert {key for key, _ in illness.hints} <= known, illness.name


def keys(section: Any, prefix: str = "") -> set[str]:
    """The names of all options of a dataclass and of those within it, as the command line has them."""
    types, found = get_type_hints(section), set()
    for field in fields(section):
        inner = types[field.name]
        found |= keys(inner, f"{prefix}{field.name}.") if is_dataclass(inner) else {f"{prefix}{field.name}"}
    return found
