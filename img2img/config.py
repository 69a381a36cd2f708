"""Floor 2: the options of a run, as dataclasses and as YAML.

Every field of the dataclasses is an option of the command line and a key in YAML files, under the same name. The
resolved configuration is saved in the run's folder and in each checkpoint, where resuming, inference and evaluation
read it. ``command_line`` parses the arguments of ``img2img train``.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentError
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml

from img2img.arguments import nearest
from img2img.data import dataset_class
from img2img.data.options import DataConfig
from img2img.losses.balance import BalanceConfig
from img2img.models import load_model_file, model_class, model_file, model_names, packaged_models
from img2img.other_toolkits import name_here
from img2img.program import command, launched
from img2img.run_files import CONFIG_FILE
from img2img.training_options import OptimConfig, TrainConfig

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

FORMERLY_SHARED = {  # data options (and defaults) that the first version wrote to config.yaml for every model
    "root_a": None,
    "root_b": None,
    "torchvision": None,
    "direction": "AtoB",
    "val_paired": False,
    "channels_a": 3,
    "label_nc": 0,
    "ignore_id": 255,
    "instances": True,
}


@dataclass
class Config:
    """All options of a run."""

    name: str
    model: Any  # an instance of the model's ``Config``
    data: DataConfig  # an instance of the data set's ``Config``
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)

    def __post_init__(self) -> None:
        model = model_class(self.model.name)
        directions = dataset_class(model.dataset, self.data).directions(self.data)
        if directions and self.data.direction not in directions:
            raise ValueError(f"data.direction {self.data.direction}: must be one of {', '.join(directions)}")
        self.model = model.resolve(_with_scale(self.model, self.data.scale), self.data.width or self.data.crop_size)
        model.check_options(self)
        if gan_loss := getattr(self.model, "gan_loss", None):  # a model without discriminators has none
            self.balance.check_loss(gan_loss, self.optim.clip_d)
        if self.balance.minibatch_std and self.data.batch_size == 1:
            raise ValueError("balance.minibatch_std true: needs several images per batch; set data.batch_size 4")
        norm = "norm_d" if hasattr(self.model, "norm_d") else "norm"
        if self.balance.gradient_penalty == "wgan-gp" and getattr(self.model, norm, None) == "batch":
            raise ValueError(
                "balance.gradient_penalty wgan-gp: penalises the gradient of each image, but batch norm mixes the "
                f"images of a batch (arXiv 1704.00028, Sec. 4); set model.{norm} instance"
            )
        if self.balance.gradient_penalty != "none" and self.train.compile:
            raise ValueError(
                f"balance.gradient_penalty {self.balance.gradient_penalty}: torch.compile doesn't support second "
                "derivatives; set train.compile false"
            )
        if not re.fullmatch(r"\w[\w.+-]{,99}", self.name):
            raise ValueError(
                f"--name {self.name[:120]!r}: use 1 to 100 letters, digits, '_', '-', '.' and '+', and begin with a "
                "letter, a digit or '_'"
            )

    def to_yaml(self) -> str:
        """The configuration as YAML, which ``load_config`` reads back."""
        plain = asdict(self)
        for section in ("optim", "balance"):
            plain[section] = {k: list(v) if isinstance(v, tuple) else v for k, v in plain[section].items()}
        return yaml.safe_dump(plain, sort_keys=False)


def _with_scale(model: Any, scale: int | None) -> Any:
    """The model's options, with the data's scale in the option ``scale`` if there is one.

    Raises:
        ValueError: that option is already set to another scale.
    """
    if scale is None or not hasattr(model, "scale"):
        return model
    if model.scale not in (None, scale):
        raise ValueError(f"model.scale {model.scale}: the data's is {scale}; leave model.scale out (null)")
    return replace(model, scale=scale)


def load_config(path: Path) -> Config:
    """Reads a run's config.yaml or a preset.

    Raises:
        ValueError: the file is missing, or has an unknown option or a wrong value; the message names file and key.
    """
    content = read_yaml(path)
    model = content.get("model", {}).get("name")
    if not model:
        raise ValueError(f"{path}: model.name is missing; set it to one of {', '.join(model_names())}")
    find_model(model, path)
    parser = option_parser(model)
    values = parse(parser, ["--config", options_of(path, content, model)], f"{path}: ")
    return build_config(parser, values, content.get("name") or path.stem)


def with_places(config: Config, data: Mapping[str, Any] | None) -> Config:
    """The options of a finished run whose data are elsewhere now.

    Args:
        config: the options.
        data: new values of options in ``config.data.places``, by key: paths, names, or a mapping of them. Strings are
            taken as they are: a folder may be called "null" or "#1".

    Raises:
        ValueError: another option, a value of a wrong type, or options that exclude each other.
    """
    if not data:
        return config
    new: dict[str, Any] = {}
    for key, value in data.items():
        if key not in config.data.places:
            refuse_fixed(f"data.{key}", config)
        new[key] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return replace(config, data=config.data.moved(new))


def refuse_fixed(option: str, config: Config) -> NoReturn:
    """Raises ValueError for an option of the training that a finished run doesn't take, such as "model.ngf"."""
    places = [f"data.{key}" for key in config.data.places]
    near = nearest(option, places) if option.startswith("data.") else []
    hint = f"; did you mean {near[0]}?" if near else "; its checkpoint has all other options"
    raise ValueError(f"{option}: a finished run takes only {', '.join(places)}{hint}")


