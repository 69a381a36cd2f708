"""Writes reports: summary.json, table.md, pictures.csv, best_and_worst.png and the files of metrics.

Of several directions, a summary of them all. Also pixels.json, L1, PSNR and SSIM of a run and of its baselines.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from img2img.data.images import grid, write_image
from img2img.errors import printable
from img2img.evaluation.base import FeatureNetworks, ImageSet, Metric, PlaneProtocol
from img2img.evaluation.evaluate import BATCH_SIZE, NoImages, Scores, check, evaluate
from img2img.evaluation.image_sets import baseline_sets, places_text
from img2img.evaluation.metrics import L1, PSNR, PSNRY, SSIM, SSIMY, L1Hole, metric_classes
from img2img.inference.translator import Translator
from img2img.runs import write_text

FILES = ("summary.json", "table.md", "pictures.csv", "best_and_worst.png")
# scores in pixels.json, and their format when printed
PIXELS = {"l1": ".2f", "psnr": ".2f", "ssim": ".4f", "psnr_y": ".2f", "ssim_y": ".4f", "l1_hole": ".2f"}


ScoreTable = dict[str, dict[str, dict[str, float]]]
"""Scores by direction, row (``output``, and baselines such as ``input``), and name."""


def report_folders(image_sets: Sequence[ImageSet], chosen: Path | None = None) -> list[Path]:
    """The folder of each set's report.

    Args:
        image_sets: the sets.
        chosen: a folder, in which each of several sets gets a sub-folder (default: ``ImageSet.output``).
    """
    if chosen is None:
        return [image_set.output for image_set in image_sets]
    return [chosen / image_set.output.name if len(image_sets) > 1 else chosen for image_set in image_sets]


def prepare(image_set: ImageSet, metrics: Sequence[Metric], folder: Path) -> None:
    """Makes the report's folder. Raises ValueError as ``check`` and ``make_folder``. Generates no image."""
    check(image_set, metrics)
    make_folder(folder, image_set.folders)


def report(
    image_set: ImageSet,
    metrics: Sequence[Metric],
    networks: FeatureNetworks,
    folder: Path,
    *,
    batch_size: int = BATCH_SIZE,
) -> Scores:
    """Evaluates an image set, prints the scores and writes the report. Raises ValueError as ``prepare``, ``evaluate``
    and ``write_report``."""
    prepare(image_set, metrics, folder)
    scores = evaluate(image_set, metrics, networks, batch_size=batch_size)
    scores.baselines = _baselines(image_set, metrics, networks, batch_size)
    print(markdown(scores, image_set, networks))  # first, so that the scores are not lost if files can't be written
    write_report(scores, image_set, networks, folder)
    print(printable(f"report      {folder}"))
    return scores


def _baselines(
    image_set: ImageSet, metrics: Sequence[Metric], networks: FeatureNetworks, batch_size: int
) -> dict[str, dict[str, float]]:
    """The scores of a set's baselines by title, of the metrics that compare each image with its target."""
    pairwise = [metric for metric in metrics if metric.needs_target]
    if not pairwise:
        return {}
    scores = {}
    for name, baseline in image_set.baselines.items():
        with suppress(NoImages):  # every item lacks this baseline
            scores[name] = evaluate(baseline, pairwise, networks, batch_size=batch_size, shown=0).scores
    return scores


def report_directions(scores: Mapping[Path, Scores]) -> None:
    """Prints and writes the scores of several directions side by side, and their means.

    They are table.md and summary.json in the folder that has the directions' reports.

    Args:
        scores: the scores of each direction by the folder of its report, which is named after it.

    Raises:
        ValueError: the files can't be written.
    """
    folder = make_folder(next(iter(scores)).parent)
    rows = {path.name: each for path, each in scores.items()}
    titles = {name: title for each in rows.values() for name, title in each.titles.items()}
    names = [name for name in titles if all(name in each.scores for each in rows.values())]
    means = {name: sum(each.scores[name] for each in rows.values()) / len(rows) for name in names}
    lines = [["direction", "images", *(titles[name] for name in names)], ["---"] * (2 + len(names))]
    for direction, each in rows.items():
        lines.append([direction, str(each.count), *(f"{each.scores[name]:.5g}" for name in names)])
    lines.append([f"mean over {len(rows)} directions", "", *(f"{means[name]:.5g}" for name in names)])
    table = printable("\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n")
    print(table)
    content = {"directions": {direction: each.scores for direction, each in rows.items()}, "mean": means}
    write_text(folder / "summary.json", json.dumps(content, indent=2) + "\n")
    write_text(folder / "table.md", table)
    print(printable(f"report      {folder}"))


