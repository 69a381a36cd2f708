"""``NoiseModel``: base class of the unconditional models (DCGAN, InfoGAN), which generate images from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch

from img2img.models.base import Batch, Model
from img2img.networks.dcgan import SIZES


class NoiseModel(Model):
    """Base class of models that generate images from noise instead of translating images.

    A batch has ``target``, real images (B, C, size, size) in [-1, 1]; if the data set has classes also ``class`` (B,)
    int64. ``noise`` draws the generator's inputs, and ``generate`` makes ``output`` from these, with ``class`` in
    conditional models. ``Config`` has the field ``size``.
    """

    dataset = "unconditional"
    defaults: ClassVar = {  # arXiv 1511.06434, Sec. 4
        "data.load_size": 64,
        "data.crop_size": 64,
        "data.batch_size": 128,
        "train.decay_epochs": 0,
    }
    fakes: ClassVar = {"output": "target"}
    draws = True
    random = True
    config: Any
    num_classes: int = 0
    """Number of classes that the model is conditioned on; 0 for none."""

    def noise(
        self, count: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> Batch:
        """Draws the generator's inputs for ``count`` images, as in training: tensors (count, length) by key."""
        raise NotImplementedError

    @property
    def codes(self) -> Mapping[str, Sequence[float]]:
        """Names of the noise's interpretable codes (InfoGAN), each with the values that a traversal shows."""
        return {}

    def with_code(self, batch: Batch, name: str, value: float) -> Batch:
        """A copy of the batch with the code ``name`` set to ``value`` in every image."""
        raise NotImplementedError

    def traversal(self, batch: Batch, name: str) -> Batch:
        """Repeats the batch of one image for each value of the code ``name``."""
        steps = [self.with_code(batch, name, value) for value in self.codes[name]]
        return {key: torch.cat([step[key] for step in steps]) for key in batch}

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        if size not in SIZES and config.size is None:
            raise ValueError(
                f"data.crop_size {size}: must be one of {', '.join(map(str, SIZES))}, the sizes of the networks"
            )
        return replace(config, size=config.size or size)

    @property
    def smallest_side(self) -> int:
        return 1  # check_size allows one size only

    def check_size(self, size: int) -> None:
        if size != self.config.size:
            raise ValueError(f"data.crop_size {size}: must equal model.size {self.config.size}; change one of the two")

    def check_set(self, images: Any) -> None:
        count = len(images.classes)
        if self.num_classes and count != self.num_classes:
            advice = f"set it to {count}" if count else "put each class in a sub-folder of its own, or set it to 0"
            raise ValueError(f"model.num_classes {self.num_classes}: the training set has {count} classes; {advice}")


def check_drawing_options(config: Any) -> None:
    """Raises ValueError for options out of range that all models of this kind have."""
    for key, least in (("noise_dim", 1), ("ngf", 1), ("ndf", 1)):
        if getattr(config, key) < least:
            raise ValueError(f"model.{key} {getattr(config, key)}: must be at least {least}")
    if config.size not in (None, *SIZES):
        raise ValueError(f"model.size {config.size}: must be one of {', '.join(map(str, SIZES))}")
    if config.init_gain <= 0:
        raise ValueError(f"model.init_gain {config.init_gain}: must be positive")
