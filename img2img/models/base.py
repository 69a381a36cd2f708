"""``Model``: base class of every model. It says what a model must define, and what it may.

A model defines its networks, the images of a training step (``forward``) and the losses of the D step and the G step.
It knows nothing of devices, optimizers, files, logging or processes. One training step (``training.step``) serves every
model:

    images = model(batch)
    for side in model.update_order:                      # the D step, then the G step, or the other way round
        if side == "discriminator":
            terms, statistics = model.discriminator_loss(batch, detached(images))
        else:                                            # the discriminators are frozen
            terms, statistics = model.generator_loss(batch, images)
        sum(terms.values()).backward()
        optimizers[side].step()

The G step updates ``generators`` and ``auxiliary``, the D step ``discriminators``.

Every model sets ``Config``, ``dataset`` and ``generators`` and implements ``forward``, ``generator_loss`` and
``generate``. With discriminators it also has ``gan``, ``discriminator_loss`` and the option ``gan_loss``. Without
discriminators there is no D step, and options that concern discriminators are refused. docs/extending.md has examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from img2img.data import Kind
from img2img.losses.adversarial import GANLoss
from img2img.networks.patchgan import PatchGAN

Batch = dict[str, Any]
"""What the data set's samples are collated to: tensors (B, ...) by key, and lists such as the names."""
Images = dict[str, Tensor]
"""What ``forward`` returns: the images (B, C, H, W) of a step, and other tensors that both losses need."""
Terms = dict[str, Tensor]
"""Scalars by name: loss terms, or statistics for the log."""
Side = Literal["generator", "discriminator"]


