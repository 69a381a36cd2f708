"""Opens image sets: what a run makes of its validation set, with the real images; or a folder of images.

Also the baselines of a run: the trivial answers that its data set knows, or the unchanged input; and the mean training
image.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from img2img.data import dataset_class
from img2img.data.base import ImageDataset, Item, NoTrainingImages
from img2img.data.images import UnreadableImage, to_channels
from img2img.errors import printable
from img2img.evaluation.base import ImageRecord, ImageSet, PlaneProtocol, Predict, made_set, real_set, shave_of
from img2img.evaluation.fcn.class_maps import ClassMaps
from img2img.evaluation.fcn.label_maps import LabelFolder, PaletteReader
from img2img.evaluation.folder_sets import compare_with_folder, folder_set
from img2img.evaluation.options import RunOptions
from img2img.inference.loading import draws_from_noise, load_sampler, load_translator
from img2img.inference.sampler import Sampler
from img2img.inference.translator import Translator
from img2img.runs import is_image_folder

MOST_FOR_MEAN = 2000  # number of training images, evenly spaced, in the mean image


def open_image_sets(
    name: str,
    *,
    reference: Path | None = None,
    pairs: bool = False,
    maps: ClassMaps | LabelFolder | None = None,
    device: torch.device | str | None = None,
    options: RunOptions | None = None,
) -> list[ImageSet]:
    """Opens a folder of images, or a run: one image set for each direction that it learnt.

    Args:
        name: a folder of images, or a run's name or folder.
        reference: folder of real images. A run that learnt several directions is then evaluated in its own one alone.
        pairs: whether metrics compare each image with a target. In folders, the target is the image of the same name
            in ``reference``. If False, targets in files of their own are not decoded.
        maps: ground-truth label maps, see ``fcn.loading.load_class_maps``.
        device: device on which a run makes its images (default: the GPU if there is one).
        options: options of a run (default: ``RunOptions()``).

    Raises:
        ValueError: the run, its data or a folder can't be found.
    """
    options = options or RunOptions()
    if is_image_folder(name):
        assert not isinstance(maps, ClassMaps), "label maps of a folder are a LabelFolder"
        return [folder_set(Path(name), reference, pairs=pairs, maps=maps)]
    if draws_from_noise(name):
        if pairs:
            raise ValueError(
                f"run {name} draws from noise: its images have no targets; leave out l1, psnr, ssim, lpips"
            )
        sampler = load_sampler(name, checkpoint=options.checkpoint, device=device, data=options.data)
        made = noise_set(sampler, options.count, seed=options.seed, reference=reference)
        made.title += places_text(options.data)
        return [made]
    assert not isinstance(maps, LabelFolder), "label maps of a run are ClassMaps"
    translator = load_translator(
        name, checkpoint=options.checkpoint, device=device, norm_policy=options.norm_policy, data=options.data
    )
    return _directions(translator.styled(options.style), reference, maps, pairs=pairs, options=options)


def _directions(
    translator: Translator, reference: Path | None, maps: ClassMaps | None, *, pairs: bool, options: RunOptions
) -> list[ImageSet]:
    """One image set for each direction that the run learnt; with ``maps``, for each that has label maps."""
    translators = [translator]
    if reference is None:
        translators += [translator.towards(direction) for direction in translator.directions[1:]]
    if maps is not None:  # fails before any image is generated
        labelled = maps.require(maps.dataset("val"), [each.direction for each in translators])
        translators = [each for each in translators if each.direction in labelled]
    suffix = f", style {options.style}, seed {options.seed}" if options.style else ""
    suffix += ", normalised by the batch" if options.norm_policy == "batch" else ""
    suffix += places_text(options.data)
    image_sets = []
    for each in translators:
        made = run_set(
            each,
            pairs=pairs,
            paired=options.paired,
            reference=reference,
            maps=maps,
            seed=options.seed,
            protocol=options.protocol,
        )
        made.title += suffix
        image_sets.append(made)
    return image_sets


def places_text(data: Mapping[str, Any] | None) -> str:
    """Where a run's data are now, for titles: ", data.root DIR"; "" if they are where the training found them."""
    return "".join(f", data.{key} {value}" for key, value in (data or {}).items())


