"""The columns of metrics.csv, and the layout of custom scalars as TensorBoard's plugin reads it."""

import csv
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from img2img.config import Config
from img2img.training.logger import RunLogger
from img2img.training.trainer import train


def table(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_logger_adds_columns_for_new_values(tmp_path: Path) -> None:
    with closing(RunLogger(tmp_path, 0, 10, "")) as logger:
        logger.log(1, 0.1, {"loss/a": 1.0})
        logger.log(2, 0.2, {"loss/a": 2.0, "signs/late": 5.0}, ["one, with a comma", "two"])
        logger.log(3, 0.3, {"loss/a": 3.0})
    rows = table(tmp_path)
    assert [row["loss/a"] for row in rows] == ["1.0", "2.0", "3.0"]
    assert [row["signs/late"] for row in rows] == ["", "5.0", ""]
    assert [row["verdict"] for row in rows] == ["", "one, with a comma | two", ""]


def test_logger_continues_a_file_without_the_column_verdict(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch,time,loss/a\n1,0.1,7,1.0\n2,0.2,8,2.0\n3,0.3,9,3.0\n")
    with closing(RunLogger(tmp_path, 2, 10, "")) as logger:
        logger.log(3, 0.3, {"loss/b": 4.0}, ["a problem"])
    rows = table(tmp_path)
    assert [(row["step"], row["loss/a"], row["loss/b"], row["verdict"]) for row in rows] == [
        ("1", "1.0", "", ""),
        ("2", "2.0", "", ""),
        ("3", "", "4.0", "a problem"),
    ]


def test_layout_matches_tags_of_a_run_in_every_chart(tiny_cyclegan: Callable[..., Config]) -> None:
    """CycleGAN has all of them, for two discriminators."""
    run = train(tiny_cyclegan(train={"max_steps": 4, "log_every": 1}))
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    assert board.SummaryMetadata(metadata.CONFIG_SUMMARY_TAG).plugin_data.plugin_name == metadata.PLUGIN_NAME
    (event,) = board.Tensors(metadata.CONFIG_SUMMARY_TAG)
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == ["balance", "losses", "gradients"]
    drawn = {}
    for category in layout.category:
        for chart in category.chart:
            tags = [tag for tag in board.Tags()["scalars"] if any(re.match(t, tag) for t in chart.multiline.tag)]
            drawn[f"{category.title}: {chart.title}"] = tags
    assert all(drawn.values()), drawn
    assert drawn["gradients: norms"] == [
        f"gradient_norm/{name}" for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
    ]
    assert len(drawn["balance: accuracy of the discriminators"]) == 4
