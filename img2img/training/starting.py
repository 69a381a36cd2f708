"""Begins a training with the weights of another run (``train.init_from``)."""

from __future__ import annotations

from torch import Tensor

from img2img.checkpoint import has_network, load_network, newest_checkpoint
from img2img.config import CONFIG_FILE, load_config
from img2img.runs import find_run
from img2img.training.networks import Networks


def start_from(networks: Networks, run: str) -> None:
    """Takes the networks' first weights from another run's newest checkpoint, and prints what is new.

    A network that the checkpoint lacks, as an imported one may, keeps its initial weights.

    Raises:
        ValueError: there is no such run, or it is of another model, or its networks are other ones.
    """
    path, notes = newest_checkpoint(find_run(run))
    options = load_config(path / CONFIG_FILE).model
    model_name = networks.config.model.name
    if options.name != model_name:
        raise ValueError(f"train.init_from {run}: a run of {options.name}, not of {model_name}")
    for name, network in networks.bare.items():
        if not has_network(path, name):
            notes.append(f"{name}: new; {path} has none")
            continue
        own = network.state_dict()
        try:
            given = networks.model.adopt(name, load_network(path, name), options)
        except ValueError as error:
            raise ValueError(f"train.init_from {run}: {error}") from error
        _refuse_others(run, name, own=own, given=given, frozen_first=networks.model.frozen_first)
        network.load_state_dict(given, strict=False)
        if name in networks.emas:
            networks.emas[name].module.load_state_dict(given, strict=False)
        new = sorted({".".join(key.split(".")[:2]) for key in own.keys() - given.keys()})
        notes.append(
            f"{name}: {len(given)} of {len(own)} tensors of {path}" + (f"; new: {', '.join(new)}" if new else "")
        )
    for note in notes:
        networks.accelerator.print(note)


def _refuse_others(
    run: str, name: str, *, own: dict[str, Tensor], given: dict[str, Tensor], frozen_first: tuple[str, ...]
) -> None:
    """Raises ValueError unless all given weights have a place of their shape, and all that will be frozen is given.

    Other weights of our own may be missing: these are new.
    """
    wrong = sorted(key for key in given if key not in own or given[key].shape != own[key].shape)
    frozen = tuple(f"{place}." for place in frozen_first)
    wrong += sorted(key for key in own.keys() - given.keys() if f"{name}.{key}".startswith(frozen))
    if wrong:
        raise ValueError(
            f"train.init_from {run}: {name}.{wrong[0]} is not the same there and here (of {len(wrong)} such "
            "tensors): keep that run's model options, data.label_nc, data.instances, channels, "
            "balance.spectral_norm and balance.minibatch_std"
        )