def report_pixels(
    translator: Translator,
    paired: bool = False,
    *,
    protocol: PlaneProtocol = "colour",
    shave: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> ScoreTable:
    """Prints L1, PSNR and SSIM of a run and its baselines, and writes them to RUN/evaluation/STEP/pixels.json.

    With protocol "y" the file is pixels-y.json. Arguments are those of ``pixel_scores``, and ``data``: where the data
    set is now, if it was moved, which the file has under ``data``.

    Returns:
        The scores by direction, row and name.

    Raises:
        ValueError: as ``pixel_scores``; or the file can't be written.
    """
    assert translator.checkpoint is not None, "only a run has a validation set"
    folder = make_folder(translator.run / "evaluation" / translator.checkpoint.name)
    print(printable(f"{translator.checkpoint}{places_text(data)}"))
    scores = {}
    for direction in translator.directions:
        rows = pixel_scores(translator.towards(direction), paired, protocol=protocol, shave=shave)
        scores[direction] = {name: row.scores for name, row in rows.items()}
        first = next(iter(rows.values()))
        titles = first.titles
        for name, text in first.rows.items():
            print(f"\n{name}: {text}")
        print(f"\n| {direction} | {' | '.join(titles.values())} |\n|{' --- |' * (1 + len(titles))}")
        for name, row in rows.items():
            print(f"| {name} | {' | '.join(f'{row.scores[score]:{PIXELS[score]}}' for score in titles)} |")
    file = folder / ("pixels.json" if protocol == "colour" else f"pixels-{protocol}.json")
    content = {**scores, **({"data": dict(data)} if data else {})}
    write_text(file, json.dumps(content, indent=2) + "\n")
    print(printable(f"\nreport      {file}"))
    return scores


def pixel_scores(
    translator: Translator, paired: bool = False, *, protocol: PlaneProtocol = "colour", shave: int | None = None
) -> dict[str, Scores]:
    """L1, PSNR and SSIM of a run's output and of its baselines, by the names of ``baseline_sets``.

    If its data set knows trivial answers, PSNR and SSIM of Y as well; if it has holes, L1 in the hole.

    Args:
        translator: generator of the run, in the direction to evaluate.
        paired: treat unpaired validation images of the same name as pairs.
        protocol: see ``RunOptions``.
        shave: border in pixels that metrics of Y leave out (default: the scale of a run that enlarges, else 0).

    Raises:
        ValueError: the run's data can't be found, or there is nothing to compare with.
    """
    image_sets = baseline_sets(translator, paired, protocol)
    metrics: list[Metric] = [L1(), PSNR(), SSIM(too_small=math.nan)]
    if any(image_set.restores for image_set in image_sets.values()):
        metrics += [PSNRY(), SSIMY(too_small=math.nan)]
    if all(image_set.has_masks for image_set in image_sets.values()):
        metrics.append(L1Hole())
    networks = FeatureNetworks(device=translator.device)
    rows: dict[str, Scores] = {}
    for name, image_set in image_sets.items():
        image_set.set_shave(shave)
        try:
            rows[name] = evaluate(image_set, metrics, networks, batch_size=1, shown=0)
        except NoImages:  # every item lacks this baseline
            continue
    if not rows:
        raise ValueError(f"run {translator.config.name}: no validation image can be decoded")
    return rows


def markdown(scores: Scores, image_set: ImageSet, networks: FeatureNetworks) -> str:
    """The scores as a Markdown table, after the names of the images, real images and networks that they come from."""
    lines = [f"| {_cell(image_set.title)}, {_images(scores.count)} | |", "| --- | --- |"]
    if scores.real_count and image_set.real is not None:
        lines.append(f"| compared with | {_cell(image_set.real.title)}, {_images(scores.real_count)} |")
    left_out = [f"{len(image_set.skipped)} that can't be decoded"] if image_set.skipped else []
    left_out += [f"{image_set.other_files} of other kinds"] if image_set.other_files else []
    if left_out:
        lines.append(f"| files left out | {', '.join(left_out)} |")
    if networks.features is not None:
        lines.append(f"| features | {_cell(networks.title)} |")
    lines += [f"| {name} | {_cell(text)} |" for name, text in scores.rows.items()]
    for name, score in scores.scores.items():
        deviation = f" ± {scores.deviations[name]:.4g}" if name in scores.deviations else ""
        lines.append(f"| {scores.titles[name]} | {score:.5g}{deviation} |")
    if scores.baselines:
        lines += _baseline_lines(scores)
    return printable("\n".join(lines) + "\n")


def _baseline_lines(scores: Scores) -> list[str]:
    """A table of the output's scores above those of the baselines."""
    names = list(next(iter(scores.baselines.values())))
    titles = " | ".join(_cell(scores.titles[name]) for name in names)
    rows = {"output": scores.scores, **scores.baselines}
    return [
        "",
        f"| beside the trivial answers | {titles} |",
        f"|{' --- |' * (1 + len(names))}",
        *(f"| {_cell(row)} | {' | '.join(f'{each[name]:.5g}' for name in names)} |" for row, each in rows.items()),
    ]


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def summary(scores: Scores, image_set: ImageSet, networks: FeatureNetworks) -> dict[str, Any]:
    """Contents of summary.json: scores, and the images and networks that they were computed from."""
    real = image_set.real if scores.real_count else None
    return {
        "pictures": image_set.title,
        "count": scores.count,
        "reference": "none" if real is None else real.title,
        "reference_count": scores.real_count,
        "skipped": sorted(image_set.skipped),
        "features": networks.title,
        "scores": scores.scores,
        "deviations": scores.deviations,
        **({"baselines": scores.baselines} if scores.baselines else {}),
        **scores.details,
    }


def make_folder(folder: Path, evaluated: Sequence[Path] = ()) -> Path:
    """Makes the folder of a report and tests that files can be written in it.

    Args:
        folder: the folder.
        evaluated: folders of images that are evaluated. The report must not lie in one of them, or its images would be
            evaluated the next time.

    Raises:
        ValueError: the folder can't be written, or lies in one of ``evaluated``.
    """
    for images in evaluated:
        if images.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ValueError(f"--output {folder}: lies in {images}, whose images are evaluated; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"--output {folder}: can't be written ({error.strerror or error})") from error
    return folder


def write_report(scores: Scores, image_set: ImageSet, networks: FeatureNetworks, folder: Path) -> None:
    """Writes the report's files and removes those of an older report.

    pictures.csv and best_and_worst.png are written only if a metric has a value for each image.

    Raises:
        ValueError: the folder can't be written.
    """
    make_folder(folder)
    for name in (*FILES, *(name for kind in metric_classes().values() for name in kind.files)):
        (folder / name).unlink(missing_ok=True)
    write_text(folder / "summary.json", json.dumps(summary(scores, image_set, networks), indent=2) + "\n")
    write_text(folder / "table.md", markdown(scores, image_set, networks))
    for name, (header, rows) in scores.tables.items():
        write_text(folder / name, _csv(header, rows))
    if not scores.names:
        return
    values = ([f"{value:.9g}" for value in column] for column in scores.per_image.values())
    write_text(folder / "pictures.csv", _csv(["name", *scores.per_image], zip(scores.names, *values, strict=True)))
    sheet = [[*best.cells, *worst.cells] for best, worst in zip(scores.best, scores.worst, strict=True)]
    if sheet:
        titles = [f"best {scores.ranked_by}", *scores.columns, f"worst {scores.ranked_by}", *scores.columns]
        write_image(folder / "best_and_worst.png", grid(sheet, titles))


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
