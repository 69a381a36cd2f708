"""The monitor on made-up logs: each problem is reported once, by its name, and healthy runs have none."""

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from img2img.config import Config
from img2img.models import model_class, model_names
from img2img.training.monitor import NOT_FINITE, PATIENCE, PROBLEMS, WINDOW, Monitor, Report, loss_ratio

Course = Callable[[int], dict[str, float]]
"""Number of a log -> its values."""


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
        "signs/two_targets_output": 0.05 + 0.02 * i,
    }


def reports(course: Course, logs: int = 20, monitor: Monitor | None = None) -> list[Report]:
    monitor = monitor or Monitor()
    return [report for i in range(logs) for report in monitor.observe(100 * (i + 1), course(i))]


def problems(course: Course, logs: int = 20) -> list[str]:
    return [report.problem for report in reports(course, logs)]


OF_GENERATOR_STEPS = ("loss/generator/", "signs/", "gradient_norm/")
WINNING = {"accuracy_real": 1.0, "accuracy_fake": 1.0, "relative_loss": 0.004}
GUESSING = {"accuracy_real": 0.02, "accuracy_fake": 0.99, "relative_loss": 1.9}
COURSES: dict[str, Course] = {
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
    "G ignores the domain": lambda i: {**healthy(i), "signs/two_targets_output": 0.4 if i < 2 else 1e-6},
    "saturation": lambda i: {**healthy(i), "signs/saturation_output": 0.99},
    "colour inversion": lambda i: {**healthy(i), "signs/correlation_output": -0.4},
    "D divergence": lambda i: {**healthy(i), "discriminator/relative_loss": 40.0},
    "divergence": lambda i: {**healthy(i), "loss/generator/l1": 10.0 * 2**i},
}


def test_monitor_reports_nothing_of_healthy_runs() -> None:
    assert reports(healthy, 60) == []
    assert reports(lambda i: {**healthy(i, "_a"), **healthy(i, "_b")}, 60) == []


@pytest.mark.parametrize("problem", COURSES)
def test_monitor_reports_each_problem_once_with_two_hints(problem: str) -> None:
    (report,) = reports(COURSES[problem])
    assert report.problem == problem
    hints = next(each.hints for each in PROBLEMS if each.name == problem)[:2]
    assert all(f"{key} {change}" in report.line for key, change in hints)
    assert "\n" not in report.line


def test_problems_each_have_a_course_here() -> None:
    assert set(COURSES) == {problem.name for problem in PROBLEMS}


@pytest.mark.parametrize(("change", "logs"), [({"loss/generator/gan": 3.0}, 1), ({"loss/generator/gan": 1.9}, 0)])
def test_overpowering_ends_when_the_generator_catches_up(change: dict[str, float], logs: int) -> None:
    """D makes no mistakes; G's GAN loss, 3 before, stays or falls by a good third."""

    def course(i: int) -> dict[str, float]:
        return {**COURSES["D overpowering"](i), "loss/generator/gan": 3.0, **(change if i > 2 else {})}

    assert len(reports(course, 9)) == logs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discriminator/relative_loss", 50.0),
        ("gradient_norm/generator", 1e6),
        ("gradient_norm/discriminator", 1e5),
        ("loss/generator/l1", 150.0),
    ],
)
def test_divergence_is_found_in_every_value_that_can_diverge(name: str, value: float) -> None:
    problem = "D divergence" if "relative_loss" in name else "divergence"
    assert problems(lambda i: {**healthy(i), **({name: value} if i > 9 else {})}) == [problem]


def test_blind_is_not_a_discriminator_that_was_accurate_before() -> None:
    """At the end of a good training D guesses too."""
    assert reports(lambda i: COURSES["D blind"](i) if i else healthy(i), 40) == []


def test_blind_is_found_with_hinge_whose_loss_is_about_zero() -> None:
    assert problems(lambda i: {**COURSES["D blind"](i), "loss/generator/gan": 0.01 * (i % 3 - 1)}) == ["D blind"]
    assert reports(lambda i: {**COURSES["D blind"](i), "loss/generator/gan": 0.1 * (i % 3 - 1)}) == []


