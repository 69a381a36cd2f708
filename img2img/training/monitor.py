"""The monitor: recognises known problems of GAN training from the logged values, and suggests options that help.

It works for any model: it finds what to check by the names of the logged values. SIDE tells several discriminators
apart (``_a``) and may be empty; NAME is a generated image of the model:

    loss/generator/TERM, loss/discriminator/TERM    means since the last log
    discriminator/accuracy_realSIDE, accuracy_fakeSIDE, gapSIDE, relative_lossSIDE    likewise (``losses``)
    gradient_norm/NETWORK, signs/..._NAME   of one step (``step``, ``diagnostics``)

A problem becomes active, and is reported once, when its condition has held for PATIENCE logs in a row. It is inactive
again after as many logs without it, and can then be reported anew. Logs without a generator update are ignored when
generator problems are checked; models without discriminators have no discriminator problems. Healthy runs of the toy
presets never reach a threshold for so long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from img2img.models.base import Model, Side

Values = Mapping[str, float]
Logs = Sequence[Values]
"""The latest logs, oldest first."""

WINDOW = 10  # logs that are kept: trends are measured over them
PATIENCE = 5  # logs in a row: a condition that ends within 500 steps (at train.log_every 100) is no problem

SURE_ACCURACY = 0.95  # on real and on fake images: from here on D makes next to no mistakes
SURE_LOSS = 0.02  # times an undecided D's loss: lsgan's logits are then 0.07 off the labels, vanilla's 4.3 from 0
FALLING = 0.1  # G's GAN loss catches up if it falls by this share of its mean in the window's first half
GUESSING_ACCURACY = 0.55  # mean over real and fake images: a D that learns at all exceeds it within a few logs
FLAT = 0.1  # range of G's GAN loss over the window, as a share of its mean, or of 0.5, since hinge's mean is about 0
SAME_DIVERSITY = 0.07  # of the real images' diversity: untrained U-Nets have 0.1, healthy ones 0.2 after 20 steps
STUCK_SHARE = 0.1  # of the real images' share of unsaturated values: with fewer, tanh passes no gradient
FEW_TONES = 0.02  # real images with a smaller share of unsaturated values are black and white by nature
IGNORED = 0.01  # of the real images' distance: healthy StarGANs fall to 0.05; rounding alone makes 1e-6, in bf16 0.006
INVERTED = -0.1  # correlation with the target; that of untrained networks is about 0
WRONG_LOSS = 10.0  # times an undecided D's loss: logits of 2 for lsgan, of 14 for vanilla, all on the wrong side
EXPLODED_LOSS = 10.0  # times the lowest value so far, and above the first one; not for GAN losses
EXPLODED_GRADIENT = 1000.0  # times the mean gradient norm in the window's first half

# Prefixes of the running records that each kept log carries along with its values
BEST = "monitor/best_accuracy"  # + SIDE: highest mean accuracy so far
FIRST = "monitor/first/"  # + loss: its value at the first log
LOWEST = "monitor/lowest/"  # + loss: its lowest value so far
MOST = "monitor/most/"  # + diversity: its highest value so far
CALM = "monitor/calm/"  # + a critic's gap or G's GAN loss: lowest mean magnitude over a window, but for the first ones
COUNT = "monitor/logs"  # number of logs so far


@dataclass(frozen=True)
class Report:
    """A problem that has just become active.

    ``line`` is for the user: the problem, where it is, the evidence, and two options that may help.
    """

    problem: str
    line: str
    step: int


@dataclass(frozen=True)
class Problem:
    """A known problem: its name, how to find it, and the options that most often help.

    Args:
        name: as it is printed.
        find: latest logs -> {place: evidence}, for each discriminator, image or loss that has the problem.
        hints: (key, value) of options that help, the likeliest first; at least two fit every GAN. ``model.*`` options
            are suggested to the models that have them.
        side: whose problem it is. A generator's is only checked at logs that have a G step.
    """

    name: str
    find: Callable[[Logs], dict[str, str]]
    hints: tuple[tuple[str, str], ...]
    side: Side = "generator"

    def advice(self, excluded: Collection[str] = ()) -> str:
        """The two likeliest options without those ``excluded``: "try optim.lr_d lower or balance.skip_above 0.8"."""
        hints = [f"{key} {change}" for key, change in self.hints if key not in excluded]
        return f"try {' or '.join(hints[:2])}"


def find_overpowering(logs: Logs) -> dict[str, str]:
    """D makes no mistakes, its loss is next to nothing, and G is not catching up."""
    now, evidence = logs[-1], {}
    for side in discriminators(now):
        real, fake = (now[f"discriminator/accuracy_{kind}{side}"] for kind in ("real", "fake"))
        share, gan_losses = now[f"discriminator/relative_loss{side}"], series(logs, f"loss/generator/gan{side}")
        if not (gan_losses and min(real, fake) > SURE_ACCURACY and share < SURE_LOSS):
            continue
        latest, before = gan_losses[-1], mean(gan_losses[: WINDOW // 2])
        if latest > before - FALLING * abs(before):
            evidence[f"D{of(side)}"] = (
                f"accuracy {real:.2f} on real and {fake:.2f} on fake, {share:.1%} of an undecided D's loss, "
                f"G's GAN loss {latest:.3g} after {before:.3g}"
            )
    return evidence


def find_blind(logs: Logs) -> dict[str, str]:
    """D has only guessed since the beginning, and G's GAN loss is flat: neither learns from the other."""
    evidence = {}
    for side in discriminators(logs[-1]):
        gan_losses = series(logs, f"loss/generator/gan{side}")
        best = logs[-1][f"{BEST}{side}"]
        enough = len(logs) == WINDOW and len(gan_losses) >= PATIENCE
        if not (best < GUESSING_ACCURACY and enough):
            continue
        if max(gan_losses) - min(gan_losses) < FLAT * max(abs(mean(gan_losses)), 0.5):
            evidence[f"D{of(side)}"] = f"accuracy never above {best:.2f}, G's GAN loss flat at {gan_losses[-1]:.3g}"
    return evidence


