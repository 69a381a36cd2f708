"""Which images are measured: those that a run makes of its validation set, or those of a folder; and the real ones.

Also the answers without learning that stand beside a run's: the untouched input, and the mean training image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from img2img.data import dataset_class
from img2img.data.base import ImageDataset, Item
from img2img.data.folder import by_key, list_images, read_headers
from img2img.data.images import SUFFIXES, Header, UnreadableImage, read_image, to_channels
from img2img.evaluation.base import Answer, ImageRecord, ImageSet, made_set, real_set
from img2img.evaluation.fcn.class_maps import ClassMaps
from img2img.evaluation.fcn.label_maps import LabelFolder, PaintedMaps
from img2img.evaluation.options import RunOptions
from img2img.inference.loading import draws_from_noise, load_sampler, load_translator
from img2img.inference.sampler import Sampler
from img2img.inference.translator import Translator
from img2img.runs import is_image_folder

THREADS = 4  # that decode the images of folders; OpenCV lets go of Python's lock
MOST_FOR_MEAN = 2000  # training images, evenly spaced, that the mean image is made of


def open_image_sets(
    name: str,
    *,
    reference: Path | None = None,
    pairs: bool = False,
    maps: ClassMaps | LabelFolder | None = None,
    device: torch.device | str | None = None,
    options: RunOptions | None = None,
) -> list[ImageSet]:
    """What a command's NAME|DIR means: one image set, or one for each direction that a run learnt.

    Args:
        name: a folder of images, or a run.
        reference: folder of real images; of a run that learnt several directions, those of its own direction alone.
        pairs: whether each image is compared with a target; in a folder, the one of its name in ``reference``. Without,
            targets that are files of their own are not decoded.
        maps: class maps of the images of a run, or of a folder.
        device: where a run makes its images; unset, the GPU if there is one.
        options: of a run.

    Raises:
        ValueError: the run, its data or a folder can't be found.
    """
    options = options or RunOptions()
    if is_image_folder(name):
        assert not isinstance(maps, ClassMaps), "a folder's class maps are in a folder"
        return [folder_set(Path(name), reference, pairs=pairs, maps=maps)]
    if draws_from_noise(name):
        if pairs:
            raise ValueError(f"run {name} draws from noise: its images have no targets; leave metrics of pairs out")
        sampler = load_sampler(name, checkpoint=options.checkpoint, device=device)
        return [noise_set(sampler, options.count, seed=options.seed, reference=reference)]
    assert not isinstance(maps, LabelFolder), "a run's class maps are of its set"
    translator = load_translator(name, checkpoint=options.checkpoint, device=device, norm_policy=options.norm_policy)
    return _directions(translator.styled(options.style), reference, maps, pairs=pairs, options=options)


def _directions(
    translator: Translator, reference: Path | None, maps: ClassMaps | None, *, pairs: bool, options: RunOptions
) -> list[ImageSet]:
    """An image set for each direction that the run learnt."""
    ways = [translator]
    if reference is None:
        ways += [translator.towards(direction) for direction in translator.directions[1:]]
    if maps is not None:  # which say what is missing before anything is made
        known = maps.require(maps.set("val"), [way.direction for way in ways])
        ways = [way for way in ways if way.direction in known]
    chosen = f", style {options.style}, seed {options.seed}" if options.style else ""
    chosen += ", normalised by the batch" if options.norm_policy == "batch" else ""
    image_sets = []
    for way in ways:
        made = run_set(way, pairs=pairs, paired=options.paired, reference=reference, maps=maps, seed=options.seed)
        made.title += chosen
        image_sets.append(made)
    return image_sets


def folder_set(
    folder: Path, reference: Path | None = None, *, pairs: bool = False, maps: LabelFolder | None = None
) -> ImageSet:
    """The images of a folder, and those of another.

    Args:
        folder: what is measured; its grids/, which tools/infer.py writes, is passed over.
        reference: the real images.
        pairs: whether two of one relative path, but for the suffix, are an image and its target.
        maps: class maps of the images.

    Raises:
        ValueError: a folder is missing or holds no image; of pairs, several images share a name; an image without a
            class map.
    """
    files, other_files = _files(folder, "DIR")
    if maps is not None:
        maps.require(path.name for path in files)
    targets = _targets(folder, files, reference) if reference and pairs else {}

    def read(path: Path) -> ImageRecord:
        target = read_image(targets[path], 3) if path in targets else None
        class_map = None if maps is None else maps.read(path.name)
        return ImageRecord(path.relative_to(folder).as_posix(), read_image(path, 3), target, class_map)

    def images() -> Iterator[ImageRecord]:
        return image_set.readable((partial(read, path) for path in files), THREADS)

    image_set = ImageSet(str(folder), len(files), images, other_files=other_files, folders=(folder,))
    image_set.without_target = [path.relative_to(folder).as_posix() for path in files if path not in targets]
    if maps is not None and maps.palette is not None:
        image_set.class_names = maps.palette.names
        if maps.painted is not None:
            image_set.painted, image_set.scored = PaintedMaps(maps.palette, maps.painted), maps.painted
    where = folder.resolve()
    image_set.output = where.with_name(f"{where.name}-evaluation")  # not inside: a sheet is none of its images
    if reference is not None:
        _compare_with_folder(image_set, reference)
    return image_set


def run_set(
    translator: Translator,
    *,
    pairs: bool = True,
    paired: bool = False,
    reference: Path | None = None,
    maps: ClassMaps | None = None,
    seed: int = 0,
) -> ImageSet:
    """What a run makes of its validation set in the translator's direction, and the set's own images.

    Args:
        translator: of the run.
        pairs: whether images are compared with targets; class maps may need these, too.
        paired, seed: see ``RunOptions``.
        reference: a folder of real images, instead of the validation set's; targets are the set's nevertheless.
        maps: class maps of the run's set.

    Raises:
        ValueError: the run's data, the folder, or class maps can't be found.
    """
    assert translator.checkpoint is not None, "only a run has a validation set"
    direction, dataset = translator.direction, _validation_set(translator, paired)
    if not pairs and maps is None:
        dataset = dataset.without_targets()
    class_map = None if maps is None else partial(maps.of, dataset, direction)
    title = f"{translator.checkpoint} {direction}"
    made = made_set(title, dataset.items(direction), _translated(translator, seed), class_map=class_map)
    names = (dataset.item_name(direction, index) for index in _without_target(dataset, direction))
    made.without_target = list(names)
    made.output = translator.run / "evaluation" / translator.checkpoint.name / direction
    if maps is not None:
        made.scored, made.class_names = maps.scored, maps.names
        if maps.palette is not None and maps.paints(direction):
            made.painted = PaintedMaps(maps.palette, maps.scored)
    if reference is not None:
        _compare_with_folder(made, reference)
    else:
        where = dataset.config.root or "the set"
        target = dataset.directions(dataset.config)[direction].target
        made.compare_with(real_set(f"validation images of {where}", dataset.images(target)))
    return made


def noise_set(sampler: Sampler, count: int | None = None, *, seed: int = 0, reference: Path | None = None) -> ImageSet:
    """What a run draws from noise, and the images of its validation set.

    Args:
        sampler: of the run.
        count, seed: see ``RunOptions``.
        reference: a folder of real images, instead of the validation set's.

    Raises:
        ValueError: the run's data or the folder can't be found, or the set has no validation images.
    """
    assert sampler.checkpoint is not None, "only a run has a validation set"

    def drawn() -> Iterator[ImageRecord]:
        portions = sampler.portions(made.count, seed)
        images = (image for portion in portions for image in portion)
        return (ImageRecord(f"{index:05d}", image) for index, image in enumerate(images))

    made = ImageSet(f"{sampler.checkpoint}, seed {seed}", 0, drawn)
    made.output = sampler.run / "evaluation" / sampler.checkpoint.name
    if reference is not None:
        real = _compare_with_folder(made, reference)
    else:
        dataset = dataset_class(sampler.model.dataset, sampler.config.data)(sampler.config.data, "val")
        if not len(dataset):
            raise ValueError(f"run {sampler.config.name}: its set has no validation images; --reference names a folder")
        real = made.compare_with(real_set("validation images of its set", dataset.images("b")))
    made.count = count or real.count
    return made


def baseline_sets(translator: Translator, paired: bool = False) -> dict[str, ImageSet]:
    """What stands beside a run's output on its validation set, at the size that it was trained with; and the output.

    Where the set knows targets: "output"; "input", the image untouched, where it has the target's size; and "mean
    training image", where that has the target's size. What can't beat these two has learnt nothing. Where the run
    learnt both directions: "cycle", the output translated back, beside the input.

    Raises:
        ValueError: the run's data can't be found, or there is nothing to compare with.
    """
    direction, dataset = translator.direction, _validation_set(translator, paired)
    items = dataset.items(direction)
    without = set(_without_target(dataset, direction))
    places = [index for index in range(len(items)) if index not in without]
    answers: dict[str, tuple[Answer, Sequence[int]]] = {}
    if places:
        answers["output"] = _translated(translator), places
        answers["input"] = partial(_untouched, channels=translator.channels[1]), places
        answers["mean training image"] = _mean_answer(translator, dataset), places
    if len(translator.directions) == 2:
        answers["cycle"] = _cycled(translator), range(len(items))
    if not answers:
        raise ValueError(
            f"run {translator.config.name}: its validation part has no true images to compare with; "
            "data.val_split names another part"
        )
    image_sets = {name: made_set(name, items, answer, places=at) for name, (answer, at) in answers.items()}
    skipped: set[str] = set()  # a file that can't be decoded is named once
    for name, image_set in image_sets.items():
        image_set.label, image_set.skipped = name, skipped
    return image_sets


def _translated(translator: Translator, seed: int = 0) -> Answer:
    stream = translator.stream(seed)
    return lambda item: (stream(item), item.target)


def _untouched(item: Item, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    image = item.inputs.get("input")
    if image is None or item.target is None or image.shape[:2] != item.target.shape[:2]:
        return None
    return to_channels(image, channels), item.target


def _mean_answer(translator: Translator, dataset: ImageDataset) -> Answer:
    """The mean training image, of which there is none if they differ in size."""

    @cache
    def mean() -> np.ndarray:
        training = translator.dataset(dataset.config, "train")
        return mean_image(training.images(training.directions(dataset.config)[translator.direction].target))

    def answer(item: Item) -> tuple[np.ndarray, np.ndarray] | None:
        if item.target is None or mean().shape != item.target.shape:
            return None
        return mean(), item.target

    return answer


def _cycled(translator: Translator) -> Answer:
    back = translator.reversed()

    def answer(item: Item) -> tuple[np.ndarray, np.ndarray] | None:
        image = item.inputs.get("input")
        if image is None:
            return None
        # in floats, so that the way is not rounded in between
        return back(translator(image / np.float32(np.iinfo(image.dtype).max))), image

    return answer


def mean_image(images: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of images, (H, W, C) in [0, 1]; empty, if they differ in size."""
    total, summed = np.zeros(1), 0
    for index in range(0, len(images), max(1, len(images) // MOST_FOR_MEAN)):
        try:
            image = images[index]
        except UnreadableImage:
            continue
        if summed and image.shape != total.shape:
            return np.zeros(0)
        total = total + image / np.iinfo(image.dtype).max
        summed += 1
    return total / summed


def _validation_set(translator: Translator, paired: bool) -> ImageDataset:
    data = translator.config.data
    return translator.dataset(data.with_partners() if paired else data, "val")


def _without_target(dataset: ImageDataset, direction: str) -> list[int]:
    """The places of items that have no target."""
    return [index for index in range(dataset.count(direction)) if not dataset.has_target(direction, index)]


def _compare_with_folder(image_set: ImageSet, reference: Path) -> ImageSet:
    """Takes the images of a folder as the real ones."""
    files, _ = _files(reference, "--reference")

    def read(path: Path) -> ImageRecord:
        return ImageRecord(path.name, read_image(path, 3))

    def images() -> Iterator[ImageRecord]:
        return real.readable((partial(read, path) for path in files), THREADS)

    real = ImageSet(str(reference), len(files), images, label="real")
    image_set.folders += (reference,)
    return image_set.compare_with(real)


def _files(folder: Path, option: str) -> tuple[list[Path], int]:
    """The images of a folder but for its grids/, and how many files of other kinds lie among them."""
    if not folder.is_dir():
        raise ValueError(f"{option} {folder}: no such folder")
    files = [path for path in list_images(folder) if path.relative_to(folder).parts[0] != "grids"]
    if not files:
        raise ValueError(f"{option} {folder}: no image in it but grids/")
    return files, sum(path.is_file() and path.suffix.lower() not in SUFFIXES for path in folder.rglob("[!.]*"))


def _targets(folder: Path, files: Sequence[Path], reference: Path) -> dict[Path, Path]:
    """The image of the same name in the other folder, where there is one; ValueError for two of different sizes."""
    by_key(folder)  # two images of one name would have one target
    keys = {path: path.relative_to(folder).with_suffix("").as_posix() for path in files}
    real = by_key(reference)
    targets = {path: reference / real[key] for path, key in keys.items() if key in real}
    headers = zip(targets.items(), read_headers([*targets]), read_headers([*targets.values()]), strict=True)
    for (path, target), a, b in headers:
        if isinstance(a, Header) and isinstance(b, Header) and (a.width, a.height) != (b.width, b.height):
            raise ValueError(
                f"{path} is {a.width}x{a.height}, and {target} {b.width}x{b.height}: a pair needs one size"
            )
    return targets