def run_set(
    translator: Translator,
    *,
    pairs: bool = True,
    paired: bool = False,
    reference: Path | None = None,
    maps: ClassMaps | None = None,
    seed: int = 0,
    protocol: PlaneProtocol = "colour",
) -> ImageSet:
    """What a run makes of its validation set in the translator's direction, with the validation set's real images.

    Args:
        translator: generator of the run, from ``load_translator``.
        pairs: whether images are compared with targets. With ``maps``, targets are read in any case.
        paired, seed: see ``RunOptions``.
        reference: folder of real images (default: those of the validation set). Targets are the validation set's.
        maps: ground-truth label maps of the data set.
        protocol: see ``RunOptions``.

    Raises:
        ValueError: the run's data, the folder or label maps can't be found; protocol "y" of images in colour.
    """
    assert translator.checkpoint is not None, "only a run has a validation set"
    direction, dataset = translator.direction, _validation_set(translator, paired, protocol)
    if protocol == "y" and not _is_gray(translator):
        raise ValueError(
            f"--protocol y: run {translator.config.name} restores images in colour, not Y; leave out --metrics to "
            "measure the trivial answers"
        )
    if not pairs and maps is None:
        dataset = dataset.without_targets()
    class_map = None if maps is None else partial(maps.class_map, dataset, direction)
    title = f"{translator.checkpoint} {direction}"
    made = made_set(title, dataset.items(direction), _translate(translator, seed), class_map=class_map)
    names = (dataset.item_name(direction, index) for index in _without_target(dataset, direction))
    made.without_target = list(names)
    folder = direction if protocol == "colour" else f"{direction}-{protocol}"
    made.output = translator.run / "evaluation" / translator.checkpoint.name / folder
    made.target_label = dataset.target_label(dataset.config, direction)
    _describe(made, translator, protocol)
    if pairs:
        made.baselines = _answer_sets(translator, dataset, protocol=protocol, skipped=made.skipped)
    if maps is not None:
        made.eval_classes, made.class_names = maps.eval_classes, maps.names
        if maps.palette is not None and maps.makes_label_maps(direction):
            made.class_reader = PaletteReader(maps.palette, maps.eval_classes)
    if reference is not None:
        compare_with_folder(made, reference)
    else:
        where = dataset.config.root or "the set"
        target = dataset.directions(dataset.config)[direction].target
        made.compare_with(real_set(f"validation images of {where}", dataset.images(target)))
    return made


def noise_set(sampler: Sampler, count: int | None = None, *, seed: int = 0, reference: Path | None = None) -> ImageSet:
    """Images that a run draws from noise, with the real images of its validation set.

    Args:
        sampler: generator of the run, from ``load_sampler``.
        count, seed: see ``RunOptions``.
        reference: folder of real images (default: those of the validation set).

    Raises:
        ValueError: the run's data or the folder can't be found, or there are no validation images.
    """
    assert sampler.checkpoint is not None, "only a run has a validation set"

    def drawn() -> Iterator[ImageRecord]:
        portions = sampler.portions(made.count, seed)
        images = (image for portion in portions for image in portion)
        return (ImageRecord(f"{index:05d}", image) for index, image in enumerate(images))

    made = ImageSet(f"{sampler.checkpoint}, seed {seed}", 0, drawn)
    made.output = sampler.run / "evaluation" / sampler.checkpoint.name
    if reference is not None:
        real = compare_with_folder(made, reference)
    else:
        dataset = dataset_class(sampler.model.dataset, sampler.config.data)(sampler.config.data, "val")
        if not len(dataset):
            raise ValueError(
                f"run {sampler.config.name}: its data set has no validation images; name a folder with --reference"
            )
        where = dataset.config.root or "its set"
        real = made.compare_with(real_set(f"validation images of {where}", dataset.images("b")))
    made.count = count or real.count
    return made


def baseline_sets(
    translator: Translator, paired: bool = False, protocol: PlaneProtocol = "colour"
) -> dict[str, ImageSet]:
    """A run's output on its validation set and its baselines, at the size of training.

    A run that is not better than the baselines has learnt nothing. The sets are:

    - "output": the run's output, compared with the target; not of a run in colour with protocol "y",
    - the trivial answers that the data set knows, such as "bicubic"; if it knows none, "input": the unchanged input,
      compared with the target if both have one size,
    - "mean training image": the same for all items, compared with the target if both have one size,
    - "cycle": the output translated back, compared with the input, if the run learnt both directions.

    All but the last need validation images with targets.

    Raises:
        ValueError: the run's data can't be found, or there is nothing to compare with.
    """
    direction, dataset = translator.direction, _validation_set(translator, paired, protocol)
    items = dataset.items(direction)
    without = set(_without_target(dataset, direction))
    places = [index for index in range(len(items)) if index not in without]
    predictions: dict[str, tuple[Predict, Sequence[int]]] = {}
    answers = _answers(translator, dataset, protocol)
    if places:
        if protocol == "colour" or _is_gray(translator):
            predictions["output"] = _translate(translator), places
        unchanged = {"input": partial(_unchanged, channels=translator.channels[1])}
        predictions |= {name: (predict, places) for name, predict in (answers or unchanged).items()}
        if protocol == "colour":
            name = "mean training image"
            predictions[name] = _skipped_without_training(name, _mean(translator, dataset)), places
    if _has_cycle(translator, dataset):
        predictions["cycle"] = _cycle(translator), range(len(items))
    if not predictions:
        raise ValueError(
            f"run {translator.config.name}: its validation images have no targets to compare with; choose --metrics "
            "fid, for example, or another part with data.val_split"
        )
    image_sets = {name: made_set(name, items, predict, places=at) for name, (predict, at) in predictions.items()}
    skipped: set[str] = set()  # shared: a file that can't be decoded is reported once
    for name, image_set in image_sets.items():
        image_set.label, image_set.skipped = name, skipped
        _describe(image_set, translator, protocol)
        image_set.restores = bool(answers)
    return image_sets


