"""Classes of label maps by name, and edits of a scene that swap the class of its regions."""

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
NUMBERS = 1000  # an instance's id is class x 1000 + number in Cityscapes, or the class alone


class Classes:
    """The classes of a run's label maps: ids, and names where the set's are known.

    The toy's are; 34 or 35 classes are Cityscapes' own ids.
    """

    def __init__(self, config: DataConfig) -> None:
        self.count = config.channels["label"]
        names = CLASSES if config.toy else CITYSCAPES if self.count in (34, 35) else ()
        self.names: Mapping[int, str] = dict(enumerate(names))

    def name(self, number: int) -> str:
        """How messages call a class."""
        return "no class" if number < 0 else f"class {self.names.get(number, number)}"

    def number(self, text: str, option: str) -> int:
        """The id that a name or a number means. Raises ValueError, which begins with ``option``, if there is none."""
        text = text.strip()
        if text.isdecimal() and int(text) < self.count:
            return int(text)
        found = {name: number for number, name in self.names.items()}
        if text in found:
            return found[text]
        near = difflib.get_close_matches(text, found, 1)
        known = ", ".join(f"{number} {name}" for number, name in self.names.items())
        hint = f"did you mean {near[0]}?" if near else f"there are 0..{self.count - 1}{f': {known}' if known else ''}"
        raise ValueError(f"{option}: no class {text or 'of that name'}; {hint}")


def parse_relabel(text: str, classes: Classes) -> dict[int, int]:
    """``24:26,car:tree`` -> {24: 26, ...}. Raises ValueError for what is no such list, or a class out of range."""
    option, moves = f"--relabel {text}", {}
    for part in text.split(","):
        old, colon, new = part.partition(":")
        if not colon:
            raise ValueError(f"{option}: give FROM:TO, ids or names of classes, several with commas")
        number = classes.number(old, option)
        if number in moves:
            raise ValueError(f"{option}: {classes.name(number)} becomes two others")
        moves[number] = classes.number(new, option)
    return moves


def relabel(
    label: np.ndarray, instance: np.ndarray | None, moves: Mapping[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Every pixel of a class becomes one of another, all moves at once: 24:26,26:24 swaps the two.

    Instances go along in the Cityscapes way: 24003 becomes 26003, or, where that is taken, the first free number of 26.
    The class alone (24: what has no instances) becomes the class alone, so a road made of a sidewalk joins the road.
    Ids of any other kind stay.

    Args:
        label, instance: ids, of one shape.
        moves: the new class by the old one.

    Raises:
        ValueError: a class has more instances than there are numbers.
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
            wanted = number
            if number == old:
                wanted = new
            elif number // NUMBERS == old:
                first = new * NUMBERS
                own = first + number % NUMBERS
                free = (i for i in chain([own], range(first, first + NUMBERS)) if i not in taken)
                wanted = next(free, -1)
                if wanted < 0:
                    raise ValueError(f"--relabel {old}:{new}: class {new} has {NUMBERS} instances already")
            taken.add(wanted)
            renumbered[region & (instance == number)] = wanted
    return edited, renumbered
