"""Label and instance maps on disk: depths, palettes, names, and sets with errors."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.data import label_files
from img2img.data.images import UnreadableImage
from img2img.data.label_files import LabelFiles, distinct, read_id_header, read_ids, scene_name
from tests.conftest import drawn_scene, write


def scenes(root: Path, split: str = "train", photos: bool = True, **options: Any) -> LabelFiles:
    return LabelFiles(str(root), [split], **{"label_nc": 5, **options}, photos=photos)


def error(root: Path, split: str = "train", **options: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        scenes(root, split, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_label_files_read_scenes_as_written(labelled_root: Path) -> None:
    files = scenes(labelled_root)
    assert ([files.name(i) for i in range(len(files))], files.photos, files.notes) == (["0", "1", "2", "3"], True, [])
    for i in range(4):
        scene = files.read(i)
        for array, drawn in zip((scene["label"], scene["instance"], scene["target"]), drawn_scene(i + 50), strict=True):
            assert np.array_equal(array, drawn)
        assert scene["label"].dtype == scene["instance"].dtype == np.int32


def test_label_files_without_photos_or_instances(labelled_root: Path) -> None:
    test = scenes(labelled_root, "test", photos=False)
    assert (test.photos, list(test.read(0))) == (False, ["label", "instance"])
    shutil.rmtree(labelled_root / "train_inst")
    assert list(scenes(labelled_root, instances=False).read(0)) == ["label", "target"]
    message = error(labelled_root)
    assert message.startswith(f"{labelled_root / 'train_inst'}: ")
    assert "data.instances false" in message
    assert error(labelled_root, "test").startswith(f"{labelled_root / 'test_img'}: ")


def test_label_files_match_cityscapes_names(tmp_path: Path) -> None:
    label, instances, photo = drawn_scene(0)
    for town in ("aachen", "bochum"):
        write(tmp_path / "train_label" / town / f"{town}_000000_gtFine_labelIds.png", label)
        write(tmp_path / "train_inst" / town / f"{town}_000000_gtFine_instanceIds.png", instances)
        write(tmp_path / "train_img" / town / f"{town}_000000_leftImg8bit.png", photo)
    files = scenes(tmp_path)
    assert [files.name(i) for i in range(2)] == ["aachen/aachen_000000", "bochum/bochum_000000"]
    assert np.array_equal(files.read(1)["target"], photo)
    assert scene_name("my_gtFine_set/street_leftImg8bit") == "my_gtFine_set/street"
    assert scene_name("street_label") == "street_label"


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(np.uint8, "png"), (np.uint8, "tif"), (np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")],
)
def test_read_ids_of_every_depth(tmp_path: Path, dtype: type, suffix: str) -> None:
    top = np.iinfo(dtype).max
    ids = np.array([[0, 1, top], [top - 1, 7, 33 % top]], dtype)
    Image.fromarray(ids).save(tmp_path / f"x.{suffix}")
    read = read_ids(tmp_path / f"x.{suffix}")
    assert read.dtype == np.int32
    assert np.array_equal(read, ids)
    header = read_id_header(tmp_path / f"x.{suffix}")
    assert (header.width, header.height) == (3, 2)
    assert (header.depth == 8) == (dtype == np.uint8)


def test_read_ids_returns_palette_indices(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(ids, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768, np.uint8).tobytes())
    for name, options in (("x.png", {}), ("clear.png", {"transparency": 3}), ("small.png", {"bits": 4})):
        image.save(tmp_path / name, **options)
        assert np.array_equal(read_ids(tmp_path / name), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_read_ids_does_not_stretch_gray_of_few_bits(tmp_path: Path, bits: int) -> None:
    """Pillow reads gray of 4 bits as 0, 17, .. 255."""
    import struct
    import zlib

    ids = np.arange(8, dtype=np.uint8).reshape(1, 8) % 2**bits
    rows = b"\0" + np.packbits(np.unpackbits(ids[0][:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    assert np.array_equal(read_ids(tmp_path / "x.png"), ids)


def test_label_files_apply_exif_orientation(labelled_root: Path) -> None:
    """A photo of a camera held upright, and maps that were drawn on it by a program that kept its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for folder in ("label", "inst", "img"):
        (path,) = (labelled_root / f"train_{folder}").glob("0.*")
        with Image.open(path) as image:
            upright = image.copy()
        upright.save(path.with_suffix(".png"), exif=exif)
        if path.suffix != ".png":
            path.unlink()
    scene = scenes(labelled_root).read(0)
    for array, drawn in zip((scene["label"], scene["instance"], scene["target"]), drawn_scene(50), strict=True):
        assert np.array_equal(array, np.rot90(drawn, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_distinct_equals_unique(dtype: type) -> None:
    ids = np.random.default_rng(0).integers(0, min(np.iinfo(dtype).max, 70000), (20, 30)).astype(dtype)
    assert np.array_equal(distinct(ids), np.unique(ids))
    assert distinct(np.array([[-1, 5]], np.int32)).tolist() == [-1, 5]


def test_read_ids_names_files_without_ids(tmp_path: Path) -> None:
    gray = np.zeros((8, 8), np.uint8)
    for name, image in (
        ("colour.png", np.zeros((8, 8, 3), np.uint8)),
        ("alpha.png", np.zeros((8, 8, 4), np.uint8)),
        ("float.tif", gray.astype(np.float32)),
        ("lossy.jpg", gray),
        ("half.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)),
    ):
        Image.fromarray(image).save(tmp_path / name)
    data = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    for path in [*tmp_path.iterdir(), tmp_path / "missing.png"]:
        with pytest.raises(UnreadableImage, match=path.name):
            read_ids(path)
        if path.name != "half.png":
            with pytest.raises(UnreadableImage, match=path.name):
                read_id_header(path)


def test_label_files_name_missing_folders(labelled_root: Path, tmp_path: Path) -> None:
    assert error(tmp_path / "nowhere").startswith(f"data.root {tmp_path / 'nowhere'}: ")
    message = error(labelled_root, "valid")
    assert message.startswith(f"data.root {labelled_root}: no split valid (valid_label/ + valid_inst/ + valid_img/; ")
    assert "data.label_nc 0" in message
    assert message.endswith("test, train, val: set data.train_split or data.val_split test")


def test_label_files_list_missing_partners(labelled_root: Path) -> None:
    (labelled_root / "train_inst" / "2.png").unlink()
    assert error(labelled_root).startswith(f"{labelled_root / 'train_inst'}: no partner for 1 image of ")
    (labelled_root / "train_img" / "1.tif").rename(labelled_root / "train_img" / "one.tif")
    assert error(labelled_root, instances=False).startswith(
        f"{labelled_root / 'train_img'}: no partner for 1 image of "
    )
    shutil.copy(labelled_root / "train_img" / "one.tif", labelled_root / "train_img" / "1.tif")
    assert error(labelled_root, instances=False).startswith(
        f"{labelled_root / 'train_label'}: no partner for 1 image of "
    )
    write(labelled_root / "val_label" / "0.tif", drawn_scene(0)[0])
    assert error(labelled_root, "val").startswith(f"{labelled_root / 'val_label'}: several files for 0: ")


@pytest.mark.parametrize("folder", ["inst", "img"])
def test_label_files_refuse_different_sizes(labelled_root: Path, folder: str) -> None:
    (path,) = (labelled_root / f"train_{folder}").glob("2.*")
    write(path, np.zeros((20, 41), np.uint16))
    assert error(labelled_root).startswith(f"{labelled_root / 'train_label' / '2.png'} is 40x20 but {path} is 41x20: ")


@pytest.mark.parametrize("folder", ["label", "inst", "img"])
def test_label_files_count_unreadable_files(labelled_root: Path, folder: str) -> None:
    for name in ("1", "3"):
        (path,) = (labelled_root / f"train_{folder}").glob(f"{name}.*")
        path.write_text("no image")
    message = error(labelled_root)
    assert f"train_{folder}/1." in message
    assert "and 1 more" in message


def test_label_files_decode_label_maps_at_start_and_others_when_read(labelled_root: Path) -> None:
    path = labelled_root / "train_inst" / "1.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UnreadableImage, match=r"train_inst/1\.png"):
        scenes(labelled_root).read(1)
    path = labelled_root / "train_label" / "1.png"
    path.write_bytes(path.read_bytes()[:-60])
    assert error(labelled_root).startswith(f"{path}: can't be read (")


def test_label_files_notice_a_replaced_file(labelled_root: Path) -> None:
    files = scenes(labelled_root)
    write(labelled_root / "train_inst" / "1.png", np.zeros((9, 9), np.uint16))
    with pytest.raises(UnreadableImage, match=r"inst/1\.png: .*size"):
        files.read(1)


def test_label_files_refuse_colours_as_labels(labelled_root: Path) -> None:
    write(labelled_root / "train_label" / "0.png", drawn_scene(0)[2])
    assert error(labelled_root).startswith(f"{labelled_root / 'train_label' / '0.png'}: RGB pixels")


def test_label_files_refuse_ids_out_of_range(labelled_root: Path) -> None:
    label = drawn_scene(50)[0]
    label[:2, :2] = 9, 255
    write(labelled_root / "train_label" / "0.png", label)
    assert len(scenes(labelled_root, label_nc=10)) == 4  # 255 means no class
    message = error(labelled_root)
    assert "train_label/0.png: id 9 " in message
    assert "0..4 nor data.ignore_id 255: set data.label_nc, now 5" in message
    message = error(labelled_root, ignore_id=20)
    assert "id 9, 255 " in message
    assert "data.ignore_id 20" in message
    assert "and 3 more" in error(labelled_root, label_nc=1)
    Image.fromarray(label.astype(np.int32) - 1).save(labelled_root / "train_label" / "0.tif")
    (labelled_root / "train_label" / "0.png").unlink()
    assert "0.tif: id -1, 8, 254 " in error(labelled_root)


def test_label_files_warn_of_instance_ids_cut_to_8_bits(labelled_root: Path) -> None:
    label, instances, _ = drawn_scene(50)
    write(labelled_root / "train_inst" / "0.png", label)  # a scene without instances, as Cityscapes writes it
    assert scenes(labelled_root).notes == []
    write(labelled_root / "train_inst" / "0.png", instances.astype(np.uint8))
    (note,) = scenes(labelled_root).notes
    assert note.startswith(f"{labelled_root / 'train_inst' / '0.png'}: 8-bit")
    write(labelled_root / "train_inst" / "1.png", drawn_scene(51)[1].astype(np.uint8))
    (note,) = scenes(labelled_root).notes
    assert note.startswith(f"{labelled_root / 'train_inst' / '0.png'} and 1 more: 8-bit")
    assert "\n" not in note
    assert scenes(labelled_root, instances=False).notes == []


def test_label_files_convert_all_photos_to_the_highest_depth(labelled_root: Path) -> None:
    photo = drawn_scene(50)[2].astype(np.uint16) * 257
    write(labelled_root / "train_img" / "0.tif", photo)
    files = scenes(labelled_root)
    assert np.array_equal(files.read(0)["target"], photo)
    assert np.array_equal(files.read(1)["target"], drawn_scene(51)[2].astype(np.uint16) * 257)


def test_label_files_show_a_progress_bar_for_many_maps(labelled_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disabled = []
    bar = label_files.tqdm

    def watched(*args: Any, **options: Any) -> Any:
        disabled.append(options["disable"])
        return bar(*args, **options)

    monkeypatch.setattr(label_files, "tqdm", watched)
    scenes(labelled_root)
    monkeypatch.setattr(label_files, "BAR", 3)
    scenes(labelled_root)
    assert disabled == [True, None]
