"""Official weights of super-resolution, in and out: the outputs of the official networks, runs, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from img2img import load_translator
from img2img.checkpoint import load_network, newest_checkpoint
from img2img.config import Config, load_config
from img2img.data.images import read_image
from img2img.interop import import_official
from img2img.interop.architecture import recognise
from img2img.interop.export import export_run, how_to_load
from img2img.interop.layouts import NETWORKS
from img2img.interop.official import to_official, to_ours
from img2img.interop.options import UserOptions
from img2img.interop.runs import companions, import_run, next_steps
from img2img.training.trainer import train
from tests.conftest import write
from tests.helpers import call
from tests.interop.official import refuses
from tests.interop.official_super_resolution import (
    Shapes,
    compact_output,
    compact_shapes,
    msrresnet_output,
    msrresnet_shapes,
    random_weights,
    rrdb_output,
    rrdb_shapes,
    unet_output,
    unet_shapes,
    vgg_output,
    vgg_shapes,
)

Output = Callable[[dict[str, Tensor], Tensor], Tensor]
PHOTO = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)


def case(shapes: Callable[..., Shapes], output: Callable[..., Tensor], *own: str, **options: Any) -> Any:
    """(official shapes, official output) of a network; ``own`` are options of the shapes alone."""
    seen = {key: value for key, value in options.items() if key not in own}
    return shapes(**options), lambda weights, x: output(weights, x, **seen)


GENERATORS: dict[str, tuple[Shapes, Output, dict[str, Any]]] = {
    name: (*made, expected)
    for name, made, expected in [
        ("rrdb x4", case(rrdb_shapes, rrdb_output), {"scale": 4, "n_blocks": 2, "growth": 4, "width": 8}),
        ("rrdb x2", case(rrdb_shapes, rrdb_output, scale=2), {"scale": 2, "in_channels": 3}),
        ("rrdb x1", case(rrdb_shapes, rrdb_output, scale=1), {"scale": 1, "in_channels": 3}),
        ("rrdb 2021", case(rrdb_shapes, rrdb_output, layout="2021", blocks=3), {"scale": 4, "n_blocks": 3}),
        ("rrdb 2018", case(rrdb_shapes, rrdb_output, layout="2018", blocks=3), {"scale": 4, "n_blocks": 3}),
        (
            "rrdb gray x2",
            case(rrdb_shapes, rrdb_output, "channels", scale=2, channels=1),
            {"in_channels": 1, "scale": 2},
        ),
        ("msrresnet x4", case(msrresnet_shapes, msrresnet_output), {"scale": 4, "n_blocks": 2, "width": 8}),
        ("msrresnet x3", case(msrresnet_shapes, msrresnet_output, scale=3), {"scale": 3}),
        ("msrresnet x2", case(msrresnet_shapes, msrresnet_output, scale=2, blocks=1), {"scale": 2, "n_blocks": 1}),
        ("compact x4", case(compact_shapes, compact_output), {"scale": 4, "n_blocks": 3, "width": 8}),
        ("compact x2", case(compact_shapes, compact_output, scale=2, blocks=1), {"scale": 2, "n_blocks": 1}),
        ("compact x1", case(compact_shapes, compact_output, scale=1), {"scale": 1}),
    ]
}


@pytest.mark.parametrize("name", GENERATORS)
def test_import_official_gives_the_outputs_of_generators(name: str, tmp_path: Path) -> None:
    shapes, output, expected = GENERATORS[name]
    weights = random_weights(shapes)
    torch.save(weights, tmp_path / "any.name")
    network, spec = import_official(tmp_path / "any.name")
    assert (spec.family, spec.kind) == ("basicsr", name.split()[0])
    assert {key: spec.options[key] for key in expected} == expected
    stride: int = network.stride
    torch.manual_seed(1)
    x = torch.rand(2, spec.options["in_channels"], 7 * stride, 5 * stride)
    with torch.no_grad():
        answer = network(x)
    assert answer.shape == (2, x.shape[1], x.shape[2] * spec.options["scale"], x.shape[3] * spec.options["scale"])
    assert answer.std() > 0.1
    torch.testing.assert_close(answer, output(weights, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "output", "options", "side"),
    [
        (*case(vgg_shapes, vgg_output), {"size": 128, "width": 4}, 128),
        (*case(vgg_shapes, vgg_output, "width", size=256, width=2), {"size": 256, "width": 2}, 256),
        (*case(unet_shapes, unet_output), {"width": 4}, 40),
    ],
    ids=["vgg 128", "vgg 256", "unet"],
)
def test_import_official_gives_the_outputs_of_discriminators(
    shapes: Shapes, output: Output, options: dict[str, Any], side: int, tmp_path: Path
) -> None:
    weights = random_weights(shapes)
    torch.save({"params": weights}, tmp_path / "D.pth")
    network, spec = import_official(tmp_path / "D.pth")
    assert spec.options == {"in_channels": 3, **options}
    torch.manual_seed(1)
    x = torch.rand(2, 3, side, side).double() * torch.tensor([1, 0.2])[:, None, None, None]
    in_double = {key: value.double() for key, value in weights.items()}  # ten layers of batch norm amplify rounding
    with torch.no_grad():
        answer = network.double()(x)
    assert answer.std() > 1e-2
    torch.testing.assert_close(answer, output(in_double, x), rtol=1e-6, atol=1e-6)
    network.float()
    back = to_official(network.state_dict(), spec)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) for key, value in weights.items())


@pytest.mark.parametrize("layout", ["new", "2021", "2018"])
def test_import_official_reads_old_files_and_wrappers(layout: str, tmp_path: Path) -> None:
    """No zip file, ``module.`` before every key, ``params_ema`` before ``params``; exports have the new names."""
    shapes, new = rrdb_shapes(layout=layout), rrdb_shapes()
    weights, other = random_weights(shapes), random_weights(shapes, seed=1)
    files: dict[str, Any] = {
        "wrapped": {f"module.{key}": value for key, value in weights.items()},
        "nested": {"params": weights},
        "ema": {"params": other, "params_ema": weights},
        "ema alone": {"params_ema": {f"module.{key}": value for key, value in weights.items()}},
    }
    x = torch.rand(1, 3, 5, 6)
    for name, content in files.items():
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=False)
        assert (tmp_path / name).read_bytes()[:2] != b"PK"
        network, spec = import_official(tmp_path / name)
        with torch.no_grad():
            expected = rrdb_output(weights, x, layout=layout)
            torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)
        own = network.state_dict()
        assert {key: tuple(value.shape) for key, value in own.items()} == new
        assert {key: tuple(v.shape) for key, v in to_official(own, spec).items()} == shapes


@pytest.mark.parametrize(
    ("shapes", "tensors", "parameters", "options"),
    [
        (rrdb_shapes(blocks=23, width=64, growth=32), 702, 16_697_987, {"scale": 4, "n_blocks": 23}),
        (rrdb_shapes(blocks=23, width=64, growth=32, scale=2), 702, 16_703_171, {"scale": 2}),
        (rrdb_shapes(blocks=23, width=64, growth=32, layout="2018"), 702, 16_697_987, {"n_blocks": 23}),
        (rrdb_shapes(blocks=6, width=64, growth=32), 192, 4_467_779, {"n_blocks": 6}),
        (msrresnet_shapes(blocks=16, width=64), 74, 1_517_571, {"scale": 4}),
        (compact_shapes(blocks=32, width=64), 101, 1_213_296, {"n_blocks": 32}),
        (vgg_shapes(width=64), None, None, {"width": 64, "size": 128}),
        (unet_shapes(width=64), None, None, {"width": 64}),
    ],
)
def test_recognise_and_to_ours_take_published_sizes_completely(
    shapes: Shapes, tensors: int | None, parameters: int | None, options: dict[str, int]
) -> None:
    weights = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    assert tensors in (None, len(weights))
    assert parameters in (None, sum(value.numel() for value in weights.values()))
    spec = recognise(weights)
    assert {key: spec.options[key] for key in options} == options
    with torch.device("meta"):
        network = NETWORKS[spec.kind](**spec.options)
    state, dropped = to_ours(weights, spec, network)
    assert not dropped
    assert {id(value) for value in state.values()} == {id(value) for value in weights.values()}
    assert to_official(state, spec).keys() == weights.keys()


def without(shapes: Shapes, *keys: str, **added: tuple[int, ...]) -> dict[str, Tensor]:
    changed = {key: shape for key, shape in shapes.items() if not key.startswith(keys)} if keys else dict(shapes)
    return {key: torch.ones(shape) for key, shape in (changed | added).items()}


RRDB, MSR, COMPACT, VGG = rrdb_shapes(blocks=3), msrresnet_shapes(), compact_shapes(), vgg_shapes()
OLD = rrdb_shapes(blocks=3, layout="2018")
REFUSED = {
    "no convolution": (without(RRDB, "conv_up2"), r"conv_up2\.weight is missing"),
    "no old convolution": (without(OLD, "model.6."), r"model\.6\.weight is missing"),
    "no trunk convolution": (without(OLD, "model.1.sub.3"), r"model\.1\.sub\.3\.weight is missing"),
    "gap between blocks": (without(RRDB, "body.1."), r"body\.1\.rdb1\.conv1\.weight is missing"),
    "far block": (without(RRDB, **{"body.999999.rdb1.conv1.weight": (4, 8, 3, 3)}), r"body\.3\.rdb1\.conv1\.weight"),
    "no block": (without(rrdb_shapes(layout="2021"), "RRDB_trunk.0", "RRDB_trunk.1"), "is missing"),
    "another channel": (
        without(RRDB, **{"conv_first.weight": (8, 5, 3, 3)}),
        r"conv_first\.weight has 5 input channels",
    ),
    "growth": (without(RRDB, **{"body.2.rdb3.conv1.weight": (5, 8, 3, 3)}), r"body\.2\.rdb3\.conv1\.weight is \(5, "),
    "extra": (without(RRDB, **{"conv_extra.weight": (8, 8, 3, 3)}), r"conv_extra\.weight is unexpected"),
    "flat": (without(RRDB, **{"conv_first.weight": (8,)}), "not the weights of convolutions"),
    "upconv": (
        without(msrresnet_shapes(scale=2), **{"upconv1.weight": (40, 8, 3, 3)}),
        r"upconv1\.weight has 40 output",
    ),
    "no bias": (without(MSR, "conv_hr.bias"), r"conv_hr\.bias is missing"),
    "last": (without(COMPACT, **{"body.8.weight": (50, 8, 3, 3)}), r"body\.8\.weight has 50 output channels"),
    "other activation": (without(COMPACT, "body.1."), r"body\.1\.weight is missing"),
    "no last": (without(COMPACT, "body.8."), r"body\.8\.weight is missing"),
    "four stages": (without(VGG, "conv4", "bn4"), "4 stages"),
    "no norm": (without(VGG, "bn2_1.running_var"), r"bn2_1\.running_var is missing"),
    "no u": (without(unet_shapes(), "conv3.weight_u"), r"conv3\.weight_u is missing"),
    "more than params": ({"params": without(RRDB), "iter": 3}, "'params' is a dict"),
    "params of no tensors": ({"params": {"a": 3}}, "'a' is an int"),
    "no params": ({"params": {}}, "no tensors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_import_official_refuses_files_that_do_not_fit_completely(name: str, tmp_path: Path) -> None:
    refuses(*REFUSED[name], tmp_path / "net.pth")


def saved(shapes: Shapes, path: Path, nested: str | None = "params_ema", seed: int = 0) -> dict[str, Tensor]:
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = random_weights(shapes, seed)
    torch.save({nested: weights} if nested else weights, path)
    return weights


def options(run: Path) -> Config:
    return load_config(run / "config.yaml")


def enlarged(output: Output, weights: dict[str, Tensor], image: np.ndarray, stride: int) -> np.ndarray:
    """What the official network makes of an image of floats (H, W, C), padded to multiples of ``stride``."""
    height, width = image.shape[:2]
    before = [-side % stride // 2 for side in (height, width)]
    after = [-side % stride - start for side, start in zip((height, width), before, strict=True)]
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    x = F.pad(x, (before[1], after[1], before[0], after[0]), mode="reflect")
    y = output(weights, x)[0].permute(1, 2, 0)
    scale = y.shape[0] // x.shape[2]
    y = y[before[0] * scale : (before[0] + height) * scale, before[1] * scale : (before[1] + width) * scale]
    return y.clamp(0, 1).numpy()


@pytest.mark.parametrize(
    ("name", "stride"),
    [(name, {"rrdb x2": 2, "rrdb gray x2": 2, "rrdb x1": 4}.get(name, 1)) for name in GENERATORS],
)
def test_import_run_enlarges_photos_of_any_size(name: str, stride: int) -> None:
    shapes, output, expected = GENERATORS[name]
    weights = saved(shapes, Path("net.pth"))
    run, lines = import_run(Path("net.pth"))
    config, scale = options(run), expected["scale"]
    assert (config.model.name, config.model.stage, config.model.network) == ("srgan", "psnr", name.split()[0])
    assert (config.model.scale, config.data.scale, config.data.down) == (scale, scale, scale if scale > 1 else None)
    assert [line.partition(":")[0] for line in lines[:1]] == ["generator"]
    enlarge = load_translator(run, device="cpu")
    channels = config.data.channels["input"]
    image = PHOTO[:, :, :channels].astype(np.float32) / 255
    assert np.ptp(image) > 0.9
    answer = enlarge(image)
    assert answer.shape == (13 * scale, 18 * scale, channels)
    np.testing.assert_allclose(answer, enlarged(output, weights, image, stride), rtol=0, atol=1e-5)


def test_import_run_with_a_discriminator_is_of_the_stage_gan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real-ESRGAN's release, from the file to photos with alpha and 16 bits."""
    weights = saved(rrdb_shapes(scale=2), Path("RealESRGAN_x2plus.pth"))
    seen = saved(unet_shapes(), Path("RealESRGAN_x2plus_netD.pth"), "params")
    assert call(monkeypatch, "import_weights", "RealESRGAN_x2plus.pth") == 0
    printed = capsys.readouterr().out.splitlines()
    run = Path("runs/RealESRGAN_x2plus")
    assert printed[0].split() == ["run", str(run)]
    assert [line.partition(":")[0] for line in printed[1:3]] == ["generator", "discriminator"]
    config = options(run)
    assert (config.model.stage, config.model.discriminator, config.model.ndf) == ("gan", "unet", 4)
    assert config.model.growth == 4
    path, _ = newest_checkpoint(run)
    stored = load_network(path, "discriminator")
    assert all(torch.equal(stored[key], value) for key, value in seen.items())

    alpha = np.full((13, 18, 1), 40000, np.uint16)
    deep = np.concatenate([PHOTO.astype(np.uint16) * 257, alpha], axis=2)
    write(Path("photos/deep.png"), deep)
    write(Path("photos/gray.png"), PHOTO[:, :, 0])
    command = next(line for line in printed if line.startswith("translate")).split()[2:]
    argv = ["photos" if word == "FILE|DIR" else word for word in command[1:]]
    assert call(monkeypatch, "infer", *argv, "--output", "out") == 0
    answer = read_image(Path("out/deep.png"), 4)
    assert (answer.dtype, answer.shape) == (np.uint16, (26, 36, 4))
    assert (answer[:, :, 3] == 40000).all()
    expected = enlarged(lambda w, x: rrdb_output(w, x, scale=2), weights, PHOTO.astype(np.float32) / 255, 2)
    assert np.abs(answer[:, :, :3] / 65535 - expected).max() < 2e-5
    assert read_image(Path("out/gray.png"), 3).shape == (26, 36, 3)
    assert call(monkeypatch, "infer", *argv, "--output", "three", "--outscale", "3") == 0
    assert read_image(Path("three/deep.png"), 4).shape == (39, 54, 4)


