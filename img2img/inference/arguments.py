"""The command line of ``img2img infer``: common options, options of translating runs, options of runs that draw."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from img2img.arguments import RunParser
from img2img.errors import MissingPlace
from img2img.run_files import config_file

STYLES = "random, cluster:CLASS=N,..., instance:ID=N,..., encode:PHOTO; join several with ';'"
TARGET = ("to", "flip", "own", "strength")  # options of runs with several domains
TRANSLATE, DRAW = "runs that translate images", "runs that draw images from noise (dcgan, infogan)"


def infer_parser(description: str | None) -> RunParser:
    """The parser of all options; ``parse_infer_arguments`` checks which group the run takes."""
    parser = RunParser("infer", description)
    parser.add_argument("run", help="name of a run under runs/, or path of its folder")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder to write to (default: RUN/results/STEP, with a subfolder per direction, style or seed)",
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", default="latest", help="a step, best or latest (default: latest)"
    )
    parser.add_argument(
        "--blend",
        metavar=("OTHER", "SHARE"),
        nargs=2,
        help="mix the weights with those of another run of the same architecture: 0.8 takes 0.2 of this run's and 0.8 "
        "of OTHER's",
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda if available)")
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="seed of noise, dropout and random styles; with --samples the seed of the first output, each further "
        "output has the next (default: 0)",
    )

    add = parser.add_argument_group(TRANSLATE).add_argument
    add("--input", metavar="FILE|DIR", type=Path, help="image, or folder of images (default: the run's validation set)")
    add(
        "--direction",
        help="one that the run learned, such as BtoA or the name of a domain (default: the run's own)",
    )
    add(
        "--to",
        metavar="DOMAIN,...|all",
        help="target domain; of attributes, those that are on (all others are off); or the label vector itself "
        "(default: all, each in a folder of its own; stargan)",
    )
    add("--flip", metavar="ATTRIBUTE,...", help="turn attributes on or off, whichever the image is not; others stay")
    add(
        "--is",
        dest="own",
        metavar="DOMAIN,...",
        help="what the input is now (default: as its data set says, else as the discriminator takes it)",
    )
    add(
        "--strength",
        metavar="S",
        type=float,
        help="in [0, 1]: how far to go from the input's own label vector to the target's (stargan), or from the input "
        "to the output (restoration) (default: 1)",
    )
    add("--cycle", action="store_true", help="show in the grids the output translated back, too (cyclegan)")
    add(
        "--training-size",
        action="store_true",
        help="resize inputs to the size of training and outputs back; for images much larger or smaller than those "
        "of training",
    )
    add(
        "--outscale",
        metavar="S",
        type=float,
        help="side of the output divided by the side of the input, for runs that enlarge: the output is resized "
        "(Lanczos) (default: the run's own scale)",
    )
    add(
        "--samples",
        metavar="N",
        type=int,
        default=0,
        help="write N different outputs per input, NAME_1.png to NAME_N.png: by dropout, or by --style random "
        "(default: one output, without dropout)",
    )
    add(
        "--norm-policy",
        choices=["running", "batch"],
        default="running",
        help="batch norm statistics: running, those of training; batch, those of the image itself, as in the paper "
        "(pix2pix, Sec. 3.3) (default: running)",
    )
    add(
        "--with",
        dest="others",
        metavar="KEY=FILE|DIR",
        action="append",
        type=_other,
        default=[],
        help="further input of the model, by its key: a file, or a folder with a file per input, e.g. mask=masks/; "
        "may be repeated",
    )
    add(
        "--mask",
        metavar="FILE|DIR|alpha|#RRGGBB",
        type=Path,
        help="holes to fill: --with mask=FILE|DIR; or alpha, transparent pixels; or pixels of exactly a colour",
    )
    add("--instances", metavar="FILE|DIR", type=Path, help="instance maps of the label maps: --with instance=FILE|DIR")
    add("--style", help=f"with label maps: {STYLES} (default: the style of the validation photo; pix2pixHD)")
    add(
        "--relabel",
        metavar="FROM:TO,...",
        help="with label maps: replace classes, by id or name, e.g. car:tree,24:26",
    )

    add = parser.add_argument_group(DRAW).add_argument
    add(
        "--count",
        metavar="N",
        type=int,
        help="number of images (default: 64), or of rows with --interpolate and --traverse (default: 8)",
    )
    add(
        "--class",
        dest="label",
        metavar="N",
        type=int,
        help="class of all images, for class-conditional runs (default: all classes in turn)",
    )
    add(
        "--interpolate",
        action="store_true",
        help="write one grid instead; each row interpolates between two noise vectors",
    )
    add(
        "--traverse",
        metavar="CODE",
        help="write one grid instead; each row shows all values of a code of infogan: c1, d1, ...",
    )
    parser.add_places()
    return parser


def _other(text: str) -> tuple[str, Path]:
    """ "mask=m.png" -> ("mask", Path("m.png"))."""
    key, equals, path = text.partition("=")
    if not (key and equals and path):
        raise argparse.ArgumentTypeError(f"{text}: give KEY=FILE or KEY=DIR, e.g. mask=m.png")
    return key, Path(path)


def _blend(other: str, share: str) -> tuple[str, float]:
    """The other run of --blend and its share. Raises ValueError if that is no number."""
    try:
        return other, float(share)
    except ValueError as error:
        raise ValueError(
            f"--blend {other} {share}: give a run and its share in [0, 1], e.g. --blend {other} 0.8"
        ) from error


def parse_infer_arguments(description: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line. ``draws`` of the result is whether the run draws from noise, ``data`` where its data set
    is now.

    Raises:
        ValueError: an unknown option, a value of a wrong type, an option that the run has no use for, or no such run.
    """
    parser = infer_parser(description)
    args = parser.parse_args(argv)
    from img2img.inference.loading import draws_from_noise  # imports torch, which --help need not wait for

    args.blend = args.blend and _blend(*args.blend)
    args.draws = draws_from_noise(args.run)
    other_group = TRANSLATE if args.draws else DRAW
    (group,) = (group for group in parser._action_groups if group.title == other_group)
    for action in group._group_actions:
        if getattr(args, action.dest) != action.default:
            kind = "draws images from noise" if args.draws else "translates images"
            raise ValueError(f"{action.option_strings[0]}: only for {other_group}, but {args.run} {kind}")
    if args.draws and args.options:
        raise ValueError(
            f"--{next(iter(args.options))}: {args.run} draws images from noise and needs no data; leave it out"
        )
    args.data = places_of(args.run, args.options)
    short = {"instance": args.instances, "mask": args.mask}
    args.others = dict(args.others) | {key: path for key, path in short.items() if path is not None}
    return args


