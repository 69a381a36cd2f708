"""Translates files, folders and the validation set of a run into a folder of images and contact sheets."""

from __future__ import annotations

import copy
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from img2img.data.base import Item
from img2img.data.folder import frame_order, list_images, some
from img2img.data.images import SUFFIXES, UnreadableImage, cell, grid, read_header, write_image
from img2img.inference.translator import Translator

ROWS = 8  # of a contact sheet
LOSSLESS = {".png", ".tif", ".tiff"}

Job = tuple[str, Item]
"""Name of the output file below the output folder, and what is translated."""


@dataclass(frozen=True)
class Request:
    """What is translated, and what is written.

    Raises:
        ValueError: ``samples`` or ``seed`` is out of range, or ``others`` without a ``source``.
    """

    source: Path | None
    """An image or a folder of images, at their own size; None for the run's validation set at the size that it was
    trained with."""
    output: Path
    """The folder to write to."""
    samples: int = 0
    """0 for the one answer; N writes N answers for each image, NAME_1.png to NAME_N.png, by dropout or by random
    styles."""
    seed: int = 0
    """Of the first answer; each further one has the next."""
    cycle: bool = False
    """Whether the grids show input | output(s) | the first output, translated back | target."""
    others: Mapping[str, Path] = field(default_factory=dict)
    """Further files, or folders of such, that belong to ``source``, by their key in a batch: ``instance``, the instance
    map of a label map."""
    style: str | None = None
    """Of label maps, how to draw them: see ``styles.Style``. Unset, the validation set's scenes are drawn in the styles
    of their own photos."""
    relabel: str | None = None
    """Of label maps, classes to change: see ``label_edits.parse_relabel``."""

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ValueError(f"--samples {self.samples}: must not be negative")
        if not 0 <= self.seed < 2**63 - self.samples:
            raise ValueError(f"--seed {self.seed}: must lie in [0, 2^63)")
        if self.source is None and self.others:
            key, path = next(iter(self.others.items()))
            raise ValueError(f"--with {key}={path}: goes with --input; the validation set has its own")

    @property
    def seeds(self) -> range:
        """The seed of each answer."""
        return range(self.seed, self.seed + max(1, self.samples))

    @property
    def titles(self) -> list[str]:
        """Of the grids' columns, where a style is chosen."""
        styles = [f"style {i + 1}" for i in range(len(self.seeds))]
        return [] if self.style is None else ["input", *styles, "target"]


class ContactSheet:
    """Rows of images, ``ROWS`` in a file: ``folder/00001-00008.png`` and so on.

    Args:
        folder: where the files go.
        titles: of the columns; those without a column are left out.
    """

    def __init__(self, folder: Path, titles: Sequence[str] = ()) -> None:
        self.folder, self.titles = folder, titles
        self.rows: list[list[np.ndarray]] = []
        self.count = 0  # rows of all files

    def add(self, images: Iterable[np.ndarray]) -> None:
        """Adds a row, and writes a file when it is full."""
        self.rows.append([cell(image) for image in images])
        self.count += 1
        if len(self.rows) == ROWS:
            self.write()

    def write(self) -> None:
        """Writes the rows that are in no file yet."""
        if self.rows:
            titles = self.titles[: max(map(len, self.rows))]  # without targets there is no such column
            first = self.count - len(self.rows) + 1
            write_image(self.folder / f"{first:05d}-{self.count:05d}.png", grid(self.rows, titles))
            self.rows = []


def translate_files(translator: Translator, request: Request) -> int:
    """Writes ``output/NAME.png`` for every image, and ``output/grids/``: input | output(s) | target.

    It prints how many images were written, and which files of ``source`` were left out since their suffix is no
    image's.

    Returns:
        How many files could not be read; each was named on standard error.

    Raises:
        ValueError: ``source`` is missing or holds no image, ``output`` can't be written, ``cycle`` of a run that learnt
            one direction only, or a style or edit that the run or scene does not have.
    """
    translator = _prepared(translator, request)
    back = translator.reversed() if request.cycle else None
    count, jobs = _validation(translator) if request.source is None else _given(translator, request, request.source)
    streams = [translator.stream(seed) for seed in request.seeds]
    sheet, unreadable = ContactSheet(request.output / "grids", request.titles), 0
    for job in tqdm(jobs, total=count, unit="image", disable=None):
        if isinstance(job, UnreadableImage):
            tqdm.write(f"skipped: {job}", file=sys.stderr)
            unreadable += 1
            continue
        name, item = job
        answers = [stream(item) for stream in streams]
        _write_answers(request, name, answers)
        returned = [back(answers[0], request.seed)] if back else []
        target = [] if item.target is None else [item.target]
        sheet.add([translator.show(item), *answers, *returned, *target])
    sheet.write()
    print("; ".join(_notes(request, sheet.count, unreadable)))
    return unreadable


