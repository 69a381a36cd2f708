"""What the options of the FCN-score name: class maps, and the network that looks for classes in images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from img2img.config import config_file, load_config
from img2img.evaluation.base import ImageSet
from img2img.evaluation.fcn.class_maps import ClassMaps, LabelledPhotos
from img2img.evaluation.fcn.label_maps import LabelFolder, load_palette, parse_classes, scored_classes
from img2img.evaluation.fcn.segmenter import Segmenter, load_segmenter
from img2img.evaluation.fcn.train_segmenter import train_segmenter
from img2img.runs import find_run, is_image_folder

FILE = "segmenter.safetensors"  # in a run's folder


def load_class_maps(
    run: str,
    *,
    labels: Path | None = None,
    palette: str | None = None,
    classes: str | None = None,
    paired: bool = False,
    photos: bool = True,
) -> ClassMaps | LabelFolder:
    """The class maps of the images of a run, or of a folder.

    Args:
        run: a run, or a folder of images.
        labels: folder of class maps, instead of the set's own.
        palette: see ``load_palette``.
        classes: see ``parse_classes``.
        paired: whether validation images of one name are partners although the run's options don't say so.
        photos: whether a folder's images are photos; else, with a palette, they are painted maps.

    Raises:
        ValueError: an option is missing, or names something that can't be had.
    """
    colours = None if palette is None else load_palette(palette)
    ids = None if classes is None else parse_classes(classes)
    if is_image_folder(run):
        if labels is None:
            raise ValueError("--metrics fcn: of a folder of images it takes --labels DIR")
        painted = None if photos or colours is None else scored_classes(ids, colours.meant, colours.names)
        return LabelFolder(labels, colours, painted)
    folder = None if labels is None else LabelFolder(labels, colours)
    config = load_config(config_file(find_run(run)))
    if paired:
        config = replace(config, data=config.data.with_partners())
    return ClassMaps(config, colours, folder, ids)


def choose_segmenter(
    run: str,
    maps: ClassMaps | LabelFolder,
    image_sets: Sequence[ImageSet],
    *,
    segmenter: str | None = None,
    train_steps: int | None = None,
    classes: str | None = None,
    device: torch.device | str = "cpu",
) -> Segmenter | None:
    """The network that looks for classes; none, where all images are painted class maps.

    Args:
        run: a run, or a folder of images.
        maps: of ``load_class_maps``.
        image_sets: what is to be measured.
        segmenter: see ``load_segmenter``; unset, the one that was trained for the run before.
        train_steps: steps in which one is trained on the run's real photos first.
        classes: see ``parse_classes``: of a network of torchvision, the id of each output.
        device: where it is to be.

    Raises:
        ValueError: there is none, or it is of no use, or can't be had.
    """
    ids = None if classes is None else parse_classes(classes)
    option = f"--segmenter {segmenter}" if train_steps is None else "--train-segmenter"
    if all(image_set.painted is not None for image_set in image_sets):
        if segmenter is not None or train_steps is not None:
            raise ValueError(f"{option}: of no use, since what is made are painted maps, which their colours tell")
        return None
    if isinstance(maps, LabelFolder):
        if train_steps is not None:
            raise ValueError(f"{option}: takes the photos of a run's set, and {run} is a folder of images")
        if segmenter is None:
            raise ValueError(
                "--metrics fcn: of a folder of photos it takes --segmenter FILE, of one of painted maps --palette"
            )
        return load_segmenter(segmenter, ids, None, {}, device)
    own = find_run(run) / FILE
    if train_steps is not None:
        return train_segmenter(LabelledPhotos(maps), train_steps, own, device, maps.config.data.num_workers)
    if segmenter is None and not own.is_file():
        raise ValueError("--metrics fcn: --train-segmenter trains a network on the set's photos, --segmenter names one")
    network = load_segmenter(segmenter or str(own), ids, maps.count, maps.names, device)
    unknown = [maps.names.get(number, number) for number in maps.scored if number not in network.scored]
    if unknown:
        print(f"segmenter   can't tell {', '.join(str(name) for name in unknown)}: left out of the score")
    return network
