"""The data set of several domains: each image has the label of its domain, or labels for its attributes.

Choi et al., "StarGAN", arXiv 1711.09020, Sec. 3. Domains exclude each other (expressions, seasons, cameras) or are
attributes, of which an image can have several (Black_Hair, Male, Young):

    exclusive     root/train/DOMAIN/..., root/val/DOMAIN/..., or data.domains, a folder for each domain
    attributes    root has the images, data.attributes names columns of a table in it or beside it
    joint         one of both, and data.joint_root with the folders of a second set of exclusive domains

Directions are named after their target. Every exclusive domain is the target of one direction, from all other domains.
An attribute NAME has two: NAME, from images without it, and no_NAME. Attributes of ``data.exclusive``, such as hair
colours, have the first only, which also turns the others of the group off. ``domain_labels`` has the label vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from img2img.data.base import (
    Direction,
    ImageDataset,
    Item,
    LabelSet,
    Lazy,
    TargetLabel,
    read_or_next,
    refuse_companions,
)
from img2img.data.domain_files import DomainSource, Source, known_labels, open_sources, with_names
from img2img.data.domain_options import DomainsConfig
from img2img.data.images import read_image
from img2img.data.options import Part
from img2img.data.transforms import BATCH, SizeCheck, jitter, keyed_seed

UNEVEN = 10  # ratio of the largest to the smallest domain from which a training prints a remark
ALL = ""  # the direction of all images, without a target


class DomainsDataset(ImageDataset):
    """Images with labels. ``config`` has the ``names`` that the set on disk fills in.

    Samples have ``input`` (crop, crop, C) integers, the same as ``target``; ``labels`` (length,) float32, the vector of
    the image's domain or attributes; and ``class``, the number of its domain among those of its set, or -1 if the set
    has attributes. Samples without augmentation also have ``targets`` (n, length), the vectors that sample grids show.
    An image that can't be decoded is replaced by the next one of its set.

    Of two sets learned jointly, sample 2 i is of the first one, and sample 2 i + 1 of the second. The smaller set is
    repeated until the larger one ends.

    Raises:
        ValueError: the set is missing or unreadable, the table doesn't fit the images, or there are fewer than two
            domains; when sampling, if no image can be decoded.
    """

    Config = DomainsConfig
    config: DomainsConfig

    def __init__(self, config: DomainsConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(with_names(config), part, augment=augment, seed=seed)
        self.labels = self.config.labels
        self.transform = jitter(config, augment)
        self.check = SizeCheck(self.transform, BATCH if augment and config.batch_size > 1 else "")
        self.crops = [config.center_crop, config.joint_center_crop][: len(self.labels.sets)]
        self.sources = [
            self._open(source, crop) for source, crop in zip(open_sources(self.config), self.crops, strict=True)
        ]
        known = [
            [self.labels.known(number, values) for values in source.labels]
            for number, source in enumerate(self.sources)
        ]
        self.known = np.array([labels for each in known for labels in each]).reshape(-1, len(self.names))  # (N, n)
        self.set_numbers = np.repeat(np.arange(len(self.sources)), [len(each) for each in known])  # (N,)
        self.places = {name: np.flatnonzero(self._starts(name)) for name in self.directions(self.config)}
        self.places[ALL] = np.arange(len(self.known))
        if part == "train":
            self.notes = self._check_counts()

    def _open(self, source: Source, crop: int) -> DomainSource:
        """The images of this part of a set; those of training for validation if the set has no others."""
        check = partial(self._check_cropped, crop)
        images = source(self.part, check)
        if self.part == "val" and not len(images):
            self.notes = [
                "domains     no validation split, so sample grids and metrics show training images; "
                "data.val_share 0.05 keeps some for validation"
            ]
            return source("train", check)
        return images

    @property
    def names(self) -> list[str]:
        """Domains or attributes, in the order of the label vector."""
        return list(self.labels.names)

    def _check_cropped(self, crop: int, path: Path, height: int, width: int) -> None:
        side = crop or max(height, width)
        self.check(path, min(height, side), min(width, side))

    def _starts(self, direction: str) -> np.ndarray:
        """Whether a direction translates each image (N,): it does unless the image is of the target domain, or of the
        other of two sets."""
        index, on = self.labels.target(direction)
        own = self.known[:, index]
        return np.where(np.isnan(own), False, own != on)

    def _check_counts(self) -> list[str]:
        """Remarks about the numbers of images. Raises ValueError for a label that none or all of its set's images
        have."""
        counts = np.nansum(self.known, 0).astype(int)
        sizes = (~np.isnan(self.known)).sum(0)
        for name, count, size in zip(self.names, counts, sizes, strict=True):
            if not 0 < count < size:
                share = "every" if count else "no"
                raise ValueError(f"data: {share} training image has the label {name}: leave it out or add images")
        if counts.max() >= UNEVEN * counts.min():
            few, many = self.names[int(counts.argmin())], self.names[int(counts.argmax())]
            return [
                f"domains     {counts.max()} images of {many}, but {counts.min()} of {few}: data.even_domains true "
                "samples them equally often"
            ]
        return []

    def __len__(self) -> int:
        return len(self.sources) * max(len(source) for source in self.sources)

    def require_side(self, least: int) -> None:
        self.check.require_side(least)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        number, place = index % len(self.sources), index // len(self.sources)
        source = self.sources[number]
        if self.augment and self.config.even_domains:
            place = self._even_place(source, epoch, index)
        (image, values), name, skipped = read_or_next(source, place % len(source))
        image = self._transform(image, number, keyed_seed(self.seed, epoch, index))
        own = self.labels.known(number, values)
        is_exclusive = self.labels.sets[number].exclusive
        sample = {
            "input": image,
            "target": image,
            "labels": self.labels.vector(number, own),
            "class": int(values.argmax()) if is_exclusive else -1,
            "name": name,
            "skipped": skipped,
        }
        return sample if self.augment else {**sample, "targets": self.labels.shown(own)}

    def _even_place(self, source: DomainSource, epoch: int, index: int) -> int:
        """A random image of a set; its label takes turns."""
        has_label = source.labels > 0  # (N, n)
        turn = index // len(self.sources) % has_label.shape[1]
        places = np.flatnonzero(has_label[:, turn])
        return int(places[np.random.default_rng((self.seed, epoch, index)).integers(len(places))])

    def _transform(self, image: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
        return self.transform(seed, {"image": center_crop(image, self.crops[number])})["image"]

    def _locate(self, place: int) -> tuple[int, int]:
        """(Number of the set, index in it) of one of all N images."""
        number = int(self.set_numbers[place])
        return number, place - int(np.searchsorted(self.set_numbers, number))

    def _image(self, place: int) -> np.ndarray:
        number, index = self._locate(place)
        return self._transform(self.sources[number].read(index)[0], number)

    def count(self, direction: str) -> int:
        return len(self.places[direction])

    def item(self, direction: str, index: int) -> Item:
        """As in the base class; with the image's ``labels`` (n,). The items of the direction ``ALL`` are all images."""
        place = int(self.places[direction][index])
        own = self.known[place]
        domain = {} if direction == ALL else {"domain": self.labels.directed(direction, own)}
        return Item(self.item_name(direction, index), {"input": self._image(place), "labels": own, **domain})

    def item_name(self, direction: str, index: int) -> str:
        number, place = self._locate(int(self.places[direction][index]))
        return self.sources[number].name(place)

    def has_target(self, direction: str, index: int) -> bool:
        return False

    def images(self, domain: str) -> Sequence[np.ndarray]:
        index, on = self.labels.target(domain)
        places = np.flatnonzero(self.known[:, index] == on)
        return Lazy(len(places), lambda i: self._image(int(places[i])))

    @property
    def size(self) -> str:
        counts = zip(np.nansum(self.known, 0).astype(int), self.names, strict=True)
        return f"{len(self.known)} ({', '.join(f'{count} {name}' for count, name in counts)})"

    @classmethod
    def directions(cls, config: DomainsConfig) -> Mapping[str, Direction]:
        return config.labels.directions() if config.names else {}

    @classmethod
    def titles(cls, config: DomainsConfig) -> Mapping[str, str]:
        return {f"domain_{number}": name for number, name in enumerate(config.labels.names)}

    @classmethod
    def validated(cls, config: DomainsConfig) -> Sequence[str]:
        """All directions: one generator learns them together."""
        return list(cls.directions(config))

    @classmethod
    def label_sets(cls, config: DomainsConfig) -> Sequence[LabelSet]:
        return [LabelSet(each.names, each.exclusive) for each in config.labels.sets]

    @classmethod
    def target_label(cls, config: DomainsConfig, direction: str) -> TargetLabel:
        return TargetLabel(*config.labels.target(direction))

    def known_labels(self, sample: Mapping[str, Any]) -> np.ndarray:
        return self.labels.of_vector(sample["labels"])

    @classmethod
    def read(cls, config: DomainsConfig, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        """As in the base class; with the image's ``labels`` (n,): those that the set knows, NaN for the others."""
        refuse_companions(others, ())
        image = read_image(path, config.image_channels)
        return Item(path.stem, {"input": image, "labels": known_labels(config, path)})


def center_crop(image: np.ndarray, side: int) -> np.ndarray:
    """The central square (side, side, C) of an image (H, W, C); all of it along a shorter side, or with side 0."""
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
