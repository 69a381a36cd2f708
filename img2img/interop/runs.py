"""Official files as a run that inference, evaluation and ``train.init_from`` take, and a run as official files.

The official tools write one file a network, ``latest_net_G.pth`` and others beside it. Their ``D_A`` judges pictures of
B; ours are named after the domain that they judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name, save_checkpoint
from img2img.config import CONFIG_FILE, Config, TrainConfig, load_config
from img2img.data.options import DataConfig, Direction, domains
from img2img.interop.layouts import Family, Found, Kind
from img2img.interop.official import import_official, to_official
from img2img.models import build_model, model_class
from img2img.runs import RUNS, begin_run, check_run, find_run

ROLES: dict[str, dict[str, str]] = {  # of an official file -> the network's name here
    "pix2pix": {"G": "generator", "D": "discriminator"},
    "cyclegan": {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"},
    "pix2pixhd": {"G": "generator", "D": "discriminator", "E": "encoder"},
}
_CHAINS: dict[str, tuple[Kind, ...]] = {"G": ("unet", "resnet"), "D": ("patchgan",)}
KINDS: dict[str, dict[str, tuple[Kind, ...]]] = {  # of each role's networks
    "pix2pix": _CHAINS,
    "cyclegan": _CHAINS,
    "pix2pixhd": {"G": ("coarse_to_fine",), "D": ("multi_scale",), "E": ("encoder",)},
}
Networks = Mapping[str, tuple[nn.Module, Found]]


def import_run(
    path: Path,
    name: str | None = None,
    preset: Path | None = None,
    direction: Direction | None = None,
    model: str | None = None,
    *,
    overwrite: bool = False,
) -> tuple[Path, list[str]]:
    """Makes runs/NAME of an official file and of those beside it that belong to it; returns it with what was found.

    Args:
        path: of a generator, or of any of the files that one official run wrote beside each other.
        name: of the run; unset, that of the file, or of its folder where the file is one of the official names.
        preset: options of data and losses; what the weights tell precedes it.
        direction: which way a lone generator translates; unset, the preset's, or AtoB.
        model: pix2pix, cyclegan or pix2pixhd, where a lone generator could be of several; unset, U-Nets are pix2pix's,
            and ResNets of two halvings CycleGAN's.
        overwrite: whether a run of this name is deleted.

    Raises:
        ValueError: a file is refused, files are of networks that belong to no model together, or the run exists.
    """
    files = companions(path)
    if not any(role.startswith("G") for role in files):
        raise ValueError(f"{path}: there is no generator in it or beside it, which a run begins with")
    given = {role: import_official(file) for role, file in files.items()}
    if model == "pix2pixhd" or _model_of(given) == "pix2pixhd":  # so that its ResNet is told to be one
        given = {role: import_official(file, "pix2pixhd") for role, file in files.items()}
    chosen = model or _model_of(given)
    if (chosen == "pix2pixhd") != (_model_of(given) == "pix2pixhd"):
        raise ValueError(f"--model {model}: {path} is of {_model_of(given)}")
    base = load_config(preset) if preset else None
    if base and base.model.name != chosen:
        raise ValueError(f"--config {preset}: it is for {base.model.name}, and {path} is of {chosen}")
    way: Direction = direction or (base.data.direction if base else "AtoB")
    if chosen == "cyclegan" and "G" in given:
        role = "G_A" if way == "AtoB" else "G_B"
        if set(given) != {"G"}:
            raise ValueError(f"{path}: the D beside it sees no pictures alone, as CycleGAN's do; --model pix2pix")
        files, given = {role: files["G"]}, {role: given["G"]}
    for role, (_, found) in given.items():
        if role not in ROLES[chosen] or found.kind not in KINDS[chosen][role[0]]:
            raise ValueError(f"{files[role]}: it is a {found.kind} of {found.family}, which is no {role} of {chosen}")
    if chosen == "cyclegan" and len(given.keys() & {"G_A", "G_B"}) == 1:
        its: Direction = "AtoB" if "G_A" in given else "BtoA"
        if direction not in (None, its):
            raise ValueError(f"--direction {direction}: {path} and what is beside it translate {its} alone")
        way = its
    name = name or _name_of(path)
    try:
        config = _config(chosen, name, given, base, way, files)
        _check(config, chosen, given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    folder = RUNS / name
    check_run(folder, resume=False, overwrite=overwrite)
    begin_run(folder, config, resume=False)
    weights = {ROLES[chosen][role]: network.state_dict() for role, (network, _) in given.items()}
    state = {"imported": {ROLES[chosen][role]: str(file) for role, file in files.items()}}
    save_checkpoint(folder, 0, weights, state, config.to_yaml(), keep=1)
    return folder, [_line(ROLES[chosen][role], files[role], found) for role, (_, found) in given.items()]


def companions(path: Path) -> dict[str, Path]:
    """The files of one official run by their role (G, D, E or G_A, G_B, D_A, D_B); a file of another name is a G."""
    named = re.fullmatch(r"(.*_net_)(G|D|E|[GD]_[AB])(\.pth)", path.name)
    if named is None:
        return {"G": path}
    before, role, ending = named.groups()
    roles = ("G_A", "G_B", "D_A", "D_B") if "_" in role else ("G", "D", "E")
    beside = {each: path.with_name(f"{before}{each}{ending}") for each in roles}
    return {each: file for each, file in beside.items() if each == role or file.is_file()}


def _name_of(path: Path) -> str:
    official = re.fullmatch(r".*_net_(G|D|E|[GD]_[AB])\.pth", path.name)
    return re.sub(r"[^\w.+-]+", "-", path.resolve().parent.name if official else path.stem).strip("-.+") or "imported"


def _line(name: str, file: Path, found: Found) -> str:
    options = ", ".join(f"{key} {value}" for key, value in found.options.items())
    left = f"; {len(found.dropped)} unused statistics left out" if found.dropped else ""
    return f"{name}: {found.kind} of {file} ({options}){left}"


def _model_of(given: Networks) -> str:
    kinds = {found.kind for _, found in given.values()}
    if kinds & {"coarse_to_fine", "multi_scale", "encoder"}:
        return "pix2pixhd"
    if "G" not in given:
        return "cyclegan"
    return "pix2pix" if "D" in given or "unet" in kinds else "cyclegan"


def _config(
    model: str, name: str, given: Networks, base: Config | None, way: Direction, files: Mapping[str, Path]
) -> Config:
    """The options of a run with these networks."""
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
                if model == "cyclegan":
                    told.pop("dropout_innermost", None)
                    if found.kind == "unet":  # which doesn't tell; CycleGAN's official default
                        told["dropout"] = False
                ends = (source, target) if model == "pix2pix" else ("a", "b") if role == "G_A" else ("b", "a")
                _agree(channels, {f"channels_{ends[0]}": c_in, f"channels_{ends[1]}": c_out}, role)
        elif found.kind != "encoder":
            told["n_layers_d"] = told.pop("n_layers")
        _agree(options, told, role)
    data = base.data if base else DataConfig()
    train = base.train if base else TrainConfig()
    if model == "pix2pixhd":
        channels |= _labels(given, base)
        options["instance_features"] = "E" in given
        if base is None:
            stride = 2 ** (options["n_downs"] + (options["n_enhancers"] if options["stage"] == "local" else 0))
            data = replace(data, preprocess="scale_width", load_size=1024, stride=stride)
        if options["stage"] == "local":
            train = replace(train, init_from=str(files["G"]))
    elif base is None and options["generator"] == "unet":
        side = max(256, 2 ** options["num_downs"])
        data = replace(data, crop_size=side, load_size=side + 30)
    if model == "cyclegan" and channels["channels_a"] != channels["channels_b"]:
        options["lambda_identity"] = 0.0
    data = replace(data, direction="AtoB" if model == "pix2pixhd" else way, **channels)
    wanted = replace(base.model, **options) if base else model_class(model).Config(**options)
    return (
        replace(base, name=name, model=wanted, data=data, train=train)
        if base
        else Config(name, wanted, data, train=train)
    )


def _agree(options: dict[str, Any], more: Mapping[str, Any], role: str) -> None:
    """Adds options. Raises ValueError if another network told otherwise: a model has one value for all its networks."""
    for key, value in more.items():
        if options.setdefault(key, value) != value:
            raise ValueError(f"the {key} of its {role} is {value}, and that of the others {options[key]}")


def _labels(given: Networks, base: Config | None) -> dict[str, Any]:
    """What pix2pixHD's generator sees: classes and the boundaries of instances, or a picture; features come on top."""
    found = given["G"][1].options
    seen = found["in_channels"]
    if "D" in given:
        seen = given["D"][1].options["in_channels"] - found["out_channels"]
    elif "E" in given:
        seen -= given["E"][1].options["n_features"]
    features = given["E"][1].options["n_features"] if "E" in given else 0
    if seen + features != found["in_channels"]:
        raise ValueError(
            f"its G sees {found['in_channels']} channels, D {seen} of them and E makes {features}: put the encoder's "
            "file beside it (latest_net_E.pth)"
        )
    if base:
        own = base.data.label_nc + base.data.instances if base.data.label_nc else base.data.channels["input"]
        if own != seen:
            raise ValueError(
                f"it sees {seen} channels, and --config says data.label_nc {base.data.label_nc} and data.instances "
                f"{str(base.data.instances).lower()}: {own}"
            )
        return {}
    return {"channels_a": seen} if seen in (1, 3, 4) else {"label_nc": seen - 1}


