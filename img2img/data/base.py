"""The contract of data sets: samples to train on, and items to translate.

A data set is one file with one subclass of ``ImageDataset``. Training asks it for samples by (epoch, index); whatever
else looks at data (sample grids, validation, inference, metrics) asks it for ``items`` of a direction and knows nothing
of pairs, sides or classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar, overload

import numpy as np
from torch.utils.data import Dataset

from img2img.data.images import Range, UnreadableImage
from img2img.data.options import DataConfig, Part, TwoDomainConfig

T = TypeVar("T")


class Direction(NamedTuple):
    """What a translation starts from and what it makes, as names of domains; ``source`` None: any other domain."""

    source: str | None
    target: str


@dataclass(frozen=True)
class Item:
    """One thing to translate, and what it should become."""

    name: str
    """Path below its set or folder, without a suffix."""
    inputs: Mapping[str, np.ndarray]
    """Arrays by their key in a batch: images (H, W, C) or clips (T, H, W, C) of uint8 or uint16, maps of ids (H, W, 1)
    int32, vectors (N,) float32."""
    target: np.ndarray | None = None
    """(H', W', C) of any size and depth; None where nobody knows it."""
    sequence: str | None = None
    """The film that this frame is of; items of one film are asked for in their order."""

    @property
    def image(self) -> np.ndarray:
        """The first of the inputs: its height and width are the item's."""
        return next(iter(self.inputs.values()))


class Lazy(Sequence[T]):
    """A sequence whose elements are made when they are asked for: ``Lazy(length, make)[i]`` is ``make(i)``."""

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            places = range(self.length)[index]
            return Lazy(len(places), lambda i: self.make(places[i]))
        return self.make(range(self.length)[index])


