"""Names of all layers in the official state dicts and in ours: one list of layers per architecture, used both ways.

Official code: junyanz/pytorch-CycleGAN-and-pix2pix (pix2pix, arXiv 1611.07004; CycleGAN, arXiv 1703.10593),
NVIDIA/pix2pixHD (arXiv 1711.11585), yunjey/stargan (arXiv 1711.09020), and XPixelGroup/BasicSR with
xinntao/Real-ESRGAN (ESRGAN, arXiv 1809.00219; Real-ESRGAN, arXiv 2107.10833). In the first, convolutions have a bias
before instance norm, in the last layer and in the first of PatchGANs; in the second, all have one. Ours have one except
before batch norm, which has a shift. The networks of StarGAN and of super-resolution have the same layers and names
there and here; RRDBNet has others in files of xinntao/ESRGAN, of 2018 and of 2021.
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
from img2img.networks.sr_discriminators import UNetDiscriminator, VGGDiscriminator
from img2img.networks.super_resolution import CompactNet, MSRResNet, RRDBNet
from img2img.networks.unet import UNet

Family = Literal["junyanz", "pix2pixhd", "stargan", "basicsr"]
Kind = Literal[
    "unet",
    "resnet",
    "patchgan",
    "coarse_to_fine",
    "multi_scale",
    "encoder",
    "domain_generator",
    "domain_discriminator",
    "msrresnet",
    "rrdb",
    "compact",
    "vgg_discriminator",
    "unet_discriminator",
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
    "msrresnet": MSRResNet,
    "rrdb": RRDBNet,
    "compact": CompactNet,
    "vgg_discriminator": VGGDiscriminator,
    "unet_discriminator": UNetDiscriminator,
}
FAMILIES: dict[str, Family] = {  # model -> official code that its files are of
    "pix2pix": "junyanz",
    "cyclegan": "junyanz",
    "pix2pixhd": "pix2pixhd",
    "stargan": "stargan",
    "srgan": "basicsr",
}
ROLES: dict[str, dict[str, str]] = {  # model -> role in the name of an official file -> name of the network here
    "pix2pix": {"G": "generator", "D": "discriminator"},
    "cyclegan": {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"},
    "pix2pixhd": {"G": "generator", "D": "discriminator", "E": "encoder"},
    "stargan": {"G": "generator", "D": "discriminator"},
    "srgan": {"G": "generator", "D": "discriminator"},
}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SPECTRAL = ("weight_orig", "weight_u", "weight_v")  # of a layer with spectral norm


@dataclass(frozen=True)
class NetworkSpec:
    """Architecture of an official network."""

    family: Family
    """Which official code it is of."""
    kind: Kind
    """Which architecture."""
    options: dict[str, Any]
    """Arguments of the network's class: ``norm``, ``in_channels``, for generators ``out_channels``, ...; of StarGAN's
    ``in_channels``, ``domains``, ...; of super-resolution's also ``scale``."""
    chain: bool = False
    """pix2pixHD's discriminators only: whether each scale is one ``nn.Sequential``, as with --no_ganFeat_loss."""
    biased: bool | None = None
    """PatchGANs only: whether the inner convolutions have biases; None: as in the current official code."""
    old: Literal["", "2018", "2021"] = ""
    """RRDBNets only: the layout of an old file; "": BasicSR's, which exports have."""
    guessed: bool = field(default=False, compare=False)
    """Whether the norm is a guess, since versions of the official code with different norms have the same keys."""
    dropped: tuple[str, ...] = field(default=(), compare=False)
    """Keys that are ignored: running statistics of instance norm, which old versions and StarGAN's code keep and never
    use."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether its norms have running statistics that it uses."""
        return self.options.get("norm") == "batch" or self.kind == "vgg_discriminator"

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
    weights: tuple[str, ...] = ("weight",)
    """Its tensors beside the bias: ``SPECTRAL`` with spectral norm."""

    def tensors(self) -> Iterator[tuple[str, str]]:
        """Pairs (our key, official key) of all tensors that it can have."""
        for end in (*self.weights, "bias"):
            yield f"{self.ours}.{end}", f"{self.official}.{end}"
        if self.norm:
            for end in ("weight", "bias", *STATISTICS):
                yield f"{self.norm[0]}.{end}", f"{self.norm[1]}.{end}"


def layers_of(spec: NetworkSpec) -> list[Layer]:
    """All layers of a network that have weights."""
    options, norm = spec.options, spec.options.get("norm")
    if spec.family == "basicsr":
        return _super_resolution(spec)
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


def _super_resolution(spec: NetworkSpec) -> list[Layer]:
    """Networks of super-resolution, which have the official names; but for RRDBNets of old files."""
    options = spec.options
    if spec.kind == "rrdb":
        return _rrdb(options["n_blocks"], spec.old)
    if spec.kind == "compact":
        convs = [Layer(f"body.{2 * i}", f"body.{2 * i}", True) for i in range(options["n_blocks"] + 2)]
        slopes = [Layer(f"body.{2 * i + 1}", f"body.{2 * i + 1}", False) for i in range(options["n_blocks"] + 1)]
        return convs + slopes
    if spec.kind == "vgg_discriminator":
        return _vgg_discriminator(n_stages=6 if options["size"] == 256 else 5)
    if spec.kind == "unet_discriminator":
        outer = [Layer(name, name, True) for name in ("conv0", "conv9")]
        return outer + [Layer(f"conv{i}", f"conv{i}", False, weights=SPECTRAL) for i in range(1, 9)]
    names = ["conv_first", "upconv1", "conv_hr", "conv_last", *(["upconv2"] if options["scale"] == 4 else [])]
    names += [f"body.{block}.conv{number}" for block in range(options["n_blocks"]) for number in (1, 2)]
    return [Layer(name, name, True) for name in names]


def _rrdb(n_blocks: int, old: str) -> list[Layer]:
    """RRDBNet: convolutions with biases, by the names of BasicSR or of old files."""
    ours = ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    outer = {
        "": ours,
        "2021": ("conv_first", "trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last"),
        # one chain, whose second entry has the blocks and, after them, a convolution
        "2018": ("model.0", f"model.1.sub.{n_blocks}", "model.3", "model.6", "model.8", "model.10"),
    }[old]
    inner = {
        "": "body.{}.rdb{}.conv{}",
        "2021": "RRDB_trunk.{}.RDB{}.conv{}",
        "2018": "model.1.sub.{}.RDB{}.conv{}.0",
    }
    layers = [Layer(name, official, True) for name, official in zip(ours, outer, strict=True)]
    for block in range(n_blocks):
        for dense in (1, 2, 3):
            places = [(block, dense, number) for number in range(1, 6)]
            layers += [Layer(inner[""].format(*place), inner[old].format(*place), True) for place in places]
    return layers


def _vgg_discriminator(n_stages: int) -> list[Layer]:
    """ESRGAN's discriminator: two convolutions a stage with batch norm except for the first; two linear layers."""
    layers = [Layer(name, name, True) for name in ("conv0_0", "linear1", "linear2")]
    places = [f"{stage}_{place}" for stage in range(n_stages) for place in (0, 1)]
    return layers + [Layer(f"conv{at}", f"conv{at}", False, (f"bn{at}", f"bn{at}")) for at in places[1:]]
