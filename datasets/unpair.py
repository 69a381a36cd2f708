"""``img2img unpair`` as a script of a checkout: python datasets/unpair.py --help lists the options."""

import sys

from img2img.cli.unpair import main
from img2img.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
