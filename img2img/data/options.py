"""The data options: what every data set takes, and what those of two domains take beside it.

A data set's own options are a subclass, its ``Config``, in the data set's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

Domain = Literal["a", "b"]
Part = Literal["train", "val"]
Preprocess = Literal["resize_and_crop", "scale_width", "scale_width_and_crop", "crop", "none"]
Options = TypeVar("Options", bound="DataConfig")


def domains(direction: str) -> tuple[Domain, Domain]:
    """Of the directions AtoB and BtoA: (domain of the input, domain of the output)."""
    return ("a", "b") if direction == "AtoB" else ("b", "a")


class OneDirection:
    """The direction of data sets that have no option of that name."""

    direction: str = "AtoB"


@dataclass
class DataConfig(OneDirection):
    """Where the images are and what is done to them: the options of every data set."""

    everyday: ClassVar[Sequence[str]] = (
        "root toy preprocess load_size crop_size flip batch_size num_workers val_split".split()
    )
    """Options that --help shows without ``all``."""
    folders: ClassVar[Sequence[str]] = ("root",)
    """Options that name a user's own data: one of them replaces the embedded task."""
    fixed: ClassVar[Sequence[str]] = ()
    """Options that the networks' weights are made for: a run that is continued keeps them."""

    root: str | None = None
    """Folder of the set."""
    toy: bool = False
    """Train on the embedded toy task instead of files of data.root."""
    preprocess: Preprocess = "resize_and_crop"
    """How an image becomes what the networks see: resize_and_crop (a square of load_size, a square crop of crop_size),
    scale_width (load_size wide, its shape kept), scale_width_and_crop, crop (without resizing), or none."""
    load_size: int = 286
    """Side in pixels that a training image is resized to: a square, as in the paper, whatever its shape; or, for
    scale_width and scale_width_and_crop, its width."""
    crop_size: int = 256
    """Side in pixels of the random crop that the networks see; if it equals load_size, nothing is cropped."""
    stride: int = 32
    """With preprocess scale_width and none, sides are resized to the nearest multiples of this many pixels, which the
    halvings of a generator need: 32 is for pix2pixHD's four and one enhancer."""
    flip: bool = True
    """Mirror half of the training images."""
    batch_size: int = 1
    """Samples (pairs, or images, or images of each side) that a process takes at once."""
    num_workers: int = 4
    """Processes that read images; no more than there are cores are started. 0 reads in the training process."""
    train_split: str = "train"
    """Name of the training part of the set."""
    val_split: str | None = None
    """Name of the part that sample grids and evaluation use; unset, val, or test where there is no val."""

    def __post_init__(self) -> None:
        given = {key: folder for key in self.folders if (folder := getattr(self, key)) is not None}
        for key, folder in given.items():
            if not folder:
                raise ValueError(f"data.{key} is empty: give the folder of the images")
            if self.toy:
                raise ValueError(f"data.{key} {folder} and data.toy true: choose one of them")
        require_at_least(self, 1, ("load_size", "crop_size", "stride", "batch_size"))
        require_at_least(self, 0, ("num_workers",))
        if self.crop_size > self.load_size and self.preprocess in ("resize_and_crop", "scale_width_and_crop"):
            raise ValueError(
                f"data.crop_size {self.crop_size} is larger than data.load_size {self.load_size}: "
                "lower the one or raise the other"
            )

    def resized(self, augment: bool) -> int:
        """What images are resized to, and toy ones drawn at: ``load_size``, unless a crop is left out by resizing."""
        return self.crop_size if self.preprocess == "resize_and_crop" and not augment else self.load_size

    @property
    def width(self) -> int | None:
        """Width in pixels of the training images, where the options say it."""
        if self.preprocess == "scale_width":
            return max(1, round(self.load_size / self.stride)) * self.stride
        return None if self.preprocess == "none" else self.crop_size

    def splits(self, part: Part) -> tuple[str, ...]:
        """Names that this part of the set may have; the first that is there counts."""
        if part == "train":
            return (self.train_split,)
        return (self.val_split,) if self.val_split else ("val", "test")

    @property
    def channels(self) -> dict[str, int]:
        """Channels of a batch's arrays by their key."""
        raise NotImplementedError

    def with_partners(self: Options) -> Options:
        """These options, with validation images of one name as partners, where a set's images need have none."""
        return self


@dataclass
class TwoDomainConfig(DataConfig):
    """The options of a set of two domains, A and B."""

    everyday: ClassVar[Sequence[str]] = [*DataConfig.everyday, "direction", "channels_a", "channels_b"]
    fixed: ClassVar[Sequence[str]] = ("channels_a", "channels_b")

    direction: str = "AtoB"
    """AtoB translates A (of pairs the left image) into B. A model that learns both uses it in inference only."""
    channels_a: int = 3
    """Channels of A: 1 (gray), 3 (RGB) or 4 (RGBA); files are converted to it."""
    channels_b: int = 3
    """Channels of B."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self, "channels_a", "channels_b")

    @property
    def channels(self) -> dict[str, int]:
        """Channels of images by their key: of the domains, and of input and target in their direction."""
        of = {"a": self.channels_a, "b": self.channels_b}
        source, target = domains(self.direction)
        return {**of, "input": of[source], "target": of[target]}

    def require_colour(self) -> None:
        """Raises ValueError if a toy task that draws RGB is to have other channels."""
        for key in ("channels_a", "channels_b"):
            if getattr(self, key) != 3:
                raise ValueError(f"data.{key} {getattr(self, key)}: the toy task draws 3")


def require_at_least(config: DataConfig, least: int, keys: Sequence[str]) -> None:
    """Raises ValueError if one of the options is lower than ``least``."""
    for key in keys:
        if getattr(config, key) < least:
            raise ValueError(f"data.{key} {getattr(config, key)}: must be at least {least}")


def check_channels(config: DataConfig, *keys: str) -> None:
    """Raises ValueError if one of the options is no number of channels that images have."""
    for key in keys:
        if getattr(config, key) not in (1, 3, 4):
            raise ValueError(f"data.{key} {getattr(config, key)}: 1 (gray), 3 (RGB) or 4 (RGBA)")
