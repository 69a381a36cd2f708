"""What is judged: the pictures that a run makes of its validation set, or those of a folder, and the real ones beside.

Pictures are made or read when they are asked for, one after the other, so that any number of them can be judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from img2img.config import config_file
from img2img.data import dataset_class
from img2img.data.folder import by_key, list_images, read_headers
from img2img.data.images import SUFFIXES, Header, UnreadableImage, read_image
from img2img.evaluation.fcn.class_maps import ClassMaps
from img2img.evaluation.fcn.label_maps import LabelFolder, Palette
from img2img.evaluation.pixels import tell_skipped
from img2img.inference.loading import draws_from_noise, load_sampler, load_translator
from img2img.inference.sampler import Sampler
from img2img.inference.translator import NormPolicy, Translator
from img2img.runs import RUNS

THREADS = 4  # that decode the pictures of folders; OpenCV lets go of Python's lock
T = TypeVar("T")


class Judged(NamedTuple):
    """A picture (H, W, C) of integers under judgement, and the true one, where it is known."""

    name: str
    picture: np.ndarray
    truth: np.ndarray | None
    labels: np.ndarray | None = None
    """Class ids (H', W'), with fcn."""


@dataclass
class Subject:
    """Pictures under judgement, and the real ones that they are to resemble as a set."""

    title: str
    count: int
    pictures: Callable[[], Iterator[Judged]]
    real_title: str = "none"
    real_count: int = 0
    reals: Callable[[], Iterator[np.ndarray]] | None = None
    palette: Palette | None = None
    """In which the pictures under judgement are painted, where they are class maps themselves."""
    scored: tuple[int, ...] = ()
    """Classes that count with fcn, where the set knows its own."""
    class_names: Mapping[int, str] = field(default_factory=dict)
    lonely: Sequence[str] = ()
    """Pictures that have no true one."""
    skipped: set[str] = field(default_factory=set)
    """Messages of files that were left out because they can't be decoded."""
    folders: tuple[Path, ...] = ()
    """In which the pictures of both lie, where those are folders of pictures."""
    others: int = 0
    """Files beside the pictures that are of another kind."""
    output: Path = Path()
    """Where the report goes unless told."""

    def readable(self, items: Iterable[Callable[[], T]], threads: int = 0) -> Iterator[T]:
        """What these return, in order, but for those that read a file which can't be decoded: it is told, and noted.

        With ``threads`` they are called ahead of time, a few of them: decoding takes longer than a GPU's judgement.
        """
        for item in items if not threads else ahead(items, threads):
            try:
                yield item()
            except UnreadableImage as error:
                if str(error) not in self.skipped:
                    tell_skipped(error)
                self.skipped.add(str(error))


def ahead(items: Iterable[Callable[[], T]], threads: int) -> Iterator[Callable[[], T]]:
    """Calls these in threads, at most ``2 * threads`` more than were taken, and returns what waits for each result."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result
            while waiting:
                yield waiting.popleft().result
        finally:  # whoever stops early waits for what runs, and not for what would
            for future in waiting:
                future.cancel()


def is_folder(name: str) -> bool:
    """Whether a command's NAME|DIR is a folder of pictures: one that is there and is no run."""
    path = Path(name)
    return path.is_dir() and not any(config_file(folder).is_file() for folder in (path, RUNS / name))


