"""Runs as functions: a checkpoint's model with trained generators, and the translator or sampler that is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from img2img.checkpoint import find_checkpoint, has_network, load_network, network_name
from img2img.config import CONFIG_FILE, Config, config_file, load_config
from img2img.inference.label_translator import SceneTranslator
from img2img.inference.sampler import Sampler
from img2img.inference.translator import NormPolicy, Translator
from img2img.models import build_model, model_class
from img2img.models.base import Model
from img2img.models.base_noise import NoiseModel
from img2img.runs import find_run


class Undrawn(TorchFunctionMode):
    """Leaves tensors as they are that would be filled with random numbers.

    On the meta device they have no values, and torch imports its compiler to fill them: 2 seconds, 150 MB.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_trained(run: str | Path, checkpoint: str = "latest") -> tuple[Model, Config, Path]:
    """The model of a run with the weights of its generators, or their averages; its options; and the checkpoint.

    Args:
        run: the run's folder, or its name under runs/.
        checkpoint: a step, "latest" or "best".

    Raises:
        ValueError: there is no such run or checkpoint, or the checkpoint is damaged.
    """
    path, notes = find_checkpoint(find_run(str(run)), checkpoint)
    for note in notes:
        print(note)
    config = load_config(path / CONFIG_FILE)
    with Undrawn(), torch.device("meta"):  # no memory and no time for weights that are about to be replaced
        model = build_model(config.model, config.data.channels, config.balance)
    there = tuple(name for name in model.generators if has_network(path, network_name(path, name)))
    if model.learns_all and len(there) < len(model.generators):  # imported alone: the run knows one direction
        model.generators, model.learns_all = there, False
    for name in model.generators:
        try:
            getattr(model, name).load_state_dict(load_network(path, network_name(path, name)), assign=True)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: {name} doesn't fit its own options: {str(error).splitlines()[-1].strip()}"
            ) from error
    return model, config, path


def draws_from_noise(run: str | Path) -> bool:
    """Whether a run draws images from noise instead of translating any. Raises ValueError if there is no such run."""
    return issubclass(model_class(load_config(config_file(find_run(str(run)))).model.name), NoiseModel)


def choose_device(device: torch.device | str | None) -> torch.device:
    """The device asked for, or the GPU if there is one. Raises ValueError for one that is not there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {device}: torch can't use it here; leave it out or say cpu") from error
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
) -> Translator:
    """The translator of a run, by its folder or its name under runs/. What it needs to know stands in the checkpoint.

    Args:
        run: "runs/edges2shoes", or "edges2shoes".
        checkpoint: a step, "latest" or "best".
        device: "cpu", "cuda", ...; the GPU if there is one, unless told.
        norm_policy, dropout, training_size, direction: see Translator.

    Raises:
        ValueError: there is no such run, checkpoint or device, the checkpoint is damaged, or the run draws from noise.
    """
    model, config, path = load_trained(run, checkpoint)
    if isinstance(model, NoiseModel):
        raise ValueError(
            f"run {config.name} draws images from noise: there is none to translate or to compare with; "
            f"python tools/infer.py {run} --count 64 draws some, "
            f"python tools/evaluate.py {run} --metrics fid measures them"
        )
    kind = SceneTranslator if "label" in config.data.channels else Translator
    translator = kind(
        model,
        config,
        choose_device(device),
        norm_policy=norm_policy,
        dropout=dropout,
        training_size=training_size,
        direction=direction,
    )
    translator.checkpoint = path
    return translator


def load_sampler(run: str | Path, *, checkpoint: str = "latest", device: torch.device | str | None = None) -> Sampler:
    """The sampler of a run, by its folder or its name under runs/. What it needs to know stands in the checkpoint.

    Args:
        run: "runs/dcgan-toy", or "dcgan-toy".
        checkpoint: a step, "latest" or "best".
        device: "cpu", "cuda", ...; the GPU if there is one, unless told.

    Raises:
        ValueError: there is no such run, checkpoint or device, the checkpoint is damaged, or the run translates.
    """
    model, config, path = load_trained(run, checkpoint)
    if not isinstance(model, NoiseModel):
        raise ValueError(f"run {config.name} translates images: load_translator is for it")
    sampler = Sampler(model, config, choose_device(device))
    sampler.checkpoint = path
    return sampler
