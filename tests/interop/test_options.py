"""import_run: options that the weights determine, and those of the user."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from img2img.checkpoint import load_network, newest_checkpoint
from img2img.config import Config, load_config
from img2img.inference.loading import load_translator
from img2img.interop.architecture import recognise
from img2img.interop.export import export_run
from img2img.interop.options import UserOptions
from img2img.interop.runs import import_run, next_steps
from img2img.models import build_model
from img2img.runs import hold_run
from img2img.weights import read_weights
from tests.helpers import call
from tests.interop.helpers import OFFICIAL, patchgan, resnet, write_preset
from tests.interop.official import Chain, Local, Nested, Pixels, Scales, chain, randomised, saved


def generator(channels: int) -> Path:
    return saved(Chain(chain(channels, 3, 2, 3, 1, "instance")), OFFICIAL / "latest_net_G.pth")


def beside(role: str, channels: int) -> None:
    made = (
        Scales(channels, 4, 1, 2, "instance", True) if role == "D" else Chain(chain(3, channels, 4, 3, 0, "instance"))
    )
    saved(made, OFFICIAL / f"latest_net_{role}.pth")


def imported(path: Path, **options: Any) -> tuple[Config, str]:
    run, lines = import_run(path, overwrite=True, **options)
    return load_config(run / "config.yaml"), "\n".join(lines)


def refused(message: str, path: Path, **options: Any) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        import_run(path, "refused", **options)
    assert "\n" not in str(raised.value)
    assert not Path("runs/refused").exists()


READINGS = [  # channels, options of the user, (label_nc, instances, channels_a), pattern of the line printed
    (36, UserOptions(), (35, True, 3), "as 35 classes and instance boundaries$"),
    (36, UserOptions(35), (35, True, 3), "as 35 classes and instance boundaries$"),
    (36, UserOptions(36), (36, False, 3), "as 36 classes$"),
    (35, UserOptions(), (34, True, 3), "as 34 classes and .*guess.*--label-nc 35 --no-instances"),
    (35, UserOptions(35), (35, False, 3), "as 35 classes$"),
    (35, UserOptions(None, True), (35, False, 3), "as 35 classes .*guess"),
    (35, UserOptions(34), (34, True, 3), "as 34 classes and instance boundaries$"),
    (3, UserOptions(), (0, True, 3), "as images .*guess.*--label-nc 3 --no-instances .*--label-nc 2"),
    (3, UserOptions(2), (2, True, 3), "as 2 classes and instance boundaries$"),
    (3, UserOptions(0, True), (0, True, 3), "as images$"),
    (4, UserOptions(0, True), (0, True, 4), "as images$"),
    (4, UserOptions(3), (3, True, 3), "as 3 classes and instance boundaries$"),
    (2, UserOptions(), (1, True, 3), "as 1 class and .*guess"),
]


@pytest.mark.parametrize(("channels", "user_options", "expected", "pattern"), READINGS)
def test_read_condition_follows_the_user_or_guesses(
    channels: int, user_options: UserOptions, expected: tuple[int, bool, int], pattern: str
) -> None:
    """``instances`` of images without classes is an option that nothing reads."""
    path = generator(channels)
    for with_discriminator in (False, True):
        if with_discriminator:
            beside("D", channels + 3)
        config, printed = imported(path, user_options=user_options, model="pix2pixhd")
        data = config.data
        assert (data.label_nc, data.instances, data.channels_a) == expected
        if with_discriminator:  # without it some channels may be features: the line names this option, too
            assert re.search(pattern, printed)
        assert re.search(rf"^{channels} input channels? ", printed, re.MULTILINE)


def test_read_condition_refuses_channels_that_do_not_fit() -> None:
    path = generator(39)
    refused(r"--label-nc 35: .*39 channels.*38 .*latest_net_E\.pth", path, user_options=UserOptions(35))
    refused("--label-nc 38 --no-instances: .*39 channels", path, user_options=UserOptions(38, True))
    refused("--label-nc 0: .*39 channels.*1, 3", path, user_options=UserOptions(0))
    _, printed = imported(path)
    assert re.search(r"--label-nc .*latest_net_E\.pth", printed)
    beside("D", 36 + 3)
    refused(r"39 channels.* 36 .*latest_net_E\.pth.*--load_features", path)
    beside("E", 3)
    config, printed = imported(path)
    assert (config.data.label_nc, config.data.instances) == (35, True)
    assert printed.endswith("as 35 classes and instance boundaries")
    refused("36 classes, and encoder features", path, user_options=UserOptions(None, True))
    (OFFICIAL / "latest_net_E.pth").unlink()
    (OFFICIAL / "latest_net_D.pth").unlink()


def test_read_condition_refuses_ambiguous_channels() -> None:
    path = generator(4)
    refused("4 channels.*--label-nc 3 .*--label-nc 4 --no-instances .*--label-nc 0 --no-instances", path)
    refused("--label-nc 0: .*4 channels", path, user_options=UserOptions(0))


def test_read_condition_checks_the_preset() -> None:
    path = generator(35)
    preset = write_preset("pix2pixhd", "label_nc: 35", "toy: true")
    refused(r"35 channels, but 36 with data\.label_nc 35 and data\.instances true", path, preset=preset)
    config, _ = imported(path, preset=preset, user_options=UserOptions(None, True))
    assert (config.data.label_nc, config.data.instances) == (35, False)
    preset = write_preset("pix2pixhd", "label_nc: 35", "toy: true", "instances: false")
    assert imported(path, preset=preset)[1].endswith("as 35 classes (--config)")


def test_run_config_refuses_options_of_pix2pixhd_for_other_models() -> None:
    refused("--label-nc, --no-instances: ", saved(resnet(), Path("r.pth")), user_options=UserOptions(3))


def test_import_weights_data_root_is_the_set_of_evaluate_and_infer(
    paired_root: Path, unpaired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(randomised(Nested(3, 3, 5, 2, "batch", dropout=True)), OFFICIAL / "latest_net_G.pth")
    argv = (str(OFFICIAL / "latest_net_G.pth"), "--overwrite")
    assert call(monkeypatch, "import_weights", *argv) == 0
    printed = capsys.readouterr().out
    assert "python tools/train.py --config runs/official/config.yaml --train.init_from official --name NEW" in printed
    assert printed.endswith("--data.root DIR --balance.warmup_d 500\n")
    for tool in ("evaluate", "infer"):
        assert call(monkeypatch, tool, "official") == 2
        error = capsys.readouterr().err
        assert ("--input" in error) == (tool == "infer")
        assert "--data.root" in error
    assert call(monkeypatch, "infer", "official", "--input", str(paired_root / "val")) == 0
    assert call(monkeypatch, "import_weights", *argv, "--data.root", str(paired_root)) == 0
    assert "--data.root DIR" not in capsys.readouterr().out
    assert call(monkeypatch, "evaluate", "official") == 0
    assert call(monkeypatch, "infer", "official") == 0
    assert call(monkeypatch, "import_weights", *argv, "--data.root", "nowhere") == 2
    assert "--data.root nowhere: " in capsys.readouterr().err
    sides = ("--data.root_a", str(unpaired_root / "trainA"), "--data.root_b", str(unpaired_root / "trainB"))
    assert call(monkeypatch, "import_weights", *argv, *sides) == 2
    assert call(monkeypatch, "import_weights", str(saved(resnet(), Path("r.pth"))), *sides) == 0
    assert load_config(Path("runs/r/config.yaml")).data.root_b == str(unpaired_root / "trainB")
    assert call(monkeypatch, "infer", "r") == 0


def test_next_steps_depend_on_the_imported_files() -> None:
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    saved(patchgan(6, "batch"), OFFICIAL / "latest_net_D.pth")
    run, _ = import_run(OFFICIAL / "latest_net_D.pth")
    assert not any("warmup_d" in line for line in next_steps(run))
    run, _ = import_run(generator(36), "hd", only="G")
    assert next_steps(run)[0].endswith("--input FILE|DIR --instances FILE|DIR")
    _, printed = imported(saved(Nested(3, 3, 5, 2, "instance", dropout=True), Path("u.pth")), model="cyclegan")
    assert "; dropout False" in printed
    assert "dropout True" not in printed


def test_import_run_gives_an_old_discriminator_the_norm_of_its_generator() -> None:
    """Older code gave the convolutions of a PatchGAN biases before no norm at all, and none before instance norm."""
    for norm in ("instance", "none"):
        saved(Nested(3, 3, 5, 2, norm, dropout=True), OFFICIAL / "latest_net_G.pth")
        for discriminator in (
            Pixels(6, 4, "instance"),
            Pixels(6, 4, "none"),
            patchgan(6, "instance"),
            patchgan(6, "none"),
        ):
            saved(discriminator, OFFICIAL / "latest_net_D.pth")
            config, printed = imported(OFFICIAL / "latest_net_G.pth")
            assert config.model.norm == norm
            assert "a guess" not in printed
    saved(Pixels(6, 4, "instance"), OFFICIAL / "latest_net_D.pth")
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    refused("norm of D is instance, .*batch", OFFICIAL / "latest_net_G.pth")


def test_import_run_keeps_the_biases_of_an_old_1x1_discriminator() -> None:
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    discriminator = randomised(Pixels(6, 4, "batch", bias=True))
    saved(discriminator, OFFICIAL / "latest_net_D.pth")
    run, lines = import_run(OFFICIAL / "latest_net_G.pth")
    assert not any("a guess" in line for line in lines)
    config = load_config(run / "config.yaml")
    discriminator_here = build_model(config.model, config.data.channels, config.balance).discriminator.eval()
    discriminator_here.load_state_dict(load_network(newest_checkpoint(run)[0], "discriminator"))
    x = torch.rand(1, 6, 8, 8)
    torch.testing.assert_close(discriminator_here(x), discriminator(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"discriminator: .*bias.*norm batch"):
        export_run("official", "junyanz")
    saved(Pixels(6, 4, "instance", bias=False), Path("alone/latest_net_D.pth"))
    assert recognise(read_weights(Path("alone/latest_net_D.pth"))).guessed


def test_import_run_only_leaves_files_out() -> None:
    path = saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    saved(Chain([]), OFFICIAL / "latest_net_D.pth")
    refused(r"latest_net_D\.pth: .*--only G$", path)
    refused("--only E: .*G, D", path, only="E")
    refused(r"latest_net_G\.pth: no generator", path, only="D")
    run, _ = import_run(path, only="G")
    assert {file.stem for file in newest_checkpoint(run)[0].glob("*.safetensors")} == {"generator"}


def test_import_run_takes_an_encoder_with_more_downsampling() -> None:
    path = generator(36 + 2)
    saved(Chain(chain(3, 2, 4, 4, 0, "instance")), OFFICIAL / "latest_net_E.pth")
    config, _ = imported(path)
    assert (config.model.n_downs, config.model.n_downs_e, config.data.stride) == (3, 4, 16)
    saved(Local(38, 3, 2, 3, 1, 1, "instance"), path)
    config, _ = imported(path)
    assert (config.model.n_downs_e, config.data.stride, config.train.init_from) == (4, 16, "official")
    load_translator("runs/official", device="cpu")


def test_import_run_replaces_a_run_only_when_the_new_one_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = import_run(saved(resnet(), Path("r.pth")))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def full(*args: object, **options: object) -> None:
        raise ValueError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("img2img.interop.runs.save_checkpoint", full)
        refused("the disk is full", Path("r.pth"))
        with pytest.raises(ValueError, match="the disk is full"):
            import_run(Path("r.pth"), overwrite=True)
    with hold_run(run), pytest.raises(ValueError, match="being trained by another process"):
        import_run(Path("r.pth"), overwrite=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [path.name for path in Path("runs").iterdir()] == ["r"]
    saved(resnet(dropout=True), Path("r.pth"))
    import_run(Path("r.pth"), overwrite=True)
    assert load_config(run / "config.yaml").model.dropout
    assert [path.name for path in Path("runs").iterdir()] == ["r"]
