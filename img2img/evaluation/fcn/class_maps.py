"""The class maps of a run's set (its label maps, painted images, or a folder beside it), and its labelled photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.base import ImageDataset
from img2img.data.images import UnreadableImage, eight_bits
from img2img.data.options import Domain, Part
from img2img.evaluation.fcn.label_maps import LabelFolder, Palette, scored_classes
from img2img.inference.label_edits import Classes
from img2img.models import model_class
from img2img.models.base_noise import NoiseModel


class ClassMaps:
    """Which class each pixel of a set's images is of.

    Where the inputs are label maps (``data.label_nc``) these are their ids. Else one of the two domains is painted in a
    palette's colours, ``painted``: the one whose images are nearer to them. ``folder`` replaces the maps of either.

    Args:
        config: the run's options.
        palette: of a set of images.
        folder: maps by the names of the images.
        scored: the classes that count; unset, Cityscapes' 19 of its 34, of other sets all.

    Raises:
        ValueError: the run has no label maps; neither domain, or either, could be painted in the palette; a class that
            is none of the set's.
    """

    def __init__(
        self,
        config: Config,
        palette: Palette | None = None,
        folder: LabelFolder | None = None,
        scored: tuple[int, ...] | None = None,
    ) -> None:
        kind = model_class(config.model.name)
        if issubclass(kind, NoiseModel):
            raise ValueError(f"--metrics fcn: run {config.name} draws from noise, without label maps")
        self.config, self.kind, self.palette, self.folder = config, kind, palette, folder
        if "label" in config.data.channels:
            if palette is not None:
                raise ValueError(f"--palette {palette.name}: run {config.name} has label maps; leave it out")
            classes = Classes(config.data)
            self.count, self.names = classes.count, classes.names
            self.painted: Domain = "a"
        elif palette is None:
            raise ValueError(
                f"--metrics fcn: run {config.name} has its label maps as images; --palette tells what colours mean"
            )
        else:
            self.count, self.names = len(palette.colours), palette.names
            self.painted = self._painted(palette)
        known = palette.meant if palette is not None else tuple(range(self.count))
        self.scored = scored_classes(scored, known, self.names)

    @property
    def photos(self) -> Domain:
        """The domain of the photos."""
        return "b" if self.painted == "a" else "a"

    def paints(self, direction: str) -> bool:
        """Whether what a direction makes are painted maps."""
        return (
            dataset_class(self.kind.dataset, self.config.data).directions(self.config.data)[direction].target
            == self.painted
        )

    def of(self, dataset: ImageDataset, direction: str, index: int) -> np.ndarray:
        """The class map (H, W) of an item of a data set, which ``knows`` it. Raises UnreadableImage."""
        if self.folder is not None:
            return self.folder.read(self._names(dataset, direction, index)[0])
        read = eight_bits if self.palette is None else self.palette.ids
        return dataset.class_map(direction, index, "target" if self.paints(direction) else "input", read)

    def knows(self, dataset: ImageDataset, direction: str) -> bool:
        """Whether all items of a direction have class maps."""
        return all(
            self._names(dataset, direction, index)
            if self.folder is not None
            else not self.paints(direction) or dataset.has_target(direction, index)
            for index in range(dataset.count(direction))
        )

    def require(self, dataset: ImageDataset, ways: Sequence[str]) -> list[str]:
        """The directions whose items have class maps. Raises ValueError if there is none, or a map can't be read."""
        known = [way for way in ways if self.knows(dataset, way)]
        first = ways[0]
        if self.folder is None:
            if not known:
                raise ValueError(
                    "--metrics fcn: no image has a class map; --labels names some, --paired finds partners"
                )
        elif not known:
            self.folder.require(dataset.item_name(first, index) for index in range(dataset.count(first)))
        else:
            for way in known:
                names = (self._names(dataset, way, index)[0] for index in range(dataset.count(way)))
                self.folder.require(names)
        return known

    def _names(self, dataset: ImageDataset, direction: str, index: int) -> list[str]:
        """The names by which an item's map lies in the folder: its own, or its target's."""
        names = [dataset.item_name(direction, index), dataset.target_name(direction, index)]
        return [name for name in names if name is not None and self.folder is not None and name in self.folder]

    def set(self, part: Part) -> ImageDataset:
        """The data set of a part; in training, too, images of one name are partners here, where that is asked for.

        Raises:
            ValueError: its files can't be found.
        """
        data = self.config.data
        if part == "train" and self.kind.learns_all:  # unpaired images have partners as validation ones only
            part, data = "val", replace(data, val_split=data.train_split)
            data = data.with_partners() if self.folder is None else data
        return dataset_class(self.kind.dataset, data)(data, part)

    def _painted(self, palette: Palette) -> Domain:
        found = dataset_class(self.kind.dataset, self.config.data)(self.config.data, "val")
        images: dict[Domain, Sequence[np.ndarray]] = {"a": found.images("a"), "b": found.images("b")}
        if not all(images.values()):
            raise ValueError(f"--metrics fcn: run {self.config.name} has no validation images")
        distance = {domain: palette.strangeness(eight_bits(own[0])) for domain, own in images.items()}
        near, far = sorted(distance, key=lambda domain: distance[domain])
        if distance[near] > 12 or 2 * distance[near] > distance[far]:  # a JPEG's colours are off by some levels
            raise ValueError(
                f"--palette {palette.name}: its colours are {distance['a']:.0f} levels away from A's first image "
                f"and {distance['b']:.0f} from that of B; one of them must be painted in it"
            )
        return near


