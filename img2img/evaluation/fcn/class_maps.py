"""Ground-truth label maps of a run's data set, and its photos with label maps, to train a segmentation network on."""

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
from img2img.evaluation.fcn.label_maps import LabelFolder, Palette, choose_eval_classes
from img2img.inference.label_edits import Classes
from img2img.models import model_class
from img2img.models.base_noise import NoiseModel


class ClassMaps:
    """Ground-truth label maps of the items of a run's data set.

    - With ``data.label_nc`` the inputs are label maps of ids.
    - Otherwise one domain has colour-coded label maps (``label_domain``): the one whose first image is closer to the
      palette's colours.
    - ``folder`` replaces the label maps of either.

    Args:
        config: the run's options.
        palette: colours of the label maps, if these are images.
        folder: label maps by the names of the images.
        eval_classes: class ids to evaluate (default: 19 of Cityscapes' 34, all of other data sets).

    Raises:
        ValueError: the run has no label maps; the palette fits neither domain, or both; an unknown class.
    """

    def __init__(
        self,
        config: Config,
        palette: Palette | None = None,
        folder: LabelFolder | None = None,
        eval_classes: tuple[int, ...] | None = None,
    ) -> None:
        kind = model_class(config.model.name)
        if issubclass(kind, NoiseModel):
            raise ValueError(f"--metrics fcn: run {config.name} draws from noise, without label maps")
        self.config, self.kind, self.palette, self.folder = config, kind, palette, folder
        if "label" in config.data.channels:
            if palette is not None:
                raise ValueError(f"--palette {palette.name}: run {config.name} has label maps of ids; leave it out")
            classes = Classes(config.data)
            self.count, self.names = classes.count, classes.names
            self.label_domain: Domain = "a"
        elif palette is None:
            raise ValueError(
                f"--metrics fcn: run {config.name} has no label maps; if images are label maps in colour, --palette "
                "names the colours of their classes"
            )
        else:
            self.count, self.names = len(palette.colours), palette.names
            self.label_domain = self._find_label_domain(palette)
        known = palette.classes if palette is not None else tuple(range(self.count))
        self.eval_classes = choose_eval_classes(eval_classes, known, self.names)

    @property
    def photo_domain(self) -> Domain:
        """The domain of the photos, "a" or "b"."""
        return "b" if self.label_domain == "a" else "a"

    def makes_label_maps(self, direction: str) -> bool:
        """Whether the outputs of a direction are colour-coded label maps."""
        return (
            dataset_class(self.kind.dataset, self.config.data).directions(self.config.data)[direction].target
            == self.label_domain
        )

    def class_map(self, dataset: ImageDataset, direction: str, index: int) -> np.ndarray:
        """Class ids (H, W) of an item. Only for directions that ``require`` returns. Raises UnreadableImage."""
        if self.folder is not None:
            return self.folder.read(self._file_names(dataset, direction, index)[0])
        read = eight_bits if self.palette is None else self.palette.ids
        return dataset.class_map(direction, index, "target" if self.makes_label_maps(direction) else "input", read)

    def complete(self, dataset: ImageDataset, direction: str) -> bool:
        """Whether all items of a direction have label maps."""
        return all(
            self._file_names(dataset, direction, index)
            if self.folder is not None
            else not self.makes_label_maps(direction) or dataset.has_target(direction, index)
            for index in range(dataset.count(direction))
        )

    def require(self, dataset: ImageDataset, directions: Sequence[str]) -> list[str]:
        """Those of ``directions`` in which all items have label maps. Raises ValueError if there are none, or a label
        map can't be read."""
        labelled = [direction for direction in directions if self.complete(dataset, direction)]
        first = directions[0]
        if self.folder is None:
            if not labelled:
                raise ValueError(
                    "--metrics fcn: some images have no label map; name a folder of label maps with --labels, or pair "
                    "images of the same name with --paired"
                )
        elif not labelled:
            self.folder.require(dataset.item_name(first, index) for index in range(dataset.count(first)))
        else:
            for direction in labelled:
                names = (self._file_names(dataset, direction, index)[0] for index in range(dataset.count(direction)))
                self.folder.require(names)
        return labelled

    def _file_names(self, dataset: ImageDataset, direction: str, index: int) -> list[str]:
        """Names of an item with a label map in the folder: its input's and its target's."""
        names = [dataset.item_name(direction, index), dataset.target_name(direction, index)]
        return [name for name in names if name is not None and self.folder is not None and name in self.folder]

    def dataset(self, part: Part) -> ImageDataset:
        """The data set of a part. Unpaired training images of the same name are pairs, unless there is a folder.

        Raises:
            ValueError: its files can't be found.
        """
        data = self.config.data
        if part == "train" and self.kind.learns_all:  # unpaired data sets pair images in their validation part only
            part, data = "val", replace(data, val_split=data.train_split)
            data = data.with_partners() if self.folder is None else data
        return dataset_class(self.kind.dataset, data)(data, part)

    def _find_label_domain(self, palette: Palette) -> Domain:
        """The domain whose first image has the palette's colours. Raises ValueError if it is neither, or unclear."""
        dataset = dataset_class(self.kind.dataset, self.config.data)(self.config.data, "val")
        images: dict[Domain, Sequence[np.ndarray]] = {"a": dataset.images("a"), "b": dataset.images("b")}
        if not all(images.values()):
            raise ValueError(f"--metrics fcn: run {self.config.name} has no validation images")
        distance = {domain: palette.distance(eight_bits(sequence[0])) for domain, sequence in images.items()}
        near, far = sorted(distance, key=lambda domain: distance[domain])
        if distance[near] > 12 or 2 * distance[near] > distance[far]:  # JPEG changes colours by some levels
            raise ValueError(
                f"--palette {palette.name}: distance to the first image of A is {distance['a']:.0f} levels of 255, "
                f"to that of B {distance['b']:.0f}; exactly one of them must have the palette's colours"
            )
        return near


