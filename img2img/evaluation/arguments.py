"""The command line of tools/evaluate.py: options of runs, of --metrics, of both."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from img2img.errors import Parser
from img2img.evaluation.metrics import choose_metrics, metrics_help

STEPS = 1000  # of a segmenter
Group = argparse._ArgumentGroup


def parse_evaluate_arguments(description: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, and what follows from them.

    ``metrics``: the objects, or None; ``folder``: whether images of a folder are measured; ``fcn``: whether a metric
    needs class maps; ``train_steps``: steps in which a segmenter is trained first, or None.

    Raises:
        ValueError: an option that is unknown, of a wrong type, or of no use to what is measured; or no such run.
    """
    parser = Parser(description)
    parser.add_argument("run", metavar="NAME|DIR", help="name of a run under runs/, its folder, or one of images")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument(
        "--metrics", help=f"{metrics_help()}; unset, L1, PSNR and SSIM of a run beside answers without learning"
    )
    of_runs, of_metrics, of_fcn = _run_options(parser), _metric_options(parser), _fcn_options(parser)
    args = parser.parse_args(argv)
    from img2img.runs import is_image_folder  # and with it torch, which --help need not wait for

    args.folder = is_image_folder(args.run)
    if args.folder:
        for option in _given(of_runs, args):
            raise ValueError(f"{option}: is for runs, and {args.run} is a folder of images")
        if args.metrics is None:
            raise ValueError(f"{args.run} is a folder of images: --metrics says what to measure: {metrics_help()}")
    if args.metrics is None:
        for option in [*_given(of_metrics, args), *(["--style"] if args.style else [])]:
            raise ValueError(f"{option}: goes with --metrics")
    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size}: must be at least 1")
    args.metrics = None if args.metrics is None else choose_metrics(args.metrics)
    _check_fcn(args, of_fcn)
    _check_run(args, of_runs)
    return args


def _run_options(parser: Parser) -> Group:
    group = parser.add_argument_group("runs")
    add = group.add_argument
    add("--checkpoint", default="latest", help="a step, best, or latest (default)")
    add("--norm-policy", choices=["running", "batch"], default="running", help="see tools/infer.py")
    add("--paired", action="store_true", help="unpaired validation images of one name are partners")
    add("--count", type=int, help="images to draw from noise (default: as many as real ones)")
    add("--style", help="with --metrics: in which scenes are drawn, see tools/infer.py (default: the photo's)")
    add("--seed", type=int, default=0, help="of that noise, and of --style random")
    return group


def _metric_options(parser: Parser) -> Group:
    group = parser.add_argument_group("with --metrics")
    add = group.add_argument
    add("--reference", type=Path, help="folder of real images; of a run, instead of its validation set's")
    add("--features", choices=["inception", "vgg16"], default="inception", help="network whose features sets have")
    add("--weights", help="its file: torch-fidelity's, pytorch-fid's or torchvision's (default: downloaded)")
    add("--lpips-weights", help="torchvision's file of alexnet (default: downloaded)")
    add("--batch-size", type=int, default=16, help="images that a network sees at once (default: 16)")
    add("--output", type=Path, help="folder of the report (default: RUN/evaluation/STEP[/DIRECTION], DIR-evaluation)")
    return group


def _fcn_options(parser: Parser) -> Group:
    group = parser.add_argument_group("with --metrics fcn")
    add = group.add_argument
    add("--train-segmenter", action="store_true", help="train a network on the run's real photos first, and keep it")
    add("--segmenter-steps", type=int, default=STEPS, help=f"of that training, eight crops each (default: {STEPS})")
    add("--segmenter", help="a file of that kind, one of weights of a segmentation network of torchvision, or its name")
    add(
        "--classes", help="cityscapes (its 19), or ids that count: 7,8,11; of torchvision's, one of each output, - none"
    )
    add("--palette", help="cityscapes, or a file of lines R G B [name]: colours of label maps that are images")
    add("--labels", type=Path, help="folder of label maps, by the names of the images; a run has its own")
    return group


def _check_fcn(args: argparse.Namespace, of_fcn: Group) -> None:
    args.fcn = any(metric.needs_class_maps for metric in args.metrics or ())
    for option in [] if args.fcn else _given(of_fcn, args):
        raise ValueError(f"{option}: goes with --metrics fcn")
    if args.train_segmenter and args.segmenter:
        raise ValueError("--train-segmenter and --segmenter: choose one of them")
    if args.segmenter_steps < 1:
        raise ValueError(f"--segmenter-steps {args.segmenter_steps}: must be at least 1")
    if args.segmenter_steps != STEPS and not args.train_segmenter:
        raise ValueError("--segmenter-steps: goes with --train-segmenter")
    args.train_steps = args.segmenter_steps if args.train_segmenter else None


def _check_run(args: argparse.Namespace, of_runs: Group) -> None:
    """Refuses options that a run of this kind has no use for."""
    from img2img.inference.loading import draws_from_noise

    draws = not args.folder and args.metrics is not None and draws_from_noise(args.run)
    useless = {"--norm-policy", "--paired", "--style"} if draws else {"--count", "--seed"}
    useless -= {"--seed"} if args.style else set()
    for option in sorted({*_given(of_runs, args)} & useless):
        kind = "draws images from noise" if draws else "draws none from noise for --metrics"
        raise ValueError(f"{option}: is of no use here, {args.run} {kind}")
    if args.count is not None and args.count < 1:
        raise ValueError(f"--count {args.count}: must be at least 1")


def _given(group: Group, args: argparse.Namespace) -> Iterator[str]:
    for action in group._group_actions:
        if getattr(args, action.dest) != action.default:
            yield action.option_strings[0]
