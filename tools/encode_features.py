"""``img2img styles`` as a script of a checkout: python tools/encode_features.py --help lists the options."""

import sys

from img2img.cli.styles import main
from img2img.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
