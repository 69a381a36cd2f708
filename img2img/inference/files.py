"""Translates files, folders and the validation set of a run into a folder of pictures and contact sheets."""

from __future__ import annotations

import copy
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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


def translate_files(
    translator: Translator,
    source: Path | None,
    output: Path,
    *,
    samples: int = 0,
    seed: int = 0,
    cycle: bool = False,
    others: Mapping[str, Path] | None = None,
    style: str | None = None,
    relabel: str | None = None,
) -> int:
    """Writes ``output/NAME.png`` for every picture, and ``output/grids/``: input | output(s) | target.

    Where a style is chosen, titles stand above the grids' columns. How many pictures were written is printed, and
    which files of ``source`` were left out since their suffix is no picture's.

    Args:
        translator: of the run.
        source: a picture or a folder of pictures, at their own size; None for the run's validation set at the size that
            it was trained with.
        output: the folder to write to.
        samples: 0 for the one answer; N writes N answers for each picture, NAME_1.png to NAME_N.png, by dropout or by
            random styles.
        seed: of the first answer; each further one has the next.
        cycle: whether the grids show input | output(s) | the first output, translated back | target.
        others: further files, or folders of such, that belong to ``source``, by their key in a batch: ``instance``, the
            instance map of a label map.
        style: of label maps, how to draw them: see ``styles.Style``. Unset, the validation set's scenes are drawn in
            the styles of their own photos.
        relabel: of label maps, classes to change: see ``classes.parse_relabel``.

    Returns:
        How many files could not be read; each was named on standard error.

    Raises:
        ValueError: ``samples`` is negative, ``source`` is missing or holds no picture, ``output`` can't be written,
            ``cycle`` of a run that learnt one direction only, or a style or edit that the run or scene does not have.
    """
    translator = translator.styled(style, relabel)
    if source is None and translator.training_size:  # the set has that size already
        translator = copy.copy(translator)
        translator.training_size = False
    back = translator.reversed() if cycle else None
    if samples < 0:
        raise ValueError(f"--samples {samples}: must not be negative")
    if not 0 <= seed < 2**63 - samples:
        raise ValueError(f"--seed {seed}: must lie in [0, 2^63)")
    if style is not None and samples > 1 and not translator.draws:
        raise ValueError(f"--samples {samples}: --style {style} has one answer; with random each seed has its own")
    titles = ["input", *(f"style {i + 1}" for i in range(max(1, samples))), "target"] if style is not None else []
    total: int
    jobs: Iterable[Job | UnreadableImage]
    if source is None:
        for key, path in (others or {}).items():
            raise ValueError(f"--with {key}={path}: goes with --input; the validation set has its own")
        total, jobs = _validation(translator)
    else:
        total, jobs = _given(translator, source, output, others or {})
    streams = [translator.stream(seed + i) for i in range(max(1, samples))]
    unreadable = translated = 0
    rows: list[list[np.ndarray]] = []
    for job in tqdm(jobs, total=total, unit="picture", disable=None):
        if isinstance(job, UnreadableImage):
            tqdm.write(f"skipped: {job}", file=sys.stderr)
            unreadable += 1
            continue
        name, item = job
        answers = [stream(item) for stream in streams]
        path = output / name
        for i, answer in enumerate(answers, 1):
            write_image(path.with_name(f"{path.stem}_{i}{path.suffix}") if samples else path, answer)
        translated += 1
        row = [translator.show(item), *answers]
        if back:
            row.append(back(answers[0], seed))
        rows.append([cell(image) for image in (row if item.target is None else [*row, item.target])])
        if len(rows) == ROWS:
            _write_grid(output, rows, translated, titles)
            rows = []
    if rows:
        _write_grid(output, rows, translated, titles)
    count = translated * max(1, samples)
    notes = [f"written     {count} picture{'' if count == 1 else 's'}"]
    notes += [f"{unreadable} unreadable"] if unreadable else []
    if left_out := _no_pictures(source, output) if source else []:
        notes.append(f"{len(left_out)} left out: {some(left_out, 3)}")
    print("; ".join(notes))
    return unreadable


def _no_pictures(source: Path, output: Path) -> list[str]:
    """The files below a folder of inputs whose suffix is no picture's, sorted; hidden ones and outputs aside."""
    if not source.is_dir():
        return []
    names = []
    for where, folders, files in os.walk(source, followlinks=True):
        here, inside = Path(where), output.resolve()
        folders[:] = [name for name in folders if name[0] != "." and (here / name).resolve() != inside]
        names += [here / name for name in files if name[0] != "." and Path(name).suffix.lower() not in SUFFIXES]
    return sorted(path.relative_to(source).as_posix() for path in names)


def _write_grid(output: Path, rows: list[list[np.ndarray]], last: int, titles: list[str]) -> None:
    titles = titles[: max(map(len, rows))]  # without targets there is no such column
    write_image(output / "grids" / f"{last - len(rows) + 1:05d}-{last:05d}.png", grid(rows, titles))


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


def _given(
    translator: Translator, source: Path, output: Path, others: Mapping[str, Path]
) -> tuple[int, Iterable[Job | UnreadableImage]]:
    if source.is_file():
        files, folder = [source], source.parent
    elif source.is_dir():
        inside = output.resolve()  # what an earlier call wrote below the inputs is none of them
        found = translator.dataset.inputs(translator.config.data, list_images(source))
        files, folder = [path for path in found if inside not in path.resolve().parents], source
    else:
        raise ValueError(f"--input {source}: no such file or folder")
    if folder.resolve() == output.resolve():
        raise ValueError(f"--output {output} holds the inputs, which would be overwritten: choose another folder")
    if translator.dataset.ordered:
        files.sort(key=frame_order)
    names = _output_names([path.relative_to(folder) for path in files])
    pair = _pair_size(translator)

    def jobs() -> Iterator[Job | UnreadableImage]:
        tell = pair
        for path, name in zip(files, names, strict=True):
            try:
                item = translator.read(path, others)
            except UnreadableImage as error:
                if source.is_file():
                    raise
                yield error
                continue
            if tell:
                height, width = item.image.shape[-3:-1]
                if width * tell[1] == height * tell[0]:  # of one shape
                    tqdm.write(
                        f"{path.name} is {width}x{height}, twice as wide as the run's pictures: if it is a pair side "
                        "by side, datasets/unpair.py takes pairs apart; without --input infer.py takes the validation "
                        "set"
                    )
                    tell = None
            yield name, item

    return len(files), jobs()


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
