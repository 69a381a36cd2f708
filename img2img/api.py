"""The commands as functions: ``train``, ``evaluate`` and ``load_run``. They have the commands' options and checks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.arguments import value_text
from img2img.checkpoint import list_checkpoints
from img2img.config import Config, load_config
from img2img.run_files import config_file
from img2img.runs import find_run

if TYPE_CHECKING:
    from img2img.evaluation.report import ScoreTable


@dataclass(frozen=True)
class Run:
    """A run's folder. Functions that take a run's name take it as well."""

    path: Path
    """The folder, runs/NAME."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def config(self) -> Config:
        """All of its options, in the sections ``model``, ``data``, ``optim``, ``train`` and ``balance``."""
        return load_config(config_file(self.path))

    @property
    def steps(self) -> list[int]:
        """The steps of its checkpoints, in their order; [] if it has none."""
        return [int(path.name.removeprefix("step-")) for path in list_checkpoints(self.path)]

    @property
    def log(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, oldest first: numbers by column; what a row doesn't have is left out."""
        file = self.path / "metrics.csv"
        if not file.is_file():
            return []
        with file.open(newline="", encoding="utf-8") as lines:
            return [
                {key: number for key, text in row.items() if (number := _number(text)) is not None}
                for row in csv.DictReader(lines)
            ]


def train(
    model: str | Mapping[str, Any] | None = None,
    *,
    config: str | Path | None = None,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **sections: Mapping[str, Any],
) -> Run:
    """Trains a model, as the command ``train``, in this process.

    ::

        import img2img

        run = img2img.train({"name": "pix2pix", "ngf": 8}, train={"max_steps": 10})  # without data: the toy set
        print(run.steps, run.log[-1]["loss/generator/l1"])

    Your own pairs, by small networks for 64x64, and an image translated by them::

        import img2img
        from PIL import Image

        model = {"name": "pix2pix", "num_downs": 6, "ngf": 8, "ndf": 8}
        data = {"root": "datasets/facades", "load_size": 64, "crop_size": 64}
        run = img2img.train(model, name="small", data=data, train={"epochs": 2, "decay_epochs": 2})
        photo = img2img.load_translator(run)(Image.open("drawing.png"))

    Args:
        model: the model's name, the path of your own model's file, or a mapping of ``name`` and the model's options.
            May be left out if ``config`` names it.
        config: a preset, or a file of options; the other arguments override it.
        name: of the run, which is written to runs/NAME (default: made of the data's folder, or the preset's).
        resume: continues the run of this name from its newest checkpoint.
        overwrite: deletes the run of this name, if there is one.
        sections: further options: ``data``, ``optim``, ``train`` and ``balance``, each a mapping by the names that
            ``train --model NAME --help all`` lists.

    Returns:
        The run.

    Raises:
        ValueError: an option, a file or an image is wrong; the message is that of the command.
        img2img.errors.TrainingStopped: a signal ended the training, or a loss or weight is not finite.
    """
    from img2img.command_line import parse_train_arguments
    from img2img.training.trainer import train as train_run

    options = dict(model) if isinstance(model, Mapping) else {"name": model}
    words = _words({"model": options.pop("name", None), "config": config, "name": name})
    words += _words({"resume": resume, "overwrite": overwrite})
    for section, values in {"model": options, **sections}.items():
        if not isinstance(values, Mapping):
            raise ValueError(f"{section} {values}: must be a mapping of options, such as data={{'root': 'DIR'}}")
        words += [word for key, value in values.items() for word in (f"--{section}.{key}", value_text(value))]
    arguments = parse_train_arguments(words)
    folder = train_run(arguments.config, resume=arguments.resume, overwrite=arguments.overwrite, notes=arguments.notes)
    return Run(folder)


def load_run(name: str | Path | Run) -> Run:
    """A run by its name in runs/ or by its folder.

    ::

        import img2img

        run = img2img.load_run("facades")
        print(run.config.data.root, run.steps)
        losses = [row["loss/generator/l1"] for row in run.log if "loss/generator/l1" in row]  # not rows of evaluations

    Raises:
        ValueError: there is no such run; the message lists those that exist.
    """
    return Run(find_run(str(name)))


def evaluate(
    run: str | Path | Run, metrics: str | None = None, *, data: Mapping[str, Any] | None = None, **options: Any
) -> ScoreTable:
    """Measures a run, or a folder of images, as the command ``evaluate``; prints and writes the same reports.

    ::

        import img2img

        scores = img2img.evaluate("facades")
        print(scores["AtoB"]["output"]["psnr"], scores["AtoB"]["input"]["psnr"])
        scores = img2img.evaluate("facades", data={"root": "datasets/facades"})  # where the set is now
        scores = img2img.evaluate("outputs/", "psnr,ssim", reference="photos/")  # files of the same names
        print(scores["outputs"]["output"]["psnr"])

    Metrics of features read their network's weights from a file, or torch downloads them once::

        import img2img

        scores = img2img.evaluate("outputs/", "fid", reference="photos/", weights="inception.pth")

    Args:
        run: the run, or a folder of images.
        metrics: separated by commas (default: L1, PSNR and SSIM).
        data: where the run's data set is now, see ``load_translator``.
        options: those of the command ``evaluate``, with ``_`` for ``-``: ``checkpoint="best"``, ``paired=True``.

    Returns:
        Scores by direction, row and name: ``output``, and beside it the baselines that were measured. PSNR in dB, L1
        of 255. The key of a folder of images is its name, that of images drawn from noise "noise".

    Raises:
        ValueError: an option or a file is wrong; the message is that of the command.
    """
    from img2img.cli.evaluate import measure
    from img2img.evaluation.arguments import parse_evaluate_arguments

    if data is not None and not isinstance(data, Mapping):
        raise ValueError(f"data {data}: must be a mapping of options, such as data={{'root': 'DIR'}}")
    words = [str(run), *_words({"metrics": metrics, **options})]
    words += [f"--data.{key}={value_text(value)}" for key, value in (data or {}).items()]
    return measure(parse_evaluate_arguments(None, words))


def _words(options: Mapping[str, Any]) -> list[str]:
    """Options of a command as words of its command line: True is the option alone, None and False leave it out."""
    words = []
    for key, value in options.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, value_text(value)]
    return words


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
