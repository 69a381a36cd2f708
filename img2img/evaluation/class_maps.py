"""The class maps of a run's set (its label maps, painted pictures, or a folder beside it), and its labelled photos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.images import UnreadableImage, eight_bits
from img2img.data.options import Domain, Part, domains
from img2img.evaluation.labels import CITYSCAPES_SCORED, LabelFolder, Palette
from img2img.inference.classes import CITYSCAPES, Classes
from img2img.models import model_class
from img2img.models.base import NoiseModel


class ClassMaps:
    """Which class each pixel of a set's pictures is of.

    Where the inputs are label maps (``data.label_nc``) these are their ids. Else one of the two domains is painted in a
    palette's colours, ``painted``: the one whose pictures are nearer to them. ``folder`` replaces the maps of either.

    Args:
        config: the run's options.
        palette: of a set of pictures.
        folder: maps by the names of the pictures.
        scored: the classes that count; unset, Cityscapes' 19 of its 34, of other sets all.

    Raises:
        ValueError: the run has no label maps; or neither domain, or either, could be painted in the palette.
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
        if config.data.label_nc:
            if palette is not None:
                raise ValueError(f"--palette {palette.name}: run {config.name} has label maps; leave it out")
            self.count, self.names = config.data.label_nc, Classes(config.data).names
            self.painted: Domain = "a"
        elif palette is None:
            raise ValueError(
                f"--metrics fcn: run {config.name} has its label maps as pictures; --palette tells what colours mean"
            )
        else:
            self.count, self.names = len(palette.colours), palette.names
            self.painted = self._painted(palette)
        known = palette.meant if palette is not None else tuple(range(self.count))
        own = CITYSCAPES_SCORED if self.names == dict(enumerate(CITYSCAPES)) else known
        self.scored = tuple(number for number in scored if number >= 0) if scored else own
        beyond = [number for number in self.scored if number not in known]
        if beyond:
            raise ValueError(f"--classes: {beyond[0]} is no class of the set, which has {known[0]}..{known[-1]}")

    @property
    def photos(self) -> Domain:
        """The domain of the photos."""
        return "b" if self.painted == "a" else "a"

    def of(self, pictures: Any, domain: Domain, index: int) -> np.ndarray:
        """The class map (H, W) of a picture of a data set. Raises UnreadableImage; ValueError if it has none."""
        if self.folder is not None:
            return self.folder.read(pictures.name(domain, index))
        place = index if domain == self.painted else pictures.partner(domain, index)
        assert place is not None, "asked for although ``knows`` says no"
        picture = pictures.picture(self.painted, place)
        return picture[:, :, 0] if self.palette is None else self.palette.ids(eight_bits(picture))

    def knows(self, pictures: Any, domain: Domain) -> bool:
        """Whether the pictures of a domain have class maps."""
        if self.folder is not None or domain == self.painted:
            return True
        return any(pictures.partner(domain, index) is not None for index in range(pictures.count(domain)))

    def set(self, part: Part) -> Any:
        """The data set of a part; in training, too, pictures of one name are partners here.

        Raises:
            ValueError: its files can't be found, or pictures have no map in the folder.
        """
        data = self.config.data
        if part == "train" and self.kind.two_way:  # unpaired pictures have partners as validation ones only
            part, data = "val", replace(data, val_split=data.train_split, val_paired=self.folder is None)
        found = dataset_class(self.kind.dataset)(data, part)
        if self.folder is not None:
            domain = domains(data.direction)[0] if data.label_nc else self.photos
            self.folder.require(found.name(domain, index) for index in range(found.count(domain)))
        return found

    def _painted(self, palette: Palette) -> Domain:
        found = dataset_class(self.kind.dataset)(self.config.data, "val")
        if not found.count("a") or not found.count("b"):
            raise ValueError(f"--metrics fcn: run {self.config.name} has no validation pictures")
        distance: dict[Domain, float] = {
            domain: palette.strangeness(eight_bits(found.picture(domain, 0))) for domain in ("a", "b")
        }
        near, far = sorted(distance, key=lambda domain: distance[domain])
        if distance[near] > 12 or 2 * distance[near] > distance[far]:  # a JPEG's colours are off by some levels
            raise ValueError(
                f"--palette {palette.name}: its colours are {distance['a']:.0f} levels away from A's first picture "
                f"and {distance['b']:.0f} from that of B; one of them must be painted in it"
            )
        return near


class LabelledPhotos(Dataset[dict]):
    """The real training photos of a run's set with their class maps, without chance: ``photo`` (H, W, 3) uint8 and
    ``label`` (H, W) of an index.

    Raises:
        ValueError: as ``ClassMaps.set``; when sampling, if no picture can be read.
    """

    def __init__(self, maps: ClassMaps) -> None:
        self.maps = maps
        try:
            self.pictures = maps.set("train")
        except ValueError as error:
            if maps.kind.two_way and maps.folder is None:
                raise ValueError(
                    f"--train-segmenter: needs photos with their class maps ({error}); --segmenter names a trained one"
                ) from error
            raise

    def __len__(self) -> int:
        return self.pictures.count(self.maps.photos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        for attempt in range(len(self)):
            place = (index + attempt) % len(self)
            try:
                photo, label = self._read(place)
            except UnreadableImage as error:
                unreadable = error
                continue
            return {"photo": eight_bits(photo), "label": label, "name": self.pictures.name(self.maps.photos, place)}
        raise ValueError(f"--train-segmenter: no photo of the set can be decoded: {unreadable}")

    def _read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        maps = self.maps
        if maps.config.data.label_nc and maps.folder is None:  # one scene has both
            scene = self.pictures.scene(place)
            return scene["target"], scene["label"][:, :, 0]
        return self.pictures.picture(maps.photos, place), maps.of(self.pictures, maps.photos, place)
