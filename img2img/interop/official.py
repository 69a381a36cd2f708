"""Weights that the official tools wrote, as networks of this toolkit, and the way back.

    network, found = import_official("checkpoints/horse2zebra/latest_net_G.pth")

No code of a file is run, and nothing is loaded in part: a file fits, key by key, or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img.interop.architecture import recognise
from img2img.interop.layouts import NETWORKS, STATISTICS, Family, Found, layers_of
from img2img.networks.blocks import Norm
from img2img.weights import read_weights


def import_official(
    path: str | Path, family: Family | None = None, norm: Norm | None = None
) -> tuple[nn.Module, Found]:
    """The network of an official file, on the CPU and in evaluation mode; and what it found there.

    It is a ``UNet``, ``ResNet``, ``PatchGAN``, ``CoarseToFine``, ``MultiScaleDiscriminator`` or ``StyleEncoder``, with
    the official network's answers. ``family`` and ``norm`` are as in ``recognise``.

    Raises:
        ValueError: there is no such file, or it is not plain tensors, or they are not exactly those of a network of
            pix2pix, CycleGAN or pix2pixHD.
    """
    weights = read_weights(Path(path))
    try:
        found = recognise(weights, family, norm)
        with torch.device("meta"):  # no memory and no time for weights that are about to be replaced
            network = NETWORKS[found.kind](**found.options)
        mine, dropped = to_ours(weights, found, network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    network.load_state_dict(mine, assign=True)
    return network.eval(), replace(found, dropped=tuple(dropped))


def to_ours(official: Mapping[str, Tensor], found: Found, network: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """(the state dict that ``network`` takes, the keys that mean nothing).

    A bias before batch norm is taken out of the mean that the norm knows, which is the same function: ours have none.
    Where the official convolution has none and ours has one, it is zero.

    Raises:
        ValueError: keys are missing, or there are others, or a shape is not the network's.
    """
    mine, left = network.state_dict(), dict(official)
    state: dict[str, Tensor] = {}
    dropped: list[str] = []
    batch = found.options["norm"] == "batch"
    for layer in layers_of(found):
        _move(left, f"{layer.official}.weight", state, f"{layer.ours}.weight")
        bias = left.pop(f"{layer.official}.bias", None) if layer.bias else None
        if f"{layer.ours}.bias" in mine:
            if bias is not None:
                state[f"{layer.ours}.bias"] = bias
            elif not layer.bias:
                state[f"{layer.ours}.bias"] = torch.zeros(mine[f"{layer.ours}.bias"].shape)
        elif layer.bias and bias is None:
            state[f"{layer.ours}.bias"] = torch.zeros(0)  # missing, which the check below tells
        if layer.norm is None:
            continue
        ours, theirs = layer.norm
        if not batch:  # files of old have statistics of instance norm, which never were used
            dropped += [key for key in (f"{theirs}.{name}" for name in STATISTICS) if left.pop(key, None) is not None]
            continue
        for name in ("weight", "bias", *STATISTICS):
            _move(left, f"{theirs}.{name}", state, f"{ours}.{name}")
        state.setdefault(f"{ours}.num_batches_tracked", torch.tensor(0))  # torch before 0.4 had no such count
        mean = state.get(f"{ours}.running_mean")
        if bias is not None and mean is not None:
            if mean.shape == bias.shape:
                state[f"{ours}.running_mean"] = mean - bias
            else:
                left[f"{layer.official}.bias"] = bias
    names = {ours: theirs for layer in layers_of(found) for ours, theirs in layer.tensors(batch)}
    faults = []
    for key in [*mine, *(state.keys() - mine.keys())]:
        if key not in state or (key not in mine):
            faults.append(f"{names[key]} is missing")
        elif state[key].shape != mine[key].shape:
            faults.append(f"{names[key]} is {tuple(state[key].shape)}, not {tuple(mine[key].shape)}")
    faults += [f"{key} fits nothing" for key in sorted(left)]
    if faults:
        raise ValueError(_list(faults, found))
    return state, dropped


def _move(source: dict[str, Tensor], key: str, target: dict[str, Tensor], name: str) -> None:
    if key in source:
        target[name] = source.pop(key)


def _list(faults: list[str], found: Found) -> str:
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return f"looks like a {found.kind} of {found.family}, but {'; '.join(faults[:5])}{more}"


def to_official(mine: Mapping[str, Tensor], found: Found) -> dict[str, Tensor]:
    """The state dict of the official network, which loads it strictly, out of that of ours.

    Args:
        mine: state dict of a network of this toolkit.
        found: what it is.

    Raises:
        ValueError: a bias that the official network has no place for, or weights that are not those of the layout.
    """
    left, official = dict(mine), {}
    batch = found.options["norm"] == "batch"
    for layer in layers_of(found):
        if f"{layer.ours}.weight" not in left:
            raise ValueError(f"{layer.ours}.weight is missing: it is no network that the official code knows")
        weight, bias = left.pop(f"{layer.ours}.weight"), left.pop(f"{layer.ours}.bias", None)
        official[f"{layer.official}.weight"] = weight
        if layer.bias:
            if bias is None:  # before batch norm, which takes any away
                assert layer.norm is not None
                bias = weight.new_zeros(len(mine[f"{layer.norm[0]}.weight"]))
            official[f"{layer.official}.bias"] = bias
        elif bias is not None and bias.any():
            raise ValueError(
                f"{layer.ours} has learnt a bias, which the official network of norm {found.options['norm']} has no "
                "place for, so it can't be exported"
            )
        if layer.norm and batch:
            for name in ("weight", "bias", *STATISTICS):
                official[f"{layer.norm[1]}.{name}"] = left.pop(f"{layer.norm[0]}.{name}")
    if left:
        raise ValueError(f"{sorted(left)[0]} has no counterpart (of {len(left)} such tensors)")
    return official
