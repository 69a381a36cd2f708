"""Pairs of a folder: layouts, and sets with errors."""

from pathlib import Path

import numpy as np
import pytest

from img2img.data.folder import FolderPairs, find_files, list_images
from tests.conftest import drawn_pair, write

RGB = (3, 3)


@pytest.mark.parametrize("layout", ["together", "trainA", "train_A", "train/A"])
def test_folder_pairs_read_every_layout(tmp_path: Path, layout: str) -> None:
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
        for image, drawn in zip(pairs.read(i), drawn_pair(i), strict=True):
            assert np.array_equal(image, drawn)


def test_find_files_pairs_subfolders_by_path(tmp_path: Path) -> None:
    for side in "AB":
        for name in ("x/1.png", "y/1.png"):
            write(tmp_path / f"train{side}" / name, drawn_pair(ord(side) + ord(name[0]))[0])
    assert find_files(tmp_path, ["train"]).b == ["x/1.png", "y/1.png"]


def test_find_files_ignores_hidden_files(paired_root: Path) -> None:
    (paired_root / "train" / "._0.png").write_bytes(b"finder")
    (paired_root / "train" / "notes.txt").touch()
    assert len(find_files(paired_root, ["train"]).a) == 6


def test_folder_pairs_convert_channels_and_depth(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "0.png", np.full((8, 8), 7, np.uint8))
    write(tmp_path / "trainB" / "0.png", np.full((8, 8, 3), 1000, np.uint16))
    write(tmp_path / "trainA" / "1.png", np.full((8, 8, 3), 7, np.uint8))
    write(tmp_path / "trainB" / "1.png", np.full((8, 8, 3), 100, np.uint8))
    pairs = FolderPairs(str(tmp_path), ["train"], (1, 4))
    shapes = [(a.shape, a.dtype, b.shape, b.dtype) for a, b in (pairs.read(0), pairs.read(1))]
    assert shapes[0] == shapes[1] == ((8, 8, 1), np.uint8, (8, 8, 4), np.uint16)
    assert pairs.read(1)[1][0, 0].tolist() == [
        25700,
        25700,
        25700,
        65535,
    ]  # one 16-bit file makes all of its side 16-bit


def errors(root: Path, split: str = "train") -> str:
    with pytest.raises(ValueError, match=r".") as error:
        FolderPairs(str(root), [split], RGB)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folder_pairs_name_missing_folders_and_splits(paired_root: Path, tmp_path: Path) -> None:
    assert errors(tmp_path / "nowhere").startswith(f"data.root {tmp_path / 'nowhere'}: ")
    assert "train, val: set data.train_split or data.val_split train" in errors(paired_root, "test")
    (paired_root / "train").rename(paired_root / "learn")
    assert errors(paired_root).startswith(f"data.root {paired_root}: no split train ")
    assert errors(paired_root).endswith("set data.train_split learn")
    (tmp_path / "bare" / "train").mkdir(parents=True)
    assert errors(tmp_path / "bare").startswith(f"{tmp_path / 'bare' / 'train'}: ")
    (tmp_path / "half" / "trainA").mkdir(parents=True)
    assert errors(tmp_path / "half").startswith(f"{tmp_path / 'half' / 'trainB'}: ")


def test_folder_pairs_suggest_a_set_nearby(paired_root: Path, labelled_root: Path, tmp_path: Path) -> None:
    message = errors(paired_root.parent)
    assert "(scenes, set)" in message
    assert f"data.root {labelled_root}?" in message
    assert f"set data.root {paired_root}," in errors(paired_root / "train")
    (tmp_path / "both" / "train" / "A").mkdir(parents=True)
    assert f"set data.root {tmp_path / 'both'}," in errors(tmp_path / "both" / "train")
    assert "--model pix2pixhd --data.label_nc N" in errors(labelled_root)


def test_folder_pairs_note_the_size_of_side_by_side_files(paired_root: Path, tmp_path: Path) -> None:
    pairs = FolderPairs(str(paired_root), ["train"], RGB)
    assert pairs.notes == ["pairs       side by side, 40x20 each: A and B are 20x20"]
    write(paired_root / "train" / "x.png", drawn_pair(9, 90, 40)[0])
    sizes, warning = FolderPairs(str(paired_root), ["train"], RGB).notes
    assert sizes == "pairs       side by side, 40x20: A and B are 20x20; others differ in size"
    assert warning.startswith("pairs       x.png ")
    assert "20x90" in warning
    for side in "AB":
        write(tmp_path / "sides" / f"train{side}" / "0.png", drawn_pair(0, 90, 20)[0])
    assert FolderPairs(str(tmp_path / "sides"), ["train"], RGB).notes == []


def test_folder_pairs_list_missing_partners(tmp_path: Path) -> None:
    for i in range(14):
        write(tmp_path / "trainA" / f"{i:02d}.png", drawn_pair(i)[0])
    write(tmp_path / "trainB" / "00.png", drawn_pair(0)[1])
    message = errors(tmp_path)
    assert message.startswith(f"{tmp_path / 'trainB'}: no partner for 13 images of {tmp_path / 'trainA'} (01, 02, ")
    assert "and 3 more" in message
    write(tmp_path / "trainB" / "extra.png", drawn_pair(0)[1])
    for i in range(14):
        write(tmp_path / "trainB" / f"{i:02d}.png", drawn_pair(i)[1])
    message = errors(tmp_path)
    assert message.startswith(f"{tmp_path / 'trainA'}: no partner for 1 image of ")
    assert "(extra)" in message


def test_folder_pairs_name_the_tool_for_two_plain_folders(tmp_path: Path) -> None:
    for folder in ("drawings", "photos"):
        write(tmp_path / folder / "1.png", drawn_pair(0)[0])
    message = errors(tmp_path)
    assert f"img2img pair --a {tmp_path / 'drawings'} --b {tmp_path / 'photos'}" in message


def test_folder_pairs_refuse_two_files_of_one_stem(tmp_path: Path) -> None:
    for name in ("A/0.png", "A/0.tif", "B/0.png"):
        write(tmp_path / "train" / name, drawn_pair(0)[0])
    assert errors(tmp_path).startswith(f"{tmp_path / 'train' / 'A'}: several files for 0: ")


def test_folder_pairs_refuse_different_sizes(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "0.png", np.zeros((8, 8, 3), np.uint8))
    write(tmp_path / "trainB" / "0.png", np.zeros((8, 9, 3), np.uint8))
    message = errors(tmp_path)
    assert f"{tmp_path / 'trainA' / '0.png'} is 8x8 " in message
    assert f"{tmp_path / 'trainB' / '0.png'} is 9x8" in message
    write(tmp_path / "odd" / "train" / "0.png", np.zeros((8, 9, 3), np.uint8))
    assert errors(tmp_path / "odd").startswith(f"{tmp_path / 'odd' / 'train' / '0.png'}: 9 pixels wide")


def test_folder_pairs_count_unreadable_files(paired_root: Path) -> None:
    (paired_root / "train" / "0.png").write_text("no image")
    (paired_root / "train" / "3.png").write_bytes(b"")
    message = errors(paired_root)
    assert "0.png" in message
    assert "1 more" in message


def test_list_images_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        list_images(tmp_path / "nowhere")
