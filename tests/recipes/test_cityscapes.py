"""datasets/prepare_cityscapes.py on a Cityscapes of a few drawn images."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.helpers import run_command

SCRIPT = Path(__file__).parents[2] / "datasets" / "prepare_cityscapes.py"
PALETTE = np.array([[128, 64, 128], [70, 70, 70], [220, 20, 60], [0, 0, 142]], dtype=np.uint8)  # road, building, ...


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("img2img.recipes.cityscapes")
    monkeypatch.setattr(module, "COUNTS", {"train": 3, "val": 1})
    return module


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """The two unpacked archives: 64x128 photos and RGBA labels whose alpha is 0 in places, as Cityscapes' can be."""
    random = np.random.default_rng(0)
    for split, name in [("train", "aachen_0"), ("train", "aachen_1"), ("train", "bochum_0"), ("val", "munster_0")]:
        photo, label = paths(tmp_path, split, name)
        photo.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64, 128, 3), dtype=np.uint8)).save(photo)
        colours = PALETTE[random.integers(0, 4, (8, 16))].repeat(8, axis=0).repeat(8, axis=1)  # (64, 128, 3)
        alpha = random.choice([0, 255], (64, 128, 1)).astype(np.uint8)
        Image.fromarray(np.concatenate([colours, alpha], axis=2)).save(label)
        label.with_name(f"{name}_gtFine_labelIds.png").touch()  # its neighbours are not read
    return tmp_path


def paths(root: Path, split: str, name: str) -> tuple[Path, Path]:
    city = name.split("_")[0]
    return (
        root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png",
        root / "gtFine" / split / city / f"{name}_gtFine_color.png",
    )


def arguments(root: Path, *more: object) -> list[str]:
    command = [
        "--left",
        root / "leftImg8bit",
        "--gt",
        root / "gtFine",
        "--output",
        root / "out/cityscapes",
        "--size",
        16,
        *more,
    ]
    return [str(argument) for argument in command]


def refused(script: ModuleType, capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> None:
    """The command fails with one line that has all the words, and leaves nothing."""
    assert run_command("cityscapes", *arguments(root)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert not (root / "out").exists() or not list((root / "out").iterdir())


def rgb(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("jpg", 6)])
def test_prepare_cityscapes_writes_pairs(script, official, capsys, suffix, tolerance):
    assert run_command("cityscapes", *arguments(official, "--format", suffix)) == 0
    out = official / "out/cityscapes"
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert made == [f"train/{name}.{suffix}" for name in ("aachen_0", "aachen_1", "bochum_0")] + [
        f"val/munster_0.{suffix}"
    ]
    pair = rgb(out / f"train/aachen_1.{suffix}")
    assert pair.shape == (16, 32, 3)
    photo, label = paths(official, "train", "aachen_1")
    mean = rgb(photo).reshape(16, 4, 16, 8, 3).mean(axis=(1, 3))  # 64x128 -> 16x16 by area
    nearest = rgb(label)[::4, ::8]  # the alpha channel is dropped, not blended
    assert np.abs(pair[:, :16] - mean).max() <= 1 + tolerance
    assert np.abs(pair[:, 16:] - nearest).max() <= tolerance
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "3 train, 1 val" in printed.out


def test_prepare_cityscapes_lists_missing_partners(script, official, capsys):
    paths(official, "train", "aachen_0")[1].unlink()
    paths(official, "train", "bochum_0")[0].unlink()
    words = ["*_gtFine_color.png, 1: aachen_0", "*_leftImg8bit.png, 1: bochum_0"]
    refused(script, capsys, official, "train: ", *words)


def test_prepare_cityscapes_names_missing_folders(script, official, tmp_path, capsys):
    (official / "gtFine").rename(official / "elsewhere")
    refused(script, capsys, official, f"--gt {official / 'gtFine'}", "folder train")
    (official / "elsewhere").rename(official / "gtFine")
    for path in paths(official, "val", "munster_0"):
        path.unlink()
    refused(script, capsys, official, f"{official / 'leftImg8bit' / 'val'} ", "*/*_leftImg8bit.png")


def test_prepare_cityscapes_refuses_unreadable_and_unequal_images(script, official, capfd):
    photo, label = paths(official, "train", "aachen_1")
    kept = label.read_bytes()
    for content in (b"", b"no image"):
        label.write_bytes(content)
        refused(script, capfd, official, f"{label} is not a readable image")
    label.write_bytes(kept[: len(kept) // 2])  # libpng prints a line here, before that of the script
    assert run_command("cityscapes", *arguments(official)) == 2
    assert f"{label} is not a readable image" in capfd.readouterr().err
    assert not list((official / "out").iterdir())
    label.write_bytes(kept)
    Image.new("RGB", (32, 64)).save(photo)
    refused(script, capfd, official, str(photo), str(label), "size")


def test_prepare_cityscapes_keeps_an_existing_folder(script, official, capsys):
    out = official / "out/cityscapes"
    out.mkdir(parents=True)
    assert run_command("cityscapes", *arguments(official)) == 2
    assert f"{out} " in capsys.readouterr().err
    assert not list(out.iterdir())
    (official / "file").touch()
    assert run_command("cityscapes", *arguments(official), "--output", str(official / "file/x")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_prepare_cityscapes_command_line(official):
    def command(*more: object) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, str(SCRIPT), *arguments(official, *more)]
        return subprocess.run(call, capture_output=True, text=True, check=False)

    done = command()
    assert done.returncode == 0
    assert done.stderr.splitlines() == [  # the numbers of the official set
        "warning: train has 3 pairs, the official set 2975",
        "warning: val has 1 pairs, the official set 500",
    ]
    wrong = command("--size", 0)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--size 0: " in wrong.stderr
