"""The options of a run that is made of official weights: what they tell, and what a user tells beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from img2img.config import Config, TrainConfig
from img2img.data import dataset_class
from img2img.data.labelled import LabelledConfig
from img2img.data.options import DataConfig, domains
from img2img.interop.layouts import Found
from img2img.models import model_class

Networks = Mapping[str, tuple[nn.Module, Found]]
CITYSCAPES = 36  # channels that pix2pixHD's own set has: 35 classes and their boundaries


@dataclass(frozen=True)
class Stated:
    """What no file tells and a user does."""

    label_nc: int | None = None
    """Of pix2pixHD: classes that the generator sees; 0: images. Unset, it is guessed."""
    no_instances: bool = False
    """Of pix2pixHD: that it sees no boundaries of instances, as trained with --no_instance."""
    root: Path | None = None
    """Folder of the run's data, and so for those of A and of B where these are two."""
    root_a: Path | None = None
    root_b: Path | None = None


def run_config(
    model: str, name: str, given: Networks, base: Config | None, *, direction: str, stated: Stated
) -> tuple[Config, list[str]]:
    """The options of a run with these networks; and how its input was read, where that is a question.

    Args:
        model: pix2pix, cyclegan or pix2pixhd.
        name: of the run.
        given: the networks by their role.
        base: a preset; the options of the weights, and what the user states, precede it.
        direction: of the translation.
        stated: what no file tells.

    Raises:
        ValueError: the networks, the preset and what is stated contradict each other.
    """
    options, channels, notes = _options_of_networks(model, given, direction)
    kind = model_class(model)
    data = base.data if base else dataset_class(kind.dataset).Config()
    train = base.train if base else TrainConfig()
    changed: dict[str, Any] = {}
    if model == "pix2pixhd":
        condition, note = read_condition(given, base, stated)
        notes.append(note)
        options["instance_features"] = "E" in given
        changed = {"direction": "AtoB", **channels, **condition, **({} if base else _sizes_of_label_maps(options))}
        if options["stage"] == "local":  # a run that goes on with these options begins with this one, wholly
            train = replace(train, init_from=name, freeze_global_epochs=0.0)
    else:
        if stated.label_nc is not None or stated.no_instances:
            raise ValueError(f"--label-nc and --no-instances: are of pix2pixhd, and it is of {model}")
        changed = {"direction": direction, **channels, **({} if base else _sizes_of_unet(options))}
    if model == "cyclegan" and channels["channels_a"] != channels["channels_b"]:
        options["lambda_identity"] = 0.0
    data = replace(data, **changed, **_folders(data, stated))
    wanted = replace(base.model, **options) if base else kind.Config(**options)
    if base:
        return replace(base, name=name, model=wanted, data=data, train=train), notes
    return Config(name, wanted, data, train=train), notes