def options_of(path: Path, content: Mapping[str, Any], model: str) -> str:
    """The value of ``--config`` for a file of options with this content: usually its path.

    The first version wrote the data options of all models to config.yaml (``FORMERLY_SHARED``). They had no effect, so
    they are removed here, and the rest is returned as YAML. In files of other names they are removed only if they have
    their default values.
    """
    known = {field.name for field in fields(data_config(model))}
    data = content.get("data", {})
    foreign = [
        key
        for key, default in FORMERLY_SHARED.items()
        if key in data and key not in known and (path.name == CONFIG_FILE or data[key] == default)
    ]
    if not foreign:
        return str(path)
    own = {key: value for key, value in data.items() if key not in foreign}
    return yaml.safe_dump({**content, "data": own}, sort_keys=False)


def find_model(name: str, config: Path) -> None:
    """Imports a model from outside the package: ``<name>.py`` beside its configuration, or in the run's folder if the
    configuration is a checkpoint's; else the model is that of an installed package.

    Raises:
        ValueError: there is no such file or package, or a different version of it is already loaded.
    """
    if name in model_names():
        return
    folders = [config.parent]
    if config.parent.parent.name == "checkpoints":  # RUN/checkpoints/STEP/config.yaml; the model's file is in RUN
        folders.append(config.parent.parent.parent)
    copies = [folder / f"{name}.py" for folder in folders]
    copy = next((file for file in copies if file.is_file()), None)
    loaded = model_file(name)
    if loaded and copy and copy.read_bytes() != loaded.read_bytes():
        raise ValueError(f"{copy} differs from {loaded}, which is already loaded: make the two files equal")
    if copy and not loaded:
        load_model_file(copy)
    elif not loaded and name not in packaged_models():
        names = ", ".join(model_names())
        raise ValueError(
            f"{config}: model.name {name}: no such model; set it to one of {names}, install the package that has "
            f"it, or put {name}.py beside this file"
        )


def usage() -> str:
    """The first line of train --help."""
    return f"{command('train')} --model NAME [--config FILE|PRESET] [options]"


def option_parser(model: str) -> jsonargparse.ArgumentParser:
    """The parser of ``img2img train`` for a model: its own options, those of its data set and the common ones."""
    parser = jsonargparse.ArgumentParser(
        prog=command("train"),
        usage=usage(),
        description=f"Trains {model}. On several GPUs: accelerate launch {launched('train')}",
        allow_abbrev=False,
        exit_on_error=False,
        print_config=None,
    )
    parser.add_argument(
        "--config", action="config", help="YAML file of options. Options on the command line override it."
    )
    parser.add_argument("--name", type=str | None, help="Name of the run, which is written to runs/NAME.")
    parser.add_class_arguments(model_class(model).Config, "model")
    parser.add_class_arguments(data_config(model), "data")
    parser.add_class_arguments(OptimConfig, "optim")
    parser.add_class_arguments(TrainConfig, "train")
    parser.add_class_arguments(BalanceConfig, "balance")
    parser.set_defaults(dict(model_class(model).defaults))
    return parser


def data_config(model: str) -> type[DataConfig]:
    """The class of the data options of a model."""
    return dataset_class(model_class(model).dataset).Config


def build_config(parser: jsonargparse.ArgumentParser, values: Any, name: str) -> Config:
    """Builds the configuration from parsed values. Raises ValueError for invalid values and combinations."""
    parts = parser.instantiate(values)
    return Config(name, parts.model, parts.data, parts.optim, parts.train, parts.balance)


