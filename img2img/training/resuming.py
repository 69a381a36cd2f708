"""Continues a run: finds its newest checkpoint, refuses options that must not change, lists those that did."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import Config, load_config
from img2img.models.base import Side
from img2img.run_files import CONFIG_FILE

SECTIONS = ("model", "data", "optim", "train", "balance")


def open_newest(
    run: Path, config: Config, accelerator: Accelerator, *, learns_all: bool
) -> tuple[Path, dict[str, Any], Config]:
    """Opens a run's newest checkpoint whose checksums are right; prints which ones are damaged.

    Args:
        run: the run's folder.
        config: the options for the rest of the training.
        accelerator: prints on rank 0.
        learns_all: whether the model learns all directions, so that ``data.direction`` may change.

    Returns:
        The checkpoint's folder, its state, and the options that it was trained with.

    Raises:
        ValueError: there is none, or training can't continue with these options.
    """
    path, notes = newest_checkpoint(run)
    for note in notes:
        accelerator.print(note)
    before = load_config(path / CONFIG_FILE)
    refuse_changes(before, config, path, learns_all=learns_all)
    state = load_state(path)
    if "imported" in state:
        raise ValueError(
            f"--resume: {path} holds imported weights, not the state of a training: start a run of another --name "
            f"with --train.init_from {config.name}"
        )
    return path, state, before


def refuse_changes(before: Config, now: Config, path: Path, *, learns_all: bool) -> None:
    """Raises ValueError if an option has changed on which weights or optimizer states depend; names its key.

    Args:
        before: the options of the checkpoint.
        now: the options for the rest of the training.
        path: the checkpoint, for the message.
        learns_all: whether the model learns all directions, so that ``data.direction`` may change.
    """
    fixed = [
        (f"model.{key}", vars(before.model).get(key), value)
        for key, value in vars(now.model).items()
        if key not in getattr(now.model, "files", ())
    ]
    keys = [*now.data.fixed, *([] if learns_all else ["direction"])]
    fixed += [(f"data.{key}", getattr(before.data, key), getattr(now.data, key)) for key in keys]
    for key in ("spectral_norm", "minibatch_std"):  # built into the networks' weights
        fixed.append((f"balance.{key}", getattr(before.balance, key), getattr(now.balance, key)))
    sides: tuple[tuple[Side, str], ...] = (("generator", ""), ("discriminator", "_d"))
    for side, suffix in sides:  # another optimizer can't use the saved state
        old, new = before.optim.of("optimizer", side), now.optim.of("optimizer", side)
        fixed.append((f"optim.optimizer{suffix}", old, new))
    fixed.append(("train.init_from", before.train.init_from, now.train.init_from))
    for key, old, new in fixed:
        if old != new:
            raise ValueError(f"{key} {new}: {path} was trained with {old}, which can't change; set it to {old}")


def changes(before: Config, now: Config) -> list[str]:
    """A line for each option that differs from the checkpoint's: "changed     optim.lr 0.0002 -> 0.001"."""
    lines = []
    for section in SECTIONS:
        old, new = (asdict(getattr(config, section)) for config in (before, now))
        lines += [
            f"changed     {section}.{key} {_as_typed(old.get(key))} -> {_as_typed(value)}"
            for key, value in new.items()
            if old.get(key) != value
        ]
    return lines


def _as_typed(value: Any) -> Any:
    """A value as YAML and the command line write it: null, true, false, lists."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return list(value) if isinstance(value, tuple) else value
