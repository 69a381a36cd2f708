"""Two processes on the CPU (gloo) are one process with their batches together."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from img2img.checkpoint import newest_checkpoint
from img2img.config import Config
from img2img.training.trainer import train


def launch(config: Config, processes: int) -> str:
    """Trains under ``accelerate launch``; its ``--cpu --num_processes 2`` would silently be one process."""
    Path(f"{config.name}.yaml").write_text(config.to_yaml())
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += [
        "--main_process_port",
        "0",
        str(Path(__file__).with_name("distributed_script.py")),
        f"{config.name}.yaml",
    ]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(("norm", "accumulation"), [("instance", 1), ("none", 2)])
def test_two_processes_equal_one(tiny: Callable[..., Config], norm: str, accumulation: int) -> None:
    model = {"norm": norm, "dropout": False}  # batch statistics and noise are each process's own
    options = {"max_steps": 10, "gradient_accumulation": accumulation, "ema_decay": 0.9}
    train(tiny("one", model=model, data={"batch_size": 4}, train=options))
    assert "processes: 2" in launch(tiny("two", model=model, train=options), 2)
    for file in sorted(newest_checkpoint(Path("runs/one"))[0].glob("*.safetensors")):
        two = load_file(newest_checkpoint(Path("runs/two"))[0] / file.name)
        for key, value in load_file(file).items():
            # a bias before instance norm has no gradient but rounding noise, which Adam makes steps of
            if norm == "none" or key.endswith("weight"):
                assert (value - two[key]).abs().max() < 2e-5, f"{file.name} {key}"
