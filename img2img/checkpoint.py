"""Checkpoints: one folder a step, complete or not there at all.

    runs/NAME/checkpoints/step-000600/   generator.safetensors ...   every network under its own name
                                         state.pt                    optimizers, step, position in the data
                                         config.yaml                 the resolved options
                                         manifest.json               sha256 of each file
    runs/NAME/checkpoints/latest         the name of the newest complete one
    runs/NAME/checkpoints/best           the name of the best by a score of the validation set, where that is measured

A checkpoint is written aside, flushed to the disk and renamed, so that a kill at any moment costs none. Only tensors
and plain values are stored and loading runs no code (safetensors; ``weights_only=True``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from img2img.config import CONFIG_FILE
from img2img.files import flush, write_whole

FOLDER = "checkpoints"
FORMAT = 1
UMASK = os.umask(0)  # there is no asking without setting it
os.umask(UMASK)


def save_checkpoint(
    run: Path,
    step: int,
    networks: Mapping[str, Mapping[str, Tensor]],
    state: dict[str, Any],
    config: str,
    keep: int,
    best: int | None = None,
) -> Path:
    """Writes ``runs/NAME/checkpoints/step-XXXXXX`` and removes all but the newest ``keep`` (0: none is removed) and
    the best.

    Args:
        run: the run's folder.
        step: the number of steps taken.
        networks: state dicts by network name.
        state: tensors and plain values that resuming needs.
        config: the resolved options as YAML.
        keep: how many of the newest stay.
        best: the step whose checkpoint is the best so far; unset, it stays the one that it was.

    Raises:
        ValueError: the disk is full or can't be written; what was there before is untouched.
    """
    target = checkpoint_of(run, step)
    folder, aside = target.parent, target.with_name(f".{target.name}.part")
    try:
        for left_over in folder.glob(".step-*"):  # of saves that were killed
            shutil.rmtree(left_over)
        aside.mkdir(parents=True)
        for name, tensors in networks.items():
            write_weights(aside / f"{name}.safetensors", tensors)
        torch.save({"format": FORMAT, "step": step, **state}, aside / "state.pt")
        (aside / CONFIG_FILE).write_text(config)
        files = {path.name: _sha256(path) for path in sorted(aside.iterdir())}
        (aside / "manifest.json").write_text(json.dumps({"format": FORMAT, "step": step, "files": files}, indent=2))
        for path in [*aside.iterdir(), aside]:
            flush(path)
        before = folder / f".step-{step:06d}.old"
        if target.exists():  # a damaged one of this step, which resuming went back behind
            os.replace(target, before)
        os.replace(aside, target)
        flush(folder)
        _write_name(folder, "latest", target.name)
        if best is not None:
            _write_name(folder, "best", f"step-{best:06d}")
        shutil.rmtree(before, ignore_errors=True)
        # Later steps are of another course of this run, which resuming went back behind: they are not the newest.
        numbered = list_checkpoints(run)
        at = numbered.index(target)
        older = [path for path in numbered[: at + 1][:-keep] if path.name != best_name(run)] if keep else []
        for old in numbered[at + 1 :] + older:
            shutil.rmtree(old, ignore_errors=True)  # the new one stands, whatever becomes of the old
    except (OSError, RuntimeError, SafetensorError) as error:  # torch.save and safetensors report a full disk their way
        shutil.rmtree(aside, ignore_errors=True)
        raise ValueError(f"{target}: the checkpoint can't be written ({str(error).splitlines()[0]})") from error
    return target


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors as safetensors, which others may read as they may any file: the library's are its owner's alone.

    Raises:
        OSError, SafetensorError: the file can't be written.
    """
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}  # it knows no channels_last
    save_file(plain, path, metadata)
    path.chmod(0o666 & ~UMASK)


def checkpoint_of(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint, be it there or not."""
    return run / FOLDER / f"step-{step:06d}"


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first by step."""
    folder = run / FOLDER
    found = [path for path in folder.iterdir() if re.fullmatch(r"step-\d+", path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def best_name(run: Path) -> str | None:
    """The name of a run's best checkpoint, or None where nothing was measured or it is no longer there."""
    file = run / FOLDER / "best"
    name = file.read_text().strip() if file.is_file() else ""
    return name if name and (run / FOLDER / name).is_dir() else None


def newest_checkpoint(run: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint that verifies, and a line for each newer one that does not.

    Raises:
        ValueError: there is none.
    """
    notes: list[str] = []
    for path in reversed(list_checkpoints(run)):
        try:
            verify(path)
        except ValueError as error:
            notes.append(f"{error}; going back to an earlier one")
            continue
        return path, notes
    reason = (
        notes[0].removesuffix("; going back to an earlier one") if notes else f"{run}: there is no checkpoint in it"
    )
    raise ValueError(reason)


def find_checkpoint(run: Path, which: str) -> tuple[Path, list[str]]:
    """The checkpoint that ``--checkpoint`` names: a step, "step-000600", "latest" or "best"; with notes as
    ``newest_checkpoint``.

    Raises:
        ValueError: there is no such step, with those that there are, or it is damaged.
    """
    if which == "latest":
        return newest_checkpoint(run)
    if which == "best":
        which = best_name(run) or which
    for path in list_checkpoints(run):
        if which == path.name or (which.isdecimal() and int(which) == int(path.name.removeprefix("step-"))):
            verify(path)
            return path, []
    steps = ", ".join(str(int(path.name.removeprefix("step-"))) for path in list_checkpoints(run)) or "none"
    if which == "best":
        raise ValueError(f"--checkpoint best: {run} measured none (train.evaluate_every); it has {steps}")
    raise ValueError(f"--checkpoint {which}: {run} has no such step; it has {steps}")


def verify(path: Path) -> None:
    """Raises ValueError, naming the file, if any file of a checkpoint is missing or is not what was written."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["format"] != FORMAT:
            raise ValueError(f"{path}: written by another version of img2img (format {manifest['format']})")
        for name, checksum in manifest["files"].items():
            if _sha256(path / name) != checksum:
                raise ValueError(f"{path}: {name} is damaged")
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: incomplete or damaged ({error})") from error


def checksum(path: Path, name: str) -> str:
    """The sha256 of one network of a checkpoint that verified, as it was written."""
    return json.loads((path / "manifest.json").read_text())["files"][f"{name}.safetensors"]


def network_name(path: Path, name: str) -> str:
    """The name under which a checkpoint has what inference takes for a network: its average, if there is one."""
    averaged = f"{name}_ema"
    return averaged if has_network(path, averaged) else name


def has_network(path: Path, name: str) -> bool:
    """Whether a checkpoint has a network of this name. Those of training have all, imported ones what was imported."""
    return (path / f"{name}.safetensors").exists()


def load_network(path: Path, name: str) -> dict[str, Tensor]:
    """The state dict of one network of a checkpoint, on the CPU. Raises ValueError if it has none of this name."""
    file = path / f"{name}.safetensors"
    if not has_network(path, name):
        raise ValueError(f"{file}: no such file; the checkpoint is of another model")
    return load_file(file)


def load_state(path: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given as ``state``, on the CPU."""
    return torch.load(path / "state.pt", map_location="cpu", weights_only=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_name(folder: Path, pointer: str, name: str) -> None:
    write_whole(folder / pointer, f"{name}\n".encode())
