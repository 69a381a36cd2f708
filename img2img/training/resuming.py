"""Where a run goes on: its newest checkpoint; what may have changed of its options since, what not, and what has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import CONFIG_FILE, Config, load_config
from img2img.models.base import Side

SECTIONS = ("model", "data", "optim", "train", "balance")


def open_newest(
    run: Path, config: Config, accelerator: Accelerator, *, learns_all: bool
) -> tuple[Path, dict[str, Any], Config]:
    """The newest checkpoint of a run that verifies: its folder, its state and its options. Says which do not.

    Args:
        run: the folder.
        config: the options that training is to go on with.
        accelerator: whose first process prints.
        learns_all: whether the model learns every direction, whatever that of the options is.

    Raises:
        ValueError: there is none, or it can't be continued with these options.
    """
    path, notes = newest_checkpoint(run)
    for note in notes:
        accelerator.print(note)
    before = load_config(path / CONFIG_FILE)
    refuse_changes(before, config, path, learns_all=learns_all)
    state = load_state(path)
    if "imported" in state:
        raise ValueError(
            f"--resume: {path} holds imported weights, which no training wrote: begin a run of another --name "
            f"with --train.init_from {config.name}"
        )
    return path, state, before


def refuse_changes(before: Config, now: Config, path: Path, *, learns_all: bool) -> None:
    """Raises ValueError, naming the key, if an option is another one that weights or optimizers are made for.

    Args:
        before: the options of the checkpoint.
        now: those that training is to go on with.
        path: of the checkpoint, for the message.
        learns_all: whether the model learns every direction, whatever that of the options is.
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
    for side, suffix in sides:  # another optimizer has no use for their state
        was, wanted = before.optim.of("optimizer", side), now.optim.of("optimizer", side)
        fixed.append((f"optim.optimizer{suffix}", was, wanted))
    fixed.append(("train.init_from", before.train.init_from, now.train.init_from))
    for key, was, wanted in fixed:
        if was != wanted:
            raise ValueError(f"{key} {wanted}: {path} was trained with {was}; keep that")


def changes(before: Config, now: Config) -> list[str]:
    """A line for each option that is another one than the checkpoint's: "changed     optim.lr 0.0002 -> 0.001"."""
    lines = []
    for section in SECTIONS:
        was, wanted = (asdict(getattr(config, section)) for config in (before, now))
        lines += [
            f"changed     {section}.{key} {_plain(was.get(key))} -> {_plain(value)}"
            for key, value in wanted.items()
            if was.get(key) != value
        ]
    return lines


def _plain(value: Any) -> Any:
    """As YAML and the command line have it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return list(value) if isinstance(value, tuple) else value