def test_import_run_reads_files_of_basicsr() -> None:
    folder = Path("experiments/ESRGAN_x4/models")
    saved(rrdb_shapes(), folder / "net_g_400000.pth")
    saved(vgg_shapes(), folder / "net_d_400000.pth", "params")
    saved(vgg_shapes(), folder / "net_d_5.pth", "params")
    file = folder / "net_g_400000.pth"
    assert companions(file) == {"G": file, "D": folder / "net_d_400000.pth"}
    run, _ = import_run(file)
    assert run.name == "ESRGAN_x4"
    config = options(run)
    assert (config.model.discriminator, config.data.crop_size) == ("vgg", 128)
    lone, _ = import_run(file, "lone", only="G")
    assert options(lone).model.stage == "psnr"
    saved(rrdb_shapes(), folder / "net_g_5.pth")
    saved(vgg_shapes(size=256), folder / "net_d_5.pth", "params")
    assert options(import_run(folder / "net_d_5.pth", "larger")[0]).data.crop_size == 256


def preset(*lines: str) -> Path:
    path = Path("preset.yaml")
    path.write_text("\n".join(["model:\n  name: srgan", *lines]) + "\n")
    return path


def test_import_run_takes_data_and_losses_of_a_preset() -> None:
    saved(rrdb_shapes(), Path("net.pth"))
    file = preset("  stage: gan\n  relativistic: true", "data:", "  degrade: [{blur: 2}, {down: 4}]", "  root: photos")
    run, _ = import_run(Path("net.pth"), preset=file)
    config = options(run)
    assert (config.model.stage, config.model.relativistic, config.model.network) == ("gan", True, "rrdb")
    assert config.data.degrade == [{"blur": 2}, {"down": 4}]
    assert config.data.down is None
    pairs, _ = import_run(Path("net.pth"), "pairs", preset=preset("data:", "  root: photos"))
    assert (options(pairs).data.scale, options(pairs).data.down) == (4, None)


