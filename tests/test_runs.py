"""Run folders: where a training may begin, locks, and finding runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.config import Config
from img2img.runs import begin_run, check_run, find_run, hold_run


def test_check_run_protects_an_existing_run(tiny: Callable[..., Config]) -> None:
    run = Path("runs/tiny")
    check_run(run, resume=False, overwrite=False)
    begin_run(run, tiny(), resume=False)
    (run / "metrics.csv").touch()
    with pytest.raises(ValueError, match=r"^runs/tiny exists: --overwrite"):
        check_run(run, resume=False, overwrite=False)  # it has no checkpoint to resume from
    with pytest.raises(ValueError, match=r"^--resume: .* runs/tiny; .*--overwrite"):
        check_run(run, resume=True, overwrite=False)
    (run / "checkpoints" / "step-000001").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^runs/tiny exists: --resume .*--overwrite .*--name"):
        check_run(run, resume=False, overwrite=False)
    check_run(run, resume=False, overwrite=True)
    begin_run(run, tiny(), resume=False)
    assert [p.name for p in run.iterdir()] == ["config.yaml"]
    assert [p.name for p in run.parent.iterdir()] == ["tiny"]


def test_check_run_overwrites_only_runs() -> None:
    Path("runs/photos").mkdir(parents=True)
    Path("runs/photos/x.jpg").touch()
    with pytest.raises(ValueError, match=r"^--overwrite: runs/photos .*config\.yaml"):
        check_run(Path("runs/photos"), resume=False, overwrite=True)


def test_check_run_resume_needs_a_checkpoint() -> None:
    with pytest.raises(ValueError, match=r"^--resume: .* runs/new; "):
        check_run(Path("runs/new"), resume=True, overwrite=False)


def test_find_run_by_name_and_folder(tiny: Callable[..., Config]) -> None:
    begin_run(Path("runs/tiny"), tiny(), resume=False)
    assert find_run("tiny") == find_run("runs/tiny") == Path("runs/tiny")
    with pytest.raises(ValueError, match=rf"^quite-another: .*{Path.cwd()}/runs .*tiny"):
        find_run("quite-another")
    with pytest.raises(ValueError, match=r"^tinny: .* tiny\?"):
        find_run("tinny")
    with pytest.raises(ValueError, match=r"^x{300}: "):
        find_run("x" * 300)


def test_hold_run_excludes_other_processes(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path("runs/tiny")
    with hold_run(run):
        begin_run(run, tiny(), resume=False)
        begin_run(run, tiny(), resume=False)  # replaces the folder, but not the lock
        with (
            pytest.raises(ValueError, match=r"^runs/tiny .*another process"),
            hold_run(run),
        ):
            pass
        with hold_run(Path("runs/other")):
            pass
        monkeypatch.setenv("RANK", "1")
        with hold_run(run):  # another process of the same launch
            pass
        monkeypatch.delenv("RANK")
    with hold_run(run):
        pass
    assert [path.name for path in run.parent.iterdir()] == ["tiny"]


def test_hold_run_ends_with_a_killed_process() -> None:
    code = "import os\nfrom pathlib import Path\nfrom img2img.runs import hold_run\n"
    code += "with hold_run(Path('runs/r')):\n    print('held', flush=True)\n    input()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another process"), hold_run(Path("runs/r")):
            pass
        holder.kill()
        holder.wait()
        assert Path("runs/.r.lock").is_file()
        with hold_run(Path("runs/r")):
            pass
