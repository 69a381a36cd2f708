"""The contract between a model and everything above it.

A model is its networks, the pictures of a step, and what each side pays for them. It knows no device, optimizer, file,
logger or process: the trainer (``training.trainer``) plays the game, in this order, knowing no model's name:

    images = model(batch)
    for each side in update_order: freeze the other; terms, statistics = its loss; backward(sum of terms); step
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

Batch = dict[str, Any]
Images = dict[str, Tensor]
Terms = dict[str, Tensor]
Side = Literal["generator", "discriminator"]


class Model(nn.Module):
    """Base of every model; pictures are (B, C, H, W) in [-1, 1] throughout.

    Args:
        config: the model's own options, an instance of its nested dataclass ``Config``.
        channels: of the two sides of the data, after its direction: (input, target).
    """

    Config: ClassVar[type]
    """Its options; the field ``name`` is the name of its file."""
    dataset: ClassVar[str]
    """Kind of data set that it learns from: a module of ``img2img.data``."""
    generators: ClassVar[tuple[str, ...]]
    """Attribute names of its generators."""
    discriminators: ClassVar[tuple[str, ...]]
    """Attribute names of its discriminators."""
    update_order: ClassVar[tuple[Side, Side]]
    """Which side steps first, as its paper has it."""
    columns: ClassVar[tuple[str, ...]]
    """Names of the pictures of a sample grid, from left to right: of the batch, or of what ``generate`` returns."""

    def forward(self, batch: Batch) -> Images:
        """Makes every picture of this step once, so that both sides judge the same ones."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """(named loss terms, already weighted: their sum is minimised; detached statistics for the log).

        ``images`` are what ``forward`` made, detached: no gradient of this loss can reach a generator.
        """
        raise NotImplementedError

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """As ``discriminator_loss``, for the generators' turn."""
        raise NotImplementedError

    def generate(self, batch: Batch) -> Images:
        """Inference: needs no more of the batch than ``input``, and returns ``output`` at least."""
        raise NotImplementedError

    @property
    def stride(self) -> int:
        """What both sides of a generator's input must be multiples of, in pixels."""
        raise NotImplementedError

    def check_size(self, size: int) -> None:
        """Raises ValueError, naming the key to change, if it can't train on size x size pictures."""
        raise NotImplementedError
