"""``SimilarityLoss``: the optional losses SSIM and VGG, of models that compare two images of one content.

Each of these models has the four options of ``SimilarityOptions``. Both losses are off by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from torch import Tensor, nn

from img2img.losses.restoration import SSIM_LOSSES, SSIM_WINDOW

if TYPE_CHECKING:
    from img2img.losses.perceptual import PerceptualLoss

SSIMKind = Literal["ssim", "ms_ssim"]


class SimilarityOptions(Protocol):
    """The model's options of these losses."""

    lambda_ssim: float
    ssim: SSIMKind
    lambda_vgg: float
    vgg_weights: str | None


class SimilarityLoss(nn.Module):
    """Weighted losses between two images (B, C, H, W) in [-1, 1]; forward returns {} if all are off.

    ``ssim`` or ``ms_ssim``: lambda_ssim times (1 - SSIM). ``vgg``: lambda_vgg times the distance of VGG19 features.

    Args:
        options: the model's options.
        channels: number of channels of the images that are compared.

    Raises:
        ValueError: VGG19 takes no images of so many channels.
    """

    def __init__(self, options: SimilarityOptions, *channels: int) -> None:
        super().__init__()
        self.options = options
        self.perceptual: PerceptualLoss | None = None
        if options.lambda_vgg and not {*channels} <= {1, 3}:
            raise ValueError(
                f"model.lambda_vgg {options.lambda_vgg}: VGG19 takes images of 1 or 3 channels, not {max(channels)}; "
                "set it to 0, or data.channels_a and data.channels_b to 3"
            )

    def load(self) -> None:
        """Loads VGG19 if lambda_vgg needs it.

        Raises:
            ValueError: its weights can't be loaded; the message names the options to change.
        """
        if self.options.lambda_vgg:
            from img2img.losses.perceptual import PerceptualLoss  # torchvision takes a while to import

            self.perceptual = PerceptualLoss()
            self.perceptual.load(self.options.vgg_weights)

    def forward(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The terms by name. Only ``output`` gets a gradient through VGG19.

        Raises:
            RuntimeError: lambda_vgg is set, and ``load`` wasn't called.
        """
        options = self.options
        terms: dict[str, Tensor] = {}
        if options.lambda_ssim:
            terms[options.ssim] = options.lambda_ssim * SSIM_LOSSES[options.ssim](output, target)
        if options.lambda_vgg:
            if self.perceptual is None:
                raise RuntimeError("model.lambda_vgg: VGG19 isn't loaded; call load_pretrained")
            terms["vgg"] = options.lambda_vgg * self.perceptual(output, target)
        return terms

    @property
    def smallest_input(self) -> int:
        """Side, in pixels, of the smallest images that can be compared."""
        return max(self._smallest().values(), default=1)

    def check_size(self, size: int) -> None:
        """Raises ValueError, with the option to change, if images of size x size pixels can't be compared."""
        for key, least in self._smallest().items():
            if size < least:
                raise ValueError(
                    f"data.crop_size {size}: must be at least {least} for model.{key}; set a larger data.crop_size, or "
                    f"model.{key} 0"
                )

    def _smallest(self) -> dict[str, int]:
        """The smallest side by the weight, of those that are not 0."""
        smallest = {}
        if self.options.lambda_ssim:
            smallest["lambda_ssim"] = SSIM_WINDOW
        if self.options.lambda_vgg:
            from img2img.losses.perceptual import SMALLEST_INPUT

            smallest["lambda_vgg"] = SMALLEST_INPUT
        return smallest
