"""Where the official networks' state dicts have each layer of ours: one list of layers an architecture, for both ways.

Official code: junyanz/pytorch-CycleGAN-and-pix2pix (pix2pix, arXiv 1611.07004; CycleGAN, arXiv 1703.10593) and
NVIDIA/pix2pixHD (arXiv 1711.11585). The first gives convolutions no bias but before instance norm, and at the edges of
a network; the second gives all of them one. Ours have one but before batch norm, which has a shift of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import nn

from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import CoarseToFine, MultiScaleDiscriminator, StyleEncoder
from img2img.networks.resnet import ResNet
from img2img.networks.unet import UNet

Family = Literal["junyanz", "pix2pixhd"]
Kind = Literal["unet", "resnet", "patchgan", "coarse_to_fine", "multi_scale", "encoder"]
NETWORKS: dict[Kind, type[nn.Module]] = {
    "unet": UNet,
    "resnet": ResNet,
    "patchgan": PatchGAN,
    "coarse_to_fine": CoarseToFine,
    "multi_scale": MultiScaleDiscriminator,
    "encoder": StyleEncoder,
}
ROLES: dict[str, dict[str, str]] = {  # of an official file -> the network's name here
    "pix2pix": {"G": "generator", "D": "discriminator"},
    "cyclegan": {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"},
    "pix2pixhd": {"G": "generator", "D": "discriminator", "E": "encoder"},
}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Found:
    """What a file holds."""

    family: Family
    """Whose layout it is."""
    kind: Kind
    """Which architecture."""
    options: dict[str, Any]
    """Arguments of the network's class, among them ``norm`` and, of generators, ``in_channels``, ``out_channels``."""
    chain: bool = False
    """Of pix2pixHD's discriminators: whether each is one chain, as its option no_ganFeat_loss writes them."""
    biased: bool | None = None
    """Of PatchGANs: whether the convolutions between have biases; unset, as the official code of today has it."""
    guessed: bool = field(default=False, compare=False)
    """Whether the norm is a guess: some versions of the code leave the same keys for another one."""
    dropped: tuple[str, ...] = field(default=(), compare=False)
    """Keys that mean nothing: statistics that instance norm once kept and never used."""


class Layer(NamedTuple):
    """One convolution, with the norm that follows it; names of modules."""

    ours: str
    official: str
    bias: bool
    """Whether the official convolution has one."""
    norm: tuple[str, str] | None = None
    """(ours, official) of the norm."""

    def tensors(self, batch: bool) -> Iterator[tuple[str, str]]:
        """(our key, the official one) of all that it may have; ``batch``: the norm is batch norm, with weights."""
        for end in ("weight", "bias"):
            yield f"{self.ours}.{end}", f"{self.official}.{end}"
        if self.norm and batch:
            for end in ("weight", "bias", *STATISTICS):
                yield f"{self.norm[0]}.{end}", f"{self.norm[1]}.{end}"


def layers_of(found: Found) -> list[Layer]:
    """All layers of a network that have weights."""
    options, norm = found.options, found.options["norm"]
    biased = found.family == "pix2pixhd" or norm == "instance" if found.biased is None else found.biased
    if found.kind == "unet":
        return _unet(options["num_downs"], biased)
    if found.kind == "resnet":
        return _resnet(options["n_downs"], options["n_blocks"], biased, options["dropout"])
    if found.kind == "encoder":
        return _resnet(options["n_downs"], 0, biased, prefix="network.")
    if found.kind == "coarse_to_fine":
        return _coarse_to_fine(options, biased)
    if found.kind == "patchgan":
        if options["n_layers"] == 0:
            return _pixels(biased, options["last_bias"] if norm == "batch" else biased)
        return _patches(options["n_layers"], biased, "", "model.")
    scales, layers = options["n_scales"], []
    for scale in range(scales):
        theirs = scales - 1 - scale  # the official numbering begins with the coarsest
        for layer in _patches(options["n_layers"], biased, f"scales.{scale}.", f"layer{theirs}."):
            layers.append(layer if found.chain else _staged(layer, theirs))
    return layers


