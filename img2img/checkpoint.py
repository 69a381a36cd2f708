"""Checkpoints: one folder per step, which is either complete or absent.

    runs/NAME/checkpoints/step-000600/   generator.safetensors ...   every network under its own name
                                         state.pt                    optimizers, step, position in the data
                                         config.yaml                 the resolved options
                                         manifest.json               sha256 of each file
    runs/NAME/checkpoints/latest         name of the newest checkpoint
    runs/NAME/checkpoints/best           name of the checkpoint with the best validation score, if there was validation

A checkpoint is written to a temporary folder, flushed to the disk and renamed, so that killing the process at any time
damages none. Only tensors and plain values are stored, and loading runs no code (safetensors; ``weights_only=True``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from img2img.files import flush, write_whole
from img2img.run_files import CONFIG_FILE

FOLDER = "checkpoints"
FORMAT = 1
UMASK = os.umask(0)  # it can only be read by setting it
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
    """Writes ``runs/NAME/checkpoints/step-XXXXXX`` and removes old checkpoints.

    Args:
        run: the run's folder.
        step: number of steps taken.
        networks: state dicts by network name.
        state: tensors and plain values that resuming needs.
        config: the resolved options as YAML.
        keep: number of newest checkpoints to keep, besides the best one; 0: all.
        best: step of the best checkpoint so far; unset: unchanged.

    Returns:
        The checkpoint's folder.

    Raises:
        ValueError: the checkpoint can't be written, for example because the disk is full; older ones are unchanged.
    """
    target = checkpoint_of(run, step)
    folder, aside = target.parent, target.with_name(f".{target.name}.part")
    try:
        for left_over in folder.glob(".step-*"):  # by processes killed while saving
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
        if target.exists():  # it was damaged, and resuming began at an earlier one
            os.replace(target, before)
        os.replace(aside, target)
        flush(folder)
        _write_name(folder, "latest", target.name)
        if best is not None:
            _write_name(folder, "best", f"step-{best:06d}")
        shutil.rmtree(before, ignore_errors=True)
        # Checkpoints of later steps were damaged or abandoned when resuming began at an earlier one: remove them.
        numbered = list_checkpoints(run)
        at = numbered.index(target)
        older = [path for path in numbered[: at + 1][:-keep] if path.name != best_name(run)] if keep else []
        for old in numbered[at + 1 :] + older:
            shutil.rmtree(old, ignore_errors=True)  # errors don't matter: the new one is complete
    except (OSError, RuntimeError, SafetensorError) as error:  # those of torch.save and safetensors for a full disk
        shutil.rmtree(aside, ignore_errors=True)
        raise ValueError(f"{target}: the checkpoint can't be written ({str(error).splitlines()[0]})") from error
    return target


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors as safetensors, with the file permissions of the umask (the library makes files private).

    Raises:
        OSError, SafetensorError: the file can't be written.
    """
    plain = {
        key: value.detach().cpu().contiguous() for key, value in tensors.items()
    }  # safetensors doesn't support channels_last
    save_file(plain, path, metadata)
    path.chmod(0o666 & ~UMASK)


def write_network(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a network with its metadata to a file of its own: whole, or not at all.

    Raises:
        ValueError: the file can't be written.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        write_weights(aside, tensors, metadata)
        aside.replace(path)
    except (OSError, SafetensorError) as error:  # SafetensorError if the disk is full
        aside.unlink(missing_ok=True)
        raise ValueError(f"{path}: can't be written ({getattr(error, 'strerror', None) or error})") from error


def require_writable(path: Path) -> None:
    """Raises ValueError if a file can't be written: to be asked before minutes of training."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise OSError(None, "it is a folder")
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error


def checkpoint_of(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint, which need not exist."""
    return run / FOLDER / f"step-{step:06d}"


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, sorted by step."""
    folder = run / FOLDER
    paths = [path for path in folder.iterdir() if re.fullmatch(r"step-\d+", path.name)] if folder.is_dir() else []
    return sorted(paths, key=lambda path: int(path.name.removeprefix("step-")))


def best_name(run: Path) -> str | None:
    """The name of a run's best checkpoint; None if nothing was evaluated or it no longer exists."""
    file = run / FOLDER / "best"
    name = file.read_text().strip() if file.is_file() else ""
    return name if name and (run / FOLDER / name).is_dir() else None


def newest_checkpoint(run: Path) -> tuple[Path, list[str]]:
    """The newest undamaged checkpoint, and a message for each newer one that is damaged.

    Raises:
        ValueError: there is no undamaged checkpoint.
    """
    notes: list[str] = []
    for path in reversed(list_checkpoints(run)):
        try:
            verify(path)
        except ValueError as error:
            notes.append(f"{error}; using an earlier checkpoint")
            continue
        return path, notes
    raise ValueError(notes[0].removesuffix("; using an earlier checkpoint") if notes else f"{run}: has no checkpoint")


def find_checkpoint(run: Path, which: str) -> tuple[Path, list[str]]:
    """Finds the checkpoint of an argument ``--checkpoint``: a step, "step-000600", "latest" or "best".

    Returns:
        The checkpoint, and messages as ``newest_checkpoint``.

    Raises:
        ValueError: there is no such checkpoint (the message lists those that exist), or it is damaged.
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
        raise ValueError(
            f"--checkpoint best: {run} has no best checkpoint (train.evaluate_every was 0); choose one of {steps}"
        )
    raise ValueError(f"--checkpoint {which}: {run} has no such step; choose one of {steps}")


def verify(path: Path) -> None:
    """Raises ValueError, naming the file, if a file of a checkpoint is missing or has changed since it was written."""
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
    """The sha256 of a network's file, from the manifest of an undamaged checkpoint."""
    return json.loads((path / "manifest.json").read_text())["files"][f"{name}.safetensors"]


def network_name(path: Path, name: str) -> str:
    """The name of the weights that inference uses for a network: its EMA, if the checkpoint has one."""
    ema = f"{name}_ema"
    return ema if has_network(path, ema) else name


def has_network(path: Path, name: str) -> bool:
    """Whether a checkpoint has a network of this name: imported runs may lack some."""
    return (path / f"{name}.safetensors").exists()


def load_network(path: Path, name: str) -> dict[str, Tensor]:
    """Loads the state dict of a network to the CPU. Raises ValueError if the checkpoint has no such network."""
    file = path / f"{name}.safetensors"
    if not has_network(path, name):
        raise ValueError(f"{file}: no such file; the checkpoint belongs to another model")
    return load_file(file)


def load_state(path: Path) -> dict[str, Any]:
    """Loads the ``state`` of ``save_checkpoint`` to the CPU."""
    return torch.load(path / "state.pt", map_location="cpu", weights_only=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_name(folder: Path, pointer: str, name: str) -> None:
    write_whole(folder / pointer, f"{name}\n".encode())
