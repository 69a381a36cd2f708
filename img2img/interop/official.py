"""Official weights as networks of this package, and back.

    network, spec = import_official("checkpoints/horse2zebra/latest_net_G.pth")

No code of a file is run. A file is loaded only if every key and shape fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img.interop.architecture import recognise
from img2img.interop.layouts import NETWORKS, STATISTICS, Family, NetworkSpec, layers_of
from img2img.networks.blocks import Norm
from img2img.weights import read_weights


def import_official(
    path: str | Path, family: Family | None = None, norm: Norm | None = None
) -> tuple[nn.Module, NetworkSpec]:
    """Loads an official weights file (.pth) as a network of this package.

    Args:
        path: the file.
        family: "junyanz", "pix2pixhd", "stargan" or "basicsr", if known, see ``recognise``.
        norm: norm of the generator beside a PatchGAN, if known, see ``recognise``.

    Returns:
        The network, on the CPU and in evaluation mode: a ``UNet``, ``ResNet``, ``PatchGAN``, ``CoarseToFine``,
        ``MultiScaleDiscriminator`` or ``StyleEncoder``, StarGAN's ``Generator`` or ``Discriminator``, or of
        super-resolution an ``MSRResNet``, ``RRDBNet``, ``CompactNet``, ``VGGDiscriminator`` or ``UNetDiscriminator``;
        with the same outputs as the official network (StarGAN's: as it is used, in training mode); and its
        architecture.

    Raises:
        ValueError: there is no such file, it holds anything but tensors, or these are not exactly the weights of a
            network of pix2pix, CycleGAN, pix2pixHD, StarGAN or of super-resolution (ESRGAN, Real-ESRGAN, BasicSR).
    """
    weights = read_weights(Path(path))
    try:
        spec = recognise(weights, family, norm)
        with torch.device("meta"):  # no memory or time for weights that are replaced at once
            network = NETWORKS[spec.kind](**spec.options)
        state, dropped = to_ours(weights, spec, network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    network.load_state_dict(state, assign=True)
    return network.eval(), replace(spec, dropped=tuple(dropped))


def to_ours(
    official: Mapping[str, Tensor], spec: NetworkSpec, network: nn.Module
) -> tuple[dict[str, Tensor], list[str]]:
    """Converts an official state dict to that of ``network``.

    Ours has no bias before batch norm: an official one is subtracted from the norm's running mean, which is the same
    function in evaluation mode. Where only ours has a bias, it is zero.

    Returns:
        The state dict of ``network``, and the official keys that were ignored.

    Raises:
        ValueError: keys are missing or unknown, or a shape differs.
    """
    own_state, remaining = network.state_dict(), dict(official)
    state: dict[str, Tensor] = {}
    dropped: list[str] = []
    for layer in layers_of(spec):
        for name in layer.weights:
            _move(remaining, f"{layer.official}.{name}", state, f"{layer.ours}.{name}")
        bias = remaining.pop(f"{layer.official}.bias", None) if layer.bias else None
        if f"{layer.ours}.bias" in own_state:
            if bias is not None:
                state[f"{layer.ours}.bias"] = bias
            elif not layer.bias:
                state[f"{layer.ours}.bias"] = torch.zeros(own_state[f"{layer.ours}.bias"].shape)
        elif layer.bias and bias is None:
            state[f"{layer.ours}.bias"] = torch.zeros(0)  # the official bias is missing: the check below reports it
        if layer.norm is None:
            continue
        own_norm, official_norm = layer.norm
        if spec.has_affine_norm:
            for name in ("weight", "bias"):
                _move(remaining, f"{official_norm}.{name}", state, f"{own_norm}.{name}")
        if not spec.has_batch_norm:  # running statistics of instance norm are never used
            keys = (f"{official_norm}.{name}" for name in STATISTICS)
            dropped += [key for key in keys if remaining.pop(key, None) is not None]
            continue
        for name in STATISTICS:
            _move(remaining, f"{official_norm}.{name}", state, f"{own_norm}.{name}")
        state.setdefault(f"{own_norm}.num_batches_tracked", torch.tensor(0))  # torch before 0.4 had no such count
        mean = state.get(f"{own_norm}.running_mean")
        if bias is not None and mean is not None:
            if mean.shape == bias.shape:
                state[f"{own_norm}.running_mean"] = mean - bias
            else:
                remaining[f"{layer.official}.bias"] = bias
    official_key = {own: key for layer in layers_of(spec) for own, key in layer.tensors()}
    faults = []
    for key in [*own_state, *(state.keys() - own_state.keys())]:
        if key not in state or key not in own_state:
            faults.append(f"{official_key[key]} is missing")
        elif state[key].shape != own_state[key].shape:
            faults.append(f"{official_key[key]} is {tuple(state[key].shape)}, not {tuple(own_state[key].shape)}")
    faults += [f"{key} is unexpected" for key in sorted(remaining)]
    if faults:
        raise ValueError(_list(faults, spec))
    return state, dropped


def _move(source: dict[str, Tensor], key: str, target: dict[str, Tensor], name: str) -> None:
    """Moves ``source[key]``, if it exists, to ``target[name]``."""
    if key in source:
        target[name] = source.pop(key)


def _list(faults: list[str], spec: NetworkSpec) -> str:
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return f"looks like a {spec.kind} of {spec.family}, but {'; '.join(faults[:5])}{more}"


def to_official(state: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    """Converts a state dict of ours to that of the official network, which loads it strictly.

    StarGAN's official instance norms have running statistics, although the network is only used in training mode, where
    they play no part: they are written as those of a new network.

    Args:
        state: state dict of a network of this package.
        spec: its architecture.

    Raises:
        ValueError: a bias that the official network doesn't have, or keys that don't fit the architecture.
    """
    remaining, official = dict(state), {}
    for layer in layers_of(spec):
        for name in layer.weights:
            if f"{layer.ours}.{name}" not in remaining:
                raise ValueError(f"{layer.ours}.{name} is missing: the official code has no such network")
            weight = official[f"{layer.official}.{name}"] = remaining.pop(f"{layer.ours}.{name}")
        bias = remaining.pop(f"{layer.ours}.bias", None)
        if layer.bias:
            if bias is None:  # before batch norm, which cancels any bias
                assert layer.norm is not None
                bias = weight.new_zeros(len(state[f"{layer.norm[0]}.weight"]))
            official[f"{layer.official}.bias"] = bias
        elif bias is not None and bias.any():
            raise ValueError(
                f"{layer.ours} has a learned bias, which the official network with norm {spec.options['norm']} lacks, "
                "so it can't be exported"
            )
        if layer.norm and spec.has_affine_norm:
            own_norm, official_norm = layer.norm
            for name in ("weight", "bias"):
                official[f"{official_norm}.{name}"] = remaining.pop(f"{own_norm}.{name}")
            statistics = _new_statistics(official[f"{official_norm}.weight"])
            for name in STATISTICS:
                own = f"{own_norm}.{name}"
                official[f"{official_norm}.{name}"] = remaining.pop(own) if spec.has_batch_norm else statistics[name]
    if remaining:
        raise ValueError(f"{sorted(remaining)[0]}: the official network has no such tensor ({len(remaining)} in all)")
    return official


def _new_statistics(scale: Tensor) -> dict[str, Tensor]:
    """Running statistics of a new norm with this scale (C,)."""
    return {
        "running_mean": torch.zeros_like(scale),
        "running_var": torch.ones_like(scale),
        "num_batches_tracked": torch.tensor(0),
    }
