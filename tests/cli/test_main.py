"""``img2img COMMAND``: every command, the overview, the version, and what they may import."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import img2img
from img2img.cli.main import COMMANDS
from img2img.program import SCRIPTS
from tests.helpers import ROOT, run_command


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command() == run_command("--help") == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)
    assert run_command("--version") == 0
    assert capsys.readouterr().out == f"img2img {img2img.__version__}\n"


def test_unknown_command_suggests_a_similar_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("trian") == 2
    error = capsys.readouterr().err
    assert "train" in error
    assert error.count("\n") == 1
    assert run_command("xyz") == 2
    assert "unpair" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "ours"),
    [("encode_features", "styles"), ("export_weights.py", "export"), ("test", "infer"), ("combine_A_and_B.py", "pair")],
)
def test_name_of_a_script_or_of_another_toolkit_is_answered_by_ours(
    script: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(script) == 2
    assert f"img2img {ours}" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(name, "--help") == 0
    assert f"img2img {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("train", "benchmark")])
def test_help_imports_no_torch(name: str) -> None:
    code = f"import sys; from img2img.cli.main import main\ntry: main([{name!r}, '--help'])\nexcept SystemExit: pass"
    code += "\nprint(sorted({'torch', 'torchvision', 'cv2', 'img2img.data', 'img2img.models'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["runs"], ["presets"]])
def test_quick_commands_import_no_torch(argv: list[str]) -> None:
    code = f"import sys; from img2img.cli.main import main; main({argv!r})\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_closed_pipe_is_no_error() -> None:
    line = f"{sys.executable} -m img2img presets | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_module_is_the_same_program() -> None:
    for argv in (["-m", "img2img"], ["-c", "import sys; from img2img.cli.main import main; sys.exit(main())"]):
        done = subprocess.run([sys.executable, *argv, "infer", "nothing"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: nothing: ")


def test_scripts_of_a_checkout_are_commands() -> None:
    files = {f"{folder}/{path.name}" for folder in ("tools", "datasets") for path in (ROOT / folder).glob("*.py")}
    assert files == set(SCRIPTS.values())
    assert SCRIPTS.keys() <= COMMANDS.keys()


def test_every_command_has_a_file() -> None:
    files = {path.stem for path in (ROOT / "img2img" / "cli").glob("*.py")} - {"__init__", "main"}
    assert files == {module for module, _ in COMMANDS.values()}
    for name in files:
        assert importlib.import_module(f"img2img.cli.{name}").main


def test_scripts_work_from_any_folder(tmp_path: Path) -> None:
    call = [sys.executable, str(ROOT / "datasets" / "fetch.py"), "facades", "--archive", "nothing"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: --archive nothing: no such file\n"
