"""The generator of pix2pix and CycleGAN: a U-Net or a ResNet, by the model's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from img2img.networks.blocks import Norm, Upsample

if TYPE_CHECKING:
    from img2img.networks.resnet import ResNet
    from img2img.networks.unet import UNet


class GeneratorOptions(Protocol):
    """Options that define a generator; a model's ``Config`` has them and their help."""

    @property
    def generator(self) -> Literal["unet", "resnet"]: ...
    @property
    def ngf(self) -> int: ...
    @property
    def num_downs(self) -> int: ...  # U-Net only
    @property
    def n_blocks(self) -> int | None: ...  # ResNet only; CycleGAN's resolve fills in a None
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
    """Builds a U-Net or a ResNet: (B, in_channels, H, W) -> (B, out_channels, H, W) in [-1, 1].

    Args:
        options: the model's options.
        in_channels, out_channels: channels of the input and output images.
        dropout_innermost: as in ``UNet``.
    """
    if options.generator == "unet":
        from img2img.networks.unet import UNet  # imported here, because a run needs only one of the two

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

    assert options.n_blocks is not None, "resolved by the model"
    return ResNet(
        in_channels=in_channels,
        out_channels=out_channels,
        ngf=options.ngf,
        n_blocks=options.n_blocks,
        norm=options.norm,
        dropout=options.dropout,
        upsample_mode=options.upsample,
        init_gain=options.init_gain,
    )
