"""The models (floor 1), one file each; ``--model NAME`` takes the name of the file. To add a model, add:

1. ``models/<name>.py`` with one subclass of ``base.Model``: options, networks, images and losses.
2. ``configs/<name>/toy.yaml``, the preset for training without a data set, and other presets beside it.
3. ``tests/models/test_<name>.py``.

Nothing else changes: trainer, checkpoints, inference and command line find the model by its name. A model from outside
the package is a file (``--model path/to/mine.py``), or a module that an installed package names in the entry-point
group ``img2img.models`` (``--model mine``).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from img2img.errors import own_code
from img2img.losses.adversarial import GANLoss
from img2img.losses.balance import BalanceConfig
from img2img.models.base import Model

ENTRY_POINTS = "img2img.models"  # the group in which packages name their models: NAME = package.module
_outside: dict[str, Path] = {}  # imported models from outside the package: name -> file


def model_names() -> list[str]:
    """Names of the models of this package: the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "base")))


@cache
def packaged_models() -> dict[str, EntryPoint]:
    """The models of installed packages, by name, without those that have the name of a model of this package."""
    own = model_names()
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in own}


def model_class(name: str) -> type[Model]:
    """The class of a model: from ``models/<name>.py``, from a file that ``load_model_file`` has imported, or from the
    module that a package names in the entry-point group ``img2img.models``.

    Raises:
        ValueError: no model has this name (the message suggests the nearest), or the file does not define exactly one.
    """
    if name in model_names():
        module = importlib.import_module(f"img2img.models.{name}")
    elif name in _outside:
        module = sys.modules[name]
    elif name in packaged_models():
        module = _packaged_module(name)
    else:
        known = [*model_names(), *packaged_models()]
        near = difflib.get_close_matches(name, known, 1)
        choices = f"choose from {', '.join(known)}, or give the path of your own file: path/to/mine.py"
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
    if name not in (*model_names(), *_outside):
        _require_name(models[0], name, str(module.__file__))
    return models[0]


def _packaged_module(name: str) -> ModuleType:
    """The module of a model of a package. Raises ValueError if its import fails, or it has another name."""
    point = packaged_models()[name]
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    if point.module not in sys.modules:
        try:
            own_code.add(_code_of(point.module.partition(".")[0]))
            importlib.import_module(point.module)
        except Exception as error:
            raise ValueError(
                f"--model {name}: {point.module} of the package {package} can't be imported "
                f"({type(error).__name__}: {error})"
            ) from error
    return sys.modules[point.module]


def _code_of(package: str) -> Path:
    """The folder of a package, or the file of a module. Raises ImportError if there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module named {package}")
    file = Path(spec.origin).resolve()
    return file.parent if spec.submodule_search_locations else file


def _require_name(model: type[Model], name: str, source: str) -> None:
    """Raises ValueError unless the model's options have its name, which config.yaml keeps."""
    named = getattr(model.Config, "name", None)
    if named != name:
        raise ValueError(
            f"--model {source}: its Config has the name {named!r}: give it name: Literal[{name!r}] = {name!r}"
        )


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
        _require_name(model_class(name), name, str(path))
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
