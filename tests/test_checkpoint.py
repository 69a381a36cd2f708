"""Checkpoints: complete or absent, also on full disks and after kills; damage is found; no code is loaded."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img import checkpoint
from img2img.checkpoint import (
    find_checkpoint,
    list_checkpoints,
    load_network,
    load_state,
    newest_checkpoint,
    save_checkpoint,
    verify,
)


def save(run: Path, step: int, keep: int = 0) -> Path:
    weights = torch.full((4, 3, 2, 2), float(step)).contiguous(memory_format=torch.channels_last)
    return save_checkpoint(run, step, {"generator": {"weight": weights}}, {"position": 7 * step}, "name: x\n", keep)


def test_checkpoint_round_trips(tmp_path: Path) -> None:
    path = save(tmp_path, 600)
    assert path == tmp_path / "checkpoints" / "step-000600"
    assert {p.name for p in path.iterdir()} == {"generator.safetensors", "state.pt", "config.yaml", "manifest.json"}
    assert torch.equal(load_network(path, "generator")["weight"], torch.full((4, 3, 2, 2), 600.0))
    assert load_state(path) == {"format": 1, "step": 600, "position": 4200}
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-000600\n"
    with pytest.raises(ValueError, match=r"generator_a\.safetensors"):
        load_network(path, "generator_a")


def test_checkpoints_are_sorted_by_step_and_old_ones_removed(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1_000_000):
        save(tmp_path, step, keep=3)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-000010", "step-000100", "step-1000000"]
    assert find_checkpoint(tmp_path, "100")[0] == find_checkpoint(tmp_path, "step-000100")[0]
    with pytest.raises(ValueError, match=r"^--checkpoint 11: .* 10, 100, 1000000$"):
        find_checkpoint(tmp_path, "11")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_newest_checkpoint_skips_damaged_ones(tmp_path: Path, damage: str) -> None:
    good, bad = save(tmp_path, 1), save(tmp_path, 2)
    file = bad / ("manifest.json" if damage == "manifest" else "generator.safetensors")
    data = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(ValueError, match="step-000002"):
        find_checkpoint(tmp_path, "2")
    path, notes = newest_checkpoint(tmp_path)
    assert path == good
    assert "step-000002" in notes[0]
    (tmp_path / "checkpoints" / ".step-000002.old").mkdir()  # may be left by a killed process
    (tmp_path / "checkpoints" / ".step-000002.old" / "x").touch()
    save(tmp_path, 3)
    verify(save(tmp_path, 2, keep=1))  # resumed at step 1: step 2 is replaced, and step 3 is removed
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["latest", "step-000002"]


def test_newest_checkpoint_names_what_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{tmp_path}: "):
        newest_checkpoint(tmp_path)
    (save(tmp_path, 1) / "state.pt").unlink()
    with pytest.raises(ValueError, match=r"state\.pt"):
        newest_checkpoint(tmp_path)


@pytest.mark.parametrize("moment", ["write_weights", "_sha256", "flush", "_write_name"])
def test_save_checkpoint_on_a_full_disk_keeps_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    good = save(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, moment, full)
        with pytest.raises(ValueError, match="No space left"):
            save(tmp_path, 2)
    assert newest_checkpoint(tmp_path)[0] in (good, tmp_path / "checkpoints" / "step-000002")
    assert not list((tmp_path / "checkpoints").glob("*.part*/*"))


def test_save_checkpoint_killed_before_rename_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = save(tmp_path, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path) == (good, [])
    verify(save(tmp_path, 2))  # the files that were left don't matter


def test_load_state_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "executed",))

    path = save(tmp_path, 1)
    (path / "state.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError):
        load_state(path)
    assert not (tmp_path / "executed").exists()


SAVER = """
import sys, torch
from pathlib import Path
from img2img.checkpoint import save_checkpoint
step = int(sys.argv[1])
while True:
    step += 1
    weights = {"weight": torch.full((400, 1000), float(step))}
    save_checkpoint(Path("run"), step, {"generator": weights}, {"position": step}, "name: x\\n", keep=2)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_save_checkpoint_killed_at_random_damages_none() -> None:
    """SIGKILL while saving without a pause: the last printed step, or a later one, is undamaged afterwards."""
    random = np.random.default_rng(0)
    last = 0
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", SAVER, str(last)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            last = int(process.stdout.readline())
            time.sleep(random.uniform(0, 0.5))
            process.kill()
            last = max([last, *map(int, process.stdout.read().split())])
        path, _ = newest_checkpoint(Path("run"))
        step = load_state(path)["step"]
        assert step >= last
        assert (load_network(path, "generator")["weight"] == step).all()
        last = step