def parse(parser: jsonargparse.ArgumentParser, argv: list[str], where: str = "") -> Any:
    """Parses a command line. Raises ValueError with a one-line message that begins with ``where``."""
    try:
        return parser.parse_args(argv)
    except ArgumentError as error:
        explain(parser, str(error), where)


def explain(parser: jsonargparse.ArgumentParser, message: str, where: str) -> NoReturn:
    """Raises ValueError with a parser's error as one line, which names the key and, for unknown keys, a similar one."""
    unknown = (
        re.search(r"Group '(?P<group>[\w.]+)' does not accept option '(?P<key>[\w.]+)'", message)
        or re.search(r"Option '(?P<key>[\w.]+)' is not accepted", message)
        or re.search(r"unrecognized arguments: (?:.*?)--(?P<key>[\w.-]+)", message)
    )
    if unknown and unknown["key"] in ("mixed_precision", "num_processes", "multi_gpu", "num_machines", "cpu"):
        raise ValueError(f"--{unknown['key']} is an option of accelerate launch: put it before {launched('train')}")
    if unknown:
        groups = unknown.groupdict()
        key = f"{groups['group']}.{groups['key']}" if groups.get("group") else groups["key"]
        dashes = "--" if "unrecognized" in message else ""
        refuse_option(key, keys_of(parser), where=where, dashes=dashes)
    stray = re.search(r"unrecognized arguments: (?P<word>\S+)", message)
    if stray:
        raise ValueError(f"{stray['word']}: not an option; write options as --key value (--help lists them)")
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


def refuse_option(key: str, known: Collection[str], *, where: str = "", dashes: str = "--") -> NoReturn:
    """Raises ValueError for an option that a model doesn't have. The message names what it may mean: an option of other
    models, one in another section, another toolkit's name, or a similar one.

    Args:
        key: the unknown option, such as "data.rot".
        known: the model's options; "model" and other options of the command line alone are added.
        where: the beginning of the message.
        dashes: those of options on the command line; "" in files.
    """
    known = {*known, "model", "resume", "overwrite", "print_config"}
    keys = {name: option_keys(name) for name in model_names()}
    if others := [name for name in keys if key in keys[name]]:
        advice = data_config(others[0]).instead.get(key.removeprefix("data."), "leave it out")
        raise ValueError(f"{where}{dashes}{key}: an option of {', '.join(others)} only; {advice}")
    near = nearest(key, known)
    last = key.rpartition(".")[2]
    if near and near[0].rpartition(".")[2] == last:  # in another section
        hint = f"did you mean {' or '.join(dashes + name for name in near[:2])}?"
    elif here := name_here("train", f"--{last}"):
        hint = f"here: {here}"
    elif theirs := {name: same for name in keys if (same := _with_last_part(keys[name], last))}:
        hint = f"{dashes}{next(iter(theirs.values()))} is an option of {', '.join(theirs)}"
    else:
        hint = f"did you mean {dashes}{near[0]}?" if near else "--help all lists the options"
    raise ValueError(f"{where}unknown option {dashes}{key}; {hint}")


def option_keys(model: str) -> set[str]:
    """The options of a model, such as "data.root". They are those of ``option_parser``, which takes half a second."""
    sections = {"model": model_class(model).Config, "data": data_config(model)}
    sections |= {"optim": OptimConfig, "train": TrainConfig, "balance": BalanceConfig}
    keys = {f"{section}.{field.name}" for section, kind in sections.items() for field in fields(kind) if field.init}
    return keys | {"config", "name"}


def keys_of(parser: jsonargparse.ArgumentParser) -> set[str]:
    """The options of a parser, without the sections."""
    keys = {action.dest for action in parser._actions} - {"help"}
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def _with_last_part(keys: Collection[str], last: str) -> str | None:
    return next((key for key in sorted(keys) if key.rpartition(".")[2] == last), None)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file without checking its options, for example to find out its model.

    Raises:
        ValueError: the file is missing or isn't made of sections with options.
    """
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a file of options; write a section, such as 'data:', and '  root: DIR' below it")
    for section in ("model", "data", "optim", "train", "balance"):
        if section in content and not isinstance(content[section], dict):
            raise ValueError(f"{path}: no options in section '{section}:'; write '  key: value' below it, or remove it")
    if not isinstance(content.get("model", {}).get("name", ""), str) or not isinstance(content.get("name", ""), str):
        raise ValueError(f"{path}: name and model.name must be strings; put them in quotes")
    return content
