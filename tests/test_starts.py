"""What a start must not import: each costs seconds before the first step or the first answer."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from img2img.config import Config
from img2img.training.trainer import train

Tiny = Callable[..., Config]


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_loading_a_run_imports_no_compiler(tiny: Tiny) -> None:
    """torch does to draw weights on the meta device, which are about to be replaced."""
    train(tiny())
    found = imported("from img2img import load_translator; load_translator('tiny')")
    assert "torch" in found
    assert not {name for name in found if name.startswith(("torch._dynamo", "torch._inductor", "img2img.training"))}


def test_a_training_imports_no_evaluation_unless_it_evaluates(tiny: Tiny) -> None:
    Path("x.yaml").write_text(tiny().to_yaml())
    code = "from img2img.training.trainer import *; from pathlib import Path; train(load_config(Path('x.yaml')))"
    found = {name for name in imported(code) if name.startswith(("img2img.evaluation", "torchvision.models"))}
    assert not found