@pytest.mark.parametrize("gan", [-0.05, -1e-3])
def test_overpowering_is_found_with_a_saturating_minimax_loss(gan: float) -> None:
    """That loss is negative, near 0 when D is sure, and falls away from 0 when G catches up."""
    losing = {**COURSES["D overpowering"](0), "loss/generator/gan": gan}
    assert problems(lambda i: losing) == ["D overpowering"]
    assert reports(lambda i: {**losing, "loss/generator/gan": gan * 1.3**i}, 9) == []


def test_blind_is_found_where_only_every_second_log_has_a_generator_step() -> None:
    def course(i: int) -> dict[str, float]:
        return {
            name: value
            for name, value in COURSES["D blind"](i).items()
            if i % 2 or not name.startswith(OF_GENERATOR_STEPS)
        }

    assert problems(course) == ["D blind"]


def test_monitor_ignores_logs_without_a_generator_step() -> None:
    """Every third log has one: the fifth of them that shows the collapse brings the report."""

    def course(i: int) -> dict[str, float]:
        values = {**COURSES["collapse"](i), "signs/diversity_output": 0.9 if i < 6 else 0.03}
        return {name: value for name, value in values.items() if i % 3 == 0 or not name.startswith(OF_GENERATOR_STEPS)}

    assert [(report.problem, report.step // 100 - 1) for report in reports(course, 60)] == [("collapse", 18)]


def test_collapse_is_one_image_for_each_class_too() -> None:
    """The classes make the images differ; noise does not."""

    def course(i: int) -> dict[str, float]:
        return {**healthy(i), "signs/diversity_output": 0.8, "signs/noise_diversity_output": 0.5 if i < 5 else 0.01}

    (report,) = reports(course)
    assert (report.problem, report.step // 100 - 1) == ("collapse", 5 + PATIENCE - 1)
    assert reports(lambda i: {**course(i), "signs/noise_diversity_output": 0.3}) == []


def test_collapse_is_not_a_slow_start() -> None:
    """Untrained images may be alike; ten logs later it counts."""
    assert reports(lambda i: {**healthy(i), "signs/diversity_output": 0.03 if i < WINDOW - 1 else 0.5}, 40) == []
    (report,) = reports(lambda i: {**healthy(i), "signs/diversity_output": 0.03}, 40)
    assert (report.problem, report.step // 100) == ("collapse", WINDOW)


def critic(gap: float, gan: float) -> dict[str, float]:
    """The values of a Wasserstein critic."""
    values = {name: value for name, value in healthy(9).items() if "accuracy" not in name and "relative" not in name}
    return {**values, "discriminator/gap": gap, "loss/generator/gan": gan}


def test_critic_that_runs_away_is_reported() -> None:
    (report,) = reports(lambda i: critic(2 * 1.5 ** max(0, i - 12), -(1.5 ** max(0, i - 12))), 40)
    assert report.problem == "D divergence"
    assert report.line.startswith("D divergence (D): ")


@pytest.mark.parametrize(
    "course",
    [
        lambda i: critic(0.35 * (1 - math.exp(-((i + 1) ** 2) / 25)) / (1 + i / 30), 0.17),  # clipped: up, then down
        lambda i: critic((12, 30, 31, 28, 24, 20)[i] if i < 6 else 4 + 16 * 0.8 ** (i - 5), 18.0),  # with a penalty
        lambda i: critic(2.0, -3 + 0.5 * i),  # its logits' offset wanders, also through 0
        lambda i: critic(2.0 if i != 22 else -1e-6, 0.5 * (-1) ** i),
        lambda i: critic(1.0 * 1.5 ** max(0, i - 12), 3.0),  # G's loss is where it was
    ],
)
def test_critic_that_is_healthy_is_not_reported(course: Course) -> None:
    assert reports(course, 100 if course(99)["discriminator/gap"] < 50 else 40) == []


def test_saturation_is_not_found_where_real_images_are_white_paper() -> None:
    white = {"signs/saturation_output": 1.0, "signs/saturation_real_output": 0.999}
    assert reports(lambda i: {**healthy(i), **white}) == []


def test_monitor_names_the_one_of_two_discriminators_that_has_the_problem() -> None:
    def course(i: int) -> dict[str, float]:
        b = {f"{name}_b": value for name, value in COURSES["D overpowering"](i).items() if not name.startswith("signs")}
        return {**healthy(i, "_a"), **b}

    (report,) = reports(course)
    assert report.line.startswith("D overpowering (D of b): ")


def test_monitor_does_not_report_what_ends_by_itself() -> None:
    assert reports(lambda i: COURSES["collapse"](9) if i % PATIENCE else healthy(i), 60) == []


def test_monitor_reports_again_only_after_a_problem_was_inactive() -> None:
    bad, good = COURSES["collapse"](9), healthy(9)
    course = [good, *[bad] * 20, *[good] * (PATIENCE - 1), *[bad] * 20, *[good] * PATIENCE, *[bad] * 20]
    steps = [report.step // 100 for report in reports(course.__getitem__, len(course))]
    assert steps == [1 + PATIENCE, 41 + 2 * PATIENCE - 1 + PATIENCE]


@pytest.mark.parametrize("stop", range(1, 14))
def test_monitor_restored_from_its_state_reports_the_same(stop: int) -> None:
    def course(i: int) -> dict[str, float]:
        return {**COURSES["collapse"](i), "loss/generator/l1": 10.0 * 2**i}

    first = Monitor()
    all_reports = reports(course, stop, first)
    second = Monitor()
    second.restore(first.state())
    all_reports += [report for i in range(stop, 14) for report in second.observe(100 * (i + 1), course(i))]
    assert all_reports == reports(course, 14)
    assert len(all_reports) == 2


def test_monitor_ignores_missing_and_infinite_values() -> None:
    """A critic has no accuracies, a first log no diversity, and a gradient overflows that fp16 scaled too high."""
    full = healthy(3)
    for name in full:
        assert reports(lambda i, name=name: {k: v for k, v in full.items() if k != name}) == []
        assert reports(lambda i, name=name: {**full, name: math.inf}) == []
    assert reports(lambda i: {"loss/discriminator/real": -1e3 * i, "discriminator/gap": 1e3 * i}) == []


def test_loss_ratio_uses_only_gan_terms_of_the_generator() -> None:
    values = {**healthy(3, "_a"), **healthy(3, "_b"), "loss/generator/gan_a": 0.6, "loss/generator/gan_b": 0.3}
    assert loss_ratio(values)["signs/loss_ratio"] == pytest.approx((0.6 + 0.3) / (2 * 0.03))
    assert loss_ratio({"loss/generator/gan": 1.0, "loss/discriminator/real": -1.0, "discriminator/gap": 2.0}) == {}


def test_monitor_replaces_excluded_hints_by_the_next_two() -> None:
    excluded = set()
    hints = next(problem.hints for problem in PROBLEMS if problem.name == "collapse")
    for key, _ in hints[:-2]:
        (report,) = reports(COURSES["collapse"], monitor=Monitor(excluded))
        assert report.line.count(" or ") == 1
        assert key in report.line
        excluded.add(key)
        (report,) = reports(COURSES["collapse"], monitor=Monitor(excluded))
        assert key not in report.line
    assert report.line.endswith("; try optim.lr lower or optim.lr_d lower")


def test_problems_hint_at_options_that_exist() -> None:
    known = keys(Config)
    for name in model_names():
        known |= {f"model.{field.name}" for field in fields(model_class(name).Config)}
    for problem in (*PROBLEMS, NOT_FINITE):
        assert {key for key, _ in problem.hints} <= known, problem.name


def keys(section: Any, prefix: str = "") -> set[str]:
    """The names of all options of a dataclass and of those within it, as the command line has them."""
    types, names = get_type_hints(section), set()
    for field in fields(section):
        inner = types[field.name]
        names |= keys(inner, f"{prefix}{field.name}.") if is_dataclass(inner) else {f"{prefix}{field.name}"}
    return names
