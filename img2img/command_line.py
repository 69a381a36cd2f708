"""Floor 2: the command line of tools/train.py: options from presets, a run to resume and argv, in that precedence."""

from __future__ import annotations

import difflib
import re
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from img2img.config import (
    USAGE,
    Config,
    OptimConfig,
    TrainConfig,
    build_config,
    config_file,
    explain,
    find_model,
    list_runs,
    option_parser,
    options_of,
    parse,
    read_yaml,
)
from img2img.data import dataset_class
from img2img.data.options import DataConfig
from img2img.losses.balance import BalanceConfig
from img2img.models import load_model_file, model_class, model_file, model_names


@dataclass
class TrainArguments:
    """The command line of tools/train.py, resolved."""

    config: Config
    resume: bool
    overwrite: bool
    print_config: bool
    notes: list[str]
    """What a user should know of how the options came together."""


def parse_train_arguments(argv: Sequence[str], presets: Path, runs: Path = Path("runs")) -> TrainArguments:
    """Resolves the command line of tools/train.py.

    ``--model``, ``--config`` and ``--name`` are read first, since they decide which options there are. Without
    ``--config`` and data it is the model's embedded task, ``presets/<model>/toy.yaml``. With ``--resume`` the options
    are the run's own, and the command line's on top.

    Raises:
        ValueError: an unknown key, a value of a wrong type, a missing file; the message is one line.
        SystemExit: ``--help``.
    """
    line = _CommandLine(argv)
    if line.help and not (line.model or line.configs or line.names_a_run):
        _list_models()
    if not (line.help or line.names_data or line.names_a_run):
        line.choose_toy_task(presets, runs)
    contents = [read_yaml(path) for path in line.configs]
    name = line.run_name(contents)
    if line.resume:
        line.choose_run(runs / name)
    model = line.find_model()
    parser = _train_parser(model)
    if line.help:
        _print_help(parser, model, every=line.every)
    config, values = _resolve(parser, line, model, name)
    return TrainArguments(config, line.resume, values.overwrite, values.print_config, line.notes)


class _CommandLine:
    """What has to be known before the options are: the model, the files of options and the run.

    Raises:
        ValueError: options without a value, or that exclude each other.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.words, early = _take(argv, {"--model", "--config", "--name"})
        self.configs = [Path(path) for path in early["--config"]]
        self.has_configs = bool(self.configs)  # of its own
        self.name = early["--name"][-1] if early["--name"] else None
        self.model = early["--model"][-1] if early["--model"] else None
        if self.model and self.model.endswith(".py"):
            self.model = load_model_file(Path(self.model))
        self.resume = "--resume" in self.words
        if self.resume and "--overwrite" in self.words:
            raise ValueError("--resume and --overwrite: choose one of them")
        self.help = "--help" in self.words or "-h" in self.words
        self.every = self.help and _given(self.words, "--help") == "all"
        self.notes: list[str] = []

    @property
    def names_a_run(self) -> bool:
        """Whether it says which run is to be resumed."""
        return self.resume and self.name is not None

    @property
    def names_data(self) -> bool:
        """Whether it says what data to train on, or where that stands."""
        toy = any(word.partition("=")[0] == "--data.toy" for word in self.words)
        return bool(self.configs or toy or any(self.folders.values()))

    @property
    def folders(self) -> dict[str, str | None]:
        """The user's folders that it names, by their option of the data set, or of any where the model is unknown."""
        models = [self.model] if self.model else model_names()
        keys = dict.fromkeys(key for model in models for key in _data_config(model).folders)
        return {key: _given(self.words, f"--data.{key}") for key in keys}

    def choose_toy_task(self, presets: Path, runs: Path) -> None:
        """Adds what trains the model on its embedded task. Raises ValueError if there is no model."""
        if self.model is None:
            _refuse_typo(self.words)
            if self.resume:
                there = ", ".join(list_runs(runs)) or "none yet"
                raise ValueError(f"--resume: of which run? --name NAME; {runs}/ has {there}")
            raise ValueError(f"--model is missing: {', '.join(model_names())}")
        model_class(self.model)  # its own message for a name that is none
        if model_file(self.model):
            task = "data.toy true"
            self.words += ["--data.toy", "true"]
            self.name = self.name or f"{self.model}-toy"
        else:
            task = str(presets / self.model / "toy.yaml")
            self.configs = [Path(task)]
        if not self.resume:
            self.notes.append(f"neither --config nor --data.root is given: training on the embedded toy task, {task}")

    def run_name(self, contents: Sequence[dict[str, Any]]) -> str:
        """The run's name: from ``--name``, a file of options, or the folders of its data; the last of each kind."""
        names = [self.name, *(content.get("name") for content in reversed(contents))]
        if name := next((name for name in names if name), None):
            return name
        sections = [self.folders, *(content.get("data", {}) for content in reversed(contents))]
        values = [next((s[key] for s in sections if s.get(key)), None) for key in self.folders]
        return _name_of([folder for folder in values if folder])

    def choose_run(self, run: Path) -> None:
        """Replaces the files of options by those of the run to resume. Raises ValueError if there is no such run."""
        saved = config_file(run)
        if not saved.is_file():
            raise ValueError(f"--resume: there is no run in {run}; leave --resume out to begin it")
        if self.has_configs:
            self.notes.append(f"resuming with the options of {saved}; --config only names the run")
        self.configs = [saved]

    def find_model(self) -> str:
        """The model that the command line and the files of options agree on. Raises ValueError if there is none."""
        for path in self.configs:
            model = read_yaml(path).get("model", {}).get("name")
            if model and self.model and model != self.model:
                raise ValueError(f"--model {self.model}: {path} is for {model}; leave one of them out")
            if model:
                find_model(model, path)
            self.model = self.model or model
        if self.model is None:
            if self.help:
                _list_models()
            _refuse_typo(self.words)
            raise ValueError(f"--model is missing: {', '.join(model_names())}")
        return self.model


