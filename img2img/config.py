"""Floor 2: the options of a run, from dataclasses, a YAML file and the command line, in this order of precedence.

The dataclasses say what there is: ``--help`` shows each field with its docstring, type and default, and every field can
stand in YAML under the same names. The resolved configuration goes into the run's folder and into each checkpoint, so
that resuming, inference and evaluation never ask again.
"""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml

from img2img.adversary import BalanceConfig
from img2img.data.options import DataConfig
from img2img.models import load_model_file, model_class, model_file, model_names
from img2img.options import OptimConfig, TrainConfig

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

CONFIG_FILE = "config.yaml"
USAGE = "train.py --model NAME [--config FILE] [options]"
ROOTS = ("root", "root_a", "root_b")  # of a user's own data


@dataclass
class Config:
    """Everything that a run is made of. ``model`` is an instance of the chosen model's own ``Config``."""

    name: str
    model: Any
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)

    def __post_init__(self) -> None:
        self.model = model_class(self.model.name).resolve(self.model, self.data.width or self.data.crop_size)
        if getattr(self.model, "stage", None) == "local" and not self.train.init_from:
            raise ValueError("model.stage local: begins with a global stage's run; set train.init_from runs/THAT")
        self.balance.check_loss(self.model.gan_loss, self.optim.clip_d)
        if self.balance.minibatch_std and self.data.batch_size == 1:
            raise ValueError("balance.minibatch_std true: a batch of one has no deviation; set data.batch_size 4, say")
        norm = "norm_d" if hasattr(self.model, "norm_d") else "norm"
        if self.balance.gradient_penalty == "wgan-gp" and getattr(self.model, norm) == "batch":
            raise ValueError(
                "balance.gradient_penalty wgan-gp: is of each picture by itself, which batch norm mixes (arXiv "
                f"1704.00028, Sec. 4); set model.{norm} instance"
            )
        if self.balance.gradient_penalty != "none" and self.train.compile:
            raise ValueError("balance.gradient_penalty: torch.compile can't derive twice; set train.compile false")
        if not re.fullmatch(r"\w[\w.+-]{,99}", self.name):
            raise ValueError(
                f"--name {self.name[:120]!r}: a run's name is up to 100 letters, digits, '_', '-', '.' and '+'"
            )

    def to_yaml(self) -> str:
        """As YAML that ``load_config`` reads back to an equal configuration."""
        plain = asdict(self)
        for section in ("optim", "balance"):
            plain[section] = {k: list(v) if isinstance(v, tuple) else v for k, v in plain[section].items()}
        return yaml.safe_dump(plain, sort_keys=False)


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

    contents = [_peek(path) for path in configs]
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
        configs, contents = [saved], [_peek(saved)]
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

    parser = _parser(model)
    parser.add_argument("--resume", action="store_true", help="Continue the run of this name from its last checkpoint.")
    parser.add_argument("--overwrite", action="store_true", help="Delete the run of this name, if there is one.")
    parser.add_argument("--print_config", action="store_true", help="Print the resolved options and exit.")
    for path in configs:
        _parse(parser, ["--config", str(path)], f"{path}: ")
    values = _parse(parser, [word for path in configs for word in ("--config", str(path))] + list(argv))
    config = _config(parser, values, name)
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


def load_config(path: Path) -> Config:
    """Reads a configuration back that ``Config.to_yaml`` wrote, or a preset.

    Raises:
        ValueError: the file is missing or holds what this version doesn't know; the message names file and key.
    """
    content = _peek(path)
    model = content.get("model", {}).get("name")
    if not model:
        raise ValueError(f"{path}: model.name is missing: {', '.join(model_names())}")
    find_model(model, path)
    parser = _parser(model)
    return _config(parser, _parse(parser, ["--config", str(path)], f"{path}: "), content.get("name") or path.stem)


def find_model(name: str, config: Path) -> None:
    """Imports a model from outside the package from ``<name>.py`` beside its configuration, or in the run that a
    checkpoint's configuration belongs to.

    Raises:
        ValueError: there is none, or another version of it is loaded already.
    """
    if name in model_names():
        return
    copies = [folder / f"{name}.py" for folder in (config.parent, config.parent.parent.parent)]
    copy = next((file for file in copies if file.is_file()), None)
    loaded = model_file(name)
    if loaded and copy and copy.read_bytes() != loaded.read_bytes():
        raise ValueError(f"{copy} is another version of {loaded}, which is loaded already: make the two equal")
    if copy and not loaded:
        load_model_file(copy)
    elif not loaded:
        there = ", ".join(model_names())
        raise ValueError(f"{config}: model.name {name}: there is {there}, and no {name}.py beside this file")


def config_file(run: Path) -> Path:
    """The file with a run's options: its config.yaml; or its newest checkpoint's, where a power cut left that empty or
    not there. It need not exist.
    """
    own = run / CONFIG_FILE
    if own.is_file() and own.read_bytes().strip(b"\0 \r\n"):
        return own
    saved = {int(path.parent.name[5:]): path for path in run.glob(f"checkpoints/step-*/{CONFIG_FILE}")}
    return saved[max(saved)] if saved else own


def list_runs(runs: Path) -> list[str]:
    """The names of the runs below a folder, sorted."""
    return sorted(path.name for path in runs.glob("*") if config_file(path).is_file())


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