class LabelledPhotos(Dataset[dict]):
    """The real training photos of a run's data set with their label maps, without augmentation.

    A sample has ``photo`` (H, W, 3) uint8, ``label`` (H', W') of class ids, and ``name``. A photo that can't be decoded
    is replaced by the next one.

    Raises:
        ValueError: as ``ClassMaps.dataset``; in sampling, if no photo can be decoded.
    """

    def __init__(self, maps: ClassMaps) -> None:
        self.maps = maps
        try:
            self.dataset = maps.dataset("train")
            if maps.folder is not None:
                maps.folder.require(self._name(index) for index in range(len(self)))
        except ValueError as error:
            if maps.kind.learns_all and maps.folder is None:
                raise ValueError(
                    "--train-segmenter: the training photos have no label maps of the same name; name a folder of "
                    f"label maps with --labels, or a network with --segmenter ({error})"
                ) from error
            raise

    @property
    def direction(self) -> str:
        """The direction whose inputs are the photos; with label maps of ids, the only one, whose targets they are."""
        directions = self.dataset.directions(self.maps.config.data)
        from_photos = (name for name, direction in directions.items() if direction.source == self.maps.photo_domain)
        return next(from_photos, next(iter(directions)))

    @property
    def photo_is_target(self) -> bool:
        return self.dataset.directions(self.maps.config.data)[self.direction].target == self.maps.photo_domain

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
        raise ValueError(f"--train-segmenter: no training photo can be decoded: {unreadable}")

    def _read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        maps, item = self.maps, self.dataset.item(self.direction, place)
        photo = item.target if self.photo_is_target else item.inputs["input"]
        assert photo is not None, "training items have photos"
        if "label" in maps.config.data.channels and maps.folder is None:  # the item has both
            return photo, item.inputs["label"][:, :, 0]
        return photo, maps.class_map(self.dataset, self.direction, place)
