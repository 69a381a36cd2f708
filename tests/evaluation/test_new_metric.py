"""New metrics: defining a class makes a metric known to ``img2img evaluate``, its help, reports and training.

The metric of pairs is that of docs/extending.md.
"""

import csv
import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from img2img.config import Config
from img2img.data.images import read_image
from img2img.evaluation.arguments import parse_evaluate_arguments
from img2img.evaluation.base import ImageBatch, Metric, SetStatistics, Statistic
from img2img.evaluation.evaluate import evaluate
from img2img.evaluation.folder_sets import folder_set
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.metrics import choose_metrics
from img2img.training.trainer import Trainer, train
from tests.evaluation.helpers import folders, measure
from tests.helpers import call
from tests.pages import metric_code


@pytest.fixture(autouse=True)
def _defined() -> Iterator[None]:
    """Defines a pair metric and a set metric, and removes them after the test."""
    of_the_page: dict[str, object] = {"__name__": "page"}
    exec(metric_code(), of_the_page)

    class Level(Statistic):
        def __init__(self) -> None:
            self.levels: list[float] = []

        def update(self, batch: ImageBatch) -> None:
            self.levels += batch.images.mean((1, 2, 3)).tolist()

    class SetBrightness(Metric):
        name, titles, needs_real = "darker", {"darker": "darker than real ones by"}, True
        min_images, statistics = 2, (Level,)

        def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
            return {"darker": float(np.mean(real[Level].levels) - np.mean(made[Level].levels))}

    yield
    of_the_page.clear()
    del SetBrightness
    gc.collect()  # classes are in reference cycles


def levels(folder: Path) -> np.ndarray:
    """Mean levels of the images, in [0, 1]."""
    return np.array([read_image(path, 3).mean() / 255 for path in sorted(folder.iterdir())])


def test_new_metric_is_evaluated() -> None:
    made, real = folders(7)
    scores = evaluate(folder_set(made, real, pairs=True), choose_metrics("brightness,darker"), batch_size=3)
    assert scores.per_image["brightness"] == pytest.approx(255 * np.abs(levels(made) - levels(real)))
    assert scores.scores["brightness"] == pytest.approx(np.mean(scores.per_image["brightness"]))
    assert scores.scores["darker"] == pytest.approx(np.mean(levels(real)) - np.mean(levels(made)))
    assert scores.best[0].value == min(scores.per_image["brightness"])
    assert (scores.count, scores.real_count) == (7, 7)


def test_new_metric_requirements_are_checked() -> None:
    made, real = folders(1)
    with pytest.raises(ValueError, match=r"^darker: .*\b2\b.*\b1\b"):  # images
        measure(folder_set(made, real), "darker")
    with pytest.raises(ValueError, match=r"^brightness: .*\b00\.png"):  # without target
        measure(folder_set(made), "brightness")
    with pytest.raises(ValueError, match=r"^darker: .*--reference"):
        measure(folder_set(made), "darker")


def test_new_metric_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = folders(4)
    argv = (str(made), "--reference", str(real), "--metrics", "darker,brightness", "--output", "report")
    assert call(monkeypatch, "evaluate", *argv) == 0
    printed = capsys.readouterr().out
    assert "| brightness (of 255) | " in printed
    assert "| darker than real ones by | " in printed
    assert set(json.loads(Path("report/summary.json").read_text())["scores"]) == {"darker", "brightness"}
    assert Path("report/pictures.csv").read_text().startswith("name,brightness\n00.png,")


def test_new_metric_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_evaluate_arguments("", ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "lpips,brightness (" in text
    assert "fid,kid,is,pr,darker (" in text


def test_new_metric_is_measured_in_training(tiny: Callable[..., Config]) -> None:
    options = {"evaluate_every": 1, "evaluate_pictures": 0, "max_steps": 2, "metrics": "darker,brightness"}
    config = tiny(train={**options, "best_by": "brightness"})
    validation = Trainer(config, Path("nowhere")).validation
    assert validation is not None
    assert (validation.metric, validation.better) == ("brightness", "lower")
    run = train(config)
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (made,) = open_image_sets(str(run))
    scores = measure(made, "darker,brightness").scores
    assert {name: float(rows[-1][f"val/{name}"]) for name in scores} == pytest.approx(scores, rel=1e-5)