class LabelledPhotos(Dataset[dict]):
    """The real training photos of a run's set with their class maps, without chance: ``photo`` (H, W, 3) uint8 and
    ``label`` (H, W) of an index.

    Raises:
        ValueError: as ``ClassMaps.set``; when sampling, if no image can be read.
    """

    def __init__(self, maps: ClassMaps) -> None:
        self.maps = maps
        try:
            self.dataset = maps.set("train")
            if maps.folder is not None:
                maps.folder.require(self._name(index) for index in range(len(self)))
        except ValueError as error:
            if maps.kind.learns_all and maps.folder is None:
                raise ValueError(
                    "--train-segmenter: the training photos have no partners that are painted maps; --labels names a "
                    f"folder of maps by the photos' names, --segmenter a network ({error})"
                ) from error
            raise

    @property
    def direction(self) -> str:
        """The one whose items' inputs are the photos; of label maps the one whose targets are."""
        known = self.dataset.directions(self.maps.config.data)
        return next((name for name, way in known.items() if way.source == self.maps.photos), next(iter(known)))

    @property
    def photo_is_target(self) -> bool:
        return self.dataset.directions(self.maps.config.data)[self.direction].target == self.maps.photos

    def _name(self, index: int) -> str:
        return self.dataset.item_name(self.direction, index)

    def __len__(self) -> int:
        return self.dataset.count(self.direction)

    def __getitem__(self, index: int) -> dict[str, Any]:
        for attempt in range(len(self)):
            place = (index + attempt) % len(self)
            try:
                photo, label = self._read(place)
            except UnreadableImage as error:
                unreadable = error
                continue
            return {"photo": eight_bits(photo), "label": label, "name": self._name(place)}
        raise ValueError(f"--train-segmenter: no photo of the set can be decoded: {unreadable}")

    def _read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        maps, item = self.maps, self.dataset.item(self.direction, place)
        photo = item.target if self.photo_is_target else item.inputs["input"]
        assert photo is not None, "the training part has photos"
        if "label" in maps.config.data.channels and maps.folder is None:  # one scene has both
            return photo, item.inputs["label"][:, :, 0]
        return photo, maps.of(self.dataset, self.direction, place)
