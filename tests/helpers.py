"""Helpers of several test packages: calling tools in this process, reading the files of runs, two processes."""

import atexit
import csv
import importlib.util
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from img2img.checkpoint import newest_checkpoint
from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.loader import keyed_loader, to_device
from img2img.models import model_class
from tests.conftest import in_order
from tests.pages import model_files

ROOT = Path(__file__).parents[1]
TINY = (
    "--model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1 --data.load_size 18 --data.crop_size 16 "
    "--data.batch_size 2 --data.num_workers 0 --train.max_steps 4 --train.log_every 2"
).split()


@cache
def outside_models() -> Path:
    """A folder with the model files of tests/outside and docs/extending.md: a process imports each from one place."""
    folder = tempfile.TemporaryDirectory(prefix="models-")
    atexit.register(folder.cleanup)
    sources = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "outside").glob("*.py")}
    for name, source in (sources | model_files()).items():
        Path(folder.name, name).write_text(source, encoding="utf-8")
    return Path(folder.name)


def tool(name: str) -> ModuleType:
    """A script of tools/ or datasets/."""
    file = next(file for folder in ("tools", "datasets") if (file := ROOT / folder / f"{name}.py").is_file())
    spec = importlib.util.spec_from_file_location(f"tools_{name}", file)
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


def run_command(*argv: object) -> int:
    """Runs ``img2img ARGV`` in this process and returns its exit code."""
    from img2img.cli.main import main

    try:
        return main([str(word) for word in argv])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0


class Colours(nn.Module):
    """(B, 3, H, W) uint8 -> means and deviations of the channels (B, 6), and the means as logits of three classes."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        x = images.double() / 255
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1), 5 * x.mean((2, 3))


class SmallClassifier(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> logits (B, outputs), from the darkest values and the means of the channels: quick to
    train in the place of ResNet-18, and enough for colours."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.cat([x.amin((2, 3)), 4 * x.mean((2, 3))], dim=1))


def use_small_classifier(monkeypatch: pytest.MonkeyPatch, rate: float = 0.1) -> None:
    """Trains and loads ``SmallClassifier`` for the metric ``domain``."""
    for module in ("classifier", "train_classifier"):
        monkeypatch.setattr(f"img2img.evaluation.{module}.build_classifier", SmallClassifier)
    monkeypatch.setattr("img2img.evaluation.train_classifier.RATE", rate)


def with_reflection_padding(network: nn.Module) -> nn.Module:
    """The network itself, whose convolutions now pad with reflection instead of zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "reflect"
            module._reversed_padding_repeated_twice = [p for p in reversed(module.padding) for _ in range(2)]
    return network


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def logged(run: Path) -> dict[str, dict[str, str]]:
    """metrics.csv by step, without columns that depend on the time."""
    return {
        row["step"]: {k: v for k, v in row.items() if k not in ("time", "speed/images_per_second")} for row in rows(run)
    }


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of the networks of the newest checkpoint, by NETWORK.KEY."""
    path, _ = newest_checkpoint(run)
    files = sorted(path.glob("*.safetensors"))
    return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def batches(config: Config, count: int = 1) -> list[dict[str, torch.Tensor]]:
    """The first batches of two samples of the training set, on the CPU."""
    dataset = dataset_class(model_class(config.model.name).dataset)
    loader = keyed_loader(dataset(config.data, "train"), in_order(2 * count, 2), 0)
    return [to_device(batch, "cpu") for batch in loader]


def launch(config: Config, processes: int, *options: str, fails: bool = False) -> str:
    """Trains with ``accelerate launch`` and returns the output; if it ``fails``, the error output.

    ``--multi_gpu`` is needed, because ``--cpu --num_processes 2`` would silently start one process.
    """
    Path(f"{config.name}.yaml").write_text(config.to_yaml())
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0"]
    command += [str(ROOT / "tests" / "training" / "distributed_script.py"), f"{config.name}.yaml", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert bool(done.returncode) == fails, done.stderr[-3000:]
    return done.stderr if fails else done.stdout
