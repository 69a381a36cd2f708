"""Reading and writing: depth, channels, alpha, orientation, and files that are none."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from img2img.data.images import (
    UnreadableImage,
    as_input,
    cell,
    grid,
    luma_plane,
    normalise,
    read_header,
    read_image,
    to_array,
    to_channels,
    write_image,
)


def random_image(channels: int, dtype: type, height: int = 7, width: int = 9) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (height, width, channels), dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_write_image_round_trips(tmp_path: Path, channels: int, dtype: type, suffix: str) -> None:
    image = random_image(channels, dtype)
    write_image(tmp_path / f"x{suffix}", image)
    assert np.array_equal(read_image(tmp_path / f"x{suffix}", channels), image)
    header = read_header(tmp_path / f"x{suffix}")
    assert (header.width, header.height, header.depth) == (9, 7, 8 * np.dtype(dtype).itemsize)
    assert header.alpha == (channels == 4)


def test_read_image_returns_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (250, 20, 10)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", 3)[0, 0].tolist() == [250, 20, 10]
    write_image(tmp_path / "y.png", read_image(tmp_path / "x.png", 3))
    assert Image.open(tmp_path / "y.png").getpixel((0, 0)) == (250, 20, 10)


def test_read_image_composites_alpha_on_white(tmp_path: Path) -> None:
    hidden = np.zeros((4, 4, 4), np.uint8)
    hidden[..., 0], hidden[0, 0, 3], hidden[0, 1, 3] = 200, 255, 51  # red; opaque, one fifth, else transparent
    write_image(tmp_path / "x.png", hidden)
    read = read_image(tmp_path / "x.png", 3)
    assert read[0, 0].tolist() == [200, 0, 0]
    assert read[0, 1].tolist() == [244, 204, 204]
    assert read[2, 2].tolist() == [255, 255, 255]
    assert read_image(tmp_path / "x.png", 1)[2, 2].tolist() == [255]


def test_read_image_decodes_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert read_image(tmp_path / "opaque.png", 3)[0, 0].tolist() == [10, 200, 30]
    assert read_image(tmp_path / "clear.png", 3)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "clear.png"])
def test_read_image_applies_exif_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    """As Pillow's exif_transpose turns them, for every orientation that there is."""
    from PIL import ImageOps

    image = Image.fromarray(cv2.resize(random_image(3, np.uint8, 3, 4), (40, 24), interpolation=cv2.INTER_NEAREST))
    if kind == "clear.png":
        image.putalpha(Image.new("L", image.size, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{kind}"
    image.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "jpg" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    read = read_image(path, 3)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).max() <= 2  # two JPEG decoders
    if kind != "png":  # for a PNG without alpha the header would have to decode the image
        header = read_header(path)
        assert (header.height, header.width) == expected.shape[:2]


def test_to_channels_refuses_other_shapes() -> None:
    gray = random_image(1, np.uint8)
    assert to_channels(gray[:, :, 0], 3).shape == (7, 9, 3)
    assert np.array_equal(to_channels(to_channels(gray, 3), 1), gray)
    assert (to_channels(gray, 4)[..., 3] == 255).all()
    assert (to_channels(random_image(3, np.uint16), 4)[..., 3] == 65535).all()
    with pytest.raises(ValueError, match=r"\(H, W, C\) with 1, 3 or 4"):
        to_channels(np.zeros((4, 4, 2), np.uint8), 3)


def test_read_image_names_damaged_files(tmp_path: Path) -> None:
    good = random_image(3, np.uint8, 64, 64)
    for name in ("half.jpg", "half.png"):
        Image.fromarray(good).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "._x.jpg").write_bytes(b"\x00\x05\x16\x07" * 20)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    for path in tmp_path.iterdir():
        with pytest.raises(UnreadableImage, match=path.name):
            read_image(path, 3)
    for name in ("empty.png", "text.jpg", "float.tif", "missing.png"):
        with pytest.raises(UnreadableImage, match=name):
            read_header(tmp_path / name)


def test_read_image_refuses_truncated_jpeg_with_thumbnail(tmp_path: Path) -> None:
    """The thumbnail in its header ends with an end-of-image marker of its own."""
    import io

    thumbnail = io.BytesIO()
    Image.fromarray(random_image(3, np.uint8)).save(thumbnail, "JPEG")
    Image.fromarray(random_image(3, np.uint8, 64, 64)).save(tmp_path / "x.jpg", comment=thumbnail.getvalue())
    data = (tmp_path / "x.jpg").read_bytes()
    read_image(tmp_path / "x.jpg", 3)
    (tmp_path / "x.jpg").write_bytes(data[:-100])
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(tmp_path / "x.jpg", 3)


