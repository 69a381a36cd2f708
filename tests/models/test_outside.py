"""Models from files outside the package: trained by path, copied into the run; errors are one line."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from img2img import load_translator, models
from img2img.command_line import parse_train_arguments
from img2img.config import load_config
from img2img.errors import is_ours, own_code
from img2img.models import load_model_file, model_class, model_file, model_names
from img2img.training.trainer import train
from tests.helpers import ROOT
from tests.pages import metric_code

TEXT = '''
from dataclasses import dataclass
from typing import Literal

from img2img.models.pix2pix import Pix2Pix


class Mine(Pix2Pix):
    """Inverts what pix2pix makes."""

    @dataclass
    class Config(Pix2Pix.Config):
        name: Literal["mine"] = "mine"
        factor: float = 1.0
        """Factor of the output."""

    def generate(self, batch, direction="AtoB"):
        return {"output": -self.config.factor * super().generate(batch)["output"]}

    def check_size(self, size):
        if self.config.factor > 9:
            raise ValueError("model.factor: too large")
        super().check_size(size)
'''
SMALL = "--data.load_size 16 --data.crop_size 16 --model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1"


@pytest.fixture
def model_path(tmp_path: Path) -> Iterator[Path]:
    """A model file; afterwards the process forgets its module."""
    before, path, own = set(sys.modules), list(sys.path), set(own_code)
    file = tmp_path / "elsewhere" / "mine.py"
    file.parent.mkdir()
    file.write_text(TEXT)
    yield file
    forget()
    sys.path[:] = path
    own_code.intersection_update(own)
    for name in set(sys.modules) - before:
        if name in ("mine", "broken", "two"):
            del sys.modules[name]


def forget() -> None:
    """Forgets imported model files, as in a new process."""
    for name in models._outside:
        sys.modules.pop(name, None)
    models._outside.clear()


def arguments(*argv: str) -> list[str]:
    return [*argv, *SMALL.split(), "--data.num_workers", "1", "--train.max_steps", "2"]


def test_model_file_trains_resumes_and_translates_from_its_run_alone(
    model_path: Path, paired_root: Path, tmp_path: Path
) -> None:
    argv = arguments("--model", str(model_path), "--data.root", str(paired_root), "--model.factor", "2", "--name", "x")
    run = train(parse_train_arguments(argv, tmp_path).config)
    assert (run / "mine.py").read_text() == TEXT
    model_path.unlink()
    forget()
    sys.path.remove(str(model_path.parent))
    moved = run.rename(tmp_path / "moved")
    translator = load_translator(moved)
    assert translator.config.model.factor == 2
    assert translator(np.zeros((20, 20, 3), np.uint8)).shape == (20, 20, 3)
    (tmp_path / "runs").mkdir(exist_ok=True)
    forget()
    moved.rename(tmp_path / "runs" / "y")
    resumed = parse_train_arguments(["--name", "y", "--resume", "--train.max_steps", "3"], tmp_path)
    assert train(resumed.config, resume=True) == Path("runs/y")


def test_model_file_trains_on_the_toy_task_by_default(model_path: Path, tmp_path: Path) -> None:
    arguments = parse_train_arguments(["--model", str(model_path)], tmp_path)
    assert (arguments.config.name, arguments.config.data.toy) == ("mine-toy", True)
    assert arguments.notes


def test_load_config_finds_the_model_file_beside_a_preset(model_path: Path, paired_root: Path) -> None:
    preset = model_path.with_name("preset.yaml")
    preset.write_text(f"name: p\nmodel:\n  name: mine\n  factor: 3.0\ndata:\n  root: {paired_root}\n")
    assert load_config(preset).model.factor == 3
    assert model_file("mine") == model_path
    assert model_file("pix2pix") is None


def test_model_files_value_errors_are_shown_as_one_line(model_path: Path) -> None:
    load_model_file(model_path)
    model = model_class("mine")(
        model_class("mine").Config(factor=10.0, num_downs=4, ngf=4, ndf=4), {"input": 3, "target": 3}
    )
    with pytest.raises(ValueError, match=r"model\.factor") as raised:
        model.check_size(16)
    assert is_ours(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("missing.py", None, "file"),
        ("pix2pix.py", TEXT, "package"),
        ("json.py", TEXT, "another"),
        ("my-model.py", TEXT, "my-model can't"),
        ("broken.py", "import nonesuch", "ModuleNotFoundError.*nonesuch"),
        ("two.py", "", r"\b0 subclasses"),
    ],
)
def test_model_file_that_is_no_model_is_refused(
    model_path: Path, name: str, text: str | None, reason: str, tmp_path: Path
) -> None:
    file = model_path.with_name(name)
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=rf"--model .*{re.escape(name)}: .*{reason}"):
        parse_train_arguments(["--model", str(file)], tmp_path)
    assert name.removesuffix(".py") not in models._outside or name == "two.py"


def test_model_file_of_another_version_in_one_process_is_refused(
    model_path: Path, paired_root: Path, tmp_path: Path
) -> None:
    argv = arguments("--model", str(model_path), "--data.root", str(paired_root), "--name", "x")
    run = train(parse_train_arguments(argv, tmp_path).config)
    (run / "mine.py").write_text(TEXT + "\n# changed\n")
    with pytest.raises(ValueError, match=r"mine\.py.*mine\.py"):
        load_translator(run)
    assert "mine" not in model_names()


def test_model_file_needs_a_name_of_its_own(tmp_path: Path) -> None:
    """Without it, the options would be another model's, which would be trained in silence."""
    file = tmp_path / "nameless.py"
    file.write_text("from img2img.models.pix2pix import Pix2Pix\n\n\nclass Nameless(Pix2Pix):\n    pass\n")
    with pytest.raises(ValueError, match=r"nameless\.py: .*'pix2pix'.*'nameless'"):
        load_model_file(file)


def test_evaluate_knows_a_metric_of_the_runs_model_file(model_path: Path, paired_root: Path, tmp_path: Path) -> None:
    model_path.write_text(f"{TEXT}\n\n{metric_code()}")
    argv = arguments("--model", str(model_path), "--data.root", str(paired_root), "--name", "x")
    run = train(parse_train_arguments(argv, tmp_path).config)
    options = "--metrics brightness --output report".split()
    command = [sys.executable, str(ROOT / "tools" / "evaluate.py"), "x", *options]
    subprocess.run(command, check=True, cwd=run.resolve().parents[1])
    scores = json.loads((run.resolve().parents[1] / "report" / "summary.json").read_text())["scores"]
    assert list(scores) == ["brightness"]


def test_preset_of_another_model_is_refused_with_what_to_copy(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text("model:\n  name: pix2pix\ndata:\n  toy: true\n")
    with pytest.raises(ValueError, match=r"toy\.yaml is for pix2pix; .*mine\.yaml .*model\.name mine"):
        parse_train_arguments(["--model", str(model_path), "--config", str(tmp_path / "toy.yaml")], tmp_path)
