"""Official weights of StarGAN, in and out: the same outputs as the official networks in training mode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from img2img.checkpoint import load_network, newest_checkpoint
from img2img.config import Config, load_config
from img2img.inference.domain_translator import DomainTranslator
from img2img.inference.loading import load_translator
from img2img.interop import import_official
from img2img.interop.export import export_run
from img2img.interop.official import to_official
from img2img.interop.options import UserOptions
from img2img.interop.runs import companions, import_run
from img2img.training.trainer import train
from tests.conftest import write
from tests.helpers import call
from tests.interop.helpers import resnet, write_preset
from tests.interop.official import StarDiscriminator, StarGenerator, randomised, refuses, saved

CELEBA = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]
STATISTICS = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}


def generator(domains: int = 3, n_blocks: int = 2, channels: int = 3, ngf: int = 4) -> nn.Module:
    return randomised(StarGenerator(ngf, domains, n_blocks, channels)).train()


def discriminator(size: int = 16, domains: int = 3, n_layers: int = 2, channels: int = 3) -> nn.Module:
    return randomised(StarDiscriminator(size, 4, domains, n_layers, channels)).train()


def save_pair(folder: Path, domains: int = 3, size: int = 16, step: int = 200000) -> tuple[Path, nn.Module, nn.Module]:
    g, d = generator(domains), discriminator(size, domains)
    saved(d, folder / f"{step}-D.ckpt")
    return saved(g, folder / f"{step}-G.ckpt"), g, d


def random_input(size: int, domains: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, channels, size, size) * 2 - 1, torch.randint(0, 2, (2, domains)).float()


def random_image(side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def is_statistic(key: str) -> bool:
    return key.rpartition(".")[2] in STATISTICS


def options(run: Path) -> Config:
    return load_config(run / "config.yaml")


@pytest.mark.parametrize(
    ("make", "domains", "channels"),
    [
        (lambda: generator(3), 3, 3),
        (lambda: generator(1, n_blocks=1, channels=1), 1, 1),
        (lambda: generator(5, n_blocks=6, ngf=64), 5, 3),  # the official size
    ],
    ids=["small", "gray", "official"],
)
def test_import_official_gives_the_generators_outputs_in_training_mode(
    make: Callable[[], nn.Module], domains: int, channels: int, tmp_path: Path
) -> None:
    official = make()
    network, spec = import_official(saved(official, tmp_path / "any.name"))
    assert (spec.family, spec.options["domains"], spec.options["in_channels"]) == ("stargan", domains, channels)
    x, c = random_input(32, domains, channels)
    with torch.no_grad():
        expected, answer = official(x, c), network(x, c)
        wrong = official.eval()(x, c)  # by running statistics
    assert expected.std() > 0.1
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)
    assert (wrong - expected).abs().mean() > 0.05


@pytest.mark.parametrize(("size", "n_layers"), [(128, 6), (256, 6), (16, 3), (12, 2)])
def test_import_official_gives_both_outputs_of_the_discriminator(size: int, n_layers: int, tmp_path: Path) -> None:
    official = randomised(StarDiscriminator(size, 2, 5, n_layers)).train()
    network, spec = import_official(saved(official, tmp_path / "D.ckpt"))
    assert spec.options == {"in_channels": 3, "domains": 5, "ndf": 2, "n_layers": n_layers, "size": size}
    x, _ = random_input(size, 5)
    with torch.no_grad():
        expected, answer = official(x), network(x)
    assert [part.shape for part in answer] == [(2, 1, size >> n_layers, size >> n_layers), (2, 5)]
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


def test_import_official_reads_old_files_of_stargan(tmp_path: Path) -> None:
    """No zip file, ``module.`` before every key, no counts of batches (torch 0.3), or no statistics at all."""
    official = generator()
    whole = official.state_dict()
    files = {
        "old": {f"module.{key}": value for key, value in whole.items() if "tracked" not in key},
        "bare": {key: value for key, value in whole.items() if not is_statistic(key)},
    }
    x, c = random_input(16, 3)
    with torch.no_grad():
        expected = official(x, c)
    for name, weights in files.items():
        torch.save(weights, tmp_path / name, _use_new_zipfile_serialization=False)
        assert (tmp_path / name).read_bytes()[:2] != b"PK"
        network, spec = import_official(tmp_path / name)
        assert {key.removeprefix("module.") for key in weights if is_statistic(key)} == set(spec.dropped)
        with torch.no_grad():
            torch.testing.assert_close(network(x, c), expected, rtol=0, atol=1e-5)


def test_to_official_loads_strictly_with_the_statistics_of_a_new_network(tmp_path: Path) -> None:
    official = generator()
    network, spec = import_official(saved(official, tmp_path / "G.ckpt"))
    back = to_official(network.state_dict(), spec)
    assert back.keys() == official.state_dict().keys()
    for key, value in official.state_dict().items():
        assert back[key].dtype == value.dtype
        if is_statistic(key):
            assert torch.equal(back[key], torch.full_like(value, STATISTICS[key.rpartition(".")[2]]))
        else:
            assert torch.equal(back[key], value)
    again = generator()
    again.load_state_dict(back, strict=True)
    x, c = random_input(16, 3)
    with torch.no_grad():
        assert torch.equal(again(x, c), official(x, c))


G, D = generator().state_dict(), discriminator().state_dict()
REFUSED = {
    "no block": ({k: v for k, v in G.items() if ".main." not in k}, r"main\.9\.main\.0\.weight"),
    "no first block": ({k: v for k, v in G.items() if "main.9." not in k}, r"main\.9\.main\.0\.weight"),
    "no head": ({k: v for k, v in G.items() if k != "main.17.weight"}, r"main\.17\.weight"),
    "no norm": ({k: v for k, v in G.items() if k != "main.4.bias"}, r"main\.4\.bias is missing"),
    "bias": ({**G, "main.3.bias": torch.ones(8)}, r"main\.3\.bias is unexpected"),
    "width": ({**G, "main.3.weight": torch.ones(9, 4, 4, 4)}, r"main\.3\.weight is \(9, "),
    "no domains": ({**G, "main.0.weight": torch.ones(4, 3, 7, 7)}, r"main\.0\.weight has 3 input channels"),
    "flat": ({**G, "main.0.weight": torch.ones(4)}, r"main\.0\.weight"),
    "no patches": ({k: v for k, v in D.items() if k != "conv1.weight"}, r"conv1\.weight"),
    "no layer": ({k: v for k, v in D.items() if k != "main.2.weight"}, r"conv1\.weight has 8 input channels"),
    "far layers": (
        {**D, **{f"main.{2 * i}.weight": torch.ones(1) for i in range(2, 99)}},
        r"conv1\.weight has 8 input channels, but 99 layers",
    ),
    "no bias": ({k: v for k, v in D.items() if k != "main.2.bias"}, r"main\.2\.bias is missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_import_official_refuses_files_that_are_not_wholly_stargans(case: str, tmp_path: Path) -> None:
    refuses(*REFUSED[case], tmp_path / "net.ckpt")


def test_import_run_of_stargan_translates_to_numbered_attributes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, g, d = save_pair(Path("stargan_celeba_128/models"))
    assert call(monkeypatch, "import_weights", str(file)) == 0
    printed = capsys.readouterr().out.splitlines()
    run = Path("runs/stargan_celeba_128")  # not the folder "models"
    assert printed[0].split() == ["run", str(run)]
    assert [line.partition(":")[0] for line in printed[1:3]] == ["generator", "discriminator"]
    assert "c1, c2, c3" in printed[3]
    assert "--exclusive" in printed[3]
    assert printed[4].startswith(f"{sum(map(is_statistic, g.state_dict()))} running statistics")
    config = options(run)
    assert (config.data.names, config.data.attributes) == (["c1", "c2", "c3"], ["c1", "c2", "c3"])
    assert (config.data.crop_size, config.data.load_size, config.data.image_channels) == (16, 16, 3)
    assert (config.model.ngf, config.model.n_blocks, config.model.size) == (4, 2, 16)
    assert (config.model.ndf, config.model.n_layers_d) == (4, 2)
    assert (config.balance.gradient_penalty, config.balance.penalty_of) == ("wgan-gp", "sum")
    path, _ = newest_checkpoint(run)
    assert {key: value.shape for key, value in load_network(path, "discriminator").items()} == {
        key: value.shape for key, value in d.state_dict().items()
    }

    image = random_image()
    x, c = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1, torch.tensor([[0.0, 1.0, 0.0]])
    with torch.no_grad():
        expected = ((g(x, c)[0].permute(1, 2, 0) + 1) / 2).numpy()
    translate = load_translator(run, device="cpu")
    assert isinstance(translate, DomainTranslator)
    np.testing.assert_allclose(translate(image.astype(np.float32) / 255, to="c2"), expected, atol=1e-5)
    assert sorted(translate.directions) == ["c1", "c2", "c3", "no_c1", "no_c2", "no_c3"]
    command = next(line for line in printed if line.startswith("translate")).split()[3:]
    argv = [str(write(Path("x.png"), image)) if word == "FILE|DIR" else word for word in command]
    assert call(monkeypatch, "infer", *argv) == 0
    assert call(monkeypatch, "infer", run.name, "--input", "x.png", "--direction", "c9") == 2


def test_import_run_names_the_domains_of_stargan(monkeypatch: pytest.MonkeyPatch) -> None:
    file, _, _ = save_pair(Path("faces"), domains=5)
    assert call(monkeypatch, "import_weights", str(file), "--name", "celeba", "--domains", *CELEBA) == 0
    data = options(Path("runs/celeba")).data
    assert data.names == data.attributes == CELEBA
    assert data.groups == (tuple(CELEBA[:3]),)  # hair colours
    assert data.direction == "Black_Hair"
    argv = ("--name", "rafd", "--exclusive", "--domains", *"angry happy neutral sad surprised".split())
    assert call(monkeypatch, "import_weights", str(file), *argv) == 0
    translate = load_translator("rafd", device="cpu")
    assert list(translate.directions) == ["angry", "happy", "neutral", "sad", "surprised"]
    assert translate.config.data.attributes is None


def test_import_run_of_stargan_without_discriminator_has_the_default_one() -> None:
    g = generator(domains=5)
    saved(discriminator(), Path("faces/190000-D.ckpt"))  # of another iteration
    file = saved(g, Path("faces/200000-G.ckpt"))
    assert companions(file) == {"G": file}
    run, lines = import_run(file)
    assert [line.partition(":")[0] for line in lines][:1] == ["generator"]
    assert not (newest_checkpoint(run)[0] / "discriminator.safetensors").exists()
    config = options(run)
    assert (config.data.crop_size, config.model.size, config.model.n_layers_d) == (128, 128, 6)
    lone, _ = import_run(saved(g, Path("mine.ckpt")), only="G")
    assert lone.name == "mine"


def test_import_run_of_stargan_takes_the_names_and_sizes_of_a_preset(tiny_stargan: Callable[..., Config]) -> None:
    file, _, _ = save_pair(Path("shoes"), domains=5)
    names = ["blue", "brown", "green", "pink", "yellow"]
    preset = write_preset("stargan", "toy: true", f"names: {names}", "direction: pink", "load_size: 18")
    preset.write_text(preset.read_text() + "  crop_size: 18\nbalance:\n  discriminator_steps: 2\n")
    run, _ = import_run(file, preset=preset)
    config = options(run)
    assert (config.data.names, config.data.attributes, config.data.direction) == (names, None, "pink")
    assert (config.data.crop_size, config.data.load_size, config.model.size) == (16, 18, 16)
    assert config.balance.discriminator_steps == 2
    run, _ = import_run(file, "renamed", preset=preset, direction="green")
    assert options(run).data.direction == "green"

    model = {"n_blocks": 2}
    train(tiny_stargan("tuned", model=model, train={"init_from": "shoes", "max_steps": 1}))
    first = load_network(newest_checkpoint(Path("runs/tuned"))[0], "discriminator")["main.0.weight"]
    moved = (first - discriminator(domains=5).state_dict()["main.0.weight"]).abs().max()
    assert 0 < moved < 3e-4  # a step of Adam moves each weight by its rate at most


def test_import_run_of_stargan_fine_tunes_on_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x", "y", "z"):
        for place in ("train/{}/0.png", "train/{}/1.png", "val/{}/0.png"):
            write(Path("set") / place.format(name), random_image(20))
    file, _, _ = save_pair(Path("seasons"))
    argv = ("--exclusive", "--data-root", "set", "--domains", "x", "y", "z")
    assert call(monkeypatch, "import_weights", str(file), *argv) == 0
    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fine-tune")).split()[3:]
    few = "--train.max_steps 1 --data.batch_size 2 --data.num_workers 0".split()
    assert call(monkeypatch, "train", *command, *few) == 0
    assert options(Path("runs/NEW")).data.names == ["x", "y", "z"]


def test_export_run_of_stargan_returns_what_was_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, g, d = save_pair(Path("faces"))
    import_run(file)
    assert call(monkeypatch, "export_weights", "faces", "--output", "out") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["out/0-G.ckpt", "out/0-D.ckpt"]
    words = printed[2].split()
    there = dict(zip(words[1::2], words[2::2], strict=True))
    assert there == {
        "--c_dim": "3",
        "--image_size": "16",
        "--g_conv_dim": "4",
        "--g_repeat_num": "2",
        "--d_conv_dim": "4",
        "--d_repeat_num": "2",
    }
    for role, network in (("G", g), ("D", d)):
        path = Path(f"out/0-{role}.ckpt")
        assert path.read_bytes()[:2] != b"PK"  # the format that torch 0.4 reads
        written = torch.load(path, weights_only=True)
        assert all(torch.equal(written[k], v) for k, v in network.state_dict().items() if not is_statistic(k))
        network.load_state_dict(written, strict=True)
    again, _ = import_run(Path("out/0-D.ckpt"), "again")
    first, second = newest_checkpoint(Path("runs/faces"))[0], newest_checkpoint(again)[0]
    for name in ("generator", "discriminator"):
        before, after = load_network(first, name), load_network(second, name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_export_run_of_stargan_has_the_step_in_its_names(tiny_stargan: Callable[..., Config]) -> None:
    """Dropout and noise of ``balance`` keep the weights' names; the generator's weights are those of its EMA."""
    balance = {"dropout_d": 0.1, "feature_noise": 0.1}
    train(tiny_stargan("trained", balance=balance, train={"max_steps": 2, "ema_decay": 0.5}))
    files = export_run("trained", "stargan")
    assert files == [Path("runs/trained/export/2-G.ckpt"), Path("runs/trained/export/2-D.ckpt")]
    g, d = StarGenerator(4, 5, 1), StarDiscriminator(16, 4, 5, 2)
    g.load_state_dict(torch.load(files[0], weights_only=True), strict=True)
    d.load_state_dict(torch.load(files[1], weights_only=True), strict=True)
    x, c = random_input(16, 5)
    with torch.no_grad():
        answer = load_translator("trained", device="cpu").model.generate({"input": x, "domain": c})["output"]
        torch.testing.assert_close(g.train()(x, c), answer, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance": {"spectral_norm": "d"}}, r"balance\.spectral_norm"),
        ({"balance": {"minibatch_std": True}}, r"balance\.minibatch_std"),
    ],
)
def test_export_run_of_stargan_refuses_networks_that_the_official_code_has_not(
    tiny_stargan: Callable[..., Config], changes: dict[str, dict[str, object]], message: str
) -> None:
    train(tiny_stargan("other", train={"max_steps": 1}, **changes))
    with pytest.raises(ValueError, match=message) as raised:
        export_run("other")
    assert "\n" not in str(raised.value)
    assert not Path("runs/other/export").exists()


def test_export_run_of_stargan_refuses_gray_images_and_other_formats() -> None:
    run, _ = import_run(saved(generator(channels=1), Path("gray.ckpt")))
    assert options(run).data.image_channels == 1
    with pytest.raises(ValueError, match=r"data\.image_channels 1: "):
        export_run("gray")
    with pytest.raises(ValueError, match=r"--format junyanz: run gray .*stargan"):
        export_run("gray", "junyanz")


def test_import_run_of_stargan_refuses_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(message: str, *argv: object) -> None:
        assert call(monkeypatch, "import_weights", *map(str, argv)) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
        assert not Path("runs").exists()

    file, _, _ = save_pair(Path("faces"))
    refused("--domains names 2 domains (x, y), but the generator has 3", file, "--domains", "x", "y")
    refused("--domains names a domain twice", file, "--domains", "x", "y", "x")
    names = write_preset("stargan", "names: [x, y]")
    refused("--config names 2 domains", file, "--config", names)
    refused("data.direction AtoB", file, "--direction", "AtoB")
    refused("--label-nc", file, "--label-nc", "3")
    refused("--model cyclegan", file, "--model", "cyclegan")
    refused("--config", file, "--config", write_preset("cyclegan", "toy: true"))
    lone = saved(discriminator(), Path("d.ckpt"))
    refused("a domain_discriminator of stargan can't be the G of stargan", lone)
    two = saved(generator(channels=2), Path("two.ckpt"))
    refused("in_channels 2 of G", two)

    # trained jointly on two sets: a mask of 2 labels, which D doesn't classify
    joint = Path("joint/200000-G.ckpt")
    saved(generator(domains=5), joint)
    saved(discriminator(domains=3), Path("joint/200000-D.ckpt"))
    refused("--joint-domains", joint)
    saved(discriminator(domains=4), Path("joint/200000-D.ckpt"))
    refused("domains of D is 4, but that of G 5", joint)
    refused("--joint-domains", joint, "--joint-domains", "u", "v")
    saved(discriminator(domains=5, channels=1), Path("joint/200000-D.ckpt"))
    refused("in_channels of D is 1, but that of G 3", joint)


def test_import_run_takes_two_sets_trained_jointly(monkeypatch: pytest.MonkeyPatch) -> None:
    """G has two labels more than D: the mask, which tells the sets apart."""
    network = generator(domains=7)
    file = saved(network, Path("both/200000-G.ckpt"))
    saved(discriminator(domains=5), Path("both/200000-D.ckpt"))
    argv = [str(file), "--domains", "Male", "Young", "--joint-domains", "happy", "sad", "angry"]
    assert call(monkeypatch, "import_weights", *argv) == 0
    translate = load_translator("both")
    assert translate.domains == ("Male", "Young", "happy", "sad", "angry")  # type: ignore[attr-defined]
    image = np.random.default_rng(0).random((16, 16, 3))
    x = torch.from_numpy(image).float().permute(2, 0, 1)[None] * 2 - 1
    with torch.no_grad():
        expected = network.train()(x, torch.tensor([[0.0, 0, 0, 1, 0, 0, 1]]))
    output = torch.from_numpy(translate(image, to="sad")).permute(2, 0, 1)[None] * 2 - 1  # type: ignore[call-arg]
    torch.testing.assert_close(output.float(), expected, atol=2e-5, rtol=0)


def test_import_run_refuses_options_of_stargan_for_other_weights() -> None:
    file = saved(resnet(), Path("r.pth"))
    for user in (UserOptions(domains=("x", "y")), UserOptions(exclusive=True), UserOptions(joint_domains=("x",))):
        with pytest.raises(ValueError, match=r"--domains, --exclusive, --joint-domains: .*cyclegan"):
            import_run(file, user_options=user)
    assert not Path("runs").exists()
