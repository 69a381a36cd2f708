"""What tests of several rooms need: the tools, called in this process, and a network that judges by colours."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
TINY = (
    "--model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1 --data.load_size 18 --data.crop_size 16 "
    "--data.batch_size 2 --data.num_workers 0 --train.max_steps 4 --train.log_every 2"
).split()


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(monkeypatch: pytest.MonkeyPatch, name: str, *argv: str) -> int:
    """Runs a tool in this process as from the command line and returns its exit code."""
    from img2img.errors import one_line_errors

    monkeypatch.setattr(sys, "argv", [f"tools/{name}.py", *argv])
    try:
        with one_line_errors():
            return tool(name).main() or 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0


class Colours(nn.Module):
    """(B, 3, H, W) uint8 -> means and deviations of the channels (B, 6), and the means as logits of three classes."""

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        assert pictures.dtype == torch.uint8
        x = pictures.double() / 255
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1), 5 * x.mean((2, 3))
