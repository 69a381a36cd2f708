"""``img2img train`` as a script of a checkout: accelerate launch tools/train.py --model pix2pix."""

import sys

from img2img.cli.train import main
from img2img.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
