"""The interface of data sets: samples to train on, and items to translate.

A data set is one file with one subclass of ``ImageDataset``. Training reads samples by (epoch, index). Sample grids,
validation, inference and metrics read the ``items`` of a direction, so they work with any data set, paired or not.
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
    """Names of the domains of a translation's input and output. ``source`` None: any domain but ``target``."""

    source: str | None
    target: str


class LabelSet(NamedTuple):
    """Labels of images that are known together: domains, or attributes."""

    names: tuple[str, ...]
    exclusive: bool
    """Whether every image has exactly one of them, as with domains that exclude each other."""


class TargetLabel(NamedTuple):
    """What images of a direction's target have in common: they have, or lack, one of the data set's labels."""

    number: int
    """Place of the label among all ``ImageDataset.label_sets``."""
    on: bool
    """Whether they have it."""


class NoTrainingImages(ValueError):
    """A trivial answer needs the training images, which can't be opened."""


@dataclass(frozen=True)
class Item:
    """One input to translate, and its target if that is known."""

    name: str
    """Path of its file below the set's folder, without a suffix."""
    inputs: Mapping[str, np.ndarray]
    """Arrays by key of a batch: images (H, W, C) or clips (T, H, W, C) of uint8, uint16 or float32 in [0, 1] (or
    outside, such as noise that isn't clipped); maps of ids (H, W, 1) int32; vectors (N,) float32. ``mask`` (H, W, 1)
    uint8 is white, 128 or more, in holes that are to be filled."""
    target: np.ndarray | None = None
    """(H', W', C) uint8 or uint16 of any size; None if unknown."""
    sequence: str | None = None
    """Name of the video that this frame belongs to. Frames of a video are read in their order."""

    @property
    def image(self) -> np.ndarray:
        """The first of the inputs, whose height and width are the item's."""
        return next(iter(self.inputs.values()))


