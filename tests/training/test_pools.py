"""Training of CycleGAN (four networks, two image pools): updates, exact resume, weight clipping."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from img2img.checkpoint import load_state, newest_checkpoint
from img2img.config import Config
from img2img.data.images import read_image
from img2img.data.loader import keyed_loader, to_device
from img2img.data.unpaired import UnpairedDataset
from img2img.models.base import Side
from img2img.models.cyclegan import CycleGAN
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_pair, in_order, make_step, write
from tests.helpers import weights

Tiny = Callable[..., Config]


def pools(run: Path) -> list[dict]:
    return load_state(newest_checkpoint(run)[0])["pools"]


def step(gan_step: GANStep, config: Config) -> dict[str, torch.Tensor]:
    batch = next(iter(keyed_loader(UnpairedDataset(config.data, "train"), in_order(4, 2), 0)))
    return gan_step.run([to_device(batch, "cpu")], 0, 1.0)


@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_step_changes_only_weights_of_its_own_side(tiny_cyclegan: Tiny, still: Side) -> None:
    """A side with a learning rate of zero stays as it is, bit for bit."""
    gan_step = make_step(tiny_cyclegan())
    gan_step.networks.rates[still] = [0.0]
    before = {name: {k: v.clone() for k, v in p.items()} for name, p in gan_step.networks.weights().items()}
    step(gan_step, tiny_cyclegan())
    moved = {
        n for n, p in gan_step.networks.weights().items() for k, v in p.items() if not torch.equal(v, before[n][k])
    }
    assert moved == set(CycleGAN.generators + CycleGAN.discriminators) - set(getattr(CycleGAN, f"{still}s"))


def test_step_updates_generators_first(tiny_cyclegan: Tiny) -> None:
    """Unlike in pix2pix: the G step uses the discriminators' old weights."""
    gan_step, updates = make_step(tiny_cyclegan()), []
    for side, optimizer in gan_step.networks.optimizers.items():

        def noted(side: Side = side, update: Callable[[], None] = optimizer.step) -> None:
            named = {
                n for n, net in gan_step.networks.bare.items() if any(p.grad is not None for p in net.parameters())
            }
            updates.append((side, named))
            update()

        optimizer.step = noted
    step(gan_step, tiny_cyclegan())
    assert updates == [("generator", set(CycleGAN.generators)), ("discriminator", set(CycleGAN.discriminators))]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resume_with_pools_equals_uninterrupted_run_bit_for_bit(tiny_cyclegan: Tiny, accumulation: int) -> None:
    """The pools (6 images) are half full at the first stop and full at the second."""
    options = {"max_steps": 9, "ema_decay": 0.9, "epochs": 2, "decay_epochs": 9, "gradient_accumulation": accumulation}
    data = {"batch_size": 1}
    train(tiny_cyclegan("whole", train=options, data=data))
    train(tiny_cyclegan("parts", train={**options, "max_steps": 2}, data=data))
    assert [len(pool["pictures"]) for pool in pools(Path("runs/parts"))[0].values()] == [2 * accumulation] * 2
    train(tiny_cyclegan("parts", train={**options, "max_steps": 7}, data={**data, "num_workers": 1}), resume=True)
    train(tiny_cyclegan("parts", train=options, data=data), resume=True)
    whole, parts = weights(Path("runs/whole")), weights(Path("runs/parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    (whole_pools,), (parts_pools,) = pools(Path("runs/whole")), pools(Path("runs/parts"))
    for name in ("pool_a", "pool_b"):
        assert len(whole_pools[name]["pictures"]) == 6
        assert torch.equal(whole_pools[name]["pictures"], parts_pools[name]["pictures"])
    # without pools the same steps give other weights
    train(tiny_cyclegan("none", model={"pool_size": 0}, train=options, data=data))
    none = weights(Path("runs/none"))
    assert not all(torch.equal(whole[key], none[key]) for key in whole)


def test_pools_start_empty_after_a_change_of_processes_or_size(
    tiny_cyclegan: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny_cyclegan())
    state = load_state(newest_checkpoint(run)[0])
    trainer = Trainer(tiny_cyclegan(), run)
    trainer.networks.restore(newest_checkpoint(run)[0], {**state, "pools": state["pools"] * 2})
    assert re.search(r"pools .*\b2 processes", capsys.readouterr().out)
    assert all(pool.count == 0 for pool in trainer.networks.pools.values())
    smaller = Trainer(tiny_cyclegan(data={"crop_size": 12}), run)
    smaller.networks.restore(newest_checkpoint(run)[0], state)
    assert re.search(r"pools .*\b16x16\b", capsys.readouterr().out)
    assert all(pool.count == 0 for pool in smaller.networks.pools.values())


def test_pools_are_not_mentioned_where_there_are_none(tiny_cyclegan: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tiny_cyclegan(model={"pool_size": 0}))
    state = load_state(newest_checkpoint(run)[0])
    trainer = Trainer(tiny_cyclegan(model={"pool_size": 0}), run)
    trainer.networks.restore(newest_checkpoint(run)[0], {**state, "pools": state["pools"] * 2})
    assert "pool" not in capsys.readouterr().out


def test_resume_may_change_the_direction(tiny_cyclegan: Tiny) -> None:
    train(tiny_cyclegan())
    train(tiny_cyclegan(data={"direction": "BtoA"}, train={"max_steps": 5}), resume=True)
    assert newest_checkpoint(Path("runs/tiny"))[0].name == "step-000005"


def test_sample_grid_shows_both_cycles_and_the_identities(tiny_cyclegan: Tiny) -> None:
    run = train(tiny_cyclegan())
    sheet = read_image(run / "samples" / "step-000004.png", 3)
    assert sheet.shape == (14 + 3 * 20 + 4, 8 * 20 + 4, 3)
    val = UnpairedDataset(tiny_cyclegan().data, "val")
    assert (sheet[18:34, 4:20] == val.images("a")[0]).all()
    assert (sheet[18:34, 84:100] == val.images("b")[0]).all()
    gray = train(tiny_cyclegan("gray", data={"channels_a": 1}, model={"lambda_identity": 0.0}))
    sheet = read_image(gray / "samples" / "step-000004.png", 3)
    assert sheet.shape[1] == 6 * 20 + 4  # no identity loss between one channel and three


def test_clip_d_bounds_only_the_discriminators(tiny_cyclegan: Tiny) -> None:
    config = tiny_cyclegan(model={"gan_loss": "wasserstein", "init_gain": 0.5}, optim={"clip_d": 0.01})
    gan_step = make_step(config)
    values = step(gan_step, config)
    assert {n for n in values if n.startswith("discriminator/")} == {"discriminator/gap_a", "discriminator/gap_b"}
    for name, network in gan_step.networks.bare.items():
        largest = max(p.abs().max().item() for p in network.parameters())
        assert largest == pytest.approx(0.01) if name in CycleGAN.discriminators else largest > 0.5


def test_channels_last_changes_no_weights(tiny_cyclegan: Tiny) -> None:
    train(tiny_cyclegan("plain", model={"norm": "none"}))
    train(tiny_cyclegan("fast", model={"norm": "none"}, train={"channels_last": True}))
    plain, fast = weights(Path("runs/plain")), weights(Path("runs/fast"))
    assert max((plain[key] - fast[key]).abs().max().item() for key in plain) < 1e-5


def test_train_accepts_domains_of_different_shapes(tiny_cyclegan: Tiny) -> None:
    for side in "AB":
        for path in Path(tiny_cyclegan().data.root or "", f"train{side}").iterdir():
            path.unlink()
        for i in range(3):
            write(path.parent / f"{i}.png", drawn_pair(i, 20 if side == "A" else 40, 40)[side == "B"])
    run = train(tiny_cyclegan(data={"preprocess": "scale_width", "load_size": 32, "stride": 8}))
    state = pools(run)[0]
    # pool_a has images made from B, which have B's shape
    assert (state["pool_a"]["pictures"].shape[2:], state["pool_b"]["pictures"].shape[2:]) == ((32, 32), (16, 32))


@pytest.mark.parametrize("data", [{"preprocess": "none"}, {"preprocess": "scale_width", "load_size": 30}])
def test_pools_are_restored_with_every_preprocess(
    tiny_cyclegan: Tiny, data: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in "AB":
        for path in Path(tiny_cyclegan().data.root or "", f"train{side}").iterdir():
            path.unlink()
        for i in range(3):
            write(path.parent / f"{i}.png", drawn_pair(i, 20, 40)[side == "B"])
    data = {**data, "stride": 8}
    train(tiny_cyclegan("whole", data=data, train={"max_steps": 6}))
    train(tiny_cyclegan("parts", data=data))
    train(tiny_cyclegan("parts", data=data, train={"max_steps": 6}), resume=True)
    assert "pools" not in capsys.readouterr().out
    whole, parts = weights(Path("runs/whole")), weights(Path("runs/parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
