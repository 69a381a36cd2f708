"""Floor 1: one file a model. The file's name is what ``--model`` takes, and adding a model adds a file:

1. ``models/<name>.py`` with one subclass of ``base.Model``: its options, its networks, its images and its losses.
2. ``configs/<name>/toy.yaml``, what training without a data set uses, and presets beside it.
3. ``tests/models/test_<name>.py``.

The trainer, checkpoints, inference and the command line need no word of it.
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

_outside: dict[str, Path] = {}  # models from outside the package, by name, that were imported


def model_names() -> list[str]:
    """The models of this package: the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "base")))


def model_class(name: str) -> type[Model]:
    """The model of ``models/<name>.py``, or of a file ``<name>.py`` that ``load_model_file`` has imported.

    Raises:
        ValueError: there is none, with the nearest name; or the file does not define just one model.
    """
    if name in model_names():
        module = importlib.import_module(f"img2img.models.{name}")
    elif name in _outside:
        module = sys.modules[name]
    else:
        near = difflib.get_close_matches(name, model_names(), 1)
        there = f"there is {', '.join(model_names())}, or a file of yours: path/to/mine.py"
        hint = f"did you mean {near[0]}?" if near else there
        raise ValueError(f"--model {name}: no such model; {hint}")
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module.__name__
    ]
    if len(models) != 1:
        raise ValueError(f"--model {module.__file__}: defines {len(models)} subclasses of Model; it must define one")
    return models[0]


def load_model_file(path: Path) -> str:
    """Imports a model from outside the package and returns its name, the file's stem.

    It is imported by its stem, its folder being the last place to look for modules, so that reading processes that are
    spawned find it again.

    Raises:
        ValueError: there is no such file, it fails to import, or its name is that of another module or model.
    """
    name, file = path.stem, path.resolve()
    if _outside.get(name) == file:
        return name
    if path.suffix != ".py" or not file.is_file():
        raise ValueError(f"--model {path}: no such Python file")
    if not name.isidentifier() or name in model_names():
        reason = "is a model of this package" if name in model_names() else "is no name for a Python module"
        raise ValueError(f"--model {path}: {name} {reason}; rename the file")
    if name in _outside:
        raise ValueError(
            f"--model {path}: {_outside[name]} has the same name and is loaded already; rename one of them"
        )
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None or Path(found.origin).resolve() != file:
        raise ValueError(f"--model {path}: {name} is the name of another Python module; rename the file")
    own_code.add(file)
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"--model {path}: can't be imported ({type(error).__name__}: {error})") from error
    _outside[name] = file
    return name


def model_file(name: str) -> Path | None:
    """The file that a model from outside the package was imported from; None for one of the package."""
    return _outside.get(name)


def build_model(config: Any, channels: Mapping[str, int], balance: BalanceConfig) -> Model:
    """A model with the options ``balance`` in its adversarial loss and in its networks, the same way for all models.

    Args:
        config: the model's own options.
        channels: as Model has them.
        balance: the options of both; those of a discriminator have no effect on a model without one.

    Raises:
        ValueError: as the model.
    """
    model = model_class(config.name)(config, channels)
    if model.discriminators:
        model.gan = GANLoss(model.gan.kind, balance)
    if balance.changes_networks:
        _regularize(model, balance)
    return model


def _regularize(model: Model, balance: BalanceConfig) -> None:
    """Builds what ``balance`` asks for into the model's networks."""
    from img2img.networks.regularization import fortify, spectral_norm  # most runs do without

    for name in model.discriminators:
        fortify(
            getattr(model, name),
            dropout=balance.dropout_d,
            feature_noise=balance.feature_noise,
            minibatch_std=balance.minibatch_std,
        )
    normed: tuple[str, ...] = ()
    if balance.spectral_norm in ("g", "both"):
        normed += (*model.generators, *model.auxiliary)
    if balance.spectral_norm in ("d", "both"):
        normed += model.discriminators
    for name in normed:
        spectral_norm(getattr(model, name))