class Lazy(Sequence[T]):
    """A sequence whose elements are made on access: ``Lazy(length, make)[i]`` is ``make(i)``."""

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
        config: the data options, an instance of ``Config``. The attribute ``config`` also has what the set on disk
            fills in, such as the names of domains.
        part: "train" or "val".
        augment: whether samples are randomly cropped and flipped, as in training.
        seed: of the augmentation.

    Raises:
        ValueError: options that exclude each other; files that are missing or can't be read.
    """

    Config: ClassVar[type[DataConfig]] = TwoDomainConfig
    """Class of its options: ``TwoDomainConfig``, ``DataConfig`` or a subclass defined in the data set's file."""
    ordered: ClassVar[bool] = False
    """Whether items are video frames and must be translated in order."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Keys of further input files that inference needs for an item: ``infer --with mask=FILE|DIR``."""

    notes: Sequence[str] = ()
    """Remarks and warnings about the set, which are logged when training starts."""

    def __init__(self, config: DataConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        self.config, self.part, self.augment, self.seed = config, part, augment, seed

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """The training sample of (epoch, index), the same in every process.

        A dictionary of arrays as in ``Item.inputs``, where ``input`` and ``target`` follow ``config.direction``;
        integers, such as a class; ``name``; and ``skipped``, the error messages of files that could not be decoded and
        were replaced by the next ones.
        """
        raise NotImplementedError

    def samples(self, key: tuple[int, int]) -> list[dict[str, Any]]:
        """The training samples of (epoch, index) in a batch: ``dataset[key]``, or several of one decoded image."""
        return [self[key]]

    def require_side(self, least: int) -> None:
        """Raises ValueError, naming the file, if a transformed image has a side of less than ``least`` pixels."""

    def count(self, direction: str) -> int:
        """Number of items to translate in a direction."""
        raise NotImplementedError

    def item(self, direction: str, index: int) -> Item:
        """Reads an item, without random augmentation, at the size of training images. Raises UnreadableImage."""
        raise NotImplementedError

    def item_name(self, direction: str, index: int) -> str:
        """The name of an item, without decoding it."""
        raise NotImplementedError

    def target_name(self, direction: str, index: int) -> str | None:
        """The name of an item's target, without decoding it; None if it has no target."""
        return self.item_name(direction, index) if self.has_target(direction, index) else None

    def has_target(self, direction: str, index: int) -> bool:
        """Whether an item has a target, without decoding it."""
        raise NotImplementedError

    def without_targets(self) -> ImageDataset:
        """The same set, whose items may lack targets if reading them takes time: for metrics that don't use them."""
        return self

    def trivial_answers(self, direction: str) -> Mapping[str, Callable[[Item], np.ndarray]]:
        """Answers without learning, by title, beside which the outputs of a run are measured.

        Functions of an item to an image (H', W', C') of the target's size: the input itself, or classical methods.
        {}: none, as for most translations. They raise NoTrainingImages if they need those, and they are gone.
        """
        return {}

    def of_luma_planes(self) -> ImageDataset:
        """The same set, of the Y planes of its images (``images.luma_plane``, 8 bits): inputs are made of those.

        Raises:
            ValueError: inputs are not made of the targets, or not by steps that Y planes have.
        """
        raise ValueError("--protocol y: is for runs whose inputs are made of clean images; leave it out")

    def items(self, direction: str) -> Sequence[Item]:
        """The items to translate in a direction, read on access, which may raise UnreadableImage."""
        return Lazy(self.count(direction), lambda index: self.item(direction, index))

    def images(self, domain: str) -> Sequence[np.ndarray]:
        """The real images (H, W, C) of a domain, read on access, which may raise UnreadableImage.

        By default they are the targets of a direction to that domain. Data sets whose items may lack targets override
        this.
        """

        def target(name: str, index: int) -> np.ndarray:
            image = self.item(name, index).target
            assert image is not None, "sets whose items may lack targets override images()"
            return image

        name = next(name for name, way in self.directions(self.config).items() if way.target == domain)
        return Lazy(self.count(name), lambda index: target(name, index))

    def class_map(self, direction: str, index: int, side: str, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The class ids (H, W) of an item: its label map, or those that ``read`` decodes from a colour-coded image.

        Args:
            direction, index: of the item.
            side: "input" or "target": the one that is colour-coded.
            read: image (H, W, C) -> ids (H, W). It is given the file's original pixels, because resizing mixes colours.

        Raises:
            UnreadableImage: the file can't be decoded.
        """
        raise NotImplementedError

    @property
    def size(self) -> str:
        """Number of images as text for the log: "1000", or "1067 + 1334" for two domains."""
        return str(len(self))

    @classmethod
    def is_meant(cls, config: Any) -> bool:
        """Whether the options select this data set, for models that list several."""
        return True

    @classmethod
    def directions(cls, config: Any) -> Mapping[str, Direction]:
        """The directions of translation by name; empty if images are generated from noise. They depend on the options
        only, because inference has no image set."""
        return {"AtoB": Direction("a", "b"), "BtoA": Direction("b", "a")}

    @classmethod
    def titles(cls, config: Any) -> Mapping[str, str]:
        """Titles of the sample grid's columns by key of a batch or of ``Model.samples`` (default: the key)."""
        return {}

    @classmethod
    def validated(cls, config: Any) -> Sequence[str]:
        """The directions that training measures (``train.evaluate_every``); the scores are means over them."""
        return [config.direction]

    @classmethod
    def label_sets(cls, config: Any) -> Sequence[LabelSet]:
        """The labels that images have; several sets if each is known of a part of the images. () without labels."""
        return ()

    @classmethod
    def target_label(cls, config: Any, direction: str) -> TargetLabel | None:
        """What the outputs of a direction should have in common. None without labels."""
        return None

    def known_labels(self, sample: Mapping[str, Any]) -> np.ndarray:
        """The labels (n,) float32 of a sample's image, of all ``label_sets``: 1 if it has one, else 0; NaN: unknown.

        Only for sets with labels."""
        raise NotImplementedError

    @classmethod
    def ranges(cls, config: Any) -> Mapping[str, Range]:
        """Pixel values that are mapped to -1 and 1, by key of a batch. Default for a key: the range of its integer
        type."""
        return {}

    @classmethod
    def read(cls, config: Any, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        """Reads a user's file, and the files that belong to it, as an item.

        Args:
            config: data options of the run.
            direction: direction of the translation.
            path: the file.
            others: companion files, or folders of them, by key.

        Raises:
            UnreadableImage: the file can't be decoded.
            ValueError: a companion file is missing, or the run doesn't use it.
        """
        raise NotImplementedError

    @classmethod
    def side_by_side(cls, config: Any) -> Path | None:
        """A training file with input and target side by side, if the set has such files, so that inference
        recognises one that is given as an input by mistake."""
        return None

    @classmethod
    def complete(cls, config: Any, direction: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the inputs that follow from the direction, such as a target domain, to those that the user gave."""
        return dict(arrays)

    @classmethod
    def inputs(cls, config: Any, files: Sequence[Path]) -> list[Path]:
        """The files to translate, of all image files of a folder, in their order."""
        return list(files)


def refuse_companions(others: Mapping[str, Path], known: Sequence[str]) -> None:
    """Raises ValueError for a companion file that is not one of the ``known`` keys."""
    for key, path in others.items():
        if key not in known:
            advice = f"it uses {', '.join(known)}" if known else "leave it out"
            raise ValueError(f"--with {key}={path}: the run doesn't use {key}; {advice}")


def read_or_next(source: Any, index: int) -> tuple[Any, str, list[str]]:
    """Reads sample ``index`` of a source, or the next one that can be decoded.

    Returns:
        What ``source.read`` returned, the sample's name, and the messages of those that could not be decoded.

    Raises:
        ValueError: no sample can be decoded.
    """
    skipped: list[str] = []
    for attempt in range(len(source)):
        chosen = (index + attempt) % len(source)
        try:
            return source.read(chosen), source.name(chosen), skipped
        except UnreadableImage as error:
            skipped.append(str(error))
    raise ValueError(f"none of the {len(source)} images can be decoded: {skipped[0]}")
