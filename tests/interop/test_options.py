"""What a user tells of weights beside what their files tell, and what is made of both."""

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
from img2img.interop.options import Stated
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


def refused(why: str, path: Path, **options: Any) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        import_run(path, "refused", **options)
    assert "\n" not in str(raised.value)
    assert not Path("runs/refused").exists()


READINGS = [  # channels, what is stated, (label_nc, instances, channels_a), the words
    (36, Stated(), (35, True, 3), "taken as 35 classes and their boundaries$"),
    (36, Stated(35), (35, True, 3), "taken as 35 classes and their boundaries$"),
    (36, Stated(36), (36, False, 3), "taken as 36 classes$"),
    (35, Stated(), (34, True, 3), "as 34 classes and their boundaries, a guess; --label-nc 35 --no-instances if"),
    (35, Stated(35), (35, False, 3), "taken as 35 classes$"),
    (35, Stated(None, True), (35, False, 3), "taken as 35 classes, a guess"),
    (35, Stated(34), (34, True, 3), "taken as 34 classes and their boundaries$"),
    (
        3,
        Stated(),
        (0, True, 3),
        "3 channels: taken as images, a guess; --label-nc 3 --no-instances if .*--label-nc 2",
    ),
    (3, Stated(2), (2, True, 3), "taken as 2 classes and their boundaries$"),
    (3, Stated(0, True), (0, True, 3), "taken as images$"),
    (4, Stated(0, True), (0, True, 4), "taken as images$"),
    (4, Stated(3), (3, True, 3), "taken as 3 classes and their boundaries$"),
    (2, Stated(), (1, True, 3), "taken as 1 class and their boundaries, a guess"),
]


@pytest.mark.parametrize(("channels", "stated", "expected", "words"), READINGS)
def test_what_a_pix2pixhd_generator_sees_is_told_and_stated(
    channels: int, stated: Stated, expected: tuple[int, bool, int], words: str
) -> None:
    """Boundaries of images without classes are an option that nothing asks for."""
    path = generator(channels)
    for judged in (False, True):
        if judged:
            beside("D", channels + 3)
        config, told = imported(path, stated=stated, model="pix2pixhd")
        data = config.data
        assert (data.label_nc, data.instances, data.channels_a) == expected
        if judged:  # alone, some channels may be features, which is said, too
            assert re.search(words, told)
        assert f"{channels} channels: taken as" in told


def test_channels_that_contradict_each_other_are_refused() -> None:
    path = generator(39)
    refused(
        r"--label-nc 35: it sees 39 channels, which are 39 classes, or 38 and .*; more .*features",
        path,
        stated=Stated(35),
    )
    refused("--label-nc 38 --no-instances: it sees 39", path, stated=Stated(38, True))
    refused("--label-nc 0: it sees 39 channels; images have 1, 3", path, stated=Stated(0))
    _, told = imported(path)
    assert "--label-nc of fewer if some are features, with latest_net_E.pth beside it" in told
    beside("D", 36 + 3)
    refused(r"latest_net_E\.pth\); one that was trained with features of files \(--load_features\) can't", path)
    beside("E", 3)
    config, told = imported(path)
    assert (config.data.label_nc, config.data.instances) == (35, True)
    assert told.endswith("36 channels: taken as 35 classes and their boundaries")
    refused("36 channels: taken as 36 classes, and features of an encoder", path, stated=Stated(None, True))
    (OFFICIAL / "latest_net_E.pth").unlink()
    (OFFICIAL / "latest_net_D.pth").unlink()

    path = generator(4)
    refused("it sees 4 channels, and nothing tells which: --label-nc 3 .*RGBA", path)
    refused("--label-nc 0: it sees 4 channels; .*boundaries beside an image can't be fed", path, stated=Stated(0))
    path = generator(35)
    preset = write_preset("pix2pixhd", "label_nc: 35", "toy: true")
    refused("it sees 35 channels, and --config says data.label_nc 35 and data.instances true: 36", path, preset=preset)
    config, told = imported(path, preset=preset, stated=Stated(None, True))
    assert (config.data.label_nc, config.data.instances) == (35, False)
    preset = write_preset("pix2pixhd", "label_nc: 35", "toy: true", "instances: false")
    assert imported(path, preset=preset)[1].endswith("35 channels: taken as 35 classes, as --config says")
    refused("--label-nc and --no-instances: are of pix2pixhd", saved(resnet(), Path("r.pth")), stated=Stated(3))