def test_import_run_refuses_what_does_not_fit() -> None:
    def refused(message: str, path: Path, **changes: Any) -> None:
        with pytest.raises(ValueError, match=message) as raised:
            import_run(path, **changes)
        assert "\n" not in str(raised.value)
        assert not Path("runs").exists()

    saved(rrdb_shapes(), Path("net.pth"))
    refused("enlarges 2 times, but the weights 4", Path("net.pth"), preset=preset("data:", "  down: 2"))
    refused("--domains", Path("net.pth"), user_options=UserOptions(domains=["a", "b"]))
    refused("--label-nc", Path("net.pth"), user_options=UserOptions(label_nc=3))
    refused("--model pix2pix", Path("net.pth"), model="pix2pix")
    saved(compact_shapes(channels=4), Path("four.pth"))
    refused("4 channels", Path("four.pth"))
    saved(unet_shapes(channels=1), Path("net_netD.pth"))
    refused("D does not fit", Path("net.pth"))
    saved(unet_shapes(), Path("alone_netD.pth"))
    refused("no generator", Path("alone_netD.pth"))
    saved(unet_shapes(), Path("odd.pth"))
    refused("unet_discriminator of basicsr can't be the G", Path("odd.pth"))


def test_imported_run_fine_tunes_at_its_scale_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(msrresnet_shapes(scale=2), Path("net.pth"))
    run, _ = import_run(Path("net.pth"))
    (command,) = (line for line in next_steps(run) if line.startswith("fine-tune"))
    argv = command.split()[3:]
    argv = [word.replace("NEW", "tuned") for word in argv if word not in ("--data.root", "DIR")]
    small = "--data.toy true --data.crop_size 32 --data.load_size 128 --data.batch_size 2 --data.num_workers 0"
    argv += [*small.split(), "--train.max_steps", "1", "--optim.lr", "1e-9"]
    assert call(monkeypatch, "train", *argv) == 0
    before = load_network(newest_checkpoint(run)[0], "generator")
    after = load_network(newest_checkpoint(Path("runs/tuned"))[0], "generator")
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=1e-6)
    argv = [word.replace("tuned", "larger") for word in argv]
    other = ["--data.down", "4", "--model.scale", "null", "--data.scale", "null"]
    capsys.readouterr()
    assert call(monkeypatch, "train", *argv, *other) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "train.init_from" in error
    assert "scale" in error


