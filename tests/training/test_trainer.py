"""The trainer: exact resume, which side each step updates, accumulation, EMA, what ends a run."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from img2img.checkpoint import newest_checkpoint
from img2img.config import Config
from img2img.data.images import read_image
from img2img.data.loader import keyed_loader, to_device
from img2img.data.paired import PairedDataset
from img2img.errors import TrainingStopped
from img2img.models.base import Side
from img2img.training import trainer as trainer_module
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_scene, in_order, make_step, write
from tests.helpers import equal, logged, rows, weights

Tiny = Callable[..., Config]


@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_step_changes_only_weights_of_its_own_side(tiny: Tiny, still: Side) -> None:
    """A side with a learning rate of zero stays as it is, bit for bit."""
    gan_step = make_step(tiny())
    gan_step.networks.rates[still] = [0.0]
    before = {name: {k: v.clone() for k, v in p.items()} for name, p in gan_step.networks.weights().items()}
    after = run_step(gan_step, tiny())
    moved = {n for n in before for k, v in before[n].items() if "running" not in k and not torch.equal(v, after[n][k])}
    assert moved - {"num_batches_tracked"} == {"generator", "discriminator"} - {still}


def run_step(gan_step: GANStep, config: Config) -> dict[str, dict[str, torch.Tensor]]:
    pairs = PairedDataset(config.data, "train")
    batch = next(iter(keyed_loader(pairs, in_order(6, 2), 0)))
    tracked = [
        m for net in gan_step.networks.bare.values() for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)
    ]
    counts = [m.num_batches_tracked.clone() for m in tracked]
    gan_step.run([to_device(batch, "cpu")], 0, 1.0)
    for module, count in zip(tracked, counts, strict=True):
        module.num_batches_tracked.copy_(count)  # counts forwards, which both sides do
    return gan_step.networks.weights()


def test_generator_step_leaves_the_discriminator_without_gradients(tiny: Tiny) -> None:
    gan_step = make_step(tiny())
    seen = []
    for side, optimizer in gan_step.networks.optimizers.items():

        def step(side: Side = side, real: Callable[[], None] = optimizer.step) -> None:
            named = {
                n for n, net in gan_step.networks.bare.items() if any(p.grad is not None for p in net.parameters())
            }
            seen.append((side, named))
            real()

        optimizer.step = step
    run_step(gan_step, tiny())
    assert seen == [("discriminator", {"discriminator"}), ("generator", {"generator"})]


def test_resume_equals_uninterrupted_run_bit_for_bit(tiny: Tiny) -> None:
    """With dropout, batch norm, EMA, augmentation, two epochs, odd stops, and changing numbers of workers."""
    options = {"max_steps": 11, "log_every": 4, "ema_decay": 0.9, "epochs": 2, "decay_epochs": 3}
    model = {"num_downs": 5}  # the first depth with dropout
    data = {"load_size": 36, "crop_size": 32}
    train(tiny("whole", train=options, model=model, data=data))
    train(tiny("parts", train={**options, "max_steps": 3}, model=model, data=data))
    train(tiny("parts", train={**options, "max_steps": 7}, model=model, data={**data, "num_workers": 1}), resume=True)
    train(tiny("parts", train=options, model=model, data=data), resume=True)
    assert equal(weights(Path("runs/whole")), weights(Path("runs/parts")))
    whole, parts = logged(Path("runs/whole")), logged(Path("runs/parts"))
    assert set(whole) == {"4", "8", "11"}
    assert set(parts) == {"3", "4", "7", "8", "11"}  # the last step of each part logs, too
    assert parts["11"] == whole["11"]


def test_resume_after_a_kill_drops_later_rows_of_the_log(tiny: Tiny) -> None:
    config = tiny(train={"max_steps": 8, "save_every": 4, "log_every": 1})
    train(config)
    uninterrupted, before = weights(Path("runs/tiny")), logged(Path("runs/tiny"))
    newest, _ = newest_checkpoint(Path("runs/tiny"))
    (newest / "manifest.json").unlink()  # as if it had been killed while it wrote step 8
    train(config, resume=True)
    assert equal(weights(Path("runs/tiny")), uninterrupted)
    assert logged(Path("runs/tiny")) == before
    assert list(before) == [str(i) for i in range(1, 9)]


@pytest.mark.parametrize("name", ["pix2pix", "pix2pixhd"])
def test_accumulation_equals_a_large_batch(name: str, tiny: Tiny, tiny_hd: Tiny) -> None:
    # no norm: before instance norm a bias has only rounding noise as its gradient, which Adam scales up to full steps
    model = {"norm": "none", **({"dropout": False} if name == "pix2pix" else {})}
    make = tiny if name == "pix2pix" else tiny_hd
    train(make("big", model=model, data={"batch_size": 4}))
    train(make("small", model=model, data={"batch_size": 2}, train={"gradient_accumulation": 2}))
    big, small = weights(Path("runs/big")), weights(Path("runs/small"))
    assert max((big[key] - small[key]).abs().max().item() for key in big) < 2e-6


def test_training_overfits_four_pairs(tiny: Tiny) -> None:
    config = tiny(
        data={"load_size": 16, "flip": False, "batch_size": 4},
        model={"ngf": 16, "dropout": False, "norm": "instance"},
        optim={"lr": 2e-3},
        train={"max_steps": 150, "epochs": 1000, "log_every": 10},
    )
    for i in (4, 5):
        Path(config.data.root or "", "train", f"{i}.png").unlink()
    train(config)
    first, last = rows(Path("runs/tiny"))[0], rows(Path("runs/tiny"))[-1]
    assert float(last["loss/generator/l1"]) < 0.2 * float(first["loss/generator/l1"])


def test_ema_follows_its_equation(tiny: Tiny) -> None:
    """min(decay, (1 + n) / (10 + n)) after n updates, for weights and batch norm's statistics alike."""
    config = tiny(train={"ema_decay": 0.25})
    gan_step = make_step(config)
    expected: list[torch.Tensor] = []
    keys = ("head.0.weight", "encoder.1.1.running_var")
    pairs = PairedDataset(config.data, "train")
    batch = to_device(next(iter(keyed_loader(pairs, in_order(6, 2), 0))), "cpu")
    for step in range(4):
        gan_step.run([batch], step, 1.0)
        now = [gan_step.networks.bare["generator"].state_dict()[key].clone() for key in keys]
        d = min(0.25, (1 + step) / (10 + step))
        expected = now if step == 0 else [d * old + (1 - d) * new for old, new in zip(expected, now, strict=True)]
    for key, value in zip(keys, expected, strict=True):
        torch.testing.assert_close(gan_step.networks.weights()["generator_ema"][key], value)