class Model(nn.Module):
    """Base class of every model. Images are (B, C, H, W) in [-1, 1] everywhere.

    Args:
        config: the model's options, an instance of its nested dataclass ``Config``.
        channels: number of channels of the batch's images, by their key, such as {"input": 3, "target": 3}.

    Raises:
        ValueError: an option is out of range, or does not go with the channels.
    """

    Config: ClassVar[type]
    """Dataclass of the model's options; fields' docstrings are their --help. The field ``name`` is the name of the
    model's file. ``everyday: ClassVar`` names the options that --help shows first (default: all)."""
    dataset: ClassVar[Kind | tuple[Kind, ...]]
    """Data set to train on: the name of a module of ``img2img.data``, or a class in the model's file. Of several, the
    options choose one (``ImageDataset.is_meant``)."""
    generators: tuple[str, ...]
    """Attribute names of the generators and of all other networks that inference needs, such as encoders. An instance
    may set this and the next two in ``__init__``."""
    auxiliary: tuple[str, ...] = ()
    """Attribute names of networks that are trained with the generators, by the same optimizer, and that inference does
    not need, such as a projection head. They are in checkpoints and have no EMA."""
    discriminators: tuple[str, ...] = ()
    """Attribute names of the discriminators; () for a model without adversarial loss."""
    rates: Mapping[str, float] = {}
    """Factors of the learning rate of single networks, by attribute name (default: 1)."""
    update_order: ClassVar[tuple[Side, Side]] = ("discriminator", "generator")
    """Which step comes first, as in the model's paper or its official code."""
    frozen_first: tuple[str, ...] = ()
    """Modules, such as "generator.coarse", that are frozen for the first ``train.freeze_global_epochs``. ``adopt`` may
    add to them; checkpoints keep the list."""
    pools: ClassVar[tuple[str, ...]] = ()
    """Attribute names of the image pools. Each process has its own; checkpoints contain all of them."""
    learns_all: bool = False
    """True if the model learns every direction of its data set at once; False if only ``data.direction``."""
    scale: int = 1
    """Side of the output divided by the side of the input. If the model's ``Config`` has an option ``scale``, None by
    default, it is set to the data's (``data.scale``), and ``__init__`` sets this one."""
    gan: GANLoss
    """Adversarial loss: set it to ``GANLoss(config.gan_loss)``. ``models.build_model`` adds the options ``balance``."""
    draws: ClassVar[bool] = False
    """True for unconditional models (DCGAN, InfoGAN). The monitor then expects the images of a batch to differ as much
    as real ones."""
    fakes: ClassVar[Mapping[str, str]] = {}
    """Maps each generated image of ``forward`` to the batch's real images that it should look like. Diagnostics compare
    the two."""
    paired: ClassVar[bool] = False
    """True if a fake and its real image show the same content, so that they can be compared pixel by pixel."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Defaults of other options that differ for this model, by key, such as {"data.load_size": 64}."""
    columns: tuple[str, ...] = ("input", "output", "target")
    """Columns of the sample grid, from left to right: keys of the batch or of ``samples``. Missing ones are left
    out."""

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        """Fills in the options that depend on the training images' size.

        Args:
            config: the model's options.
            size: side of the training images, in pixels (``data.crop_size``).

        Returns:
            A changed copy, or ``config`` itself.
        """
        return config

    @classmethod
    def check_options(cls, config: Any) -> None:
        """Raises ValueError if options of the run, a ``config.Config``, do not go with the model's."""

    @classmethod
    def notes(cls, config: Any) -> list[str]:
        """Lines to print before a training with these options begins, a ``config.Config``: what users should know."""
        return []

    @property
    def random(self) -> bool:
        """Whether two calls with one batch differ. By default: whether a generator has active dropout. A model that
        draws noise sets ``random = True``.
        """
        layers = [layer for name in self.generators for layer in getattr(self, name).modules()]
        return any(isinstance(layer, nn.Dropout) and layer.p > 0 and layer.training for layer in layers)

    def load_pretrained(self) -> None:
        """Loads pretrained networks that only training needs, such as VGG19 for a perceptual loss.

        Raises:
            ValueError: the weights can't be loaded; the message names the options to change.
        """

    def adopt(self, name: str, weights: dict[str, Tensor], source_config: Any) -> dict[str, Tensor]:
        """Converts a network's weights of another run (``train.init_from``) for this model.

        Args:
            name: attribute name of the network.
            weights: its state dict in the other run.
            source_config: the model options of the other run.

        Returns:
            A state dict with the keys of this model's network; it may be incomplete.

        Raises:
            ValueError: this model can't start from such a run. The message continues "train.init_from RUN: ".
        """
        return weights

    def forward(self, batch: Batch) -> Images:
        """Computes all images of a training step once, for both losses.

        Args:
            batch: samples of the data set, on the device.

        Returns:
            The images, and other tensors that both losses need.
        """
        raise NotImplementedError

    def discriminator_images(self, batch: Batch) -> Images:
        """``forward`` for a step without a G step (``balance.discriminator_steps``, ``balance.warmup_d``): only the
        images that ``discriminator_loss`` needs. By default all of them.

        Override it only if this changes no number: what is left out must draw no random numbers (dropout) and update no
        statistics (batch norm, spectral norm).
        """
        return self(batch)

    def discriminator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Loss of the D step.

        Args:
            batch: as in ``forward``.
            images: what ``forward`` returned, detached, so that no gradient reaches a generator.

        Returns:
            The loss terms, already weighted: their sum is minimised; and detached statistics for the log. The terms
            must include those of ``gan.penalty``, a dictionary, or else the option ``balance.gradient_penalty`` is
            refused.
        """
        raise NotImplementedError

    def generator_loss(self, batch: Batch, images: Images) -> tuple[Terms, Terms]:
        """Loss of the G step: as ``discriminator_loss``, but with ``images`` in their autograd graph."""
        raise NotImplementedError

    def generate(self, batch: Batch, direction: str = "AtoB") -> Images:
        """Inference.

        Args:
            batch: the inputs of the data set's items (``data.base.Item``), and no more.
            direction: which direction to translate; for models with ``learns_all``.

        Returns:
            ``output``. Everything else that is returned is put in the batch of a film's next frame.
        """
        raise NotImplementedError

    def samples(self, batch: Batch) -> Images:
        """Images for the sample grid that are not in the batch: by default those of ``generate``."""
        return self.generate(batch)

    def sheet(self) -> list[Batch]:
        """Fixed inputs of the sample grid, one batch per row. Returns [] (default) to use validation images."""
        return []

    def retargeted(self, batch: Batch) -> Batch | None:
        """The batch with another target domain for every image, and the same inputs; None (default) if the generators
        get no target.

        Diagnostics compare the images of both batches: a generator that ignores its target makes the same ones.
        """
        return None

    def padded(self, side: int) -> int:
        """The smallest side, in pixels, that is at least ``side`` and that the generators accept.

        By default it is a multiple of ``stride`` and at least ``smallest_input``, attributes of the first generator
        (1 where it has none).
        """
        generator = getattr(self, self.generators[0])
        stride = getattr(generator, "stride", 1)
        return max(getattr(generator, "smallest_input", 1), -(-side // stride) * stride)

    @property
    def smallest_side(self) -> int:
        """The smallest side, in pixels, of training images: the largest ``smallest_input`` of all networks."""
        networks = [getattr(self, name) for name in (*self.generators, *self.discriminators)]
        return max(getattr(network, "smallest_input", 1) for network in networks)

    def check_size(self, size: int) -> None:
        """Raises ValueError, with the option to change, if the networks can't be trained on inputs of size x size
        pixels.
        """
        if self.padded(size) != size:
            step = self.padded(self.padded(1) + 1) - self.padded(1)
            raise ValueError(
                f"data.crop_size {size * self.scale}: must be a multiple of {step * self.scale} and at least "
                f"{self.padded(1) * self.scale}"
            )

    def check_set(self, dataset: Any) -> None:
        """Raises ValueError, with the option to change, if the model can't be trained on this data set."""


def check_patches(discriminator: PatchGAN, size: int) -> None:
    """Raises ValueError if images of size x size pixels are too small for the discriminator."""
    if size < discriminator.smallest_input:
        raise ValueError(
            f"data.crop_size {size}: must be at least {discriminator.smallest_input} for model.n_layers_d "
            f"{discriminator.n_layers}; set a larger data.crop_size or a smaller model.n_layers_d"
        )
