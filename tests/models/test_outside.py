"""A model of a file outside the package: trained by its path, kept with the run, refused in a line."""

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
        """Of the output."""

    def generate(self, batch, direction="AtoB"):
        return {"output": -self.config.factor * super().generate(batch)["output"]}

    def check_size(self, size):
        if self.config.factor > 9:
            raise ValueError("model.factor: too large")
        super().check_size(size)
'''
SMALL = "--data.load_size 16 --data.crop_size 16 --model.num_downs 4 --model.ngf 4 --model.ndf 4 --model.n_layers_d 1"


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """The file, in a process that forgets it afterwards."""
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
    """As if in a new process."""
    for name in models._outside:
        sys.modules.pop(name, None)
    models._outside.clear()


def arguments(*argv: str) -> list[str]:
    return [*argv, *SMALL.split(), "--data.num_workers", "1", "--train.max_steps", "2"]


def test_a_model_of_a_file_trains_resumes_and_translates_from_its_run_alone(
    mine: Path, paired_root: Path, tmp_path: Path
) -> None:
    argv = arguments("--model", str(mine), "--data.root", str(paired_root), "--model.factor", "2", "--name", "x")
    run = train(parse_train_arguments(argv, tmp_path).config)
    assert (run / "mine.py").read_text() == TEXT
    mine.unlink()
    forget()
    sys.path.remove(str(mine.parent))
    moved = run.rename(tmp_path / "moved")
    translator = load_translator(moved)
    assert translator.config.model.factor == 2
    assert translator(np.zeros((20, 20, 3), np.uint8)).shape == (20, 20, 3)
    (tmp_path / "runs").mkdir(exist_ok=True)
    forget()
    moved.rename(tmp_path / "runs" / "y")
    resumed = parse_train_arguments(["--name", "y", "--resume", "--train.max_steps", "3"], tmp_path)
    assert train(resumed.config, resume=True) == Path("runs/y")


def test_a_model_of_a_file_learns_the_toy_task_unless_told(mine: Path, tmp_path: Path) -> None:
    found = parse_train_arguments(["--model", str(mine)], tmp_path)
    assert (found.config.name, found.config.data.toy) == ("mine-toy", True)
    assert found.notes


def test_a_preset_finds_the_model_beside_it(mine: Path, paired_root: Path) -> None:
    preset = mine.with_name("preset.yaml")
    preset.write_text(f"name: p\nmodel:\n  name: mine\n  factor: 3.0\ndata:\n  root: {paired_root}\n")
    assert load_config(preset).model.factor == 3
    assert model_file("mine") == mine
    assert model_file("pix2pix") is None


def test_its_errors_are_lines_for_users(mine: Path) -> None:
    load_model_file(mine)
    model = model_class("mine")(
        model_class("mine").Config(factor=10.0, num_downs=4, ngf=4, ndf=4), {"input": 3, "target": 3}
    )
    with pytest.raises(ValueError, match="too large") as raised:
        model.check_size(16)
    assert is_ours(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("missing.py", None, "no such"),
        ("pix2pix.py", TEXT, "is a model of this package"),
        ("json.py", TEXT, "another Python module"),
        ("my-model.py", TEXT, "no name"),
        ("broken.py", "import nonesuch", "nonesuch"),
        ("two.py", "", "defines 0"),
    ],
)
def test_files_that_are_no_model_are_refused(
    mine: Path, name: str, text: str | None, word: str, tmp_path: Path
) -> None:
    file = mine.with_name(name)
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=word):
        parse_train_arguments(["--model", str(file)], tmp_path)
    assert name.removesuffix(".py") not in models._outside or name == "two.py"


def test_two_versions_in_one_process_are_refused(mine: Path, paired_root: Path, tmp_path: Path) -> None:
    argv = arguments("--model", str(mine), "--data.root", str(paired_root), "--name", "x")
    run = train(parse_train_arguments(argv, tmp_path).config)
    (run / "mine.py").write_text(TEXT + "\n# changed\n")
    with pytest.raises(ValueError, match="another version"):
        load_translator(run)
    assert "mine" not in model_names()
