"""Options: presets, precedence, help, and wrong options."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from img2img.command_line import parse_train_arguments
from img2img.config import Config, keys_of, load_config, option_keys, option_parser
from img2img.losses.balance import BalanceConfig
from img2img.models import model_class, model_names
from img2img.training_options import OptimConfig, TrainConfig

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "configs"
FILES = sorted(PRESETS.rglob("*.yaml"))


def parse(*argv: str) -> Config:
    return parse_train_arguments(argv, PRESETS).config


def error(*argv: str) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_train_arguments(argv, PRESETS)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def help_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parse_train_arguments(argv, PRESETS)
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_presets_load_and_fit_their_networks(path: Path) -> None:
    config = load_config(path)
    assert config.name in (path.stem, f"{path.parent.name}-{path.stem}")
    assert config.model.name == path.parent.name
    assert path.read_text().startswith("# ")
    assert "arXiv" in path.read_text()
    model = model_class(config.model.name)(config.model, config.data.channels)
    model.check_size(config.data.crop_size // model.scale)


def test_presets_exist() -> None:
    names = {path.stem for path in (PRESETS / "pix2pix").iterdir()}
    assert names >= {"toy", "edges2shoes", "facades", "maps", "cityscapes", "night2day", "junyanz"}
    names = {path.stem for path in (PRESETS / "cyclegan").iterdir()}
    assert names >= {"toy", "horse2zebra", "monet2photo", "summer2winter", "maps", "cityscapes", "apple2orange"}
    assert names >= {"shoes2handbags", "dualgan"}
    names = {path.stem for path in (PRESETS / "pix2pixhd").iterdir()}
    assert names >= {"toy", "cityscapes_512p", "cityscapes_1024p"}
    assert {path.stem for path in (PRESETS / "dcgan").iterdir()} >= {"toy", "celeba"}
    assert (PRESETS / "infogan" / "toy.yaml").is_file()
    assert {path.stem for path in (PRESETS / "stargan").iterdir()} >= {"toy", "celeba", "celeba_256", "rafd"}
    names = {path.stem for path in (PRESETS / "srgan").iterdir()}
    assert names >= {"toy", "srresnet_x4", "srgan_x4", "rrdb_x4", "esrgan_x4"}
    assert names >= {f"{name}_x{scale}" for name in ("realesrnet", "realesrgan") for scale in (2, 4)}


def test_preset_celeba_has_the_papers_numbers() -> None:
    """arXiv 1511.06434, Sec. 4 and Fig. 1."""
    config = load_config(PRESETS / "dcgan" / "celeba.yaml")
    assert (config.data.batch_size, config.data.crop_size) == (128, 64)
    assert (config.optim.lr, config.optim.betas[0]) == (2e-4, 0.5)
    assert (config.model.noise_dim, config.model.ngf, config.model.gan_loss) == (100, 128, "vanilla")


def test_pix2pix_preset_junyanz_has_that_toolkits_defaults() -> None:
    """options/base_options.py, train_options.py and models/pix2pix_model.py of its main branch."""
    config = load_config(PRESETS / "pix2pix" / "junyanz.yaml")
    model, data, optim = config.model, config.data, config.optim
    assert (model.generator, model.num_downs, model.ngf, model.ndf, model.n_layers_d) == ("unet", 8, 64, 64, 3)
    assert (model.norm, model.dropout, model.dropout_innermost, model.gan_loss) == ("batch", True, False, "vanilla")
    assert (model.lambda_l1, model.init_gain, model.upsample) == (100, 0.02, "deconv")
    assert (data.load_size, data.crop_size, data.batch_size, data.flip, data.direction) == (286, 256, 1, True, "AtoB")
    assert (optim.lr, optim.betas, config.train.epochs, config.train.decay_epochs) == (2e-4, (0.5, 0.999), 100, 100)
    assert not config.balance.changed


def test_presets_have_different_run_names() -> None:
    names = [load_config(path).name for path in FILES]
    assert len(set(names)) == len(names)


def test_config_n_blocks_follows_crop_size() -> None:
    for size, blocks in ((256, 9), (128, 6)):
        config = parse("--model", "cyclegan", "--data.root", "x", "--data.crop_size", str(size))
        assert config.model.n_blocks == blocks
        assert f"n_blocks: {blocks}" in config.to_yaml()
    assert parse("--model", "cyclegan", "--data.root", "x", "--model.n_blocks", "4").model.n_blocks == 4


def test_config_yaml_round_trips(tmp_path: Path) -> None:
    config = parse("--model", "pix2pix", "--data.root", "x", "--optim.lr", "1e-5", "--optim.betas", "[0,0.9]")
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "c.yaml") == config


def test_command_line_overrides_yaml_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model:\n  name: pix2pix\noptim:\n  lr: 2e-4\n  lr_d: 1e-4\ndata:\n  root: a\n")
    for argv in (["--optim.lr", "1e-3", "--config", "c.yaml"], ["--config=c.yaml", "--optim.lr=1e-3"]):
        config = parse(*argv)
        assert (config.optim.lr, config.optim.lr_d, config.data.root) == (1e-3, 1e-4, "a")


def test_command_line_without_data_trains_on_the_toy_task() -> None:
    arguments = parse_train_arguments(["--model", "pix2pix", "--train.seed", "3"], PRESETS)
    assert arguments.config.data.toy
    assert arguments.config.train.seed == 3
    assert "--config pix2pix/toy" in arguments.notes[0]
    assert not parse("--model", "pix2pix", "--data.root", "x").data.toy


def test_run_name_comes_from_option_preset_or_root() -> None:
    facades = str(PRESETS / "pix2pix" / "facades.yaml")
    assert parse("--config", facades).name == "facades"
    assert parse("--config", facades, "--name", "other").name == "other"
    assert parse("--model", "pix2pix", "--data.root", "/data/my-cats").name == "my-cats"
    assert parse("--model", "pix2pix").name == "toy"
    assert parse("--model", "pix2pix", "--data.toy", "true").name == "toy"
    assert parse("--model", "pix2pix", "--data.root", "/data/my cats é (2)/").name == "my-cats-é-2"
    assert parse("--model", "pix2pix", "--data.root=/").name == "run"
    assert parse("--model", "cyclegan").name == "cyclegan-toy"
    assert parse("--model", "cyclegan", "--data.root_a", "/x/horses", "--data.root_b=/y/zebras").name == "horses2zebras"


def test_config_wasserstein_requires_a_bound_on_the_critic() -> None:
    for model in ("pix2pix", "cyclegan"):
        argv = ("--model", model, "--data.root", "x", "--model.gan_loss", "wasserstein")
        assert "optim.clip_d" in error(*argv)
        assert parse(*argv, "--optim.clip_d", "0.01").optim.clip_d == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model.gan_loss", "hinge", "--balance.label_real", "[0.9,0.9]"), "balance.label_real"),
        (("--model.gan_loss=wasserstein", "--optim.clip_d=0.01", "--balance.skip_above=0.8"), "balance.skip_above"),
        (("--balance.minibatch_std", "true"), "data.batch_size"),
        (("--balance.gradient_penalty", "wgan-gp"), "model.norm instance"),
        (("--balance.gradient_penalty", "r1", "--train.compile", "true"), "train.compile false"),
        (("--balance.augment", "[colour]"), "balance.augment"),
    ],
)
def test_config_refuses_options_that_exclude_each_other(options: tuple[str, ...], message: str) -> None:
    assert message in error("--model", "pix2pix", "--data.root", "x", *options)


def test_config_wasserstein_accepts_penalties_and_spectral_norm() -> None:
    argv = ("--model", "pix2pix", "--data.root", "x", "--model.gan_loss", "wasserstein", "--model.norm", "instance")
    for key, value in (("gradient_penalty", "wgan-gp"), ("gradient_penalty", "r1"), ("spectral_norm", "d")):
        assert getattr(parse(*argv, f"--balance.{key}", value).balance, key) == value


def test_optim_config_of_falls_back_to_the_generators_option() -> None:
    optim = OptimConfig(lr=1e-3, lr_d=4e-3, clip_grad_norm=1.0, clip_grad_value=2.0, clip_grad_value_d=0.0)
    assert (optim.of("lr", "generator"), optim.of("lr", "discriminator")) == (1e-3, 4e-3)
    assert optim.of("clip_grad_norm", "discriminator") == 1.0
    assert optim.of("clip_grad_value", "discriminator") == 0.0
    assert optim.of("optimizer", "discriminator") == "adam"


def test_command_line_with_two_folders_replaces_the_toy_task() -> None:
    argv = ["--model", "cyclegan", "--data.root_a", "horses", "--data.root_b", "zebras"]
    arguments = parse_train_arguments(argv, PRESETS)
    assert not arguments.config.data.toy
    assert not arguments.notes
    horses = ["--config", str(PRESETS / "cyclegan" / "horse2zebra.yaml")]
    assert "data.root null" in error(*horses, *argv[2:])
    assert parse(*horses, *argv[2:], "--data.root", "null").data.root_b == "zebras"


def test_resume_reads_the_runs_options(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        parse("--model", "pix2pix", "--data.root", "x", "--model.ngf", "8", "--name", "r").to_yaml()
    )
    config = parse("--name", "r", "--resume", "--train.max_steps", "9")
    assert (config.name, config.model.ngf, config.data.root, config.train.max_steps) == ("r", 8, "x", 9)
    assert error("--name", "other", "--resume").startswith("--resume: there is no run in runs/other;")
    assert error("--model", "cyclegan", "--name", "r", "--resume").startswith("--model cyclegan: runs/r/config.yaml ")


def test_resume_finds_the_run_of_the_same_command(tmp_path: Path) -> None:
    """By root, preset or toy, without --name: with the run's options, not the defaults."""
    by_root, toy = ["--data.root", "/data/set"], ["--data.toy", "true", "--data.load_size", "300"]
    sides = ["--data.root_a", "/data/a", "--data.root_b", "/data/b"]
    paired = [["--model", "pix2pix", *options] for options in (by_root, [], toy)]
    for argv in (*paired, ["--model", "cyclegan", *sides], ["--model", "cyclegan"]):
        config = parse(*argv, "--data.batch_size", "3", "--train.seed", "7")
        (tmp_path / "runs" / config.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / config.name / "config.yaml").write_text(config.to_yaml())
        assert parse(*argv, "--resume") == config


