"""Exports a run as the files that the official code loads with ``strict=True``, one per network."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name
from img2img.config import Config, load_config
from img2img.data.domains import DomainsConfig
from img2img.interop.layouts import FAMILIES, ROLES, Family, NetworkSpec
from img2img.interop.official import to_official
from img2img.run_files import CONFIG_FILE, config_file
from img2img.runs import find_run


def export_run(
    run: str,
    family: Family | None = None,
    output: Path | None = None,
    checkpoint: str = "latest",
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Writes the networks of a run (the EMA of those that have one) as files that the official code loads.

    Args:
        run: name or folder of the run.
        family: "junyanz" for runs of pix2pix and cyclegan, "pix2pixhd" and "stargan" for those of the same name
            (default: that of the run's model).
        output: folder to write to (default: RUN/export).
        checkpoint: a step, "latest" or "best".
        overwrite: replace files that already exist.

    Returns:
        The files written, ``latest_net_G.pth`` and so on; of StarGAN ``STEP-G.ckpt`` and ``STEP-D.ckpt``.

    Raises:
        ValueError: there is no such run or checkpoint, the official code has no such network, or a file exists.
    """
    folder = find_run(run)
    path, _ = find_checkpoint(folder, checkpoint)
    config = load_config(path / CONFIG_FILE)
    model = config.model.name
    if model not in FAMILIES:
        raise ValueError(f"run {config.name} is of {model}: only runs of {', '.join(FAMILIES)} can be exported")
    expected = FAMILIES[model]
    if family not in (None, expected):
        raise ValueError(f"--format {family}: run {config.name} is of {model}, which takes format {expected}")
    _check_exportable(config)
    written: dict[str, dict[str, torch.Tensor]] = {}
    for role, name in ROLES[model].items():
        stored = network_name(path, name)
        if has_network(path, stored):
            try:
                written[role] = to_official(load_network(path, stored), _network_spec(config, role))
            except ValueError as error:
                raise ValueError(f"{path}: {name}: {error}") from error
    output = output or folder / "export"
    files = {output / _file_name(expected, path, role): weights for role, weights in written.items()}
    existing = [file for file in files if file.exists()]
    if existing and not overwrite:
        raise ValueError(f"{existing[0]} exists: replace it with --overwrite, or choose another folder with --output")
    parts = {file.with_name(f".{file.name}.part"): file for file in files}
    try:
        output.mkdir(parents=True, exist_ok=True)
        for part, file in parts.items():
            # the format before torch 1.6: pix2pixHD's code is older, and every later torch reads it
            torch.save(files[file], part, _use_new_zipfile_serialization=False)
        for part, file in parts.items():
            part.replace(file)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{output}: can't be written ({str(error).splitlines()[0]})") from error
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()
    return list(files)


def how_to_load(run: str) -> list[str]:
    """Lines to print about how the official code loads a run's files; [] where nothing special is needed."""
    config = load_config(config_file(find_run(run)))
    model = config.model
    if FAMILIES[model.name] != "stargan":
        return []
    assert isinstance(config.data, DomainsConfig), "the data of StarGAN"
    labels = [len(each.names) for each in config.data.labels.sets]
    data = f"--dataset Both --c2_dim {labels[1]} " if len(labels) > 1 else ""
    options = f"{data}--c_dim {labels[0]} --image_size {model.size} --g_conv_dim {model.ngf} "
    options += f"--g_repeat_num {model.n_blocks} --d_conv_dim {model.ndf} --d_repeat_num {model.n_layers_d}"
    return [
        f"options     {options}",
        "statistics  the running ones of instance norm are those of a new network: leave G in training mode, as there",
    ]


def _file_name(family: Family, checkpoint: Path, role: str) -> str:
    """The name under which the official code looks for a network."""
    if family == "stargan":
        return f"{int(checkpoint.name.removeprefix('step-'))}-{role}.ckpt"
    return f"latest_net_{role}.pth"


def _check_exportable(config: Config) -> None:
    """Raises ValueError for options whose networks the official code doesn't have."""
    reason = "the official code has no such network, so it can't be exported"
    if config.balance.spectral_norm != "none" or config.balance.minibatch_std:
        raise ValueError(f"balance.spectral_norm or balance.minibatch_std: {reason}")
    if config.model.name == "stargan":
        channels = config.data.channels["input"]
        if channels != 3:
            raise ValueError(f"data.image_channels {channels}: {reason}; its images have 3")
        return
    model, hd = config.model, config.model.name == "pix2pixhd"
    if model.upsample != "deconv":
        raise ValueError(f"model.upsample {model.upsample}: {reason}")
    if model.norm == "layer" or (hd and model.norm == "none"):
        raise ValueError(f"model.norm {model.norm}: {reason}")
    if not hd and model.generator == "unet" and model.num_downs < 5:
        raise ValueError(f"model.num_downs {model.num_downs}: {reason}; its minimum is 5")
    if hd:
        layers = range(1, model.n_layers_d + 1)
        widths = [min(model.ndf * 2**layer, model.max_ndf or 8 * model.ndf) for layer in layers]
        if widths != [min(model.ndf * 2**layer, 512) for layer in layers]:
            raise ValueError(
                f"model.ndf {model.ndf} with model.n_layers_d {model.n_layers_d}: {reason}; its widths are capped at "
                "512 (model.max_ndf 512)"
            )


def _network_spec(config: Config, role: str) -> NetworkSpec:
    """The architecture of the network with this role."""
    model, family = config.model, FAMILIES[config.model.name]
    options = {
        **vars(model),
        "n_layers": model.n_layers_d,
        "last_bias": False,
    }  # only old versions of the official code have it
    if family == "stargan":
        return NetworkSpec(family, "domain_generator" if role == "G" else "domain_discriminator", options)
    if role.startswith("D"):
        chain = family == "pix2pixhd" and not model.lambda_feat  # as with the official --no_ganFeat_loss
        kind = "multi_scale" if family == "pix2pixhd" else "patchgan"
        return NetworkSpec(family, kind, options, chain)  # type: ignore[arg-type]
    if family == "junyanz":
        return NetworkSpec("junyanz", model.generator, {**options, "n_downs": 2})
    n_enhancers = model.n_enhancers if model.stage == "local" else 0
    if role == "E":
        return NetworkSpec("pix2pixhd", "encoder", {**options, "n_downs": model.n_downs_e or model.n_downs})
    return NetworkSpec("pix2pixhd", "coarse_to_fine", {**options, "n_enhancers": n_enhancers})
