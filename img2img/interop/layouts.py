"""Names of all layers in the official state dicts and in ours: one list of layers per architecture, used both ways.

Official code: junyanz/pytorch-CycleGAN-and-pix2pix (pix2pix, arXiv 1611.07004; CycleGAN, arXiv 1703.10593),
NVIDIA/pix2pixHD (arXiv 1711.11585) and yunjey/stargan (arXiv 1711.09020). In the first, convolutions have a bias before
instance norm, in the last layer and in the first of PatchGANs; in the second, all have one. Ours have one except before
batch norm, which has a shift. StarGAN's networks have the same layers and names there and here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import nn

from img2img.models.stargan import Discriminator, Generator
from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import CoarseToFine, MultiScaleDiscriminator, StyleEncoder
from img2img.networks.resnet import ResNet
from img2img.networks.unet import UNet

Family = Literal["junyanz", "pix2pixhd", "stargan"]
Kind = Literal[
    "unet",
    "resnet",
    "patchgan",
    "coarse_to_fine",
    "multi_scale",
    "encoder",
    "domain_generator",
    "domain_discriminator",
]
NETWORKS: dict[Kind, type[nn.Module]] = {
    "unet": UNet,
    "resnet": ResNet,
    "patchgan": PatchGAN,
    "coarse_to_fine": CoarseToFine,
    "multi_scale": MultiScaleDiscriminator,
    "encoder": StyleEncoder,
    "domain_generator": Generator,
    "domain_discriminator": Discriminator,
}
FAMILIES: dict[str, Family] = {  # model -> official code that its files are of
    "pix2pix": "junyanz",
    "cyclegan": "junyanz",
    "pix2pixhd": "pix2pixhd",
    "stargan": "stargan",
}
ROLES: dict[str, dict[str, str]] = {  # model -> role in the name of an official file -> name of the network here
    "pix2pix": {"G": "generator", "D": "discriminator"},
    "cyclegan": {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"},
    "pix2pixhd": {"G": "generator", "D": "discriminator", "E": "encoder"},
    "stargan": {"G": "generator", "D": "discriminator"},
}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class NetworkSpec:
    """Architecture of an official network."""

    family: Family
    """Which official code it is of."""
    kind: Kind
    """Which architecture."""
    options: dict[str, Any]
    """Arguments of the network's class: ``norm``, ``in_channels``, for generators ``out_channels``, ...; of StarGAN's
    ``in_channels``, ``domains``, ..."""
    chain: bool = False
    """pix2pixHD's discriminators only: whether each scale is one ``nn.Sequential``, as with --no_ganFeat_loss."""
    biased: bool | None = None
    """PatchGANs only: whether the inner convolutions have biases; None: as in the current official code."""
    guessed: bool = field(default=False, compare=False)
    """Whether the norm is a guess, since versions of the official code with different norms have the same keys."""
    dropped: tuple[str, ...] = field(default=(), compare=False)
    """Keys that are ignored: running statistics of instance norm, which old versions and StarGAN's code keep and never
    use."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether its norms have running statistics that it uses."""
        return self.options.get("norm") == "batch"

    @property
    def has_affine_norm(self) -> bool:
        """Whether its norms have a scale and a shift: batch norm, and StarGAN's instance norm."""
        return self.has_batch_norm or self.family == "stargan"


class Layer(NamedTuple):
    """A convolution and the norm after it, by their module names."""

    ours: str
    official: str
    bias: bool
    """Whether the official convolution has a bias."""
    norm: tuple[str, str] | None = None
    """Names (ours, official) of the norm."""

    def tensors(self) -> Iterator[tuple[str, str]]:
        """Pairs (our key, official key) of all tensors that it can have."""
        for end in ("weight", "bias"):
            yield f"{self.ours}.{end}", f"{self.official}.{end}"
        if self.norm:
            for end in ("weight", "bias", *STATISTICS):
                yield f"{self.norm[0]}.{end}", f"{self.norm[1]}.{end}"


def layers_of(spec: NetworkSpec) -> list[Layer]:
    """All layers of a network that have weights."""
    options, norm = spec.options, spec.options.get("norm")
    if spec.kind == "domain_generator":
        return _domain_generator(options["n_blocks"])
    if spec.kind == "domain_discriminator":
        return _domain_discriminator(options["n_layers"])
    biased = spec.family == "pix2pixhd" or norm == "instance" if spec.biased is None else spec.biased
    if spec.kind == "unet":
        return _unet(options["num_downs"], biased)
    if spec.kind == "resnet":
        return _resnet(options["n_downs"], options["n_blocks"], biased, options["dropout"])
    if spec.kind == "encoder":
        return _resnet(options["n_downs"], 0, biased, prefix="network.")
    if spec.kind == "coarse_to_fine":
        return _coarse_to_fine(options, biased)
    if spec.kind == "patchgan":
        if options["n_layers"] == 0:
            return _pixels(biased, options["last_bias"] if norm == "batch" else biased)
        return _patches(options["n_layers"], biased, "", "model.")
    scales, layers = options["n_scales"], []
    for scale in range(scales):
        official_scale = scales - 1 - scale  # the official numbering begins with the coarsest
        for layer in _patches(options["n_layers"], biased, f"scales.{scale}.", f"layer{official_scale}."):
            layers.append(layer if spec.chain else _staged(layer, official_scale))
    return layers