@pytest.mark.parametrize(
    ("shapes", "seen"),
    [(rrdb_shapes(scale=2), unet_shapes()), (msrresnet_shapes(), vgg_shapes()), (compact_shapes(), None)],
    ids=["rrdb", "msrresnet", "compact"],
)
def test_export_run_returns_what_was_imported(shapes: Shapes, seen: Shapes | None) -> None:
    weights = {"g": saved(shapes, Path("net.pth"))}
    if seen:
        weights["d"] = saved(seen, Path("net_netD.pth"), "params")
    run, _ = import_run(Path("net.pth"))
    files = export_run(run.name, "basicsr")
    assert [file.name for file in files] == [f"net_{role}_0.pth" for role in weights]
    for file, expected in zip(files, weights.values(), strict=True):
        content = torch.load(file, weights_only=True)
        assert list(content) == ["params"]
        assert content["params"].keys() == expected.keys()
        assert all(torch.equal(content["params"][key], value) for key, value in expected.items())
    again, _ = import_run(files[0], "again")
    image = PHOTO.astype(np.float32) / 255
    assert np.array_equal(load_translator(again)(image), load_translator(run)(image))


def test_export_run_has_the_new_names_of_old_files() -> None:
    saved(rrdb_shapes(layout="2018"), Path("old.pth"), None)
    (file,) = export_run(import_run(Path("old.pth"))[0].name)
    weights = torch.load(file, weights_only=True)["params"]
    assert {key: tuple(value.shape) for key, value in weights.items()} == rrdb_shapes()


