"""Translates files, folders and the validation set of a run; writes the outputs and grids of them."""

from __future__ import annotations

import copy
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from img2img.data.base import Item
from img2img.data.folder import frame_order, list_images, some
from img2img.data.images import SUFFIXES, UnreadableImage, cell, grid, read_header, write_image
from img2img.inference.translator import Translator
from img2img.program import command

ROWS = 8  # of a contact sheet
OTHER_SCALE = 1.5  # times as wide, or as narrow, as in training: objects are then of another scale for the network
LOSSLESS = {".png", ".tif", ".tiff"}

Job = tuple[str, Item]
"""Path of the output file, relative to the output folder; and the item to translate."""


@dataclass(frozen=True)
class Request:
    """What to translate and what to write.

    Raises:
        ValueError: ``samples`` or ``seed`` is out of range, or ``others`` is given without a ``source``.
    """

    source: Path | None
    """An image or a folder of images, translated at their own size; None for the run's validation set at the size of
    training."""
    output: Path
    """Folder to write to."""
    samples: int = 0
    """Number of outputs per input, by dropout or random styles, written as NAME_1.png to NAME_N.png; 0: one output,
    NAME.png."""
    seed: int = 0
    """Seed of the first output; each further output has the next."""
    cycle: bool = False
    """Show in the grids the first output translated back, too: input | output(s) | back | target."""
    others: Mapping[str, Path] = field(default_factory=dict)
    """Further inputs of the model by their key in a batch, such as ``instance``: files, or folders of files."""
    style: str | None = None
    """Style of outputs of label maps, see ``styles.Style``; None: the style of the item's own photo."""
    relabel: str | None = None
    """Classes of label maps to replace, see ``label_edits.parse_relabel``."""
    target: Mapping[str, Any] = field(default_factory=dict)
    """For runs with several domains: ``to``, ``flip``, ``own`` and ``strength``, see ``DomainTranslator.variants``. Of
    several targets, each has its folder of outputs."""

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ValueError(f"--samples {self.samples}: must be 0 or more")
        if not 0 <= self.seed < 2**63 - self.samples:
            raise ValueError(f"--seed {self.seed}: must be in [0, 2^63)")
        if self.source is None and self.others:
            key, path = next(iter(self.others.items()))
            raise ValueError(f"--with {key}={path}: needs --input; the validation set has its own files")

    @property
    def seeds(self) -> range:
        """The seed of each output."""
        return range(self.seed, self.seed + max(1, self.samples))

    def titles(self, variants: Sequence[str]) -> list[str]:
        """Titles of the grids' columns, if there are styles or several targets (``variants``); else empty."""
        if self.style is None and len(variants) == 1:
            return []
        outputs = list(variants) if self.style is None else [f"style {i + 1}" for i in range(len(self.seeds))]
        return ["input", *outputs, "target"]


class ContactSheet:
    """Writes rows of images as grids, ``ROWS`` rows per file: ``folder/00001-00008.png`` and so on.

    Args:
        folder: where the files go.
        titles: titles of the columns; surplus ones are dropped.
    """

    def __init__(self, folder: Path, titles: Sequence[str] = ()) -> None:
        self.folder, self.titles = folder, titles
        self.rows: list[list[np.ndarray]] = []
        self.count = 0  # rows added so far

    def add(self, images: Iterable[np.ndarray]) -> None:
        """Adds a row; writes a file when it has ``ROWS`` rows."""
        self.rows.append([cell(image) for image in images])
        self.count += 1
        if len(self.rows) == ROWS:
            self.write()

    def write(self) -> None:
        """Writes the remaining rows."""
        if self.rows:
            titles = self.titles[: max(map(len, self.rows))]  # items without target have one column less
            first = self.count - len(self.rows) + 1
            write_image(self.folder / f"{first:05d}-{self.count:05d}.png", grid(self.rows, titles))
            self.rows = []


def translate_files(translator: Translator, request: Request) -> int:
    """Translates a request: writes ``output/NAME.png`` for each input, and grids input | output(s) | target.

    Prints the number of images written, and the files of ``source`` that were skipped because they are no images.

    Returns:
        The number of input files that could not be read; each is named on standard error.

    Raises:
        ValueError: ``source`` is missing or has no image, ``output`` can't be written, the run did not learn the way
            back for ``cycle``, or it does not have the style or the class.
    """
    variants = _prepared(translator, request).variants(**request.target)
    translator = next(iter(variants.values()))
    back = translator.reversed() if request.cycle else None
    source = request.source
    count, jobs = _validation_jobs(translator) if source is None else _input_jobs(translator, request, source)
    streams = {title: [each.stream(seed) for seed in request.seeds] for title, each in variants.items()}
    sheet, unreadable = ContactSheet(request.output / "grids", request.titles([*variants])), 0
    for job in tqdm(jobs, total=count, unit="image", disable=None):
        if isinstance(job, UnreadableImage):
            tqdm.write(f"skipped: {job}", file=sys.stderr)
            unreadable += 1
            continue
        name, item = job
        outputs = []
        for title, seeds in streams.items():
            outputs += (made := [stream(item) for stream in seeds])
            _write_outputs(request, f"{title}/{name}" if title else name, made)
        cycled = [back(outputs[0], request.seed)] if back else []
        target = [] if item.target is None else [item.target]
        sheet.add([translator.show(item), *outputs, *cycled, *target])
    sheet.write()
    print("; ".join(_notes(request, sheet.count * len(request.seeds) * len(variants), unreadable)))
    return unreadable


