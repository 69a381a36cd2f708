"""Makes the runs and the figures of docs/balance.md: python docs/make_balance.py [PROBLEM ...|critics].

For each problem one run has it ("problem"), and another avoids it by one option ("solved"). Both train on the embedded
digits, half a minute or so on two cores. The runs stay in runs/balance-*, the figures are docs/balance-*.jpg.
"critics" draws docs/wgan.jpg from the runs wgan and wgan_gp, which must exist (configs/dcgan).
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
COMMON = """--config configs/dcgan/toy.yaml --overwrite --model.num_classes 0 --model.ngf 16 --model.ndf 16
    --train.ema_decay 0 --train.log_every 25 --train.sample_every 250""".split()


@dataclass
class Story:
    """One problem: the options of both runs, those that cause it, those that solve it, and the curve that shows it."""

    both: str
    problem: str
    solved: str
    curve: str
    logarithmic: bool = False
    steps: int = 600


STORIES = {
    "overpowering": Story(
        both="--model.gan_loss minimax --model.norm_d none --optim.lr_d 4e-3",
        problem="",
        solved="--balance.skip_above 0.8",
        curve="discriminator/relative_loss",
    ),
    "blind": Story(
        both="--model.norm_d none",
        problem="--optim.lr_d 1e-7",
        solved="--optim.lr_d 2e-4",
        curve="discriminator/accuracy_fake",
    ),
    "collapse": Story(
        both="--model.norm none --model.norm_d none --optim.betas [0.9,0.999] --optim.lr 1e-2 --optim.lr_d 2e-4",
        problem="",
        solved="--balance.diversity 2",
        curve="signs/diversity_output",
    ),
    "saturation": Story(
        both="--model.norm none --model.norm_d none --optim.lr_d 2e-4",
        problem="--optim.lr 2e-2",
        solved="--optim.lr 1e-3",
        curve="signs/saturation_output",
    ),
    "divergence": Story(
        both="--model.gan_loss lsgan --model.norm_d none",
        problem="--optim.lr_d 0.05",
        solved="--optim.lr_d 2e-4",
        curve="discriminator/relative_loss",
        logarithmic=True,
    ),
}


def command(problem: str, state: str) -> list[str]:
    """The training's command line, after "python"."""
    story = STORIES[problem]
    own = f"{story.both} {story.problem if state == 'problem' else story.solved}".split()
    name = ["--name", f"balance-{problem}-{state}", "--train.max_steps", str(story.steps)]
    return ["tools/train.py", *COMMON, *name, *own]


def main() -> None:
    if sys.argv[1:] == ["critics"]:  # of a run that is there already
        draw_critics()
        return
    for problem in sys.argv[1:] or STORIES:
        for state in ("problem", "solved"):
            print("python", " ".join(command(problem, state)))
            subprocess.run([sys.executable, *command(problem, state)], cwd=ROOT, check=True)
        draw(problem)


def draw(problem: str) -> None:
    """Draws docs/balance-PROBLEM.jpg: the last samples of both runs, and the curve that shows the problem."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), dpi=90, width_ratios=(1, 1, 1.3))
    for axis, state in zip(axes[:2], ("problem", "solved"), strict=True):
        run = ROOT / "runs" / f"balance-{problem}-{state}"
        sheet = np.asarray(Image.open(sorted((run / "samples").iterdir())[-1]))
        axis.imshow(sheet)
        axis.set_title(f"{state}, step {STORIES[problem].steps}", fontsize=10)
        axis.set_axis_off()
        with (run / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row[STORIES[problem].curve]]
        steps = [int(row["step"]) for row in rows]
        axes[2].plot(steps, [float(row[STORIES[problem].curve]) for row in rows], label=state)
        for step in (int(row["step"]) for row in rows if row.get("verdict")):
            axes[2].axvline(step, color="tab:blue" if state == "problem" else "tab:orange", linestyle=":", linewidth=1)
    if STORIES[problem].logarithmic:
        axes[2].set_yscale("log")
    axes[2].set_title(STORIES[problem].curve, fontsize=10)
    axes[2].set_xlabel("step (dotted: the monitor reports the problem)", fontsize=9)
    axes[2].legend(fontsize=9)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / f"balance-{problem}.jpg", pil_kwargs={"quality": 85})
    plt.close(figure)


def draw_critics() -> None:
    """Draws docs/wgan.jpg: the critics' estimates of runs/wgan and runs/wgan_gp over the steps, and sample sheets."""
    figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), dpi=90, width_ratios=(1.5, 1, 1, 1))
    for row, name in zip(axes, ("wgan", "wgan_gp"), strict=True):
        with (ROOT / "runs" / name / "metrics.csv").open(newline="") as file:
            logs = list(csv.DictReader(file))
        sheets = sorted((ROOT / "runs" / name / "samples").iterdir())
        row[0].plot([int(log["step"]) for log in logs], [float(log["discriminator/gap"]) for log in logs])
        row[0].set_title(f"{name}: discriminator/gap", fontsize=10)
        for axis, sheet in zip(row[1:], (sheets[1], sheets[3], sheets[-1]), strict=True):
            axis.imshow(np.asarray(Image.open(sheet)))
            axis.set_title(sheet.stem.replace("step-", "step "), fontsize=10)
            axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "wgan.jpg", pil_kwargs={"quality": 85})
    plt.close(figure)


if __name__ == "__main__":
    main()
