"""Recognises the architecture of an official network from the keys and shapes of its weights.

Dropout of U-Nets can't be recognised: it has no weights, and the official U-Net's keys are the same without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor

from img2img.interop.layouts import Family, NetworkSpec, unet_level
from img2img.networks.blocks import Norm

Weights = Mapping[str, Tensor]
_SUPER_RESOLUTION = ("conv_first.", "body.", "conv0_0.", "conv0.", "model.1.sub.")  # keys of its networks alone


def recognise(weights: Weights, family: Family | None = None, norm: Norm | None = None) -> NetworkSpec:
    """Recognises the architecture of an official state dict.

    It reads what distinguishes architectures; ``to_ours`` checks that every key and shape fits.

    Args:
        weights: the state dict.
        family: official code that the file is of, if known. Needed for a ResNet that downsamples twice, which both have
            ("junyanz" if unset).
        norm: norm of the generator beside a PatchGAN, if known. Without batch norm, biases distinguish instance norm
            from none in the current official code, but not in all older versions.

    Raises:
        ValueError: no known architecture; the message names the keys.
    """
    try:
        if any(key.startswith(_SUPER_RESOLUTION) for key in weights):
            return _super_resolution(weights)
        if any(key.startswith("model.model.") for key in weights):
            return _unet(weights)
        if any(re.match(r"(scale\d+_)?layer\d+\.", key) for key in weights):
            return _multi_scale(weights)
        if "net.0.weight" in weights:
            return _pixels(weights, norm)
        if "main.0.weight" in weights:
            return _domain_discriminator(weights) if "conv2.weight" in weights else _domain_generator(weights)
        if "model.0.weight" in weights:
            return _patches(weights, norm)
        if "model.1.weight" in weights or _numbers(weights, r"model\.(\d+)\.conv_block\."):
            return _chain(weights, family)
    except KeyError as missing:
        raise ValueError(f"incomplete weights: {missing.args[0]} is missing") from missing
    except IndexError as error:  # a weight has fewer dimensions than a convolution's
        raise ValueError(f"not the weights of convolutions: {_some(weights)}") from error
    known = "pix2pix, CycleGAN, pix2pixHD, StarGAN or super-resolution (BasicSR, ESRGAN, Real-ESRGAN)"
    raise ValueError(f"unknown keys, of no network of {known}: {_some(weights)}")


def _some(weights: Weights) -> str:
    names = sorted(weights)
    return ", ".join(names[:3]) + (f", ... ({len(names)})" if len(names) > 3 else "")


def _norm(weights: Weights, conv: str, norm: str) -> Norm:
    """The norm after a convolution: batch norm has weights; before instance norm the convolution has a bias."""
    if f"{norm}.weight" in weights:
        return "batch"
    return "instance" if f"{conv}.bias" in weights else "none"


def _unet(weights: Weights) -> NetworkSpec:
    first, last = weights["model.model.0.weight"], weights["model.model.3.weight"]
    levels = (re.match(r"model\.model\.1((?:\.model\.3)*)\.model\.\d+\.", key) for key in weights)
    num_downs = 1 + max((1 + level[1].count(".model.3") for level in levels if level), default=0)
    _require(weights, (f"{unet_level(level)}.1.weight" for level in range(1, max(num_downs, 2))))
    options: dict[str, Any] = {"in_channels": first.shape[1], "out_channels": last.shape[1], "num_downs": num_downs}
    norm = _norm(weights, f"{unet_level(1)}.1", f"{unet_level(1)}.2")
    options |= {"ngf": first.shape[0], "norm": norm, "dropout": True, "dropout_innermost": False}
    return NetworkSpec("junyanz", "unet", options)


def _patches(weights: Weights, norm: Norm | None) -> NetworkSpec:
    first = weights["model.0.weight"]
    n_layers = 0
    while f"model.{3 * n_layers + 5}.weight" in weights:
        n_layers += 1
    if not n_layers:  # 1x1 discriminators have another layout, see _pixels
        raise KeyError("model.5.weight")
    options = {"in_channels": first.shape[1], "ndf": first.shape[0], "n_layers": n_layers}
    own_norm, biased = _norm(weights, "model.2", "model.3"), "model.2.bias" in weights
    if own_norm != "batch" and norm in ("instance", "none"):
        own_norm = norm
    return NetworkSpec("junyanz", "patchgan", options | {"norm": own_norm}, biased=biased)


def _pixels(weights: Weights, norm: Norm | None) -> NetworkSpec:
    first = weights["net.0.weight"]
    options: dict[str, Any] = {"in_channels": first.shape[1], "ndf": first.shape[0], "n_layers": 0}
    own_norm, biased = _norm(weights, "net.2", "net.3"), "net.2.bias" in weights or "net.5.bias" in weights
    options["last_bias"] = own_norm == "batch" and "net.5.bias" in weights  # in old versions of the official code
    known = own_norm == "batch" or norm in ("instance", "none")
    if own_norm != "batch" and norm in ("instance", "none"):
        own_norm = norm
    return NetworkSpec("junyanz", "patchgan", options | {"norm": own_norm}, biased=biased, guessed=not known)


def _multi_scale(weights: Weights) -> NetworkSpec:
    chain = "layer0.0.weight" in weights
    scales = {key.partition("_")[0].partition(".")[0] for key in weights}  # to_ours reports unknown ones
    n_layers = 0
    while (f"layer0.{3 * n_layers + 5}.weight" if chain else f"scale0_layer{n_layers + 2}.0.weight") in weights:
        n_layers += 1
    if not n_layers:
        raise KeyError("layer0.5.weight" if chain else "scale0_layer2.0.weight")
    first = weights["layer0.0.weight" if chain else "scale0_layer0.0.weight"]
    last = weights[f"layer0.{3 * n_layers + 2}.weight" if chain else f"scale0_layer{n_layers + 1}.0.weight"]
    norm = _norm(weights, *(("layer0.2", "layer0.3") if chain else ("scale0_layer1.0", "scale0_layer1.1")))
    ndf = first.shape[0]
    options: dict[str, Any] = {"in_channels": first.shape[1], "ndf": ndf, "n_layers": n_layers, "n_scales": len(scales)}
    # official widths are capped at 512: 8 * ndf for ndf 64; narrow or shallow ones never reach it
    options |= {"norm": norm, "max_width": None if last.shape[1] == ndf * min(2**n_layers, 8) else 512}
    return NetworkSpec("pix2pixhd", "multi_scale", options, chain)


def _chain(weights: Weights, family: Family | None) -> NetworkSpec:
    """A ResNet of junyanz, or pix2pixHD's global or local generator or encoder, which have the same layers.

    A network with another number of downsampling layers than two, or with biases before batch norm, is pix2pixHD's. The
    encoder has no residual blocks.
    """
    if zero_padded := next((key for key in weights if key.endswith(".conv_block.0.weight")), None):
        raise ValueError(f"{zero_padded}: residual blocks with zero padding are not supported, only with reflection")
    first = weights["model.1.weight"]
    width, in_channels = first.shape[0], first.shape[1]
    norm = _norm(weights, "model.1", "model.2")
    n_enhancers = max(_numbers(weights, r"model(\d+)_[12]\."), default=0)
    n_downs, n_blocks = _depth(weights, width)
    begin = 3 * n_downs + 4
    _require(weights, (f"model.{place}.weight" for place in range(4, begin, 3)))
    _require(weights, (f"model.{begin + block}.conv_block.1.weight" for block in range(n_blocks)))
    _require(weights, (f"model{number}_1.1.weight" for number in range(1, n_enhancers + 1)))
    options = {"in_channels": in_channels, "norm": norm, "n_downs": n_downs}
    if n_enhancers:
        n_blocks_local = 1 + max(_numbers(weights, r"model1_2\.(\d+)\.conv_block\."), default=-1)
        _require(weights, (f"model1_2.{block}.conv_block.1.weight" for block in range(n_blocks_local)))
        head = weights[f"model{n_enhancers}_2.{n_blocks_local + 4}.weight"]
        width = weights[f"model{n_enhancers}_1.1.weight"].shape[0]
    else:
        n_blocks_local, head = 3, weights[f"model.{begin + n_blocks + 3 * n_downs + 1}.weight"]
    if not n_blocks and not n_enhancers:
        options |= {"n_features": head.shape[0], "nef": width}
        return NetworkSpec("pix2pixhd", "encoder", options)
    options |= {"out_channels": head.shape[0], "ngf": width, "n_blocks": n_blocks}
    if family == "pix2pixhd" or n_enhancers or n_downs != 2 or (norm == "batch" and "model.1.bias" in weights):
        options |= {"n_enhancers": n_enhancers, "n_blocks_local": n_blocks_local}
        return NetworkSpec("pix2pixhd", "coarse_to_fine", options)
    second = weights.get(f"model.{begin}.conv_block.6.weight")
    return NetworkSpec("junyanz", "resnet", options | {"dropout": second is not None and second.dim() == 4})


def _depth(weights: Weights, width: int) -> tuple[int, int]:
    """(downsampling layers, residual blocks) of a chain whose first layer has ``width`` feature maps."""
    if blocks := _numbers(weights, r"model\.(\d+)\.conv_block\."):
        n_downs = (min(blocks) - 4) // 3
        return n_downs, max(blocks) + 1 - (3 * n_downs + 4)
    # weights of convolutions are (out, in, ...), those of the transposed convolutions that follow (in, out, ...)
    n_downs = 0
    while (conv := weights.get(f"model.{3 * n_downs + 4}.weight")) is not None and conv.shape[1] == width * 2**n_downs:
        n_downs += 1
    places = [place for place in _numbers(weights, r"model\.(\d+)\.weight") if place % 3 == 2]  # as the last one
    return (n_downs or (max(places, default=0) - 5) // 6), 0


def _domain_generator(weights: Weights) -> NetworkSpec:
    """StarGAN's generator, whose input are the image's channels and one for each domain."""
    n_blocks = 0
    while f"main.{9 + n_blocks}.main.0.weight" in weights:
        n_blocks += 1
    if not n_blocks:
        raise KeyError("main.9.main.0.weight")
    first, head = weights["main.0.weight"], weights[f"main.{15 + n_blocks}.weight"]
    in_channels, domains = head.shape[0], first.shape[1] - head.shape[0]
    if domains < 1:
        raise ValueError(f"main.0.weight has {first.shape[1]} input channels: none for domains beside the image's")
    options = {"in_channels": in_channels, "domains": domains, "ngf": first.shape[0], "n_blocks": n_blocks}
    return NetworkSpec("stargan", "domain_generator", options)


def _domain_discriminator(weights: Weights) -> NetworkSpec:
    """StarGAN's discriminator; the kernel of its class head covers what its layers leave of the image."""
    n_layers = 0
    while f"main.{2 * n_layers}.weight" in weights:
        n_layers += 1
    first, patches, classes = weights["main.0.weight"], weights["conv1.weight"], weights["conv2.weight"]
    if patches.shape[1] != first.shape[0] << (n_layers - 1):
        raise ValueError(
            f"conv1.weight has {patches.shape[1]} input channels, but {n_layers} layers that begin with "
            f"{first.shape[0]} feature maps give {first.shape[0] << (n_layers - 1)}"
        )
    options = {"in_channels": first.shape[1], "domains": classes.shape[0], "ndf": first.shape[0]}
    options |= {"n_layers": n_layers, "size": classes.shape[2] << n_layers}
    return NetworkSpec("stargan", "domain_discriminator", options)


