"""Floor 1: one file a model. The file's name is what ``--model`` takes, and adding a model adds a file:

1. ``models/<name>.py`` with one subclass of ``base.Model``: its options, its networks, its pictures and its losses.
2. ``configs/<name>/toy.yaml``, what training without a data set uses, and presets beside it.
3. ``tests/models/test_<name>.py``.

The trainer, checkpoints, inference and the command line need no word of it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2img.adversary import Adversary, BalanceConfig
from img2img.models.base import Model
from img2img.networks.remedies import fortify, spectral_norm


def model_names() -> list[str]:
    """What ``--model`` takes: the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "base"))


def model_class(name: str) -> type[Model]:
    """The model that ``models/<name>.py`` defines. Raises ValueError, with the nearest name, if there is none."""
    if name not in model_names():
        near = difflib.get_close_matches(name, model_names(), 1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(model_names())}"
        raise ValueError(f"--model {name}: no such model; {hint}")
    module = importlib.import_module(f"img2img.models.{name}")
    (model,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module.__name__
    )
    return model


def build_model(config: Any, channels: Mapping[str, int], balance: BalanceConfig) -> Model:
    """A model with the remedies that are asked for, the same way for all.

    Args:
        config: the model's own options.
        channels: as Model has them.
        balance: the remedies.

    Raises:
        ValueError: as the model.
    """
    model = model_class(config.name)(config, channels)
    model.adversary = Adversary(model.adversary.kind, balance)
    for name in model.discriminators:
        fortify(getattr(model, name), balance.dropout_d, balance.feature_noise, balance.minibatch_std)
    normed = {"none": (), "d": model.discriminators, "g": model.generators}
    normed["both"] = (*model.generators, *model.discriminators)
    for name in normed[balance.spectral_norm]:
        spectral_norm(getattr(model, name))
    return model