def subjects(
    run: str,
    reference: Path | None = None,
    pairs: bool = False,
    checkpoint: str = "latest",
    device: torch.device | str | None = None,
    norm_policy: NormPolicy = "running",
    paired: bool = False,
    count: int | None = None,
    seed: int = 0,
    style: str | None = None,
    maps: ClassMaps | LabelFolder | None = None,
) -> list[Subject]:
    """What a command's NAME|DIR means: one subject, or one for each direction that a run learnt.

    Args:
        run: a folder of pictures, or a run.
        reference: folder of real pictures; of a run that learnt both directions, those of its own direction alone.
        pairs: whether pictures of a folder are compared with those of one name in the other.
        checkpoint, device, norm_policy: of the run.
        paired, count, seed: see ``run_subject`` and ``noise_subject``.
        style: in which scenes are drawn, see ``Style``; unset, each in that of its own photo.
        maps: class maps of the pictures of a run, or of a folder.

    Raises:
        ValueError: the run, its data or a folder can't be found.
    """
    if is_folder(run):
        assert not isinstance(maps, ClassMaps), "a folder's class maps are in a folder"
        return [folder_subject(Path(run), reference, pairs, maps)]
    if draws_from_noise(run):
        if pairs:
            raise ValueError(
                f"run {run} draws from noise: its pictures have no true ones; leave l1, psnr, ssim, lpips out"
            )
        return [noise_subject(load_sampler(run, checkpoint, device), count, seed, reference)]
    assert not isinstance(maps, LabelFolder), "a run's class maps are of its set"
    translator = load_translator(run, checkpoint, device, norm_policy).styled(style)
    ways = [translator]
    if reference is None:
        ways += [translator.towards(direction) for direction in translator.directions[1:]]
    if maps is not None:  # which say what is missing before anything is made
        known = maps.require(maps.set("val"), [way.direction for way in ways])
        ways = [way for way in ways if way.direction in known]
    found = [run_subject(way, paired, reference, maps, seed) for way in ways]
    chosen = f", style {style}, seed {seed}" if style else ""
    chosen += ", normalised by the batch" if norm_policy == "batch" else ""
    for subject in found:
        subject.title += chosen
    return found


def folder_subject(
    folder: Path, reference: Path | None, paired: bool = False, maps: LabelFolder | None = None
) -> Subject:
    """The pictures of a folder, and those of another.

    Args:
        folder: what is judged; its grids/, which tools/infer.py writes, is passed over.
        reference: the real pictures.
        paired: whether two of one relative path, but for the suffix, are a pair.
        maps: class maps of the pictures.

    Raises:
        ValueError: a folder is missing or holds no picture; of pairs, several pictures share a name; a picture without
            a class map.
    """
    files, others = _files(folder, "DIR")
    if maps is not None:
        maps.require(path.name for path in files)
    partners = _partners(folder, files, reference) if reference and paired else {}

    def judged(path: Path) -> Judged:
        truth = read_image(partners[path], 3) if path in partners else None
        labels = None if maps is None else maps.read(path.name)
        return Judged(path.relative_to(folder).as_posix(), read_image(path, 3), truth, labels)

    subject = Subject(
        str(folder), len(files), lambda: subject.readable((partial(judged, path) for path in files), THREADS)
    )
    subject.others, subject.folders = others, (folder,)
    if maps is not None and maps.palette is not None:
        subject.class_names = maps.palette.names
        if maps.painted is not None:
            subject.palette, subject.scored = maps.palette, maps.painted
    subject.lonely = [path.relative_to(folder).as_posix() for path in files if path not in partners]
    where = folder.resolve()
    subject.output = where.with_name(f"{where.name}-evaluation")  # not inside: a sheet is none of its pictures
    return subject if reference is None else _beside(subject, reference)


def run_subject(
    translator: Translator,
    paired: bool = False,
    reference: Path | None = None,
    maps: ClassMaps | None = None,
    seed: int = 0,
) -> Subject:
    """What a run makes of its validation set in the translator's direction, beside the set's own pictures.

    Args:
        translator: of the run.
        paired: whether validation pictures of one name are partners although the run's options don't say so.
        reference: a folder of real pictures, instead of the validation set's; pairs are the set's nevertheless.
        maps: class maps of the run's set.
        seed: of a random style.

    Raises:
        ValueError: the run's data, the folder, or class maps can't be found.
    """
    direction = translator.direction
    data = replace(translator.config.data, val_paired=paired or translator.config.data.val_paired)
    found = translator.dataset(data, "val")
    items = found.items(direction)
    count, target = len(items), found.directions(data)[direction].target
    stream = translator.stream(seed)

    def judged(index: int) -> Judged:
        item = items[index]
        labels = None if maps is None else maps.of(found, direction, index)
        return Judged(item.name, stream(item), item.target, labels)

    def reals() -> Iterator[np.ndarray]:
        images = found.images(target)
        return subject.readable(partial(images.__getitem__, index) for index in range(len(images)))

    assert translator.checkpoint is not None
    title = f"{translator.checkpoint} {translator.direction}"
    subject = Subject(title, count, lambda: subject.readable(partial(judged, index) for index in range(count)))
    subject.lonely = [found.item_name(direction, i) for i in range(count) if not found.has_target(direction, i)]
    subject.output = translator.run / "evaluation" / translator.checkpoint.name / translator.direction
    if maps is not None:
        subject.scored, subject.class_names = maps.scored, maps.names
        subject.palette = maps.palette if maps.paints(direction) else None
    if reference is not None:
        return _beside(subject, reference)
    subject.reals, subject.real_count = reals, len(found.images(target))
    subject.real_title = f"validation pictures of {data.root or 'the set'}"
    return subject


