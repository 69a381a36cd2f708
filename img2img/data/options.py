"""Options of data sets: ``DataConfig`` for all of them, ``TwoDomainConfig`` for those with domains A and B.

Each data set defines its own subclass, its ``Config``, in its own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

from img2img.errors import require_at_least

Domain = Literal["a", "b"]
Part = Literal["train", "val"]
Preprocess = Literal["resize_and_crop", "scale_width", "scale_width_and_crop", "crop", "none"]
Options = TypeVar("Options", bound="DataConfig")


def domains(direction: str) -> tuple[Domain, Domain]:
    """(Domain of the input, domain of the output) of the direction "AtoB" or "BtoA"."""
    return ("a", "b") if direction == "AtoB" else ("b", "a")


class OneDirection:
    """Gives ``direction`` to data sets that have no such option."""

    direction: str = "AtoB"


@dataclass
class DataConfig(OneDirection):
    """Where the images are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = (
        "root toy preprocess load_size crop_size flip batch_size num_workers val_split".split()
    )
    """Options that --help shows without ``all``."""
    folders: ClassVar[Sequence[str]] = ("root",)
    """Options that name the user's own data. If one of them is set, the toy task is not used."""
    places: ClassVar[Sequence[str]] = ("root", "train_split", "val_split")
    """Options that say where the images, and files that belong to them, are: folders, files and names of splits. Data
    may move, so ``infer``, ``evaluate`` and ``styles`` take these options of a finished run, and no others."""
    fixed: ClassVar[Sequence[str]] = ()
    """Options that the shapes of the weights depend on: they cannot change when a run is resumed."""
    instead: ClassVar[Mapping[str, str]] = {}
    """What users of other data sets can do instead of setting an option of this one, by key."""

    root: str | None = None
    """Folder of the image set."""
    toy: bool = False
    """Train on the embedded toy task instead of files of data.root."""
    preprocess: Preprocess = "resize_and_crop"
    """How images are resized and cropped: resize_and_crop (to a square of load_size, then a crop of crop_size),
    scale_width (to load_size wide, keeping the aspect ratio), scale_width_and_crop, crop (no resizing) or none."""
    load_size: int = 286
    """Size in pixels to resize training images to: both sides with resize_and_crop (the aspect ratio is not kept), the
    width with scale_width and scale_width_and_crop."""
    crop_size: int = 256
    """Side in pixels of the random square crop. With resize_and_crop, the same value as load_size means no crop."""
    stride: int = 32
    """With preprocess scale_width or none, both sides are rounded to multiples of this many pixels, because generators
    downsample. 32 suits pix2pixHD: four downsamplings and one local enhancer."""
    flip: bool = True
    """Flip training images horizontally with probability 0.5."""
    batch_size: int = 1
    """Samples per batch on each process (GPU)."""
    num_workers: int = 4
    """Worker processes that load images, at most one per CPU core; 0 loads them in the training process."""
    train_split: str = "train"
    """Name of the training split."""
    val_split: str | None = None
    """Name of the split for sample grids and evaluation (unset: val, or test if there is no val)."""

    def __post_init__(self) -> None:
        folders = {key: folder for key in self.folders if (folder := getattr(self, key)) is not None}
        for key, folder in folders.items():
            if not folder:
                raise ValueError(f"data.{key} is empty: set it to the folder of the images")
            if self.toy:
                raise ValueError(f"data.{key} {folder} and data.toy true: set only one of them")
        at_least = {"load_size": 1, "crop_size": 1, "stride": 1, "batch_size": 1, "num_workers": 0}
        require_at_least("data", self, at_least)
        if self.crop_size > self.load_size and self.preprocess in ("resize_and_crop", "scale_width_and_crop"):
            raise ValueError(
                f"data.crop_size {self.crop_size} is larger than data.load_size {self.load_size}: "
                "lower data.crop_size or raise data.load_size"
            )

    def resized(self, augment: bool) -> int:
        """Size that images are resized to, and toy images drawn at: ``load_size``; ``crop_size`` for validation images
        with resize_and_crop, which are resized instead of cropped.
        """
        return self.crop_size if self.preprocess == "resize_and_crop" and not augment else self.load_size

    @property
    def width(self) -> int | None:
        """Width of the training images in pixels; None if it depends on the files (preprocess none)."""
        if self.preprocess == "scale_width":
            return max(1, round(self.load_size / self.stride)) * self.stride
        return None if self.preprocess == "none" else self.crop_size

    def splits(self, part: Part) -> tuple[str, ...]:
        """Names of the folders to look for, in this order; the first that exists is used."""
        if part == "train":
            return (self.train_split,)
        return (self.val_split,) if self.val_split else ("val", "test")

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels by key of a batch."""
        raise NotImplementedError

    @property
    def scale(self) -> int | None:
        """Side of the target divided by the side of the input; None if that is not known."""
        return None

    def moved(self: Options, new: Mapping[str, Any]) -> Options:
        """These options of a finished run, whose data are elsewhere now. A folder takes the place of the toy task.

        Args:
            new: values of some of ``places``, by key; None unsets one.

        Raises:
            ValueError: a value is no path or name, or the options exclude each other.
        """
        for key, value in new.items():
            if value is not None and not (value and isinstance(value, str)):
                raise ValueError(f"data.{key} {value!r}: must be a path or a name")
        has_folder = any(new.get(key) for key in self.folders)
        return replace(self, **new, toy=self.toy and not has_folder)

    def with_partners(self: Options) -> Options:
        """These options, with validation images paired by name if the set is unpaired."""
        return self


def refuse_splits(new: Mapping[str, Any], reason: str) -> None:
    """Raises ValueError if a finished run is given the name of a split that its data set doesn't read."""
    for key in ("train_split", "val_split"):
        if new.get(key):
            raise ValueError(f"data.{key} {new[key]}: {reason}; leave it out")


