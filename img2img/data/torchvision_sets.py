"""Public sets by name, as torchvision downloads and reads them: those whose samples are an image and its class."""

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
    """A part of the set ``torchvision.datasets.NAME``, downloaded to the folder ``root`` if it is not there yet.

    The part is what the set calls train and test, or the first of ``splits`` that it has. None: the set is all of one
    piece, and has no validation part.

    Raises:
        ValueError: no such set or part, or a download that failed.
    """
    label = f"data.torchvision {name}"
    module: Any = importlib.import_module("torchvision.datasets")
    if name not in module.__all__:
        near = difflib.get_close_matches(name, module.__all__, 1)
        raise ValueError(f"{label}: torchvision.datasets has no such set{f'; did you mean {near[0]}?' if near else ''}")
    if root is None:
        raise ValueError(f"{label}: set data.root to the folder that it is in, or is to be downloaded to")
    kind = getattr(module, name)
    takes = inspect.signature(kind).parameters
    given: dict[str, Any] = {"root": root, "download": True}
    given = {key: value for key, value in given.items() if key in takes}
    if "train" in takes:
        choices: list[dict[str, Any]] = [{"train": part == "train"}]
    elif "split" in takes:
        choices = [{"split": split} for split in splits]
    elif part == "val":
        return None
    else:
        choices = [{}]
    refused: Exception | None = None
    for choice in choices:
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
            with FileLock(Path(root) / f".{name}.lock"):  # one process downloads, the next ones find the files
                return kind(**given, **choice)
        except ValueError as error:  # a split that this set does not have, among other things
            refused = refused or error
        except (OSError, RuntimeError, TypeError, ImportError) as error:
            refused = error
            break
    raise ValueError(f"{label}: {' '.join(str(refused).split())}") from refused


class TorchvisionImages:
    """Its images: ``len()``, ``name(i)``, ``read(i)`` -> (H, W, C) and the number of its class, and ``classes``.

    Args:
        name: of the set.
        found: what ``open_set`` returned.
        channels: what the images are converted to.
        check: called with every image when it is read, to refuse sizes that can't be used.

    Raises:
        ValueError: its samples are no image and the number of its class.
    """

    def __init__(self, name: str, found: Any, channels: int, check: SizeCheck) -> None:
        self.set, self.kind, self.channels, self.check = found, name, channels, check
        image, number = found[0]
        if not isinstance(image, Image.Image) or not isinstance(number, int):
            kinds = f"{type(image).__name__} and {type(number).__name__}"
            raise ValueError(
                f"data.torchvision {self.kind}: its samples are {kinds}, not an image and the number of its class"
            )
        names = getattr(found, "classes", None)
        if names is None:  # some sets only have the numbers
            numbers = next((n for key in ("targets", "labels") if (n := getattr(found, key, None)) is not None), ())
            names = range(1 + max((int(n) for n in numbers), default=-1))
        self.classes = tuple(str(name) for name in names)
        self.read(0)  # a size that can't be used shows before training

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
