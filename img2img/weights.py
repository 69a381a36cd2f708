"""State dicts that others wrote, with torch.save or as safetensors.

They must be plain, whole and finite tensors: anything else is refused with a reason, and no code of the file is run.
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

PREFIXES = ("module.", "_orig_mod.")  # those of DataParallel and of torch.compile


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, as fp32 where it has floats, without the prefixes that wrappers give its keys.

    Raises:
        ValueError: it can't be read, is damaged, or holds anything but numbers by their names.
    """
    content = _load(path)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path}: refused, it holds no tensors by their names, as a state_dict() is")
    for key, value in content.items():
        if not isinstance(key, str):
            raise ValueError(f"{path}: refused, its key {key!r} is no name; save one network's state_dict() alone")
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            article = "an" if kind[0].lower() in "aeiou" else "a"
            raise ValueError(
                f"{path}: refused, its {key!r} is {article} {kind}, and no tensor: save one network's state_dict() "
                "alone"
            )
    names = list(content)
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    try:
        return {name: _numbers(name, value.detach()) for name, value in zip(names, content.values(), strict=True)}
    except ValueError as error:
        raise ValueError(f"{path}: refused, {error}") from error


def _numbers(name: str, value: Tensor) -> Tensor:
    """A tensor as fp32, or a count of batches. Raises ValueError for what no network that works has."""
    if value.layout != torch.strided or value.device.type != "cpu":
        kind = str(value.layout).removeprefix("torch.") if value.layout != torch.strided else value.device.type
        raise ValueError(f"its {name} is a {kind} tensor, which holds no plain numbers")
    if name.endswith("num_batches_tracked"):
        if value.is_complex() or value.is_quantized or not value.isfinite().all():
            raise ValueError(f"its {name} is no count")
        return value.long()  # halved files may have halved it, too
    if not value.is_floating_point():
        dtype = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"its {name} is of {dtype}: weights are fp32 or fp16; convert them back first")
    value = value.float()
    if not value.isfinite().all():
        raise ValueError(f"its {name} has values that are NaN or infinite: the training that wrote it had failed")
    if name.endswith("running_var") and (value < 0).any():
        raise ValueError(f"its {name} has values below 0, which no variance is")
    return value


def _load(path: Path) -> Any:
    """What ``torch.load`` finds of plain values. Raises ValueError if the file can't be read, or isn't whole."""
    if path.is_dir():
        example = min((file.name for file in path.glob("*_net_G*.pth")), default="latest_net_G.pth")
        raise ValueError(f"{path}: is a folder; name a file in it, such as {path / example}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror or error})") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused, it is no file of plain tensors, and opening it could run code; save the network's "
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
    """Raises ValueError if a zip file, as torch writes them since 1.6, isn't whole: torch looks at no checksum."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError) as error:
        raise ValueError(f"no whole zip file: {error}") from error
    if damaged is not None:
        raise ValueError(f"{damaged} is not what its checksum says")
