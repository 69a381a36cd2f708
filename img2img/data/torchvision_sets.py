"""Sets of ``torchvision.datasets`` by name: those whose samples are (image, class)."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from img2img.data.images import UnreadableImage, to_channels
from img2img.data.options import Part
from img2img.data.transforms import SizeCheck


def open_set(name: str, root: str | None, part: Part, splits: Sequence[str]) -> Any:
    """Opens the set ``torchvision.datasets.NAME``, and downloads it to the folder ``root`` if it isn't there.

    Returns:
        The set's train or test part, or the first of ``splits`` that it has. None for "val" if the set has no parts.

    Raises:
        ValueError: there is no such set or split, or the download failed.
    """
    label = f"data.torchvision {name}"
    module: Any = importlib.import_module("torchvision.datasets")
    if name not in module.__all__:
        near = difflib.get_close_matches(name, module.__all__, 1)
        raise ValueError(
            f"{label}: torchvision.datasets has no such set; {f'did you mean {near[0]}?' if near else 'see its docs'}"
        )
    if root is None:
        raise ValueError(f"{label}: set data.root, the folder to download the set to")
    kind = getattr(module, name)
    parameters = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"root": root, "download": True}
    arguments = {key: value for key, value in arguments.items() if key in parameters}
    if "train" in parameters:
        choices: list[dict[str, Any]] = [{"train": part == "train"}]
    elif "split" in parameters:
        choices = [{"split": split} for split in splits]
    elif part == "val":
        return None
    else:
        choices = [{}]
    first_error: Exception | None = None
    for choice in choices:
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
            with FileLock(Path(root) / f".{name}.lock"):  # one process downloads, the others wait for it
                return kind(**arguments, **choice)
        except ValueError as error:  # usually: the set has no such split, so try the next one
            first_error = first_error or error
        except (OSError, RuntimeError, TypeError, ImportError) as error:
            first_error = error
            break
    raise ValueError(f"{label}: {' '.join(str(first_error).split())}") from first_error


class TorchvisionImages:
    """The images of a set: ``len()``, ``name(i)``, ``read(i)`` -> ((H, W, C), number of the class) and ``classes``.

    Args:
        name: of the set.
        dataset: the set, see ``open_set``.
        channels: images are converted to this number of channels.
        check: called with (name, height, width) of each image when it is read; raises ValueError for sizes that can't
            be used.

    Raises:
        ValueError: the set's samples aren't (image, number of the class).
    """

    def __init__(self, name: str, dataset: Any, channels: int, check: SizeCheck) -> None:
        self.set, self.kind, self.channels, self.check = dataset, name, channels, check
        image, number = dataset[0]
        if not isinstance(image, Image.Image) or not isinstance(number, int):
            kinds = f"{type(image).__name__} and {type(number).__name__}"
            raise ValueError(
                f"data.torchvision {self.kind}: its samples are {kinds}, but only sets of an image and a class number "
                "can be used"
            )
        names = getattr(dataset, "classes", None)
        if names is None:  # some sets only have the numbers
            numbers = next((n for key in ("targets", "labels") if (n := getattr(dataset, key, None)) is not None), ())
            names = range(1 + max((int(n) for n in numbers), default=-1))
        self.classes = tuple(str(name) for name in names)
        self.read(0)  # so that a wrong size shows before training

    def __len__(self) -> int:
        return len(self.set)

    def name(self, index: int) -> str:
        return f"{self.kind}-{index:06d}"

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        try:
            image, number = self.set[index]
        except (OSError, SyntaxError) as error:
            raise UnreadableImage(f"{self.name(index)}: can't be read ({error})") from error
        if image.mode not in ("L", "RGB", "RGBA"):
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        self.check(self.name(index), image.height, image.width)
        return to_channels(np.asarray(image), self.channels), number if self.classes else None