def find_collapse(logs: Logs) -> dict[str, str]:
    """Mode collapse: G makes nearly the same image for every input, or the same one of a class for every noise.

    Untrained images may be alike: it counts if they were diverse before, or are still alike late in the window.
    """
    now, evidence = logs[-1], {}
    for diagnostic, condition in (("noise_diversity", " for different noise"), ("diversity", "")):
        for name, value in image_values(now, diagnostic):
            late = len(logs) > WINDOW - PATIENCE
            if value < SAME_DIVERSITY and (late or now[f"{MOST}signs/{diagnostic}_{name}"] > SAME_DIVERSITY):
                evidence[f"G of {name}"] = f"{name}{condition} is {value:.0%} as diverse as the real images"
    return evidence


def find_ignored_domain(logs: Logs) -> dict[str, str]:
    """G makes the same image for every target domain."""
    return {
        f"G of {name}": f"{name} changes with its target by {value:.2%} of the distance between real images"
        for name, value in image_values(logs[-1], "two_targets")
        if value < IGNORED
    }


def find_saturation(logs: Logs) -> dict[str, str]:
    """G's tanh is at its flat ends where the real images are not: no gradient passes."""
    evidence = {}
    for name, share in image_values(logs[-1], "saturation"):
        real = logs[-1].get(f"signs/saturation_real_{name}", 1.0)
        if 1 - real > FEW_TONES and 1 - share < STUCK_SHARE * (1 - real):
            evidence[f"G of {name}"] = f"{share:.1%} of {name} is at the ends of tanh, {real:.1%} of the real images"
    return evidence


