"""Imports official weights as a run that inference, evaluation and ``train.init_from`` take.

The official code writes one file per network, ``latest_net_G.pth`` and others beside it; StarGAN's, ``200000-G.ckpt``
and ``200000-D.ckpt``; BasicSR's, ``net_g_400000.pth`` and ``net_d_400000.pth``; Real-ESRGAN's releases are
``RealESRGAN_x4plus.pth`` and ``RealESRGAN_x4plus_netD.pth``. In CycleGAN, its ``D_A`` sees images of B; ours are named
after the domain of the images that they see.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from img2img.checkpoint import has_network, newest_checkpoint, save_checkpoint
from img2img.config import Config, load_config
from img2img.interop.layouts import FAMILIES, ROLES, Kind, NetworkSpec
from img2img.interop.official import import_official
from img2img.interop.options import Networks, UserOptions, run_config, srgan_config, stargan_config
from img2img.models import build_model, model_class
from img2img.program import command
from img2img.run_files import CONFIG_FILE, RUNS, config_file
from img2img.runs import begin_run, check_run, hold_run, replace_run

_CHAINS: dict[str, tuple[Kind, ...]] = {"G": ("unet", "resnet"), "D": ("patchgan",)}
KINDS: dict[str, dict[str, tuple[Kind, ...]]] = {  # model -> role -> architectures it can have
    "pix2pix": _CHAINS,
    "cyclegan": _CHAINS,
    "pix2pixhd": {"G": ("coarse_to_fine",), "D": ("multi_scale",), "E": ("encoder",)},
    "stargan": {"G": ("domain_generator",), "D": ("domain_discriminator",)},
    "srgan": {"G": ("msrresnet", "rrdb", "compact"), "D": ("vgg_discriminator", "unet_discriminator")},
}


def import_run(
    path: Path,
    name: str | None = None,
    *,
    preset: Path | None = None,
    direction: str | None = None,
    model: str | None = None,
    user_options: UserOptions | None = None,
    only: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, list[str]]:
    """Makes the run runs/NAME from an official file and those beside it that belong to it.

    Args:
        path: file of a generator, or any file of an official run.
        name: name of the run (default: the file's name; with an official name, its folder's).
        preset: file of data and loss options. Options that the weights determine override it.
        direction: which way a generator without other files translates (default: the preset's, else AtoB); of
            StarGAN, the domain that inference translates to by default (the preset's, else the first).
        model: pix2pix, cyclegan or pix2pixhd, for a generator without other files (default: pix2pix for U-Nets,
            cyclegan for ResNets that downsample twice, otherwise pix2pixhd). Those of StarGAN and of super-resolution
            are recognised.
        user_options: what the weights don't determine.
        only: comma-separated roles of the files to import, such as "G,E" (default: all).
        overwrite: replace a run of this name, once the new one is complete.

    Returns:
        The run's folder, and a line to print for each network and each guess.

    Raises:
        ValueError: a file is invalid, the files don't belong to one model, or the run exists.
    """
    files = _chosen_files(path, only)
    networks, model = _networks(path, files, model)
    base = load_config(preset) if preset else None
    if base and base.model.name != model:
        raise ValueError(f"--config {preset}: preset of {base.model.name}, but {path} is of {model}")
    direction_or_default = direction or (base.data.direction if base else "AtoB")
    if model == "cyclegan":
        files, networks, direction_or_default = _cyclegan(
            path, files, networks, direction=direction, default=direction_or_default
        )
    for role, (_, spec) in networks.items():
        if role not in ROLES[model] or spec.kind not in KINDS[model][role[0]]:
            raise ValueError(f"{files[role]}: a {spec.kind} of {spec.family} can't be the {role} of {model}")
    name = name or _name_of(path)
    try:
        _check_channels(model, networks)
        user = user_options or UserOptions()
        if make := {"stargan": stargan_config, "srgan": srgan_config}.get(model):
            config, notes = make(name, networks, base, direction=direction, user=user)
        else:
            config, notes = run_config(model, name, networks, base, direction=direction_or_default, user=user)
        _check(config, model, networks)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    folder = _write_run(config, networks, files, overwrite=overwrite)
    lines = [_line(ROLES[model][role], files[role], spec, config) for role, (_, spec) in networks.items()]
    return folder, lines + notes


def _chosen_files(path: Path, only: str | None) -> dict[str, Path]:
    """The files of an official run by their role, restricted to ``only``. Raises ValueError without a generator."""
    files = companions(path)
    if only is not None:
        roles = only.split(",")
        if unknown := [role for role in roles if role not in files]:
            raise ValueError(f"--only {only}: no {unknown[0]} in {path} or beside it; there is {', '.join(files)}")
        files = {role: file for role, file in files.items() if role in roles}
    if not any(role.startswith("G") for role in files):
        raise ValueError(f"{path}: no generator (G) in it or beside it; a run needs one")
    return files


def _networks(path: Path, files: Mapping[str, Path], model: str | None) -> tuple[Networks, str]:
    """The networks of the files, and their model."""
    networks = _read(files, hd=model == "pix2pixhd")
    if model == "pix2pixhd" or _model_of(networks) == "pix2pixhd":  # its ResNet is recognised only with this family
        networks = _read(files, hd=True)
    model_of_files = _model_of(networks)
    if model and FAMILIES[model] != FAMILIES[model_of_files]:
        raise ValueError(f"--model {model}: the weights of {path} are of {model_of_files}")
    return networks, model or model_of_files


def _cyclegan(
    path: Path, files: dict[str, Path], networks: Networks, *, direction: str | None, default: str
) -> tuple[dict[str, Path], Networks, str]:
    """CycleGAN's files and networks by the roles G_A, G_B, ..., and the direction of the run."""
    if "G" in networks:
        role = "G_A" if default == "AtoB" else "G_B"
        if set(networks) != {"G"}:
            raise ValueError(
                f"{path}: the D beside it is not CycleGAN's (it sees input and output): use --model pix2pix"
            )
        files, networks = {role: files["G"]}, {role: networks["G"]}
    if {"G_A", "G_B"} <= set(networks):
        return files, networks, default
    possible = "AtoB" if "G_A" in networks else "BtoA"
    if direction not in (None, possible):
        raise ValueError(f"--direction {direction}: {path} and the files beside it translate {possible} only")
    return files, networks, possible


def _write_run(config: Config, networks: Networks, files: Mapping[str, Path], *, overwrite: bool) -> Path:
    """Writes the run with a checkpoint of step 0, completely or not at all, and returns its folder."""
    names = ROLES[config.model.name]
    folder, part = RUNS / config.name, RUNS / f".{config.name}.part"
    weights = {names[role]: network.state_dict() for role, (network, _) in networks.items()}
    state = {"imported": {names[role]: str(file) for role, file in files.items()}}
    with hold_run(folder):
        check_run(folder, resume=False, overwrite=overwrite)
        try:
            begin_run(part, config, resume=False)
            save_checkpoint(part, 0, weights, state, config.to_yaml(), keep=1)
            replace_run(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def next_steps(run: Path) -> list[str]:
    """Commands to go on with an imported run, one per line."""
    path, _ = newest_checkpoint(run)
    config = load_config(config_file(run))
    has_data = config.data.toy or any(getattr(config.data, key) for key in config.data.folders)
    missing = [name for name in model_class(config.model.name).discriminators if not has_network(path, name)]
    more = " --instances FILE|DIR" if "instance" in config.data.channels else ""
    more += f" --direction {config.data.direction}" if "domain" in config.data.channels else ""
    fine_tune = f"{command('train')} --config {run}/{CONFIG_FILE} --train.init_from {run.name} --name NEW"
    fine_tune += "" if has_data else " --data.root DIR"
    fine_tune += " --balance.warmup_d 500" if missing else ""  # a new one must learn before the trained generator does
    return [f"translate   {command('infer')} {run.name} --input FILE|DIR{more}", f"fine-tune   {fine_tune}"]


def _read(files: Mapping[str, Path], hd: bool) -> Networks:
    """Loads the networks of some files. Raises ValueError if one is invalid."""
    networks: dict[str, tuple[torch.nn.Module, NetworkSpec]] = {}
    generators = ",".join(role for role in files if role.startswith("G"))
    norm = None
    for role, file in files.items():  # generators before discriminators
        try:
            networks[role] = import_official(file, "pix2pixhd" if hd else None, norm)
        except ValueError as error:
            if role.startswith("G"):
                raise
            raise ValueError(f"{error}; leave it out with --only {generators}") from error
        norm = norm or networks[role][1].options.get("norm")  # StarGAN's is always the same
    return networks


def _check_channels(model: str, networks: Networks) -> None:
    """Raises ValueError unless images have 1, 3 or 4 channels. The input of pix2pixHD's generator may have others."""
    for role, (_, spec) in networks.items():
        for key in ("in_channels", "out_channels"):
            of_images = role.startswith("G") and (model != "pix2pixhd" or key == "out_channels")
            if of_images and spec.options.get(key, 3) not in (1, 3, 4):  # StarGAN's input and output are alike
                hint = (
                    "; if it is pix2pixHD's, use --model pix2pixhd"
                    if spec.kind == "resnet" and model != "pix2pixhd"
                    else ""
                )
                raise ValueError(
                    f"{key} {spec.options[key]} of {role}: images of runs have 1, 3 or 4 channels; "
                    f"img2img.interop.import_official takes any number{hint}"
                )


def companions(path: Path) -> dict[str, Path]:
    """The files of an official run by role (G, D, E or G_A, G_B, D_A, D_B); a file without an official name is a G."""
    parts = _official_name(path)
    if parts is None:
        return _with_net_d(path)
    before, role, ending = parts
    roles: tuple[str, ...] = ("G_A", "G_B", "D_A", "D_B") if "_" in role else ("G", "D", "E")
    roles = ("g", "d") if role.islower() else roles
    beside = {each: path.with_name(f"{before}{each}{ending}") for each in roles}
    return {each.upper(): file for each, file in beside.items() if each == role or file.is_file()}


def _with_net_d(path: Path) -> dict[str, Path]:
    """A generator's file of any name, and the discriminator beside it as Real-ESRGAN's releases name it."""
    is_discriminator = path.stem.endswith("_netD")
    generator = path.with_name(f"{path.stem.removesuffix('_netD')}{path.suffix}")
    discriminator = path.with_name(f"{generator.stem}_netD{path.suffix}")
    files = {"G": generator} if generator.is_file() or not is_discriminator else {}
    return files | ({"D": discriminator} if discriminator.is_file() else {})


def _official_name(path: Path) -> tuple[str, str, str] | None:
    """The name of an official file, such as latest_net_G.pth, 200000-G.ckpt or net_g_400000.pth, in three parts, of
    which the second is the role; None for other names.
    """
    for pattern in (r"(.*_net_)(G|D|E|[GD]_[AB])(\.pth)", r"(.*-)(G|D)(\.ckpt)", r"(net_)(g|d)(_\w+\.pth)"):
        if match := re.fullmatch(pattern, path.name):
            return match[1], match[2], match[3]
    return None


def _name_of(path: Path) -> str:
    """The default name of a run: the file's, or of a file with an official name its folder's."""
    folder = path.resolve().parent
    if folder.name == "models" and (path.suffix == ".ckpt" or path.name.startswith("net_")):
        folder = folder.parent  # of StarGAN's code, stargan_celeba_128/models/200000-G.ckpt, and of BasicSR's
    name = folder.name if _official_name(path) else path.stem.removesuffix("_netD")
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.+") or "imported"


def _line(name: str, file: Path, spec: NetworkSpec, config: Config) -> str:
    """The line to print about an imported network."""
    options = {key: value for key, value in spec.options.items() if value is not None}
    notes = f"; {len(spec.dropped)} unused statistics ignored" if spec.dropped else ""
    if spec.kind == "unet":  # the weights don't show dropout: print that of the run
        options = {key: value for key, value in options.items() if not key.startswith("dropout")}
        notes += f"; dropout {config.model.dropout} (not in the file)"
    if spec.guessed:
        notes += f"; norm {options['norm']} is a guess"
    listed = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{name}: {spec.kind} of {file} ({listed}){notes}"


def _model_of(networks: Networks) -> str:
    """The model that networks belong to."""
    kinds = {spec.kind for _, spec in networks.values()}
    if kinds & {kind for of_role in KINDS["srgan"].values() for kind in of_role}:
        return "srgan"
    if kinds & {"domain_generator", "domain_discriminator"}:
        return "stargan"
    if kinds & {"coarse_to_fine", "multi_scale", "encoder"}:
        return "pix2pixhd"
    if "G" not in networks:
        return "cyclegan"
    return "pix2pix" if "D" in networks or "unet" in kinds else "cyclegan"


def _check(config: Config, model: str, networks: Networks) -> None:
    """Raises ValueError unless the networks of a model with these options have exactly these weights."""
    with torch.device("meta"):
        whole = build_model(config.model, config.data.channels, config.balance)
    for role, (network, _) in networks.items():
        shapes = {key: value.shape for key, value in getattr(whole, ROLES[model][role]).state_dict().items()}
        if shapes != {key: value.shape for key, value in network.state_dict().items()}:
            raise ValueError(f"{role} does not fit a {model} with the other files or with --config")
