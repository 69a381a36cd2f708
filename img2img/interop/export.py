"""Exports a run as the files that the official code loads with ``strict=True``, one per network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name
from img2img.config import Config, load_config
from img2img.data.domains import DomainsConfig
from img2img.interop.layouts import FAMILIES, ROLES, Family, NetworkSpec
from img2img.interop.official import to_official
from img2img.run_files import CONFIG_FILE, config_file
from img2img.runs import find_run

REAL_ESRGAN = {  # network, scale, blocks -> name under which Real-ESRGAN's script builds it
    ("rrdb", 4, 23): "RealESRGAN_x4plus",
    ("rrdb", 4, 6): "RealESRGAN_x4plus_anime_6B",
    ("rrdb", 2, 23): "RealESRGAN_x2plus",
    ("compact", 4, 16): "realesr-animevideov3",
    ("compact", 4, 32): "realesr-general-x4v3 -dn 1",  # -dn 1: by default it mixes these weights with others
}


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
        family: "junyanz" for runs of pix2pix and cyclegan, "pix2pixhd" and "stargan" for those of the same name,
            "basicsr" for srgan (default: that of the run's model).
        output: folder to write to (default: RUN/export).
        checkpoint: a step, "latest" or "best".
        overwrite: replace files that already exist.

    Returns:
        The files written, ``latest_net_G.pth`` and so on; of StarGAN ``STEP-G.ckpt`` and ``STEP-D.ckpt``; of srgan
        ``net_g_STEP.pth``, as {"params_ema": ...} or, without EMA, {"params": ...}, and ``net_d_STEP.pth``, unless the
        discriminator is SRGAN's, which the official code lacks.

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
    written: dict[str, Mapping[str, Any]] = {}
    for role, name in ROLES[model].items():
        stored = network_name(path, name)
        if has_network(path, stored) and not (role == "D" and _lacks_discriminator(config)):
            try:
                weights = to_official(load_network(path, stored), _network_spec(config, role))
                nested = "params" if stored == name else "params_ema"
                written[role] = {nested: weights} if expected == "basicsr" else weights
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


def how_to_load(run: str, files: Sequence[Path]) -> list[str]:
    """Lines to print about how the official code loads a run's ``files``; [] where nothing special is needed."""
    config = load_config(config_file(find_run(run)))
    model = config.model
    if FAMILIES[model.name] == "basicsr":
        return _how_to_enlarge(config, files[0])
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


def _how_to_enlarge(config: Config, generator: Path) -> list[str]:
    """The command of Real-ESRGAN that takes a generator, or how BasicSR builds it if that has none of its size."""
    model, channels = config.model, config.data.channels["target"]
    skipped = ["D           not written: the official code has no discriminator like SRGAN's"]
    skipped = skipped if _lacks_discriminator(config) else []
    size = (model.network, model.scale, model.n_blocks)
    is_usual = channels == 3 and model.width == 64 and (model.network != "rrdb" or model.growth == 32)
    if is_usual and size in REAL_ESRGAN:
        return [
            f"enlarge     python inference_realesrgan.py -n {REAL_ESRGAN[size]} --model_path {generator} -i FILE|DIR",
            *skipped,
        ]
    shape = f"num_in_ch={channels}, num_out_ch={channels}, num_feat={model.width}"
    networks = {
        "rrdb": f"RRDBNet({shape}, num_block={model.n_blocks}, num_grow_ch={model.growth}, scale={model.scale})",
        "msrresnet": f"MSRResNet({shape}, num_block={model.n_blocks}, upscale={model.scale})",
        "compact": f"SRVGGNetCompact({shape}, num_conv={model.n_blocks}, upscale={model.scale}, act_type='prelu')",
    }
    return [f"network     basicsr.archs: {networks[model.network]}", *skipped]


def _lacks_discriminator(config: Config) -> bool:
    """Whether the official code has no discriminator like the run's, so that it is left out."""
    model = config.model
    return FAMILIES[model.name] == "basicsr" and model.stage == "gan" and model.discriminator == "srgan"


def _file_name(family: Family, checkpoint: Path, role: str) -> str:
    """The name under which the official code looks for a network."""
    step = int(checkpoint.name.removeprefix("step-"))
    if family == "stargan":
        return f"{step}-{role}.ckpt"
    if family == "basicsr":
        return f"net_{role.lower()}_{step}.pth"
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
    if model.name == "srgan":
        if model.network == "srresnet":
            raise ValueError(f"model.network srresnet: {reason}")
        return
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
    if family == "basicsr":
        kind = model.network if role == "G" else f"{model.discriminator}_discriminator"
        return NetworkSpec(family, kind, {**vars(model), "size": model.patch})  # type: ignore[arg-type]
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
