"""Reads an official network's architecture out of its keys and shapes: nobody needs to remember the options.

What can't be seen is the U-Nets' dropout, which has no weights and moves none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from img2img.interop.layouts import Family, Found, unet_level
from img2img.networks.blocks import Norm

Weights = Mapping[str, Tensor]


def recognise(weights: Weights, family: Family | None = None) -> Found:
    """What an official state dict is of.

    ``family`` tells whose a ResNet of two halvings is, where it is known: pix2pixHD has the same one.

    It looks at what tells architectures apart alone; whether every key and shape fits is for who builds the network.

    Raises:
        ValueError: nothing that is known; the message names the keys.
    """
    try:
        if "model.model.0.weight" in weights:
            return _unet(weights)
        if any(re.match(r"(scale\d+_)?layer\d+\.", key) for key in weights):
            return _multi_scale(weights)
        if "net.0.weight" in weights:
            return _pixels(weights)
        if "model.0.weight" in weights:
            return _patches(weights)
        if "model.1.weight" in weights:
            return _chain(weights, family)
    except KeyError as missing:
        raise ValueError(f"it is incomplete: it lacks {missing.args[0]}") from missing
    except IndexError as error:  # a weight of fewer dimensions than a convolution's
        raise ValueError(f"its weights are of no convolutions: {_some(weights)}") from error
    raise ValueError(f"its keys fit no network of pix2pix, CycleGAN or pix2pixHD: {_some(weights)}")


def _some(weights: Weights) -> str:
    names = sorted(weights)
    return ", ".join(names[:3]) + (f", ... ({len(names)})" if len(names) > 3 else "")


def _norm(weights: Weights, conv: str, norm: str) -> Norm:
    """The norm after a convolution: batch norm has weights, and instance norm leaves the convolution its bias."""
    if f"{norm}.weight" in weights:
        return "batch"
    return "instance" if f"{conv}.bias" in weights else "none"


def _unet(weights: Weights) -> Found:
    first, last = weights["model.model.0.weight"], weights["model.model.3.weight"]
    num_downs = 1
    while f"{unet_level(num_downs)}.1.weight" in weights:
        num_downs += 1
    options: dict[str, Any] = {"in_channels": first.shape[1], "out_channels": last.shape[1], "num_downs": num_downs}
    norm = _norm(weights, f"{unet_level(1)}.1", f"{unet_level(1)}.2")
    options |= {"ngf": first.shape[0], "norm": norm, "dropout": True, "dropout_innermost": False}
    return Found("junyanz", "unet", options)


def _patches(weights: Weights) -> Found:
    first = weights["model.0.weight"]
    n_layers = 0
    while f"model.{3 * n_layers + 5}.weight" in weights:
        n_layers += 1
    if not n_layers:  # that of single pixels has another layout
        raise KeyError("model.5.weight")
    options = {"in_channels": first.shape[1], "ndf": first.shape[0], "n_layers": n_layers}
    return Found("junyanz", "patchgan", options | {"norm": _norm(weights, "model.2", "model.3")})


def _pixels(weights: Weights) -> Found:
    first = weights["net.0.weight"]
    options = {"in_channels": first.shape[1], "ndf": first.shape[0], "n_layers": 0}
    return Found("junyanz", "patchgan", options | {"norm": _norm(weights, "net.2", "net.3")})


def _multi_scale(weights: Weights) -> Found:
    chain = "layer0.0.weight" in weights
    scales = {key.partition("_")[0].partition(".")[0] for key in weights}  # strange ones are told by who builds it
    n_layers = 0
    while (f"layer0.{3 * n_layers + 5}.weight" if chain else f"scale0_layer{n_layers + 2}.0.weight") in weights:
        n_layers += 1
    if not n_layers:
        raise KeyError("layer0.5.weight" if chain else "scale0_layer2.0.weight")
    first = weights["layer0.0.weight" if chain else "scale0_layer0.0.weight"]
    norm = _norm(weights, *(("layer0.2", "layer0.3") if chain else ("scale0_layer1.0", "scale0_layer1.1")))
    options = {"in_channels": first.shape[1], "ndf": first.shape[0], "n_layers": n_layers, "n_scales": len(scales)}
    return Found("pix2pixhd", "multi_scale", options | {"norm": norm}, chain)


def _chain(weights: Weights, family: Family | None) -> Found:
    """A ResNet of junyanz's, or pix2pixHD's global or local generator or encoder, which are of the same layers.

    They differ in how often they halve the picture: twice, or else pix2pixHD's; in biases before batch norm, which
    only pix2pixHD's keep; and an encoder has no blocks.
    """
    first = weights["model.1.weight"]
    width, in_channels = first.shape[0], first.shape[1]
    norm = _norm(weights, "model.1", "model.2")
    n_downs, at, wide = 0, 4, width
    # A convolution has (out, in, ...), the transposed ones after the blocks have (in, out, ...)
    while f"model.{at}.weight" in weights and weights[f"model.{at}.weight"].shape[1] == wide:
        n_downs, at, wide = n_downs + 1, at + 3, 2 * wide
    begin = at
    while f"model.{at}.conv_block.1.weight" in weights:
        at += 1
    n_blocks = at - begin
    options = {"in_channels": in_channels, "norm": norm, "n_downs": n_downs}
    above = 0
    while f"model{above + 1}_1.1.weight" in weights:
        above += 1
    if above:
        n_blocks_local = 0
        while f"model1_2.{n_blocks_local}.conv_block.1.weight" in weights:
            n_blocks_local += 1
        head = weights[f"model{above}_2.{n_blocks_local + 4}.weight"]
        width = weights[f"model{above}_1.1.weight"].shape[0]
    else:
        n_blocks_local, head = 3, weights[f"model.{at + 3 * n_downs + 1}.weight"]
    if not n_blocks and not above:
        options |= {"n_features": head.shape[0], "nef": width}
        return Found("pix2pixhd", "encoder", options)
    options |= {"out_channels": head.shape[0], "ngf": width, "n_blocks": n_blocks}
    if family == "pix2pixhd" or above or n_downs != 2 or (norm == "batch" and "model.1.bias" in weights):
        options |= {"n_enhancers": above, "n_blocks_local": n_blocks_local}
        return Found("pix2pixhd", "coarse_to_fine", options)
    second = weights.get(f"model.{begin}.conv_block.6.weight")
    return Found("junyanz", "resnet", options | {"dropout": second is not None and second.dim() == 4})