def test_export_run_of_a_training_has_the_ema(
    tiny_srgan: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_srgan("a", train={"max_steps": 2, "ema_decay": 0.9}))
    capsys.readouterr()
    assert call(monkeypatch, "export_weights", "a") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "runs/a/export/net_g_2.pth"
    assert printed[1].startswith("network ")
    assert "MSRResNet(num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, upscale=2)" in printed[1]
    content = torch.load(printed[0], weights_only=True)
    assert list(content) == ["params_ema"]
    ema = load_network(newest_checkpoint(Path("runs/a"))[0], "generator_ema")
    assert all(torch.equal(content["params_ema"][key], value) for key, value in ema.items())
    image = PHOTO.astype(np.float32) / 255
    answer = load_translator("a", device="cpu")(image)
    expected = enlarged(lambda w, x: msrresnet_output(w, x, scale=2, blocks=1), content["params_ema"], image, 1)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)


def test_export_run_leaves_out_what_the_official_code_has_not(tiny_srgan: Callable[..., Config]) -> None:
    train(tiny_srgan("paper", model={"network": "srresnet"}, train={"max_steps": 1}))
    with pytest.raises(ValueError, match=r"model\.network srresnet"):
        export_run("paper")
    gan = {"stage": "gan", "discriminator": "srgan", "lambda_vgg": 0.0}
    train(tiny_srgan("mixed", model=gan, train={"max_steps": 1}))
    files = export_run("mixed")
    assert [file.name for file in files] == ["net_g_1.pth"]
    assert how_to_load("mixed", files)[-1].startswith("D ")


