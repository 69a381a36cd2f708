"""The contract between a model and everything above it.

A model is its networks, the images of a step, and the losses of both sides. It knows no device, optimizer, file, logger
or process: the training step (``training.step``) is one for all models:

    images = model(batch)
    for each side in update_order: freeze the other; terms, statistics = its loss; backward(sum of terms); update

A side is the discriminators, or the generators with all that learns along with them. A model without discriminators has
no D step; it needs no ``gan``, no ``discriminator_loss`` and no option ``gan_loss``, and no option that concerns a
discriminator can be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from img2img.data import Kind
from img2img.losses.adversarial import GANLoss
from img2img.networks.patchgan import PatchGAN

Batch = dict[str, Any]
Images = dict[str, Tensor]
Terms = dict[str, Tensor]
Side = Literal["generator", "discriminator"]


class Model(nn.Module):
    """Base of every model; images are (B, C, H, W) in [-1, 1] throughout.

    Args:
        config: the model's own options, an instance of its nested dataclass ``Config``.
        channels: of the images of a batch, by their key (a mapping of names to numbers).

    Raises:
        ValueError: options and channels that exclude each other.
    """

    Config: ClassVar[type]
    """Its options; the field ``name`` is the name of its file. ``everyday`` names those that --help shows first;
    without it that is all of them."""
    dataset: ClassVar[Kind | tuple[Kind, ...]]
    """The data set that it learns from: a module of ``img2img.data``, or a class of the model's own file; or several,
    of which the options choose one (``ImageDataset.is_meant``)."""
    generators: tuple[str, ...]
    """Attribute names of its generators, and of what inference needs beside them, such as encoders. These three tuples
    may differ by instance."""
    auxiliary: tuple[str, ...] = ()
    """Attribute names of networks that learn along with the generators, by the same optimizer, and that inference does
    not need, such as a projection head. They are saved and restored; they have no EMA."""
    discriminators: tuple[str, ...] = ()
    """Attribute names of its discriminators; none for a model without adversarial loss."""
    rates: Mapping[str, float] = {}
    """Share of the learning rate of single networks, by attribute name; 1 for all others."""
    update_order: ClassVar[tuple[Side, Side]] = ("discriminator", "generator")
    """Which side steps first, as its paper has it."""
    frozen_first: tuple[str, ...] = ()
    """Names of the modules, below its own, that stay as they are for the first ``train.freeze_global_epochs``. What
    ``adopt`` adds to them, a checkpoint keeps."""
    pools: ClassVar[tuple[str, ...]] = ()
    """Attribute names of its image pools, which each process fills for itself."""
    learns_all: bool = False
    """Whether it learns every direction of its data set at once; else the one that the options name."""
    scale: int = 1
    """Side of an output : side of its input."""
    gan: GANLoss
    """Its adversarial loss, ``GANLoss(config.gan_loss)``; ``models.build_model`` gives it the options ``balance``."""
    draws: ClassVar[bool] = False
    """True for unconditional models (DCGAN, InfoGAN). The monitor then expects the images of a batch to differ as much
    as real ones."""
    fakes: ClassVar[Mapping[str, str]] = {}
    """Generated images of ``forward`` -> the batch's real ones that discriminators and diagnostics see beside them."""
    paired: ClassVar[bool] = False
    """Whether a fake and the real image of the same index show one scene, so that they can be compared."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Its paper's values of other options, by key, where they differ from everybody's."""
    columns: tuple[str, ...] = ("input", "output", "target")
    """Names of the images of a sample grid, from left to right: of the batch, or of what ``samples`` returns. Those
    that neither has are left out, as CycleGAN's identities between domains of different channels."""

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        """``config`` with all that it leaves to the training images' size, size x size pixels, filled in."""
        return config

    @classmethod
    def check_options(cls, config: Any) -> None:
        """Raises ValueError for options of a run, a ``config.Config``, that this model's exclude."""

    @property
    def random(self) -> bool:
        """Whether two answers to one batch differ: by dropout that is on; a model that draws noise says so itself."""
        layers = [layer for name in self.generators for layer in getattr(self, name).modules()]
        return any(isinstance(layer, nn.Dropout) and layer.p > 0 and layer.training for layer in layers)

    def load_pretrained(self) -> None:
        """Loads the networks that training needs and does not train; inference does without.

        Raises:
            ValueError: they can't be had; the message names the ways out.
        """

    def adopt(self, name: str, weights: dict[str, Tensor], theirs: Any) -> dict[str, Tensor]:
        """The state dict of network ``name`` of another run, whose options are ``theirs``, by the names it has here.

        Raises:
            ValueError: weights of such a run are no beginning for this one; the message says why.
        """
        return weights

    def forward(self, batch: Batch) -> Images:
        """Makes every image of this step once, for both sides, and what else both of them need."""
        raise NotImplementedError

    def discriminator_images(self, batch: Batch) -> Images:
        """The images of a step without the generators' part (``balance.discriminator_steps``, ``balance.warmup_d``):
        of ``forward``, those that ``discriminator_loss`` needs.

        Override it only where leaving the others out changes no number: what is left out must draw nothing at random
        (dropout) and update no statistics (batch norm, spectral norm).
        """
        return self(batch)

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """(named loss terms, already weighted: their sum is minimised; detached statistics for the log).

        ``images`` are what ``forward`` made, detached: no gradient of this loss can reach a generator. The gradient
        penalty is one of the terms, ``gan.penalty``; without it, ``balance.gradient_penalty`` is refused.
        """
        raise NotImplementedError

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """As ``discriminator_loss``, for the generators' step; ``images`` have their graph."""
        raise NotImplementedError

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        """Inference: needs no more of the batch than an item's inputs, and returns ``output`` at least; what else it
        returns enters the batch of a film's next frame.

        ``direction`` is meant for models that learn all of them; the others know one only.
        """
        raise NotImplementedError

    def samples(self, batch: Batch) -> Images:
        """The images of a sample grid that are not in the batch."""
        return self.generate(batch)

    def sheet(self) -> list[Batch]:
        """Where the sample grid owes nothing to the validation set: one batch a row, whose ``samples`` have its
        images as ``output``; the same at every step. Empty for all that translate: a row for each of a few
        validation inputs, with ``columns``.
        """
        return []

    def padded(self, side: int) -> int:
        """The smallest side, in pixels, that its generators take and that is not below ``side``.

        The first of ``generators`` tells by its ``stride`` and its ``smallest_input``.
        """
        generator = getattr(self, self.generators[0])
        stride = getattr(generator, "stride", 1)
        return max(getattr(generator, "smallest_input", 1), -(-side // stride) * stride)

    @property
    def smallest_side(self) -> int:
        """The smallest side, in pixels, of images that it can be trained on: that which suits every network."""
        networks = [getattr(self, name) for name in (*self.generators, *self.discriminators)]
        return max(getattr(network, "smallest_input", 1) for network in networks)

    def check_size(self, size: int) -> None:
        """Raises ValueError, naming the key to change, if it can't train on inputs of size x size pixels."""
        if self.padded(size) != size:
            step = self.padded(self.padded(1) + 1) - self.padded(1)
            raise ValueError(
                f"data.crop_size {size * self.scale}: must be a multiple of {step * self.scale}, "
                f"{self.padded(1) * self.scale} or more"
            )

    def check_set(self, dataset: Any) -> None:
        """Raises ValueError, naming the key to change, if it can't learn from this training set."""


def check_patches(discriminator: PatchGAN, size: int) -> None:
    """Raises ValueError if size x size images leave the discriminator no patch to judge."""
    if size < discriminator.smallest_input:
        raise ValueError(
            f"data.crop_size {size} is too small for model.n_layers_d {discriminator.n_layers}: "
            f"at least {discriminator.smallest_input} pixels, or fewer layers"
        )