def test_read_image_refuses_huge_headers(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(10)), b"IEND"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    with pytest.raises(UnreadableImage, match="bomb"):
        read_header(tmp_path / "bomb.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_normalise_round_trips_exactly(dtype: type) -> None:
    every = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 1, 1)
    tensor = normalise(torch.from_numpy(every))
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1, 1)
    assert np.array_equal(to_array(tensor, dtype), every)


def test_to_array_rounds_and_clamps() -> None:
    out = to_array(torch.tensor([-2.0, 0.0, 0.003, 9.0]).reshape(1, 2, 2), np.uint8)
    assert out[:, :, 0].tolist() == [[0, 128], [128, 255]]


def test_floats_are_images_in_the_unit_range_also_outside_of_it(tmp_path: Path) -> None:
    """Noise that isn't clipped: kept for networks, clipped in files and grids."""
    image = np.array([-0.5, 0.0, 0.5, 2.0], np.float32).reshape(2, 2, 1)
    assert as_input(torch.from_numpy(image)[None]).flatten().tolist() == [-2, -1, 0, 3]
    write_image(tmp_path / "x.png", image)
    assert read_image(tmp_path / "x.png", 1).flatten().tolist() == [0, 0, 128, 255]
    assert cell(image)[:, :, 0].flatten().tolist() == [0, 0, 128, 255]


@pytest.mark.parametrize(("mode", "gray"), [("L", True), ("LA", True), ("1", True), ("I;16", True), ("RGB", False)])
def test_header_knows_files_without_colour(tmp_path: Path, mode: str, gray: bool) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / "x.png")
    assert read_header(tmp_path / "x.png").gray == gray


def test_grid_arranges_rows_and_columns() -> None:
    red, tall = np.full((4, 6, 3), (255, 0, 0), np.uint8), np.zeros((9, 2, 1), np.uint16)
    sheet = grid([[red, tall], [tall]], gap=1)
    assert sheet.shape == (1 + 9 + 1 + 9 + 1, 1 + 6 + 1 + 2 + 1, 3)
    assert (sheet[1:5, 1:7] == (255, 0, 0)).all()
    assert (sheet[1:10, 8:10] == 0).all()
    assert (sheet[0] == 255).all()


def test_write_image_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be written"):
        write_image(tmp_path / "file" / "x.png", random_image(3, np.uint8))
    write_image(tmp_path / "x.png", random_image(3, np.uint8))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "x.png"]


def test_grid_titles_are_above_columns_and_cut_off() -> None:
    rows = [[np.full((20, 30, 3), 200, np.uint8)] * 2]
    bare, titled = grid(rows), grid(rows, ["A", "much too long for this"])
    assert titled.shape == (bare.shape[0] + 14, bare.shape[1], 3)
    assert np.array_equal(titled[18:], bare[4:])
    assert (titled[:18, 4:34] < 100).any()  # ink
    assert (titled[:18, 38:68] < 100).any()
    assert (titled[:18, 34:38] == 255).all()
    assert (titled[:18, 68:] == 255).all()


@pytest.mark.parametrize(
    ("rgb", "y"),
    [((10, 20, 30), 31.5876), ((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481)],
)
def test_luma_plane_is_y_of_matlab(rgb: tuple[int, int, int], y: float) -> None:
    image = np.full((2, 3, 3), rgb, np.uint8)
    for same in (image, image.astype(np.uint16) * 257, image / 255, np.dstack([image, np.full((2, 3), 255, np.uint8)])):
        plane = luma_plane(same)
        assert plane.shape == (2, 3, 1)
        np.testing.assert_allclose(plane, y, atol=1e-4)


def test_luma_plane_rounds_to_8_bits_first_and_keeps_gray() -> None:
    np.testing.assert_array_equal(luma_plane(np.array([[[-0.1], [100.4 / 255], [1.2]]])), [[[0], [100], [255]]])
    wide = np.array([[[0], [257 * 100 + 128], [65535]]], np.uint16)
    np.testing.assert_array_equal(luma_plane(wide), [[[0], [100], [255]]])
