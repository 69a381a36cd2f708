"""The data options, shared by every kind of data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["AtoB", "BtoA"]
Domain = Literal["a", "b"]
Part = Literal["train", "val"]


def domains(direction: Direction) -> tuple[Domain, Domain]:
    """(that of the input, that of the output)."""
    return ("a", "b") if direction == "AtoB" else ("b", "a")


def opposite(direction: Direction) -> Direction:
    """The way back."""
    return "BtoA" if direction == "AtoB" else "AtoB"


@dataclass
class DataConfig:
    """Where the pictures are and what is done to them."""

    root: str | None = None
    """Folder of the set: trainA/ + trainB/, train/A/ + train/B/, or for pairs train/ with A and B side by side."""
    root_a: str | None = None
    """Folder of A's training pictures, instead of root, where A and B are no pairs."""
    root_b: str | None = None
    """Folder of B's training pictures."""
    toy: bool = False
    """Train on the embedded toy task, drawn shoes, instead of pictures from data.root."""
    direction: Direction = "AtoB"
    """AtoB translates A (of pairs the left one) into B. A model that learns both ways infers so unless told."""
    load_size: int = 286
    """Side in pixels that a training picture is resized to: a square, as in the paper, whatever its shape."""
    crop_size: int = 256
    """Side in pixels of the random crop that the networks see; equal to load_size for none."""
    flip: bool = True
    """Mirror half of the training pictures."""
    batch_size: int = 1
    """Pairs, or pictures of each side, that a process takes at once."""
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

    def __post_init__(self) -> None:
        given = {key: getattr(self, key) for key in ("root", "root_a", "root_b") if getattr(self, key) is not None}
        for key, folder in given.items():
            if not folder:
                raise ValueError(f"data.{key} is empty: give the folder of the pictures")
            if self.toy:
                raise ValueError(f"data.{key} {folder} and data.toy true: choose one of them")
            if key != "root" and "root" in given:
                raise ValueError(f"data.root {self.root} and data.{key} {folder}: choose one; null drops a preset's")
        if len(given) == 1 and "root" not in given:
            (key,), other = given, {"root_a": "root_b", "root_b": "root_a"}
            raise ValueError(f"data.{key} {given[key]}: give the other side's folder, too: data.{other[key]}")
        for key in ("load_size", "crop_size", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"data.{key} {getattr(self, key)}: must be at least 1")
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers {self.num_workers}: must not be negative")
        if self.crop_size > self.load_size:
            raise ValueError(
                f"data.crop_size {self.crop_size} is larger than data.load_size {self.load_size}: "
                "lower the one or raise the other"
            )
        for key in ("channels_a", "channels_b"):
            if getattr(self, key) not in (1, 3, 4):
                raise ValueError(f"data.{key} {getattr(self, key)}: 1 (gray), 3 (RGB) or 4 (RGBA)")
            if self.toy and getattr(self, key) != 3:
                raise ValueError(f"data.{key} {getattr(self, key)}: the toy task draws 3")

    def splits(self, part: Part) -> tuple[str, ...]:
        """Names that this part of the set may have; the first that is there counts."""
        if part == "train":
            return (self.train_split,)
        return (self.val_split,) if self.val_split else ("val", "test")

    @property
    def channels(self) -> dict[str, int]:
        """Channels of a batch's pictures by their key: of the domains, and of input and target in their direction."""
        of = {"a": self.channels_a, "b": self.channels_b}
        source, target = domains(self.direction)
        return {**of, "input": of[source], "target": of[target]}
