"""``img2img cityscapes`` as a script of a checkout: python datasets/prepare_cityscapes.py --help lists the options."""

import sys
from functools import partial
from pathlib import Path

from img2img.cli import cityscapes
from img2img.errors import one_line_errors

main = partial(cityscapes.main, output=Path(__file__).parent / "cityscapes")

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
