"""Cut large images into overlapping squares, which training reads faster.

Folders stay as they are: photos/train/street.jpg becomes train/street_s001.png, street_s002.png, ... row by row.

Examples:
    img2img cut photos --output datasets/photos
    img2img cut photos --output datasets/photos --size 256 --step 256
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser


def parser() -> Parser:
    """The options."""
    parser = Parser("cut", __doc__, renamed={"--to": "--output"})
    add = parser.add_argument
    add("source", metavar="DIR", type=Path, help="folder of images, such as one with train/ and val/")
    add("--output", metavar="DIR", type=Path, required=True, help="new folder for the squares, PNG files")
    add("--size", metavar="PIXELS", type=int, default=512, help="side of the squares (default: 512)")
    add(
        "--step",
        metavar="PIXELS",
        type=int,
        help="distance between the corners of neighbours, at most the size (default: three quarters of it)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Cuts the images of a folder."""
    args = parser().parse_args(argv)
    from img2img.recipes.cut import cut_images

    step = max(1, args.size * 3 // 4) if args.step is None else args.step
    images, squares = cut_images(args.source, args.output, size=args.size, step=step)
    print(f"cut         {images} images into {squares} squares: {args.output}")
    return 0
