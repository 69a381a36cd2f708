"""The generators of pix2pix and CycleGAN: each model takes its own paper's architecture, or the other one's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from img2img.networks.blocks import Norm, Upsample

if TYPE_CHECKING:
    from img2img.networks.resnet import ResNet
    from img2img.networks.unet import UNet


class GeneratorOptions(Protocol):
    """The options of a model that say what its generators are; they are described in the model's ``Config``."""

    @property
    def generator(self) -> Literal["unet", "resnet"]: ...
    @property
    def ngf(self) -> int: ...
    @property
    def num_downs(self) -> int: ...  # of a U-Net
    @property
    def n_blocks(self) -> int | None: ...  # of a ResNet; None for the default
    @property
    def norm(self) -> Norm: ...
    @property
    def dropout(self) -> bool: ...
    @property
    def upsample(self) -> Upsample: ...
    @property
    def init_gain(self) -> float: ...


def build_generator(
    options: GeneratorOptions, in_channels: int, out_channels: int, *, dropout_innermost: bool
) -> UNet | ResNet:
    """(B, in_channels, H, W) -> (B, out_channels, H, W), in [-1, 1]: a U-Net or a ResNet.

    Args:
        options: of the model.
        in_channels, out_channels: of the images.
        dropout_innermost: where a U-Net's dropout begins, as ``UNet`` has it.
    """
    if options.generator == "unet":
        from img2img.networks.unet import UNet  # here and below: a run has one of the two

        return UNet(
            in_channels=in_channels,
            out_channels=out_channels,
            num_downs=options.num_downs,
            ngf=options.ngf,
            norm=options.norm,
            dropout=options.dropout,
            upsample_mode=options.upsample,
            init_gain=options.init_gain,
            dropout_innermost=dropout_innermost,
        )
    from img2img.networks.resnet import ResNet

    return ResNet(
        in_channels=in_channels,
        out_channels=out_channels,
        ngf=options.ngf,
        n_blocks=options.n_blocks or 9,
        norm=options.norm,
        dropout=options.dropout,
        upsample_mode=options.upsample,
        init_gain=options.init_gain,
    )
