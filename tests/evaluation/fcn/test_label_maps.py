"""Palettes, lists of classes, and folders of label maps."""

from pathlib import Path

import numpy as np
import pytest

from img2img.evaluation.fcn.label_maps import CITYSCAPES_EVAL_CLASSES, LabelFolder, Palette, load_palette, parse_classes
from img2img.inference.label_edits import CITYSCAPES
from tests.conftest import drawn_pair, write


def colour_coded(palette: Palette, ids: np.ndarray) -> np.ndarray:
    """(H, W) class ids -> (H, W, 3) uint8."""
    return palette.colours[ids].astype(np.uint8)


def test_palette_decodes_noisy_colours() -> None:
    random = np.random.default_rng(0)
    palette = load_palette("cityscapes")
    ids = random.choice(CITYSCAPES_EVAL_CLASSES, (40, 50))
    noisy = (colour_coded(palette, ids) + random.integers(-4, 5, (40, 50, 3))).clip(0, 255).astype(np.uint8)
    assert np.array_equal(palette.ids(colour_coded(palette, ids)), ids)
    assert (palette.ids(noisy) == ids).mean() > 0.99
    distance = np.linalg.norm(noisy[:, :, None].astype(float) - palette.colours, axis=3)  # (H, W, N), slow reference
    assert np.array_equal(palette.ids(noisy), distance.argmin(axis=2))
    assert palette.distance(noisy) == pytest.approx(np.median(distance.min(axis=2)), rel=1e-4)
    assert palette.distance(drawn_pair(0)[1]) > 20


def test_cityscapes_palette_has_a_colour_for_each_evaluated_class() -> None:
    palette = load_palette("cityscapes")
    assert len(palette.colours) == len(CITYSCAPES)
    assert {*CITYSCAPES_EVAL_CLASSES} < {*palette.classes}
    assert 18 not in palette.classes  # polegroup has the same colour as pole


def test_load_palette_reads_lines() -> None:
    Path("p.txt").write_text("# classes\n0 0 170 background\n\n0,0,255  # facade\n0 85 255 a window\n")
    palette = load_palette("p.txt")
    assert palette.colours.tolist() == [[0, 0, 170], [0, 0, 255], [0, 85, 255]]
    assert palette.names == {0: "background", 1: "1", 2: "a window"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"0 0 256", r"--palette p\.txt, line 1: .*'0 0 256'"),
        (b"0 0 1\n7 seven 7", r"--palette p\.txt, line 2: .*'7 seven 7'"),
        (b"1 2 3", r"--palette p\.txt: .*\b1 .*\b2"),  # colours: has 1, needs 2
        (b"\xff\xfe\x00", r"--palette p\.txt: .*text.*R G B"),
    ],
)
def test_load_palette_refuses_files(content: bytes, error: str) -> None:
    Path("p.txt").write_bytes(content)
    with pytest.raises(ValueError, match=error):
        load_palette("p.txt")


def test_load_palette_refuses_unknown_name() -> None:
    with pytest.raises(ValueError, match="--palette city: No such file"):
        load_palette("city")


def test_load_palette_reads_byte_order_mark_and_hex_colours() -> None:
    Path("p.txt").write_bytes(b"\xef\xbb\xbf#0000AA background\r\n#8040ff\r\n")
    palette = load_palette("p.txt")
    assert palette.colours.tolist() == [[0, 0, 170], [128, 64, 255]]
    assert palette.names == {0: "background", 1: "1"}


def test_palette_gives_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    palette, image = load_palette("cityscapes"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    ids, distance = palette.ids(image), palette.distance(image)
    monkeypatch.setattr("img2img.evaluation.fcn.label_maps.BLOCK", 100)
    assert np.array_equal(palette.ids(image), ids)
    assert palette.distance(image) == distance


def test_parse_classes_reads_ids() -> None:
    assert parse_classes("cityscapes") == CITYSCAPES_EVAL_CLASSES
    assert parse_classes("7, -,11") == (7, -1, 11)


@pytest.mark.parametrize("text", ["7,x", "7,7", "-,-"])
def test_parse_classes_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=f"--classes {text}: "):
        parse_classes(text)


def test_label_folder_finds_maps_by_image_names() -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for kind, image in {"labelIds": ids, "instanceIds": ids + 1, "color": ids + 2}.items():
        write(Path("gt") / "ulm" / f"ulm_000001_000019_gtFine_{kind}.png", image)
    maps = LabelFolder(Path("gt"))
    maps.require(["ulm_000001_000019_leftImg8bit.jpg", "x/ulm_000001_000019_gtFine_labelIds_synthesized_image.jpg"])
    assert np.array_equal(maps.read("ulm_000001_000019.png"), ids)
    with pytest.raises(ValueError, match=r"--labels gt: .* jena_1\.png$"):
        maps.require(["jena_1.png"])


def test_label_folder_refuses_two_maps_of_one_name() -> None:
    for folder in ("ulm", "other"):
        write(Path("gt") / folder / "ulm_1_gtFine_labelIds.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"--labels gt: gt/other/ulm_1_.*\.png and gt/ulm/ulm_1_.*\.png "):
        LabelFolder(Path("gt"))


def test_label_folder_must_exist() -> None:
    with pytest.raises(ValueError, match="--labels no: no such folder"):
        LabelFolder(Path("no"))


def test_label_folder_reads_ids_and_colours() -> None:
    palette = load_palette("cityscapes")
    ids = np.random.default_rng(0).choice(CITYSCAPES_EVAL_CLASSES, (8, 9)).astype(np.uint8)
    write(Path("maps/ids.png"), ids)
    write(Path("maps/colours.png"), colour_coded(palette, ids))
    maps = LabelFolder(Path("maps"), palette)
    maps.require(["ids", "colours"])
    assert np.array_equal(maps.read("ids"), ids)
    assert np.array_equal(maps.read("colours"), ids)
    assert np.array_equal(maps.read("colours.jpg"), ids)  # the image's own suffix


def test_label_folder_refuses_colours_without_palette() -> None:
    write(Path("maps/colours.png"), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"--labels maps/colours\.png: .* --palette"):
        LabelFolder(Path("maps")).require(["colours"])


def test_label_folder_refuses_ids_in_jpeg() -> None:
    write(Path("maps/1.jpg"), np.zeros((8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"--labels maps/1\.jpg: .*JPEG"):
        LabelFolder(Path("maps")).require(["1"])
