"""The command line of tools/infer.py: options of runs that translate images, of those that draw some, of both."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from img2img.errors import Parser

STYLES = "random, cluster:CLASS=N,..., instance:ID=N,... or encode:PHOTO; several with ';' between"


def infer_parser(description: str | None) -> Parser:
    """All options; each belongs to a group, which ``parse_infer_arguments`` checks against the run."""
    parser = Parser(description)
    parser.add_argument("run", help="name of a run under runs/, or its folder")
    parser.add_argument(
        "--output", type=Path, help="folder to write to (default: RUN/results/STEP[/DIRECTION|/STYLE|/SEED])"
    )
    parser.add_argument("--checkpoint", default="latest", help="a step, best, or latest (default)")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise; of --samples, that of the first answer")

    translate = parser.add_argument_group("runs that translate images")
    add = translate.add_argument
    add("--input", type=Path, help="image or folder of images; without it the run's validation set")
    add("--direction", help="of a run that learnt several, such as BtoA (default: its own)")
    add("--cycle", action="store_true", help="grids show the translation back to the input, too")
    add(
        "--training-size",
        action="store_true",
        help="resize each image to the size of the run's training, and the answer back to the image's own",
    )
    add(
        "--with",
        dest="others",
        metavar="KEY=FILE|DIR",
        action="append",
        type=_other,
        default=[],
        help="a further file that belongs to --input, or the folder of such, by its key: mask=masks/",
    )
    add("--instances", type=Path, help="the same as --with instance=FILE|DIR: the instance map of a label map")
    add("--style", help=f"of label maps: {STYLES}")
    add("--relabel", help="of label maps: FROM:TO,... makes regions of one class those of another")
    add("--samples", type=int, default=0, help="write N answers, by dropout or --style random")
    add(
        "--norm-policy",
        choices=["running", "batch"],
        default="running",
        help="batch norm by the statistics of training (default), or by the image's own as in the pix2pix paper",
    )

    draw = parser.add_argument_group("runs that draw images from noise")
    add = draw.add_argument
    add("--count", type=int, help="images to draw (default: 64); rows of --interpolate and --traverse (default: 8)")
    add("--class", dest="label", type=int, help="of a conditional run: draw this class only")
    add("--interpolate", action="store_true", help="a sheet instead: each row goes from one noise to another")
    add(
        "--traverse",
        metavar="CODE",
        help="a sheet instead: each row shows all values of a code of infogan: c1, d1, ...",
    )
    return parser


def _other(text: str) -> tuple[str, Path]:
    """ "mask=m.png" -> ("mask", Path("m.png"))."""
    key, equals, path = text.partition("=")
    if not (key and equals and path):
        raise argparse.ArgumentTypeError(f"{text}: is written KEY=FILE or KEY=DIR, as mask=m.png")
    return key, Path(path)


def parse_infer_arguments(description: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, with ``draws``: whether the run draws from noise.

    Raises:
        ValueError: an option that is unknown, of a wrong type, or of no use to the run; or no such run.
    """
    parser = infer_parser(description)
    args = parser.parse_args(argv)
    from img2img.inference.loading import draws_from_noise  # and with it torch, which --help need not wait for

    args.draws = draws_from_noise(args.run)
    useless = "runs that translate images" if args.draws else "runs that draw images from noise"
    (group,) = (group for group in parser._action_groups if group.title == useless)
    for action in group._group_actions:
        if getattr(args, action.dest) != action.default:
            kind = "draws images from noise" if args.draws else "translates images"
            raise ValueError(f"{action.option_strings[0]}: is for {useless}, and {args.run} {kind}")
    args.others = dict(args.others) | ({} if args.instances is None else {"instance": args.instances})
    return args
