"""Make a set of pairs of your own two folders of images.

Two images are a pair if their paths below --a and --b are the same without the suffix: x/1.jpg and x/1.png. A random
part of them (--val, --seed) is for validation. The set has the folders trainA, trainB, valA and valB.

Examples:
    img2img pair --a photos --b drawings --output datasets/mine --val 0.1
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser


def parser() -> Parser:
    """The options."""
    parser = Parser("pair", __doc__, renamed={"--to": "--output"})
    add = parser.add_argument
    add("--a", type=Path, required=True, metavar="DIR", help="folder with the images of A")
    add("--b", type=Path, required=True, metavar="DIR", help="folder with the images of B, same names")
    add("--output", type=Path, required=True, metavar="DIR", help="folder to make")
    add("--val", type=float, default=0.1, metavar="X", help="fraction of validation pairs, 0 to 1 (default: 0.1)")
    add("--seed", type=int, default=0, metavar="N", help="random seed of the choice of those (default: 0)")
    add("--link", action="store_true", help="make hard links instead of copies")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Makes a set of pairs."""
    args = parser().parse_args(argv)
    if not 0 <= args.val < 1:
        raise ValueError(f"--val {args.val}: must be at least 0 and below 1")
    from img2img.recipes.pair import pair

    pair({"A": args.a, "B": args.b}, args.output, fraction=args.val, seed=args.seed, link=args.link)
    return 0
