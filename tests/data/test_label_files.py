"""Label and instance maps on disk: depths, palettes, names, and everything that can be wrong with a set of them."""

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


def test_a_scene_is_read_as_it_was_written(labelled_root: Path) -> None:
    found = scenes(labelled_root)
    assert ([found.name(i) for i in range(len(found))], found.photos, found.notes) == (["0", "1", "2", "3"], True, [])
    for i in range(4):
        scene = found.read(i)
        for array, drawn in zip((scene["label"], scene["instance"], scene["target"]), drawn_scene(i + 50), strict=True):
            assert np.array_equal(array, drawn)
        assert scene["label"].dtype == scene["instance"].dtype == np.int32


def test_parts_without_photos_and_sets_without_instances(labelled_root: Path) -> None:
    test = scenes(labelled_root, "test", photos=False)
    assert (test.photos, list(test.read(0))) == (False, ["label", "instance"])
    shutil.rmtree(labelled_root / "train_inst")
    assert list(scenes(labelled_root, instances=False).read(0)) == ["label", "target"]
    assert "train_inst: no such folder; without instance maps: --data.instances false" in error(labelled_root)
    assert "test_img: no such folder; training needs the photos of" in error(labelled_root, "test")


def test_cityscapes_names_pair_by_their_beginning(tmp_path: Path) -> None:
    label, instances, photo = drawn_scene(0)
    for town in ("aachen", "bochum"):
        write(tmp_path / "train_label" / town / f"{town}_000000_gtFine_labelIds.png", label)
        write(tmp_path / "train_inst" / town / f"{town}_000000_gtFine_instanceIds.png", instances)
        write(tmp_path / "train_img" / town / f"{town}_000000_leftImg8bit.png", photo)
    found = scenes(tmp_path)
    assert [found.name(i) for i in range(2)] == ["aachen/aachen_000000", "bochum/bochum_000000"]
    assert np.array_equal(found.read(1)["target"], photo)
    assert scene_name("my_gtFine_set/street_leftImg8bit") == "my_gtFine_set/street"
    assert scene_name("street_label") == "street_label"


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(np.uint8, "png"), (np.uint8, "tif"), (np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")],
)
def test_ids_of_every_depth(tmp_path: Path, dtype: type, suffix: str) -> None:
    top = np.iinfo(dtype).max
    ids = np.array([[0, 1, top], [top - 1, 7, 33 % top]], dtype)
    Image.fromarray(ids).save(tmp_path / f"x.{suffix}")
    read = read_ids(tmp_path / f"x.{suffix}")
    assert read.dtype == np.int32
    assert np.array_equal(read, ids)
    header = read_id_header(tmp_path / f"x.{suffix}")
    assert (header.width, header.height) == (3, 2)
    assert (header.depth == 8) == (dtype == np.uint8)