@pytest.mark.parametrize(
    ("model", "own", "unused"),
    [
        (
            "pix2pix",
            "generator num_downs ngf ndf n_layers_d norm dropout upsample gan_loss lambda_l1 "
            "lambda_vgg vgg_weights lambda_ssim ssim lambda_fm init_gain",
            "root_a root_b val_paired label_nc ignore_id instances torchvision",
        ),
        (
            "cyclegan",
            "generator n_blocks ngf ndf n_layers_d norm dropout upsample gan_loss lambda_cycle "
            "lambda_cycle_a lambda_cycle_b lambda_identity lambda_vgg vgg_weights lambda_ssim ssim lambda_fm pool_size "
            "init_gain",
            "label_nc ignore_id instances torchvision",
        ),
        (
            "pix2pixhd",
            "stage ngf n_downs n_blocks n_enhancers n_blocks_local ndf n_layers_d n_scales norm upsample gan_loss "
            "lambda_feat lambda_vgg vgg_weights instance_features n_features nef init_gain",
            "root_a root_b val_paired torchvision",
        ),
        (
            "dcgan",
            "size num_classes noise_dim ngf ndf norm norm_d upsample gan_loss init_gain",
            "root_a root_b val_paired label_nc ignore_id instances direction channels_a",
        ),
        (
            "infogan",
            "size num_categorical categories num_continuous noise_dim ngf ndf norm norm_d upsample gan_loss "
            "lambda_categorical lambda_continuous init_gain",
            "root_a root_b val_paired label_nc ignore_id instances direction channels_a",
        ),
    ],
)
def test_help_all_shows_every_option_with_its_docstring(
    model: str, own: str, unused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Except the data options of other models."""
    text = " ".join(help_of(capsys, "--model", model, "--help", "all").split())
    shared = """
        data.root data.root_a data.root_b data.direction data.load_size data.crop_size data.flip data.batch_size
        data.num_workers data.train_split data.val_split data.val_paired data.channels_a data.channels_b optim.lr
        optim.betas optim.lr_d optim.clip_d
        data.preprocess data.stride data.torchvision data.label_nc data.ignore_id data.instances
        train.init_from train.freeze_global_epochs train.epochs train.decay_epochs train.max_steps train.seed
        train.log_every
        train.sample_every train.save_every train.keep_checkpoints train.ema_decay train.gradient_accumulation
        train.compile train.channels_last
    optim.decay_to
    optim.optimizer optim.optimizer_d optim.betas_d optim.clip_grad_norm optim.clip_grad_norm_d optim.clip_grad_value
    optim.clip_grad_value_d
    """.split()
    shared += [f"balance.{field.name}" for field in fields(BalanceConfig)]
    hidden = [f"data.{key}" for key in unused.split()]
    assert set(hidden) < set(shared)
    assert not [option for option in hidden if f"--{option} " in text]
    assert "more options" not in text
    for option in [option for option in shared if option not in hidden] + [f"model.{key}" for key in own.split()]:
        described = text.split(f"--{option} ")[-1].split(" --")[0]
        assert "default:" in described, option
        assert len(described) > 40, option


@pytest.mark.parametrize("model", model_names())
def test_help_shows_common_options_and_counts_the_others(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(text: str) -> list[str]:
        return re.findall(r"^  --(\w+\.\w+)", text, re.MULTILINE)

    few, every = (help_of(capsys, "--model", model, *argv) for argv in (["--help"], ["--help", "all"]))
    assert set(shown(few)) < set(shown(every))
    assert "--help all" in few.splitlines()[-1]
    assert str(len(shown(every)) - len(shown(few))) in few.splitlines()[-1]
    everyday = {"data.root", "data.batch_size", "optim.lr", "train.epochs", "train.precision", "balance.augment"}
    of_model = {
        "restoration": {"model.width", "model.pixel_loss"},
        "srgan": {"model.stage", "model.network", "model.lambda_gan"},
    }.get(model, {"model.ngf", "model.gan_loss"})
    assert everyday | of_model <= set(shown(few))
    assert not {"model.init_gain", "optim.clip_d", "train.compile", "balance.label_real"} & set(shown(few))


def test_help_without_a_model_lists_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["-h"], ["--resume", "--help"], ["--name", "x", "--help"]):
        with pytest.raises(SystemExit) as ended:
            parse_train_arguments(argv, PRESETS)
        assert not ended.value.code
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "usage: img2img train --model NAME [--config FILE|PRESET] [options]"
        listed = [line for line in lines if line.startswith("  ")]
        assert all(len(line.split(maxsplit=1)[1]) > 10 and line.endswith(".") for line in listed)  # whole sentences
        assert [line.split()[0] for line in lines if line.startswith("  ")] == [*model_names(), "FILE.py"]
        assert "--model NAME --help" in lines[-1]
        assert len(lines) < 20
    with pytest.raises(SystemExit):
        parse_train_arguments(["--model", "dcgan", "--help"], PRESETS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3:2] == ["usage: img2img train --model NAME [--config FILE|PRESET] [options]", lines[2]]
    assert lines[2].startswith("Trains dcgan.")


def test_pix2pixhd_defaults_to_scale_width_for_label_maps() -> None:
    scenes = ("--model", "pix2pixhd", "--data.root", "x", "--data.label_nc", "9")
    assert (parse(*scenes).data.preprocess, parse(*scenes).data.load_size) == ("scale_width", 512)
    square = parse(*scenes, "--data.preprocess", "resize_and_crop", "--data.load_size", "286").data
    assert (square.preprocess, square.load_size) == ("resize_and_crop", 286)
    assert parse("--model", "pix2pixhd").data.load_size == 128  # of the toy preset
    assert parse("--model", "pix2pix", "--data.root", "x").data.preprocess == "resize_and_crop"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--data.load_szie", "3"), "--data.load_size?"),
        (("--lr", "3"), "--optim.lr?"),
        (("--data.direction", "AtoC"), "data.direction AtoC"),
        (("--data.load_size", "big"), "data.load_size big"),
        (("--optim.lr_d", "slow"), "optim.lr_d slow"),
        (("--data.crop_size", "300"), "data.crop_size 300"),
        (("--resume", "--overwrite"), "--resume and --overwrite"),
        (("--name", "../x"), "--name '../x'"),
        (("--name", "x" * 300), "--name 'xxx"),
        (("--data.root", ""), "data.root "),
        (("foo",), "foo: "),
        (("--mixed_precision", "bf16"), "--mixed_precision "),
    ],
)
def test_command_line_names_wrong_options(argv: tuple[str, ...], named: str) -> None:
    assert named in error("--model", "pix2pix", "--data.root", "x", *argv)


def test_command_line_without_a_valid_model_names_models_and_similar_options() -> None:
    assert "pix2pix?" in error("--model", "pix2pics")
    assert error("--model").startswith("--model: ")
    assert error("--data.root", "x").startswith("--model ")
    assert error("--overwrite", "--model.lambda_l1", "3", "--data.root=x").startswith("--model ")
    assert "--data.root?" in error("--data.rot", "x")
    assert "--model.lambda_l1?" in error("--model.lambda_l", "3", "--data.root", "x")
    assert "--model?" in error("--modl", "pix2pix")


def test_resume_without_a_name_lists_the_runs(tmp_path: Path) -> None:
    assert "--name" in error("--resume")
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").touch()
    assert error("--resume", "--train.max_steps", "9").endswith(" a, b")
    assert "--train.max_steps?" in error("--resume", "--train.max_step", "9")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("data:\n  load_szie: 3\n", "c.yaml: unknown option data.load_szie; did you mean data.load_size?"),
        ("daat:\n  load_size: 3\n", "data.load_size?"),
        ("data:\n  load_size: big\n", "c.yaml: data.load_size big: "),
        ("data: [\n", "c.yaml: not valid YAML"),
        ("- data\n", "c.yaml: not a file of options"),
        ("model:\n  name: other\n", "c.yaml is for other"),
        ("model:\n  name: 5\n", "c.yaml: name and model.name "),
        ("data:\n", "c.yaml: no options in section 'data:'"),
    ],
)
def test_config_file_names_what_is_wrong(text: str, named: str) -> None:
    Path("c.yaml").write_text(text)
    assert named in error("--model", "pix2pix", "--config", "c.yaml")


def test_config_file_that_is_missing_is_named() -> None:
    assert error("--config", "nowhere.yaml").startswith("--config nowhere.yaml: ")


@pytest.mark.parametrize(
    ("section", "options"),
    [
        (TrainConfig, {"epochs": -1}),
        (TrainConfig, {"log_every": 0}),
        (TrainConfig, {"ema_decay": 1.0}),
        (TrainConfig, {"epochs": 0, "decay_epochs": 0}),
        (OptimConfig, {"lr": 0.0}),
        (OptimConfig, {"betas": (0.5, 1.0)}),
        (OptimConfig, {"decay_to": -0.1}),
        (OptimConfig, {"decay_to": 1.1}),
        (OptimConfig, {"clip_d": -0.01}),
        (OptimConfig, {"betas_d": (1.0, 0.9)}),
        (OptimConfig, {"clip_grad_norm_d": -1.0}),
        (BalanceConfig, {"label_real": (1.2, 0.7)}),
        (BalanceConfig, {"label_fake": (0.0, 1.0)}),
        (BalanceConfig, {"label_flip": 0.5}),
        (BalanceConfig, {"instance_noise": -0.1}),
        (BalanceConfig, {"dropout_d": 1.0}),
        (BalanceConfig, {"discriminator_steps": 0}),
        (BalanceConfig, {"first_steps": 10}),
        (BalanceConfig, {"warmup_d": -1}),
        (BalanceConfig, {"skip_above": 0.4}),
    ],
)
def test_config_names_options_out_of_range(section: type, options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        section(**options)


@pytest.mark.parametrize(
    ("model", "option"),
    [("pix2pix", "val_paired true"), ("cyclegan", "instances false"), ("pix2pixhd", "val_paired true")],
)
def test_config_refuses_options_of_other_data_sets(model: str, option: str) -> None:
    key, value = option.split()
    assert f"data.{key}: " in error("--model", model, "--data.root", "x", f"--data.{key}", value)
    Path("mine.yaml").write_text(f"model:\n  name: {model}\ndata:\n  root: x\n  {key}: {value}\n")
    assert f"mine.yaml: data.{key}: " in error("--config", "mine.yaml")


def test_load_config_drops_options_of_other_data_sets_of_old_files(tmp_path: Path) -> None:
    """In runs they had no effect; a user's file may have copied their defaults."""
    run = tmp_path / "runs" / "old"
    run.mkdir(parents=True)
    config = parse("--model", "pix2pix", "--data.root", "x", "--name", "old")
    whole = yaml.safe_load(config.to_yaml())
    whole["data"] |= {"root_a": None, "label_nc": 0, "instances": True, "torchvision": None, "val_paired": False}
    Path("copied.yaml").write_text(yaml.safe_dump(whole))
    assert parse("--config", "copied.yaml") == config
    whole["data"] |= {"val_paired": True}
    (run / "config.yaml").write_text(yaml.safe_dump(whole))
    assert load_config(run / "config.yaml") == config
    assert parse("--name", "old", "--resume") == config


def test_load_config_drops_directions_of_old_noise_models(tmp_path: Path) -> None:
    config = parse("--model", "dcgan", "--data.root", "x", "--name", "old")
    whole = yaml.safe_load(config.to_yaml())
    whole["data"] |= {"direction": "AtoB", "channels_a": 3}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
    assert load_config(tmp_path / "config.yaml") == config


def test_linear_schedule_is_constant_and_then_a_line() -> None:
    optim = OptimConfig(decay_to=0.1)
    factors = [optim.rate_factor(epoch, epochs=2, decay_epochs=4) for epoch in (0, 2, 4, 6, 7)]
    assert factors == pytest.approx([1, 1, 0.55, 0.1, 0.1])


@pytest.mark.parametrize("cycles", [1, 4])
def test_cosine_schedule_is_torchs(cycles: int) -> None:
    """From 1 to decay_to in each cycle, as CosineAnnealingWarmRestarts."""
    optim = OptimConfig(schedule="cosine", decay_to=0.01, cycles=cycles)
    parameter = torch.nn.Parameter(torch.zeros(1))
    expected = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        torch.optim.SGD([parameter], lr=1.0), T_0=40 // cycles, eta_min=0.01
    )
    for epoch in range(40):
        expected.optimizer.step()
        rate = optim.rate_factor(epoch, epochs=30, decay_epochs=10)
        assert rate == pytest.approx(expected.get_last_lr()[0]), epoch
        expected.step()
    assert optim.rate_factor(40, epochs=30, decay_epochs=10) == pytest.approx(0.01)


def test_steps_schedule_multiplies_at_the_milestones() -> None:
    optim = OptimConfig(schedule="steps", milestones=(0.25, 0.5), step_factor=0.1)
    factors = [optim.rate_factor(epoch, epochs=8, decay_epochs=0) for epoch in (0, 1.9, 2, 3.9, 4, 8)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"schedule": "steps"}, r"optim\.milestones"),
        ({"schedule": "steps", "milestones": (0.5, 1.0)}, r"optim\.milestones \[0\.5, 1\.0\]"),
        ({"milestones": (0.5,)}, r"optim\.schedule steps"),
        ({"cycles": 2}, r"optim\.schedule cosine"),
        ({"schedule": "cosine", "cycles": 0}, r"optim\.cycles 0"),
        ({"schedule": "steps", "milestones": (0.5,), "step_factor": 2}, r"optim\.step_factor 2"),
    ],
)
def test_wrong_schedule_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        OptimConfig(**options)


@pytest.mark.parametrize("model", model_names())
def test_option_keys_are_those_of_the_parser(model: str) -> None:
    assert option_keys(model) == keys_of(option_parser(model))