def _options_of_networks(
    model: str, given: Networks, direction: str
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The model options that the networks have, the channels of the domains, and what a user should know of it."""
    options: dict[str, Any] = {"upsample": "deconv"}
    channels: dict[str, Any] = {}
    notes: list[str] = []
    for role, (_, found) in given.items():
        own = dict(found.options)
        ends = own.pop("in_channels"), own.pop("out_channels", 0)
        if role.startswith("G"):
            _agree(channels, _channels_of_generator(model, role, found, ends, direction), role)
            own = _options_of_generator(model, found, own)
        elif found.kind == "encoder":
            halvings = own.pop("n_downs")
            own["n_downs_e"] = None if halvings == options["n_downs"] else halvings
        else:
            own = _options_of_discriminator(found, own)
            if "lambda_feat" in own:
                notes.append(f"model.lambda_feat 0: {role} is laid out as without feature matching (--no_ganFeat_loss)")
        _agree(options, own, role)
    return options, channels, notes


def _channels_of_generator(
    model: str, role: str, found: Found, ends: tuple[int, int], direction: str
) -> dict[str, int]:
    """The channels of the domains that a generator translates from and to, ``ends``."""
    if found.kind == "coarse_to_fine":  # what it sees is read_condition's
        return {"channels_b": ends[1]}
    names = {"G": domains(direction), "G_A": ("a", "b"), "G_B": ("b", "a")}[role]
    return {f"channels_{domain}": channels for domain, channels in zip(names, ends, strict=True)}


def _options_of_generator(model: str, found: Found, own: dict[str, Any]) -> dict[str, Any]:
    if found.kind == "coarse_to_fine":
        above = own["n_enhancers"]
        return own | ({"stage": "local", "n_enhancers": above} if above else {"stage": "global", "n_enhancers": 1})
    own = {key: value for key, value in own.items() if key != "n_downs"} | {"generator": found.kind}
    if model == "cyclegan" and found.kind == "unet":  # no file tells of dropout; CycleGAN's official default
        del own["dropout_innermost"]
        own["dropout"] = False
    return own


def _options_of_discriminator(found: Found, own: dict[str, Any]) -> dict[str, Any]:
    names = {"n_layers": "n_layers_d", "last_bias": "last_bias_d"}
    names |= {"max_width": "max_ndf"} if found.kind == "multi_scale" else {}
    own = {names.get(key, key): value for key, value in own.items()}
    return own | ({"lambda_feat": 0.0} if found.chain else {})  # as the official code writes them where nobody compares


def _sizes_of_label_maps(options: Mapping[str, Any]) -> dict[str, Any]:
    """The data options of a pix2pixHD run without a preset: 1024 wide, multiples of what its networks need."""
    halvings = options["n_downs"] + (options["n_enhancers"] if options["stage"] == "local" else 0)
    stride = 2 ** max(halvings, options.get("n_downs_e") or 0)
    return {"preprocess": "scale_width", "load_size": 1024, "stride": stride}


def _sizes_of_unet(options: Mapping[str, Any]) -> dict[str, Any]:
    """The data options of a U-Net without a preset: squares that it can halve as often as it does."""
    if options["generator"] != "unet":
        return {}
    side = max(256, 2 ** options["num_downs"])
    return {"crop_size": side, "load_size": side + 30}


def _folders(data: DataConfig, stated: Stated) -> dict[str, Any]:
    """The data options of the folders that a user names. Raises ValueError if they can't be a set of this kind."""
    every = ("root", "root_a", "root_b")
    given = {key: folder for key in every if (folder := getattr(stated, key)) is not None}
    if not given:
        return {}
    for key, folder in given.items():
        if not folder.is_dir():
            raise ValueError(f"--data-{key.replace('_', '-')} {folder}: no such folder")
    if set(given) not in ({"root"}, {"root_a", "root_b"}) or not set(given) <= set(data.folders):
        raise ValueError("--data-root names the folder of the set; of cyclegan --data-root-a and --data-root-b do, too")
    return {key: str(given[key]) if key in given else None for key in data.folders} | {"toy": False}


def _agree(options: dict[str, Any], added: Mapping[str, Any], role: str) -> None:
    """Adds options. Raises ValueError if another network has another value: a model has one for all its networks."""
    for key, value in added.items():
        if options.setdefault(key, value) != value:
            raise ValueError(f"the {key} of its {role} is {value}, and that of the others {options[key]}")


def read_condition(given: Networks, base: Config | None, stated: Stated) -> tuple[dict[str, Any], str]:
    """What pix2pixHD's generator sees: (data options, how that was read).

    Its first layer has so many channels, of classes, of boundaries and of an encoder's features; which they are no file
    tells. A discriminator beside it sees the same without the features.

    Raises:
        ValueError: the channels are not those of the other networks, of the preset, or that the user tells of.
    """
    generator = given["G"][1].options
    whole = generator["in_channels"]
    features = given["E"][1].options["n_features"] if "E" in given else 0
    seen = given["D"][1].options["in_channels"] - generator["out_channels"] if "D" in given else whole - features
    if seen + features != whole:
        raise ValueError(
            f"its G sees {whole} channels, D {seen} of them and E makes {features}: put the encoder's file beside it "
            "(latest_net_E.pth); one that was trained with features of files (--load_features) can't be used, since "
            "nothing here feeds it"
        )
    if base:
        assert isinstance(base.data, LabelledConfig), "the data of pix2pixHD"
        if stated.label_nc is None and not stated.no_instances:
            return {}, _condition_of_preset(seen, base.data)
        if stated.label_nc is None:
            stated = replace(stated, label_nc=base.data.label_nc)
    label_nc, instances = _classes(seen, features, stated)
    words = _words(seen, label_nc, instances)
    if features and not (label_nc and instances):
        raise ValueError(f"{words}, and features of an encoder: here these are of label maps with instances alone")
    options = {"label_nc": label_nc, "instances": instances} if label_nc else {"label_nc": 0, "channels_a": seen}
    is_a_guess = stated.label_nc is None and not features and seen != CITYSCAPES
    if is_a_guess:
        words += f", a guess; {_other_readings(seen, label_nc, without_d='D' not in given, stated=stated)}"
    return options, words


def _condition_of_preset(seen: int, data: LabelledConfig) -> str:
    """How the channels ``seen`` are read by a preset. Raises ValueError if the preset's are not as many."""
    own = data.label_nc + data.instances if data.label_nc else data.channels["input"]
    if own != seen:
        raise ValueError(
            f"it sees {seen} channels, and --config says data.label_nc {data.label_nc} and data.instances "
            f"{str(data.instances).lower()}: {own}"
        )
    return f"{_words(seen, data.label_nc, data.instances)}, as --config says"


def _other_readings(seen: int, label_nc: int, *, without_d: bool, stated: Stated) -> str:
    """The options for what the channels could be, too."""
    words = f"--label-nc {seen} --no-instances if they are that many classes"
    words += f", --label-nc {seen - 1} if {seen - 1} and boundaries" if not label_nc and seen > 2 else ""
    if label_nc and without_d and not stated.no_instances:
        words += "; --label-nc of fewer if some are features, with latest_net_E.pth beside it"
    return words


def _classes(seen: int, features: int, stated: Stated) -> tuple[int, bool]:
    """(classes, whether the boundaries of instances are seen); 0 classes: images.

    Raises:
        ValueError: there is no such reading, or nothing tells which it is.
    """
    without = "--no-instances" if stated.no_instances else ""
    if stated.label_nc is not None:
        with_boundaries = seen == stated.label_nc + 1 and not stated.no_instances
        if stated.label_nc == 0 and seen in (1, 3, 4) and (seen != 4 or stated.no_instances):
            return 0, False
        if stated.label_nc == 0:
            raise ValueError(
                f"--label-nc 0 {without}".rstrip() + f": it sees {seen} channels; images have 1, 3, or 4 (RGBA, with "
                "--no-instances), and boundaries beside an image can't be fed to it here"
            )
        if stated.label_nc < 0 or not (with_boundaries or seen == stated.label_nc):
            raise ValueError(
                f"--label-nc {stated.label_nc} {without}".rstrip() + f": it sees {seen} channels, which are {seen} "
                f"classes, or {seen - 1} and their boundaries"
                + ("" if features else "; more than that are features, whose encoder's file must be beside it")
            )
        return stated.label_nc, with_boundaries
    if features:
        return (seen, False) if stated.no_instances else (seen - 1, True)
    if seen == 4:
        raise ValueError(
            "it sees 4 channels, and nothing tells which: --label-nc 3 (classes and their boundaries), --label-nc 4 "
            "--no-instances (classes), --label-nc 0 --no-instances (RGBA); boundaries beside an RGB image can't be "
            "fed to it here"
        )
    if seen in (1, 3):
        return 0, False
    return (seen, False) if stated.no_instances else (seen - 1, True)


def _words(seen: int, label_nc: int, instances: bool) -> str:
    """How many channels are taken as what."""
    what = (
        f"{label_nc} class{'es' if label_nc > 1 else ''}" + (" and their boundaries" if instances else "")
        if label_nc
        else "pictures"
    )
    return f"{seen} channel{'s' if seen > 1 else ''}: taken as {what}"
