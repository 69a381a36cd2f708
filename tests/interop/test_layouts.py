"""Official networks at their published sizes: each architecture is recognised, and all its weights are used.

Numbers of tensors and parameters are those of state dicts of the official code.
"""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from img2img.interop.architecture import recognise
from img2img.interop.layouts import NETWORKS
from img2img.interop.official import to_official, to_ours
from tests.interop.official import (
    Chain,
    Local,
    Nested,
    Pixels,
    Scales,
    StarDiscriminator,
    StarGenerator,
    chain,
    patches,
)


def patchgan(c_in: int, norm: str) -> nn.Module:
    return Chain([layer for stage in patches(c_in, 64, 3, norm, norm == "instance") for layer in stage])


def resnet(norm: str, dropout: bool = False) -> nn.Module:
    return Chain(chain(3, 3, 64, 2, 9, norm, dropout, bias=norm == "instance"))


UNET = {"in_channels": 3, "out_channels": 3, "ngf": 64, "norm": "batch"}
RESNET = {"in_channels": 3, "out_channels": 3, "ngf": 64, "n_downs": 2, "n_blocks": 9}
GLOBAL = {"in_channels": 36, "out_channels": 3, "ngf": 64, "n_downs": 4, "n_blocks": 9, "n_enhancers": 0}
LOCAL = {"ngf": 32, "n_enhancers": 1, "n_blocks_local": 3, "norm": "instance"}
STAR_G = {"in_channels": 3, "domains": 5, "ngf": 64, "n_blocks": 6}
STAR_D = {"in_channels": 3, "domains": 5, "ndf": 64, "n_layers": 6, "size": 128}
SCALES = {"in_channels": 39, "ndf": 64, "n_layers": 3, "max_width": None}
LAYOUTS = {
    "unet_256 batch": (lambda: Nested(3, 3, 8, 64, "batch", True), 82, 54.414, "unet", {**UNET, "num_downs": 8}),
    "unet_128 batch": (lambda: Nested(3, 3, 7, 64, "batch", True), 70, 41.829, "unet", {**UNET, "num_downs": 7}),
    "resnet instance": (lambda: resnet("instance"), 48, 11.378, "resnet", {**RESNET, "dropout": False}),
    "resnet dropout": (lambda: resnet("instance", True), 48, 11.378, "resnet", {**RESNET, "dropout": True}),
    "resnet batch": (lambda: resnet("batch"), 140, 11.383, "resnet", {**RESNET, "norm": "batch", "dropout": False}),
    "D basic batch": (lambda: patchgan(6, "batch"), 22, 2.769, "patchgan", {"in_channels": 6, "n_layers": 3}),
    "D basic instance": (lambda: patchgan(3, "instance"), 10, 2.765, "patchgan", {"in_channels": 3, "ndf": 64}),
    "D pixel batch": (lambda: Pixels(6, 64, "batch"), 9, 0.009, "patchgan", {"in_channels": 6, "n_layers": 0}),
    "global": (lambda: Chain(chain(36, 3, 64, 4, 9, "instance")), 56, 182.547, "coarse_to_fine", GLOBAL),
    "local": (lambda: Local(36, 3, 32, 4, 9, 1, "instance"), 74, 182.857, "coarse_to_fine", {**GLOBAL, **LOCAL}),
    "encoder": (lambda: Chain(chain(3, 3, 16, 4, 0, "instance")), 20, 0.789, "encoder", {"nef": 16, "n_downs": 4}),
    "D 2": (lambda: Scales(39, 64, 3, 2, "instance", True), 20, 5.603, "multi_scale", {**SCALES, "n_scales": 2}),
    "D 3": (lambda: Scales(39, 64, 3, 3, "instance", True), 30, 8.405, "multi_scale", {**SCALES, "n_scales": 3}),
    "D no_ganFeat": (lambda: Scales(39, 64, 3, 2, "instance", False), 20, 5.603, "multi_scale", SCALES),
    "global batch": (lambda: Chain(chain(36, 3, 64, 4, 9, "batch")), 191, 182.590, "coarse_to_fine", GLOBAL),
    "D of 32": (lambda: Scales(39, 32, 4, 2, "instance", True), 24, None, "multi_scale", {"max_width": 512}),
    "D of 96": (lambda: Scales(39, 96, 3, 2, "instance", False), 20, None, "multi_scale", {"max_width": 512}),
    "D of 128": (lambda: Scales(39, 128, 3, 1, "batch", True), None, None, "multi_scale", {"max_width": 512}),
    "D of 32, 3 layers": (lambda: Scales(39, 32, 3, 2, "instance", True), 20, None, "multi_scale", {"max_width": None}),
    "StarGAN G": (lambda: StarGenerator(64, 5, 6), 103, 8.431, "domain_generator", STAR_G),
    "StarGAN G of 8": (lambda: StarGenerator(64, 8, 6), 103, 8.440, "domain_generator", {**STAR_G, "domains": 8}),
    "StarGAN D": (lambda: StarDiscriminator(128, 64, 5, 6), 14, 44.762, "domain_discriminator", STAR_D),
    "StarGAN D 256": (
        lambda: StarDiscriminator(256, 64, 5, 6), 14, 44.885, "domain_discriminator", {**STAR_D, "size": 256}
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_recognise_and_to_ours_take_every_layout_completely(layout: str) -> None:
    make: Callable[[], nn.Module]
    make, tensors, millions, kind, options = LAYOUTS[layout]
    with torch.device("meta"):
        official = make()
    weights = official.state_dict()
    if tensors is not None:
        assert len(weights) == tensors
    if millions is not None:
        assert round(sum(p.numel() for p in official.parameters()) / 1e6, 3) == pytest.approx(millions, abs=0.0011)
    spec = recognise(weights)
    assert (spec.kind, spec.chain) == (kind, "layer0.0.weight" in weights)
    assert {key: spec.options[key] for key in options} == options
    with torch.device("meta"):
        network = NETWORKS[spec.kind](**spec.options)
        state, dropped = to_ours(weights, spec, network)
        back = to_official(state, spec)
    unused = [key for key in weights if "running" in key or "tracked" in key]
    assert dropped == (unused if spec.family == "stargan" else [])
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in weights.items()}
