"""The data options, shared by every kind of data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Domain = Literal["a", "b"]
Part = Literal["train", "val"]
Preprocess = Literal["resize_and_crop", "scale_width", "scale_width_and_crop", "crop", "none"]


def domains(direction: str) -> tuple[Domain, Domain]:
    """Of the directions AtoB and BtoA: (domain of the input, domain of the output)."""
    return ("a", "b") if direction == "AtoB" else ("b", "a")


@dataclass
class DataConfig:
    """Where the pictures are and what is done to them."""

    everyday: ClassVar = (
        "root root_a root_b toy direction preprocess load_size crop_size flip batch_size num_workers val_split "
        "val_paired channels_a channels_b label_nc instances torchvision"
    ).split()

    root: str | None = None
    """Folder of the set: trainA/ + trainB/, train_A/ + train_B/, train/A/ + train/B/, or for pairs train/ with A and B
    side by side; of label maps train_label/ + train_inst/ + train_img/; of models that draw from noise, train/ or the
    folder itself, where a sub-folder is a class; with torchvision, where the set is downloaded to."""
    root_a: str | None = None
    """Folder of A's training pictures, instead of root, where A and B are no pairs."""
    root_b: str | None = None
    """Folder of B's training pictures."""
    toy: bool = False
    """Train on the embedded toy task, drawn shoes or for label maps drawn scenes, instead of files of data.root; models
    that draw from noise learn scikit-learn's handwritten digits."""
    torchvision: str | None = None
    """Of models that draw from noise: a set of torchvision.datasets by its name, such as MNIST, kept in data.root."""
    direction: str = "AtoB"
    """AtoB translates A (of pairs the left one) into B. A model that learns both ways infers so unless told."""
    preprocess: Preprocess = "resize_and_crop"
    """How a picture becomes what the networks see: resize_and_crop (a square of load_size, a square crop of crop_size),
    scale_width (load_size wide, its shape kept), scale_width_and_crop, crop (without resizing), or none."""
    load_size: int = 286
    """Side in pixels that a training picture is resized to: a square, as in the paper, whatever its shape; or, for
    scale_width and scale_width_and_crop, its width."""
    crop_size: int = 256
    """Side in pixels of the random crop that the networks see; if it equals load_size, nothing is cropped."""
    stride: int = 32
    """Of preprocess scale_width and none: sides are resized to the nearest multiples of this many pixels, which the
    halvings of a generator need: 32 is for pix2pixHD's four and one enhancer."""
    flip: bool = True
    """Mirror half of the training pictures."""
    batch_size: int = 1
    """Pairs, or pictures, or pictures of each side, that a process takes at once."""
    num_workers: int = 4
    """Processes that read pictures; no more than there are cores are started. 0 reads in the training process."""
    train_split: str = "train"
    """Name of the training part of the set."""
    val_split: str | None = None
    """Name of the part that sample grids and evaluation use; unset, val, or test where there is no val."""
    val_paired: bool = False
    """Of unpaired sets: whether validation pictures of one name (x and x, or x_A and x_B) show the same thing, so that
    evaluation compares the output with its partner."""
    channels_a: int = 3
    """Channels of A: 1 (gray), 3 (RGB) or 4 (RGBA); files are converted to it."""
    channels_b: int = 3
    """Channels of B."""
    label_nc: int = 0
    """Classes of the label maps, ids 0..label_nc-1; 0: the inputs are RGB pictures, as of pairs."""
    ignore_id: int = 255
    """Of label maps: an id that means no class; its one-hot is all zero."""
    instances: bool = True
    """Of label maps: read instance maps, too, whose boundaries the networks then see."""

    def __post_init__(self) -> None:
        given = {key: getattr(self, key) for key in ("root", "root_a", "root_b") if getattr(self, key) is not None}
        for key, folder in given.items():
            if not folder:
                raise ValueError(f"data.{key} is empty: give the folder of the pictures")
            if self.toy:
                raise ValueError(f"data.{key} {folder} and data.toy true: choose one of them")
            if key != "root" and self.torchvision:
                raise ValueError(f"data.torchvision {self.torchvision} and data.{key} {folder}: give data.root instead")
            if key != "root" and "root" in given:
                raise ValueError(f"data.root {self.root} and data.{key} {folder}: choose one; null drops a preset's")
        if len(given) == 1 and "root" not in given:
            (key,), other = given, {"root_a": "root_b", "root_b": "root_a"}
            raise ValueError(f"data.{key} {given[key]}: give the other side's folder, too: data.{other[key]}")
        if self.torchvision and self.toy:
            raise ValueError(
                f"data.torchvision {self.torchvision} and data.toy true: choose one of them; data.root is where the "
                "set is downloaded to"
            )
        for key in ("load_size", "crop_size", "stride", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"data.{key} {getattr(self, key)}: must be at least 1")
        for key in ("num_workers", "label_nc", "ignore_id"):
            if getattr(self, key) < 0:
                raise ValueError(f"data.{key} {getattr(self, key)}: must not be negative")
        if self.label_nc and self.direction != "AtoB":
            raise ValueError(f"data.direction {self.direction}: label maps become pictures, AtoB, and not the reverse")
        if self.crop_size > self.load_size and self.preprocess in ("resize_and_crop", "scale_width_and_crop"):
            raise ValueError(
                f"data.crop_size {self.crop_size} is larger than data.load_size {self.load_size}: "
                "lower the one or raise the other"
            )
        for key in ("channels_a", "channels_b"):
            if getattr(self, key) not in (1, 3, 4):
                raise ValueError(f"data.{key} {getattr(self, key)}: 1 (gray), 3 (RGB) or 4 (RGBA)")

    def require_colour(self) -> None:
        """Raises ValueError if a toy task that draws RGB is to have other channels."""
        for key in ("channels_a", "channels_b"):
            if getattr(self, key) != 3:
                raise ValueError(f"data.{key} {getattr(self, key)}: the toy task draws 3")

    def resized(self, augment: bool) -> int:
        """What pictures are resized to, and toy ones drawn at: ``load_size``, unless a crop is left out by resizing."""
        return self.crop_size if self.preprocess == "resize_and_crop" and not augment else self.load_size

    @property
    def width(self) -> int | None:
        """Width in pixels of the training pictures, where the options say it."""
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
        """Channels of a batch's pictures by their key: of the domains, and of input and target in their direction.

        With label maps there are also those of the one-hot ``label`` and, if they are read, of ``instance``.
        """
        of = {"a": self.channels_a, "b": self.channels_b}
        source, target = domains(self.direction)
        maps = {"label": self.label_nc, "instance": 1} if self.label_nc else {}
        if not self.instances:
            maps.pop("instance", None)
        return {**of, "input": of[source], "target": of[target], **maps}
