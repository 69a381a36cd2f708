"""Download a public set of pix2pix (side-by-side pairs) or of CycleGAN (unpaired images).

The same command continues an interrupted download. A set gets its name when all of its images have been counted.

Examples:
    img2img fetch facades
    img2img fetch horse2zebra --output sets
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser
from img2img.recipes.fetch import SETS, fetch


def parser(output: Path = Path("datasets")) -> Parser:
    """The options. ``output`` is the default of --output."""
    parser = Parser("fetch", __doc__, renamed={"--to": "--output"})
    parser.add_argument("name", metavar="NAME", help=f"the set: {', '.join(SETS)}")
    parser.add_argument(
        "--output", type=Path, default=output, metavar="DIR", help="parent folder (default: %(default)s)"
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--url", help="address of the archive (default: the authors' server)")
    origin.add_argument("--archive", type=Path, metavar="FILE", help="an archive that you downloaded; it is kept")
    return parser


def main(argv: Sequence[str] | None = None, output: Path = Path("datasets")) -> int:
    """Downloads a set."""
    args = parser(output).parse_args(argv)
    try:
        fetch(args.name, args.output, url=args.url, archive=args.archive)
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0