def test_how_to_load_names_the_model_of_real_esrgan() -> None:
    names = {
        "RealESRGAN_x4plus_anime_6B": rrdb_shapes(blocks=6, width=64, growth=32),
        "realesr-animevideov3": compact_shapes(blocks=16, width=64),
        "realesr-general-x4v3 -dn 1": compact_shapes(blocks=32, width=64),
    }
    for number, (name, shapes) in enumerate(names.items()):
        saved(shapes, Path(f"{number}.pth"))
        run, _ = import_run(Path(f"{number}.pth"))
        assert f" -n {name} --model_path x.pth " in how_to_load(run.name, [Path("x.pth")])[0]


def test_blend_of_imported_runs_is_esrgans_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    psnr, gan = (saved(rrdb_shapes(), Path(f"{name}.pth"), seed=seed) for name, seed in (("psnr", 0), ("gan", 1)))
    for name in ("psnr", "gan"):
        import_run(Path(f"{name}.pth"))
    image = PHOTO.astype(np.float32) / 255
    mixed = {key: 0.2 * psnr[key] + 0.8 * gan[key] for key in psnr}
    answer = load_translator("psnr", blend=("gan", 0.8), device="cpu")(image)
    np.testing.assert_allclose(answer, enlarged(rrdb_output, mixed, image, 1), rtol=0, atol=1e-5)
    saved(rrdb_shapes(scale=2), Path("half.pth"))
    import_run(Path("half.pth"))
    Image.fromarray(PHOTO).save("x.png")
    assert call(monkeypatch, "infer", "psnr", "--blend", "half", "0.8", "--input", "x.png") == 2