def find_inversion(logs: Logs) -> dict[str, str]:
    """G makes the negative of the target: dark is bright and bright is dark."""
    return {
        f"G of {name}": f"{name} has a correlation of {value:.2f} with the target"
        for name, value in image_values(logs[-1], "correlation")
        if value < INVERTED
    }


def find_discriminator_divergence(logs: Logs) -> dict[str, str]:
    """D's logits are far out on the wrong side; or a critic's gap and G's GAN loss grow without end.

    A healthy critic's gap rises, too, for some ten logs, until the critic has learned what there is to tell apart.
    """
    now = logs[-1]
    shares = {side: now[f"discriminator/relative_loss{side}"] for side in discriminators(now)}
    evidence = {
        f"D{of(side)}": f"{share:.3g} times an undecided D's loss"
        for side, share in shares.items()
        if share > WRONG_LOSS
    }
    for side in critics(now):
        names = (f"discriminator/gap{side}", f"loss/generator/gan{side}")
        if all(f"{CALM}{name}" in now and runs_away(series(logs, name), now[f"{CALM}{name}"]) for name in names):
            gap, calm = now[names[0]], now[f"{CALM}{names[0]}"]
            evidence[f"D{of(side)}"] = f"the critic's gap grows on and on: {gap:.3g}, {calm:.3g} at its calmest"
    return evidence


