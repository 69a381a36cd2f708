"""Cutting images into squares: nothing is lost, nothing changes, nothing is half-written."""

from pathlib import Path

import numpy as np
import pytest

from img2img.data.images import read_image
from img2img.recipes.cut import cut_images
from tests.conftest import write
from tests.helpers import call


def photo(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_squares_hold_every_pixel_of_the_image(tmp_path: Path, channels: int, dtype: type) -> None:
    image = photo(50, 70, channels, dtype)
    write(tmp_path / "photos" / "train" / "a.png", image)
    assert cut_images(tmp_path / "photos", tmp_path / "cut", size=32, step=24) == (1, 6)
    squares = [read_image(tmp_path / "cut" / "train" / f"a_s00{number}.png", channels) for number in range(1, 7)]
    places = [(top, left) for top in (0, 18) for left in (0, 24, 38)]
    for square, (top, left) in zip(squares, places, strict=True):
        assert square.dtype == dtype
        assert np.array_equal(square, image[top : top + 32, left : left + 32])


def test_image_of_one_square_and_a_smaller_one(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "exact.png", photo(32, 32))
    write(tmp_path / "photos" / "low.png", photo(20, 64))
    assert cut_images(tmp_path / "photos", tmp_path / "cut", size=32, step=32) == (2, 3)
    names = sorted(path.name for path in (tmp_path / "cut").iterdir())
    assert names == ["exact_s001.png", "low_s001.png", "low_s002.png"]
    assert read_image(tmp_path / "cut" / "low_s002.png", 3).shape == (20, 32, 3)


def test_pairs_of_two_sizes_stay_pairs(tmp_path: Path) -> None:
    """A folder of half the size, cut by half of size and step, has squares of the same names and places."""
    large = photo(60, 90)
    write(tmp_path / "large" / "x.png", large)
    write(tmp_path / "small" / "x.png", np.ascontiguousarray(large[::2, ::2]))
    cut_images(tmp_path / "large", tmp_path / "b", size=32, step=16)
    cut_images(tmp_path / "small", tmp_path / "a", size=16, step=8)
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in names:
        assert np.array_equal(read_image(tmp_path / "b" / name, 3)[::2, ::2], read_image(tmp_path / "a" / name, 3))


def test_damaged_file_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("photos/a.png"), photo(40, 40))
    Path("photos/b.png").write_bytes(Path("photos/a.png").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"b\.png"):
        cut_images(Path("photos"), Path("cut"), size=32, step=32)
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["photos", "--output", "cut", "--size", "0"], "size 0"),
        (["photos", "--output", "cut", "--size", "16", "--step", "17"], "step 17"),
        (["photos", "--output", "photos/cut"], "photos/cut"),
        (["photos", "--output", "there"], "there"),
        (["nowhere", "--output", "cut"], "nowhere"),
        (["twice", "--output", "cut"], "a.png"),
        (["photos"], "--output"),
    ],
)
def test_wrong_option_or_folder_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("photos/a.png"), photo(40, 40))
    write(Path("twice/a.png"), photo(40, 40))
    write(Path("twice/a.bmp"), photo(40, 40))
    Path("there").mkdir()
    assert call(monkeypatch, "cut", *argv) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not Path("cut").exists()


def test_tool_cuts_by_three_quarters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("photos/a.png"), photo(28, 28))
    assert call(monkeypatch, "cut", "photos", "--output", "cut", "--size", "16") == 0
    assert len(list(Path("cut").iterdir())) == 4