def _prepared(translator: Translator, request: Request) -> Translator:
    """The translator with the style and the edits of the request, and without resizing for the validation set.

    Raises:
        ValueError: the run has no such style or class, or ``samples`` > 1 with a style that gives one output only.
    """
    translator = translator.styled(request.style, request.relabel)
    if request.style is not None and request.samples > 1 and not translator.draws:
        raise ValueError(
            f"--samples {request.samples}: all outputs of --style {request.style} would be the same; "
            "add random to the style"
        )
    if request.source is None and translator.training_size:  # the data set resizes already
        translator = copy.copy(translator)
        translator.training_size = False
    return translator


def _write_outputs(request: Request, name: str, outputs: Sequence[np.ndarray]) -> None:
    path = request.output / name
    for i, image in enumerate(outputs, 1):
        write_image(path.with_name(f"{path.stem}_{i}{path.suffix}") if request.samples else path, image)


def _notes(request: Request, count: int, unreadable: int) -> list[str]:
    """The parts of the line that is printed at the end."""
    notes = [f"written     {count} image{'' if count == 1 else 's'}"]
    notes += [f"{unreadable} unreadable"] if unreadable else []
    if skipped := _other_files(request.source, request.output) if request.source else []:
        notes.append(f"{len(skipped)} skipped (not an image): {some(skipped, 3)}")
    return notes


def _other_files(source: Path, output: Path) -> list[str]:
    """The files below ``source`` without an image suffix, sorted; without hidden files and those of ``output``."""
    if not source.is_dir():
        return []
    names = []
    for parent, folders, files in os.walk(source, followlinks=True):
        folder, excluded = Path(parent), output.resolve()
        folders[:] = [name for name in folders if name[0] != "." and (folder / name).resolve() != excluded]
        names += [folder / name for name in files if name[0] != "." and Path(name).suffix.lower() not in SUFFIXES]
    return sorted(path.relative_to(source).as_posix() for path in names)


def _validation_jobs(translator: Translator) -> tuple[int, Iterator[Job | UnreadableImage]]:
    """The number of validation images, and an iterator over them."""
    dataset = translator.dataset(translator.config.data, "val")
    direction, items = translator.listed, dataset.items(translator.listed)
    names = [dataset.item_name(direction, i) for i in range(len(items))]
    count = Counter(names)

    def jobs() -> Iterator[Job | UnreadableImage]:
        for i, name in enumerate(names):
            suffix = f"-{i}" if count[name] > 1 else ""  # two images of one name
            try:
                yield f"{name}{suffix}.png", items[i]
            except UnreadableImage as error:
                yield error

    return len(items), jobs()


def _input_jobs(translator: Translator, request: Request, source: Path) -> tuple[int, Iterator[Job | UnreadableImage]]:
    """The number of input files, and an iterator over them."""
    files, folder = _input_files(translator, source, request.output)
    names = _output_names([path.relative_to(folder) for path in files])
    pair_size = _pair_size(translator)

    side = None if translator.training_size else _training_side(translator)

    def jobs() -> Iterator[Job | UnreadableImage]:
        hint, size_hint = pair_size, side
        for path, name in zip(files, names, strict=True):
            try:
                item = translator.read(path, request.others)
            except UnreadableImage as error:
                if source.is_file():
                    raise
                yield error
                continue
            height, width = item.image.shape[-3:-1]
            if hint and width * hint[1] == height * hint[0]:  # the shape of a pair
                tqdm.write(
                    f"{path.name} is {width}x{height}, twice as wide as the run's images: if it is a pair side by "
                    f"side, split it with {command('unpair')}, or leave out --input to translate the validation set"
                )
                hint = None
            elif size_hint and not size_hint / OTHER_SCALE <= width <= size_hint * OTHER_SCALE:
                tqdm.write(
                    f"{path.name} is {width}x{height}, and the run's training images are {size_hint} wide: "
                    "--training-size resizes inputs to that, and outputs back"
                )
                size_hint = None
            yield name, item

    return len(files), jobs()


def _training_side(translator: Translator) -> int | None:
    """Width of the images as the run was trained on them; None where its options don't fix it."""
    data = translator.config.data
    return None if data.preprocess in ("crop", "none") else data.resized(augment=False)


def _input_files(translator: Translator, source: Path, output: Path) -> tuple[list[Path], Path]:
    """The files to translate, and the folder that output names are relative to."""
    if source.is_file():
        files, folder = [source], source.parent
    elif source.is_dir():
        excluded = output.resolve()  # outputs of an earlier call are no inputs
        inputs = translator.dataset.inputs(translator.config.data, list_images(source))
        files, folder = [path for path in inputs if excluded not in path.resolve().parents], source
    else:
        raise ValueError(f"--input {source}: no such file or folder")
    if folder.resolve() == output.resolve():
        raise ValueError(
            f"--output {output}: this is the folder of the inputs, which would be overwritten; choose another"
        )
    if translator.dataset.ordered:
        files.sort(key=frame_order)
    return files, folder


def _pair_size(translator: Translator) -> tuple[int, int] | None:
    """Width and height of the run's training files if they are pairs side by side and still exist; else None."""
    first = translator.dataset.side_by_side(translator.config.data)
    try:
        header = read_header(first) if first else None
    except UnreadableImage:
        header = None
    return (header.width, header.height) if header else None


def _output_names(paths: list[Path]) -> list[str]:
    """Output names: lossless formats stay, others become .png; on a conflict a.jpg becomes a.jpg.png."""
    names = [path if path.suffix.lower() in LOSSLESS else path.with_suffix(".png") for path in paths]
    count = Counter(names)
    return [
        (path.with_name(path.name + ".png") if count[name] > 1 and name != path else name).as_posix()
        for path, name in zip(paths, names, strict=True)
    ]