def find_divergence(logs: Logs) -> dict[str, str]:
    """A loss of G, other than the GAN's, or a gradient of any network is far above its values so far."""
    now, evidence = logs[-1], {}
    for name, value in now.items():
        if f"{LOWEST}{name}" in now:
            first, lowest = now[f"{FIRST}{name}"], now[f"{LOWEST}{name}"]
            if value > EXPLODED_LOSS * lowest and value > first:
                evidence[name] = f"{value:.3g}, {first:.3g} at first and {lowest:.3g} at best"
        if name.startswith("gradient_norm/"):
            before = mean(series(logs, name)[: WINDOW // 2])
            if value > EXPLODED_GRADIENT * before:
                evidence[name] = f"{value:.3g} after {before:.3g}"
    return evidence


PROBLEMS = (
    Problem(
        "D overpowering",
        find_overpowering,
        hints=(("optim.lr_d", "lower"), ("balance.skip_above", "0.8")),
        side="discriminator",
    ),
    Problem(
        "D blind",
        find_blind,
        hints=(("optim.lr_d", "higher"), ("balance.discriminator_steps", "2")),
        side="discriminator",
    ),
    Problem(
        "collapse",
        find_collapse,
        hints=(
            ("balance.diversity", "1"),
            ("balance.minibatch_std", "true"),
            ("balance.gradient_penalty", "r1"),
            ("balance.spectral_norm", "d"),
            ("optim.lr", "lower"),
            ("optim.lr_d", "lower"),
        ),
    ),
    Problem(
        "G ignores the domain",
        find_ignored_domain,
        hints=(
            ("model.lambda_class", "higher"),
            ("model.lambda_cycle", "lower"),
            ("optim.lr_d", "higher"),
            ("train.seed", "another"),
        ),
    ),
    Problem("saturation", find_saturation, hints=(("optim.lr", "lower"), ("optim.clip_grad_norm", "1"))),
    Problem("colour inversion", find_inversion, hints=(("optim.lr_d", "lower"), ("train.seed", "another"))),
    Problem(
        "D divergence",
        find_discriminator_divergence,
        hints=(("optim.lr_d", "lower"), ("optim.clip_grad_norm_d", "1")),
        side="discriminator",
    ),
    Problem("divergence", find_divergence, hints=(("optim.lr", "lower"), ("optim.clip_grad_norm", "1"))),
)
NOT_FINITE = Problem("NaN", lambda _: {}, hints=(("optim.lr", "lower"), ("optim.clip_grad_norm", "1")))
"""The trainer finds this one, and ends the run at once."""


class Monitor:
    """Watches the logs of one run and reports problems that become active.

    Args:
        excluded_hints: keys of options that no report may suggest (``excluded_hints``).
    """

    def __init__(self, excluded_hints: Collection[str] = ()) -> None:
        self.excluded_hints = frozenset(excluded_hints)
        self.logs: list[dict[str, float]] = []
        # Keys of both are "PROBLEM: PLACE"
        self.present: dict[str, int] = {}  # logs in a row that have the problem, PATIENCE at most
        self.absent: dict[str, int] = {}  # of each active problem: logs in a row that don't have it

    def observe(self, step: int, values: Values) -> list[Report]:
        """Adds the values of a log; returns a report for each problem that has just become active."""
        watched = {
            name: value
            for name, value in values.items()
            if name.startswith(("loss/", "discriminator/", "gradient_norm/", "signs/")) and math.isfinite(value)
        }
        self.logs = [*self.logs, {**watched, **self._records(watched)}][-WINDOW:]
        has_generator_step = any(name.startswith("loss/generator/") for name in watched)
        checked = [problem for problem in PROBLEMS if has_generator_step or problem.side == "discriminator"]
        evidence = {
            f"{problem.name}: {place}": f"{problem.name} ({place}): {text}; {problem.advice(self.excluded_hints)}"
            for problem in checked
            for place, text in problem.find(self.logs).items()
        }
        self._count(evidence, {problem.name for problem in checked})
        started = [key for key in evidence if self.present[key] == PATIENCE and key not in self.absent]
        self.absent |= dict.fromkeys(started, 0)
        return [Report(key.partition(": ")[0], evidence[key], step) for key in started]

    def _count(self, keys: Collection[str], checked: Collection[str]) -> None:
        """Updates ``present`` and ``absent``; problems that were not checked keep their counts.

        Args:
            keys: of the problems that this log has.
            checked: names of the problems that were checked at this log.
        """
        unchecked = {key for key in (*self.present, *self.absent) if key.partition(": ")[0] not in checked}
        kept = {key: count for key, count in self.present.items() if key in unchecked}
        self.present = {key: min(self.present.get(key, 0) + 1, PATIENCE) for key in keys} | kept
        absent = {key: count if key in unchecked else count + 1 for key, count in self.absent.items()}
        absent |= {key: 0 for key in keys if key in absent}
        self.absent = {key: count for key, count in absent.items() if count < PATIENCE}

    def state(self) -> dict[str, Any]:
        """Plain values for the checkpoint, which ``restore`` accepts."""
        return {"logs": self.logs, "sick": self.present, "gone": self.absent}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what ``state`` returned."""
        self.logs, self.present, self.absent = list(state["logs"]), dict(state["sick"]), dict(state["gone"])

    def _records(self, now: Values) -> dict[str, float]:
        """First, best, lowest and highest values so far, as far as the problems' conditions need them."""
        before = self.logs[-1] if self.logs else {}
        records = {name: value for name, value in before.items() if name.startswith("monitor/")}
        for side in discriminators(now):
            accuracy = mean([now[f"discriminator/accuracy_{kind}{side}"] for kind in ("real", "fake")])
            records[f"{BEST}{side}"] = max(accuracy, before.get(f"{BEST}{side}", 0.0))
        for name, value in now.items():
            if name.startswith("loss/generator/") and not name.startswith("loss/generator/gan") and value > 0:
                records[f"{FIRST}{name}"] = before.get(f"{FIRST}{name}", value)
                records[f"{LOWEST}{name}"] = min(value, before.get(f"{LOWEST}{name}", math.inf))
            if name.startswith(("signs/diversity_", "signs/noise_diversity_")):
                records[f"{MOST}{name}"] = max(value, before.get(f"{MOST}{name}", 0.0))
        records[COUNT] = before.get(COUNT, 0) + 1
        window = [*self.logs[1 - WINDOW :], now]
        for side in critics(now) if records[COUNT] >= 2 * WINDOW else ():
            for name in (f"discriminator/gap{side}", f"loss/generator/gan{side}"):
                sizes = [abs(value) for value in series(window, name)]
                if sizes:
                    records[f"{CALM}{name}"] = min(mean(sizes), before.get(f"{CALM}{name}", math.inf))
        return records


def excluded_hints(config: Any, model: Model, precision: str = "no") -> set[str]:
    """Keys of hints that make no sense for a run: it would refuse them, or uses them already.

    Args:
        config: the resolved options.
        model: the run's model.
        precision: as accelerate names it: no, bf16 or fp16.
    """
    balance, has_none = config.balance, not model.discriminators
    excluded = {
        "balance.diversity": not model.random or balance.diversity,
        "balance.minibatch_std": has_none or config.data.batch_size == 1 or balance.minibatch_std,
        "balance.gradient_penalty": has_none or precision == "fp16" or balance.gradient_penalty != "none",
        "balance.spectral_norm": has_none or balance.spectral_norm in ("d", "both"),
        "optim.lr_d": has_none,
    }
    of_models = {key for problem in PROBLEMS for key, _ in problem.hints if key.startswith("model.")}
    excluded |= {key: not hasattr(config.model, key.removeprefix("model.")) for key in of_models}
    return {key for key, is_excluded in excluded.items() if is_excluded}


def loss_ratio(values: Values) -> dict[str, float]:
    """``signs/loss_ratio``: G's GAN loss divided by D's loss; empty for critics and without discriminators.

    With the non-saturating losses it soars when D wins. Minimax's is negative and then goes to 0; hinge's has either
    sign.
    """
    generator = [value for name, value in values.items() if name.startswith("loss/generator/gan")]
    discriminator = [value for name, value in values.items() if name.startswith("loss/discriminator/")]
    if not (generator and discriminator and discriminators(values)):
        return {}
    return {"signs/loss_ratio": sum(generator) / max(sum(discriminator), 1e-8)}


def discriminators(values: Values) -> list[str]:
    """SIDE of each discriminator that classifies (has an accuracy) and all of whose values are there and finite."""
    start, others = "discriminator/accuracy_real", ("accuracy_fake", "relative_loss")
    sides = [name.removeprefix(start) for name in values if name.startswith(start)]
    return [side for side in sides if all(f"discriminator/{other}{side}" in values for other in others)]


def critics(values: Values) -> list[str]:
    """SIDE of each Wasserstein critic: a discriminator that has a gap and no accuracy."""
    start = "discriminator/gap"
    sides = [name.removeprefix(start) for name in values if name.startswith(start)]
    return [side for side in sides if f"discriminator/accuracy_real{side}" not in values]


def runs_away(values: Sequence[float], calm: float) -> bool:
    """Whether magnitudes grow from the first half to the second, whose mean is over EXPLODED_LOSS times ``calm``."""
    sizes = [abs(value) for value in values]
    before, after = mean(sizes[: len(sizes) // 2]), mean(sizes[len(sizes) // 2 :])
    return after > before and after > EXPLODED_LOSS * calm


def image_values(values: Values, diagnostic: str) -> list[tuple[str, float]]:
    """(NAME, value) of a diagnostic, for each generated image."""
    start = f"signs/{diagnostic}_"
    pairs = [(name.removeprefix(start), value) for name, value in values.items() if name.startswith(start)]
    return [(name, value) for name, value in pairs if not name.startswith("real_")]


def series(logs: Logs, name: str) -> list[float]:
    """The values of ``name`` in the logs that have it, oldest first."""
    return [log[name] for log in logs if name in log]


def of(side: str) -> str:
    """ " of a" for the side "_a"; empty for the only one."""
    return side.replace("_", " of ", 1)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 for an empty sequence."""
    return sum(values) / max(len(values), 1)
