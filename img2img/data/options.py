"""The data options, shared by every kind of data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class DataConfig:
    """Where the pictures are and what is done to them."""

    root: str | None = None
    """Folder of the set: train/ with A and B side by side, trainA/ + trainB/, or train/A/ + train/B/."""
    toy: bool = False
    """Train on the embedded toy task, drawn shoes, instead of pictures from data.root."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which side is the input: AtoB translates A (the left one) into B."""
    load_size: int = 286
    """Side in pixels that a training picture is resized to: a square, as in the paper, whatever its shape."""
    crop_size: int = 256
    """Side in pixels of the random crop that the networks see; equal to load_size for none."""
    flip: bool = True
    """Mirror half of the training pairs."""
    batch_size: int = 1
    """Pairs a process takes at once."""
    num_workers: int = 4
    """Processes that read pictures; no more than there are cores are started. 0 reads in the training process."""
    train_split: str = "train"
    """Name of the training part of the set."""
    val_split: str = "val"
    """Name of the part that sample grids and evaluation use."""
    channels_a: int = 3
    """Channels of A: 1 (gray), 3 (RGB) or 4 (RGBA); files are converted to it."""
    channels_b: int = 3
    """Channels of B."""

    def __post_init__(self) -> None:
        if self.root == "":
            raise ValueError("data.root is empty: give the folder of the pictures")
        if self.root is not None and self.toy:
            raise ValueError(f"data.root {self.root} and data.toy true: choose one of them")
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

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of (input, target) in the direction of the task."""
        forth = (self.channels_a, self.channels_b)
        return forth if self.direction == "AtoB" else (forth[1], forth[0])