def _check(config: Config, model: str, given: Networks) -> None:
    """Raises ValueError unless the model of these options has exactly these networks."""
    with torch.device("meta"):
        whole = build_model(config.model, config.data.channels, config.balance)
    for role, (network, _) in given.items():
        mine = {key: value.shape for key, value in getattr(whole, ROLES[model][role]).state_dict().items()}
        if mine != {key: value.shape for key, value in network.state_dict().items()}:
            raise ValueError(f"its {role} belongs to no {model} together with the other files, or with --config")


def export_run(run: str, family: Family, output: Path | None = None, checkpoint: str = "latest") -> list[Path]:
    """Writes a run's networks, or the averages of those that have one, as files that the official code takes.

    Args:
        run: its name or folder.
        family: whose files: junyanz of pix2pix and CycleGAN, pix2pixhd of pix2pixHD.
        output: folder; unset, RUN/export.
        checkpoint: a step, or latest.

    Raises:
        ValueError: there is no such run or checkpoint, or the official code has no such network.
    """
    folder = find_run(run)
    path, _ = find_checkpoint(folder, checkpoint)
    config = load_config(path / CONFIG_FILE)
    model = config.model.name
    if model not in ROLES or (model == "pix2pixhd") != (family == "pix2pixhd"):
        fits = ("pix2pixhd" if model == "pix2pixhd" else "junyanz") if model in ROLES else "none"
        raise ValueError(f"--format {family}: run {config.name} is of {model}, whose format is {fits}")
    _check_exportable(config)
    written: dict[str, dict[str, torch.Tensor]] = {}
    for role, name in ROLES[model].items():
        stored = network_name(path, name)
        if has_network(path, stored):
            try:
                written[role] = to_official(load_network(path, stored), _found(config, role))
            except ValueError as error:
                raise ValueError(f"{path}: {name}: {error}") from error
    output = output or folder / "export"
    files = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for role, weights in written.items():
            files.append(output / f"latest_net_{role}.pth")
            torch.save(weights, files[-1])
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{output}: can't be written ({str(error).splitlines()[0]})") from error
    return files


