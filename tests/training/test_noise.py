"""Training of unconditional models (DCGAN, InfoGAN): updates, sample grids, resuming, wrong numbers of classes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from img2img.checkpoint import load_network, newest_checkpoint
from img2img.config import Config
from img2img.data.loader import collate, to_device
from img2img.data.unconditional import UnconditionalDataset
from img2img.training.trainer import train
from tests.conftest import make_step

Tiny = Callable[..., Config]


def test_step_changes_only_weights_of_its_own_side(tiny_noise: Tiny) -> None:
    config = tiny_noise()
    gan_step = make_step(config)
    images = UnconditionalDataset(config.data, "train")
    batch = to_device(collate([images[0, 0], images[0, 1]]), "cpu")

    def parameters() -> dict[str, list[torch.Tensor]]:
        return {name: [p.detach().clone() for p in net.parameters()] for name, net in gan_step.networks.bare.items()}

    before, moved = parameters(), {}
    for side, optimizer in gan_step.networks.optimizers.items():

        def step(side: str = side, real: Callable[[], None] = optimizer.step) -> None:
            nonlocal before
            real()
            now = parameters()
            moved[side] = {n for n in now if any(not torch.equal(a, b) for a, b in zip(now[n], before[n], strict=True))}
            before = now

        optimizer.step = step
    values = gan_step.run([batch], 0, 1.0)
    assert moved == {"discriminator": {"discriminator"}, "generator": set(gan_step.model.generators)}
    assert all(value.isfinite() for value in values.values())


def test_resume_equals_uninterrupted_run_bit_for_bit(tiny_noise: Tiny) -> None:
    """With noise, codes, classes, EMA, batch norm and two micro-batches."""
    options = {"max_steps": 5, "ema_decay": 0.9, "gradient_accumulation": 2, "epochs": 1}
    train(tiny_noise("whole", train=options))
    train(tiny_noise("parts", train={**options, "max_steps": 2}))
    train(tiny_noise("parts", train=options), resume=True)
    whole, parts = (newest_checkpoint(Path("runs") / name)[0] for name in ("whole", "parts"))
    names = sorted(path.stem for path in whole.glob("*.safetensors"))
    assert "generator_ema" in names
    for name in names:
        one, other = load_network(whole, name), load_network(parts, name)
        assert all(torch.equal(one[key], other[key]) for key in one), name
    sheets = [cv2.imread(str(Path("runs") / name / "samples" / "step-000005.png")) for name in ("whole", "parts")]
    assert np.array_equal(*sheets)
    columns = 9 if "recogniser" in names else 8
    assert sheets[0].shape == (4 + 10 * 36, 4 + columns * 36, 3)


def test_train_refuses_a_wrong_number_of_classes(tiny_noise: Tiny) -> None:
    config = tiny_noise()
    if config.model.name != "dcgan":
        pytest.skip("it has no classes")
    with pytest.raises(ValueError, match=r"^model\.num_classes 7: .*\b10\b"):
        train(tiny_noise(model={"num_classes": 7}))
    assert not Path("runs").exists()
