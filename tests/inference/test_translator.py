"""Translator: sizes, kinds and depths of images, batch-norm policies, dropout; translate_files."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img import load_translator
from img2img.config import Config
from img2img.data.images import resize, to_array
from img2img.inference.files import Request, translate_files
from img2img.inference.translator import Translator
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write

Tiny = Callable[..., Config]


@pytest.fixture
def run(tiny: Tiny) -> Path:
    return train(tiny(train={"save_every": 2}, model={"num_downs": 4, "init_gain": 0.3}))


@pytest.mark.parametrize("size", [(16, 16), (257, 255), (1, 1), (3, 40), (100, 17)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_translator_keeps_any_size_and_depth(run: Path, size: tuple[int, int], dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    given = {np.uint8: image, np.uint16: image.astype(np.uint16) * 257, np.float32: image / np.float32(255)}[dtype]
    out = load_translator(run)(given)
    assert (out.shape, out.dtype) == (given.shape, given.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_training_size_resizes_inputs_and_outputs(run: Path, dtype: type) -> None:
    at_size, image = load_translator(run, training_size=True), drawn_pair(0, 33, 50)[0]
    given = (image / 255).astype(dtype) if np.dtype(dtype).kind == "f" else image.astype(dtype)
    out = at_size(given)
    assert (out.shape, out.dtype) == (given.shape, given.dtype)
    assert np.array_equal(out, resize(load_translator(run)(resize(given, 16, 16)), 33, 50))
    assert np.array_equal(at_size(given[:16, :16]), load_translator(run)(given[:16, :16]))
    assert at_size(image[:, :, 0]).shape == (33, 50, 3)


def test_translator_outputs_of_all_depths_agree(run: Path) -> None:
    translate, image = load_translator(run), drawn_pair(3)[0]
    low, high = translate(image), translate(image.astype(np.uint16) * 257)
    exact = translate(image / np.float32(255))
    assert np.abs(low / 255 - exact).max() <= 0.5 / 255 + 1e-6
    assert np.abs(high / 65535 - exact).max() <= 0.5 / 65535 + 1e-6


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"])
def test_translator_returns_pil_for_pil(run: Path, mode: str) -> None:
    translate = load_translator(run)
    image = Image.new("I;16", (30, 20), 30000) if mode == "I;16" else Image.new("RGB", (30, 20), "red").convert(mode)
    out = translate(image)
    assert isinstance(out, Image.Image)
    assert out.size == (30, 20)


def test_translator_pads_by_reflection_and_crops(run: Path) -> None:
    translate = load_translator(run)
    image = np.random.default_rng(0).integers(0, 255, (20, 32, 3), np.uint8)
    padded = np.pad(image, ((6, 6), (0, 0), (0, 0)), mode="reflect")  # to 32x32
    assert np.array_equal(translate(image), translate(padded)[6:26])


def test_translator_equals_the_samples_of_training(run: Path, tiny: Tiny) -> None:
    """The translator, fed a validation image, gives the middle column of the last sample grid."""
    from img2img.data.images import read_image
    from img2img.data.paired import PairedDataset

    sheet = read_image(run / "samples" / "step-000004.png", 3)
    image = PairedDataset(tiny().data, "val")[0, 0]["input"]
    assert np.abs(load_translator(run)(image).astype(int) - sheet[18:34, 24:40]).max() <= 1


def test_load_translator_chooses_the_checkpoint_and_prefers_the_ema(tiny: Tiny) -> None:
    run = train(tiny(train={"save_every": 2, "ema_decay": 0.9}, model={"init_gain": 0.3}))
    last, first = load_translator(run), load_translator(run, checkpoint="2")
    assert (last.checkpoint or run).name == "step-000004"
    assert not np.array_equal(last(drawn_pair(0)[0]), first(drawn_pair(0)[0]))
    (run / "checkpoints" / "step-000004" / "manifest.json").unlink()
    assert (load_translator(run).checkpoint or run).name == "step-000002"
    weights = last.model.generator.state_dict()["head.0.weight"]
    from safetensors.torch import load_file

    folder = run / "checkpoints" / "step-000004"
    assert torch.equal(weights, load_file(folder / "generator_ema.safetensors")["head.0.weight"])
    assert not torch.equal(weights, load_file(folder / "generator.safetensors")["head.0.weight"])


def test_norm_policy_batch_uses_the_statistics_of_the_image(run: Path) -> None:
    image = drawn_pair(0, 32, 32)[0]
    paper = load_translator(run, norm_policy="batch")
    network = paper.model.generator
    reference = load_translator(run).model.generator.train()
    for module in reference.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), reference(pixels), rtol=1e-4, atol=1e-5)
    assert not np.array_equal(paper(image), load_translator(run)(image))


def test_dropout_gives_different_outputs_by_seed(tiny: Tiny) -> None:
    run = train(tiny(data={"load_size": 32, "crop_size": 32}, model={"num_downs": 5, "init_gain": 0.3}))
    noisy, image = load_translator(run, dropout=True), drawn_pair(0, 32, 32)[0]
    torch.manual_seed(5)
    noisy(image, seed=1)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))  # the caller's random numbers are left alone
    assert np.array_equal(noisy(image, seed=1), noisy(image, seed=1))
    assert not np.array_equal(noisy(image, seed=1), noisy(image, seed=2))
    with pytest.raises(ValueError, match=r"run still .*dropout"):
        load_translator(train(tiny("still")), dropout=True)  # too shallow for any
    with pytest.raises(ValueError, match="--samples -1"):
        translate_files(noisy, Request(None, Path("out"), samples=-1))
    still = load_translator(run)
    assert np.array_equal(still(image, seed=1), still(image, seed=2))


def test_translator_outputs_have_the_channels_of_the_run(tiny: Tiny) -> None:
    run = train(tiny(data={"channels_a": 1, "channels_b": 4}))
    translate = load_translator(run)
    assert translate(drawn_pair(0)[0]).shape == (20, 20, 4)
    gray_run = train(tiny("gray", data={"channels_b": 1}))
    assert load_translator(gray_run)(drawn_pair(0)[0]).shape == (20, 20, 1)
    assert load_translator(gray_run)(drawn_pair(0)[0][:, :, 0]).shape == (20, 20)
    assert load_translator(gray_run)(Image.new("RGB", (9, 9))).mode == "L"


def test_translator_refuses_what_is_no_image(run: Path) -> None:
    translate = load_translator(run)
    with pytest.raises(ValueError, match="int64"):
        translate(np.zeros((8, 8, 3), np.int64))
    for mode, value in (("I", 70000), ("F", 0.5)):
        with pytest.raises(ValueError, match=f"mode {mode}"):
            translate(Image.new(mode, (8, 8), value))
    with pytest.raises(ValueError, match="shape"):
        translate(np.zeros((8, 8, 5), np.uint8))
    for path in ("x.png", Path("x.png")):
        with pytest.raises(ValueError, match=r"^x\.png: .*path"):
            translate(path)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="type Tensor"):
        translate(torch.zeros(8, 8, 3))  # type: ignore[type-var]
    floats = np.full((8, 8, 3), 0.5, np.float32)
    for value, message in {-1.0: r"from -1 to 0\.5.*\[0, 1\]", 255.0: "to 255.*x / 255", np.nan: "NaN"}.items():
        floats[3, 3, 1] = value
        with pytest.raises(ValueError, match=message):
            translate(floats)
    floats[3, 3, 1] = 1 + 1e-6  # by rounding
    translate(floats)


def test_translate_files_keeps_name_size_and_depth(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.png", drawn_pair(0, 30, 41)[0])
    write(tmp_path / "in" / "sub" / "deep.tif", drawn_pair(1)[0].astype(np.uint16) * 257)
    write(tmp_path / "in" / "twice.jpg", drawn_pair(2)[0])
    write(tmp_path / "in" / "twice.png", drawn_pair(3)[0])
    (tmp_path / "in" / "broken.png").write_text("no image")
    assert translate_files(load_translator(run), Request(tmp_path / "in", tmp_path / "out")) == 1
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    inside = Request(tmp_path / "in", tmp_path / "in" / "out")
    assert translate_files(load_translator(run), inside) == 1
    assert translate_files(load_translator(run), inside) == 1  # outputs of an earlier call are no inputs
    assert len(list((tmp_path / "in" / "out").rglob("*.*"))) == 5
    assert names == {"a.png", "sub/deep.tif", "twice.jpg.png", "twice.png", "grids/00001-00004.png"}
    from img2img.data.images import read_header

    assert (read_header(tmp_path / "out" / "a.png").width, read_header(tmp_path / "out" / "a.png").height) == (41, 30)
    assert read_header(tmp_path / "out" / "sub" / "deep.tif").depth == 16


def test_translate_files_prints_what_was_written_and_skipped(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("in/a.png"), drawn_pair(0)[0])
    for name in ("anim.gif", ".hidden", "sub/b.txt", "out/old.txt"):
        Path("in", name).parent.mkdir(exist_ok=True)
        Path("in", name).touch()
    translate_files(load_translator(run), Request(Path("in"), Path("in/out")))
    assert re.fullmatch(r"written     1 image; 2 .*: anim\.gif, sub/b\.txt\n", capsys.readouterr().out)
    Path("in/c.png").touch()
    translate_files(load_translator(run), Request(Path("in"), Path("in/out")))
    assert "written     1 image; 1 unreadable; 2 " in capsys.readouterr().out
    translate_files(load_translator(run), Request(None, Path("val")))
    assert capsys.readouterr().out == "written     3 images\n"


def test_translate_files_warns_once_of_pairs_side_by_side(
    tiny: Tiny, paired_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny())
    capsys.readouterr()
    translate_files(load_translator(run), Request(paired_root / "val", Path("out")))
    printed = capsys.readouterr().out
    assert re.search(r"0\.png is 40x20.*img2img unpair", printed)
    assert printed.count("img2img unpair") == 1
    write(Path("half.png"), drawn_pair(0)[0])
    translate_files(load_translator(run), Request(Path("half.png"), Path("out")))
    paired_root.rename("elsewhere")
    translate_files(load_translator(run), Request(Path("elsewhere/val"), Path("out")))
    assert "img2img unpair" not in capsys.readouterr().out


def test_translate_files_writes_the_validation_set_and_samples(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(data={"load_size": 32, "crop_size": 32}, model={"num_downs": 5, "init_gain": 0.3}))
    translate_files(load_translator(run), Request(None, tmp_path / "val"))
    assert {p.name for p in (tmp_path / "val").glob("*.png")} == {"0.png", "1.png", "2.png"}
    from img2img.data.images import read_image

    sheet = read_image(tmp_path / "val" / "grids" / "00001-00003.png", 3)
    assert sheet.shape == (3 * 36 + 4, 3 * 36 + 4, 3)  # input | output | target
    translate_files(load_translator(run, dropout=True), Request(None, tmp_path / "three", samples=3))
    found = [read_image(tmp_path / "three" / f"0_{i}.png", 3) for i in (1, 2, 3)]
    assert not np.array_equal(found[0], found[1])
    assert read_image(tmp_path / "three" / "grids" / "00001-00003.png", 3).shape[1] == 5 * 36 + 4


def test_generate_returns_one_image_per_input(run: Path) -> None:
    translate = load_translator(run)
    assert isinstance(translate, Translator)
    tensor = translate.model.generate({"input": torch.zeros(1, 3, 16, 16)})["output"][0]
    assert to_array(tensor, np.uint8).shape == (16, 16, 3)


@pytest.fixture
def two_way(tiny_cyclegan: Tiny) -> Path:
    return train(tiny_cyclegan(model={"init_gain": 0.3}))


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("size", [(16, 16), (257, 255), (1, 1), (3, 40)])
def test_both_directions_keep_any_size(two_way: Path, direction: str, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    assert load_translator(two_way, direction=direction)(image).shape == image.shape


def test_each_direction_uses_its_generator(two_way: Path) -> None:
    forth, back = load_translator(two_way), load_translator(two_way, direction="BtoA")
    image = drawn_pair(0, 16, 16)[0]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    for translator, network in ((forth, forth.model.generator_ab), (back, back.model.generator_ba)):
        with torch.no_grad():
            expected = to_array(network(pixels)[0], np.uint8)
        assert np.abs(translator(image).astype(int) - expected).max() <= 1
    assert not np.array_equal(forth(image), back(image))
    assert np.array_equal(forth.reversed()(image), back(image))
    assert (forth.directions, back.directions) == (("AtoB", "BtoA"), ("BtoA", "AtoB"))


def test_directions_have_the_channels_of_their_domains(tiny_cyclegan: Tiny) -> None:
    run = train(tiny_cyclegan(data={"channels_a": 1}, model={"lambda_identity": 0.0}))
    forth, back = load_translator(run), load_translator(run, direction="BtoA")
    assert (forth.channels, back.channels) == ((1, 3), (3, 1))
    assert forth(drawn_pair(0, 19, 21)[0]).shape == (19, 21, 3)
    assert back(drawn_pair(0, 19, 21)[0]).shape == (19, 21, 1)


def test_translate_files_cycle_shows_the_output_translated_back(
    two_way: Path, tiny_cyclegan: Tiny, tmp_path: Path
) -> None:
    """input | output | the output, as it is written, translated back."""
    from img2img.data.images import read_image

    translate = load_translator(two_way, direction="BtoA")
    image = drawn_pair(3, 16, 16)[1]
    write(tmp_path / "in" / "x.png", image)
    translate_files(translate, Request(tmp_path / "in", tmp_path / "out", cycle=True))
    sheet = read_image(tmp_path / "out" / "grids" / "00001-00001.png", 3)
    assert sheet.shape == (24, 3 * 20 + 4, 3)
    assert np.array_equal(sheet[4:20, 4:20], image)
    assert np.array_equal(sheet[4:20, 24:40], read_image(tmp_path / "out" / "x.png", 3))
    assert np.array_equal(sheet[4:20, 44:60], translate.reversed()(sheet[4:20, 24:40]))
    translate_files(translate, Request(None, tmp_path / "val", cycle=True))  # without a partner no fourth column
    assert read_image(tmp_path / "val" / "grids" / "00001-00003.png", 3).shape[1] == 3 * 20 + 4


def test_a_direction_that_the_run_did_not_learn_is_refused(run: Path) -> None:
    assert load_translator(run, direction="AtoB").directions == ("AtoB",)
    with pytest.raises(ValueError, match=r"--data\.direction BtoA"):
        load_translator(run, direction="BtoA")
    with pytest.raises(ValueError, match=r"--cycle: run tiny .*AtoB"):
        load_translator(run).reversed()


def test_training_size_keeps_the_aspect_ratio_with_scale_width(tiny: Tiny) -> None:
    data = {"preprocess": "scale_width", "load_size": 32, "stride": 16}
    at_size = load_translator(train(tiny(data=data)), training_size=True)
    image = drawn_pair(0, 64, 130)[0]
    plain = load_translator(Path("runs/tiny"))
    assert np.array_equal(at_size(image), resize(plain(resize(image, 16, 32)), 64, 130))


@pytest.mark.parametrize("kind", ["tiny", "tiny_cyclegan", "tiny_hd"])
@pytest.mark.parametrize("preprocess", ["scale_width_and_crop", "crop", "scale_width"])
def test_training_size_does_not_resize_the_validation_set(
    kind: str, preprocess: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    sizes = {"tiny_hd": {"load_size": 68, "stride": 8}}.get(kind, {"load_size": 20, "stride": 16})
    data = {"preprocess": preprocess, "crop_size": 16, "batch_size": 1, **sizes}
    data |= {"load_size": 36} if kind == "tiny_cyclegan" else {}
    run = train(request.getfixturevalue(kind)(model={"init_gain": 0.3}, data=data, train={"max_steps": 1}))
    at_size = load_translator(run, training_size=True)
    translate_files(load_translator(run), Request(None, Path("plain")))
    translate_files(at_size, Request(None, Path("sized")))
    assert at_size.training_size
    files = sorted(path.relative_to("plain") for path in Path("plain").rglob("*.png"))
    assert len(files) >= 3
    assert all((Path("plain") / file).read_bytes() == (Path("sized") / file).read_bytes() for file in files)


@pytest.mark.parametrize(("width", "hinted"), [(16, False), (20, False), (64, True)])
def test_translate_files_hints_at_training_size_for_images_of_another_scale(
    tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str], width: int, hinted: bool
) -> None:
    translator = load_translator(train(tiny(train={"max_steps": 1})))
    for i in range(2):
        write(Path("in") / f"{i}.png", drawn_pair(i, 16, width)[0])
    capsys.readouterr()
    translate_files(translator, Request(Path("in"), Path("out")))
    assert capsys.readouterr().out.count("--training-size") == int(hinted)