def _prepared(translator: Translator, request: Request) -> Translator:
    """The translator with the style and the edits of the request; the validation set has the training's size already.

    Raises:
        ValueError: the run has no such style or edit, or the style has one answer where several are asked for.
    """
    translator = translator.styled(request.style, request.relabel)
    if request.style is not None and request.samples > 1 and not translator.draws:
        raise ValueError(
            f"--samples {request.samples}: --style {request.style} has one answer; with random each seed has its own"
        )
    if request.source is None and translator.training_size:
        translator = copy.copy(translator)
        translator.training_size = False
    return translator


def _write_answers(request: Request, name: str, answers: Sequence[np.ndarray]) -> None:
    path = request.output / name
    for i, answer in enumerate(answers, 1):
        write_image(path.with_name(f"{path.stem}_{i}{path.suffix}") if request.samples else path, answer)


def _notes(request: Request, translated: int, unreadable: int) -> list[str]:
    """What is printed at the end."""
    count = translated * len(request.seeds)
    notes = [f"written     {count} image{'' if count == 1 else 's'}"]
    notes += [f"{unreadable} unreadable"] if unreadable else []
    if left_out := _no_images(request.source, request.output) if request.source else []:
        notes.append(f"{len(left_out)} left out: {some(left_out, 3)}")
    return notes


def _no_images(source: Path, output: Path) -> list[str]:
    """The files below a folder of inputs whose suffix is no image's, sorted; hidden ones and outputs aside."""
    if not source.is_dir():
        return []
    names = []
    for where, folders, files in os.walk(source, followlinks=True):
        here, inside = Path(where), output.resolve()
        folders[:] = [name for name in folders if name[0] != "." and (here / name).resolve() != inside]
        names += [here / name for name in files if name[0] != "." and Path(name).suffix.lower() not in SUFFIXES]
    return sorted(path.relative_to(source).as_posix() for path in names)


def _validation(translator: Translator) -> tuple[int, Iterator[Job | UnreadableImage]]:
    dataset = translator.dataset(translator.config.data, "val")
    direction, items = translator.direction, dataset.items(translator.direction)
    names = [dataset.item_name(direction, i) for i in range(len(items))]
    count = Counter(names)

    def jobs() -> Iterator[Job | UnreadableImage]:
        for i, name in enumerate(names):
            twice = f"-{i}" if count[name] > 1 else ""
            try:
                yield f"{name}{twice}.png", items[i]
            except UnreadableImage as error:
                yield error

    return len(items), jobs()


def _given(translator: Translator, request: Request, source: Path) -> tuple[int, Iterator[Job | UnreadableImage]]:
    files, folder = _input_files(translator, source, request.output)
    names = _output_names([path.relative_to(folder) for path in files])
    pair = _pair_size(translator)

    def jobs() -> Iterator[Job | UnreadableImage]:
        hint = pair
        for path, name in zip(files, names, strict=True):
            try:
                item = translator.read(path, request.others)
            except UnreadableImage as error:
                if source.is_file():
                    raise
                yield error
                continue
            height, width = item.image.shape[-3:-1]
            if hint and width * hint[1] == height * hint[0]:  # of one shape
                tqdm.write(
                    f"{path.name} is {width}x{height}, twice as wide as the run's images: if it is a pair side by "
                    "side, datasets/unpair.py takes pairs apart; without --input infer.py takes the validation set"
                )
                hint = None
            yield name, item

    return len(files), jobs()


def _input_files(translator: Translator, source: Path, output: Path) -> tuple[list[Path], Path]:
    """The files to translate, and the folder that their names are relative to."""
    if source.is_file():
        files, folder = [source], source.parent
    elif source.is_dir():
        inside = output.resolve()  # what an earlier call wrote below the inputs is none of them
        inputs = translator.dataset.inputs(translator.config.data, list_images(source))
        files, folder = [path for path in inputs if inside not in path.resolve().parents], source
    else:
        raise ValueError(f"--input {source}: no such file or folder")
    if folder.resolve() == output.resolve():
        raise ValueError(f"--output {output} holds the inputs, which would be overwritten: choose another folder")
    if translator.dataset.ordered:
        files.sort(key=frame_order)
    return files, folder


def _pair_size(translator: Translator) -> tuple[int, int] | None:
    """Width and height of the run's training files, where these are pairs side by side and still there."""
    first = translator.dataset.side_by_side(translator.config.data)
    try:
        header = read_header(first) if first else None
    except UnreadableImage:
        header = None
    return (header.width, header.height) if header else None


def _output_names(paths: list[Path]) -> list[str]:
    """Lossless formats stay, others become PNG; two inputs of one stem keep their suffix in the name: a.jpg.png."""
    names = [path if path.suffix.lower() in LOSSLESS else path.with_suffix(".png") for path in paths]
    count = Counter(names)
    return [
        (path.with_name(path.name + ".png") if count[name] > 1 and name != path else name).as_posix()
        for path, name in zip(paths, names, strict=True)
    ]
