"""One style of options in all commands."""

from pathlib import Path

import pytest

from img2img.arguments import nearest, with_underscores
from img2img.command_line import parse_train_arguments
from img2img.evaluation.arguments import evaluate_parser
from img2img.inference.arguments import infer_parser
from tests.helpers import ROOT


def test_train_takes_both_styles() -> None:
    argv = "--model pix2pix --data.root some_dir --data.batch-size=3 --train.max-steps 5 --print-config".split()
    arguments = parse_train_arguments(argv)
    assert arguments.print_config
    assert arguments.config.data.batch_size == 3
    assert arguments.config.train.max_steps == 5
    assert arguments.config.data.root == "some_dir"


def test_other_commands_take_both_styles() -> None:
    args = infer_parser(None).parse_args("run --training_size --norm_policy=batch --input my_dir/a-b.png".split())
    assert args.training_size
    assert args.norm_policy == "batch"
    assert args.input == Path("my_dir/a-b.png")
    assert evaluate_parser(None).parse_args("run --batch_size 3".split()).batch_size == 3


def test_import_takes_the_name_of_train() -> None:
    from img2img.cli.import_weights import parser

    assert parser().parse_args("x.pth --data.root DIR --overwrite".split()).root == Path("DIR")


def test_values_keep_their_dashes() -> None:
    words = ["--name", "a-b", "--data.root=my-dir/x-y", "-h", "a-b"]
    assert with_underscores(words) == words


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("train.lr", "optim.lr"),
        ("lr", "optim.lr"),
        ("optim.lr_e", "optim.lr_d"),
        ("modle", "model"),
        ("epoch", "train.epochs"),
        ("xyzxyz", None),
    ],
)
def test_nearest(key: str, first: str | None) -> None:
    known = ["model", "optim.lr", "optim.lr_d", "train.epochs", "train.decay_epochs", "data.root"]
    assert next(iter(nearest(key, known)), None) == first


def test_readme_has_the_names_of_other_toolkits() -> None:
    from img2img.other_toolkits import table

    assert table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_names_of_other_toolkits_lead_to_options() -> None:
    """Every option that the answers name exists, in one of the models."""
    import re

    from img2img.config import option_keys
    from img2img.models import model_names
    from img2img.other_toolkits import BY_COMMAND

    every = set().union(*(option_keys(name) for name in model_names())) | {"resume", "model"}
    infer = {option[2:] for option in infer_parser(None)._option_string_actions}
    evaluate = {option[2:] for option in evaluate_parser(None)._option_string_actions}
    for command, known in {"train": every, "infer": infer, "evaluate": evaluate}.items():
        for _, here in BY_COMMAND[command]:
            assert set(re.findall(r"--([\w.-]+)", here)) <= known, here


def test_former_names_of_options_work_and_tell_the_present_one_once(capsys: pytest.CaptureFixture[str]) -> None:
    from img2img.cli.pair import parser

    words = ["--a", "x", "--b", "y"]
    former = parser().parse_args([*words, "--to", "set"])
    error = capsys.readouterr().err
    assert error.count("--output") == error.count("\n") == 1
    assert former == parser().parse_args([*words, "--output=set"]) == parser().parse_args([*words, "--to=set"])
    parser().parse_args([*words, "--output", "set"])
    assert capsys.readouterr().err.count("\n") == 1  # of --to=set
