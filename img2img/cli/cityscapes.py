"""Make pix2pix's Cityscapes set, side-by-side pairs [photo | colour label], of the two official archives.

Cityscapes needs a registration of your own: download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip at
https://www.cityscapes-dataset.com and unpack both.

Examples:
    img2img cityscapes --left DIR/leftImg8bit --gt DIR/gtFine --output datasets/cityscapes
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser

OUTPUT = Path("datasets/cityscapes")


def parser(output: Path = OUTPUT) -> Parser:
    """The options. ``output`` is the default of --output."""
    parser = Parser("cityscapes", __doc__, renamed={"--to": "--output"})
    add = parser.add_argument
    add("--left", type=Path, required=True, metavar="DIR", help="unpacked folder leftImg8bit")
    add("--gt", type=Path, required=True, metavar="DIR", help="unpacked folder gtFine")
    add("--output", type=Path, default=output, metavar="DIR", help="folder to make (default: %(default)s)")
    add("--size", type=int, default=256, metavar="N", help="side of each half in pixels (default: 256)")
    add("--format", choices=("jpg", "png"), default="jpg", help="file format; png keeps every colour (default: jpg)")
    return parser


def main(argv: Sequence[str] | None = None, output: Path = OUTPUT) -> int:
    """Makes the set."""
    args = parser(output).parse_args(argv)
    if args.size < 1:
        raise ValueError(f"--size {args.size}: must be at least 1")
    from img2img.recipes.cityscapes import prepare

    prepare(args.left, args.gt, args.output, size=args.size, suffix=f".{args.format}")
    return 0
