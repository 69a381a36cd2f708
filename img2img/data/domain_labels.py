"""What the label vector of the data set ``domains`` means, and the targets that it can state.

Choi et al., "StarGAN", arXiv 1711.09020, Sec. 3.1; two sets with a mask vector: Sec. 3.2.

A set's labels are domains that exclude each other, of which exactly one holds (one-hot), or attributes, of which
several can hold. Of two sets learned jointly, the vector has the labels of both, then the mask, which is 1 for the set
whose labels are known:

    [labels of the first set | labels of the second | mask (2)]

The labels that an image is known to have are (n,) float32 over the names of all sets, without the mask. NaN: unknown.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from img2img.data.base import Direction

MASK = 2  # entries of the label vector that tell which of two sets an image is of
OFF = "no_"  # prefix of the directions that turn an attribute off


@dataclass(frozen=True)
class DomainLabels:
    """The labels of one set."""

    names: tuple[str, ...]
    exclusive: bool
    """Whether exactly one label holds (domains); else any number of them (attributes)."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Attributes of which at most one holds, such as hair colours; several groups are possible."""

    def group(self, name: str) -> tuple[str, ...]:
        """The labels that are off if ``name`` is on."""
        if self.exclusive:
            return self.names
        return next((group for group in self.groups if name in group), ())


