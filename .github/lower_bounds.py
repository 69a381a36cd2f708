"""Prints the lowest versions that setup.cfg allows, as constraints of pip: NAME==LOWEST.*, a line each.

python .github/lower_bounds.py > constraints.txt && pip install --constraint constraints.txt '.[dev]'
"""

import configparser
import re
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parents[1] / "setup.cfg")
requirements = config["options"]["install_requires"].splitlines()
for line in requirements:
    if found := re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", line.strip()):
        print(f"{found[1]}=={found[2]}.*")