def _refuse_typo(argv: Sequence[str]) -> None:
    """Raises ValueError for an option that no model has, with the nearest one of any model."""
    parsers = [_parser(name) for name in model_names()]
    known = [{action.dest for action in parser._actions} for parser in parsers]
    every = sorted(set().union(*known))
    for word in argv:
        key = word[2:].partition("=")[0]
        if word.startswith("--") and key not in (*every, "resume", "overwrite", "print_config"):
            near = difflib.get_close_matches(key, every, 1)
            its = next(p for p, keys in zip(parsers, known, strict=True) if not near or near[0] in keys)
            _explain(its, f"unrecognized arguments: --{key}", "")


def _parser(model: str) -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog="train.py",
        usage=USAGE,
        description=f"Trains {model}. On several GPUs: accelerate launch tools/train.py",
        allow_abbrev=False,
        exit_on_error=False,
        print_config=None,
    )
    parser.add_argument(
        "--config", action="config", help="YAML file of options; those of the command line go before it."
    )
    parser.add_argument("--name", type=str | None, help="Name of the run: its folder is runs/NAME.")
    parser.add_class_arguments(model_class(model).Config, "model")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(OptimConfig, "optim")
    parser.add_class_arguments(TrainConfig, "train")
    parser.add_class_arguments(BalanceConfig, "balance")
    parser.set_defaults(dict(model_class(model).defaults))
    return parser


def _config(parser: jsonargparse.ArgumentParser, values: Any, name: str) -> Config:
    parts = parser.instantiate(values)
    return Config(name, parts.model, parts.data, parts.optim, parts.train, parts.balance)


def _parse(parser: jsonargparse.ArgumentParser, argv: list[str], where: str = "") -> Any:
    try:
        return parser.parse_args(argv)
    except ArgumentError as error:
        _explain(parser, str(error), where)


def _explain(parser: jsonargparse.ArgumentParser, message: str, where: str) -> NoReturn:
    """Raises ValueError: the parser's message as one line that names the key, and the nearest key if it is unknown."""
    known = sorted(a.dest for a in parser._actions if a.dest != "help")
    unknown = (
        re.search(r"Group '(?P<group>[\w.]+)' does not accept option '(?P<key>[\w.]+)'", message)
        or re.search(r"Option '(?P<key>[\w.]+)' is not accepted", message)
        or re.search(r"unrecognized arguments: (?:.*?)--(?P<key>[\w.-]+)", message)
    )
    if unknown and unknown["key"] in ("mixed_precision", "num_processes", "multi_gpu", "num_machines", "cpu"):
        raise ValueError(f"--{unknown['key']} is an option of accelerate launch: put it before tools/train.py")
    if unknown:
        groups = unknown.groupdict()
        key = f"{groups['group']}.{groups['key']}" if groups.get("group") else groups["key"]
        dashes = "--" if "unrecognized" in message else ""
        near = difflib.get_close_matches(key, known, 1, 0.6) or [k for k in known if k.endswith(f".{key}")][:1]
        hint = f"did you mean {dashes}{near[0]}?" if near else "--help lists all options"
        raise ValueError(f"{where}unknown option {dashes}{key}; {hint}")
    stray = re.search(r"unrecognized arguments: (?P<word>\S+)", message)
    if stray:
        raise ValueError(f"{stray['word']}: stands alone; options are written --key value, and --help lists them")
    wrong = re.search(
        r'Parser key "(?P<key>[\w.]+)":\s*Expected an? (?P<type>.*?)\. Got value: (?P<value>.*)', message, re.S
    )
    if wrong:
        expected = re.sub(r"<class '(\w+)'>", r"\1", wrong["type"]).replace("typing.", "")
        choices = re.findall(r"'([^']*)'", expected) if "Literal" in expected else []
        expected = f"one of {', '.join(choices)}" if choices else expected.replace("tuple", "a list like '[0.5,0.999]'")
        raise ValueError(f"{where}{wrong['key']} {' '.join(wrong['value'].split())}: expected {expected}")
    union = re.search(r'Parser key "(?P<key>[\w.]+)":.*Given value: (?P<value>.*)', message, re.S)
    if union:
        types = [t for t in re.findall(r"Expected a <class '(\w+)'>", message) if t != "NoneType"]
        types += re.findall(r"'(\w+)'", "".join(re.findall(r"Expected a typing\.Literal\[(.*?)\]", message)))
        raise ValueError(
            f"{where}{union['key']} {' '.join(union['value'].split())}: expected {' or '.join(types)} or null"
        )
    raise ValueError(where + re.sub(r'Parser key "config": ', "--config: ", " ".join(message.split())))


def _peek(path: Path) -> dict[str, Any]:
    """A YAML file as plain values, to learn of which model it is before its options are known."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: options are written as 'data:' with '  root: DIR' below it")
    for section in ("model", "data", "optim", "train", "balance"):
        if section in content and not isinstance(content[section], dict):
            raise ValueError(f"{path}: below '{section}:' there must be options, such as '  key: value'")
    if not isinstance(content.get("model", {}).get("name", ""), str) or not isinstance(content.get("name", ""), str):
        raise ValueError(f"{path}: name and model.name must be words")
    return content


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
