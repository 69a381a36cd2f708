"""Cluster the instance features of a pix2pixHD run's training set into styles, for infer --style.

Examples:
    img2img styles streets
    img2img infer streets --style random --samples 5
"""

from __future__ import annotations

from collections.abc import Sequence

from img2img.arguments import RunParser
from img2img.inference.arguments import finds_moved_data, places_of
from img2img.program import command


def parser() -> RunParser:
    """The options."""
    parser = RunParser("styles", __doc__)
    parser.add_argument(
        "run", help="name of a run under runs/, or path of its folder; trained with --model.instance_features true"
    )
    parser.add_argument(
        "--clusters", metavar="N", type=int, default=10, help="maximum number of styles per class (default: 10)"
    )
    parser.add_argument(
        "--min-share",
        metavar="SHARE",
        type=float,
        default=1 / 64,
        help="leave out instances that cover no more than this share of their image, in [0, 1); a class with small "
        "instances only keeps all of them (default: 1/64 = 0.015625)",
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", default="latest", help="a step, best or latest (default: latest)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda if available)")
    parser.add_places()
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Clusters the styles of a run and writes them to its folder."""
    args = parser().parse_args(argv)
    from img2img.inference.loading import load_translator
    from img2img.inference.styles import encode_training_set

    data = places_of(args.run, args.options)
    translator = load_translator(args.run, checkpoint=args.checkpoint, device=args.device, data=data)
    with finds_moved_data(args.run):
        path, notes = encode_training_set(translator, args.clusters, args.min_share)
    print("\n".join([str(translator.checkpoint), *notes]))
    print(f"styles      {path}\nnext        {command('infer')} {args.run} --style random --samples 5")
    return 0
