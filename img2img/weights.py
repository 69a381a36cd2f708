"""Reads state dicts of other programs, written by torch.save or as safetensors.

Only complete files of finite tensors are accepted, and code in the files is never run.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
NESTED = ("params_ema", "params")  # BasicSR's files hold one or both of these state dicts; the EMA is for inference


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads the state dict of a file: floats as fp32, keys without the prefixes of wrappers such as DataParallel.

    Of a file ``{params[, params_ema]}``, as BasicSR writes them, it is the EMA if there is one.

    Raises:
        ValueError: the file can't be read, is damaged, or has anything but finite tensors by name.
    """
    content = _load(path)
    if isinstance(content, Mapping) and content and set(content) <= set(NESTED):
        content = content[next(key for key in NESTED if key in content)]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: refused, it holds no tensors by their names: save one network's state_dict()")
    for key, value in content.items():
        if not isinstance(key, str):
            raise ValueError(f"{path}: refused, its key {key!r} isn't a string: save one network's state_dict() alone")
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            article = "an" if kind[0].lower() in "aeiou" else "a"
            raise ValueError(
                f"{path}: refused, its {key!r} is {article} {kind}, not a tensor: save one network's state_dict() alone"
            )
    names = list(content)
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    try:
        return {name: _numbers(name, value.detach()) for name, value in zip(names, content.values(), strict=True)}
    except ValueError as error:
        raise ValueError(f"{path}: refused, {error}") from error


def _numbers(name: str, value: Tensor) -> Tensor:
    """The tensor as fp32, or int64 for counts of batches. Raises ValueError for values that no working network has."""
    if value.layout != torch.strided or value.device.type != "cpu":
        kind = str(value.layout).removeprefix("torch.") if value.layout != torch.strided else value.device.type
        raise ValueError(f"its {name} is a {kind} tensor: save dense tensors on the CPU")
    if name.endswith("num_batches_tracked"):
        if value.is_complex() or value.is_quantized or not value.isfinite().all():
            raise ValueError(f"its {name} is not a number of batches")
        return value.long()  # may be a float in files converted to fp16
    if not value.is_floating_point():
        dtype = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"its {name} is {dtype}: convert the weights to fp32 or fp16 first")
    value = value.float()
    if not value.isfinite().all():
        raise ValueError(f"its {name} has NaN or infinite values: the training that wrote it had failed")
    if name.endswith("running_var") and (value < 0).any():
        raise ValueError(f"its {name} has values below 0, but variances can't be negative")
    return value


def _load(path: Path) -> Any:
    """Loads a file without running code. Raises ValueError if it can't be read or is incomplete."""
    if path.is_dir():
        example = min((file.name for file in path.glob("*_net_G*.pth")), default="latest_net_G.pth")
        raise ValueError(f"{path}: is a folder; give a file in it, such as {path / example}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror or error})") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused, it is no file of plain tensors, and opening it could run code: save the network's "
            "state_dict() instead"
        ) from error
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        KeyError,
        ValueError,
        AttributeError,
        IndexError,
        TypeError,
    ) as error:
        raise ValueError(f"{path}: damaged, or no file that torch.save or safetensors wrote") from error


def _check_sums(path: Path) -> None:
    """Raises ValueError if a zip file, as torch.save writes since 1.6, is damaged: torch.load ignores its checksums."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError) as error:
        raise ValueError(f"incomplete zip file: {error}") from error
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")
