"""Run folders: what may begin where, and finding them again."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from img2img.config import Config
from img2img.runs import begin_run, check_run, find_run, hold_run


def test_an_existing_run_is_not_touched_without_a_word(tiny: Callable[..., Config]) -> None:
    run = Path("runs/tiny")
    check_run(run, resume=False, overwrite=False)
    begin_run(run, tiny(), resume=False)
    (run / "metrics.csv").touch()
    with pytest.raises(ValueError, match="exists: --overwrite begins anew"):
        check_run(run, resume=False, overwrite=False)  # it has no checkpoint to resume from
    with pytest.raises(ValueError, match="no checkpoint in runs/tiny; --overwrite begins anew"):
        check_run(run, resume=True, overwrite=False)
    (run / "checkpoints" / "step-000001").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"--resume continues it, --overwrite begins anew"):
        check_run(run, resume=False, overwrite=False)
    check_run(run, resume=False, overwrite=True)
    begin_run(run, tiny(), resume=False)
    assert [p.name for p in run.iterdir()] == ["config.yaml"]
    assert [p.name for p in run.parent.iterdir()] == ["tiny"]


def test_overwrite_deletes_runs_alone() -> None:
    Path("runs/photos").mkdir(parents=True)
    Path("runs/photos/x.jpg").touch()
    with pytest.raises(ValueError, match="is no run"):
        check_run(Path("runs/photos"), resume=False, overwrite=True)


def test_resume_needs_a_checkpoint() -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        check_run(Path("runs/new"), resume=True, overwrite=False)


def test_runs_are_found_by_name_and_folder(tiny: Callable[..., Config]) -> None:
    begin_run(Path("runs/tiny"), tiny(), resume=False)
    assert find_run("tiny") == find_run("runs/tiny") == Path("runs/tiny")
    with pytest.raises(ValueError, match=rf"{Path.cwd()}/runs has tiny"):
        find_run("quite-another")
    with pytest.raises(ValueError, match="did you mean tiny"):
        find_run("tinny")
    with pytest.raises(ValueError, match="no such run"):
        find_run("x" * 300)


def test_one_process_holds_a_run(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path("runs/tiny")
    with hold_run(run):
        begin_run(run, tiny(), resume=False)
        begin_run(run, tiny(), resume=False)  # the folder is another one now, the lock is not
        with (
            pytest.raises(ValueError, match="runs/tiny is being trained by another process; wait"),
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


def test_a_killed_process_holds_nothing() -> None:
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
