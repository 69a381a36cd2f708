"""import_run: official files as runs for inference, evaluation and fine-tuning, and their export."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from img2img.checkpoint import load_network, newest_checkpoint
from img2img.config import Config
from img2img.inference.loading import load_translator
from img2img.interop.export import export_run
from img2img.interop.runs import companions, import_run
from img2img.training.trainer import train
from tests.conftest import write
from tests.helpers import call
from tests.interop.helpers import OFFICIAL, patchgan, resnet, write_preset
from tests.interop.official import Chain, Local, Nested, Pixels, Scales, chain, randomised, saved


def random_image(seed: int, side: int = 32, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)


def official_output(network: nn.Module, image: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        return ((network(x)[0].permute(1, 2, 0) + 1) / 2).numpy()


def assert_translates(run: Path, network: nn.Module, direction: str = "AtoB") -> None:
    translator = load_translator(run, device="cpu")
    assert translator.directions[0] == direction
    for seed in (0, 1):
        image = random_image(seed)
        answer = translator(image.astype(np.float32) / 255)
        np.testing.assert_allclose(answer, official_output(network, image), atol=1e-5)


def test_import_run_of_pix2pix_infers_fine_tunes_and_exports(
    paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    official = randomised(Nested(3, 3, 5, 2, "batch", dropout=True))
    discriminator = patchgan(6, "batch")
    saved(official, OFFICIAL / "latest_net_G.pth")
    saved(discriminator, OFFICIAL / "latest_net_D.pth")
    preset = write_preset("pix2pix", f"root: {paired_root}", "direction: BtoA", "load_size: 32", "crop_size: 32")
    argv = (str(OFFICIAL / "latest_net_G.pth"), "--config", str(preset))
    assert call(monkeypatch, "import_weights", *argv) == 0
    printed = capsys.readouterr().out
    assert "runs/official" in printed
    assert "num_downs 5" in printed
    assert "discriminator: patchgan" in printed
    assert_translates(Path("runs/official"), official, "BtoA")
    assert call(monkeypatch, "infer", "official", "--input", str(paired_root / "val")) == 0
    assert call(monkeypatch, "evaluate", "official") == 0
    assert call(monkeypatch, "import_weights", *argv) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call(monkeypatch, "train", "--name", "official", "--resume") == 2
    assert "imported weights" in capsys.readouterr().err
    assert call(monkeypatch, "import_weights", *argv, "--overwrite") == 0

    argv = ("--config", "runs/official/config.yaml", "--train.init_from", "official", "--name", "tuned")
    assert call(monkeypatch, "train", *argv, "--data.num_workers", "0", "--train.max_steps", "1") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^generator: (\d+) of \1 tensors", printed, re.MULTILINE)
    assert re.search(r"^discriminator: (\d+) of \1 tensors", printed, re.MULTILINE)

    assert call(monkeypatch, "export_weights", "official", "--format", "junyanz", "--output", "out") == 0
    for name, network in (("G", official), ("D", discriminator)):
        written = torch.load(f"out/latest_net_{name}.pth", weights_only=True)
        assert list(written.keys() ^ network.state_dict().keys()) == []
        for key, value in network.state_dict().items():
            assert torch.equal(written[key], value), key


def test_import_run_of_cyclegan_and_export(tiny_cyclegan: Callable[..., Config]) -> None:
    networks = {"G_A": resnet(dropout=True), "G_B": randomised_differently(resnet(dropout=True))}
    networks |= {"D_A": patchgan(3), "D_B": randomised_differently(patchgan(3))}
    for role, network in networks.items():
        saved(network, OFFICIAL / f"7_net_{role}.pth")
    run, _ = import_run(OFFICIAL / "7_net_D_B.pth", "two")
    assert_translates(run, networks["G_A"])
    back = load_translator(run, device="cpu", direction="BtoA")
    image = random_image(3)
    expected = official_output(networks["G_B"], image)
    np.testing.assert_allclose(back(image.astype(np.float32) / 255), expected, atol=1e-5)
    # the official D_A sees images of B
    kept = load_network(newest_checkpoint(run)[0], "discriminator_b")["stages.0.0.weight"]
    assert torch.equal(kept, networks["D_A"].state_dict()["model.0.weight"])
    for file in export_run("two", "junyanz"):
        network = networks[file.stem.removeprefix("latest_net_")]
        written = torch.load(file, weights_only=True)
        network.load_state_dict(written, strict=True)
        assert all(torch.equal(written[key], value) for key, value in network.state_dict().items())

    train(tiny_cyclegan("tuned", model={"ngf": 4, "dropout": True}, train={"init_from": "two", "max_steps": 1}))


def randomised_differently(network: nn.Module) -> nn.Module:
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.mul_(0.9)
    return network


def test_import_run_of_one_generator_has_one_direction_and_fine_tunes(
    tiny_cyclegan: Callable[..., Config],
    unpaired_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    official = resnet()
    file = saved(official, Path("zebra.pth"))
    run, _ = import_run(file, direction="BtoA")
    assert run.name == "zebra"
    assert_translates(run, official, "BtoA")
    write(Path("in/0.png"), random_image(0))
    assert call(monkeypatch, "infer", "zebra", "--input", "in") == 0
    capsys.readouterr()
    for argv in (["--input", "in", "--direction", "AtoB"], ["--input", "in", "--cycle"], []):
        assert call(monkeypatch, "infer", "zebra", *argv) == 2
        assert capsys.readouterr().err.count("\n") == 1

    tuned = train(tiny_cyclegan("tuned", model={"ngf": 4}, train={"init_from": "zebra", "max_steps": 1}))
    printed = capsys.readouterr().out
    assert "generator_ba: " in printed
    assert "generator_ab: new" in printed
    assert "discriminator_a: new" in printed
    kept = load_network(newest_checkpoint(tuned)[0], "generator_ba")["head.0.weight"]
    # a step of Adam moves each weight by its rate at most
    moved = (kept - official.state_dict()["model.18.weight"]).abs().max()
    assert 0 < moved < 3e-4
    assert [file.name for file in export_run("zebra", "junyanz")] == ["latest_net_G_B.pth"]
    assert_translates(import_run(Path("runs/zebra/export/latest_net_G_B.pth"), "again")[0], official, "BtoA")


def test_import_run_takes_a_model_with_the_other_architecture(
    tiny: Callable[..., Config], tiny_cyclegan: Callable[..., Config]
) -> None:
    official = resnet()
    run, _ = import_run(saved(official, Path("r.pth")), model="pix2pix")
    assert_translates(run, official)
    data = {"load_size": 18, "crop_size": 16}
    model = {"generator": "resnet", "n_blocks": 1, "ngf": 4, "norm": "instance"}
    train(tiny("tuned", model=model, data=data, train={"init_from": "r", "max_steps": 1}))
    official = randomised(Nested(3, 3, 5, 2, "instance", dropout=False))
    run, _ = import_run(saved(official, Path("u.pth")), model="cyclegan")
    assert_translates(run, official)
    model = {"generator": "unet", "num_downs": 5, "ngf": 2}
    data = {"load_size": 32, "crop_size": 32}
    train(tiny_cyclegan("tuned2", model=model, data=data, train={"init_from": "u", "max_steps": 1}))
    saved(resnet(), OFFICIAL / "latest_net_G.pth")
    saved(randomised(Pixels(6, 4, "instance")), OFFICIAL / "latest_net_D.pth")
    run, _ = import_run(OFFICIAL / "latest_net_G.pth")
    assert load_translator(run, device="cpu").config.model.name == "pix2pix"


@pytest.mark.parametrize("features", [0, 2])
@pytest.mark.parametrize("local", [0, 1])
def test_import_run_of_pix2pixhd_and_export(
    features: int, local: int, tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 9 + 1
    whole = Local(seen + features, 3, 2, 2, 1, local, "instance") if local else None
    generator = randomised(whole or Chain(chain(seen + features, 3, 4, 2, 1, "instance")))
    networks = {"G": generator, "D": randomised(Scales(seen + 3, 4, 1, 2, "instance", True))}
    if features:
        networks["E"] = randomised(Chain(chain(3, features, 4, 2, 0, "instance")))
    for role, network in networks.items():
        saved(network, OFFICIAL / f"latest_net_{role}.pth")
    run, lines = import_run(OFFICIAL / "latest_net_G.pth")
    assert [line.partition(":")[0] for line in lines[:-1]] == ["generator", "discriminator", "encoder"][: len(networks)]
    assert re.match("10 .* 9 classes ", lines[-1])
    translator = load_translator(run, device="cpu")
    assert translator.config.data.label_nc == 9
    random = torch.Generator().manual_seed(0)
    label = torch.randint(0, 9, (1, 1, 16, 32), generator=random).int()
    instance = (label * 1000 + torch.randint(0, 2, label.shape, generator=random)).int()
    style = torch.rand(1, features, 16, 32)
    batch = {"label": label, "instance": instance, **({"features": style} if features else {})}
    with torch.no_grad():
        condition = translator.model.condition(batch).float()  # type: ignore[operator]
        expected = generator(torch.cat([condition, style], dim=1))
        torch.testing.assert_close(translator.model.generate(batch)["output"], expected, rtol=1e-5, atol=1e-5)
    for file in export_run("official", "pix2pixhd", Path("out")):
        assert file.read_bytes()[:2] != b"PK"  # the format that torch 0.4 reads
        written = torch.load(file, weights_only=True)
        original = networks[file.stem.removeprefix("latest_net_")].state_dict()
        assert list(written.keys() ^ original.keys()) == []
        assert all(torch.equal(written[key], value) for key, value in original.items())
    tune = "--data.toy true --data.load_size 64 --train.max_steps 1 --data.num_workers 0 --model.lambda_vgg 0".split()
    assert call(monkeypatch, "train", "--config", f"{run}/config.yaml", "--name", "again", *tune) == 0
    assert ("official" in Path("runs/again/config.yaml").read_text()) == bool(
        local
    )  # a local stage fine-tunes from itself
    if not local:
        model = {"ngf": 4, "n_downs": 2, "instance_features": bool(features), "n_features": features or 3}
        train(tiny_hd("tuned", model=model, train={"init_from": "official", "max_steps": 1}))
        for file in OFFICIAL.glob("*_[DE].pth"):
            file.unlink()
        if not features:  # CycleGAN's ResNet has the same layers
            run, lines = import_run(OFFICIAL / "latest_net_G.pth", "lone", model="pix2pixhd")
            assert lines[0].startswith("generator: coarse_to_fine")


def test_import_run_of_pix2pixhd_with_images_as_input() -> None:
    official = randomised(Chain(chain(3, 3, 2, 3, 1, "batch")))
    saved(official, OFFICIAL / "latest_net_G.pth")
    saved(randomised(Scales(6, 4, 1, 2, "batch", False)), OFFICIAL / "latest_net_D.pth")
    run, lines = import_run(OFFICIAL / "latest_net_G.pth")
    assert [line.partition(":")[0] for line in lines[:2]] == ["generator", "discriminator"]
    assert lines[2].startswith("model.lambda_feat 0: ")
    assert re.match("3 .*images .*guess.*--label-nc 3 --no-instances", lines[3])
    config = load_translator(run, device="cpu").config
    assert (config.data.label_nc, config.model.lambda_feat) == (0, 0.0)
    assert_translates(run, official)
    for file in export_run("official", "pix2pixhd"):
        weights = torch.load(file, weights_only=True)
        fresh = Chain(chain(3, 3, 2, 3, 1, "batch")) if file.stem.endswith("G") else Scales(6, 4, 1, 2, "batch", False)
        fresh.load_state_dict(weights, strict=True)


def test_import_run_and_export_run_refuse_what_does_not_fit(
    tiny: Callable[..., Config], tiny_hd: Callable[..., Config]
) -> None:
    def refused(message: str, *args: object, **options: object) -> None:
        with pytest.raises(ValueError, match=message) as raised:
            import_run(*args, **options)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
        assert not Path("runs").exists()

    unet = saved(randomised(Nested(3, 3, 5, 2, "batch", dropout=True)), OFFICIAL / "latest_net_G.pth")
    discriminator = saved(patchgan(6, "instance"), OFFICIAL / "latest_net_D.pth")
    assert companions(unet) == {"G": unet, "D": discriminator}
    refused("norm of D is instance, .*batch", unet)
    saved(patchgan(7, "batch"), discriminator)
    refused(r"latest_net_G\.pth: D .*pix2pix", unet)
    refused(r"latest_net_D\.pth: no generator", saved(patchgan(6), Path("else/latest_net_D.pth")))
    refused(r"d\.pth: a patchgan of junyanz .*G_A of cyclegan", saved(patchgan(6), Path("d.pth")))
    refused("in_channels 2 of G_A: .*import_official.*--model pix2pixhd", saved(resnet(2), Path("two.pth")))
    refused(r"--config preset\.yaml: .*cyclegan.*pix2pix", unet, preset=write_preset("cyclegan", "toy: true"))
    mixed = saved(randomised(Scales(13, 4, 1, 2, "instance", True)), Path("mixed/latest_net_D.pth"))
    saved(randomised(Nested(3, 3, 5, 2, "batch", dropout=True)), Path("mixed/latest_net_G.pth"))
    refused(r"latest_net_G\.pth: a unet of junyanz .*G of pix2pixhd", mixed)
    back = saved(resnet(), Path("back/latest_net_G_B.pth"))
    refused("--direction AtoB: ", back, direction="AtoB")
    refused("--model pix2pixhd: ", unet, model="pix2pixhd")
    hd = saved(randomised(Chain(chain(13, 3, 4, 3, 1, "instance"))), Path("hd/latest_net_G.pth"))
    saved(randomised(Scales(10 + 3, 4, 1, 2, "instance", True)), Path("hd/latest_net_D.pth"))
    refused(r"latest_net_G\.pth: .*latest_net_E\.pth", hd)
    Path("hd/latest_net_D.pth").unlink()
    refused(
        r"10 with data\.label_nc 9 and data\.instances true",
        hd,
        preset=write_preset("pix2pixhd", "label_nc: 9", "toy: true"),
    )

    def not_exported(message: str, config: Config, family: str = "junyanz") -> None:
        train(config)
        with pytest.raises(ValueError, match=message) as raised:
            export_run(config.name, family)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)

    once = {"max_steps": 1}
    not_exported("--format pix2pixhd: run a .*pix2pix.*junyanz", tiny("a", train=once), "pix2pixhd")
    not_exported(r"model\.num_downs 4: ", tiny("b", train=once))
    not_exported(r"model\.upsample resize", tiny("c", model={"upsample": "resize"}, train=once))
    big = {"load_size": 32, "crop_size": 32}
    model = {"num_downs": 5, "norm": "none"}
    not_exported(
        r"generator: .*bias.*norm none",
        tiny("d", model=model, data=big, train=once),
    )
    not_exported(r"model\.norm none", tiny_hd("e", model={"norm": "none"}, train=once), "pix2pixhd")
