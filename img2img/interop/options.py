"""The options of a run that is made of official weights: what they tell, and what a user tells beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from img2img.config import ROOTS, Config, TrainConfig
from img2img.data.options import DataConfig, domains
from img2img.interop.layouts import Found
from img2img.models import model_class

Networks = Mapping[str, tuple[nn.Module, Found]]
CITYSCAPES = 36  # channels that pix2pixHD's own set has: 35 classes and their boundaries


@dataclass(frozen=True)
class Stated:
    """What no file tells and a user does."""

    label_nc: int | None = None
    """Of pix2pixHD: classes that the generator sees; 0: pictures. Unset, it is guessed."""
    no_instances: bool = False
    """Of pix2pixHD: that it sees no boundaries of instances, as trained with --no_instance."""
    root: Path | None = None
    """Folder of the run's data, and so for those of A and of B where these are two."""
    root_a: Path | None = None
    root_b: Path | None = None


def run_config(
    model: str, name: str, given: Networks, base: Config | None, way: str, stated: Stated
) -> tuple[Config, list[str]]:
    """The options of a run with these networks; and how its input was read, where that is a question.

    Args:
        model: pix2pix, cyclegan or pix2pixhd.
        name: of the run.
        given: the networks by their role.
        base: a preset; what the weights and the user tell precedes it.
        way: the direction.
        stated: what else is known.

    Raises:
        ValueError: the networks, the preset and what is told contradict each other.
    """
    notes: list[str] = []
    options: dict[str, Any] = {"upsample": "deconv"}
    channels: dict[str, Any] = {}
    source, target = domains(way)
    for role, (_, found) in given.items():
        told = dict(found.options)
        c_in, c_out = told.pop("in_channels"), told.pop("out_channels", 0)
        if role.startswith("G"):
            if found.kind == "coarse_to_fine":
                above = told["n_enhancers"]
                told |= {"stage": "local", "n_enhancers": above} if above else {"stage": "global", "n_enhancers": 1}
                _agree(channels, {"channels_b": c_out}, role)
            else:
                told["generator"] = found.kind
                told.pop("n_downs", None)
                if model == "cyclegan" and found.kind == "unet":  # which doesn't tell; CycleGAN's official default
                    told.pop("dropout_innermost")
                    told["dropout"] = False
                ends = (source, target) if model == "pix2pix" else ("a", "b") if role == "G_A" else ("b", "a")
                _agree(channels, {f"channels_{ends[0]}": c_in, f"channels_{ends[1]}": c_out}, role)
        elif found.kind == "encoder":
            halvings = told.pop("n_downs")
            told["n_downs_e"] = None if halvings == options["n_downs"] else halvings
        else:
            told["n_layers_d"] = told.pop("n_layers")
            if "last_bias" in told:
                told["last_bias_d"] = told.pop("last_bias")
            if found.kind == "multi_scale":
                told["max_ndf"] = told.pop("max_width")
            if found.chain:  # as the official code writes them where nobody compares features
                told["lambda_feat"] = 0.0
                notes.append(f"model.lambda_feat 0: {role} is laid out as without feature matching (--no_ganFeat_loss)")
        _agree(options, told, role)
    data = base.data if base else DataConfig()
    train = base.train if base else TrainConfig()
    if model == "pix2pixhd":
        seen, note = read_condition(given, base, stated)
        channels |= seen
        notes.append(note)
        options["instance_features"] = "E" in given
        if base is None:
            halvings = options["n_downs"] + (options["n_enhancers"] if options["stage"] == "local" else 0)
            stride = 2 ** max(halvings, options.get("n_downs_e") or 0)
            data = replace(data, preprocess="scale_width", load_size=1024, stride=stride)
        if options["stage"] == "local":  # a run that goes on with these options begins with this one, wholly
            train = replace(train, init_from=name, freeze_global_epochs=0.0)
    elif stated.label_nc is not None or stated.no_instances:
        raise ValueError(f"--label-nc and --no-instances: are of pix2pixhd, and it is of {model}")
    elif base is None and options["generator"] == "unet":
        side = max(256, 2 ** options["num_downs"])
        data = replace(data, crop_size=side, load_size=side + 30)
    if model == "cyclegan" and channels["channels_a"] != channels["channels_b"]:
        options["lambda_identity"] = 0.0
    data = replace(data, direction="AtoB" if model == "pix2pixhd" else way, **channels, **_roots(model, stated))
    wanted = replace(base.model, **options) if base else model_class(model).Config(**options)
    if base:
        return replace(base, name=name, model=wanted, data=data, train=train), notes
    return Config(name, wanted, data, train=train), notes


