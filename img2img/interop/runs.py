"""Official files as a run that inference, evaluation and ``train.init_from`` take.

The official tools write one file a network, ``latest_net_G.pth`` and others beside it. Their ``D_A`` judges images of
B; ours are named after the domain that they judge.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from img2img.checkpoint import has_network, newest_checkpoint, save_checkpoint
from img2img.config import CONFIG_FILE, Config, config_file, load_config
from img2img.interop.layouts import ROLES, Found, Kind
from img2img.interop.official import import_official
from img2img.interop.options import Networks, Stated, run_config
from img2img.models import build_model, model_class
from img2img.runs import RUNS, begin_run, check_run, hold_run, replace_run

_CHAINS: dict[str, tuple[Kind, ...]] = {"G": ("unet", "resnet"), "D": ("patchgan",)}
KINDS: dict[str, dict[str, tuple[Kind, ...]]] = {  # of each role's networks
    "pix2pix": _CHAINS,
    "cyclegan": _CHAINS,
    "pix2pixhd": {"G": ("coarse_to_fine",), "D": ("multi_scale",), "E": ("encoder",)},
}


def import_run(
    path: Path,
    name: str | None = None,
    *,
    preset: Path | None = None,
    direction: str | None = None,
    model: str | None = None,
    stated: Stated | None = None,
    only: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, list[str]]:
    """Makes runs/NAME of an official file and of those beside it that belong to it.

    Args:
        path: of a generator, or of any of the files that one official run wrote beside each other.
        name: of the run; unset, that of the file, or of its folder where the file is one of the official names.
        preset: options of data and losses; those of the weights precede it.
        direction: which way a lone generator translates; unset, the preset's, or AtoB.
        model: pix2pix, cyclegan or pix2pixhd, where a lone generator could be of several; unset, U-Nets are pix2pix's,
            and ResNets of two halvings CycleGAN's.
        stated: what no file tells.
        only: roles, with commas between, of the files that are taken; unset, all.
        overwrite: whether a run of this name is replaced, once the new one is whole.

    Returns:
        The run's folder, and a line for each network and each guess.

    Raises:
        ValueError: a file is refused, files are of networks that belong to no model together, or the run exists.
    """
    files = _chosen_files(path, only)
    given, model = _networks(path, files, model)
    base = load_config(preset) if preset else None
    if base and base.model.name != model:
        raise ValueError(f"--config {preset}: it is for {base.model.name}, and {path} is of {model}")
    way = direction or (base.data.direction if base else "AtoB")
    if model == "cyclegan":
        files, given, way = _cyclegan(path, files, given, direction=direction, otherwise=way)
    for role, (_, found) in given.items():
        if role not in ROLES[model] or found.kind not in KINDS[model][role[0]]:
            raise ValueError(f"{files[role]}: it is a {found.kind} of {found.family}, which is no {role} of {model}")
    name = name or _name_of(path)
    try:
        _check_channels(model, given)
        config, notes = run_config(model, name, given, base, direction=way, stated=stated or Stated())
        _check(config, model, given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    folder = _write_run(config, given, files, overwrite=overwrite)
    lines = [_line(ROLES[model][role], files[role], found, config) for role, (_, found) in given.items()]
    return folder, lines + notes


def _chosen_files(path: Path, only: str | None) -> dict[str, Path]:
    """The files of an official run by their role, those of ``only`` alone. Raises ValueError if none is a generator."""
    files = companions(path)
    if only is not None:
        wanted = only.split(",")
        if strange := [role for role in wanted if role not in files]:
            raise ValueError(f"--only {only}: there is no {strange[0]} in {path} or beside it, but {', '.join(files)}")
        files = {role: file for role, file in files.items() if role in wanted}
    if not any(role.startswith("G") for role in files):
        raise ValueError(f"{path}: there is no generator in it or beside it, which a run begins with")
    return files


def _networks(path: Path, files: Mapping[str, Path], model: str | None) -> tuple[Networks, str]:
    """The networks of the files, and the model that they are of."""
    given = _read(files, hd=model == "pix2pixhd")
    if model == "pix2pixhd" or _model_of(given) == "pix2pixhd":  # whose ResNet is read as one only if told so
        given = _read(files, hd=True)
    model_of_files = _model_of(given)
    if model and (model == "pix2pixhd") != (model_of_files == "pix2pixhd"):
        raise ValueError(f"--model {model}: {path} is of {model_of_files}")
    return given, model or model_of_files


def _cyclegan(
    path: Path, files: dict[str, Path], given: Networks, *, direction: str | None, otherwise: str
) -> tuple[dict[str, Path], Networks, str]:
    """CycleGAN's files and networks by the roles G_A and G_B, and the direction that they are for."""
    if "G" in given:
        role = "G_A" if otherwise == "AtoB" else "G_B"
        if set(given) != {"G"}:
            raise ValueError(f"{path}: the D beside it sees no images alone, as CycleGAN's do; --model pix2pix")
        files, given = {role: files["G"]}, {role: given["G"]}
    if {"G_A", "G_B"} <= set(given):
        return files, given, otherwise
    only = "AtoB" if "G_A" in given else "BtoA"
    if direction not in (None, only):
        raise ValueError(f"--direction {direction}: {path} and what is beside it translate {only} alone")
    return files, given, only


