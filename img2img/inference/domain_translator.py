"""``DomainTranslator``: a run that learned several domains as a function of an image and a target domain.

Choi et al., "StarGAN", arXiv 1711.09020. A target is a label vector (``data.domain_labels``); where it keeps labels of
the image, they come from the caller, from the run's data set, or from the discriminator's classification.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from img2img.checkpoint import has_network, load_network, network_name
from img2img.data.base import Item
from img2img.data.domain_labels import Labels
from img2img.data.domains import ALL, DomainsConfig, center_crop
from img2img.data.images import resize
from img2img.inference.translator import AnyImage, Translator
from img2img.models.base import Batch

Names = str | Sequence[str]


@dataclass(frozen=True)
class Target:
    """What an image is translated to."""

    number: int
    """The set that its labels belong to; 0 unless two sets were learned jointly."""
    vector: Callable[[np.ndarray], np.ndarray]
    """The image's labels (n,) -> the label vector (length,)."""
    keeps: bool = False
    """Whether the vector keeps labels of the image."""


class DomainTranslator(Translator):
    """A trained run as a function: ``translator(image, to="Blond_Hair")`` returns an image.

    ::

        from img2img import load_translator
        from PIL import Image

        image = Image.open("photo.jpg")
        translate = load_translator("runs/faces")
        print(translate.domains)  # ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
        blond_man = translate(image, to=["Blond_Hair", "Male"])  # all others off
        older = translate(image, flip="Young", own=["Black_Hair", "Young"])
        half = translate(image, to="Blond_Hair", strength=0.5)

    Arguments of the constructor as of ``Translator``. ``direction`` names the target of calls that state none.
    """

    target: Target | None = None  # None: that of the direction
    strength: float = 1.0
    given: np.ndarray | None = None  # the labels (n,) of all images, NaN if unknown, if the caller names them
    say: Callable[[str], None] | None = None  # called with a line if the discriminator classified an image

    @property
    def data(self) -> DomainsConfig:
        """The options of the run's data set."""
        assert isinstance(self.config.data, DomainsConfig)
        return self.config.data

    @property
    def labels(self) -> Labels:
        """What the label vector means."""
        return self.data.labels

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains or attributes, in the order of the label vector."""
        return self.labels.names

    def __call__(  # type: ignore[override]
        self,
        image: AnyImage,
        seed: int = 0,
        *,
        to: Names | np.ndarray | None = None,
        flip: Names | None = None,
        own: Names | np.ndarray | None = None,
        strength: float | None = None,
    ) -> AnyImage:
        """Translates one image of any size.

        Args:
            image, seed: as of ``Translator``.
            to: the target: a domain; attributes that are on, all others being off; or the label vector itself. Default:
                that of the translator's direction, which keeps an image's other attributes.
            flip: instead of ``to``: attributes to turn on or off, whichever the image is not; its others stay.
            own: names of the labels that the image has, or its label vector; only ``flip``, ``strength`` and a
                direction that keeps attributes need it. Default: what the discriminator takes the image for.
            strength: in [0, 1]: 0 is the image's own label vector, 1 the target's, and 0.5 the mean of both.

        Returns:
            An image of the type, dtype and size of ``image``.

        Raises:
            ValueError: as ``Translator``; an unknown name; a target that contradicts itself; or labels of the image are
                needed, and the run has no discriminator to tell.
        """
        aimed = self.aimed(to=to, flip=flip, own=own, strength=strength)
        return Translator.__call__(aimed, image, seed, labels=self.labels.unknown)

    def aimed(
        self,
        *,
        to: Names | np.ndarray | None = None,
        flip: Names | None = None,
        own: Names | np.ndarray | None = None,
        strength: float | None = None,
    ) -> DomainTranslator:
        """A translator of the same networks to another target; arguments as of a call."""
        other = copy.copy(self)
        if to is not None and flip is not None:
            raise ValueError("--to and --flip: give one of them")
        if to is not None:
            other.target = _named("--to", to, lambda: self._stated(to))
        if flip is not None:
            other.target = _named("--flip", flip, lambda: self._flipped(flip))
        if own is not None:
            other.given = _named("--is", own, lambda: self._own(own))
        if strength is not None:
            if not 0 <= strength <= 1:
                raise ValueError(f"--strength {strength}: must lie in [0, 1]")
            other.strength = strength
        return other

    def variants(self, **target: Any) -> dict[str, Translator]:
        """As ``Translator.variants``: a translator for each domain with ``to`` "all", or if nothing is chosen.

        They print what the discriminator takes an image for.
        """
        to, flip = target.pop("to", None), target.pop("flip", None)
        if self.chosen and (to or flip):
            option = f"--to {to}" if to else f"--flip {flip}"
            raise ValueError(f"--direction {self.direction} and {option}: give one of them")
        common = self.aimed(**target)
        common.say = tqdm.write
        if flip is not None or to not in (None, "all"):
            return {"": common.aimed(to=to, flip=flip)}
        if self.chosen:
            return {"": common}
        return {name: common._towards(self._shown(name)) for name in self.domains}

    def _towards(self, target: Target) -> DomainTranslator:
        other = copy.copy(self)
        other.target = target
        return other

    def results(self, **choices: Any) -> Path:
        return super().results(**{key: value for key, value in choices.items() if value != "all"})

    @property
    def title(self) -> str:
        return self.direction if self.chosen else "every domain"

    @property
    def folder(self) -> str:
        return self.direction if self.chosen else ""

    @property
    def listed(self) -> str:
        return self.direction if self.target is None else ALL

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        image, own = item.inputs["input"], item.inputs["labels"]
        inputs = {"input": image, "domain": self._vector(item.name, image, own)}
        return super()._translate(replace(item, inputs=inputs), state, seed)

    def _vector(self, name: str, image: np.ndarray, own: np.ndarray) -> np.ndarray:
        """The label vector of an image (H, W, C) whose labels (n,), NaN if unknown, are ``own``."""
        target = self._directed(self.direction) if self.target is None else self.target
        if self.given is not None:
            own = self.given
        needs_own = target.keeps or self.strength < 1
        if needs_own and np.isnan(own[self.labels.slice(target.number)]).any():
            own = np.where(np.isnan(own), self.classified(image), own)
            if self.say is not None:
                on = [label for label, value in zip(self.domains, own, strict=True) if value > 0]
                self.say(f"{name}: taken for {', '.join(on) or 'none of the attributes'}; --is says otherwise")
        vector = target.vector(own)
        if self.strength == 1:
            return vector
        start = self.labels.vector(target.number, np.nan_to_num(own))
        return (start + self.strength * (vector - start)).astype(np.float32)

    def classified(self, image: np.ndarray) -> np.ndarray:
        """The labels (n,) that the discriminator takes an image (H, W, C) for, by its central square.

        Raises:
            ValueError: the run has no discriminator, such as one that was imported without.
        """
        self._load_discriminator()
        side = self.data.crop_size
        square = resize(center_crop(image, min(image.shape[:2])), side, side)
        batch, _ = self.batch({"input": square})
        with torch.inference_mode():
            logits = self.model.class_logits(batch["input"])  # type: ignore[operator]
        return self.labels.decoded(logits[0].float().cpu().numpy())

    def _load_discriminator(self) -> None:
        (name,) = self.model.discriminators
        network = getattr(self.model, name)
        if any(parameter.is_meta for parameter in network.parameters()):
            path = self.checkpoint
            if path is None or not has_network(path, name):
                raise ValueError(
                    f"run {self.config.name} has no discriminator to tell the image's own labels: name them with --is"
                )
            network.load_state_dict(load_network(path, network_name(path, name)), assign=True)
        network.to(self.device).eval().requires_grad_(False)

    def _directed(self, direction: str) -> Target:
        """The target of a direction."""
        index, _ = self.labels.target(direction)
        number = self.labels.set_of(self.domains[index])
        keeps = not self.labels.sets[number].exclusive
        return Target(number, lambda own: self.labels.directed(direction, own), keeps)

    def _shown(self, name: str) -> Target:
        """The target that a grid of all domains shows: a domain; an attribute turned on, if others exclude it; else the
        attribute flipped."""
        target = self._directed(name)
        if self.labels.sets[target.number].group(name):
            return target
        return Target(target.number, lambda own: self.labels.flipped([name], own), keeps=True)

    def _stated(self, to: Names | np.ndarray) -> Target:
        vector = self._vector_of(to)
        return Target(self.labels.set_of_vector(vector), lambda own: vector)

    def _flipped(self, flip: Names) -> Target:
        names = _words(flip)
        self.labels.flipped(names, np.zeros(len(self.domains)))  # raises for names that can't be flipped
        return Target(self.labels.set_of(names[0]), lambda own: self.labels.flipped(names, own), keeps=True)

    def _own(self, own: Names | np.ndarray) -> np.ndarray:
        return self.labels.of_vector(self._vector_of(own))

    def _vector_of(self, value: Names | np.ndarray) -> np.ndarray:
        """The label vector that names of labels state, or numbers, which are the vector itself.

        Raises:
            ValueError: a name is unknown, or the names or the numbers contradict themselves.
        """
        words = _words(value)
        numbers = None if set(words) <= {*self.domains} else _numbers(words)  # names may be numbers
        return self.labels.stated(words) if numbers is None else self.labels.checked(numbers)


def _named(option: str, value: Any, make: Callable[[], Any]) -> Any:
    """What ``make`` returns; its errors begin with the option."""
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{option} {','.join(_words(value))}: {error}") from error


def _words(value: Names | np.ndarray) -> list[str]:
    """The names or numbers of a list, of an array (n,), or of a text with commas, as texts."""
    words = value.split(",") if isinstance(value, str) else [str(part) for part in value]
    return [word.strip() for word in words if word.strip()]


def _numbers(words: Sequence[str]) -> list[float] | None:
    """The words as numbers; None if they are not."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