@dataclass
class TwoDomainConfig(DataConfig):
    """Options of data sets with two domains, A and B."""

    everyday: ClassVar[Sequence[str]] = [*DataConfig.everyday, "direction", "channels_a", "channels_b"]
    fixed: ClassVar[Sequence[str]] = ("channels_a", "channels_b")

    direction: str = "AtoB"
    """Direction of the translation: AtoB or BtoA. In side-by-side pairs, A is the left image. Models that learn both
    directions use it for inference only."""
    channels_a: int = 3
    """Channels of A's images: 1 (gray), 3 (RGB) or 4 (RGBA). Files are converted."""
    channels_b: int = 3
    """Channels of B's images, as channels_a."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self, "channels_a", "channels_b")

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels by key: ``a`` and ``b``, and ``input`` and ``target`` according to the direction."""
        channels = {"a": self.channels_a, "b": self.channels_b}
        source, target = domains(self.direction)
        return {**channels, "input": channels[source], "target": channels[target]}

    def require_colour(self) -> None:
        """Raises ValueError unless both domains have 3 channels: the toy tasks draw RGB images."""
        for key in ("channels_a", "channels_b"):
            if getattr(self, key) != 3:
                raise ValueError(f"data.{key} {getattr(self, key)}: the toy task draws RGB images; set it to 3")


@dataclass
class PatchConfig(TwoDomainConfig):
    """Options of data sets that never resize images: they train on patches and validate on whole images."""

    everyday: ClassVar[Sequence[str]] = [
        *"root toy crop_size flip rotate patches batch_size num_workers val_split val_crop".split(),
        *"direction channels_a channels_b".split(),
    ]
    fixed: ClassVar[Sequence[str]] = [*TwoDomainConfig.fixed, "scale"]

    preprocess: Preprocess = "crop"
    """Must be crop: images are not resized."""
    load_size: int = 256
    """Width of the toy task's images in pixels. Images of files are not resized."""
    crop_size: int = 128
    """Side in pixels of the target's random patch. The side of the input's is crop_size / scale."""
    rotate: bool = True
    """Turn training patches by a random multiple of 90 degrees."""
    patches: int = 1
    """Patches of each decoded image. A batch has batch_size * patches samples; use it if decoding is slow."""
    val_crop: int = 0
    """Side in pixels of the central square of validation images to use; 0: whole images."""
    scale: int | None = None
    """Side of the target divided by the side of the input. Set when a training starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preprocess != "crop":
            raise ValueError(f"data.preprocess {self.preprocess}: images are not resized here; set it to crop")
        require_at_least("data", self, {"patches": 1, "val_crop": 0, "scale": 1})
        scale = self.scale or 1
        for key, side in (("crop_size", self.crop_size), ("val_crop", self.val_crop)):
            if side % scale:
                raise ValueError(f"data.{key} {side}: must be a multiple of {scale}, the scale from input to target")


def check_channels(config: DataConfig, *keys: str) -> None:
    """Raises ValueError unless the options are 1, 3 or 4."""
    for key in keys:
        if getattr(config, key) not in (1, 3, 4):
            raise ValueError(f"data.{key} {getattr(config, key)}: must be 1 (gray), 3 (RGB) or 4 (RGBA)")