def places_of(run: str, options: Mapping[str, str]) -> dict[str, str] | None:
    """Where a run's data are now, as ``data`` of ``load_translator``, from ``options`` of ``RunParser``.

    Raises:
        ValueError: there is no such run, or an option isn't one of the data.
    """
    from img2img.config import load_config, refuse_fixed  # imports torch, which --help need not wait for
    from img2img.runs import find_run

    for option in options:
        if not option.startswith("data."):
            refuse_fixed(option, load_config(config_file(find_run(run))))
    return {option.removeprefix("data."): value for option, value in options.items()} or None


@contextmanager
def finds_moved_data(run: str, *, or_input: bool = False) -> Iterator[None]:
    """Context in which a command opens the data set of a finished run.

    If a folder or file of it is missing, the message says how to name its new place.

    Args:
        run: the run's name or folder.
        or_input: whether images can be given instead, by --input.

    Raises:
        ValueError: a place of the data set is missing.
    """
    try:
        yield
    except MissingPlace as error:
        from img2img.runs import find_run

        start = find_run(run).resolve().parent.parent  # usually the folder where the training began
        place = error.value
        if error.place is not None and place == "NEW":
            beside = start / error.place
            exists = beside.is_dir() if error.kind == "folder" else beside.is_file()
            place = shlex.quote(str(beside)) if exists else place
        instead = ", or images by --input FILE|DIR" if or_input else ""
        raise ValueError(f"{error.problem}; give its place now by --{error.option} {place}{instead}") from error
