"""The FCN-score of a subject: where its class maps are, who looks for classes in its pictures, and what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from img2img.config import config_file, load_config
from img2img.data.images import eight_bits, to_array
from img2img.data.label_files import resize_ids
from img2img.evaluation.fcn.class_maps import ClassMaps, LabelledPhotos
from img2img.evaluation.fcn.label_maps import LabelFolder, load_palette, parse_classes, scored_classes
from img2img.evaluation.fcn.segmenter import Confusion, Segmenter, load_segmenter
from img2img.evaluation.fcn.train_segmenter import train_segmenter
from img2img.evaluation.image_sets import Judged, Subject, is_folder
from img2img.networks.labels import colour_labels
from img2img.runs import find_run

FILE = "segmenter.safetensors"  # in a run's folder


def load_maps(
    run: str,
    labels: Path | None = None,
    palette: str | None = None,
    classes: str | None = None,
    paired: bool = False,
    photos: bool = True,
) -> ClassMaps | LabelFolder:
    """The class maps of a command line.

    Args:
        run: a run, or a folder of pictures.
        labels: folder of class maps, instead of the set's own.
        palette: see ``load_palette``.
        classes: see ``parse_classes``.
        paired: see ``run_subject``.
        photos: whether a folder's pictures are photos; else, with a palette, they are painted maps.

    Raises:
        ValueError: an option is missing, or names something that can't be had.
    """
    colours = None if palette is None else load_palette(palette)
    ids = None if classes is None else parse_classes(classes)
    if is_folder(run):
        if labels is None:
            raise ValueError("--metrics fcn: of a folder of pictures it takes --labels DIR")
        painted = None if photos or colours is None else scored_classes(ids, colours.meant, colours.names)
        return LabelFolder(labels, colours, painted)
    folder = None if labels is None else LabelFolder(labels, colours)
    config = load_config(config_file(find_run(run)))
    config = replace(config, data=replace(config.data, val_paired=paired or config.data.val_paired))
    return ClassMaps(config, colours, folder, ids)


def load_recogniser(
    run: str,
    maps: ClassMaps | LabelFolder,
    found: Sequence[Subject],
    segmenter: str | int | None = None,
    classes: str | None = None,
    device: torch.device | str = "cpu",
) -> Segmenter | None:
    """The segmenter of a command line; none, where all that is made is painted maps.

    Args:
        run: a run, or a folder of pictures.
        maps: of ``load_maps``.
        found: what is to be judged.
        segmenter: see ``load_segmenter``; or steps, in which one is trained on the run's real photos; unset, the one
            that was trained for the run before.
        classes: see ``parse_classes``: of a network of torchvision, the id of each output.
        device: where it is to judge.

    Raises:
        ValueError: there is none, or it is of no use, or can't be had.
    """
    option = "--train-segmenter" if isinstance(segmenter, int) else f"--segmenter {segmenter}"
    ids = None if classes is None else parse_classes(classes)
    if all(subject.palette is not None for subject in found):
        if segmenter is not None:
            raise ValueError(f"{option}: of no use, since what is made are painted maps, which their colours tell")
        return None
    if isinstance(maps, LabelFolder):
        if isinstance(segmenter, int):
            raise ValueError(f"{option}: takes the photos of a run's set, and {run} is a folder of pictures")
        if segmenter is None:
            raise ValueError(
                "--metrics fcn: of a folder of photos it takes --segmenter FILE, of one of painted maps --palette"
            )
        return load_segmenter(segmenter, ids, None, {}, device)
    own = find_run(run) / FILE
    if isinstance(segmenter, int):
        return train_segmenter(LabelledPhotos(maps), segmenter, own, device, maps.config.data.num_workers)
    if segmenter is None and not own.is_file():
        raise ValueError("--metrics fcn: --train-segmenter trains a network on the set's photos, --segmenter names one")
    network = load_segmenter(segmenter or str(own), ids, maps.count, maps.names, device)
    unknown = [maps.names.get(number, number) for number in maps.scored if number not in network.scored]
    if unknown:
        print(f"segmenter   can't tell {', '.join(str(name) for name in unknown)}: left out of the score")
    return network


class Recognition:
    """What a segmenter recognises in made pictures, and in the real ones that belong to them: ``made`` and ``real``.

    Raises:
        ValueError: there is no segmenter, or no class that it can tell counts.
    """

    def __init__(self, subject: Subject, segmenter: Segmenter | None) -> None:
        self.palette, self.segmenter = subject.palette, segmenter
        scored = subject.scored
        if self.palette is None:
            if segmenter is None:
                raise ValueError("--metrics fcn: needs --segmenter, or --train-segmenter")
            scored = tuple(number for number in segmenter.scored if number in (scored or segmenter.scored))
        if not scored:
            raise ValueError("--metrics fcn: the segmenter can tell none of the classes that count; see --classes")
        self.made, self.real = Confusion(scored), Confusion(scored)

    def add(self, item: Judged, shown: dict[str, np.ndarray]) -> float:
        """Judges one picture, adds what was seen and what is there to what the sheet shows, and returns its score."""
        if item.labels is None:
            raise ValueError(f"--metrics fcn: {item.name} has no class map; --labels names a folder of them")
        seen = self._see(item.picture, item.labels)
        if item.truth is not None and self.palette is None:
            self.real.add(item.labels, self._see(item.truth, item.labels))
        for title, ids in (("seen", seen), ("classes", item.labels)):
            known = np.where(np.isin(ids, self.made.ids), ids, -1)
            shown[title] = to_array(colour_labels(torch.from_numpy(known)[None, None])[0], np.uint8)
        return self.made.add(item.labels, seen)

    def scores(self) -> dict[str, float]:
        """Of the made pictures, and as ``real_...`` of the real ones."""
        of_real = self.real.scores() if self.real.counts.any() else {}
        return self.made.scores() | {f"real_{name}": value for name, value in of_real.items()}

    def _see(self, picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
        picture = eight_bits(picture)
        if self.palette is not None:
            ids = self.palette.ids(picture)
            return ids if ids.shape == labels.shape else resize_ids(ids, *labels.shape)
        assert self.segmenter is not None
        return self.segmenter(picture, labels.shape)
