"""The wording of messages: typical mistakes of users and the full line that they get.

Other tests look for the option, the file or the exit code, so that only this table changes with the wording.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2img.command_line import parse_train_arguments
from img2img.evaluation.arguments import parse_evaluate_arguments
from img2img.inference.arguments import parse_infer_arguments
from img2img.models import model_names

PRESETS = Path(__file__).parents[1] / "configs"
TRAIN = {
    "--data.root x": f"--model is missing; choose one of {', '.join(model_names())}",
    "--model pix2pics": "--model pix2pics: no such model; did you mean pix2pix?",
    "--model": "--model: its value is missing",
    "--config nowhere.yaml": "--config nowhere.yaml: no such file: CWD/nowhere.yaml",
    "--resume": "--resume: add --name NAME, the run to resume; runs/ has none yet",
    "PIX2PIX --resume": "--resume: there is no run in runs/x; leave --resume out to start it",
    "PIX2PIX --resume --overwrite": "--resume and --overwrite: leave one of them out",
    "PIX2PIX --lr 3": "unknown option --lr; did you mean --optim.lr?",
    "PIX2PIX --train.lr 3": "unknown option --train.lr; did you mean --optim.lr?",
    "--train.lr 3": "unknown option --train.lr; did you mean --optim.lr?",
    "PIX2PIX --train.lr-d 3": "unknown option --train.lr_d; did you mean --optim.lr_d?",
    "PIX2PIX --batch-size 3": "unknown option --batch_size; did you mean --data.batch_size?",
    "PIX2PIX --data.batchsize 3": "unknown option --data.batchsize; did you mean --data.batch_size?",
    "PIX2PIX --data.rot x": "unknown option --data.rot; did you mean --data.root?",
    "PIX2PIX --learning_rat 3": "unknown option --learning_rat; --help all lists the options",
    "PIX2PIX --niter 3": "unknown option --niter; here: --train.epochs",
    "PIX2PIX --dataroot x": "unknown option --dataroot; here: --data.root",
    "PIX2PIX --netG resnet_9blocks": (
        "unknown option --netG; here: --model.generator unet or resnet, with --model.num_downs or --model.n_blocks"
    ),
    "PIX2PIX --lambda_cycle 3": "unknown option --lambda_cycle; --model.lambda_cycle is an option of cyclegan, stargan",
    "PIX2PIX --resum": "unknown option --resum; did you mean --resume?",
    "—model pix2pix": "—model: begins with a dash of a web page (—); type --model",
    "\u2013model pix2pix": "\u2013model: begins with a dash of a web page (\u2013); type --model",
    "-model pix2pix": "-model: begins with one dash; type --model",
    "--config facade": "--config facade: no preset, and no file CWD/facade; did you mean pix2pix/facades?",
    "--config maps": "--config maps: several presets have this name; choose one of cyclegan/maps, pix2pix/maps",
    "PIX2PIX foo": "foo: not an option; write options as --key value (--help lists them)",
    "PIX2PIX --mixed_precision bf16": (
        "--mixed_precision is an option of accelerate launch: put it before -m img2img train"
    ),
    "PIX2PIX --data.val_paired true": "--data.val_paired: an option of cyclegan only; leave it out",
    "PIX2PIX --data.root_a a": (
        "--data.root_a: an option of cyclegan only; make a data.root of the two folders by img2img pair"
    ),
    "PIX2PIX --data.load_size big": "data.load_size big: expected int",
    "PIX2PIX --optim.lr_d slow": "optim.lr_d slow: expected float or null",
    "PIX2PIX --optim.optimizer sgd": "optim.optimizer sgd: expected one of adam, rmsprop",
    "PIX2PIX --data.crop_size 300": (
        "data.crop_size 300 is larger than data.load_size 286: lower data.crop_size or raise data.load_size"
    ),
    "PIX2PIX --data.batch_size 0": "data.batch_size 0: must be at least 1",
    "PIX2PIX --data.channels_a 2": "data.channels_a 2: must be 1 (gray), 3 (RGB) or 4 (RGBA)",
    "PIX2PIX --data.direction AtoC": "data.direction AtoC: must be one of AtoB, BtoA",
    "PIX2PIX --data.toy true": "data.root x and data.toy true: set only one of them",
    "PIX2PIX --train.epochs 0 --train.decay_epochs 0": (
        "train.epochs and train.decay_epochs are both 0: set one of them to 1 or more"
    ),
    "--model cyclegan --data.root_a a": "data.root_a a: set data.root_b, too, the folder of the other domain",
}
OTHERS: dict[str, tuple[Callable[..., Any], str]] = {
    "infer.py run --inptu x.png": (
        parse_infer_arguments,
        "unrecognized arguments: --inptu x.png; did you mean --input?",
    ),
    "evaluate.py run --metrcs fid": (
        parse_evaluate_arguments,
        "unrecognized arguments: --metrcs fid; did you mean --metrics?",
    ),
    "infer.py run photos": (
        parse_infer_arguments,
        "photos: not an option; write options as --key value (--help lists them)",
    ),
    "infer.py run --results_dir x": (
        parse_infer_arguments,
        "unrecognized arguments: --results_dir x; here: --output",
    ),
    "infer.py run —input x": (
        parse_infer_arguments,
        "—input: begins with a dash of a web page (—); type --input",
    ),
}


@pytest.mark.parametrize("command", TRAIN)
def test_train_message(command: str) -> None:
    argv = command.replace("PIX2PIX", "--model pix2pix --data.root x").split()
    with pytest.raises(ValueError, match=r".") as raised:
        parse_train_arguments(argv, PRESETS)
    assert str(raised.value) == TRAIN[command].replace("CWD", str(Path.cwd()))


@pytest.mark.parametrize("command", OTHERS)
def test_tool_message(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, message = OTHERS[command]
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(ValueError, match=r".") as raised:
        parse(None)
    assert str(raised.value) == message
