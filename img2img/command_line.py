"""Floor 2: the command line of ``img2img train``.

Options come from files (presets, or the config.yaml of a run to resume). The command line overrides them.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from img2img.arguments import refuse_wrong_dashes, with_underscores
from img2img.config import (
    Config,
    build_config,
    data_config,
    find_model,
    option_keys,
    option_parser,
    options_of,
    parse,
    read_yaml,
    refuse_option,
    usage,
)
from img2img.losses.balance import BalanceConfig
from img2img.models import load_model_file, model_class, model_file, model_names, packaged_models
from img2img.presets import FOLDER, find_config, preset_name
from img2img.program import launched
from img2img.run_files import config_file, list_runs
from img2img.training_options import OptimConfig, TrainConfig


@dataclass
class TrainArguments:
    """The command line of ``img2img train``, resolved."""

    config: Config
    resume: bool
    overwrite: bool
    print_config: bool
    notes: list[str]
    """Messages to print: where the options come from if the user didn't choose it."""


def parse_train_arguments(argv: Sequence[str], presets: Path = FOLDER, runs: Path = Path("runs")) -> TrainArguments:
    """Resolves the command line of ``img2img train``.

    ``--model``, ``--config`` and ``--name`` are read first, because the other options depend on them. Without
    ``--config`` and a data folder, the model is trained on its toy task, ``presets/<model>/toy.yaml``. With
    ``--resume``, the run's own options are read, and the command line overrides them.

    Raises:
        ValueError: an unknown option, a value of a wrong type, a missing file; the message is one line.
        SystemExit: ``--help`` was printed.
    """
    line = _CommandLine(argv, presets)
    if line.help and not (line.model or line.configs or line.names_a_run):
        _list_models()
    if not (line.help or line.names_data or line.names_a_run):
        line.choose_toy_task(presets, runs)
    contents = [read_yaml(path) for path in line.configs]
    name = line.run_name(contents)
    if line.resume:
        line.choose_run(runs / name)
        contents = [read_yaml(path) for path in line.configs]
    model = line.agreed_model(contents)
    parser = _train_parser(model)
    if line.help:
        _print_help(parser, model, every=line.every)
    config, values = _resolve(parser, line, contents, model=model, name=name)
    return TrainArguments(config, line.resume, values.overwrite, values.print_config, line.notes)


class _CommandLine:
    """The arguments that must be read before all others: the model, the files of options and the run.

    Raises:
        ValueError: an option without a value, or two that exclude each other.
    """

    def __init__(self, argv: Sequence[str], presets: Path) -> None:
        refuse_wrong_dashes(argv)
        self.words, early = _take(with_underscores(argv), {"--model", "--config", "--name"})
        self.name = early["--name"][-1] if early["--name"] else None
        self.model = early["--model"][-1] if early["--model"] else None
        if self.model and self.model.endswith(".py"):
            self.model = load_model_file(Path(self.model))
        self.configs = [find_config(text, presets, self.model) for text in early["--config"]]
        self.has_configs = bool(self.configs)  # given by the user
        self.resume = "--resume" in self.words
        if self.resume and "--overwrite" in self.words:
            raise ValueError("--resume and --overwrite: leave one of them out")
        self.help = "--help" in self.words or "-h" in self.words
        self.every = self.help and _given(self.words, "--help") == "all"
        self.notes: list[str] = []

    @property
    def names_a_run(self) -> bool:
        """Whether a run to resume is given."""
        return self.resume and self.name is not None

    @property
    def names_data(self) -> bool:
        """Whether the data are given, by a folder, data.toy or a file of options."""
        toy = any(word.partition("=")[0] == "--data.toy" for word in self.words)
        return bool(self.configs or toy or any(self.folders.values()))

    @property
    def folders(self) -> dict[str, str | None]:
        """Values of the options that name data folders, by key; of any model, if none is given yet."""
        models = [self.model] if self.model else model_names()
        keys = dict.fromkeys(key for model in models for key in data_config(model).folders)
        return {key: _given(self.words, f"--data.{key}") for key in keys}

    def choose_toy_task(self, presets: Path, runs: Path) -> None:
        """Adds the options of the model's toy task. Raises ValueError if no model is given."""
        if self.model is None:
            _refuse_typo(self.words)
            if self.resume:
                names = ", ".join(list_runs(runs)) or "none yet"
                raise ValueError(f"--resume: add --name NAME, the run to resume; {runs}/ has {names}")
            raise ValueError(f"--model is missing; choose one of {', '.join(model_names())}")
        model_class(self.model)  # raises ValueError for an unknown name
        if self.model not in model_names():  # from outside: without presets
            task = "data.toy true"
            self.words += ["--data.toy", "true"]
            self.name = self.name or f"{self.model}-toy"
        else:
            self.configs = [presets / self.model / "toy.yaml"]
            task = f"--config {preset_name(self.configs[0], presets)}"
        if not self.resume:
            self.notes.append(f"neither --config nor --data.root is given: training on the toy task, {task}")

    def run_name(self, contents: Sequence[dict[str, Any]]) -> str:
        """The run's name: ``--name``, else ``name`` in the last file of options, else made of the data folders."""
        names = [self.name, *(content.get("name") for content in reversed(contents))]
        if name := next((name for name in names if name), None):
            return name
        sections = [self.folders, *(content.get("data", {}) for content in reversed(contents))]
        values = [next((s[key] for s in sections if s.get(key)), None) for key in self.folders]
        return _name_of([folder for folder in values if folder])

    def choose_run(self, run: Path) -> None:
        """Replaces the files of options by the run's config.yaml. Raises ValueError if there is no such run."""
        saved = config_file(run)
        if not saved.is_file():
            raise ValueError(f"--resume: there is no run in {run}; leave --resume out to start it")
        if self.has_configs:
            self.notes.append(f"resuming with the options of {saved}; --config only names the run")
        self.configs = [saved]

    def agreed_model(self, contents: Sequence[dict[str, Any]]) -> str:
        """The model's name, from ``--model`` or the files of options. Raises ValueError for none or several."""
        for path, content in zip(self.configs, contents, strict=True):
            model = content.get("model", {}).get("name")
            if model and self.model and model != self.model:
                copied = f"copy it as {self.model}.yaml with model.name {self.model}, and give that as --config"
                advice = copied if model_file(self.model) else "leave one of the two out"
                raise ValueError(f"--model {self.model}: {path} is for {model}; {advice}")
            if model:
                find_model(model, path)
            self.model = self.model or model
        if self.model is None:
            if self.help:
                _list_models()
            _refuse_typo(self.words)
            raise ValueError(f"--model is missing; choose one of {', '.join(model_names())}")
        return self.model


