"""The command line of tools/evaluate.py: options of runs, of --metrics, of both. ``options`` checks them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from img2img.errors import Parser
from img2img.evaluation.metrics import choose_metrics, metrics_help
from img2img.evaluation.options import EvaluateOptions, FCNOptions, Kind, MetricOptions, RunOptions


def parse_evaluate_arguments(description: str | None, argv: Sequence[str] | None = None) -> EvaluateOptions:
    """The options of a command line.

    Raises:
        ValueError: an option that is unknown, of a wrong type, or of no use to what is measured; or no such run.
    """
    args = evaluate_parser(description).parse_args(argv)
    metrics = None if args.metrics is None else choose_metrics(args.metrics)
    return EvaluateOptions(
        name=args.run,
        kind=_kind(args.run, measured=metrics is not None),
        metrics=metrics,
        device=args.device,
        of_run=RunOptions(**_values(RunOptions, args)),
        of_metrics=MetricOptions(**_values(MetricOptions, args)),
        of_fcn=FCNOptions(**_values(FCNOptions, args)),
    )


def evaluate_parser(description: str | None) -> Parser:
    """All options; their defaults are those of the dataclasses."""
    parser = Parser(description)
    parser.add_argument("run", metavar="NAME|DIR", help="name of a run under runs/, its folder, or one of images")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument(
        "--metrics", help=f"{metrics_help()}; unset, L1, PSNR and SSIM of a run beside answers without learning"
    )
    _add_run_options(parser)
    _add_metric_options(parser)
    _add_fcn_options(parser)
    for kind in (RunOptions, MetricOptions, FCNOptions):
        parser.set_defaults(**{each.name: each.default for each in fields(kind)})
    return parser


def _add_run_options(parser: Parser) -> None:
    add = parser.add_argument_group("runs").add_argument
    add("--checkpoint", help="a step, best, or latest (default)")
    add("--norm-policy", choices=["running", "batch"], help="see tools/infer.py")
    add("--paired", action="store_true", help="unpaired validation images of one name are partners")
    add("--count", type=int, help="images to draw from noise (default: as many as real ones)")
    add("--style", help="with --metrics: in which scenes are drawn, see tools/infer.py (default: the photo's)")
    add("--seed", type=int, help="of that noise, and of --style random")


def _add_metric_options(parser: Parser) -> None:
    add = parser.add_argument_group("with --metrics").add_argument
    add("--reference", type=Path, help="folder of real images; of a run, instead of its validation set's")
    add("--features", choices=["inception", "vgg16"], help="network whose features sets have")
    add("--weights", help="its file: torch-fidelity's, pytorch-fid's or torchvision's (default: downloaded)")
    add("--lpips-weights", help="torchvision's file of alexnet (default: downloaded)")
    add("--batch-size", type=int, help="images that a network sees at once (default: %(default)s)")
    add("--output", type=Path, help="folder of the report (default: RUN/evaluation/STEP[/DIRECTION], DIR-evaluation)")


def _add_fcn_options(parser: Parser) -> None:
    add = parser.add_argument_group("with --metrics fcn").add_argument
    add("--train-segmenter", action="store_true", help="train a network on the run's real photos first, and keep it")
    add("--segmenter-steps", type=int, help="of that training, eight crops each (default: %(default)s)")
    add("--segmenter", help="a file of that kind, one of weights of a segmentation network of torchvision, or its name")
    add(
        "--classes", help="cityscapes (its 19), or ids that count: 7,8,11; of torchvision's, one of each output, - none"
    )
    add("--palette", help="cityscapes, or a file of lines R G B [name]: colours of label maps that are images")
    add("--labels", type=Path, help="folder of label maps, by the names of the images; a run has its own")


def _kind(name: str, *, measured: bool) -> Kind:
    """What a name stands for. Without metrics there is no need to know whether a run draws from noise.

    Raises:
        ValueError: metrics of a run that is not there.
    """
    from img2img.inference.loading import draws_from_noise  # and with it torch, which --help need not wait for
    from img2img.runs import is_image_folder

    if is_image_folder(name):
        return "folder"
    return "noise" if measured and draws_from_noise(name) else "run"


def _values(kind: Any, args: argparse.Namespace) -> dict[str, Any]:
    return {each.name: getattr(args, each.name) for each in fields(kind)}
