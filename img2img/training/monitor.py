"""The monitor: it says which illness a training has, while it happens, and which two options help most often.

Plain Python over the numbers of each log, for any model: what is looked at is found by the names of the values, where
SIDE tells several discriminators apart (``_a``) and may be empty, and NAME is an image of the model:

    loss/generator/TERM, loss/discriminator/TERM    means since the last log
    discriminator/accuracy_realSIDE, accuracy_fakeSIDE, gapSIDE, relative_lossSIDE    likewise (``losses``)
    gradient_norm/NETWORK, signs/..._NAME   of one step (``step``, ``diagnostics``)

An illness is told when its condition has held for PATIENCE logs in a row, once; it can be told again when it has been
gone for as many. Logs without a generator update are ignored when generator problems are checked; models without
discriminators have none of theirs. Healthy runs of the toy presets never reach a threshold for so long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from img2img.models.base import Model

Values = Mapping[str, float]
Logs = Sequence[Values]
"""The latest logs, oldest first, the newest last."""

WINDOW = 10  # logs that are remembered: a trend is one over these
PATIENCE = 5  # logs in a row: what passes by itself within 500 steps (at train.log_every 100) is no illness

SURE = 0.95  # accuracy on both kinds from which a discriminator makes no mistakes to speak of
CERTAIN = 0.02  # share of an undecided one's loss: lsgan's logits are then 0.07 off their labels, vanilla's 4.3 from 0
FALLING = 0.1  # share of its mean in the window's first half by which G's gan loss falls when it is winning ground
GUESSING = 0.55  # mean accuracy on both kinds that a discriminator exceeds within a few logs if it learns at all
FLAT = 0.1  # spread of G's gan loss over the window as a share of its mean, or of 0.5, since hinge's is about 0
ALIKE = 0.07  # of the real images' diversity: untrained U-Nets have 0.1, healthy ones 0.2 after some twenty steps
STIFF = 0.1  # share of unsaturated values, as a share of the real images', below which tanh passes no gradient
FEW_TONES = 0.02  # unsaturated share of real images below which they are black and white by nature
INVERTED = -0.1  # correlation with the target; one that is not learned yet is about 0
WILD = 10.0  # times an undecided discriminator's loss: logits of 2 for lsgan, of 14 for vanilla, all of them wrong
EXPLODED = 10.0  # times the lowest value that a loss other than the GAN's has had, and above the one at first
STEEP = 1000.0  # times the mean gradient norm of the window's first half


@dataclass(frozen=True)
class Verdict:
    """An illness that has just become certain; ``line`` says where, by what sign, and which two options may help."""

    illness: str
    line: str
    step: int


@dataclass(frozen=True)
class Illness:
    """What it is called, how it is seen, and the options that help most often.

    ``signs`` takes the latest logs and returns, for each discriminator, image or loss that has it, what shows it; at
    a log of ``turn`` only. ``hints`` has the likeliest first, and two at least that every GAN can take.
    """

    name: str
    signs: Callable[[Logs], dict[str, str]]
    hints: tuple[tuple[str, str], ...]
    turn: Literal["generator", "discriminator"] = "generator"

    def advice(self, unfit: Collection[str] = ()) -> str:
        """As a part of a line: "try optim.lr_d lower or balance.skip_above 0.8"; without the keys in ``unfit``."""
        hints = [f"{key} {change}" for key, change in self.hints if key not in unfit]
        return f"try {' or '.join(hints[:2])}"


def overpowering(logs: Logs) -> dict[str, str]:
    """D makes no mistake, pays next to nothing, and G is not catching up."""
    now, found = logs[-1], {}
    for side in discriminators(now):
        real, fake = (now[f"discriminator/accuracy_{kind}{side}"] for kind in ("real", "fake"))
        share, gan = now[f"discriminator/relative_loss{side}"], course(logs, f"loss/generator/gan{side}")
        before = mean(gan[: WINDOW // 2])
        if gan and min(real, fake) > SURE and share < CERTAIN and gan[-1] > before - FALLING * abs(before):
            sign = f"accuracy {real:.2f} on real and {fake:.2f} on fake, {share:.1%} of an undecided D's loss"
            found[f"D{of(side)}"] = f"{sign}, G's gan {gan[-1]:.3g} after {before:.3g}"
    return found


def blind(logs: Logs) -> dict[str, str]:
    """D has guessed since the beginning, and G's loss says so: nobody learns from anybody."""
    found = {}
    for side in discriminators(logs[-1]):
        gan = course(logs, f"loss/generator/gan{side}")
        best = logs[-1][f"{BEST}{side}"]
        whole = len(logs) == WINDOW and len(gan) >= PATIENCE
        if best < GUESSING and whole and max(gan) - min(gan) < FLAT * max(abs(mean(gan)), 0.5):
            found[f"D{of(side)}"] = f"accuracy never above {best:.2f}, G's gan at {gan[-1]:.3g} and flat"
    return found


