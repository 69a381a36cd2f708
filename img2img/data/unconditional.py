"""Data set of images without inputs, with class labels if the set has them, for DCGAN and InfoGAN.

Images are read from a folder (``FolderImages``) or one of torchvision's sets (``torchvision_sets``). The toy task is
the 1797 handwritten digits of scikit-learn, 8x8 pixels each (E. Alpaydin and C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI 1998; ``Digits``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import Direction, ImageDataset, Lazy, read_or_next
from img2img.data.folder import FolderImages, list_images, other_splits, require_root, some
from img2img.data.images import resize, to_channels
from img2img.data.options import DataConfig, Part, check_channels
from img2img.data.torchvision_sets import TorchvisionImages, open_set
from img2img.data.toy import toy_split
from img2img.data.transforms import SizeCheck, jitter, keyed_seed
from img2img.errors import MissingPlace, needs_extra

VAL_EVERY = 8  # every eighth of the digits is a validation image


class ImageSource(Protocol):
    """A source of images: ``read`` returns one (H, W, C) and its class, which is None if the set has no classes."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, int | None]: ...


class NoImages:
    """An empty source, for the validation split of a set that has none."""

    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return 0

    def name(self, index: int) -> str:
        raise IndexError(index)

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        raise IndexError(index)


class Digits:
    """The toy task: handwritten digits, enlarged to ``size`` pixels by bicubic interpolation."""

    classes = tuple("0123456789")

    def __init__(self, splits: tuple[str, ...], channels: int, size: int) -> None:
        with needs_extra("digits", "the toy task of digits"):
            from sklearn.datasets import load_digits  # takes a second, not needed by other sets

        digits = load_digits()
        count = len(digits.target)
        val = range(VAL_EVERY - 1, count, VAL_EVERY)
        split, _ = toy_split(splits, {"train": count - len(val), "val": len(val)})
        self.places = list(val) if split == "val" else sorted(set(range(count)) - set(val))
        self.channels, self.size = channels, size
        self.digits = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # 0..16 -> (N, 8, 8, 1)
        self.labels = digits.target

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        return f"digit-{self.places[index]:04d}"

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        place = self.places[index]
        image = resize(self.digits[place], self.size, self.size)
        return to_channels(image, self.channels), int(self.labels[place])


class ClassFolder:
    """Images of a folder. If all of them are in sub-folders, the name of the sub-folder is the class.

    Args:
        folder: of the split.
        classes: folder of the training split, whose sorted sub-folders define the numbers of the classes.
        channels: files are converted to this number of channels.
        check: called with (file, height, width) of every image; raises ValueError for sizes that can't be used.

    Raises:
        ValueError: the folder is missing or empty, has unreadable images, or a class that ``classes`` doesn't have.
    """

    def __init__(self, folder: Path, classes: Path, channels: int, check: SizeCheck) -> None:
        self.images = FolderImages(folder, channels, check)
        names = self.images.names
        if classes != folder:
            names = [path.relative_to(classes).as_posix() for path in list_images(classes)]
        has_classes = all("/" in name for name in names)
        self.classes = tuple(sorted({name.partition("/")[0] for name in names})) if has_classes else ()
        self.numbers = {name: number for number, name in enumerate(self.classes)}
        unknown = sorted({self._class(i) for i in range(len(self))} - self.numbers.keys()) if self.classes else []
        if unknown:
            raise ValueError(
                f"{folder}: {some(unknown)} is not a class of {classes}: use the same names of sub-folders in both"
            )

    def _class(self, index: int) -> str:
        return self.images.names[index].partition("/")[0]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images.name(index)

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        return self.images.read(index), self.numbers[self._class(index)] if self.classes else None