def test_rate_factor_decays_linearly_with_the_images_used(tiny: Tiny) -> None:
    trainer = Trainer(tiny(train={"epochs": 2, "decay_epochs": 2, "max_steps": 0}), Path("runs/tiny"))
    assert trainer.total_steps == 12  # 6 images, 4 epochs, steps of 2
    seen = []
    for trainer.step in range(12):
        trainer.position = 2 * trainer.step
        seen.append(round(trainer.rate_factor, 4))
    assert seen == [1, 1, 1, 1, 1, 1, 1, 0.8333, 0.6667, 0.5, 0.3333, 0.1667]


def test_rate_factor_ends_at_decay_to(tiny: Tiny) -> None:
    """It falls to 0 as before the option existed; 0.999 is StarGAN's released code: 1e-4 becomes 9.99e-5."""
    limits = {"epochs": 2, "decay_epochs": 2, "max_steps": 0}
    factors = {}
    for last in (0.0, 0.25, 0.999, 1.0):
        trainer = Trainer(tiny(train=limits, optim={"decay_to": last}), Path("runs/tiny"))
        factors[last] = []
        for position in range(0, 25, 2):
            trainer.position = position
            factors[last].append(trainer.rate_factor)
    shares = [max(0.0, position / 6 - 2) / 2 for position in range(0, 25, 2)]
    assert factors[0.0] == [1 - share for share in shares]
    assert factors[0.25] == pytest.approx([1 - 0.75 * share for share in shares])
    assert factors[0.25][-1] == 0.25
    assert 1e-4 * factors[0.999][-1] == pytest.approx(9.99e-5)
    assert factors[1.0] == [1.0] * 13


def test_decay_to_sets_the_rates_of_both_sides(tiny: Tiny) -> None:
    limits = {"epochs": 0, "decay_epochs": 2, "max_steps": 0, "log_every": 3}
    run = train(tiny(train=limits, optim={"decay_to": 0.5, "lr": 1e-3, "lr_d": 1e-2}))
    for side, rate in (("generator", 1e-3), ("discriminator", 1e-2)):
        logged_rates = [float(row[f"rate/{side}"]) for row in rows(run)]
        assert logged_rates == pytest.approx([rate * (1 - 0.5 * i / 6) for i in (2, 5)])  # of the steps before the logs


def test_lr_d_is_the_discriminators_rate(tiny: Tiny) -> None:
    train(tiny(optim={"lr_d": 1e-5}))
    assert {row["rate/discriminator"] for row in rows(Path("runs/tiny"))} == {"1e-05"}
    assert {row["rate/generator"] for row in rows(Path("runs/tiny"))} == {"0.0002"}


