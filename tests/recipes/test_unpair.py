"""datasets/unpair.py on drawn pairs."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers import run_command

SCRIPT = Path(__file__).parents[2] / "datasets" / "unpair.py"


@pytest.fixture
def script() -> ModuleType:
    return importlib.import_module("img2img.recipes.unpair")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """shoes/{train,val} and bags/{train,val,test}: the left half of pair N is N everywhere, its right half 100 + N."""
    for name, counts in {"shoes": {"train": 9, "val": 3}, "bags": {"train": 4, "val": 2, "test": 1}}.items():
        for split, count in counts.items():
            for index in range(count):
                folder = "sub" if index % 2 else "."
                draw(tmp_path / name / split / folder / f"{index}_AB.png", index)
        (tmp_path / name / "train/._0_AB.png").touch()
        (tmp_path / name / "train/notes.txt").touch()
    return tmp_path


def draw(path: Path, value: int, width: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pair = np.full((6, width, 3), value, dtype=np.uint8)
    pair[:, width // 2 :] += 100
    Image.fromarray(pair).save(path)


def arguments(root: Path, a: str, b: str, *more: object) -> list[str]:
    """The command for sides such as `shoes/left`."""
    command = ["--a", root / Path(a).parent, "--a-half", Path(a).name, "--b", root / Path(b).parent]
    return [str(argument) for argument in (*command, "--b-half", Path(b).name, "--output", root / "out/set", *more)]


def refused(script: ModuleType, capfd: pytest.CaptureFixture[str], command: list[str], *words: str) -> None:
    """The command fails with one line that has all the words, and leaves nothing."""
    assert run_command("unpair", *command) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    out = Path(command[command.index("--output") + 1]).parent
    assert not out.exists() or not list(out.iterdir())


def stems(folder: Path) -> set[str]:
    return {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.*")}


def values(folder: Path) -> dict[str, int]:
    """The value of each image, which has only one, by its stem."""
    values_by_stem = {}
    for path in folder.rglob("*.*"):
        with Image.open(path) as image:
            pixels = np.array(image)
        assert pixels.shape == (6, 4, 3)
        assert pixels.min() == pixels.max()
        values_by_stem[path.relative_to(folder).with_suffix("").as_posix()] = int(pixels[0, 0, 0])
    return values_by_stem


def pairs(count: int, add: int = 0) -> dict[str, int]:
    return {f"sub/{index}_AB" if index % 2 else f"{index}_AB": index + add for index in range(count)}


def test_unpair_combines_two_sets(script, sets, capsys):
    assert run_command("unpair", *arguments(sets, "shoes/right", "bags/left")) == 0
    out = sets / "out/set"
    assert sorted(path.name for path in out.iterdir()) == ["trainA", "trainB", "valA", "valB"]  # shoes has no test
    assert values(out / "trainA") == pairs(9, add=100)
    assert values(out / "trainB") == pairs(4)
    assert values(out / "valA") == pairs(3, add=100)
    assert values(out / "valB") == pairs(2)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"{out}: 9 trainA, 4 trainB, 3 valA, 2 valB; ")


def test_unpair_splits_one_set(script, sets):
    splits = []
    for index, seed in enumerate((0, 0, 1)):
        out = sets / str(index)
        command = [*arguments(sets, "shoes/left", "shoes/right"), "--output", str(out), "--seed", str(seed)]
        assert run_command("unpair", *command) == 0
        a, b = values(out / "trainA"), values(out / "trainB")
        assert (len(a), len(b)) == (5, 4)
        assert not a.keys() & b.keys()  # no partner
        assert a | b == {**pairs(9), **{stem: value for stem, value in pairs(9, add=100).items() if stem in b}}
        assert values(out / "valA") == pairs(3)
        assert values(out / "valB") == pairs(3, add=100)  # partners, under the same name
        splits.append(a.keys())
    assert splits[0] == splits[1] != splits[2]


def test_unpair_recognises_one_set_by_two_names(script, sets):
    (sets / "link").symlink_to(sets / "shoes")
    assert run_command("unpair", *arguments(sets, "shoes/left", "link/right")) == 0
    assert not stems(sets / "out/set/trainA") & stems(sets / "out/set/trainB")


def test_unpair_uses_both_halves(script, sets):
    assert run_command("unpair", *arguments(sets, "bags/right", "bags/left", "--both")) == 0
    for split, count in {"train": 4, "val": 2, "test": 1}.items():
        assert values(sets / f"out/set/{split}A") == pairs(count, add=100)
        assert values(sets / f"out/set/{split}B") == pairs(count)


def test_unpair_keeps_depth_colour_and_orientation(script, sets):
    random = np.random.default_rng(0)
    shapes = {"gray16": (6, 8), "gray": (6, 8), "colour": (6, 8, 3), "colour16": (6, 8, 3), "alpha": (6, 8, 4)}
    drawn = {}
    for name, shape in shapes.items():
        deep = name.endswith("16")
        drawn[name] = random.integers(0, 65536 if deep else 256, shape, dtype=np.uint16 if deep else np.uint8)
        assert cv2.imwrite(str(sets / f"shoes/train/{name}.png"), drawn[name])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter: the file is 6 wide and 8 high
    turned = random.integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(turned).save(sets / "shoes/train/turned.png", exif=exif)
    drawn["turned"] = np.rot90(turned, -1)[..., ::-1]
    turned = random.integers(0, 256, (8, 6, 4), dtype=np.uint8)
    Image.fromarray(turned).save(sets / "shoes/train/turned_alpha.png", exif=exif)
    drawn["turned_alpha"] = np.rot90(turned, -1)[..., [2, 1, 0, 3]]
    assert run_command("unpair", *arguments(sets, "shoes/left", "shoes/right", "--both")) == 0
    for name, pair in drawn.items():
        for side, half in (("A", pair[:, : pair.shape[1] // 2]), ("B", pair[:, pair.shape[1] // 2 :])):
            written = cv2.imread(str(sets / f"out/set/train{side}/{name}.png"), cv2.IMREAD_UNCHANGED)
            assert written.dtype == half.dtype
            np.testing.assert_array_equal(written, half)


def test_unpair_writes_jpg(script, sets):
    colours = np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8)[np.indices((16, 32))[1] % 2]  # stripes, (16, 32, 3)
    Image.fromarray(colours).save(sets / "shoes/test.png")  # beside the splits: not read
    (sets / "shoes/train/v1.5.png").write_bytes((sets / "shoes/test.png").read_bytes())  # .5 is no suffix
    assert run_command("unpair", *arguments(sets, "shoes/left", "shoes/right", "--both", "--format", "jpg")) == 0
    out = sets / "out/set"
    assert {path.suffix for path in out.rglob("*.*")} == {".jpg"}
    with Image.open(out / "trainB/v1.5.jpg") as image:
        assert np.abs(np.array(image).astype(int) - colours[:, 16:]).max() <= 10  # chroma subsampling: about 120


def test_unpair_refuses_16_bits_and_alpha_as_jpg(script, sets, capfd):
    path = sets / "shoes/val/deep.png"
    for dtype, shape in ((np.uint16, (6, 8)), (np.uint8, (6, 8, 4))):
        assert cv2.imwrite(str(path), np.ones(shape, dtype))
        command = arguments(sets, "shoes/left", "shoes/right", "--format", "jpg")
        refused(script, capfd, command, str(path), "--format png")


def test_unpair_names_unusable_files(script, sets, capfd):
    command = arguments(sets, "shoes/left", "bags/left")
    path = sets / "bags/val/odd.png"
    draw(path, 0, width=7)
    refused(script, capfd, command, str(path), "7 pixels wide")
    path.unlink()
    path = sets / "bags/val/bad.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        path.write_bytes(content)
        refused(script, capfd, command, f"{path} is not a readable image")
    Image.fromarray(noise[..., 0].astype(np.float32)).save(path.with_suffix(".tif"))
    path.unlink()
    refused(script, capfd, command, f"{path.with_suffix('.tif')} has float32 pixels")


def test_unpair_names_unusable_folders(script, sets, capfd):
    command = arguments(sets, "shoes/left", "bags/left")
    draw(sets / "bags/val/0_AB.jpg", 0)
    refused(script, capfd, command, "0_AB.jpg", "0_AB.png", "suffix")
    for path in (sets / "bags/val").rglob("*.*"):
        path.unlink()
    refused(script, capfd, command, f"--b {sets / 'bags/val'}: no images")
    (sets / "shoes/train").rename(sets / "shoes/trainA")
    refused(script, capfd, command, f"--a {sets / 'shoes'}: ", "folder train")
    draw(sets / "one/train/0.png", 0)
    refused(script, capfd, arguments(sets, "one/left", "one/right"), "one training pair", "--both")


def test_unpair_keeps_an_existing_folder(script, sets, capsys):
    (sets / "out/set").mkdir(parents=True)
    assert run_command("unpair", *arguments(sets, "shoes/left", "bags/left")) == 2
    assert f"{sets / 'out/set'} " in capsys.readouterr().err
    assert not list((sets / "out/set").iterdir())


@pytest.mark.parametrize(
    ("a", "b", "more", "words"),
    [
        ("shoes/left", "shoes/left", (), "--a-half left --b-half left: "),
        ("shoes/left", "bags/left", ("--both",), "--both: --a and --b "),
        ("shoes/top", "bags/left", (), "--a-half"),
        ("shoes/left", "bags/left", ("--format", "gif"), "--format"),
    ],
)
def test_unpair_refuses_wrong_options(script, sets, capsys, a, b, more, words):
    assert run_command("unpair", *arguments(sets, a, b, *more)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_unpair_command_line(sets):
    call = [sys.executable, str(SCRIPT), *arguments(sets, "shoes/left", "bags/left")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
