"""Floor 2: the options of a run, as dataclasses and as YAML.

The dataclasses say what there is: every field can stand in YAML under the same names. The resolved configuration goes
into the run's folder and into each checkpoint, so that resuming, inference and evaluation never ask again.
``command_line`` reads that of tools/train.py.
"""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import jsonargparse
import yaml

from img2img.data import dataset_class
from img2img.data.options import DataConfig
from img2img.losses.balance import BalanceConfig
from img2img.models import load_model_file, model_class, model_file, model_names
from img2img.models.base import Side

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

CONFIG_FILE = "config.yaml"
USAGE = "train.py --model NAME [--config FILE] [options]"
FORMERLY_SHARED = {  # data options that config.yaml had for every model, before each data set had its own; by default
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
Optimizer = Literal["adam", "rmsprop"]
Precision = Literal["no", "bf16", "fp16"]


@dataclass
class OptimConfig:
    """The optimizers: Adam for both sides (arXiv 1611.07004, Sec. 3.3) by default."""

    everyday: ClassVar = "lr lr_d betas".split()

    optimizer: Optimizer = "adam"
    """Optimizer of the generators: adam, or rmsprop, the WGAN paper's (arXiv 1701.07875)."""
    optimizer_d: Optimizer | None = None
    """That of the discriminators; unset, that of the generators. So with the other options that end in _d."""

    lr: float = 2e-4
    """Learning rate before the decay."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the gradient's mean and of its square."""
    lr_d: float | None = None
    """Learning rate of the discriminators (two time-scales, TTUR: arXiv 1706.08500)."""
    betas_d: tuple[float, float] | None = None
    """Adam's decay rates for the discriminators."""
    clip_grad_norm: float = 0.0
    """Longest gradient, in L2 norm, of each of the generators in a step; longer ones are scaled down
    (Pascanu et al., arXiv 1211.5063, Algorithm 1). 0: any."""
    clip_grad_norm_d: float | None = None
    """The same for the discriminators."""
    clip_grad_value: float = 0.0
    """Largest value that an element of the generators' gradients may have; larger ones are cut. 0: any."""
    clip_grad_value_d: float | None = None
    """The same for the discriminators."""
    clip_d: float = 0.0
    """Clamp the discriminators' weights to [-clip_d, clip_d] after each of their steps, as the Wasserstein loss needs
    (arXiv 1701.07875, Algorithm 1: 0.01); 0 leaves them alone."""

    def __post_init__(self) -> None:
        for key in ("lr", "lr_d"):
            if getattr(self, key) is not None and getattr(self, key) <= 0:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must be positive")
        for key in ("clip_d", "clip_grad_norm", "clip_grad_norm_d", "clip_grad_value", "clip_grad_value_d"):
            if (getattr(self, key) or 0) < 0:
                raise ValueError(f"optim.{key} {getattr(self, key)}: must not be negative")
        for key in ("betas", "betas_d"):
            if not all(0 <= beta < 1 for beta in getattr(self, key) or ()):
                raise ValueError(f"optim.{key} {list(getattr(self, key))}: both must lie in [0, 1)")

    def of(self, key: str, side: Side) -> Any:
        """An option for a side: the discriminators' own, if it is set."""
        own = getattr(self, f"{key}_d") if side == "discriminator" else None
        return getattr(self, key) if own is None else own


@dataclass
class TrainConfig:
    """How long, how fast and what is written when."""

    everyday: ClassVar = (
        "epochs decay_epochs max_steps seed log_every sample_every evaluate_every metrics save_every ema_decay "
        "init_from gradient_accumulation precision"
    ).split()

    epochs: int = 100
    """Passes over the set at the full learning rate."""
    decay_epochs: int = 100
    """Passes after these, over which the rate falls linearly to zero."""
    max_steps: int = 0
    """Stop after this many steps, whatever the epochs; 0 for all. The rate's schedule stays that of the epochs."""
    seed: int = 0
    """Of the weights, the order of the images, the augmentation and the dropout."""
    log_every: int = 100
    """Steps between two lines of the log."""
    sample_every: int = 500
    """Steps between two sample grids."""
    evaluate_every: int = 0
    """Steps between two measurements of fixed validation images; 0 for none."""
    evaluate_pictures: int = 32
    """How many, evenly spaced in their set, or drawn; 0 for all. fid and its like want thousands."""
    metrics: str = "l1,psnr,ssim"
    """What is measured, with commas: what evaluate.py --metrics takes, but for metrics of class maps. l1, psnr, ssim
    and lpips compare each image with its target; fid, kid and pr all images with real ones; is takes the made ones."""
    metric_weights: str | None = None
    """File of Inception's weights, for fid, kid, is and pr; unset, they are downloaded."""
    lpips_weights: str | None = None
    """File of AlexNet's weights, for lpips; unset, they are downloaded."""
    best_by: str | None = None
    """Which score (precision or recall of pr) tells the best checkpoint, which is written and kept as checkpoints/best;
    unset, psnr if it is measured, else the first."""
    best_is: Literal["lower", "higher"] | None = None
    """Which values of it are better; unset, what the metric says."""
    save_every: int = 5000
    """Steps between two checkpoints; one more is written at the end."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints stay; 0 keeps all."""
    ema_decay: float = 0.0
    """Decay of the generator's running average, which samples and inference then use; 0 for none, 0.999 is usual."""
    init_from: str | None = None
    """Run, by name or folder, whose newest weights the networks begin with: for a local stage its global one."""
    freeze_global_epochs: float = 0.0
    """Passes in which what lies below the new enhancers of a local stage stays as it is (pix2pixHD)."""
    gradient_accumulation: int = 1
    """Batches whose gradients make one step: a large batch in the memory of a small one."""
    precision: Precision | Literal[False] | None = None
    """Precision of the networks' arithmetic: no (fp32), bf16 or fp16 (mixed with fp32); unset, what accelerate launch
    --mixed_precision says, else no. It is kept by --resume. Prefer bf16, whose range is that of fp32."""
    compile: bool = False
    """torch.compile the networks: the first steps take minutes, the later ones less."""
    channels_last: bool = False
    """Keep images and weights in channels-last memory order, which suits GPUs with tensor cores."""

    def __post_init__(self) -> None:
        if self.precision is False:  # what YAML takes an unquoted no for
            self.precision = "no"
        at_least = {
            "epochs": 0,
            "decay_epochs": 0,
            "freeze_global_epochs": 0,
            "max_steps": 0,
            "seed": 0,
            "keep_checkpoints": 0,
            "evaluate_every": 0,
            "evaluate_pictures": 0,
        }
        at_least |= {"log_every": 1, "sample_every": 1, "save_every": 1, "gradient_accumulation": 1}
        for key, least in at_least.items():
            if getattr(self, key) < least:
                raise ValueError(f"train.{key} {getattr(self, key)}: must be at least {least}")
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("train.epochs and train.decay_epochs are both 0: there is nothing to train")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"train.ema_decay {self.ema_decay}: must lie in [0, 1)")


