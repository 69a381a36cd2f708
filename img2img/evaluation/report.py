"""What a judgement leaves behind in a folder: summary.json, table.md, pictures.csv, classes.csv, best_and_worst.png."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from img2img.data.images import grid, write_image
from img2img.errors import printable
from img2img.evaluation.distances import SUBSET
from img2img.evaluation.fcn.segmenter import Confusion
from img2img.evaluation.image_sets import Subject
from img2img.evaluation.metrics import KEPT, Judges, Quality, check, judge
from img2img.evaluation.pixels import pixel_scores
from img2img.inference.translator import Translator
from img2img.runs import write_text

FILES = ("summary.json", "table.md", "pictures.csv", "classes.csv", "best_and_worst.png")
UNITS = {
    "l1": "L1 (of 255)",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS (AlexNet)",
    "fid": "FID",
    "kid": "KID",
}
UNITS |= {"is": "Inception Score", "precision": "precision", "recall": "recall"}
RECOGNITION = {"pixel_accuracy": "pixel accuracy", "class_accuracy": "class accuracy", "mean_iou": "mean IoU"}
UNITS |= RECOGNITION | {f"real_{name}": f"{title} of the real ones" for name, title in RECOGNITION.items()}


def prepare(subject: Subject, metrics: Sequence[str], folder: Path) -> None:
    """Raises ValueError for what is known to be missing before anything is looked at, and makes the report's folder."""
    check(subject, metrics)
    make_folder(folder, subject.folders)


def report(subject: Subject, metrics: Sequence[str], judges: Judges, folder: Path, batch_size: int = 16) -> Quality:
    """Judges a subject, prints what was found and writes it to a folder. Raises ValueError as what it calls."""
    prepare(subject, metrics, folder)
    quality = judge(subject, metrics, judges, batch_size)
    print(markdown(quality, subject, judges))  # before anything can go wrong with files
    write_report(quality, subject, judges, folder)
    print(printable(f"report      {folder}"))
    return quality


def report_pixels(translator: Translator, paired: bool = False) -> None:
    """Prints L1, PSNR and SSIM of a run beside answers without learning; they go to evaluation/STEP/pixels.json, too.

    Raises:
        ValueError: as ``pixel_scores``; or the file can't be written.
    """
    assert translator.checkpoint is not None, "only a run has a validation set"
    folder = make_folder(translator.run / "evaluation" / translator.checkpoint.name)
    print(printable(str(translator.checkpoint)))
    found = {}
    for direction in translator.directions:
        chosen = translator if direction == translator.direction else translator.reversed()
        scores = pixel_scores(chosen, paired)
        found[direction] = {name: asdict(score) for name, score in scores.items()}
        print(f"\n| {direction} | L1 (of 255) | PSNR, dB | SSIM |\n| --- | --- | --- | --- |")
        for name, score in scores.items():
            print(f"| {name} | {score.l1:.2f} | {score.psnr:.2f} | {score.ssim:.4f} |")
    write_text(folder / "pixels.json", json.dumps(found, indent=2) + "\n")
    print(printable(f"\nreport      {folder / 'pixels.json'}"))


def markdown(quality: Quality, subject: Subject, judges: Judges) -> str:
    """The scores as a table, with what they were measured on, and by what, in its head."""
    lines = [f"| {_cell(subject.title)}, {_pictures(quality.count)} | |", "| --- | --- |"]
    if quality.real_count:
        lines.append(f"| beside | {_cell(subject.real_title)}, {_pictures(quality.real_count)} |")
    left_out = [f"{len(subject.skipped)} that can't be decoded"] if subject.skipped else []
    left_out += [f"{subject.others} of other kinds"] if subject.others else []
    if left_out:
        lines.append(f"| files left out | {', '.join(left_out)} |")
    if judges.features is not None:
        lines.append(f"| features | {_cell(judges.title)} |")
    if quality.confusion is not None:
        lines.append(f"| recognised by | {_cell(_recogniser(subject, judges))}, {len(quality.confusion.ids)} classes |")
    for name, score in quality.scores.items():
        deviation = f" ± {quality.deviations[name]:.4g}" if name in quality.deviations else ""
        lines.append(f"| {UNITS[name]} | {score:.5g}{deviation} |")
    return printable("\n".join(lines) + "\n")


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def summary(quality: Quality, subject: Subject, judges: Judges) -> dict[str, Any]:
    """Scores and what makes them comparable with others: how many pictures, of what, judged by which network."""
    found: dict[str, Any] = {
        "pictures": subject.title,
        "count": quality.count,
        "reference": subject.real_title if quality.real_count else "none",
        "reference_count": quality.real_count,
        "skipped": sorted(subject.skipped),
        "features": judges.title,
        "scores": quality.scores,
        "deviations": quality.deviations,
    }
    if quality.confusion is not None:
        found |= {"recognised_by": _recogniser(subject, judges), "classes": quality.confusion.ids.tolist()}
    if {"kid", "precision"} & quality.scores.keys():
        found["features_kept_of_each_set"] = KEPT
    if "kid" in quality.scores:
        found["kid_subset"] = min(SUBSET, quality.count, quality.real_count)
    return found


def _recogniser(subject: Subject, judges: Judges) -> str:
    if subject.palette is not None:
        return f"the colours of the palette {subject.palette.name}"
    return judges.segmenter.title if judges.segmenter is not None else "none"


def make_folder(folder: Path, of: Sequence[Path] = ()) -> Path:
    """Makes the folder of a report, before anything is measured for it.

    Args:
        folder: what is made.
        of: folders of pictures that are judged, whose pictures those of a report are not to be.

    Raises:
        ValueError: it can't be written, or lies in one of the others.
    """
    for pictures in of:
        if pictures.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ValueError(f"--output {folder}: lies in {pictures}, whose pictures are judged; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"--output {folder}: can't be written ({error.strerror or error})") from error
    return folder


def write_report(quality: Quality, subject: Subject, judges: Judges, folder: Path) -> None:
    """Writes the files; those of pictures only where pictures were measured. A report that was there is replaced.

    Raises:
        ValueError: the folder can't be written.
    """
    make_folder(folder)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    write_text(folder / "summary.json", json.dumps(summary(quality, subject, judges), indent=2) + "\n")
    write_text(folder / "table.md", markdown(quality, subject, judges))
    if quality.confusion is not None:
        write_text(folder / "classes.csv", _classes(quality.confusion, subject))
    if not quality.names:
        return
    rows = zip(quality.names, *([f"{value:.9g}" for value in v] for v in quality.of_pictures.values()), strict=True)
    write_text(folder / "pictures.csv", _csv(["name", *quality.of_pictures], rows))
    cells = [[*good.cells, *bad.cells] for good, bad in zip(quality.best, quality.worst, strict=True)]
    if cells:
        titles = [f"best {quality.ranked_by}", *quality.columns, f"worst {quality.ranked_by}", *quality.columns]
        write_image(folder / "best_and_worst.png", grid(cells, titles))


def _classes(confusion: Confusion, subject: Subject) -> str:
    """How well each class was recognised; empty where it was not there."""
    pixels = confusion.counts.sum(axis=1)
    rows = zip(confusion.ids.tolist(), pixels.tolist(), confusion.accuracies(), confusion.ious(), strict=True)
    return _csv(
        ["id", "name", "pixels", "accuracy", "iou"],
        (
            [number, subject.class_names.get(number, ""), count, *("" if x != x else f"{x:.6g}" for x in shares)]
            for number, count, *shares in rows
        ),
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()