def test_train_writes_samples_checkpoints_metrics_and_tensorboard(tiny: Tiny) -> None:
    run = train(tiny(train={"sample_every": 2, "save_every": 2, "keep_checkpoints": 1}))
    assert sorted(p.name for p in (run / "samples").iterdir()) == [f"step-00000{i}.png" for i in (0, 2, 4)]
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["latest", "step-000004"]
    sheet = read_image(run / "samples" / "step-000004.png", 3)
    assert sheet.shape == (14 + 3 * 20 + 4, 3 * 20 + 4, 3)  # titles; input, output, target of three images
    drawn = PairedDataset(tiny().data, "val")[0, 0]
    assert np.array_equal(sheet[18:34, 4:20], drawn["input"])
    assert np.array_equal(sheet[18:34, 44:60], drawn["target"])
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert set(board.Tags()["scalars"]) == set(rows(run)[0]) - {"step", "epoch", "time", "verdict"}
    assert {"loss/generator/l1", "discriminator/accuracy_real", "gradient_norm/generator", "rate/generator"} <= set(
        board.Tags()["scalars"]
    )
    assert board.Tags()["images"] == ["samples"]
    assert set(board.Tags()["tensors"]) == {"config/text_summary", "custom_scalars__config__"}


def test_nan_stops_and_names_the_loss_and_the_last_good_checkpoint(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run_step = GANStep.run

    def with_nan(self: GANStep, batches: list, step: int, rate_factor: float, **options: bool) -> dict:
        values = run_step(self, batches, step, rate_factor, **options)
        return {**values, "loss/generator/l1": values["loss/generator/l1"] * float("nan" if step == 5 else 1)}

    monkeypatch.setattr(GANStep, "run", with_nan)
    with pytest.raises(TrainingStopped) as stopped:
        train(tiny(train={"max_steps": 20, "save_every": 3, "log_every": 10}))
    assert "loss/generator/l1" in str(stopped.value)
    assert "step-000003" in str(stopped.value)
    assert newest_checkpoint(Path("runs/tiny"))[0].name == "step-000003"


def test_save_refuses_weights_that_are_not_finite(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run_step = GANStep.run

    def with_broken_weight(self: GANStep, batches: list, step: int, rate_factor: float, **options: bool) -> dict:
        values = run_step(self, batches, step, rate_factor, **options)
        if step == 3:
            with torch.no_grad():
                next(self.networks.bare["generator"].parameters()).fill_(float("inf"))
        return values

    monkeypatch.setattr(GANStep, "run", with_broken_weight)
    with pytest.raises(TrainingStopped, match=r"weight .*step-000002"):
        train(tiny(train={"max_steps": 20, "save_every": 2, "log_every": 10}))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_a_checkpoint_and_stops(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    options = {"max_steps": 6, "log_every": 5}  # the run stops between two logs, and saves the sums
    config = tiny(train=options)
    train(tiny("whole", train=options))
    run_step = GANStep.run

    def interrupted(self: GANStep, batches: list, step: int, rate_factor: float, **options: bool) -> dict:
        if step == 2:
            os.kill(os.getpid(), number)
        return run_step(self, batches, step, rate_factor, **options)

    with monkeypatch.context() as patch:
        patch.setattr(GANStep, "run", interrupted)
        with pytest.raises(TrainingStopped, match="--resume") as stopped:
            train(config)
    assert stopped.value.code == 128 + number
    assert newest_checkpoint(Path("runs/tiny"))[0].name == "step-000003"
    train(config, resume=True)
    assert equal(weights(Path("runs/tiny")), weights(Path("runs/whole")))
    assert logged(Path("runs/tiny")) == logged(Path("runs/whole"))


def test_worker_that_dies_stops_the_run_in_one_line(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run_step = GANStep.run

    def killing(self: GANStep, batches: list, step: int, rate_factor: float, **options: bool) -> dict:
        if step == 3:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)
        return run_step(self, batches, step, rate_factor, **options)

    monkeypatch.setattr(GANStep, "run", killing)
    with pytest.raises(TrainingStopped, match=r"data.num_workers.*step-0+4;") as stopped:
        train(tiny(data={"num_workers": 1}, train={"max_steps": 10**6, "epochs": 10**6, "save_every": 2}))
    assert stopped.value.code == 1
    assert "\n" not in str(stopped.value)


def test_file_that_breaks_during_training_is_skipped_and_counted(
    tiny: Tiny, paired_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_run = trainer_module.begin_run

    def begin(*args: object, **kwargs: object) -> None:
        begin_run(*args, **kwargs)  # type: ignore[arg-type]
        (paired_root / "train" / "1.png").write_bytes(b"")

    monkeypatch.setattr(trainer_module, "begin_run", begin)
    run = train(tiny(train={"max_steps": 6}))
    assert capsys.readouterr().out.count("1.png") == 1
    assert rows(run)[-1]["data/skipped"] == "1.0"


def test_resume_of_a_complete_run_changes_nothing(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny())
    before = weights(Path("runs/tiny"))
    train(tiny(), resume=True)
    assert "train.max_steps 4" in capsys.readouterr().out  # the limit that ended it
    train(tiny(train={"max_steps": 0, "epochs": 1, "decay_epochs": 0}), resume=True)
    assert "train.epochs 1" in capsys.readouterr().out
    assert equal(weights(Path("runs/tiny")), before)


def test_resume_refuses_options_that_do_not_fit_the_weights(tiny: Tiny) -> None:
    train(tiny())
    with pytest.raises(ValueError, match=r"model\.ngf 8: .*\b4\b"):
        train(tiny(model={"ngf": 8}, train={"max_steps": 9}), resume=True)
    with pytest.raises(ValueError, match=r"data\.direction BtoA: .*AtoB"):
        train(tiny(data={"direction": "BtoA"}, train={"max_steps": 9}), resume=True)


def test_accelerator_refuses_processes_that_would_train_alone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under torchrun on a CPU without ACCELERATE_USE_CPU."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="ACCELERATE_USE_CPU=true"):
        train(tiny())


def test_train_writes_nothing_if_data_and_networks_do_not_fit(tiny: Tiny) -> None:
    for changes in ({"data": {"root": "nowhere"}}, {"data": {"crop_size": 17}}, {"data": {"val_split": "test"}}):
        with pytest.raises(ValueError, match=r"data\."):
            train(tiny(**changes))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({"channels_last": True}, 1e-6), pytest.param({"compile": True}, 2e-5, marks=pytest.mark.slow)],
)
def test_speed_options_change_no_weights(tiny: Tiny, options: dict, tolerance: float) -> None:
    model = {"dropout": False}
    train(tiny("plain", model=model, train={"max_steps": 2}))
    train(tiny("fast", model=model, train={"max_steps": 2, **options}))
    plain, fast = weights(Path("runs/plain")), weights(Path("runs/fast"))
    assert plain.keys() == fast.keys()
    assert max((plain[key].float() - fast[key]).abs().max().item() for key in plain) < tolerance


def test_networks_refuse_strides_that_do_not_fit_the_generator(tiny: Tiny) -> None:
    data = {"preprocess": "scale_width", "load_size": 40, "stride": 8}
    with pytest.raises(ValueError, match=r"data\.stride 8: .* 16, 32, "):
        train(tiny(data=data))
    train(tiny(data={**data, "stride": 16}))


def test_train_names_images_that_are_too_small_for_the_networks(
    tiny: Tiny, tiny_cyclegan: Tiny, tiny_hd: Tiny, labelled_root: Path
) -> None:
    scaled = {"preprocess": "scale_width", "stride": 4}
    folder = {"toy": False, "root": str(labelled_root), "label_nc": 5, "preprocess": "none", "stride": 4}
    for name, image in zip(("label", "inst", "img"), drawn_scene(0, 4, 40), strict=True):
        write(labelled_root / f"val_{name}" / f"1{'.tif' if name == 'img' else '.png'}", image)
    for config, named in [
        (
            tiny(model={"n_layers_d": 3}, data={"preprocess": "none", "stride": 16}),
            r"train/0\.png .*16x16.* 24 ",
        ),
        (
            tiny_cyclegan(model={"n_layers_d": 2}, data={**scaled, "load_size": 8}),
            r"/a0\.png .*8x8.* 12 ",
        ),
        (tiny_hd(data={"load_size": 60}), r"60x30.*data\.load_size.* 64 "),
        (
            tiny_hd(model={"n_downs": 5}, data={"stride": 32}),
            r"64x32.* 64 .*data\.load_size",
        ),
        (tiny_hd(model={"n_scales": 6}), r"64x32.* 33 "),
        (
            tiny_hd(model={"n_downs": 2}, data=folder),
            r"val_label/1\.png .*40x4.* 8 .*scale_width",
        ),
    ]:
        with pytest.raises(ValueError, match=named) as raised:
            train(config)
        assert "\n" not in str(raised.value)
        assert not Path("runs").exists()
    train(tiny_hd(model={"n_scales": 5}, train={"max_steps": 1}))