@dataclass
class Config:
    """Everything that a run is made of. ``model`` is an instance of the chosen model's own ``Config``."""

    name: str
    model: Any
    data: DataConfig  # the data set's own subclass
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)

    def __post_init__(self) -> None:
        model = model_class(self.model.name)
        directions = dataset_class(model.dataset, self.data).directions(self.data)
        if directions and self.data.direction not in directions:
            raise ValueError(f"data.direction {self.data.direction}: expected one of {', '.join(directions)}")
        self.model = model.resolve(self.model, self.data.width or self.data.crop_size)
        model.check_options(self)
        if gan_loss := getattr(self.model, "gan_loss", None):  # a model without discriminators has none
            self.balance.check_loss(gan_loss, self.optim.clip_d)
        if self.balance.minibatch_std and self.data.batch_size == 1:
            raise ValueError("balance.minibatch_std true: a batch of one has no deviation; set data.batch_size 4, say")
        norm = "norm_d" if hasattr(self.model, "norm_d") else "norm"
        if self.balance.gradient_penalty == "wgan-gp" and getattr(self.model, norm, None) == "batch":
            raise ValueError(
                "balance.gradient_penalty wgan-gp: is of each image by itself, which batch norm mixes (arXiv "
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


def load_config(path: Path) -> Config:
    """Reads a configuration back that ``Config.to_yaml`` wrote, or a preset.

    Raises:
        ValueError: the file is missing or holds what this version doesn't know; the message names file and key.
    """
    content = read_yaml(path)
    model = content.get("model", {}).get("name")
    if not model:
        raise ValueError(f"{path}: model.name is missing: {', '.join(model_names())}")
    find_model(model, path)
    parser = option_parser(model)
    values = parse(parser, ["--config", options_of(path, model)], f"{path}: ")
    return build_config(parser, values, content.get("name") or path.stem)


def options_of(path: Path, model: str) -> str:
    """What ``--config`` takes for a file of options: its path; or, if a run of an earlier version wrote it, its content
    as YAML without the data options of other models, which had no effect.

    A file that a user wrote may have them at their defaults only.
    """
    content = read_yaml(path)
    known = {field.name for field in fields(dataset_class(model_class(model).dataset).Config)}
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


def option_parser(model: str) -> jsonargparse.ArgumentParser:
    """The parser of a model's options, those of its data set and those that all models have."""
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
    parser.add_class_arguments(dataset_class(model_class(model).dataset).Config, "data")
    parser.add_class_arguments(OptimConfig, "optim")
    parser.add_class_arguments(TrainConfig, "train")
    parser.add_class_arguments(BalanceConfig, "balance")
    parser.set_defaults(dict(model_class(model).defaults))
    return parser


def build_config(parser: jsonargparse.ArgumentParser, values: Any, name: str) -> Config:
    """The configuration that a parser's values make. Raises ValueError for options that exclude each other."""
    parts = parser.instantiate(values)
    return Config(name, parts.model, parts.data, parts.optim, parts.train, parts.balance)


def parse(parser: jsonargparse.ArgumentParser, argv: list[str], where: str = "") -> Any:
    """A parser's values of a command line. Raises ValueError, one line that begins with ``where``."""
    try:
        return parser.parse_args(argv)
    except ArgumentError as error:
        explain(parser, str(error), where)


def explain(parser: jsonargparse.ArgumentParser, message: str, where: str) -> NoReturn:
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
        if others := [name for name in model_names() if key in _options(name)]:
            pairs = key in ("data.root_a", "data.root_b")
            remedy = "datasets/pair.py makes a data.root of two folders" if pairs else "leave it out"
            raise ValueError(f"{where}{dashes}{key}: is an option of {', '.join(others)}; {remedy}")
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


def _options(model: str) -> set[str]:
    return {action.dest for action in option_parser(model)._actions}


def read_yaml(path: Path) -> dict[str, Any]:
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