@dataclass
class UnconditionalConfig(DataConfig):
    """Where the images are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = [*DataConfig.everyday, "torchvision", "channels_b"]
    fixed: ClassVar[Sequence[str]] = ("channels_b",)

    root: str | None = None
    """Folder with train/ (and val/ or test/), or with the training images themselves. Sub-folders are classes. With
    data.torchvision, the folder to download the set to."""
    toy: bool = False
    """Train on the toy task, scikit-learn's handwritten digits, instead of data.root."""
    torchvision: str | None = None
    """Name of a set of torchvision.datasets, such as MNIST, which is downloaded to data.root."""
    channels_b: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA). Files are converted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self, "channels_b")
        if self.torchvision and self.toy:
            raise ValueError(
                f"data.torchvision {self.torchvision} and data.toy true: set only one of them; data.root is the folder "
                "to download the set to"
            )
        if self.preprocess in ("scale_width", "none"):
            raise ValueError(
                f"data.preprocess {self.preprocess}: the model generates squares; set it to resize_and_crop, "
                "scale_width_and_crop or crop"
            )

    def moved(self, new: Mapping[str, Any]) -> UnconditionalConfig:
        """As in the base class. A set of torchvision must be there: nothing is downloaded to a mistyped folder."""
        root = new.get("root")
        if self.torchvision and root and not Path(root).is_dir():
            raise MissingPlace(
                "data.root", Path(root), kind="folder", advice=f"set it to the folder of {self.torchvision}"
            )
        return super().moved(new)

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of ``target``, a batch's images."""
        return {"target": self.channels_b}


class UnconditionalDataset(ImageDataset):
    """Samples have ``target`` (crop, crop, C) uint8 or uint16 and, if the set has classes, ``class``, an integer.
    Images that can't be decoded are replaced by the next one. A missing validation split has length 0.

    Raises:
        ValueError: the set can't be found or read; when sampling, if no image can be decoded.
    """

    Config = UnconditionalConfig
    config: UnconditionalConfig

    def __init__(self, config: UnconditionalConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform)
        self.source = image_source(config, part, config.resized(augment), self.check)
        self.notes: list[str] = []
        named = [f"{number} {name}" for number, name in enumerate(self.classes) if str(number) != name]
        if part == "train" and named:
            self.notes.append(f"classes     {some(named)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; empty if the set has none."""
        return self.source.classes

    def __len__(self) -> int:
        return len(self.source)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        (image, number), name, skipped = read_or_next(self.source, index)
        target = self._transformed(image, keyed_seed(self.seed, epoch, index))
        return {"target": target, **({} if number is None else {"class": number}), "name": name, "skipped": skipped}

    def _transformed(self, image: np.ndarray, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": image})["image"]

    def count(self, direction: str) -> int:
        return 0

    def images(self, domain: str) -> Sequence[np.ndarray]:
        return Lazy(len(self), lambda index: self._transformed(self.source.read(index)[0]))

    @classmethod
    def directions(cls, config: DataConfig) -> Mapping[str, Direction]:
        return {}


def image_source(config: UnconditionalConfig, part: Part, size: int, check: SizeCheck) -> ImageSource:
    """The images of the options' set, or toy images of ``size`` pixels. Raises ValueError as the sources."""
    splits = config.splits(part)
    if config.toy:
        check("the toy task's image", size, size)
        return Digits(splits, config.channels_b, size)
    if config.torchvision:
        dataset = open_set(config.torchvision, config.root, part, config.splits(part))
        if dataset is None:
            return NoImages()
        return TorchvisionImages(config.torchvision, dataset, config.channels_b, check)
    root = require_root(config.root)
    train = root / config.train_split
    has_splits = train.is_dir()
    if not has_splits and (
        config.train_split != "train" or any((root / split).is_dir() for split in config.splits("val"))
    ):
        raise ValueError(f"data.root {root}: no split {config.train_split}; {other_splits(root, splits, ())}")
    classes = train if has_splits else root
    if part == "train":
        return ClassFolder(classes, classes, config.channels_b, check)
    folder = next((root / split for split in splits if (root / split).is_dir()), None)
    if folder is None and config.val_split:
        raise ValueError(f"data.root {root}: no split {config.val_split}; {other_splits(root, splits, ())}")
    return ClassFolder(folder, classes, config.channels_b, check) if folder else NoImages()