def test_a_run_without_data_says_so_and_with_data_is_evaluated(
    paired_root: Path, unpaired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(randomised(Nested(3, 3, 5, 2, "batch", dropout=True)), OFFICIAL / "latest_net_G.pth")
    argv = (str(OFFICIAL / "latest_net_G.pth"), "--overwrite")
    assert call(monkeypatch, "import_weights", *argv) == 0
    told = capsys.readouterr().out
    assert "python tools/train.py --config runs/official/config.yaml --train.init_from official --name NEW" in told
    assert told.endswith("--data.root DIR --balance.warmup_d 500\n")
    for tool in ("evaluate", "infer"):
        assert call(monkeypatch, tool, "official") == 2
        error = capsys.readouterr().err
        assert "infer.py takes --input" in error
        assert "import_weights.py --data-root DIR --overwrite" in error
    assert call(monkeypatch, "infer", "official", "--input", str(paired_root / "val")) == 0
    assert call(monkeypatch, "import_weights", *argv, "--data-root", str(paired_root)) == 0
    assert "--data.root DIR" not in capsys.readouterr().out
    assert call(monkeypatch, "evaluate", "official") == 0
    assert call(monkeypatch, "infer", "official") == 0
    assert call(monkeypatch, "import_weights", *argv, "--data-root", "nowhere") == 2
    assert "--data-root nowhere: no such folder" in capsys.readouterr().err
    sides = ("--data-root-a", str(unpaired_root / "trainA"), "--data-root-b", str(unpaired_root / "trainB"))
    assert call(monkeypatch, "import_weights", *argv, *sides) == 2
    assert call(monkeypatch, "import_weights", str(saved(resnet(), Path("r.pth"))), *sides) == 0
    assert load_config(Path("runs/r/config.yaml")).data.root_b == str(unpaired_root / "trainB")
    assert call(monkeypatch, "infer", "r") == 0


def test_what_is_next_depends_on_what_came_along() -> None:
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    saved(patchgan(6, "batch"), OFFICIAL / "latest_net_D.pth")
    run, _ = import_run(OFFICIAL / "latest_net_D.pth")
    assert not any("warmup_d" in line for line in next_steps(run))
    run, _ = import_run(generator(36), "hd", only="G")
    assert next_steps(run)[0].endswith("--input FILE|DIR --instances FILE|DIR")
    _, told = imported(saved(Nested(3, 3, 5, 2, "instance", dropout=True), Path("u.pth")), model="cyclegan")
    assert "; dropout False, which no file tells" in told
    assert "dropout True" not in told


def test_an_old_discriminator_has_the_norm_of_its_generator() -> None:
    """Older code gave the convolutions of a PatchGAN biases before no norm at all, and none before instance norm."""
    for norm in ("instance", "none"):
        saved(Nested(3, 3, 5, 2, norm, dropout=True), OFFICIAL / "latest_net_G.pth")
        for judge in (Pixels(6, 4, "instance"), Pixels(6, 4, "none"), patchgan(6, "instance"), patchgan(6, "none")):
            saved(judge, OFFICIAL / "latest_net_D.pth")
            config, told = imported(OFFICIAL / "latest_net_G.pth")
            assert config.model.norm == norm
            assert "a guess" not in told
    saved(Pixels(6, 4, "instance"), OFFICIAL / "latest_net_D.pth")
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    refused("norm of its D is instance, and that of the others batch", OFFICIAL / "latest_net_G.pth")


def test_an_old_discriminator_of_pixels_keeps_its_biases() -> None:
    saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    judge = randomised(Pixels(6, 4, "batch", bias=True))
    saved(judge, OFFICIAL / "latest_net_D.pth")
    run, told = import_run(OFFICIAL / "latest_net_G.pth")
    assert not any("a guess" in line for line in told)
    config = load_config(run / "config.yaml")
    mine = build_model(config.model, config.data.channels, config.balance).discriminator.eval()
    mine.load_state_dict(load_network(newest_checkpoint(run)[0], "discriminator"))
    x = torch.rand(1, 6, 8, 8)
    torch.testing.assert_close(mine(x), judge(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="has learnt a bias, which the official network of norm batch has no place"):
        export_run("official", "junyanz")
    saved(Pixels(6, 4, "instance", bias=False), Path("lone/latest_net_D.pth"))
    assert recognise(read_weights(Path("lone/latest_net_D.pth"))).guessed


def test_a_file_that_can_not_be_read_is_left_out() -> None:
    path = saved(Nested(3, 3, 5, 2, "batch", dropout=True), OFFICIAL / "latest_net_G.pth")
    saved(Chain([]), OFFICIAL / "latest_net_D.pth")
    refused(r"latest_net_D\.pth: .*; --only G leaves it out", path)
    refused("--only E: there is no E in .* or beside it, but G, D", path, only="E")
    refused("there is no generator", path, only="D")
    run, _ = import_run(path, only="G")
    assert {file.stem for file in newest_checkpoint(run)[0].glob("*.safetensors")} == {"generator"}


def test_an_encoder_may_halve_more_often() -> None:
    path = generator(36 + 2)
    saved(Chain(chain(3, 2, 4, 4, 0, "instance")), OFFICIAL / "latest_net_E.pth")
    config, _ = imported(path)
    assert (config.model.n_downs, config.model.n_downs_e, config.data.stride) == (3, 4, 16)
    saved(Local(38, 3, 2, 3, 1, 1, "instance"), path)
    config, _ = imported(path)
    assert (config.model.n_downs_e, config.data.stride, config.train.init_from) == (4, 16, "official")
    load_translator("runs/official", device="cpu")


def test_the_new_run_is_whole_before_the_old_one_goes(monkeypatch: pytest.MonkeyPatch) -> None:
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
