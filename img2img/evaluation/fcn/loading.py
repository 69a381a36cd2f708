"""Loads what the options of the FCN-score name: ground-truth label maps and the segmentation network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from img2img.config import load_config, with_places
from img2img.evaluation.base import ImageSet
from img2img.evaluation.fcn.class_maps import ClassMaps, LabelledPhotos
from img2img.evaluation.fcn.label_maps import LabelFolder, choose_eval_classes, load_palette, parse_classes
from img2img.evaluation.fcn.segmenter import Segmenter, load_segmenter
from img2img.evaluation.fcn.train_segmenter import train_segmenter
from img2img.run_files import config_file
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
    data: Mapping[str, Any] | None = None,
) -> ClassMaps | LabelFolder:
    """Loads the ground-truth label maps of a run's data set, or of a folder of images.

    Args:
        run: name or folder of a run, or a folder of images.
        labels: folder of label maps (default for a run: those of its data set).
        palette: see ``load_palette``.
        classes: see ``parse_classes``.
        paired: treat unpaired validation images of the same name as pairs.
        photos: whether a folder's images are photos. If False and there is a palette, they are colour-coded label maps.
        data: where the run's data set is now, see ``load_translator``.

    Raises:
        ValueError: an option is missing or invalid.
    """
    colours = None if palette is None else load_palette(palette)
    ids = None if classes is None else parse_classes(classes)
    if is_image_folder(run):
        if labels is None:
            raise ValueError("--metrics fcn: a folder of images needs --labels DIR")
        image_classes = None if photos or colours is None else choose_eval_classes(ids, colours.classes, colours.names)
        return LabelFolder(labels, colours, image_classes)
    folder = None if labels is None else LabelFolder(labels, colours)
    config = with_places(load_config(config_file(find_run(run))), data)
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
    """Trains or loads the segmentation network. Returns None if all images are colour-coded label maps.

    Args:
        run: name or folder of a run, or a folder of images.
        maps: result of ``load_class_maps``.
        image_sets: the sets to evaluate.
        segmenter: see ``load_segmenter`` (default: the network that was trained for the run before).
        train_steps: train a network for so many steps on the run's real photos first.
        classes: see ``parse_classes``. For a torchvision network, the class id of each output.
        device: device of the network.

    Raises:
        ValueError: no network is named, it can't be loaded or trained, or it is not needed.
    """
    ids = None if classes is None else parse_classes(classes)
    option = f"--segmenter {segmenter}" if train_steps is None else "--train-segmenter"
    if all(image_set.class_reader is not None for image_set in image_sets):
        if segmenter is not None or train_steps is not None:
            raise ValueError(f"{option}: not needed, the images are label maps with the colours of --palette")
        return None
    if isinstance(maps, LabelFolder):
        if train_steps is not None:
            raise ValueError(f"{option}: needs the data set of a run, and {run} is a folder of images")
        if segmenter is None:
            raise ValueError(
                f"--metrics fcn: folder {run} needs --segmenter FILE if its images are photos, --palette FILE if they "
                "are colour-coded label maps"
            )
        return load_segmenter(segmenter, ids, None, {}, device)
    path = find_run(run) / FILE
    if train_steps is not None:
        return train_segmenter(LabelledPhotos(maps), train_steps, path, device, maps.config.data.num_workers)
    if segmenter is None and not path.is_file():
        raise ValueError(
            "--metrics fcn: no segmentation network; train one on the run's photos with --train-segmenter, or name one "
            "with --segmenter FILE"
        )
    network = load_segmenter(segmenter or str(path), ids, maps.count, maps.names, device)
    unknown = [maps.names.get(number, number) for number in maps.eval_classes if number not in network.classes]
    if unknown:
        print(f"segmenter   can't predict {', '.join(str(name) for name in unknown)}: left out of the score")
    return network