def _roots(model: str, stated: Stated) -> dict[str, Any]:
    """The data options of the folders that a user names. Raises ValueError if they can't be a set of this model's."""
    given = {key: folder for key in ROOTS if (folder := getattr(stated, key)) is not None}
    if not given:
        return {}
    for key, folder in given.items():
        if not folder.is_dir():
            raise ValueError(f"--data-{key.replace('_', '-')} {folder}: no such folder")
    if set(given) not in ({"root"}, {"root_a", "root_b"}) or (model != "cyclegan" and "root" not in given):
        raise ValueError("--data-root names the folder of the set; of cyclegan --data-root-a and --data-root-b do, too")
    return {key: str(given[key]) if key in given else None for key in ROOTS} | {"toy": False, "torchvision": None}


def _agree(options: dict[str, Any], more: Mapping[str, Any], role: str) -> None:
    """Adds options. Raises ValueError if another network told otherwise: a model has one value for all its networks."""
    for key, value in more.items():
        if options.setdefault(key, value) != value:
            raise ValueError(f"the {key} of its {role} is {value}, and that of the others {options[key]}")


def read_condition(given: Networks, base: Config | None, stated: Stated) -> tuple[dict[str, Any], str]:
    """What pix2pixHD's generator sees: (data options, how that was read).

    Its first layer has so many channels, of classes, of boundaries and of an encoder's features; which they are no file
    tells. A discriminator beside it sees the same without the features.

    Raises:
        ValueError: the channels are not those of the other networks, of the preset, or that the user tells of.
    """
    found = given["G"][1].options
    whole = found["in_channels"]
    features = given["E"][1].options["n_features"] if "E" in given else 0
    seen = given["D"][1].options["in_channels"] - found["out_channels"] if "D" in given else whole - features
    if seen + features != whole:
        raise ValueError(
            f"its G sees {whole} channels, D {seen} of them and E makes {features}: put the encoder's file beside it "
            "(latest_net_E.pth); one that was trained with features of files (--load_features) can't be used, since "
            "nothing here feeds it"
        )
    if base and stated.label_nc is None and not stated.no_instances:
        data = base.data
        own = data.label_nc + data.instances if data.label_nc else data.channels["input"]
        if own != seen:
            raise ValueError(
                f"it sees {seen} channels, and --config says data.label_nc {data.label_nc} and data.instances "
                f"{str(data.instances).lower()}: {own}"
            )
        return {}, f"{_words(seen, data.label_nc, data.instances)}, as --config says"
    if base and stated.label_nc is None:
        stated = replace(stated, label_nc=base.data.label_nc)
    label_nc, instances = _classes(seen, features, stated)
    if features and not (label_nc and instances):
        raise ValueError(
            f"{_words(seen, label_nc, instances)}, and features of an encoder: here these are of label maps with "
            "instances alone"
        )
    options = {"label_nc": label_nc, "instances": instances} if label_nc else {"label_nc": 0, "channels_a": seen}
    if stated.label_nc is not None:
        return options, _words(seen, label_nc, instances)
    note = _words(seen, label_nc, instances)
    if not features and seen != CITYSCAPES:
        note += f", a guess; --label-nc {seen} --no-instances if they are that many classes"
        note += f", --label-nc {seen - 1} if {seen - 1} and boundaries" if not label_nc and seen > 2 else ""
        if label_nc and not ("D" in given or stated.no_instances):
            note += "; --label-nc of fewer if some are features, with latest_net_E.pth beside it"
    return options, note


def _classes(seen: int, features: int, stated: Stated) -> tuple[int, bool]:
    """(classes, whether the boundaries of instances are seen); 0 classes: pictures.

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
                f"--label-nc 0 {without}".rstrip() + f": it sees {seen} channels; pictures have 1, 3, or 4 (RGBA, with "
                "--no-instances), and boundaries beside a picture can't be fed to it here"
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
            "--no-instances (classes), --label-nc 0 --no-instances (RGBA); boundaries beside an RGB picture can't be "
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
