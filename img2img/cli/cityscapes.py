"""Make pix2pix's Cityscapes set, side-by-side pairs [photo | colour label], of the two official archives.

Cityscapes needs a registration of your own: download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip at
https://www.cityscapes-dataset.com and unpack both.

Examples:
    img2img cityscapes --left DIR/leftImg8bit --gt DIR/gtFine --to datasets/cityscapes
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser

TO = Path("datasets/cityscapes")


def parser(to: Path = TO) -> Parser:
    """The options. ``to`` is the default of --to."""
    parser = Parser("cityscapes", __doc__)
    add = parser.add_argument
    add("--left", type=Path, required=True, metavar="DIR", help="unpacked folder leftImg8bit")
    add("--gt", type=Path, required=True, metavar="DIR", help="unpacked folder gtFine")
    add("--to", type=Path, default=to, metavar="DIR", help="folder to make (default: %(default)s)")
    add("--size", type=int, default=256, metavar="N", help="side of each half in pixels (default: 256)")
    add("--format", choices=("jpg", "png"), default="jpg", help="file format; png keeps every colour (default: jpg)")
    return parser


def main(argv: Sequence[str] | None = None, to: Path = TO) -> int:
    """Makes the set."""
    args = parser(to).parse_args(argv)
    if args.size < 1:
        raise ValueError(f"--size {args.size}: must be at least 1")
    from img2img.recipes.cityscapes import prepare

    prepare(args.left, args.gt, args.to, size=args.size, suffix=f".{args.format}")
    return 0
