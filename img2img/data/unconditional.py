"""The data set of models that draw from noise: images without inputs, of classes where the set has them.

They come from a folder (``FolderImages``), from torchvision's public sets (``torchvision_sets``), or are the
embedded task: the 1797 handwritten digits of scikit-learn (E. Alpaydin and C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI 1998), 8x8 pixels each (``Digits``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from img2img.data.base import Direction, ImageDataset, Lazy, read_or_next
from img2img.data.folder import FolderImages, list_images, other_splits, require_root, some
from img2img.data.images import resize, to_channels
from img2img.data.options import DataConfig, Part, check_channels
from img2img.data.paired import set_folder
from img2img.data.torchvision_sets import TorchvisionImages, open_set
from img2img.data.toy import toy_split
from img2img.data.transforms import SizeCheck, jitter, keyed_seed

VAL_EVERY = 8  # of the digits, every eighth is a validation image


class ImageSource(Protocol):
    """Where images come from: ``read`` gives one (H, W, C) and its class, or None where the set has no classes."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[np.ndarray, int | None]: ...


class NoImages:
    """The validation part of a set that has none."""

    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return 0

    def name(self, index: int) -> str:
        raise IndexError(index)

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        raise IndexError(index)


class Digits:
    """The embedded task: handwritten digits, enlarged smoothly to ``size`` pixels."""

    classes = tuple("0123456789")

    def __init__(self, splits: tuple[str, ...], channels: int, size: int) -> None:
        from sklearn.datasets import load_digits  # a second that other sets need not wait for

        found = load_digits()
        count = len(found.target)
        val = range(VAL_EVERY - 1, count, VAL_EVERY)
        split, _ = toy_split(splits, {"train": count - len(val), "val": len(val)})
        self.places = list(val) if split == "val" else sorted(set(range(count)) - set(val))
        self.channels, self.size = channels, size
        self.digits = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]  # (N, 8, 8, 1) of 0..16 levels
        self.labels = found.target

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        return f"digit-{self.places[index]:04d}"

    def read(self, index: int) -> tuple[np.ndarray, int | None]:
        place = self.places[index]
        image = resize(self.digits[place], self.size, self.size)
        return to_channels(image, self.channels), int(self.labels[place])


class ClassFolder:
    """Images of a folder; where all of them lie in sub-folders, the first sub-folder is the class.

    Args:
        folder: of the wanted part.
        classes: folder whose sub-folders number the classes, in the order of their names: that of the training part.
        channels: what the files hold is converted to.
        check: called with every image (file, height, width), to refuse sizes that can't be used.

    Raises:
        ValueError: no such folder, an empty one, unreadable images, or a class that training has not.
    """

    def __init__(self, folder: Path, classes: Path, channels: int, check: SizeCheck) -> None:
        self.images = FolderImages(folder, channels, check)
        names = self.images.names
        if classes != folder:
            names = [path.relative_to(classes).as_posix() for path in list_images(classes)]
        apart = all("/" in name for name in names)
        self.classes = tuple(sorted({name.partition("/")[0] for name in names})) if apart else ()
        self.numbers = {name: number for number, name in enumerate(self.classes)}
        strange = sorted({self._class(i) for i in range(len(self))} - self.numbers.keys()) if self.classes else []
        if strange:
            raise ValueError(
                f"{folder}: {some(strange)} is no class of {classes}: a sub-folder of one name is one class"
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
    """Where the images are and what is done to them."""

    everyday: ClassVar[Sequence[str]] = [*DataConfig.everyday, "torchvision", "channels_b"]
    fixed: ClassVar[Sequence[str]] = ("channels_b",)

    root: str | None = None
    """Folder of the images: train/ in it, or the folder itself; a sub-folder is a class. With torchvision, the folder
    that the set is downloaded to."""
    toy: bool = False
    """Train on the embedded toy task, scikit-learn's handwritten digits, instead of files of data.root."""
    torchvision: str | None = None
    """Set of torchvision.datasets by its name, such as MNIST, kept in data.root."""
    channels_b: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA); files are converted to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self, "channels_b")
        if self.torchvision and self.toy:
            raise ValueError(
                f"data.torchvision {self.torchvision} and data.toy true: choose one of them; data.root is where the "
                "set is downloaded to"
            )
        if self.preprocess in ("scale_width", "none"):
            raise ValueError(
                f"data.preprocess {self.preprocess}: squares are drawn from noise; use resize_and_crop, "
                "scale_width_and_crop or crop"
            )

    @property
    def channels(self) -> dict[str, int]:
        """Channels of a batch's images, ``target``."""
        return {"target": self.channels_b}


class UnconditionalDataset(ImageDataset):
    """Samples have ``target`` (crop, crop, C) integers and, where the set has classes, ``class``, the number of one.
    Where an image can't be decoded, the next one comes. Images have ``channels_b`` channels; the part for validation
    may be missing, and then has none.

    Raises:
        ValueError: a set that can't be found or read; when sampling, if no image of the set can be decoded.
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
        """Names of the classes, by their numbers; empty where the set has none."""
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
    """The images that the options ask for; the toy's are enlarged to ``size``. Raises ValueError as the sources."""
    splits = config.splits(part)
    if config.toy:
        check("the toy task's image", size, size)
        return Digits(splits, config.channels_b, size)
    if config.torchvision:
        found = open_set(config.torchvision, config.root, part, config.splits(part))
        return NoImages() if found is None else TorchvisionImages(config.torchvision, found, config.channels_b, check)
    root = Path(set_folder(config, part))
    require_root(root)
    train = root / config.train_split
    parted = train.is_dir()
    if not parted and (config.train_split != "train" or any((root / split).is_dir() for split in config.splits("val"))):
        raise ValueError(f"data.root {root}: no split {config.train_split}; {other_splits(root, splits, ())}")
    classes = train if parted else root
    if part == "train":
        return ClassFolder(classes, classes, config.channels_b, check)
    folder = next((root / split for split in splits if (root / split).is_dir()), None)
    if folder is None and config.val_split:
        raise ValueError(f"data.root {root}: no split {config.val_split}; {other_splits(root, splits, ())}")
    return ClassFolder(folder, classes, config.channels_b, check) if folder else NoImages()