def _unet(num_downs: int, biased: bool) -> list[Layer]:
    """The official U-Net is nested: each level is the ``model`` of a submodule of the next outer level."""
    layers = [Layer("encoder.0.0", "model.model.0", biased)]
    for level in range(1, num_downs):
        inside, innermost = unet_level(level), level == num_downs - 1
        norm = None if innermost else (f"encoder.{level}.1", f"{inside}.2")
        layers.append(Layer(f"encoder.{level}.0", f"{inside}.1", biased, norm))
        ours, up = f"decoder.{num_downs - 1 - level}", 3 if innermost else 5
        layers.append(Layer(f"{ours}.0", f"{inside}.{up}", biased, (f"{ours}.1", f"{inside}.{up + 1}")))
    return [*layers, Layer("head.0", "model.model.3", True)]


def unet_level(level: int) -> str:
    """The official name of the module of level 1, 2, ... of a U-Net; level 0 is the outermost."""
    return "model.model.1" + ".model.3" * (level - 1) + ".model"


def _resnet(
    n_downs: int, n_blocks: int, biased: bool, dropout: bool = False, prefix: str = "", head: bool = True
) -> list[Layer]:
    """The official ResNet is one ``nn.Sequential``, whose indices count paddings and activations, too."""

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
    """A residual block. In the official code, dropout shifts the indices after it by one; not in ours."""
    ours, official, second = f"{ours}.layers", f"{official}.conv_block", 6 if dropout else 5
    return [
        Layer(f"{ours}.0", f"{official}.1", biased, (f"{ours}.1", f"{official}.2")),
        Layer(f"{ours}.4", f"{official}.{second}", biased, (f"{ours}.5", f"{official}.{second + 1}")),
    ]


def _coarse_to_fine(options: dict[str, Any], biased: bool) -> list[Layer]:
    """pix2pixHD's global generator and its local enhancers."""
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
    """A PatchGAN of ``n_layers`` >= 1."""
    layers = [Layer(f"{prefix}stages.0.0", f"{official}0", True)]
    for i in range(1, n_layers + 1):
        at, ours = 3 * i - 1, f"{prefix}stages.{i}"
        layers.append(Layer(f"{ours}.0", f"{official}{at}", biased, (f"{ours}.1", f"{official}{at + 1}")))
    return [*layers, Layer(f"{prefix}stages.{n_layers + 1}", f"{official}{3 * n_layers + 2}", True)]


def _staged(layer: Layer, scale: int) -> Layer:
    """A layer renamed for the official layout with feature matching, where each stage is a module."""
    stage = layer.ours.split(".")[3]
    official = f"scale{scale}_layer{stage}"
    norm = (layer.norm[0], f"{official}.1") if layer.norm else None
    return layer._replace(official=f"{official}.0", norm=norm)


def _domain_generator(n_blocks: int) -> list[Layer]:
    """StarGAN's generator: two halvings, ``n_blocks`` residual blocks, two doublings; no biases."""

    def conv(chain: str, at: int) -> Layer:
        name, norm = f"{chain}.{at}", f"{chain}.{at + 1}"
        return Layer(name, name, False, (norm, norm))

    layers = [conv("main", at) for at in (0, 3, 6)]
    for block in range(n_blocks):
        layers += [conv(f"main.{9 + block}.main", at) for at in (0, 3)]
    layers += [conv("main", at + n_blocks) for at in (9, 12)]
    head = f"main.{15 + n_blocks}"
    return [*layers, Layer(head, head, False)]


def _domain_discriminator(n_layers: int) -> list[Layer]:
    """StarGAN's discriminator: ``n_layers`` halvings with biases, and two heads without."""
    halvings = [Layer(f"main.{2 * i}", f"main.{2 * i}", True) for i in range(n_layers)]
    return [*halvings, Layer("conv1", "conv1", False), Layer("conv2", "conv2", False)]


def _pixels(biased: bool, last: bool) -> list[Layer]:
    """A 1x1 PatchGAN; ``last``: whether its last layer has a bias."""
    return [
        Layer("stages.0.0", "net.0", True),
        Layer("stages.1.0", "net.2", biased, ("stages.1.1", "net.3")),
        Layer("stages.2", "net.5", last),
    ]
