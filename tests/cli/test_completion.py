"""Completion scripts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import run_command


def test_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert run_command("completion", "bash") == 2
    error = capsys.readouterr().err
    assert "img2img-toolkit[completion]" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tra"], "train"),
        (["train", "--data.batch_s"], "--data.batch_size"),
        (["train", "--config", "pix2pix/fa"], "pix2pix/facades"),
        (["infer", "mi"], "mine"),
    ],
)
def test_bash_completes(words: list[str], completed: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert run_command("completion", "bash") == 0
    Path("script").write_text(capsys.readouterr().out)
    Path("runs/mine").mkdir(parents=True)
    line = f"source ./script; COMP_WORDS=(img2img {' '.join(words)}); COMP_CWORD={len(words)}; _shtab_img2img"
    done = subprocess.run(
        ["bash", "-c", f'{line}; echo "${{COMPREPLY[@]}}"'], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [completed]


def test_zsh_script_has_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert run_command("completion", "zsh") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("#compdef img2img")
    assert "pix2pix/facades" in printed
