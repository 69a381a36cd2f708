"""``load_translator`` and ``load_sampler``: a run folder -> a function that makes images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name
from img2img.config import Config, load_config, with_places
from img2img.data.degraded import DegradedConfig
from img2img.data.domains import DomainsConfig
from img2img.inference.domain_translator import DomainTranslator
from img2img.inference.label_translator import LabelTranslator
from img2img.inference.restorer import Restorer
from img2img.inference.sampler import Sampler
from img2img.inference.translator import NormPolicy, Translator
from img2img.models import build_model, model_class
from img2img.models.base import Model
from img2img.models.base_noise import NoiseModel
from img2img.program import command
from img2img.run_files import CONFIG_FILE, config_file
from img2img.runs import find_run

Blend = tuple[str | Path, float]
"""Another run, and its share of the weights in [0, 1]."""


class SkipRandomInit(TorchFunctionMode):
    """Makes random initialisation do nothing.

    Tensors on the meta device have no values; to fill them, torch would import its compiler: 2 seconds, 150 MB.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_trained(run: str | Path, checkpoint: str = "latest", blend: Blend | None = None) -> tuple[Model, Config, Path]:
    """Loads the model of a run with the weights of its generators (their EMA, if the run has one).

    Args:
        run: the run's folder, or its name under runs/.
        checkpoint: a step, "latest" or "best".
        blend: another run and its share, see ``load_translator``.

    Returns:
        The model, the options of the run, and the folder of the checkpoint.

    Raises:
        ValueError: there is no such run or checkpoint, the checkpoint is damaged, or the runs can't be blended.
    """
    path, notes = find_checkpoint(find_run(str(run)), checkpoint)
    for note in notes:
        print(note)
    config = load_config(path / CONFIG_FILE)
    with SkipRandomInit(), torch.device("meta"):  # no memory or time for weights that are replaced at once
        model = build_model(config.model, config.data.channels, config.balance)
    available = tuple(name for name in model.generators if has_network(path, network_name(path, name)))
    if model.learns_all and len(available) < len(model.generators):  # one generator was imported: one direction
        model.generators, model.learns_all = available, False
    networks = {name: load_network(path, network_name(path, name)) for name in model.generators}
    if blend is not None:
        networks = _blended(networks, str(run), *blend)
    for name, weights in networks.items():
        try:
            getattr(model, name).load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: the weights of {name} don't fit the options of the run: {str(error).splitlines()[-1].strip()}"
            ) from error
    return model, config, path


def _blended(
    networks: Mapping[str, Mapping[str, Tensor]], run: str, other: str | Path, share: float
) -> dict[str, dict[str, Tensor]]:
    """Interpolates the weights of two runs: theta = (1 - share) * theta of the run + share * theta of the other.

    As ESRGAN's network interpolation (arXiv 1809.00219, Sec. 3.4; deep network interpolation, arXiv 1811.10515).
    Statistics of batch norm are interpolated, too; counts of batches are those of the run.

    Args:
        networks: state dicts of the run's generators, by name.
        run: the run, for messages.
        other: the other run, of which the newest checkpoint is taken.
        share: that of the other run, in [0, 1].

    Raises:
        ValueError: there is no such run, ``share`` is out of range, or a tensor has no counterpart of its shape.
    """
    what = f"--blend {other} {share:g}"
    if not 0 <= share <= 1:
        raise ValueError(f"{what}: the share of {other} must lie in [0, 1]")
    path, notes = find_checkpoint(find_run(str(other)), "latest")
    for note in notes:
        print(note)
    blended: dict[str, dict[str, Tensor]] = {}
    for name, weights in networks.items():
        if not has_network(path, network_name(path, name)):
            raise ValueError(f"{what}: run {other} has no {name}, and {run} has; blend runs of one architecture")
        others = load_network(path, network_name(path, name))
        for key in [*weights, *(others.keys() - weights.keys())]:
            shapes = [tuple(each[key].shape) if key in each else "missing" for each in (others, weights)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"{what}: {name}.{key} of {other} is {shapes[0]}, of {run} {shapes[1]}; blend runs of one "
                    "architecture"
                )
        blended[name] = {
            key: (1 - share) * value + share * others[key] if value.is_floating_point() else value
            for key, value in weights.items()
        }
    return blended


def draws_from_noise(run: str | Path) -> bool:
    """Whether a run draws images from noise (else it translates). Raises ValueError if there is no such run."""
    return issubclass(model_class(load_config(config_file(find_run(str(run)))).model.name), NoiseModel)


