"""What tools/evaluate.py is asked for: the defaults of its command line, and options that exclude each other."""

from pathlib import Path

import pytest

from img2img.evaluation.arguments import parse_evaluate_arguments
from img2img.evaluation.options import FCNOptions, MetricOptions, RunOptions, given


def test_the_command_line_has_the_defaults_of_the_options() -> None:
    options = parse_evaluate_arguments("", ["nothing"])
    assert (options.of_run, options.of_metrics, options.of_fcn) == (RunOptions(), MetricOptions(), FCNOptions())
    assert (options.name, options.kind, options.metrics, options.device) == ("nothing", "run", None, None)


def test_given_options_have_the_names_of_the_command_line() -> None:
    assert given(MetricOptions(lpips_weights="x", batch_size=3)) == ["--lpips-weights", "--batch-size"]
    assert given(RunOptions()) == []


def test_numbers_out_of_range_are_refused() -> None:
    for make, message in {
        lambda: RunOptions(count=0): "--count 0: must be at least 1",
        lambda: MetricOptions(batch_size=0): "--batch-size 0: must be at least 1",
        lambda: FCNOptions(segmenter_steps=0): "--segmenter-steps 0: must be at least 1",
        lambda: FCNOptions(segmenter_steps=7): "--segmenter-steps: goes with --train-segmenter",
        lambda: FCNOptions(train_segmenter=True, segmenter="x"): "--train-segmenter and --segmenter: choose one",
    }.items():
        with pytest.raises(ValueError, match=message):
            make()
    assert FCNOptions(train_segmenter=True, segmenter_steps=7).train_steps == 7
    assert FCNOptions().train_steps is None


def test_options_without_effect_are_refused() -> None:
    Path("images").mkdir()
    for argv, message in {
        "x --style random": "--style: goes with --metrics",
        "x --seed 3": "--seed: is of no use here, x draws none from noise",
        "images --metrics l1 --seed 3": "--seed: is for runs, and images is a folder of images",
        "images --metrics fid --labels maps": "--labels: goes with --metrics fcn",
    }.items():
        with pytest.raises(ValueError, match=message):
            parse_evaluate_arguments("", argv.split())
