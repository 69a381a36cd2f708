"""datasets/pair.py on folders of drawn images."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.helpers import run_command

SCRIPT = Path(__file__).parents[2] / "datasets" / "pair.py"


@pytest.fixture
def script() -> ModuleType:
    return importlib.import_module("img2img.recipes.pair")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """a/0.jpg to a/sub/19.jpg and their partners b/0.png to b/sub/19.png, with things beside them that do not count."""
    for index in range(20):
        folder = "sub" if index % 2 else "."
        draw(tmp_path / "a" / folder / f"{index}.jpg", index)
        draw(tmp_path / "b" / folder / f"{index}.png", index)
    (tmp_path / "a/notes.txt").touch()
    (tmp_path / "a/._0.jpg").touch()
    return tmp_path


def draw(path: Path, value: int, size: tuple[int, int] = (8, 6), **save: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, dtype=np.uint8)).save(path, **save)


def arguments(root: Path, *more: object) -> list[str]:
    return [str(argument) for argument in ("--a", root / "a", "--b", root / "b", "--output", root / "out/set", *more)]


def refused(script: ModuleType, capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> None:
    """The command fails with one line that has all the words, and leaves nothing."""
    assert run_command("pair", *arguments(root)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert not (root / "out").exists() or not list((root / "out").iterdir())


def stems(folder: Path) -> set[str]:
    return {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.*")}


def test_pair_makes_train_and_val(script, folders, capsys):
    assert run_command("pair", *arguments(folders)) == 0
    out = folders / "out/set"
    assert sorted(path.name for path in out.iterdir()) == ["trainA", "trainB", "valA", "valB"]
    train, val = stems(out / "trainA"), stems(out / "valA")
    assert (len(train), len(val)) == (18, 2)
    assert train == stems(out / "trainB")
    assert val == stems(out / "valB")
    assert train | val == {f"sub/{i}" if i % 2 else f"{i}" for i in range(20)}
    assert not train & val
    for path in out.rglob("*.*"):
        source = folders / path.relative_to(out).parts[0][-1].lower() / Path(*path.relative_to(out).parts[1:])
        assert path.read_bytes() == source.read_bytes()
        assert not path.samefile(source)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "18 train, 2 val pairs" in printed.out


def test_pair_split_depends_on_the_seed(script, folders):
    chosen = []
    for index, seed in enumerate((0, 0, 1)):
        assert (
            run_command(
                "pair", *arguments(folders), "--output", str(folders / str(index)), "--seed", str(seed), "--val", "0.5"
            )
            == 0
        )
        chosen.append(stems(folders / str(index) / "valA"))
    assert chosen[0] == chosen[1] != chosen[2]
    assert {len(names) for names in chosen} == {10}


@pytest.mark.parametrize(
    ("count", "fraction", "train", "val"), [(20, 0, 20, 0), (3, 0.01, 2, 1), (3, 0.99, 1, 2), (1, 0.5, 1, 0)]
)
def test_pair_splits_are_not_empty(script, count, fraction, train, val):
    parts = script.split([str(index) for index in range(count)], fraction, seed=0)
    assert {name: len(members) for name, members in parts.items()} == {
        name: number for name, number in (("train", train), ("val", val)) if number
    }


def test_pair_makes_hard_links(script, folders, capsys, monkeypatch):
    assert run_command("pair", *arguments(folders, "--link")) == 0
    linked = next((folders / "out/set/trainA").rglob("*.jpg"))
    assert linked.samefile(folders / "a" / linked.relative_to(folders / "out/set/trainA"))

    def other_device(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_device)
    assert run_command("pair", *arguments(folders, "--link"), "--output", str(folders / "two/set")) == 2
    error = capsys.readouterr().err
    assert str(folders / "a") in error
    assert "--link" in error
    assert not list((folders / "two").iterdir())


def test_pair_lists_missing_partners(script, folders, capsys):
    draw(folders / "b/lonely.png", 0)
    for index in range(12):
        draw(folders / f"a/alone{index:02d}.jpg", 0)
    first = ", ".join(f"alone{index:02d}" for index in range(10))
    refused(script, capsys, folders, "--b ", f" 12: {first}, ...", "--a ", " 1: lonely")


def test_pair_refuses_different_sizes(script, folders, capsys):
    draw(folders / "b/0.png", 0, size=(6, 8))
    refused(script, capsys, folders, "1: 0 (8x6 and 6x8)")
    exif = Image.Exif()
    exif[0x0112] = 6  # sizes are compared after applying the orientation
    draw(folders / "a/0.jpg", 0, exif=exif)
    assert run_command("pair", *arguments(folders)) == 0


def test_pair_names_unusable_folders_and_files(script, folders, capsys):
    (folders / "a/0.jpg").write_bytes(b"no image")
    refused(script, capsys, folders, str(folders / "a/0.jpg"), "readable")
    draw(folders / "a/0.png", 0)
    refused(script, capsys, folders, str(folders / "a/0.jpg"), str(folders / "a/0.png"), "suffix")
    (folders / "b").rename(folders / "c")
    (folders / "a/0.png").unlink()
    refused(script, capsys, folders, f"--b {folders / 'b'}: no such folder")
    (folders / "b").mkdir()
    refused(script, capsys, folders, f"--b {folders / 'b'}: no images")


def test_pair_keeps_an_existing_folder(script, folders, capsys):
    (folders / "out/set").mkdir(parents=True)
    assert run_command("pair", *arguments(folders)) == 2
    assert f"{folders / 'out/set'} " in capsys.readouterr().err
    assert not list((folders / "out/set").iterdir())


def test_pair_command_line(folders):
    def command(*more: object) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, str(SCRIPT), *arguments(folders, *more)]
        return subprocess.run(call, capture_output=True, text=True, check=False)

    for value in ("1", "-0.1", "nan", "half"):
        wrong = command("--val", value)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
        assert "--val" in wrong.stderr
    done = command()
    assert (done.returncode, done.stderr) == (0, "")
