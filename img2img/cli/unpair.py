"""Make an unpaired set for CycleGAN of side-by-side pairs.

--a and --b are folders DIR/{train,val,test} of files with two images of equal width side by side. One half of each file
is written to DIR/{trainA,valA,testA} or DIR/{trainB,valB,testB} of the new set, under the name of the pair.

If --a and --b are the same folder, a random half of the training pairs (--seed) gives A and the other half gives B, so
that no image's partner is in the training set. --both uses both halves of every training pair, as CycleGAN (Zhu et al.,
arXiv 1703.10593) did for maps and Cityscapes. In val and test both halves are always used, under the same name.

Examples:
    img2img unpair --a edges2shoes --a-half right --b edges2handbags --b-half right --output shoes2handbags
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser


def parser() -> Parser:
    """The options."""
    parser = Parser("unpair", __doc__, renamed={"--to": "--output"})
    add = parser.add_argument
    for side in ("a", "b"):
        name = side.upper()
        pairs = f"folder with train/ (and val/, test/) of side-by-side pairs for {name}"
        add(f"--{side}", type=Path, required=True, metavar="DIR", help=pairs)
        half = f"half of each pair to use for {name}"
        add(f"--{side}-half", choices=("left", "right"), required=True, help=half)
    add("--output", type=Path, required=True, metavar="DIR", help="folder to make")
    add("--both", action="store_true", help="use both halves of every training pair; --a and --b must be equal")
    add("--seed", type=int, default=0, metavar="N", help="random seed that splits the training pairs (default: 0)")
    add("--format", choices=("png", "jpg"), default="png", help="file format (default: png, lossless)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Makes an unpaired set."""
    args = parser().parse_args(argv)
    from img2img.recipes.unpair import Side, same, unpair

    a = Side("--a", args.a, args.a_half)
    b = Side("--b", args.b, args.b_half)
    if same(a, b) and a.half == b.half:
        raise ValueError(f"--a-half {a.half} --b-half {b.half}: must differ when --a and --b are the same folder")
    if args.both and not same(a, b):
        raise ValueError("--both: --a and --b must be the same folder")
    unpair(a, b, args.output, both=args.both, seed=args.seed, suffix=f".{args.format}")
    return 0