def _write_run(config: Config, given: Networks, files: Mapping[str, Path], *, overwrite: bool) -> Path:
    """Writes the run with a checkpoint of step 0, wholly or not at all, and returns its folder."""
    names = ROLES[config.model.name]
    folder, aside = RUNS / config.name, RUNS / f".{config.name}.part"
    weights = {names[role]: network.state_dict() for role, (network, _) in given.items()}
    state = {"imported": {names[role]: str(file) for role, file in files.items()}}
    with hold_run(folder):
        check_run(folder, resume=False, overwrite=overwrite)
        try:
            begin_run(aside, config, resume=False)
            save_checkpoint(aside, 0, weights, state, config.to_yaml(), keep=1)
            replace_run(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def next_steps(run: Path) -> list[str]:
    """What can be done with an imported run: the commands, one a line."""
    path, _ = newest_checkpoint(run)
    config = load_config(config_file(run))
    known = config.data.toy or any(getattr(config.data, key) for key in config.data.folders)
    missing = [name for name in model_class(config.model.name).discriminators if not has_network(path, name)]
    maps = " --instances FILE|DIR" if "instance" in config.data.channels else ""
    tune = f"python tools/train.py --config {run}/{CONFIG_FILE} --train.init_from {run.name} --name NEW"
    tune += "" if known else " --data.root DIR"
    tune += " --balance.warmup_d 500" if missing else ""  # beside trained generators a new one must learn first
    return [f"translate   python tools/infer.py {run.name} --input FILE|DIR{maps}", f"fine-tune   {tune}"]


def _read(files: Mapping[str, Path], hd: bool) -> Networks:
    """The networks of some files. Raises ValueError if one is refused, and tells how to do without one."""
    found: dict[str, tuple[torch.nn.Module, Found]] = {}
    generators = ",".join(role for role in files if role.startswith("G"))
    norm = None
    for role, file in files.items():  # generators before discriminators
        try:
            found[role] = import_official(file, "pix2pixhd" if hd else None, norm)
        except ValueError as error:
            if role.startswith("G"):
                raise
            raise ValueError(f"{error}; --only {generators} leaves it out") from error
        norm = norm or found[role][1].options["norm"]
    return found


def _check_channels(model: str, given: Networks) -> None:
    """Raises ValueError for images of other channels than there are. pix2pixHD's generator sees other things, too."""
    for role, (_, found) in given.items():
        for key in ("in_channels", "out_channels"):
            of_images = role.startswith("G") and (model != "pix2pixhd" or key == "out_channels")
            if of_images and found.options[key] not in (1, 3, 4):
                hint = (
                    "; if it is pix2pixHD's, --model pix2pixhd"
                    if found.kind == "resnet" and model != "pix2pixhd"
                    else ""
                )
                raise ValueError(
                    f"the {key} of its {role} are {found.options[key]}: a run has images of 1, 3 "
                    f"or 4; img2img.interop.import_official takes any{hint}"
                )


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


def _line(name: str, file: Path, found: Found, config: Config) -> str:
    told = {key: value for key, value in found.options.items() if value is not None}
    notes = f"; {len(found.dropped)} unused statistics left out" if found.dropped else ""
    if found.kind == "unet":  # whose dropout is the run's to say, since no file does
        told = {key: value for key, value in told.items() if not key.startswith("dropout")}
        notes += f"; dropout {config.model.dropout}, which no file tells"
    if found.guessed:
        notes += f"; norm {told['norm']} is a guess"
    options = ", ".join(f"{key} {value}" for key, value in told.items())
    return f"{name}: {found.kind} of {file} ({options}){notes}"


def _model_of(given: Networks) -> str:
    kinds = {found.kind for _, found in given.values()}
    if kinds & {"coarse_to_fine", "multi_scale", "encoder"}:
        return "pix2pixhd"
    if "G" not in given:
        return "cyclegan"
    return "pix2pix" if "D" in given or "unet" in kinds else "cyclegan"


def _check(config: Config, model: str, given: Networks) -> None:
    """Raises ValueError unless the model of these options has exactly these networks."""
    with torch.device("meta"):
        whole = build_model(config.model, config.data.channels, config.balance)
    for role, (network, _) in given.items():
        mine = {key: value.shape for key, value in getattr(whole, ROLES[model][role]).state_dict().items()}
        if mine != {key: value.shape for key, value in network.state_dict().items()}:
            raise ValueError(f"its {role} belongs to no {model} together with the other files, or with --config")
