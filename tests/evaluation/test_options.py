"""Options of ``img2img evaluate``: defaults, names, and options that exclude each other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.evaluation.arguments import parse_evaluate_arguments
from img2img.evaluation.metrics import choose_metrics
from img2img.evaluation.options import (
    ClassifierOptions,
    EvaluateOptions,
    FCNOptions,
    Kind,
    MetricOptions,
    RunOptions,
    changed_options,
)


def test_parse_evaluate_arguments_has_the_defaults_of_the_dataclasses() -> None:
    options = parse_evaluate_arguments("", ["nothing"])
    assert (options.of_run, options.of_metrics, options.of_fcn) == (RunOptions(), MetricOptions(), FCNOptions())
    assert options.of_classifier == ClassifierOptions()
    assert (options.name, options.kind, options.metrics, options.device) == ("nothing", "run", None, None)


def test_changed_options_are_named_as_on_the_command_line() -> None:
    assert changed_options(MetricOptions(lpips_weights="x", batch_size=3)) == ["--lpips-weights", "--batch-size"]
    assert changed_options(RunOptions()) == []


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: RunOptions(count=0), r"^--count 0: .*\b1$"),
        (lambda: MetricOptions(batch_size=0), r"^--batch-size 0: .*\b1$"),
        (lambda: FCNOptions(segmenter_steps=0), r"^--segmenter-steps 0: .*\b1$"),
        (lambda: FCNOptions(segmenter_steps=7), r"^--segmenter-steps: .*--train-segmenter"),
        (lambda: ClassifierOptions(train_classifier=True, classifier_steps=0), r"^--classifier-steps 0: .*\b1$"),
        (lambda: ClassifierOptions(classifier_steps=7), r"^--classifier-steps: .*--train-classifier"),
        (lambda: ClassifierOptions(train_classifier=True, classifier="x"), r"^--train-classifier and --classifier: "),
        (lambda: FCNOptions(train_segmenter=True, segmenter="x"), r"^--train-segmenter and --segmenter: "),
    ],
)
def test_options_refuse_values(make: Callable[[], object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_fcn_options_train_steps() -> None:
    assert FCNOptions(train_segmenter=True, segmenter_steps=7).train_steps == 7
    assert FCNOptions().train_steps is None


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ("x --style random", r"^--style: .*--metrics"),
        ("x --seed 3", r"^--seed: .*--metrics"),
        ("images --metrics l1 --seed 3", r"^--seed: .*\bimages\b"),
        ("images --metrics fid --labels maps", r"^--labels: .*--metrics fcn"),
        ("images --metrics fid --classifier x", r"^--classifier: .*--metrics domain"),
        ("images", r"^images .*--metrics.*\bl1,psnr"),
    ],
)
def test_parse_evaluate_arguments_refuses_options_without_effect(argv: str, error: str) -> None:
    Path("images").mkdir()
    with pytest.raises(ValueError, match=error):
        parse_evaluate_arguments("", argv.split())


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("run", RunOptions(count=3), r"^--count: .*noise.*\bx\b"),
        ("run", RunOptions(seed=3), r"^--seed: .*noise.*--style.*\bx\b"),
        ("noise", RunOptions(paired=True), r"^--paired: .*translate.*\bx\b"),
    ],
)
def test_evaluate_options_refuse_options_of_other_runs(kind: Kind, options: RunOptions, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        EvaluateOptions(
            "x", kind, choose_metrics("fid"), None, options, MetricOptions(), FCNOptions(), ClassifierOptions()
        )


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ("run --shave -1", r"^--shave -1: "),
        ("run --metrics l1 --shave 2", r"^--shave 2: .*psnr_y, ssim_y"),
        ("pictures --metrics psnr_y --protocol y", r"^--protocol: .*\bpictures\b"),
    ],
)
def test_options_of_y_are_refused_where_they_mean_nothing(
    argv: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "folder" if argv.startswith("pictures") else "run"
    monkeypatch.setattr("img2img.evaluation.arguments._kind", lambda name, with_metrics: kind)
    with pytest.raises(ValueError, match=error):
        parse_evaluate_arguments("", argv.split())


def test_shave_goes_with_metrics_of_y_and_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.evaluation.arguments._kind", lambda name, with_metrics: "run")
    assert parse_evaluate_arguments("", ["run", "--shave", "4"]).shave == 4
    assert parse_evaluate_arguments("", ["run", "--metrics", "l1,ssim_y", "--shave", "0"]).shave == 0
