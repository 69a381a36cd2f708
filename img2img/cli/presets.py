"""List the presets: the papers' settings, for train --config.

Examples:
    img2img presets
    img2img presets cyclegan
    img2img train --config pix2pix/facades
"""

from __future__ import annotations

from collections.abc import Sequence

from img2img.arguments import Parser
from img2img.presets import FOLDER, about, preset_names


def parser() -> Parser:
    """The options."""
    parser = Parser("presets", __doc__)
    parser.add_argument("model", nargs="?", help="list the presets of this model only")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each preset."""
    args = parser().parse_args(argv)
    names = preset_names()
    models = sorted({name.partition("/")[0] for name in names})
    if args.model not in (None, *models):
        raise ValueError(f"{args.model}: no model with presets; choose one of {', '.join(models)}")
    chosen = [name for name in names if args.model in (None, name.partition("/")[0])]
    width = max(map(len, chosen))
    for name in chosen:
        print(f"{name:{width}}  {about(FOLDER / f'{name}.yaml')}")
    return 0