def test_a_palettes_indices_are_the_ids_and_not_its_colours(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(ids, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768, np.uint8).tobytes())
    for name, options in (("x.png", {}), ("clear.png", {"transparency": 3}), ("small.png", {"bits": 4})):
        image.save(tmp_path / name, **options)
        assert np.array_equal(read_ids(tmp_path / name), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_is_not_spread_out(tmp_path: Path, bits: int) -> None:
    """Pillow reads gray of 4 bits as 0, 17, .. 255."""
    import struct
    import zlib

    ids = np.arange(8, dtype=np.uint8).reshape(1, 8) % 2**bits
    rows = b"\0" + np.packbits(np.unpackbits(ids[0][:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    assert np.array_equal(read_ids(tmp_path / "x.png"), ids)


def test_maps_and_photos_follow_one_rule_of_orientation(labelled_root: Path) -> None:
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
def test_distinct_ids(dtype: type) -> None:
    ids = np.random.default_rng(0).integers(0, min(np.iinfo(dtype).max, 70000), (20, 30)).astype(dtype)
    assert np.array_equal(distinct(ids), np.unique(ids))
    assert distinct(np.array([[-1, 5]], np.int32)).tolist() == [-1, 5]


def test_what_holds_no_ids_is_named(tmp_path: Path) -> None:
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


def test_folders_that_are_missing_are_named(labelled_root: Path, tmp_path: Path) -> None:
    assert "no such folder (datasets/README.md" in error(tmp_path / "nowhere")
    message = error(labelled_root, "valid")
    assert "no split valid (valid_label/ + valid_inst/ + valid_img/; images as inputs take data.label_nc 0)" in message
    assert "there is test, train, val: set data.train_split or data.val_split test" in message


def test_missing_partners_are_listed(labelled_root: Path) -> None:
    (labelled_root / "train_inst" / "2.png").unlink()
    assert error(labelled_root).endswith("train_inst: no partner for 2")
    (labelled_root / "train_img" / "1.tif").rename(labelled_root / "train_img" / "one.tif")
    assert error(labelled_root, instances=False).endswith("train_img: no partner for 1")
    shutil.copy(labelled_root / "train_img" / "one.tif", labelled_root / "train_img" / "1.tif")
    assert error(labelled_root, instances=False).endswith("train_label: no partner for one")
    write(labelled_root / "val_label" / "0.tif", drawn_scene(0)[0])
    assert "val_label: several files for 0: keep one of each" in error(labelled_root, "val")


@pytest.mark.parametrize("folder", ["inst", "img"])
def test_sizes_are_compared(labelled_root: Path, folder: str) -> None:
    (path,) = (labelled_root / f"train_{folder}").glob("2.*")
    write(path, np.zeros((20, 41), np.uint16))
    assert f"2.png is 40x20 but {path} is 41x20" in error(labelled_root)


@pytest.mark.parametrize("folder", ["label", "inst", "img"])
def test_unreadable_files_are_counted_at_start(labelled_root: Path, folder: str) -> None:
    for name in ("1", "3"):
        (path,) = (labelled_root / f"train_{folder}").glob(f"{name}.*")
        path.write_text("no image")
    message = error(labelled_root)
    assert f"train_{folder}/1." in message
    assert "and 1 more such files: mend or remove it" in message


def test_a_damaged_label_map_is_found_at_start_and_other_files_when_read(labelled_root: Path) -> None:
    path = labelled_root / "train_inst" / "1.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UnreadableImage, match=r"train_inst/1\.png"):
        scenes(labelled_root).read(1)
    path = labelled_root / "train_label" / "1.png"
    path.write_bytes(path.read_bytes()[:-60])
    message = error(labelled_root)
    assert "train_label/1.png: can't be read" in message
    assert "mend or remove it" in message


def test_a_file_replaced_since_the_start_is_noticed(labelled_root: Path) -> None:
    found = scenes(labelled_root)
    write(labelled_root / "train_inst" / "1.png", np.zeros((9, 9), np.uint16))
    with pytest.raises(UnreadableImage, match=r"inst/1\.png: not of its label map's size any more"):
        found.read(1)


def test_colours_as_labels_are_refused_at_start(labelled_root: Path) -> None:
    write(labelled_root / "train_label" / "0.png", drawn_scene(0)[2])
    assert "train_label/0.png: RGB pixels, but ids are one channel of integers or a palette" in error(labelled_root)


def test_ids_out_of_range_stop_before_training(labelled_root: Path) -> None:
    label = drawn_scene(50)[0]
    label[:2, :2] = 9, 255
    write(labelled_root / "train_label" / "0.png", label)
    assert len(scenes(labelled_root, label_nc=10)) == 4  # 255 means no class
    message = error(labelled_root)
    assert "train_label/0.png: id 9 is neither in 0..4 nor data.ignore_id 255: set data.label_nc, now 5" in message
    assert "id 9, 255 is neither in 0..4 nor data.ignore_id 20:" in error(labelled_root, ignore_id=20)
    assert "(and 3 more such files)" in error(labelled_root, label_nc=1)
    Image.fromarray(label.astype(np.int32) - 1).save(labelled_root / "train_label" / "0.tif")
    (labelled_root / "train_label" / "0.png").unlink()
    assert "0.tif: id -1, 8, 254 is neither" in error(labelled_root)


def test_instance_maps_cut_off_to_8_bits_are_told_of(labelled_root: Path) -> None:
    label, instances, _ = drawn_scene(50)
    write(labelled_root / "train_inst" / "0.png", label)  # a scene without instances, as Cityscapes writes it
    assert scenes(labelled_root).notes == []
    write(labelled_root / "train_inst" / "0.png", instances.astype(np.uint8))
    (note,) = scenes(labelled_root).notes
    assert "train_inst/0.png: ids of 8 bits that are not their label map's" in note
    write(labelled_root / "train_inst" / "1.png", drawn_scene(51)[1].astype(np.uint8))
    (note,) = scenes(labelled_root).notes
    assert "train_inst/0.png and 1 more: ids of 8 bits" in note
    assert "\n" not in note
    assert scenes(labelled_root, instances=False).notes == []


def test_one_deep_photo_lifts_its_set(labelled_root: Path) -> None:
    photo = drawn_scene(50)[2].astype(np.uint16) * 257
    write(labelled_root / "train_img" / "0.tif", photo)
    found = scenes(labelled_root)
    assert np.array_equal(found.read(0)["target"], photo)
    assert np.array_equal(found.read(1)["target"], drawn_scene(51)[2].astype(np.uint16) * 257)


def test_a_long_check_is_announced_on_a_terminal_alone(labelled_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
