"""Download a public set of pix2pix (side-by-side pairs) or of CycleGAN (unpaired images).

The same command continues an interrupted download. A set gets its name when all of its images have been counted.

Examples:
    img2img fetch facades
    img2img fetch horse2zebra --to sets
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser
from img2img.recipes.fetch import SETS, fetch


def parser(to: Path = Path("datasets")) -> Parser:
    """The options. ``to`` is the default of --to."""
    parser = Parser("fetch", __doc__)
    parser.add_argument("name", metavar="NAME", help=f"the set: {', '.join(SETS)}")
    parser.add_argument("--to", type=Path, default=to, metavar="DIR", help="parent folder (default: %(default)s)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--url", help="address of the archive (default: the authors' server)")
    origin.add_argument("--archive", type=Path, metavar="FILE", help="an archive that you downloaded; it is kept")
    return parser


def main(argv: Sequence[str] | None = None, to: Path = Path("datasets")) -> int:
    """Downloads a set."""
    args = parser(to).parse_args(argv)
    try:
        fetch(args.name, args.to, url=args.url, archive=args.archive)
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0
