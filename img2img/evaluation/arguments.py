"""The command line of ``img2img evaluate``; ``options`` checks which options go together."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from img2img.arguments import Parser, RunParser
from img2img.evaluation.metrics import choose_metrics, metrics_help
from img2img.evaluation.options import ClassifierOptions, EvaluateOptions, FCNOptions, Kind, MetricOptions, RunOptions
from img2img.inference.arguments import places_of


def parse_evaluate_arguments(description: str | None, argv: Sequence[str] | None = None) -> EvaluateOptions:
    """Reads and checks a command line.

    Args:
        description: first lines of --help.
        argv: the arguments; None reads ``sys.argv``.

    Raises:
        ValueError: an option is unknown, has a wrong type or does not apply here; or there is no such run.
    """
    args = evaluate_parser(description).parse_args(argv)
    # Before the metrics' names are read: this imports the run's model, whose file may add metrics.
    kind = _kind(args.run, with_metrics=args.metrics is not None)
    args.data = _places(args.run, kind, args.options)
    return EvaluateOptions(
        name=args.run,
        kind=kind,
        metrics=None if args.metrics is None else choose_metrics(args.metrics),
        device=args.device,
        of_run=RunOptions(**_values(RunOptions, args)),
        of_metrics=MetricOptions(**_values(MetricOptions, args)),
        of_fcn=FCNOptions(**_values(FCNOptions, args)),
        of_classifier=ClassifierOptions(**_values(ClassifierOptions, args)),
        shave=args.shave,
    )


def evaluate_parser(description: str | None) -> RunParser:
    """The parser. Defaults are those of the dataclasses in ``options``."""
    parser = RunParser("evaluate", description)
    parser.add_argument("run", metavar="NAME|DIR", help="name or folder of a run, or a folder of images")
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda (default: cuda if available)")
    parser.add_argument(
        "--metrics",
        metavar="LIST",
        help=f"metrics, separated by commas: {metrics_help()}. Without it: L1, PSNR and SSIM of a run's output and "
        "of baselines: the unchanged input and the mean training image, or the trivial answers of a restoration",
    )
    parser.add_argument(
        "--shave",
        metavar="N",
        type=int,
        help="border in pixels that psnr_y and ssim_y leave out (default: the scale of a run that enlarges, else 0)",
    )
    _add_run_options(parser)
    _add_metric_options(parser)
    _add_fcn_options(parser)
    _add_classifier_options(parser)
    parser.add_places()
    for kind in (RunOptions, MetricOptions, FCNOptions, ClassifierOptions):
        parser.set_defaults(**{each.name: each.default for each in fields(kind)})
    return parser


def _add_run_options(parser: Parser) -> None:
    add = parser.add_argument_group("options of runs").add_argument
    add("--checkpoint", metavar="STEP", help="step number, best or latest (default: %(default)s)")
    add(
        "--norm-policy",
        choices=["running", "batch"],
        help="batch norm statistics: running, those of training; batch, those of the image itself, as in the paper "
        "(pix2pix, Sec. 3.3; default: %(default)s)",
    )
    add("--paired", action="store_true", help="treat unpaired validation images of the same name as pairs")
    add(
        "--count",
        metavar="N",
        type=int,
        help="number of images that a run draws from noise (default: as many as there are real images)",
    )
    add(
        "--protocol",
        choices=["colour", "y"],
        help="what is degraded and compared: colour, the validation images; y, their Y planes, as in tables of "
        "super-resolution (default: %(default)s)",
    )
    add(
        "--style",
        metavar="STYLE",
        help="style of images made from label maps, as in infer: random, encode:PHOTO, ...; needs --metrics "
        "(default: each photo's own)",
    )
    add("--seed", metavar="N", type=int, help="seed of the noise and of --style random (default: %(default)s)")


def _add_metric_options(parser: Parser) -> None:
    add = parser.add_argument_group("options of --metrics").add_argument
    add(
        "--reference",
        metavar="DIR",
        type=Path,
        help="folder of real images to compare with (default for a run: its validation set)",
    )
    add(
        "--features",
        choices=["inception", "vgg16"],
        help="feature network of fid, kid, is and pr (default: %(default)s)",
    )
    add(
        "--weights",
        metavar="FILE",
        help="weights of that network: inception's from torch-fidelity or pytorch-fid, vgg16's from torchvision "
        "(default: downloaded)",
    )
    add("--lpips-weights", metavar="FILE", help="AlexNet weights for lpips, from torchvision (default: downloaded)")
    add("--batch-size", metavar="N", type=int, help="images per batch (default: %(default)s)")
    add(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder of the report (default: RUN/evaluation/STEP[/DIRECTION] for a run, DIR-evaluation for a folder)",
    )


def _add_fcn_options(parser: Parser) -> None:
    add = parser.add_argument_group("options of --metrics fcn").add_argument
    add(
        "--train-segmenter",
        action="store_true",
        help="first train a segmentation network on the run's real photos and save it as segmenter.safetensors in the "
        "run's folder, where later calls find it",
    )
    add(
        "--segmenter-steps",
        metavar="N",
        type=int,
        help="steps of --train-segmenter, with 8 crops each (default: %(default)s)",
    )
    add(
        "--segmenter",
        metavar="FILE|MODEL",
        help="segmentation network: file of --train-segmenter, weights of a torchvision model, or name of a "
        "torchvision model such as deeplabv3_resnet50 (default: the run's, from --train-segmenter)",
    )
    add(
        "--classes",
        metavar="IDS",
        help="class ids to evaluate, such as 7,8,11, or cityscapes for its 19; with a torchvision model, the class id "
        "of each output, - to ignore it (default: 19 of Cityscapes, all of other sets)",
    )
    add(
        "--palette",
        metavar="FILE",
        help="colours of the classes, if label maps are colour images: cityscapes, or a file of lines R G B [name], "
        "the first for class 0",
    )
    add(
        "--labels",
        metavar="DIR",
        type=Path,
        help="folder of ground-truth label maps named like the images (default for a run: those of its data set)",
    )


def _add_classifier_options(parser: Parser) -> None:
    add = parser.add_argument_group("options of --metrics domain").add_argument
    add(
        "--train-classifier",
        action="store_true",
        help="first train a ResNet-18 on the run's real images and save it as classifier.safetensors in the run's "
        "folder, where later calls find it",
    )
    add(
        "--classifier-steps",
        metavar="N",
        type=int,
        help="steps of --train-classifier, with 32 images each (default: the run's train.classifier_steps)",
    )
    add(
        "--classifier",
        metavar="FILE",
        help="classifier of the domains: file of --train-classifier (default: the run's)",
    )


def _kind(name: str, *, with_metrics: bool) -> Kind:
    """What a name stands for. Without metrics the run is not opened, so "run" may be one that draws from noise.

    Raises:
        ValueError: metrics are given and there is no such run.
    """
    from img2img.inference.loading import draws_from_noise  # imports torch, which --help need not wait for
    from img2img.runs import is_image_folder

    if is_image_folder(name):
        return "folder"
    return "noise" if with_metrics and draws_from_noise(name) else "run"


def _places(name: str, kind: Kind, options: Mapping[str, str]) -> dict[str, str] | None:
    """Where the run's data are now. Raises ValueError for options of a folder, or ones that are not of the data."""
    if kind == "folder" and options:
        raise ValueError(f"--{next(iter(options))}: is for runs, and {name} is a folder of images")
    return places_of(name, options)


def _values(kind: Any, args: argparse.Namespace) -> dict[str, Any]:
    return {each.name: getattr(args, each.name) for each in fields(kind)}