def _describe(image_set: ImageSet, translator: Translator, protocol: PlaneProtocol) -> None:
    """Sets what metrics must know of a run's images: holes, the border that they leave out, and the protocol."""
    image_set.has_masks = "mask" in translator.config.data.channels
    image_set.shave = shave_of(translator.model.scale)
    image_set.protocol = protocol


def _is_gray(translator: Translator) -> bool:
    return translator.channels == (1, 1)


def _answers(translator: Translator, dataset: ImageDataset, protocol: PlaneProtocol) -> dict[str, Predict]:
    """The trivial answers that the data set knows, by title, with the channels of the targets."""
    channels = 1 if protocol == "y" else translator.channels[1]
    answers = dataset.trivial_answers(translator.direction)
    return {
        name: _skipped_without_training(name, partial(_answered, answer=answer, channels=channels))
        for name, answer in answers.items()
    }


def _skipped_without_training(name: str, predict: Predict) -> Predict:
    """The same, which skips all items and prints a line if the answer needs training images, and they are gone."""
    left_out = False

    def answer(item: Item) -> tuple[np.ndarray, np.ndarray | None] | None:
        nonlocal left_out
        if left_out:
            return None
        try:
            return predict(item)
        except NoTrainingImages as error:
            left_out = True
            tqdm.write(printable(f"left out    {name}: {error}"), file=sys.stderr)
            return None

    return answer


def _answered(
    item: Item, answer: Callable[[Item], np.ndarray], channels: int
) -> tuple[np.ndarray, np.ndarray | None] | None:
    return None if item.target is None else (to_channels(answer(item), channels), item.target)


def _answer_sets(
    translator: Translator, dataset: ImageDataset, *, protocol: PlaneProtocol, skipped: set[str]
) -> dict[str, ImageSet]:
    """The sets of the trivial answers that the data set knows."""
    items = dataset.items(translator.direction)
    image_sets = {}
    for name, predict in _answers(translator, dataset, protocol).items():
        answers = made_set(name, items, predict)
        answers.label, answers.skipped = name, skipped
        _describe(answers, translator, protocol)
        image_sets[name] = answers
    return image_sets


def _translate(translator: Translator, seed: int = 0) -> Predict:
    stream = translator.stream(seed)
    return lambda item: (stream(item), item.target)


def _unchanged(item: Item, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    image = item.inputs.get("input")
    if image is None or item.target is None or image.shape[:2] != item.target.shape[:2]:
        return None
    return to_channels(image, channels), item.target


def _mean(translator: Translator, dataset: ImageDataset) -> Predict:
    """Predicts the mean training image for every item; skips items if training images differ in size. Raises
    NoTrainingImages."""

    @cache
    def mean() -> np.ndarray:
        try:
            training = translator.dataset(dataset.config, "train")
        except ValueError as error:
            raise NoTrainingImages(str(error)) from error
        return mean_image(training.images(training.directions(dataset.config)[translator.direction].target))

    def predict(item: Item) -> tuple[np.ndarray, np.ndarray] | None:
        if item.target is None or mean().shape != item.target.shape:
            return None
        return mean(), item.target

    return predict


def _has_cycle(translator: Translator, dataset: ImageDataset) -> bool:
    """Whether the run learnt two directions, each the way back of the other."""
    ways = dataset.directions(dataset.config)
    source, target = ways[translator.direction]
    return len(translator.directions) == 2 and ways[translator.directions[1]] == (target, source)


def _cycle(translator: Translator) -> Predict:
    back = translator.reversed()

    def predict(item: Item) -> tuple[np.ndarray, np.ndarray] | None:
        image = item.inputs.get("input")
        if image is None:
            return None
        # floats, so that the image is not rounded between the two generators
        return back(translator(image / np.float32(np.iinfo(image.dtype).max))), image

    return predict


def mean_image(images: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of images, (H, W, C) in [0, 1]; an empty array if they differ in size."""
    total, count = np.zeros(1), 0
    for index in range(0, len(images), max(1, len(images) // MOST_FOR_MEAN)):
        try:
            image = images[index]
        except UnreadableImage:
            continue
        if count and image.shape != total.shape:
            return np.zeros(0)
        total = total + image / np.iinfo(image.dtype).max
        count += 1
    return total / count


def _validation_set(translator: Translator, paired: bool, protocol: PlaneProtocol) -> ImageDataset:
    data = translator.config.data
    dataset = translator.dataset(data.with_partners() if paired else data, "val")
    return dataset if protocol == "colour" else dataset.of_luma_planes()


def _without_target(dataset: ImageDataset, direction: str) -> list[int]:
    """Indices of items without a target."""
    return [index for index in range(dataset.count(direction)) if not dataset.has_target(direction, index)]
