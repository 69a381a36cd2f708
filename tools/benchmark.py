"""``img2img benchmark`` as a script of a checkout: python tools/benchmark.py --help lists the options."""

import sys

from img2img.cli.benchmark import main
from img2img.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