def _check_exportable(config: Config) -> None:
    """Raises ValueError for options that the official networks have no counterpart of."""
    model, hd = config.model, config.model.name == "pix2pixhd"
    no = "the official code has no such network, so it can't be exported"
    if model.upsample != "deconv":
        raise ValueError(f"model.upsample {model.upsample}: {no}")
    if model.norm == "layer" or (hd and model.norm == "none"):
        raise ValueError(f"model.norm {model.norm}: {no}")
    if config.balance.spectral_norm != "none" or config.balance.minibatch_std:
        raise ValueError(f"balance.spectral_norm or balance.minibatch_std: {no}")
    if not hd and model.generator == "unet" and model.num_downs < 5:
        raise ValueError(f"model.num_downs {model.num_downs}: {no}; it has 5 and more")
    mine = [model.ndf * min(2**layer, 8) for layer in range(model.n_layers_d + 1)]
    if hd and mine != [min(model.ndf * 2**layer, 512) for layer in range(model.n_layers_d + 1)]:
        raise ValueError(f"model.ndf {model.ndf} with model.n_layers_d {model.n_layers_d}: {no}; its widths end at 512")


def _found(config: Config, role: str) -> Found:
    """What the network of a role is, as ``layers_of`` wants it told."""
    model, family = config.model, "pix2pixhd" if config.model.name == "pix2pixhd" else "junyanz"
    options = {**vars(model), "n_layers": model.n_layers_d}
    if role.startswith("D"):
        return Found(family, "multi_scale" if family == "pix2pixhd" else "patchgan", options)  # type: ignore[arg-type]
    if family == "junyanz":
        return Found("junyanz", model.generator, {**options, "n_downs": 2})
    above = model.n_enhancers if model.stage == "local" else 0
    return Found("pix2pixhd", "encoder" if role == "E" else "coarse_to_fine", {**options, "n_enhancers": above})