@dataclass(frozen=True)
class Labels:
    """The label vector of one set, or of two that are learned jointly."""

    sets: tuple[DomainLabels, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The n labels of all sets, in the order of the vector."""
        return tuple(name for each in self.sets for name in each.names)

    @property
    def length(self) -> int:
        """Length of the vector: n, and the mask of two sets."""
        return len(self.names) + (MASK if len(self.sets) > 1 else 0)

    def slice(self, number: int) -> slice:
        """Where the labels of a set are in the vector."""
        start = sum(len(each.names) for each in self.sets[:number])
        return slice(start, start + len(self.sets[number].names))

    def set_of(self, name: str) -> int:
        """The number of the set that has a label. Raises ValueError for an unknown name, with the known ones."""
        for number, each in enumerate(self.sets):
            if name in each.names:
                return number
        near = difflib.get_close_matches(name, self.names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"domain {name}: must be one of {', '.join(self.names)}{hint}")

    @property
    def unknown(self) -> np.ndarray:
        """The labels (n,) of an image of which nothing is known."""
        return np.full(len(self.names), np.nan, np.float32)

    def known(self, number: int, values: np.ndarray) -> np.ndarray:
        """The labels (n,) of an image whose labels of one set are known."""
        labels = self.unknown
        labels[self.slice(number)] = values
        return labels

    def vector(self, number: int, labels: np.ndarray) -> np.ndarray:
        """The generator's vector (length,) from labels (n,) of one set: those of the other are 0, the mask is set."""
        part = self.slice(number)
        vector = np.zeros(self.length, np.float32)
        vector[part] = labels[part]
        if len(self.sets) > 1:
            vector[len(self.names) + number] = 1
        return vector

    def set_of_vector(self, vector: np.ndarray) -> int:
        """The number of the set whose labels a vector (length,) has, by its mask."""
        return int(vector[len(self.names) :].argmax()) if len(self.sets) > 1 else 0

    def of_vector(self, vector: np.ndarray) -> np.ndarray:
        """The labels (n,) of one set that a vector (length,) has; NaN for those of the other set."""
        number = self.set_of_vector(vector)
        return self.known(number, vector[self.slice(number)])

    def directions(self) -> Mapping[str, Direction]:
        """Directions by name: a domain; an attribute, and ``no_`` for its opposite unless it belongs to a group."""
        directions = {}
        for each in self.sets:
            for name in each.names:
                is_single = bool(each.group(name))
                directions[name] = Direction(None if is_single else OFF + name, name)
                if not is_single:
                    directions[OFF + name] = Direction(name, OFF + name)
        return directions

    def target(self, direction: str) -> tuple[int, bool]:
        """(Index of the label that a direction changes, whether it turns it on). Raises ValueError for an unknown
        direction."""
        name = direction
        if direction not in self.names and self._turns_off(direction):
            name = direction.removeprefix(OFF)
        self.set_of(name)
        return self.names.index(name), name == direction

    def _turns_off(self, direction: str) -> bool:
        name = direction.removeprefix(OFF)
        return name != direction and any(name in each.names and not each.exclusive for each in self.sets)

    def directed(self, direction: str, own: np.ndarray) -> np.ndarray:
        """The vector that an image is translated to in a direction; its other attributes stay (unknown: off).

        Args:
            direction: name of a direction.
            own: the image's labels (n,).
        """
        index, on = self.target(direction)
        return self._changed(np.nan_to_num(own), self.names[index], on)

    def shown(self, own: np.ndarray) -> np.ndarray:
        """The vectors (n, length) that sample grids show of an image with labels (n,): each domain, each attribute of a
        group turned on, every other attribute flipped. Unknown attributes count as off."""
        own = np.nan_to_num(own)
        vectors = []
        for index, name in enumerate(self.names):
            is_single = bool(self.sets[self.set_of(name)].group(name))
            vectors.append(self._changed(own, name, is_single or not own[index]))
        return np.stack(vectors)

    def flipped(self, names: Sequence[str], own: np.ndarray) -> np.ndarray:
        """The vector with some of an image's attributes turned on or off, whichever they are not.

        Args:
            names: attributes of one set.
            own: the image's labels (n,); those of that set are known.

        Raises:
            ValueError: a name is unknown or no attribute, or names belong to two sets or to one group.
        """
        number = self._one_set(names)
        for name in names:
            if self.sets[number].exclusive:
                raise ValueError(f"{name} is one of domains that exclude each other, which can't be flipped")
        self._check_groups(self.sets[number], names)
        labels = own
        for name in names:
            vector = self._changed(labels, name, not own[self.names.index(name)])
            labels = vector[: len(self.names)]
        return self.vector(number, labels)

    def _changed(self, own: np.ndarray, name: str, on: bool) -> np.ndarray:
        """The vector of an image's labels with one of them turned on, and its group off; or turned off."""
        number = self.set_of(name)
        labels = own.copy()
        if on:
            labels[[self.names.index(other) for other in self.sets[number].group(name)]] = 0
        labels[self.names.index(name)] = on
        return self.vector(number, labels)

    def stated(self, names: Sequence[str]) -> np.ndarray:
        """The vector in which the labels named are on and all others are off.

        Raises:
            ValueError: a name is unknown, or the labels can't hold together.
        """
        number = self._one_set(names)
        chosen = self.sets[number]
        if chosen.exclusive and len(names) > 1:
            raise ValueError(f"{names[0]} and {names[1]} exclude each other; give one of them")
        self._check_groups(chosen, names)
        labels = np.zeros(len(self.names), np.float32)
        labels[[self.names.index(name) for name in names]] = 1
        return self.vector(number, labels)

    def own(self, names: Sequence[str]) -> np.ndarray:
        """The labels (n,) of an image that has the labels named and no other ones of their set. ValueError as
        ``stated``."""
        return self.of_vector(self.stated(names))

    def checked(self, vector: Sequence[float] | np.ndarray) -> np.ndarray:
        """A vector that a user gave, (length,) float32. Values between 0 and 1 lie between two targets.

        Raises:
            ValueError: it has another length, values outside [0, 1], or contradicts itself: labels that exclude each
                other sum to more than 1, or to less if one of them must hold; or the mask does not choose one set.
        """
        values = np.asarray(vector, np.float32)
        if values.shape != (self.length,):
            raise ValueError(
                f"a vector of {values.size} numbers, but the run has {self.length}: {', '.join(self.names)}"
                + (" and the mask" if len(self.sets) > 1 else "")
            )
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"the vector {values.tolist()}: its numbers must lie in [0, 1]")
        mask = values[len(self.names) :]
        if len(self.sets) > 1 and sorted(mask.tolist()) != [0, 1]:
            raise ValueError(
                f"the vector {values.tolist()}: its last two numbers, the mask, must be 1 and 0 or 0 and 1"
            )
        chosen = self.sets[self.set_of_vector(values)]
        for group in [chosen.names] if chosen.exclusive else chosen.groups:
            total = float(values[[self.names.index(name) for name in group]].sum())
            if total > 1 + 1e-3 or (chosen.exclusive and total < 1 - 1e-3):
                must = "must sum to 1" if chosen.exclusive else "must not sum to more than 1"
                raise ValueError(
                    f"the vector contradicts itself: {', '.join(group)} exclude each other, so they {must}, not to "
                    f"{total:.4g}"
                )
        return values

    def decoded(self, logits: np.ndarray) -> np.ndarray:
        """The labels (n,) that a classifier's logits (n,) mean."""
        labels = (logits > 0).astype(np.float32)
        for each in self.sets:
            for group in [each.names] if each.exclusive else each.groups:
                places = np.array([self.names.index(name) for name in group])
                best = places[int(logits[places].argmax())]
                holds = each.exclusive or logits[best] > 0
                labels[places] = 0
                labels[best] = holds
        return labels

    def _one_set(self, names: Sequence[str]) -> int:
        """The number of the set that all names belong to. Raises ValueError if there is none."""
        if not names:
            raise ValueError("no domain named")
        numbers = [self.set_of(name) for name in names]
        for name, number in zip(names, numbers, strict=True):
            if number != numbers[0]:
                raise ValueError(f"{names[0]} and {name} belong to different sets; give labels of one set")
        return numbers[0]

    def _check_groups(self, chosen: DomainLabels, names: Sequence[str]) -> None:
        """Raises ValueError if two of the names belong to one group, or one is there twice."""
        for place, name in enumerate(names):
            if name in names[:place]:
                raise ValueError(f"{name} is there twice")
            for other in names[:place]:
                if other in chosen.group(name):
                    raise ValueError(f"{other} and {name} exclude each other; give one of them")
