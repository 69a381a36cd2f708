"""``python -m img2img COMMAND``, and ``accelerate launch -m img2img train``."""

import sys

from img2img.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
