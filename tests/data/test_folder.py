"""Finding pairs: three layouts, and everything that can be wrong with them."""

from pathlib import Path

import numpy as np
import pytest

from img2img.data.folder import FolderPairs, find_files, list_images
from tests.conftest import drawn_pair, write

RGB = (3, 3)


@pytest.mark.parametrize("layout", ["together", "trainA", "train_A", "train/A"])
def test_layouts(tmp_path: Path, layout: str) -> None:
    for i in range(3):
        a, b = drawn_pair(i)
        if layout == "together":
            write(tmp_path / "train" / f"{i}.png", np.concatenate([a, b], axis=1))
        else:  # B sorts in another order by its suffixes, and pairs by stem all the same
            write(tmp_path / f"{layout}" / f"{i}.png", a)
            write(tmp_path / f"{layout[:-1]}B" / f"{i}.{'tif' if i == 0 else 'png'}", b)
    pairs = FolderPairs(str(tmp_path), ["train"], RGB)
    assert [pairs.name(i) for i in range(len(pairs))] == ["0", "1", "2"]
    for i in range(3):
        for found, drawn in zip(pairs.read(i), drawn_pair(i), strict=True):
            assert np.array_equal(found, drawn)


def test_subfolders_pair_by_their_path(tmp_path: Path) -> None:
    for side in "AB":
        for name in ("x/1.png", "y/1.png"):
            write(tmp_path / f"train{side}" / name, drawn_pair(ord(side) + ord(name[0]))[0])
    assert find_files(tmp_path, ["train"]).b == ["x/1.png", "y/1.png"]


def test_hidden_files_are_passed_over(paired_root: Path) -> None:
    (paired_root / "train" / "._0.png").write_bytes(b"finder")
    (paired_root / "train" / "notes.txt").touch()
    assert len(find_files(paired_root, ["train"]).a) == 6


def test_channels_and_depth(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "0.png", np.full((8, 8), 7, np.uint8))
    write(tmp_path / "trainB" / "0.png", np.full((8, 8, 3), 1000, np.uint16))
    write(tmp_path / "trainA" / "1.png", np.full((8, 8, 3), 7, np.uint8))
    write(tmp_path / "trainB" / "1.png", np.full((8, 8, 3), 100, np.uint8))
    pairs = FolderPairs(str(tmp_path), ["train"], (1, 4))
    shapes = [(a.shape, a.dtype, b.shape, b.dtype) for a, b in (pairs.read(0), pairs.read(1))]
    assert shapes[0] == shapes[1] == ((8, 8, 1), np.uint8, (8, 8, 4), np.uint16)
    assert pairs.read(1)[1][0, 0].tolist() == [25700, 25700, 25700, 65535]  # one 16-bit file lifts its side


def errors(root: Path, split: str = "train") -> str:
    with pytest.raises(ValueError, match=r".") as error:
        FolderPairs(str(root), [split], RGB)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_wrong_is_named(paired_root: Path, tmp_path: Path) -> None:
    assert "no such folder" in errors(tmp_path / "nowhere")
    assert "there is train, val: set data.train_split or data.val_split train" in errors(paired_root, "test")
    (paired_root / "train").rename(paired_root / "learn")
    assert "no split train" in errors(paired_root)
    assert "there is learn, val: set data.train_split learn" in errors(paired_root)
    (tmp_path / "bare" / "train").mkdir(parents=True)
    assert "no image in it" in errors(tmp_path / "bare")
    (tmp_path / "half" / "trainA").mkdir(parents=True)
    assert "trainB: no such folder" in errors(tmp_path / "half")


def test_a_folder_above_or_below_the_set_is_told(paired_root: Path, labelled_root: Path, tmp_path: Path) -> None:
    assert f"it holds sets (scenes, set): data.root {labelled_root}?" in errors(paired_root.parent)
    inside = errors(paired_root / "train")
    assert inside.endswith(f"this is the split itself: give its parent, data.root {paired_root}")
    assert inside.count("\n") == 0
    (tmp_path / "both" / "train" / "A").mkdir(parents=True)
    assert f"give its parent, data.root {tmp_path / 'both'}" in errors(tmp_path / "both" / "train")
    assert "label maps: --model pix2pixhd --data.label_nc N" in errors(labelled_root)


def test_pairs_side_by_side_tell_their_size(paired_root: Path, tmp_path: Path) -> None:
    pairs = FolderPairs(str(paired_root), ["train"], RGB)
    assert pairs.notes == ["pairs       side by side, 40x20 each: A and B are 20x20"]
    write(paired_root / "train" / "x.png", drawn_pair(9, 90, 40)[0])
    assert FolderPairs(str(paired_root), ["train"], RGB).notes == [
        "pairs       side by side, 40x20: A and B are 20x20; others differ in size",
        "pairs       x.png would be two images of 20x90: if it is one, not two, the set has no pairs; cyclegan "
        "learns from trainA/ and trainB/",
    ]
    for side in "AB":
        write(tmp_path / "sides" / f"train{side}" / "0.png", drawn_pair(0, 90, 20)[0])
    assert FolderPairs(str(tmp_path / "sides"), ["train"], RGB).notes == []


def test_missing_partners_are_listed(tmp_path: Path) -> None:
    for i in range(14):
        write(tmp_path / "trainA" / f"{i:02d}.png", drawn_pair(i)[0])
    write(tmp_path / "trainB" / "00.png", drawn_pair(0)[1])
    message = errors(tmp_path)
    assert "trainB: no partner for 01, 02" in message
    assert "and 3 more" in message
    write(tmp_path / "trainB" / "extra.png", drawn_pair(0)[1])
    for i in range(14):
        write(tmp_path / "trainB" / f"{i:02d}.png", drawn_pair(i)[1])
    assert "trainA: no partner for extra" in errors(tmp_path)


def test_two_files_of_one_stem_are_ambiguous(tmp_path: Path) -> None:
    for name in ("A/0.png", "A/0.tif", "B/0.png"):
        write(tmp_path / "train" / name, drawn_pair(0)[0])
    assert "several files for 0" in errors(tmp_path)


def test_sizes_are_compared(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "0.png", np.zeros((8, 8, 3), np.uint8))
    write(tmp_path / "trainB" / "0.png", np.zeros((8, 9, 3), np.uint8))
    message = errors(tmp_path)
    assert "8x8" in message
    assert "9x8" in message
    write(tmp_path / "odd" / "train" / "0.png", np.zeros((8, 9, 3), np.uint8))
    assert "side by side" in errors(tmp_path / "odd")


def test_unreadable_files_are_counted_at_start(paired_root: Path) -> None:
    (paired_root / "train" / "0.png").write_text("no image")
    (paired_root / "train" / "3.png").write_bytes(b"")
    message = errors(paired_root)
    assert "0.png" in message
    assert "1 more" in message


def test_listing_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        list_images(tmp_path / "nowhere")
