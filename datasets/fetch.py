"""``img2img fetch`` as a script of a checkout: python datasets/fetch.py --help lists the options."""

import sys
from functools import partial
from pathlib import Path

from img2img.cli import fetch
from img2img.errors import one_line_errors

main = partial(fetch.main, output=Path(__file__).parent)

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