def noise_subject(sampler: Sampler, count: int | None, seed: int = 0, reference: Path | None = None) -> Subject:
    """What a run draws from noise, beside the pictures of its validation set.

    Args:
        sampler: of the run.
        count: pictures to draw; unset, as many as there are real ones.
        seed: of the noise.
        reference: a folder of real pictures, instead of the validation set's.

    Raises:
        ValueError: the run's data or the folder can't be found, or the set has no validation pictures.
    """
    assert sampler.checkpoint is not None
    subject = Subject(f"{sampler.checkpoint}, seed {seed}", count or 0, lambda: drawn(subject.count))
    subject.output = sampler.run / "evaluation" / sampler.checkpoint.name

    def drawn(count: int) -> Iterator[Judged]:
        index = 0
        for portion in sampler.portions(count, seed):
            for picture in portion:
                yield Judged(f"{index:05d}", picture, None)
                index += 1

    if reference is not None:
        _beside(subject, reference)
    else:
        found = dataset_class(sampler.model.dataset)(sampler.config.data, "val")
        if not len(found):
            raise ValueError(
                f"run {sampler.config.name}: its set has no validation pictures; --reference names a folder"
            )
        images = found.images("b")
        subject.reals = lambda: subject.readable(partial(images.__getitem__, index) for index in range(len(images)))
        subject.real_count, subject.real_title = len(found), "validation pictures of its set"
    subject.count = count or subject.real_count
    return subject


def _beside(subject: Subject, reference: Path) -> Subject:
    files, _ = _files(reference, "--reference")
    subject.folders += (reference,)
    subject.reals = lambda: subject.readable((partial(read_image, path, 3) for path in files), THREADS)
    subject.real_count, subject.real_title = len(files), str(reference)
    return subject


def _files(folder: Path, option: str) -> tuple[list[Path], int]:
    """The pictures of a folder but for its grids/, and how many files of other kinds lie among them."""
    if not folder.is_dir():
        raise ValueError(f"{option} {folder}: no such folder")
    found = [path for path in list_images(folder) if path.relative_to(folder).parts[0] != "grids"]
    if not found:
        raise ValueError(f"{option} {folder}: no picture in it but grids/")
    return found, sum(path.is_file() and path.suffix.lower() not in SUFFIXES for path in folder.rglob("[!.]*"))


def _partners(folder: Path, files: list[Path], reference: Path) -> dict[Path, Path]:
    """The pictures of one name in the other folder, as far as there are any; ValueError for two of different sizes."""
    by_key(folder)  # two pictures of one name would have one partner
    keys = {path: path.relative_to(folder).with_suffix("").as_posix() for path in files}
    true = by_key(reference)
    found = {path: reference / true[key] for path, key in keys.items() if key in true}
    for one, other, a, b in zip(
        found, found.values(), read_headers([*found]), read_headers([*found.values()]), strict=True
    ):
        if isinstance(a, Header) and isinstance(b, Header) and (a.width, a.height) != (b.width, b.height):
            raise ValueError(f"{one} is {a.width}x{a.height}, and {other} {b.width}x{b.height}: a pair needs one size")
    return found
