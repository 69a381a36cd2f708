"""The contract of models that draw images from noise: what ``models.base`` asks of all, and how noise is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch

from img2img.models.base import Batch, Model
from img2img.networks.dcgan import SIZES


class NoiseModel(Model):
    """Base of the models that draw images from noise instead of translating any.

    A batch holds ``target``, real images (B, C, size, size) in [-1, 1], and ``class`` (B,) int64 where the set has
    classes; ``noise`` makes the rest. ``generate`` draws ``output`` from what ``noise`` returned, with ``class`` where
    the model is conditional. Its options have ``size``.
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
    """Classes that it is told; 0: it is told none."""

    def noise(
        self, count: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> Batch:
        """What ``count`` images are drawn from, as training draws it: tensors (count, length) by their key."""
        raise NotImplementedError

    @property
    def codes(self) -> Mapping[str, Sequence[float]]:
        """Names of the parts of the noise that mean something, with the values that a traversal shows."""
        return {}

    def with_code(self, batch: Batch, name: str, value: float) -> Batch:
        """The batch with one of ``codes`` set to a value in all images."""
        raise NotImplementedError

    def traversal(self, batch: Batch, name: str) -> Batch:
        """The batch of one image with one of ``codes`` at each of its values in turn."""
        steps = [self.with_code(batch, name, value) for value in self.codes[name]]
        return {key: torch.cat([step[key] for step in steps]) for key in batch}

    @classmethod
    def resolve(cls, config: Any, size: int) -> Any:
        if size not in SIZES and config.size is None:
            raise ValueError(f"data.crop_size {size}: images are drawn at {', '.join(map(str, SIZES))} pixels")
        return replace(config, size=config.size or size)

    @property
    def smallest_side(self) -> int:
        return 1  # crops are of one size, which check_size knows

    def check_size(self, size: int) -> None:
        own = self.config.size
        if size != own:
            raise ValueError(f"data.crop_size {size}: the networks are made for model.size {own}; set one of the two")

    def check_set(self, images: Any) -> None:
        there = len(images.classes)
        if self.num_classes and there != self.num_classes:
            remedy = f"set it to {there}" if there else "a class is a sub-folder that its images lie in; or set it to 0"
            raise ValueError(f"model.num_classes {self.num_classes}: the training set has {there} classes; {remedy}")


def check_drawing_options(config: Any) -> None:
    """Raises ValueError for options that no model that draws from noise can have."""
    for key, least in (("noise_dim", 1), ("ngf", 1), ("ndf", 1)):
        if getattr(config, key) < least:
            raise ValueError(f"model.{key} {getattr(config, key)}: must be at least {least}")
    if config.size not in (None, *SIZES):
        raise ValueError(f"model.size {config.size}: there is {', '.join(map(str, SIZES))}")
    if config.init_gain <= 0:
        raise ValueError(f"model.init_gain {config.init_gain}: must be positive")
