"""The models (floor 1), one file each; ``--model NAME`` takes the name of the file. To add a model, add:

1. ``models/<name>.py`` with one subclass of ``base.Model``: options, networks, images and losses.
2. ``configs/<name>/toy.yaml``, the preset for training without a data set, and other presets beside it.
3. ``tests/models/test_<name>.py``.

Nothing else changes: trainer, checkpoints, inference and command line find the model by its name.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2img.errors import own_code
from img2img.losses.adversarial import GANLoss
from img2img.losses.balance import BalanceConfig
from img2img.models.base import Model

_outside: dict[str, Path] = {}  # imported models from outside the package: name -> file


def model_names() -> list[str]:
    """Names of the models of this package: the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "base")))


def model_class(name: str) -> type[Model]:
    """The class of a model: from ``models/<name>.py``, or from a file that ``load_model_file`` has imported.

    Raises:
        ValueError: no model has this name (the message suggests the nearest), or the file does not define exactly one.
    """
    if name in model_names():
        module = importlib.import_module(f"img2img.models.{name}")
    elif name in _outside:
        module = sys.modules[name]
    else:
        near = difflib.get_close_matches(name, model_names(), 1)
        choices = f"choose from {', '.join(model_names())}, or give the path of your own file: path/to/mine.py"
        hint = f"did you mean {near[0]}?" if near else choices
        raise ValueError(f"--model {name}: no such model; {hint}")
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module.__name__
    ]
    if len(models) != 1:
        raise ValueError(
            f"--model {module.__file__}: defines {len(models)} subclasses of Model; it must define exactly one"
        )
    return models[0]


def load_model_file(path: Path) -> str:
    """Imports a model from a file outside the package and returns its name, the file's stem.

    The file's folder is appended to ``sys.path`` and the file is imported by its stem, so that spawned data-loading
    processes can import it, too.

    Raises:
        ValueError: there is no such file, its import fails, or another module or model has its name.
    """
    name, file = path.stem, path.resolve()
    if _outside.get(name) == file:
        return name
    if path.suffix != ".py" or not file.is_file():
        raise ValueError(f"--model {path}: no such Python file")
    if not name.isidentifier() or name in model_names():
        reason = "is a model of this package" if name in model_names() else "can't be the name of a Python module"
        raise ValueError(f"--model {path}: {name} {reason}; rename the file")
    if name in _outside:
        raise ValueError(
            f"--model {path}: {_outside[name]} has the same name and is already loaded; rename one of the two files"
        )
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != file:
        raise ValueError(f"--model {path}: {name} is the name of another Python module; rename the file")
    own_code.add(file)
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"--model {path}: can't be imported ({type(error).__name__}: {error})") from error
    _outside[name] = file
    try:
        named = getattr(model_class(name).Config, "name", None)
        if named != name:
            raise ValueError(
                f"--model {path}: its Config has the name {named!r}: give it name: Literal[{name!r}] = {name!r}"
            )
    except ValueError:
        del _outside[name]
        raise
    return name


def model_file(name: str) -> Path | None:
    """The file of a model from outside the package; None for a model of the package."""
    return _outside.get(name)


def build_model(config: Any, channels: Mapping[str, int], balance: BalanceConfig) -> Model:
    """Builds a model and applies the options ``balance`` to its adversarial loss and its networks.

    Args:
        config: the model's options, an instance of its ``Config``.
        channels: number of channels of the batch's images, by key, as in ``Model``.
        balance: options that stabilise GAN training. Those of discriminators do nothing in a model without any.

    Raises:
        ValueError: as ``Model``.
    """
    model = model_class(config.name)(config, channels)
    if model.discriminators:
        model.gan = GANLoss(model.gan.kind, balance)
    if balance.changes_networks:
        _regularize(model, balance)
    return model


def _regularize(model: Model, balance: BalanceConfig) -> None:
    """Adds the layers and the spectral norm of ``balance`` to the model's networks, in place."""
    from img2img.networks.regularization import regularize_discriminator, spectral_norm  # rarely needed

    for name in model.discriminators:
        regularize_discriminator(
            getattr(model, name),
            dropout=balance.dropout_d,
            feature_noise=balance.feature_noise,
            minibatch_std=balance.minibatch_std,
        )
    names: tuple[str, ...] = ()
    if balance.spectral_norm in ("g", "both"):
        names += (*model.generators, *model.auxiliary)
    if balance.spectral_norm in ("d", "both"):
        names += model.discriminators
    for name in names:
        spectral_norm(getattr(model, name))
