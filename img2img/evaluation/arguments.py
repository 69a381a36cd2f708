"""The command line of tools/evaluate.py: options of runs, of --metrics, of both."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from img2img.errors import Parser

METRICS_HELP = (
    "of l1,psnr,ssim,lpips (pairs), fid,kid,is,pr (sets; pr is improved precision and recall), fcn (of label maps)"
)
STEPS = 1000  # of a segmenter


def parse_evaluate_arguments(description: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, and what follows from them.

    ``folder``: whether pictures of a folder are judged; ``draws``: a run that draws from noise; ``fcn``: whether it is
    among the metrics; ``recogniser``: the segmenter's file or name, or the steps to train one in.

    Raises:
        ValueError: an option that is unknown, of a wrong type, or of no use to what is judged; or no such run.
    """
    parser = Parser(description)
    parser.add_argument("run", metavar="NAME|DIR", help="name of a run under runs/, its folder, or one of pictures")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument(
        "--metrics", help=f"{METRICS_HELP}; unset, L1, PSNR and SSIM of a run beside answers without learning"
    )
    of_runs = parser.add_argument_group("runs")
    of_runs.add_argument("--checkpoint", default="latest", help="a step, best, or latest (default)")
    of_runs.add_argument("--norm-policy", choices=["running", "batch"], default="running", help="see tools/infer.py")
    of_runs.add_argument("--paired", action="store_true", help="unpaired validation pictures of one name are partners")
    of_runs.add_argument("--count", type=int, help="pictures to draw from noise (default: as many as real ones)")
    of_runs.add_argument(
        "--style", help="with --metrics: in which scenes are drawn, see tools/infer.py (default: the photo's)"
    )
    of_runs.add_argument("--seed", type=int, default=0, help="of that noise, and of --style random")
    of_metrics = parser.add_argument_group("with --metrics")
    add = of_metrics.add_argument
    add("--reference", type=Path, help="folder of real pictures; of a run, instead of its validation set's")
    add("--features", choices=["inception", "vgg16"], default="inception", help="network that tells sets apart")
    add("--weights", help="its file: torch-fidelity's, pytorch-fid's or torchvision's (default: downloaded)")
    add("--lpips-weights", help="torchvision's file of alexnet (default: downloaded)")
    add("--batch-size", type=int, default=16, help="pictures that are judged at once (default: 16)")
    add("--output", type=Path, help="folder of the report (default: RUN/evaluation/STEP[/DIRECTION], DIR-evaluation)")
    of_fcn = parser.add_argument_group("with --metrics fcn")
    add = of_fcn.add_argument
    add("--train-segmenter", action="store_true", help="train a network on the run's real photos first, and keep it")
    add("--segmenter-steps", type=int, default=STEPS, help=f"of that training, eight crops each (default: {STEPS})")
    add("--segmenter", help="a file of that kind, one of weights of a segmentation network of torchvision, or its name")
    add(
        "--classes", help="cityscapes (its 19), or ids that count: 7,8,11; of torchvision's, one of each output, - none"
    )
    add("--palette", help="cityscapes, or a file of lines R G B [name]: colours of label maps that are pictures")
    add("--labels", type=Path, help="folder of label maps, by the names of the pictures; a run has its own")
    args = parser.parse_args(argv)
    from img2img.evaluation.image_sets import is_folder  # and with it torch, which --help need not wait for

    args.folder = is_folder(args.run)
    if args.folder:
        for option in _given(of_runs, args):
            raise ValueError(f"{option}: is for runs, and {args.run} is a folder of pictures")
        if args.metrics is None:
            raise ValueError(f"{args.run} is a folder of pictures: --metrics says what to measure: {METRICS_HELP}")
    if args.metrics is None:
        for option in [*_given(of_metrics, args), *(["--style"] if args.style else [])]:
            raise ValueError(f"{option}: goes with --metrics")
    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size}: must be at least 1")
    args.fcn = args.metrics is not None and "fcn" in args.metrics.lower().replace(" ", "").split(",")
    for option in [] if args.fcn else _given(of_fcn, args):
        raise ValueError(f"{option}: goes with --metrics fcn")
    if args.train_segmenter and args.segmenter:
        raise ValueError("--train-segmenter and --segmenter: choose one of them")
    if args.segmenter_steps < 1:
        raise ValueError(f"--segmenter-steps {args.segmenter_steps}: must be at least 1")
    args.recogniser = args.segmenter_steps if args.train_segmenter else args.segmenter
    if args.segmenter_steps != STEPS and not args.train_segmenter:
        raise ValueError("--segmenter-steps: goes with --train-segmenter")
    from img2img.inference.loading import draws_from_noise

    args.draws = not args.folder and args.metrics is not None and draws_from_noise(args.run)
    useless = {"--norm-policy", "--paired", "--style"} if args.draws else {"--count", "--seed"}
    useless -= {"--seed"} if args.style else set()
    for option in sorted({*_given(of_runs, args)} & useless):
        kind = "draws pictures from noise" if args.draws else "draws none from noise for --metrics"
        raise ValueError(f"{option}: is of no use here, {args.run} {kind}")
    if args.count is not None and args.count < 1:
        raise ValueError(f"--count {args.count}: must be at least 1")
    return args


def _given(group: argparse._ArgumentGroup, args: argparse.Namespace) -> Iterator[str]:
    for action in group._group_actions:
        if getattr(args, action.dest) != action.default:
            yield action.option_strings[0]