def _super_resolution(weights: Weights) -> NetworkSpec:
    """Networks of BasicSR, ESRGAN and Real-ESRGAN."""
    if "conv0_0.weight" in weights:
        return _vgg_discriminator(weights)
    if "conv0.weight" in weights:
        options = {"in_channels": weights["conv0.weight"].shape[1], "width": weights["conv0.weight"].shape[0]}
        return NetworkSpec("basicsr", "unet_discriminator", options)
    if any(key.startswith("model.1.sub.") for key in weights):
        return _rrdb(weights, "2018")
    if any(key.startswith("RRDB_trunk.") for key in weights):
        return _rrdb(weights, "2021")
    if _numbers(weights, r"body\.(\d+)\.rdb1\."):
        return _rrdb(weights)
    if "conv_first.weight" in weights:
        return _msrresnet(weights)
    return _compact(weights)


def _rrdb(weights: Weights, old: Literal["", "2018", "2021"] = "") -> NetworkSpec:
    """An RRDBNet, whose first convolution sees the pixels of 1, 2 x 2 or 4 x 4 input pixels as channels."""
    prefix, dense = {"": ("body", "rdb"), "2021": ("RRDB_trunk", "RDB"), "2018": ("model.1.sub", "RDB")}[old]
    conv = "conv{}.0" if old == "2018" else "conv{}"
    first_name, last_name = ("model.0", "model.10") if old == "2018" else ("conv_first", "conv_last")
    n_blocks = 1 + max(_numbers(weights, rf"{re.escape(prefix)}\.(\d+)\.{dense}"), default=-1)
    inner = [f"{prefix}.{block}.{dense}1.{conv.format(1)}.weight" for block in range(n_blocks)]
    _require(weights, inner or [f"{prefix}.0.{dense}1.{conv.format(1)}.weight"])
    first, last, growth = weights[f"{first_name}.weight"], weights[f"{last_name}.weight"], weights[inner[0]]
    seen, channels = first.shape[1], last.shape[0]
    scale = {1: 4, 4: 2, 16: 1}.get(seen // channels if channels and seen % channels == 0 else 0)
    if scale is None:
        raise ValueError(
            f"{first_name}.weight has {seen} input channels for images of {channels}: must be {channels} (x4), "
            f"{4 * channels} (x2) or {16 * channels} (x1)"
        )
    options: dict[str, Any] = {"in_channels": channels, "out_channels": channels, "scale": scale}
    options |= {"width": first.shape[0], "n_blocks": n_blocks, "growth": growth.shape[0]}
    return NetworkSpec("basicsr", "rrdb", options, old=old)


def _msrresnet(weights: Weights) -> NetworkSpec:
    """An MSRResNet; that of scale 4 doubles twice."""
    first, last, up = (weights[f"{name}.weight"] for name in ("conv_first", "conv_last", "upconv1"))
    n_blocks = 1 + max(_numbers(weights, r"body\.(\d+)\."), default=-1)
    _require(weights, (f"body.{block}.conv1.weight" for block in range(n_blocks)))
    scale = 4 if "upconv2.weight" in weights else _root(up.shape[0], first.shape[0], "upconv1.weight", (2, 3))
    options: dict[str, Any] = {"in_channels": first.shape[1], "out_channels": last.shape[0], "scale": scale}
    return NetworkSpec("basicsr", "msrresnet", options | {"width": first.shape[0], "n_blocks": n_blocks})


def _compact(weights: Weights) -> NetworkSpec:
    """SRVGGNetCompact, whose last convolution makes scale^2 times the image's channels."""
    first, last_place = weights["body.0.weight"], max(_numbers(weights, r"body\.(\d+)\."))
    if last_place % 2 or last_place < 2:
        raise KeyError(f"body.{last_place + 1}.weight")
    _require(weights, (f"body.{place}.weight" for place in range(last_place + 1)))
    last, channels = weights[f"body.{last_place}.weight"], first.shape[1]
    scale = _root(last.shape[0], channels, f"body.{last_place}.weight", range(1, 17))
    options: dict[str, Any] = {"in_channels": channels, "out_channels": channels, "scale": scale}
    return NetworkSpec("basicsr", "compact", options | {"width": first.shape[0], "n_blocks": last_place // 2 - 1})


def _root(channels: int, width: int, key: str, scales: Iterable[int]) -> int:
    """The scale of which ``channels`` is width * scale^2. Raises ValueError if there is none."""
    scale = next((scale for scale in scales if channels == width * scale**2), None)
    if scale is None:
        raise ValueError(f"{key} has {channels} output channels: not {width} times the square of a scale")
    return scale


def _vgg_discriminator(weights: Weights) -> NetworkSpec:
    """BasicSR's discriminator for images of 128 (five stages) or 256 pixels (six)."""
    first = weights["conv0_0.weight"]
    n_stages = 1 + max(_numbers(weights, r"conv(\d+)_0\."))
    if n_stages not in (5, 6):
        raise ValueError(f"{n_stages} stages (conv0_0 to conv{n_stages - 1}_0): must be 5 or 6")
    options = {"in_channels": first.shape[1], "width": first.shape[0], "size": 128 if n_stages == 5 else 256}
    return NetworkSpec("basicsr", "vgg_discriminator", options)


def _require(weights: Weights, keys: Iterable[str]) -> None:
    """Raises KeyError for the first missing key: without all keys, a stray one could make a huge network."""
    for key in keys:
        weights[key]


def _numbers(weights: Weights, pattern: str) -> list[int]:
    """The numbers in the keys that match ``pattern``, from its first group."""
    return [int(match[1]) for key in weights if (match := re.match(pattern, key))]
