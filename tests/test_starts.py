"""Modules that must not be imported at the start, because each takes seconds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.config import Config
from img2img.training.trainer import train
from tests.helpers import ROOT

Tiny = Callable[..., Config]


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_load_translator_imports_no_compiler(tiny: Tiny) -> None:
    """torch imports it to initialise weights on the meta device, which are replaced anyway."""
    train(tiny())
    found = imported("from img2img import load_translator; load_translator('tiny')")
    assert "torch" in found
    assert not {name for name in found if name.startswith(("torch._dynamo", "torch._inductor", "img2img.training."))}


@pytest.mark.parametrize("tool", ["infer", "evaluate"])
def test_help_imports_no_torch(tool: str) -> None:
    """--help of evaluate.py lists the metrics, which compute with torch."""
    start = f"import runpy, sys; sys.argv = ['tools/{tool}.py', '--help']; sys.stdout = sys.stderr"
    run = f"try: runpy.run_path({str(ROOT / 'tools' / tool)!r} + '.py', run_name='__main__')\nexcept SystemExit: pass"
    names = imported(f"{start}\n{run}\nsys.stdout = sys.__stdout__")
    assert f"img2img.{'evaluation' if tool == 'evaluate' else 'inference'}.arguments" in names
    assert not names & {"torch", "torchvision", "cv2", "img2img.data", "img2img.models"}


def test_train_imports_no_evaluation_unless_it_evaluates(tiny: Tiny) -> None:
    Path("x.yaml").write_text(tiny().to_yaml())
    code = (
        "from pathlib import Path; from img2img.config import load_config; from img2img.training.trainer import train; "
    )
    code += "train(load_config(Path('x.yaml')))"
    found = {name for name in imported(code) if name.startswith(("img2img.evaluation", "torchvision.models"))}
    assert not found


def test_help_of_train_imports_no_library_of_training() -> None:
    """Of albumentations and accelerate, each takes half a second."""
    start = "import sys; sys.argv = ['img2img', 'train', '--model', 'pix2pix', '--help']; sys.stdout = sys.stderr"
    run = "from img2img.cli.main import main\ntry: main()\nexcept SystemExit: pass"
    names = imported(f"{start}\n{run}\nsys.stdout = sys.__stdout__")
    assert "img2img.config" in names
    assert not names & {"albumentations", "accelerate", "kornia", "torchvision", "sklearn", "torchmetrics"}
