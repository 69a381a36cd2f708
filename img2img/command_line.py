"""Floor 2: the command line of tools/train.py: options from presets, a run to resume and argv, in that precedence."""

from __future__ import annotations

import difflib
import re
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import jsonargparse

from img2img.config import (
    ROOTS,
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
    parse,
    read_yaml,
)
from img2img.data import dataset_class
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

    ``--model`` and ``--config`` are read first, since they decide which options there are. Without ``--config`` and
    ``--data.root`` it is the model's embedded task, ``presets/<model>/toy.yaml``. With ``--resume`` the options are the
    run's own, and the command line's on top.

    Raises:
        ValueError: an unknown key, a value of a wrong type, a missing file; the message is one line.
        SystemExit: ``--help``.
    """
    argv, early = _take(argv, {"--model", "--config", "--name"})
    helped, resume = "--help" in argv or "-h" in argv, "--resume" in argv
    every = argv[argv.index("--help") + 1 :][:1] == ["all"] if "--help" in argv else False
    if resume and "--overwrite" in argv:
        raise ValueError("--resume and --overwrite: choose one of them")
    configs = [Path(path) for path in early["--config"]]
    model = early["--model"][-1] if early["--model"] else None
    if model and model.endswith(".py"):
        model = load_model_file(Path(model))
    notes: list[str] = []

    own_root = {key: _given(argv, f"--data.{key}") for key in ROOTS}
    own_toy = any(word.partition("=")[0] == "--data.toy" for word in argv)
    named = bool(early["--name"]) and resume
    if helped and not (configs or model or named):
        _list_models()
    if not (configs or any(own_root.values()) or own_toy or named or helped):
        if model is None:
            _refuse_typo(argv)
            if resume:
                there = list_runs(runs)
                raise ValueError(f"--resume: of which run? --name NAME; {runs}/ has {', '.join(there) or 'none yet'}")
            raise ValueError(f"--model is missing: {', '.join(model_names())}")
        model_class(model)  # its own message for a name that is none
        task = "data.toy true" if model_file(model) else str(presets / model / "toy.yaml")
        if model_file(model):
            argv, early["--name"] = [*argv, "--data.toy", "true"], early["--name"] or [f"{model}-toy"]
        else:
            configs = [Path(task)]
        if not resume:
            notes.append(f"neither --config nor --data.root is given: training on the embedded toy task, {task}")

    contents = [read_yaml(path) for path in configs]
    names = [*early["--name"][-1:], *(c["name"] for c in reversed(contents) if c.get("name"))]
    sections = [own_root, *(c.get("data", {}) for c in reversed(contents))]
    roots = {key: next((s[key] for s in sections if s.get(key)), None) for key in ROOTS}
    name = names[0] if names else _name_of(roots)
    if resume:
        saved = config_file(runs / name)
        if not saved.is_file():
            raise ValueError(f"--resume: there is no run in {runs / name}; leave --resume out to begin it")
        if early["--config"]:
            notes.append(f"resuming with the options of {saved}; --config only names the run")
        configs, contents = [saved], [read_yaml(saved)]
    for path, content in zip(configs, contents, strict=True):
        its_model = content.get("model", {}).get("name")
        if its_model and model and its_model != model:
            raise ValueError(f"--model {model}: {path} is for {its_model}; leave one of them out")
        if its_model:
            find_model(its_model, path)
        model = model or its_model
    if model is None:
        if helped:
            _list_models()
        _refuse_typo(argv)
        raise ValueError(f"--model is missing: {', '.join(model_names())}")

    parser = option_parser(model)
    parser.add_argument("--resume", action="store_true", help="Continue the run of this name from its last checkpoint.")
    parser.add_argument("--overwrite", action="store_true", help="Delete the run of this name, if there is one.")
    parser.add_argument("--print_config", action="store_true", help="Print the resolved options and exit.")
    if helped:
        _print_help(parser, model, every=every)
    for path in configs:
        parse(parser, ["--config", str(path)], f"{path}: ")
    values = parse(parser, [word for path in configs for word in ("--config", str(path))] + list(argv))
    config = build_config(parser, values, name)
    if not resume:
        _refuse_unused(config)
    if config.data.root_a is not None:
        notes.append("data.root_a and data.root_b have no validation part: samples show training pictures")
    return TrainArguments(config, resume, values.overwrite, values.print_config, notes)


def _name_of(roots: dict[str, str | None]) -> str:
    """A run's name out of its data's folder or folders."""
    folders = [roots["root"]] if roots["root"] else [roots["root_a"], roots["root_b"]]
    parts = [re.sub(r"[^\w.+-]+", "-", Path(folder).resolve().name).strip("-.+") for folder in folders if folder]
    return ("2".join(parts)[:100] or "run") if parts else "toy"


def _given(argv: Sequence[str], option: str) -> str | None:
    """The value that the command line gives an option, at last."""
    values = [word.partition("=")[2] for word in argv if word.startswith(f"{option}=")]
    values += [value for word, value in pairwise([*argv, ""]) if word == option]
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
    own = model_class(model)
    dataset = dataset_class(own.dataset)
    sections = {"model": own.Config, "data": dataset.Config, "optim": OptimConfig, "train": TrainConfig}
    sections["balance"] = BalanceConfig
    hidden = 0
    for action in parser._actions:
        section, _, key = action.dest.partition(".")
        everyday = getattr(sections.get(section), "everyday", None)
        if action.dest in sections or (section == "data" and key in dataset.unused):
            action.help = SUPPRESS
        elif key and everyday is not None and key not in everyday and not every:
            action.help = SUPPRESS
            hidden += 1
    parser.print_help()
    if hidden:
        print(f"\n{hidden} further options: --help all")
    raise SystemExit(0)


def _refuse_unused(config: Config) -> None:
    """Raises ValueError for an option of other data sets. Their folders and label maps the data set itself refuses, and
    says what they are for; runs of earlier versions may have had any, to no effect.
    """
    dataset = dataset_class(model_class(config.model.name).dataset, config.data)
    for key in set(dataset.unused) - {"root_a", "root_b", "label_nc", "torchvision"}:
        value = getattr(config.data, key)
        if value != getattr(dataset.Config(), key):
            raise ValueError(f"data.{key} {value}: is of other data than {config.model.name} learns from; leave it out")


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
