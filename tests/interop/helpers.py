"""Helpers of tests of official weights: small official networks, their folder, a preset."""

from pathlib import Path

from torch import nn

from tests.interop.official import Chain, chain, patches, randomised

OFFICIAL = Path("checkpoints/official")


def resnet(c_in: int = 3, c_out: int = 3, dropout: bool = False) -> nn.Module:
    return randomised(Chain(chain(c_in, c_out, 4, 2, 1, "instance", dropout)))


def patchgan(c_in: int, norm: str = "instance") -> nn.Module:
    stages = patches(c_in, 4, 1, norm, norm == "instance")
    return randomised(Chain([layer for stage in stages for layer in stage]))


def write_preset(model: str, *lines: str) -> Path:
    path = Path("preset.yaml")
    path.write_text("\n".join([f"model:\n  name: {model}", "data:", *(f"  {line}" for line in lines)]) + "\n")
    return path