def _train_parser(model: str) -> jsonargparse.ArgumentParser:
    parser = option_parser(model)
    parser.add_argument("--resume", action="store_true", help="Continue the run of this name from its last checkpoint.")
    parser.add_argument("--overwrite", action="store_true", help="Delete the run of this name, if there is one.")
    parser.add_argument("--print_config", action="store_true", help="Print the resolved options and exit.")
    return parser


def _resolve(parser: jsonargparse.ArgumentParser, line: _CommandLine, model: str, name: str) -> tuple[Config, Any]:
    """The configuration, and all values: those of the files of options, in their order, then the command line's."""
    words: list[str] = []
    for path in line.configs:
        source = options_of(path, model)
        parse(parser, ["--config", source], f"{path}: ")  # a mistake in it is its own, not the command line's
        words += ["--config", source]
    values = parse(parser, words + line.words)
    return build_config(parser, values, name), values


def _data_config(model: str) -> type[DataConfig]:
    return dataset_class(model_class(model).dataset).Config


def _name_of(folders: Sequence[str]) -> str:
    """A run's name out of its data's folder, or folders."""
    parts = [re.sub(r"[^\w.+-]+", "-", Path(folder).resolve().name).strip("-.+") for folder in folders]
    return ("2".join(parts)[:100] or "run") if parts else "toy"


def _given(words: Sequence[str], option: str) -> str | None:
    """The value that the command line gives an option, at last."""
    values = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    values += [value for word, value in pairwise([*words, ""]) if word == option]
    return values[-1] if values else None


def _list_models() -> NoReturn:
    """Prints what --help says before there is a model, whose options it could list, and exits."""
    about = {name: (model_class(name).__doc__ or "").strip().splitlines()[0] for name in model_names()}
    width = max(map(len, about))
    print(f"usage: {USAGE}\n\nTrains a model. On several GPUs: accelerate launch tools/train.py\n\nmodels:")
    for name, text in about.items():
        print(f"  {name:{width}}  {text}")
    print("  FILE.py: a model of your own")
    print("\n--model NAME --help lists its options. Without --config and --data.root it learns its embedded toy task.")
    raise SystemExit(0)


def _print_help(parser: jsonargparse.ArgumentParser, model: str, *, every: bool) -> NoReturn:
    """Prints the options of a model and its data set, those of everyday use or every one, and exits."""
    sections = {"model": model_class(model).Config, "data": _data_config(model)}
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
        print(f"\n{hidden} further options: --help all")
    raise SystemExit(0)


def _refuse_typo(argv: Sequence[str]) -> None:
    """Raises ValueError for an option that no model has, with the nearest one of any model."""
    parsers = [option_parser(name) for name in model_names()]
    known = [{action.dest for action in parser._actions} for parser in parsers]
    every = sorted(set().union(*known))
    for word in argv:
        key = word[2:].partition("=")[0]
        if word.startswith("--") and key not in (*every, "resume", "overwrite", "print_config"):
            near = difflib.get_close_matches(key, every, 1)
            its = next(p for p, keys in zip(parsers, known, strict=True) if not near or near[0] in keys)
            explain(its, f"unrecognized arguments: --{key}", "")


def _take(argv: Sequence[str], options: set[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Splits ``--option value`` and ``--option=value`` off the command line."""
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
            raise ValueError(f"{option}: a value is missing")
        taken[option].append(value)
    return rest, taken
