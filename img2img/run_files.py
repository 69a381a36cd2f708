"""The files of run folders, as far as they can be read without torch: which runs there are, and what they are."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

CONFIG_FILE = "config.yaml"
RUNS = Path("runs")
FOLDERS = ("root", "root_a", "root_b", "roots", "torchvision")  # data options that say where the images are


@dataclass(frozen=True)
class RunSummary:
    """What ``img2img runs`` prints of a run."""

    name: str
    model: str
    data: str
    """The data folders, or "toy"."""
    steps: int
    """Step of the newest checkpoint; 0 if there is none."""
    best: str
    """Score and step of the best checkpoint, such as "psnr 21.3 (step 4000)"; empty if nothing was evaluated."""
    changed: float
    """Time of the last change, in seconds since 1970."""
    training: bool
    """Whether a process trains it now."""


def config_file(run: Path) -> Path:
    """The file with a run's options: its config.yaml; or that of its newest checkpoint, if the run's own is missing or
    empty after a power cut. The returned path need not exist.
    """
    own = run / CONFIG_FILE
    if own.is_file() and own.read_bytes().strip(b"\0 \r\n"):
        return own
    saved = {int(path.parent.name[5:]): path for path in run.glob(f"checkpoints/step-*/{CONFIG_FILE}")}
    return saved[max(saved)] if saved else own


def list_runs(runs: Path) -> list[str]:
    """The names of the runs below a folder, sorted."""
    return sorted(path.name for path in runs.glob("*") if config_file(path).is_file())


def lock_file(run: Path) -> Path:
    """The file that a training of the run locks. It is beside the run's folder, which --overwrite renames."""
    return run.with_name(f".{run.name}.lock")


def is_training(run: Path) -> bool:
    """Whether another process holds the run's lock now."""
    if not lock_file(run).exists():
        return False
    lock = FileLock(lock_file(run))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a file that can't be written: nobody can train here
        return False
    lock.release()
    return False


def summarise(run: Path) -> RunSummary:
    """Reads what a run is, and how far it is. Files that can't be read count as empty."""
    options = _read(config_file(run))
    data = options.get("data") or {}
    folders = [str(folder) for key in FOLDERS for folder in _values(data.get(key))]
    files = [path for path in (run / "metrics.csv", run / "checkpoints" / "latest", config_file(run)) if path.is_file()]
    return RunSummary(
        name=run.name,
        model=str((options.get("model") or {}).get("name", "?")),
        data=" + ".join(folders) or ("toy" if data.get("toy") else "-"),
        steps=_step(run, "latest") or 0,
        best=_best(run, options.get("train") or {}),
        changed=max(path.stat().st_mtime for path in files),
        training=is_training(run),
    )


def _read(path: Path) -> dict[str, Any]:
    """The content of a YAML file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C library's, which is ten times as fast
    with suppress(OSError, yaml.YAMLError, UnicodeDecodeError):
        content = yaml.load(path.read_text(encoding="utf-8"), loader)  # a safe loader
        if isinstance(content, dict):
            return content
    return {}


def _values(value: Any) -> list[Any]:
    """A folder or a mapping of folders as a list."""
    return list(value.values()) if isinstance(value, dict) else [] if value is None else [value]


def _step(run: Path, name: str) -> int | None:
    """The step of the checkpoint "latest" or "best"; None if there is none."""
    with suppress(OSError, ValueError):
        return int((run / "checkpoints" / name).read_text().strip().removeprefix("step-"))
    return None


def _best(run: Path, train: dict[str, Any]) -> str:
    """The deciding score of the best checkpoint, from metrics.csv."""
    step = _step(run, "best")
    if step is None:
        return ""
    scores: dict[str, str] = {}
    with suppress(OSError, csv.Error, UnicodeDecodeError), (run / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("step") == str(step):
                scores |= {key[4:]: value for key, value in row.items() if key and key.startswith("val/") and value}
    first = str(train.get("metrics", "")).split(",")[0].strip()
    metric = next((name for name in (train.get("best_by"), "psnr", first, *scores) if name in scores), None)
    if metric is None:
        return f"step {step}"
    with suppress(ValueError):
        return f"{metric} {float(scores[metric]):.4g} (step {step})"
    return f"step {step}"