def collapse(logs: Logs) -> dict[str, str]:
    """G draws nearly the same image whatever it is given, or one of each class whatever the noise.

    It has drawn several before; or it does so still when WINDOW logs have passed, as untrained images may be alike.
    """
    now, found = logs[-1], {}
    for sign, what in (("noise_diversity", ", given other noise,"), ("diversity", "")):
        for name, value in images(now, sign):
            if value < ALIKE and (len(logs) > WINDOW - PATIENCE or now[f"{MOST}signs/{sign}_{name}"] > ALIKE):
                found[f"G of {name}"] = f"{name}{what} is {value:.0%} as diverse as the real images"
    return found


def saturation(logs: Logs) -> dict[str, str]:
    """G's tanh is at its ends where the real images are not: no gradient comes through."""
    found = {}
    for name, share in images(logs[-1], "saturation"):
        real = logs[-1].get(f"signs/saturation_real_{name}", 1.0)
        if 1 - real > FEW_TONES and 1 - share < STIFF * (1 - real):
            found[f"G of {name}"] = f"{share:.1%} of {name} is at the ends of tanh, {real:.1%} of the real images"
    return found


def inversion(logs: Logs) -> dict[str, str]:
    """Dark is bright and bright is dark."""
    return {
        f"G of {name}": f"{name} has a correlation of {value:.2f} with the target"
        for name, value in images(logs[-1], "correlation")
        if value < INVERTED
    }


def wild(logs: Logs) -> dict[str, str]:
    """D's logits are far out, on the wrong side; or a critic's, which knows no sides, ever further, and G's loss too.

    A healthy critic's gap rises for some ten logs, too, until it has learned what there is to tell.
    """
    now = logs[-1]
    shares = {side: now[f"discriminator/relative_loss{side}"] for side in discriminators(now)}
    found = {
        f"D{of(side)}": f"{share:.3g} times an undecided D's loss" for side, share in shares.items() if share > WILD
    }
    for side in critics(now):
        names = (f"discriminator/gap{side}", f"loss/generator/gan{side}")
        if all(f"{CALM}{name}" in now and runs_away(course(logs, name), now[f"{CALM}{name}"]) for name in names):
            gap = now[names[0]]
            found[f"D{of(side)}"] = (
                f"a gap of {gap:.3g} that goes on growing, {now[CALM + names[0]]:.3g} at its calmest"
            )
    return found


