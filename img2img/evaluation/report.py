"""What a judgement leaves behind: summary.json, table.md, pictures.csv and best_and_worst.png in one folder."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from img2img.data.images import grid, write_image
from img2img.evaluation.distances import SUBSET
from img2img.evaluation.quality import KEPT, Judges, Quality
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


def markdown(quality: Quality, subject: Subject, judges: Judges) -> str:
    """The scores as a table, with what they were measured on, and by what, in its head."""
    lines = [f"| {subject.title}, {subject.count} pictures | |", "| --- | --- |"]
    if subject.reals is not None:
        lines.append(f"| beside | {subject.real_title}, {subject.real_count} pictures |")
    if judges.features is not None:
        lines.append(f"| features | {judges.title} |")
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
    if {"kid", "precision"} & quality.scores.keys():
        found["features_kept_of_each_set"] = KEPT
    if "kid" in quality.scores:
        found["kid_subset"] = min(SUBSET, subject.count, subject.real_count)
    return found


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
    if not quality.names:
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *quality.of_pictures])
    rows.writerows(
        zip(quality.names, *([f"{value:.6g}" for value in v] for v in quality.of_pictures.values()), strict=True)
    )
    write_text(folder / "pictures.csv", text.getvalue())
    cells = [
        [good.picture, good.truth, bad.picture, bad.truth]
        for (_, good), (_, bad) in zip(quality.best, quality.worst, strict=True)
    ]
    titles = [f"best {quality.ranked_by}", "truth", f"worst {quality.ranked_by}", "truth"]
    shown = [[image for image in row if image is not None] for row in cells]
    write_image(folder / "best_and_worst.png", grid(shown, titles))
