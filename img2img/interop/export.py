"""A run as the files that the official tools load strictly, one a network."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name
from img2img.config import CONFIG_FILE, Config, load_config
from img2img.interop.layouts import ROLES, Family, Found
from img2img.interop.official import to_official
from img2img.runs import find_run


def export_run(
    run: str, family: Family, output: Path | None = None, checkpoint: str = "latest", *, overwrite: bool = False
) -> list[Path]:
    """Writes a run's networks, or the averages of those that have one, as files that the official code takes.

    Args:
        run: its name or folder.
        family: whose files: junyanz of pix2pix and CycleGAN, pix2pixhd of pix2pixHD.
        output: folder; unset, RUN/export.
        checkpoint: a step, or latest.
        overwrite: whether files of these names are replaced.

    Raises:
        ValueError: there is no such run or checkpoint, or the official code has no such network, or a file exists.
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
    files = {output / f"latest_net_{role}.pth": weights for role, weights in written.items()}
    there = [file for file in files if file.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists: --overwrite replaces it, --output takes another folder")
    aside = {file.with_name(f".{file.name}.part"): file for file in files}
    try:
        output.mkdir(parents=True, exist_ok=True)
        for part, file in aside.items():
            # the format of before torch 1.6, which pix2pixHD's code was written for, and every later one reads
            torch.save(files[file], part, _use_new_zipfile_serialization=False)
        for part, file in aside.items():
            part.replace(file)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{output}: can't be written ({str(error).splitlines()[0]})") from error
    finally:
        for part in aside:
            with suppress(OSError):
                part.unlink()
    return list(files)


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
    if hd:
        layers = range(1, model.n_layers_d + 1)
        mine = [min(model.ndf * 2**layer, model.max_ndf or 8 * model.ndf) for layer in layers]
        if mine != [min(model.ndf * 2**layer, 512) for layer in layers]:
            raise ValueError(
                f"model.ndf {model.ndf} with model.n_layers_d {model.n_layers_d}: {no}; its widths end at 512, as with "
                "model.max_ndf 512"
            )


def _found(config: Config, role: str) -> Found:
    """What the network of a role is, as ``layers_of`` wants it told."""
    model, family = config.model, "pix2pixhd" if config.model.name == "pix2pixhd" else "junyanz"
    options = {**vars(model), "n_layers": model.n_layers_d, "last_bias": False}  # which the code of today never has
    if role.startswith("D"):
        chain = family == "pix2pixhd" and not model.lambda_feat  # as with the official --no_ganFeat_loss
        kind = "multi_scale" if family == "pix2pixhd" else "patchgan"
        return Found(family, kind, options, chain)  # type: ignore[arg-type]
    if family == "junyanz":
        return Found("junyanz", model.generator, {**options, "n_downs": 2})
    above = model.n_enhancers if model.stage == "local" else 0
    if role == "E":
        return Found("pix2pixhd", "encoder", {**options, "n_downs": model.n_downs_e or model.n_downs})
    return Found("pix2pixhd", "coarse_to_fine", {**options, "n_enhancers": above})
