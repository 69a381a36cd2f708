"""What a judgement leaves behind in a folder: summary.json, table.md, pictures.csv, classes.csv, best_and_worst.png."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from img2img.data.images import grid, write_image
from img2img.evaluation.distances import SUBSET
from img2img.evaluation.quality import KEPT, Judges, Quality
from img2img.evaluation.segmentation import Confusion
from img2img.evaluation.subjects import Subject
from img2img.runs import write_text

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


def markdown(quality: Quality, subject: Subject, judges: Judges) -> str:
    """The scores as a table, with what they were measured on, and by what, in its head."""
    lines = [f"| {subject.title}, {subject.count} pictures | |", "| --- | --- |"]
    if subject.reals is not None:
        lines.append(f"| beside | {subject.real_title}, {subject.real_count} pictures |")
    if judges.features is not None:
        lines.append(f"| features | {judges.title} |")
    if quality.confusion is not None:
        lines.append(f"| recognised by | {_recogniser(subject, judges)}, {len(quality.confusion.ids)} classes |")
    for name, score in quality.scores.items():
        deviation = f" ± {quality.deviations[name]:.4g}" if name in quality.deviations else ""
        lines.append(f"| {UNITS[name]} | {score:.5g}{deviation} |")
    return "\n".join(lines) + "\n"


def summary(quality: Quality, subject: Subject, judges: Judges) -> dict[str, Any]:
    """Scores and what makes them comparable with others: how many pictures, of what, judged by which network."""
    found: dict[str, Any] = {
        "pictures": subject.title,
        "count": subject.count,
        "reference": subject.real_title,
        "reference_count": subject.real_count,
        "features": judges.title,
        # JSON has no infinity: the PSNR of equal pictures
        "scores": {key: value if math.isfinite(value) else str(value) for key, value in quality.scores.items()},
        "deviations": quality.deviations,
    }
    if quality.confusion is not None:
        found |= {"recognised_by": _recogniser(subject, judges), "classes": quality.confusion.ids.tolist()}
    if {"kid", "precision"} & quality.scores.keys():
        found["features_kept_of_each_set"] = KEPT
    if "kid" in quality.scores:
        found["kid_subset"] = min(SUBSET, subject.count, subject.real_count)
    return found


def _recogniser(subject: Subject, judges: Judges) -> str:
    if subject.palette is not None:
        return f"the colours of the palette {subject.palette.name}"
    return judges.segmenter.title if judges.segmenter is not None else "none"


def write_report(quality: Quality, subject: Subject, judges: Judges, folder: Path) -> None:
    """Writes the files; those of pictures only where pictures were measured.

    Raises:
        ValueError: the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {folder}: can't be written ({error.strerror or error})") from error
    write_text(folder / "summary.json", json.dumps(summary(quality, subject, judges), indent=2) + "\n")
    write_text(folder / "table.md", markdown(quality, subject, judges))
    if quality.confusion is not None:
        write_text(folder / "classes.csv", _classes(quality.confusion, subject))
    if not quality.names:
        return
    rows = zip(quality.names, *([f"{value:.6g}" for value in v] for v in quality.of_pictures.values()), strict=True)
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
