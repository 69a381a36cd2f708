"""Models of installed packages: the entry-point group ``img2img.models``."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from img2img.command_line import parse_train_arguments
from img2img.config import load_config
from img2img.models import model_class, packaged_models
from img2img.run_files import summarise
from tests.conftest import drawn_pair, write
from tests.helpers import run_command
from tests.pages import model_files, write_package

MODEL = model_files()["l1_regression.py"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Makes a package, as pip would install it, whose module ``networks`` has a model."""
    folder = tmp_path / "site"
    before = {*sys.modules}
    monkeypatch.setattr("img2img.models._outside", {})  # models of files, which other tests have loaded

    def make(source: str = MODEL, name: str = "l1_regression") -> Path:
        package = folder / "outside_package"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "networks.py").write_text(source)
        info = folder / "outside_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[img2img.models]\n{name} = outside_package.networks\n")
        monkeypatch.syspath_prepend(folder)
        packaged_models.cache_clear()
        return folder

    yield make
    packaged_models.cache_clear()
    for name in {*sys.modules} - before:
        if name.startswith("outside_package"):
            del sys.modules[name]


def test_model_of_a_package_trains_and_infers(
    install: Callable[..., Path], paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install()
    small = "--data.load_size 20 --data.crop_size 16 --data.batch_size 2 --data.num_workers 0 --train.max_steps 2"
    argv = ["--model", "l1_regression", "--name", "mine", "--data.root", paired_root, *small.split()]
    assert run_command("train", *argv) == 0
    assert run_command("train", "--name", "mine", "--resume", "--train.max_steps", "3") == 0
    write(Path("x.png"), drawn_pair(0)[0])
    assert run_command("infer", "mine", "--input", "x.png", "--output", "out") == 0
    assert Path("out/x.png").is_file()
    assert summarise(Path("runs/mine")).model == "l1_regression"
    # the package is gone
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(folder)])
    packaged_models.cache_clear()
    capsys.readouterr()
    Path("l1_regression.py").write_text(MODEL)  # a file of the current folder is not the run's model
    for command in (["infer", "mine"], ["train", "--name", "mine", "--resume"]):
        assert run_command(*command) == 2
        error = capsys.readouterr().err
        assert "l1_regression" in error
        assert "package" in error
        assert error.count("\n") == 1


def test_model_of_a_package_trains_on_toy_data_without_options(install: Callable[..., Path]) -> None:
    install()
    config = parse_train_arguments(["--model", "l1_regression"]).config
    assert config.data.toy
    Path("x.yaml").write_text(config.to_yaml())
    assert load_config(Path("x.yaml")).model == config.model


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("raise RuntimeError('broken')", "broken"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("x = 1", "0 subclasses"),
        (MODEL.replace('"l1_regression"', '"another"'), "another"),
    ],
)
def test_wrong_package_is_one_line(
    install: Callable[..., Path], source: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(source)
    assert run_command("train", "--model", "l1_regression") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --model ")
    assert named in error
    assert error.count("\n") == 1


def test_package_of_the_page_is_whole(tmp_path: Path) -> None:
    """tests/wheel/check.py installs it."""
    assert write_package(tmp_path) == ("my-package", "l1_regression")
    assert (tmp_path / "my_package" / "l1_regression.py").read_text() == MODEL
    assert '"img2img.models"' in (tmp_path / "pyproject.toml").read_text()


def test_own_models_win(install: Callable[..., Path]) -> None:
    install(name="pix2pix")
    assert "pix2pix" not in packaged_models()
    assert model_class("pix2pix").__module__ == "img2img.models.pix2pix"