class ImageDataset(Dataset[dict]):
    """Base of every data set.

    Args:
        config: the data options, an instance of its ``Config``.
        part: which part of the set.
        augment: whether chance may change a sample, as in training.
        seed: of the augmentation.

    Raises:
        ValueError: options that exclude each other; a set that can't be found or read.
    """

    Config: ClassVar[type[DataConfig]] = TwoDomainConfig
    """Its options: ``TwoDomainConfig``, ``DataConfig`` or a subclass, which stands in the data set's file."""
    ordered: ClassVar[bool] = False
    """Whether items are frames, which follow each other."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Further files of an item at inference, by their key in a batch: ``infer.py --with mask=FILE|DIR``."""

    notes: Sequence[str] = ()
    """What a user should know of the set although it can be used."""

    def __init__(self, config: DataConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        self.config, self.part, self.augment, self.seed = config, part, augment, seed

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """A training sample by (epoch, index), the same whatever process asks for it.

        Arrays as ``Item.inputs`` has them, ``input`` and ``target`` following ``config.direction``; integers such as a
        class; ``name``; and ``skipped``, the messages of files that can't be decoded, in whose place others came.
        """
        raise NotImplementedError

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if an image becomes less than ``least`` pixels wide or high."""

    def count(self, direction: str) -> int:
        """How many items there are to translate in a direction."""
        raise NotImplementedError

    def item(self, direction: str, index: int) -> Item:
        """One item to translate, without chance, at the size that was trained with. Raises UnreadableImage."""
        raise NotImplementedError

    def item_name(self, direction: str, index: int) -> str:
        """The name of an item, known without decoding it."""
        raise NotImplementedError

    def target_name(self, direction: str, index: int) -> str | None:
        """The name of an item's target, known without decoding it; None where it has none."""
        return self.item_name(direction, index) if self.has_target(direction, index) else None

    def has_target(self, direction: str, index: int) -> bool:
        """Whether an item has a target, known without decoding it."""
        raise NotImplementedError

    def without_targets(self) -> ImageDataset:
        """This set for metrics that compare no image with its target: items may leave out what costs a file to read."""
        return self

    def items(self, direction: str) -> Sequence[Item]:
        """What is to be translated in a direction. Each is read when it is asked for; raises UnreadableImage."""
        return Lazy(self.count(direction), lambda index: self.item(direction, index))

    def images(self, domain: str) -> Sequence[np.ndarray]:
        """The real images of a domain, (H, W, C), as items have them. Each may raise UnreadableImage.

        Here the targets of a direction to that domain; sets whose items have none say themselves.
        """

        def target(name: str, index: int) -> np.ndarray:
            image = self.item(name, index).target
            assert image is not None, "items of one direction all have targets, or the set says itself"
            return image

        name = next(name for name, way in self.directions(self.config).items() if way.target == domain)
        return Lazy(self.count(name), lambda index: target(name, index))

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The classes (H, W) of an item: its label map, or what ``read`` finds in the painted image of a side.

        Args:
            direction, index: of the item.
            side: "input" or "target": which of the two is painted.
            read: image (H, W, C) -> ids (H, W), of the file's own pixels: colours that are resized mix to others.

        Raises:
            UnreadableImage: the file can't be decoded.
        """
        raise NotImplementedError

    @property
    def size(self) -> str:
        """How many images there are, for a line of the log: "1000", or "1067 + 1334" of two sides."""
        return str(len(self))

    @classmethod
    def is_meant(cls, config: Any) -> bool:
        """Whether the options ask for this kind of set, of those that a model lists."""
        return True

    @classmethod
    def resolve(cls, config: Any) -> Any:
        """The options of a new training with what the set on disk fills in, such as the names of its domains; they
        stand in config.yaml from then on. Raises ValueError if it can't be found."""
        return config

    @classmethod
    def directions(cls, config: Any) -> Mapping[str, Direction]:
        """The directions that such a set has, by name. From options alone: inference has no set on disk. None where
        images are drawn from noise."""
        return {"AtoB": Direction("a", "b"), "BtoA": Direction("b", "a")}

    @classmethod
    def ranges(cls, config: Any) -> Mapping[str, Range]:
        """What values of an image stand for -1 and 1, by its key in a batch; of keys that are not there, the ends of
        its type of integers."""
        return {}

    @classmethod
    def read(cls, config: Any, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        """A user's file as an item: only the set knows what must lie beside it.

        Args:
            config: the options of the run.
            direction: that of the translation.
            path: the file.
            others: further files, or folders of such, by key.

        Raises:
            UnreadableImage: it can't be decoded.
            ValueError: a further file is missing, or of no use here.
        """
        raise NotImplementedError

    @classmethod
    def side_by_side(cls, config: Any) -> Path | None:
        """A training file that holds an input and its target side by side, where files do: a user may give another one
        to translate by mistake."""
        return None

    @classmethod
    def complete(cls, config: Any, direction: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of an item from those that a user gave, with what the direction adds, such as its domain."""
        return dict(arrays)

    @classmethod
    def inputs(cls, config: Any, files: Sequence[Path]) -> list[Path]:
        """Those of a folder's image files that are to be translated, in their order."""
        return list(files)


def refuse_companions(others: Mapping[str, Path], known: Sequence[str]) -> None:
    """Raises ValueError for a further file that a data set has no use for."""
    for key, path in others.items():
        if key not in known:
            there = f"there is {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"--with {key}={path}: the run has no use for it; {there}")


def read_or_next(source: Any, index: int) -> tuple[Any, str, list[str]]:
    """What ``source.read`` gives for a sample, or for the next one that can be decoded; its name; and the messages of
    those that could not. Raises ValueError if none can.
    """
    skipped: list[str] = []
    for attempt in range(len(source)):
        chosen = (index + attempt) % len(source)
        try:
            return source.read(chosen), source.name(chosen), skipped
        except UnreadableImage as error:
            skipped.append(str(error))
    raise ValueError(f"no image of the set can be decoded: {skipped[0]}")