def divergence(logs: Logs) -> dict[str, str]:
    """G's losses or anyone's gradients have left the range in which anything is learned."""
    now, found = logs[-1], {}
    for name, value in now.items():
        if f"{LOWEST}{name}" in now:
            first, lowest = now[f"{FIRST}{name}"], now[f"{LOWEST}{name}"]
            if value > EXPLODED * lowest and value > first:
                found[name] = f"{value:.3g}, {first:.3g} at first and {lowest:.3g} at best"
        if name.startswith("gradient_norm/"):
            before = mean(course(logs, name)[: WINDOW // 2])
            if value > STEEP * before:
                found[name] = f"{value:.3g} after {before:.3g}"
    return found


BEST = "monitor/best_accuracy"  # + SIDE: the highest mean accuracy since the beginning
FIRST = "monitor/first/"  # + a loss: its value at the first log
LOWEST = "monitor/lowest/"  # + a loss: its lowest value since
MOST = "monitor/most/"  # + a diversity: its highest value since the beginning
CALM = "monitor/calm/"  # + a critic's gap or G's loss with it: the lowest mean size over a window after the first one
COUNT = "monitor/logs"  # how many there were

ILLNESSES = (
    Illness("D overpowering", overpowering, (("optim.lr_d", "lower"), ("balance.skip_above", "0.8")), "discriminator"),
    Illness("D blind", blind, (("optim.lr_d", "higher"), ("balance.discriminator_steps", "2")), "discriminator"),
    Illness(
        "collapse",
        collapse,
        (
            ("balance.diversity", "1"),
            ("balance.minibatch_std", "true"),
            ("balance.gradient_penalty", "r1"),
            ("balance.spectral_norm", "d"),
            ("optim.lr", "lower"),
            ("optim.lr_d", "lower"),
        ),
    ),
    Illness("saturation", saturation, (("optim.lr", "lower"), ("optim.clip_grad_norm", "1"))),
    Illness("colour inversion", inversion, (("optim.lr_d", "lower"), ("train.seed", "another"))),
    Illness("D divergence", wild, (("optim.lr_d", "lower"), ("optim.clip_grad_norm_d", "1")), "discriminator"),
    Illness("divergence", divergence, (("optim.lr", "lower"), ("optim.clip_grad_norm", "1"))),
)
NOT_FINITE = Illness("NaN", lambda _: {}, (("optim.lr", "lower"), ("optim.clip_grad_norm", "1")))
"""Found by the trainer, which ends the run at once."""


class Monitor:
    """Watches the logs of one run. What it remembers are plain values, which go into the checkpoint.

    Args:
        unfit: keys of options that no verdict may propose, as ``unfit_hints`` finds them.
    """

    def __init__(self, unfit: Collection[str] = ()) -> None:
        self.unfit = frozenset(unfit)
        self.logs: list[dict[str, float]] = []
        self.sick: dict[str, int] = {}  # logs in a row for which it has been seen, by illness and place
        self.gone: dict[str, int] = {}  # logs in a row for which one that was told has not been seen

    def observe(self, step: int, values: Values) -> list[Verdict]:
        """Takes the values of a log in and returns what has just become certain."""
        watched = {
            name: value
            for name, value in values.items()
            if name.startswith(("loss/", "discriminator/", "gradient_norm/", "signs/")) and math.isfinite(value)
        }
        self.logs = [*self.logs, {**watched, **self._records(watched)}][-WINDOW:]
        played = any(name.startswith("loss/generator/") for name in watched)
        judged = [illness for illness in ILLNESSES if played or illness.turn == "discriminator"]
        seen = {
            f"{illness.name}: {place}": (illness, place, evidence)
            for illness in judged
            for place, evidence in illness.signs(self.logs).items()
        }
        verdicts = []
        for key, (illness, place, evidence) in seen.items():
            if key in self.gone:
                self.gone[key] = 0
            elif self.sick.get(key, 0) + 1 == PATIENCE:
                self.gone[key] = 0
                line = f"{illness.name} ({place}): {evidence}; {illness.advice(self.unfit)}"
                verdicts.append(Verdict(illness.name, line, step))
        names = {illness.name for illness in judged}
        silent = {key for key in (*self.sick, *self.gone) if key.partition(": ")[0] not in names}
        waiting = {key: count for key, count in self.sick.items() if key in silent}
        self.sick = {key: min(self.sick.get(key, 0) + 1, PATIENCE) for key in seen} | waiting
        self.gone = {key: count if key in seen or key in silent else count + 1 for key, count in self.gone.items()}
        self.gone = {key: count for key, count in self.gone.items() if count < PATIENCE}
        return verdicts

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes back, as plain values."""
        return {"logs": self.logs, "sick": self.sick, "gone": self.gone}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on as the monitor whose ``state`` it was."""
        self.logs, self.sick, self.gone = list(state["logs"]), dict(state["sick"]), dict(state["gone"])

    def _records(self, now: Values) -> dict[str, float]:
        """First, best, lowest and highest values since the beginning, as far as conditions ask for them."""
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
                sizes = [abs(value) for value in course(window, name)]
                if sizes:
                    records[f"{CALM}{name}"] = min(mean(sizes), before.get(f"{CALM}{name}", math.inf))
        return records


def unfit_hints(config: Any, model: Model, precision: str = "no") -> set[str]:
    """Keys of hints that a run can't take: they would be refused, or the run has them already.

    Args:
        config: the resolved options.
        model: its model.
        precision: as accelerate names it.
    """
    balance, has_none = config.balance, not model.discriminators
    excluded = {
        "balance.diversity": not model.random or balance.diversity,
        "balance.minibatch_std": has_none or config.data.batch_size == 1 or balance.minibatch_std,
        "balance.gradient_penalty": has_none or precision == "fp16" or balance.gradient_penalty != "none",
        "balance.spectral_norm": has_none or balance.spectral_norm in ("d", "both"),
        "optim.lr_d": has_none,
    }
    return {key for key, is_excluded in excluded.items() if is_excluded}


def loss_ratio(values: Values) -> dict[str, float]:
    """What G pays for D's verdicts as a share of what D pays, where D gives verdicts.

    It soars when D wins, where G's loss is the non-saturating one; minimax's is below 0 and goes to 0 then, and hinge's
    has either sign.
    """
    gan = [value for name, value in values.items() if name.startswith("loss/generator/gan")]
    paid = [value for name, value in values.items() if name.startswith("loss/discriminator/")]
    if not (gan and paid and discriminators(values)):
        return {}
    return {"signs/loss_ratio": sum(gan) / max(sum(paid), 1e-8)}


def discriminators(values: Values) -> list[str]:
    """SIDE of each discriminator that gives verdicts, all of whose values are there: what isn't finite is left out."""
    start, others = "discriminator/accuracy_real", ("accuracy_fake", "relative_loss")
    sides = [name.removeprefix(start) for name in values if name.startswith(start)]
    return [side for side in sides if all(f"discriminator/{other}{side}" in values for other in others)]


def critics(values: Values) -> list[str]:
    """SIDE of each discriminator that gives no verdicts, and has a gap alone."""
    start, verdict = "discriminator/gap", "discriminator/accuracy_real"
    sides = [name.removeprefix(start) for name in values if name.startswith(start)]
    return [side for side in sides if f"{verdict}{side}" not in values]


def runs_away(values: Sequence[float], calm: float) -> bool:
    """Whether a value's size has grown over the window, half by half, and is EXPLODED times ``calm`` in the second."""
    sizes = [abs(value) for value in values]
    before, after = mean(sizes[: len(sizes) // 2]), mean(sizes[len(sizes) // 2 :])
    return after > before and after > EXPLODED * calm


def images(values: Values, sign: str) -> list[tuple[str, float]]:
    """(name, value) of each image's sign."""
    start = f"signs/{sign}_"
    found = [(name.removeprefix(start), value) for name, value in values.items() if name.startswith(start)]
    return [(name, value) for name, value in found if not name.startswith("real_")]


def course(logs: Logs, name: str) -> list[float]:
    """A value's course over the logs that have it, oldest first."""
    return [log[name] for log in logs if name in log]


def of(side: str) -> str:
    """ " of a" for the side "_a", nothing for the only one."""
    return side.replace("_", " of ", 1)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; of nothing, 0."""
    return sum(values) / max(len(values), 1)