def choose_device(device: torch.device | str | None) -> torch.device:
    """The given device, by default cuda if available. Raises ValueError if torch can't use it."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {device}: torch can't use it here; leave the option out or use cpu") from error
    return torch.device(device)


def load_translator(
    run: str | Path,
    *,
    checkpoint: str = "latest",
    device: torch.device | str | None = None,
    norm_policy: NormPolicy = "running",
    dropout: bool = False,
    training_size: bool = False,
    direction: str | None = None,
    blend: Blend | None = None,
    outscale: float | None = None,
    data: Mapping[str, Any] | None = None,
) -> Translator:
    """Loads a trained run as a function from image to image.

    ::

        from img2img import load_translator
        from PIL import Image

        translate = load_translator("runs/edges2shoes")
        translate(Image.open("drawing.png")).save("shoe.png")

    All options of training come from the checkpoint. For runs with label maps the result is a ``LabelTranslator``, for
    runs with several domains a ``DomainTranslator``, for restoration a ``Restorer``.

    Args:
        run: the run's folder, or its name under runs/.
        checkpoint: a step, "latest" or "best".
        device: "cpu", "cuda", ... (default: cuda if available).
        norm_policy: "running" or "batch", see ``Translator``.
        dropout: keep dropout on, so that the seed of a call chooses the output.
        training_size: resize inputs to the size of training, and outputs back.
        direction: "AtoB" or "BtoA", for runs that learned both (default: the run's own); or a domain.
        blend: another run of the same architecture and its share in [0, 1]: (other, 0.8) makes each weight 0.2 times
            that of the run and 0.8 times that of ``other`` (its newest checkpoint).
        outscale: side of the output divided by the side of the input, see ``Translator``.
        data: where the run's data set is now, if its folder has moved: {"root": DIR}. Keys are the data options that
            are folders, files or names of splits. Images that the caller gives need no data set.

    Raises:
        ValueError: there is no such run, checkpoint or device; the checkpoint is damaged; the run draws from noise
            (``load_sampler`` is for it); it has no dropout or did not learn the direction; it can't be blended with
            the other run; it has no use for ``outscale``; or ``data`` has an option that is not a place.
    """
    model, config, path = load_trained(run, checkpoint, blend)
    if isinstance(model, NoiseModel):
        raise ValueError(
            f"run {config.name} draws images from noise and translates none; draw with {command('infer')} {run} "
            f"--count 64 (in Python: load_sampler), measure with {command('evaluate')} {run} --metrics fid"
        )
    translator = _translator_class(config)(
        model,
        with_places(config, data),
        choose_device(device),
        norm_policy=norm_policy,
        dropout=dropout,
        training_size=training_size,
        direction=direction,
        outscale=outscale,
    )
    translator.checkpoint = path
    return translator


def _translator_class(config: Config) -> type[Translator]:
    if isinstance(config.data, DomainsConfig):
        return DomainTranslator
    if isinstance(config.data, DegradedConfig):
        return Restorer
    return LabelTranslator if "label" in config.data.channels else Translator


def load_sampler(
    run: str | Path,
    *,
    checkpoint: str = "latest",
    device: torch.device | str | None = None,
    blend: Blend | None = None,
    data: Mapping[str, Any] | None = None,
) -> Sampler:
    """Loads a trained run as a function that draws images from noise.

    ::

        from img2img import load_sampler

        sample = load_sampler("runs/dcgan-toy")
        images = sample(count=64, seed=1)  # (64, H, W, C) uint8

    Args:
        run: the run's folder, or its name under runs/.
        checkpoint: a step, "latest" or "best".
        device: "cpu", "cuda", ... (default: cuda if available).
        blend: another run and its share, see ``load_translator``.
        data: where the run's data set is now, see ``load_translator``. Drawing needs no data set, measuring does.

    Raises:
        ValueError: there is no such run, checkpoint or device; the checkpoint is damaged; the run translates images
            (``load_translator`` is for it); it can't be blended with the other run; or ``data`` has an option that is
            not a place.
    """
    model, config, path = load_trained(run, checkpoint, blend)
    if not isinstance(model, NoiseModel):
        raise ValueError(f"run {config.name} translates images: use load_translator")
    sampler = Sampler(model, with_places(config, data), choose_device(device))
    sampler.checkpoint = path
    return sampler
