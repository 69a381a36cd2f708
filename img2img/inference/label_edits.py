"""Class names of label maps, and ``--relabel``: edits that replace the class of regions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import chain

import numpy as np

from img2img.data.options import DataConfig
from img2img.data.toy.streets import CLASSES

# Cordts et al., arXiv 1604.01685; ids 0 to 33 of mcordts/cityscapesScripts, cityscapesscripts/helpers/labels.py
CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road",
    "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
    "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
NUMBERS = 1000  # in Cityscapes, an instance's id is class * 1000 + number; the class alone where it has no instances


class Classes:
    """The ids of a run's classes, and their names: those of the toy task, and of Cityscapes for 34 or 35 classes."""

    def __init__(self, config: DataConfig) -> None:
        self.count = config.channels["label"]
        names = CLASSES if config.toy else CITYSCAPES if self.count in (34, 35) else ()
        self.names: Mapping[int, str] = dict(enumerate(names))

    def name(self, number: int) -> str:
        """A class as messages name it: "class car", "class 12", "no class" for negative ids."""
        return "no class" if number < 0 else f"class {self.names.get(number, number)}"

    def number(self, text: str, option: str) -> int:
        """The id of a class, of its name or id. Raises ValueError, which begins with ``option``, if there is none."""
        text = text.strip()
        if text.isdecimal() and int(text) < self.count:
            return int(text)
        numbers = {name: number for number, name in self.names.items()}
        if text in numbers:
            return numbers[text]
        near = difflib.get_close_matches(text, numbers, 1)
        known = ", ".join(f"{number} {name}" for number, name in self.names.items())
        hint = (
            f"did you mean {near[0]}?" if near else f"classes are 0 to {self.count - 1}{f': {known}' if known else ''}"
        )
        raise ValueError(f"{option}: unknown class {text or '(empty)'}; {hint}")


def parse_relabel(text: str, classes: Classes) -> dict[int, int]:
    """``24:26,car:tree`` -> {24: 26, ...}. Raises ValueError for an invalid list or an unknown class."""
    option, moves = f"--relabel {text}", {}
    for part in text.split(","):
        old, colon, new = part.partition(":")
        if not colon:
            raise ValueError(f"{option}: give FROM:TO, with ids or names of classes; separate several by commas")
        number = classes.number(old, option)
        if number in moves:
            raise ValueError(f"{option}: {classes.name(number)} is given twice")
        moves[number] = classes.number(new, option)
    return moves


def relabel(
    label: np.ndarray, instance: np.ndarray | None, moves: Mapping[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Replaces classes, all at once: 24:26,26:24 swaps the two.

    Instances follow in Cityscapes' numbering: 24003 becomes 26003, or the first free number of 26 if that is taken. An
    id that is the class alone (24: no instances) becomes the new class alone. Other ids stay.

    Args:
        label: class ids, (H, W) or (H, W, 1).
        instance: instance ids of the same shape, if there are any.
        moves: the new class by the old one.

    Returns:
        Edited copies of ``label`` and ``instance``.

    Raises:
        ValueError: a class would have more instances than there are numbers.
    """
    edited = label.copy()
    for old, new in moves.items():
        edited[label == old] = new
    if instance is None:
        return edited, None
    moved = np.isin(label, list(moves))
    taken = set(np.unique(instance[~moved]).tolist())
    renumbered = instance.copy()
    for old, new in moves.items():
        region = label == old
        for number in np.unique(instance[region]).tolist():
            new_id = number
            if number == old:
                new_id = new
            elif number // NUMBERS == old:
                first = new * NUMBERS
                same_number = first + number % NUMBERS
                free = (i for i in chain([same_number], range(first, first + NUMBERS)) if i not in taken)
                new_id = next(free, -1)
                if new_id < 0:
                    raise ValueError(f"--relabel {old}:{new}: class {new} has {NUMBERS} instances already")
            taken.add(new_id)
            renumbered[region & (instance == number)] = new_id
    return edited, renumbered
