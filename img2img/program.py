"""How this program was started, so that messages name commands that the user has.

The commands are ``img2img NAME`` and ``python -m img2img NAME``. In a checkout, the scripts in tools/ and datasets/ are
the same commands, and a message printed by a script names scripts.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SCRIPTS = {  # the scripts of a checkout, by command
    "train": "tools/train.py",
    "infer": "tools/infer.py",
    "evaluate": "tools/evaluate.py",
    "export": "tools/export_weights.py",
    "import": "tools/import_weights.py",
    "styles": "tools/encode_features.py",
    "benchmark": "tools/benchmark.py",
    "fetch": "datasets/fetch.py",
    "pair": "datasets/pair.py",
    "unpair": "datasets/unpair.py",
    "cut": "datasets/cut.py",
    "cityscapes": "datasets/prepare_cityscapes.py",
}


def command(name: str) -> str:
    """How to call a command: "img2img infer", "python -m img2img infer" or "python tools/infer.py"."""
    if _started_as_script() and name in SCRIPTS:
        return f"python {SCRIPTS[name]}"
    return f"python -m img2img {name}" if _started_as_module() else f"img2img {name}"


def launched(name: str) -> str:
    """What follows ``accelerate launch`` and its options: "-m img2img train" or "tools/train.py"."""
    return SCRIPTS[name] if _started_as_script() else f"-m img2img {name}"


def wording(text: str) -> str:
    """A text that has commands as "img2img NAME", with each as ``command`` writes it."""
    text = re.sub(r"accelerate launch -m img2img (\w+)", lambda match: f"accelerate launch {launched(match[1])}", text)
    return re.sub(
        r"(?<!-m )\bimg2img (\w+)", lambda match: command(match[1]) if match[1] in SCRIPTS else match[0], text
    )


def _started_as_script() -> bool:
    started = Path(sys.argv[0]).resolve() if sys.argv and sys.argv[0] else Path()
    return f"{started.parent.name}/{started.name}" in SCRIPTS.values()


def _started_as_module() -> bool:
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    return started.name == "__main__.py" and started.parent.name == "img2img"
