"""Palettes, lists of classes, and folders of class maps."""

from pathlib import Path

import numpy as np
import pytest

from img2img.evaluation.fcn.label_maps import CITYSCAPES_SCORED, LabelFolder, Palette, load_palette, parse_classes
from img2img.inference.label_edits import CITYSCAPES
from tests.conftest import drawn_pair, write


def painted(palette: Palette, ids: np.ndarray) -> np.ndarray:
    return palette.colours[ids].astype(np.uint8)


def test_a_painted_map_is_read_back_though_its_colours_are_off() -> None:
    random = np.random.default_rng(0)
    palette = load_palette("cityscapes")
    ids = random.choice(CITYSCAPES_SCORED, (40, 50))
    noisy = (painted(palette, ids) + random.integers(-4, 5, (40, 50, 3))).clip(0, 255).astype(np.uint8)
    assert np.array_equal(palette.ids(painted(palette, ids)), ids)
    assert (palette.ids(noisy) == ids).mean() > 0.99
    distance = np.linalg.norm(noisy[:, :, None].astype(float) - palette.colours, axis=3)  # (H, W, N), the slow way
    assert np.array_equal(palette.ids(noisy), distance.argmin(axis=2))
    assert palette.strangeness(noisy) == pytest.approx(np.median(distance.min(axis=2)), rel=1e-4)
    assert palette.strangeness(drawn_pair(0)[1]) > 20


def test_cityscapes_colours_tell_its_scored_classes_apart() -> None:
    palette = load_palette("cityscapes")
    assert len(palette.colours) == len(CITYSCAPES)
    assert {*CITYSCAPES_SCORED} < {*palette.meant}
    assert 18 not in palette.meant  # polegroup has the colour of pole


def test_a_palette_is_a_file_of_lines() -> None:
    Path("p.txt").write_text("# classes\n0 0 170 background\n\n0,0,255  # facade\n0 85 255 a window\n")
    palette = load_palette("p.txt")
    assert palette.colours.tolist() == [[0, 0, 170], [0, 0, 255], [0, 85, 255]]
    assert palette.names == {0: "background", 1: "1", 2: "a window"}
    for text, message in {
        "0 0 256": "--palette p.txt, line 1: expected R G B of 0..255",
        "0 0 1\n7 seven 7": "--palette p.txt, line 2: expected R G B .* not '7 seven 7'",
        "1 2 3": "--palette p.txt: 1 colours in it; there must be two",
    }.items():
        Path("p.txt").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_palette("p.txt")
    Path("p.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"--palette p\.txt: no text; it is cityscapes, or a file of lines"):
        load_palette("p.txt")
    with pytest.raises(ValueError, match="--palette city: No such file"):
        load_palette("city")


def test_a_palette_may_come_from_any_editor() -> None:
    Path("p.txt").write_bytes(b"\xef\xbb\xbf#0000AA background\r\n#8040ff\r\n")
    palette = load_palette("p.txt")
    assert palette.colours.tolist() == [[0, 0, 170], [128, 64, 255]]
    assert palette.names == {0: "background", 1: "1"}


def test_many_colours_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    palette, picture = load_palette("cityscapes"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = palette.ids(picture), palette.strangeness(picture)
    monkeypatch.setattr("img2img.evaluation.fcn.label_maps.BLOCK", 100)
    assert np.array_equal(palette.ids(picture), whole[0])
    assert palette.strangeness(picture) == whole[1]


def test_lists_of_classes() -> None:
    assert parse_classes("cityscapes") == CITYSCAPES_SCORED
    assert parse_classes("7, -,11") == (7, -1, 11)
    for text, message in {
        "7,x": "expected cityscapes, or ids",
        "7,7": "an id stands there twice",
        "-,-": "no id",
    }.items():
        with pytest.raises(ValueError, match=f"--classes {text}: {message}"):
            parse_classes(text)


def test_maps_are_found_by_the_names_of_images() -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for kind, image in {"labelIds": ids, "instanceIds": ids + 1, "color": ids + 2}.items():
        write(Path("gt") / "ulm" / f"ulm_000001_000019_gtFine_{kind}.png", image)
    maps = LabelFolder(Path("gt"))
    maps.require(["ulm_000001_000019_leftImg8bit.jpg", "x/ulm_000001_000019_gtFine_labelIds_synthesized_image.jpg"])
    assert np.array_equal(maps.read("ulm_000001_000019.png"), ids)
    with pytest.raises(ValueError, match=r"--labels gt: no map for jena_1\.png"):
        maps.require(["jena_1.png"])
    write(Path("gt") / "other" / "ulm_000001_000019_gtFine_labelIds.png", ids)
    with pytest.raises(ValueError, match="have one name; keep one of them"):
        LabelFolder(Path("gt"))
    with pytest.raises(ValueError, match="--labels no: no such folder"):
        LabelFolder(Path("no"))


def test_a_folder_may_hold_ids_or_colours_and_says_which_it_can_not_read() -> None:
    palette = load_palette("cityscapes")
    ids = np.random.default_rng(0).choice(CITYSCAPES_SCORED, (8, 9)).astype(np.uint8)
    write(Path("maps/ids.png"), ids)
    write(Path("maps/colours.png"), painted(palette, ids))
    maps = LabelFolder(Path("maps"), palette)
    maps.require(["ids", "colours"])
    assert np.array_equal(maps.read("ids"), ids)
    assert np.array_equal(maps.read("colours"), ids)
    with pytest.raises(
        ValueError, match=r"--labels maps/colours\.png: RGB pixels.*; if it is painted, --palette tells"
    ):
        LabelFolder(Path("maps")).require(["ids", "colours"])
    write(Path("jpeg/1.jpg"), ids)
    with pytest.raises(ValueError, match=r"--labels jpeg/1\.jpg: a JPEG, which changes ids"):
        LabelFolder(Path("jpeg")).require(["1"])


def test_maps_of_a_folder_may_be_painted() -> None:
    palette = load_palette("cityscapes")
    ids = np.random.default_rng(0).choice(CITYSCAPES_SCORED, (8, 9))
    write(Path("maps/1.png"), painted(palette, ids))
    assert np.array_equal(LabelFolder(Path("maps"), palette).read("1.jpg"), ids)
