"""Starts a training with the weights of another run (``train.init_from``)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from img2img.checkpoint import has_network, load_network, newest_checkpoint
from img2img.config import load_config
from img2img.run_files import CONFIG_FILE
from img2img.runs import find_run
from img2img.training.networks import Networks


def start_from(networks: Networks, run: str) -> None:
    """Loads the weights of another run's newest checkpoint; prints which tensors it has and which stay new.

    Networks that the checkpoint lacks keep their initial weights: imported runs often have no discriminator.

    Args:
        networks: the networks to load into.
        run: name of the other run.

    Raises:
        ValueError: there is no such run, or its model or networks are different.
    """
    path, notes = newest_checkpoint(find_run(run))
    options = load_config(path / CONFIG_FILE).model
    model_name = networks.config.model.name
    if options.name != model_name:
        raise ValueError(f"train.init_from {run}: is a run of {options.name}, not of {model_name}")
    for name, network in networks.bare.items():
        if not has_network(path, name):
            notes.append(f"{name}: new; {path} has none")
            continue
        initial = network.state_dict()
        try:
            loaded = networks.model.adopt(name, load_network(path, name), options)
        except ValueError as error:
            raise ValueError(f"train.init_from {run}: {error}") from error
        fixed = networks.config.data.fixed
        _check_fit(run, name, initial=initial, loaded=loaded, frozen_first=networks.model.frozen_first, fixed=fixed)
        network.load_state_dict(loaded, strict=False)
        if name in networks.emas:
            networks.emas[name].module.load_state_dict(loaded, strict=False)
        new = sorted({".".join(key.split(".")[:2]) for key in initial.keys() - loaded.keys()})
        notes.append(
            f"{name}: {len(loaded)} of {len(initial)} tensors from {path}" + (f"; new: {', '.join(new)}" if new else "")
        )
    for note in notes:
        networks.accelerator.print(note)


def _check_fit(
    run: str,
    name: str,
    *,
    initial: dict[str, Tensor],
    loaded: dict[str, Tensor],
    frozen_first: tuple[str, ...],
    fixed: Sequence[str],
) -> None:
    """Raises ValueError if loaded weights have no counterpart of their shape, or if frozen modules lack weights.

    Other weights may be missing: they keep their initial values.
    """
    wrong = sorted(key for key in loaded if key not in initial or loaded[key].shape != initial[key].shape)
    frozen = tuple(f"{path}." for path in frozen_first)
    wrong += sorted(key for key in initial.keys() - loaded.keys() if f"{name}.{key}".startswith(frozen))
    if wrong:
        raise ValueError(
            f"train.init_from {run}: {name}.{wrong[0]} differs between the runs (one of {len(wrong)} tensors); keep "
            f"that run's model options, {', '.join(f'data.{key}' for key in fixed)}, balance.spectral_norm and "
            "balance.minibatch_std"
        )