def _unet(num_downs: int, biased: bool) -> list[Layer]:
    """Nested officially: every level is ``model`` of the submodule of the one around it."""
    layers = [Layer("encoder.0.0", "model.model.0", biased)]
    for level in range(1, num_downs):
        inside, innermost = unet_level(level), level == num_downs - 1
        norm = None if innermost else (f"encoder.{level}.1", f"{inside}.2")
        layers.append(Layer(f"encoder.{level}.0", f"{inside}.1", biased, norm))
        ours, up = f"decoder.{num_downs - 1 - level}", 3 if innermost else 5
        layers.append(Layer(f"{ours}.0", f"{inside}.{up}", biased, (f"{ours}.1", f"{inside}.{up + 1}")))
    return [*layers, Layer("head.0", "model.model.3", True)]


def unet_level(level: int) -> str:
    """The official name of what holds level 1, 2, ... of a U-Net; 0 is the outermost."""
    return "model.model.1" + ".model.3" * (level - 1) + ".model"


def _resnet(
    n_downs: int, n_blocks: int, biased: bool, dropout: bool = False, prefix: str = "", head: bool = True
) -> list[Layer]:
    """One chain officially, which counts paddings and activations, too."""

    def conv(ours: str, place: int, at: int) -> Layer:
        norm = (f"{prefix}{ours}.{place + 1}", f"model.{at + 1}")
        return Layer(f"{prefix}{ours}.{place}", f"model.{at}", biased, norm)

    layers = [conv("encoder", 3 * i, 3 * i + 1) for i in range(n_downs + 1)]
    at = 3 * n_downs + 4
    for block in range(n_blocks):
        layers += _block(f"{prefix}blocks.{block}", f"model.{at + block}", biased, dropout)
    at += n_blocks
    layers += [conv("decoder", 3 * i, at + 3 * i) for i in range(n_downs)]
    return [*layers, Layer(f"{prefix}head.0", f"model.{at + 3 * n_downs + 1}", True)] if head else layers


def _block(ours: str, official: str, biased: bool, dropout: bool) -> list[Layer]:
    """A residual block. Dropout moves what comes after it by one place officially, and not here."""
    ours, official, second = f"{ours}.layers", f"{official}.conv_block", 6 if dropout else 5
    return [
        Layer(f"{ours}.0", f"{official}.1", biased, (f"{ours}.1", f"{official}.2")),
        Layer(f"{ours}.4", f"{official}.{second}", biased, (f"{ours}.5", f"{official}.{second + 1}")),
    ]


def _coarse_to_fine(options: dict[str, Any], biased: bool) -> list[Layer]:
    above, n_blocks = options["n_enhancers"], options["n_blocks_local"]
    layers = _resnet(options["n_downs"], options["n_blocks"], biased, prefix="coarse.", head=not above)
    for number in range(above):
        ours, front, back = f"enhancers.{number}", f"model{number + 1}_1", f"model{number + 1}_2"
        for place in (0, 3):
            norm = (f"{ours}.front.{place + 1}", f"{front}.{place + 2}")
            layers.append(Layer(f"{ours}.front.{place}", f"{front}.{place + 1}", biased, norm))
        for block in range(n_blocks):
            layers += _block(f"{ours}.back.{block}", f"{back}.{block}", biased, dropout=False)
        norm = (f"{ours}.back.{n_blocks + 1}", f"{back}.{n_blocks + 1}")
        layers.append(Layer(f"{ours}.back.{n_blocks}", f"{back}.{n_blocks}", biased, norm))
        if number == above - 1:
            layers.append(Layer("head.0", f"{back}.{n_blocks + 4}", True))
    return layers


def _patches(n_layers: int, biased: bool, prefix: str, official: str) -> list[Layer]:
    layers = [Layer(f"{prefix}stages.0.0", f"{official}0", True)]
    for i in range(1, n_layers + 1):
        at, ours = 3 * i - 1, f"{prefix}stages.{i}"
        layers.append(Layer(f"{ours}.0", f"{official}{at}", biased, (f"{ours}.1", f"{official}{at + 1}")))
    return [*layers, Layer(f"{prefix}stages.{n_layers + 1}", f"{official}{3 * n_layers + 2}", True)]


def _staged(layer: Layer, scale: int) -> Layer:
    """A layer of a chain by the name that it has where feature matching wants each stage by itself."""
    stage = layer.ours.split(".")[3]
    official = f"scale{scale}_layer{stage}"
    norm = (layer.norm[0], f"{official}.1") if layer.norm else None
    return layer._replace(official=f"{official}.0", norm=norm)


def _pixels(biased: bool, last: bool) -> list[Layer]:
    return [
        Layer("stages.0.0", "net.0", True),
        Layer("stages.1.0", "net.2", biased, ("stages.1.1", "net.3")),
        Layer("stages.2", "net.5", last),
    ]