def _train_parser(model: str) -> jsonargparse.ArgumentParser:
    parser = option_parser(model)
    parser.add_argument("--resume", action="store_true", help="Continue the run NAME from its last checkpoint.")
    parser.add_argument(
        "--overwrite", action="store_true", help="Delete the run NAME, if it exists, and start it anew."
    )
    parser.add_argument("--print_config", action="store_true", help="Print the resolved options and exit.")
    return parser


def _resolve(
    parser: jsonargparse.ArgumentParser,
    line: _CommandLine,
    contents: Sequence[dict[str, Any]],
    *,
    model: str,
    name: str,
) -> tuple[Config, Any]:
    """(Configuration, all parsed values) of the files of options, in their order, and then of the command line."""
    words: list[str] = []
    for path, content in zip(line.configs, contents, strict=True):
        source = options_of(path, content, model)
        parse(parser, ["--config", source], f"{path}: ")  # so that the message of a mistake names the file
        words += ["--config", source]
    values = parse(parser, words + line.words)
    return build_config(parser, values, name), values


def _name_of(folders: Sequence[str]) -> str:
    """A run's name made of the names of its data folders; "toy" if there are none."""
    parts = [re.sub(r"[^\w.+-]+", "-", Path(folder).resolve().name).strip("-.+") for folder in folders]
    return ("2".join(parts)[:100] or "run") if parts else "toy"


def _given(words: Sequence[str], option: str) -> str | None:
    """The last value of an option on the command line; None if it isn't there."""
    values = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    values += [value for word, value in pairwise([*words, ""]) if word == option]
    return values[-1] if values else None


def _list_models() -> NoReturn:
    """Prints the help for a command line without a model, which lists the models, and exits."""
    about = {name: (model_class(name).__doc__ or "").strip().splitlines()[0] for name in model_names()}
    about |= {name: f"Of the package {point.module}." for name, point in packaged_models().items()}
    width = max(map(len, about))
    print(f"usage: {usage()}\n\nTrains a model. On several GPUs: accelerate launch {launched('train')}\n\nmodels:")
    for name, text in about.items():
        print(f"  {name:{width}}  {text}")
    print(f"  {'FILE.py':{width}}  A model of your own.")
    print("\n--model NAME --help lists a model's options. Without --config and --data.root it trains on its toy task.")
    raise SystemExit(0)


def _print_help(parser: jsonargparse.ArgumentParser, model: str, *, every: bool) -> NoReturn:
    """Prints the common options of a model and its data set, or with ``every`` all of them, and exits."""
    sections = {"model": model_class(model).Config, "data": data_config(model)}
    sections |= {"optim": OptimConfig, "train": TrainConfig, "balance": BalanceConfig}
    hidden = 0
    for action in parser._actions:
        section, _, key = action.dest.partition(".")
        everyday = getattr(sections.get(section), "everyday", None)
        if action.dest in sections:
            action.help = SUPPRESS
        elif key and everyday is not None and key not in everyday and not every:
            action.help = SUPPRESS
            hidden += 1
    parser.print_help()
    if hidden:
        print(f"\n--help all lists {hidden} more options")
    raise SystemExit(0)


def _refuse_typo(argv: Sequence[str]) -> None:
    """Raises ValueError for an option that no model has; the message suggests a similar one of any model."""
    every = set().union(*(option_keys(name) for name in model_names()))
    for word in argv:
        key = word[2:].partition("=")[0]
        if word.startswith("--") and key not in (*every, "resume", "overwrite", "print_config"):
            refuse_option(key, every)


def _take(argv: Sequence[str], options: set[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Splits the command line: (all other words, values by option) for ``--option value`` and ``--option=value``."""
    rest: list[str] = []
    taken: dict[str, list[str]] = {option: [] for option in options}
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in options:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise ValueError(f"{option}: its value is missing")
        taken[option].append(value)
    return rest, taken
