"""Super-resolution: each recipe against its update written out, stages, options, and real trainings."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19

from img2img import load_translator
from img2img.command_line import parse_train_arguments
from img2img.config import Config
from img2img.models.srgan import SRGAN
from img2img.training.step import GANStep
from img2img.training.trainer import train
from tests.conftest import make_step
from tests.helpers import equal, launch, logged, weights

Tiny = Callable[..., Config]
LAYERS = {"conv1_2": 2, "relu1_2": 3, "conv2_2": 7, "relu5_4": 35}  # places in torchvision's VGG19


def model(**options: Any) -> SRGAN:
    torch.manual_seed(0)
    config = SRGAN.Config(**{"width": 4, "n_blocks": 1, "ndf": 4, "scale": 2, **options})
    return SRGAN(SRGAN.resolve(config, 32), {"input": 3, "target": 3})


def features(network: nn.Module, image: Tensor, layer: str) -> Tensor:
    """The output of a layer for an image in [0, 1], normalised as ImageNet's."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.double()[:, None, None]) / deviation.double()[:, None, None]
    for place in range(LAYERS[layer] + 1):
        x = network.features[place](x)
    return x


def log_loss(logits: Tensor, real: bool) -> Tensor:
    return -(logits.sigmoid() if real else 1 - logits.sigmoid()).log().mean()


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


RECIPES: dict[str, dict[str, Any]] = {
    "psnr": {"stage": "psnr", "network": "msrresnet", "pixel_loss": "l1"},
    "srgan": {
        "stage": "gan",
        "network": "srresnet",
        "lambda_pixel": 0.0,
        "lambda_vgg": 0.006,
        "vgg_layers": ("relu5_4",),
        "vgg_loss": "mse",
        "lambda_gan": 1e-3,
        "discriminator": "srgan",
    },
    "esrgan": {"stage": "gan", "network": "rrdb", "vgg_layers": ("conv1_2",), "relativistic": True},
    "realesrgan": {
        "stage": "gan",
        "network": "rrdb",
        "lambda_pixel": 1.0,
        "vgg_layers": ("conv2_2", "conv1_2"),
        "vgg_layer_weights": (1.0, 0.1),
        "lambda_gan": 0.1,
        "discriminator": "unet",
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_step_follows_the_paper(tiny_srgan: Tiny, vgg_file: Path, recipe: str) -> None:
    """Three iterations in fp64: G first, then D, which sees the image that G made before its update. D stays in
    training mode. The sharpened target is for the distances, not for D.
    """
    crop = 128 if recipe == "esrgan" else 32  # that discriminator takes no other size
    options = {**RECIPES[recipe], "vgg_weights": str(vgg_file)}
    config = tiny_srgan(model=options, data={"crop_size": crop})
    gan_step = make_step(config)
    gan_step.model.double()
    names = ("generator", *gan_step.model.discriminators)
    networks = {name: copy.deepcopy(gan_step.networks.bare[name]).train() for name in names}
    g, d = networks["generator"], networks.get("discriminator")
    optimizers = {
        name: torch.optim.Adam(networks[name].parameters(), config.optim.lr, config.optim.betas) for name in names
    }
    vgg = vgg19(weights=None)
    vgg.load_state_dict(torch.load(vgg_file), strict=False)
    vgg.double().requires_grad_(False)
    for module in vgg.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False

    for step in range(3):
        torch.manual_seed(step)
        low, high, sharp = (torch.rand(2, 3, side, side).double() for side in (crop // 2, crop, crop))
        fake = g(low)
        distance = {"psnr": 1.0, "srgan": 0.0, "esrgan": 0.01, "realesrgan": 1.0}[recipe]
        loss = distance * (fake - sharp).abs().mean()
        if recipe == "srgan":
            compared = features(vgg, fake, "relu5_4"), features(vgg, sharp, "relu5_4")
            loss = loss + 0.006 * F.mse_loss(*compared) + 1e-3 * log_loss(d(fake), True)
        elif recipe == "esrgan":
            loss = loss + F.l1_loss(features(vgg, fake, "conv1_2"), features(vgg, sharp, "conv1_2"))
            real_logits, fake_logits = d(high).detach(), d(fake)
            pair = log_loss(real_logits - fake_logits.mean(), False), log_loss(fake_logits - real_logits.mean(), True)
            loss = loss + 5e-3 * (pair[0] + pair[1]) / 2
        elif recipe == "realesrgan":
            for layer, weight in (("conv1_2", 0.1), ("conv2_2", 1.0)):
                loss = loss + weight * F.l1_loss(features(vgg, fake, layer), features(vgg, sharp, layer))
            loss = loss + 0.1 * log_loss(d(fake), True)
        update(optimizers["generator"], loss)
        loss_d = torch.zeros(())
        if recipe == "esrgan":
            real_logits, fake_logits = d(high), d(fake.detach())
            real_loss = log_loss(real_logits - fake_logits.detach().mean(), True)
            loss_d = 0.5 * real_loss + 0.5 * log_loss(fake_logits - real_logits.detach().mean(), False)
        elif d is not None:
            loss_d = log_loss(d(high), True) + log_loss(d(fake.detach()), False)
        if d is not None:
            update(optimizers["discriminator"], loss_d)

        batch = {"input": 2 * low - 1, "target": 2 * high - 1, "sharpened": 2 * sharp - 1}
        values = gan_step.run([batch], step, 1.0)
        totals = [sum(v for k, v in values.items() if k.startswith(f"loss/{side}/")) for side in names]
        for name, total, expected in zip(names, totals, (loss, loss_d), strict=False):
            assert total.item() == pytest.approx(expected.item(), rel=1e-9), (step, name)
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(gan_step.networks.bare[name].state_dict()[key], value, rtol=1e-8, atol=1e-10)


def test_stage_psnr_has_no_discriminator(tiny_srgan: Tiny) -> None:
    gan_step: GANStep = make_step(tiny_srgan())
    assert set(gan_step.networks.bare) == {"generator"}
    with pytest.raises(ValueError, match=r"balance\.label_real"):
        make_step(tiny_srgan(balance={"label_real": (0.9, 0.9)}))


def test_defaults_of_the_weights_follow_the_stage() -> None:
    first, second = SRGAN.Config(), SRGAN.Config(stage="gan")
    assert (first.pixel_weight, first.content_weight) == (1.0, 0.0)
    assert (second.pixel_weight, second.content_weight) == (0.01, 1.0)
    assert SRGAN.resolve(SRGAN.Config(network="rrdb"), 128).n_blocks == 23


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 0}, "width"),
        ({"lambda_vgg": -1.0}, "lambda_vgg"),
        ({"vgg_layers": ("conv6_1",)}, "conv6_1"),
        ({"vgg_layers": ("conv1_2", "conv1_2")}, "vgg_layers"),
        ({"vgg_layers": ("conv1_2",), "vgg_layer_weights": (1.0, 2.0)}, "vgg_layer_weights"),
        ({"lambda_pixel": 0.0}, "lambda_pixel"),
    ],
)
def test_option_out_of_range_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SRGAN.Config(**options)


def run_config(*options: str, name: str = "r", steps: int = 3) -> Config:
    small = "--model srgan --model.width 4 --model.n_blocks 1 --model.ndf 4 --model.network compact"
    data = "--data.toy true --data.down 2 --data.load_size 96 --data.crop_size 32 --data.batch_size 2"
    rest = f"--data.num_workers 0 --train.max_steps {steps} --train.log_every 1 --train.sample_every 2 --name {name}"
    return parse_train_arguments([*f"{small} {data} {rest}".split(), *options], Path()).config


GAN = ("--model.stage", "gan", "--model.discriminator", "unet", "--model.vgg_layers", "[conv1_2]")


def test_two_stages_resume_bit_for_bit_and_enlarge(vgg_file: Path) -> None:
    first = train(run_config(name="first"))
    train(run_config(name="first-parts", steps=2))
    first_parts = train(run_config(name="first-parts"), resume=True)
    assert equal(weights(first), weights(first_parts))
    options = [*GAN, "--model.vgg_weights", str(vgg_file), "--train.init_from", "first"]
    whole = train(run_config(*options, name="whole", steps=4))
    train(run_config(*options, name="parts", steps=2))
    parts = train(run_config(*options, name="parts", steps=4), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole) == logged(parts)
    image = torch.randint(0, 255, (19, 30, 3), dtype=torch.uint8).numpy()
    assert load_translator(whole)(image).shape == (38, 60, 3)


def test_stage_gan_begins_with_the_first_stages_generator(vgg_file: Path) -> None:
    first = weights(train(run_config("--train.ema_decay", "0", name="first", steps=1)))
    options = ["--model.vgg_weights", str(vgg_file), "--train.init_from", "first", "--optim.lr", "1e-12"]
    second = weights(train(run_config(*GAN, *options, "--train.ema_decay", "0", name="second", steps=1)))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value)
    assert any(key.startswith("discriminator.") for key in second)


def test_stage_gan_without_a_first_stage_is_noted(vgg_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(run_config(*GAN, "--model.vgg_weights", str(vgg_file), name="alone", steps=1))
    assert "--train.init_from FIRST" in capsys.readouterr().out
    train(run_config(name="first", steps=1))
    assert "init_from" not in capsys.readouterr().out


def test_first_stage_of_another_scale_or_network_is_refused() -> None:
    train(run_config(name="first", steps=1))
    for options, named in ((("--data.down", "4"), "scale"), (("--model.network", "msrresnet"), "network")):
        with pytest.raises(ValueError, match=rf"train\.init_from first: its model\.{named}"):
            train(run_config(*options, "--train.init_from", "first", name="other", steps=1))
    assert not Path("runs/other").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--model.stage gan --model.discriminator vgg", "crop_size 32"),
        ("--model.stage gan --model.discriminator unet --data.crop_size 4 --model.vgg_layers [conv1_1]", "crop_size 4"),
        ("--model.stage gan --model.discriminator srgan --model.vgg_weights nowhere.pth", "nowhere.pth"),
        ("--model.network rrdb --data.down 3 --data.crop_size 48", "scale"),
    ],
)
def test_wrong_option_leaves_no_run(options: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        train(run_config(*options.split()))
    assert not Path("runs/r").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["psnr", "gan"])
def test_two_processes_equal_one(tiny_srgan: Tiny, vgg_file: Path, stage: str) -> None:
    """Not the relativistic loss and batch norm, whose means are those of each process's images."""
    options: dict[str, Any] = {"stage": stage, "discriminator": "unet", "vgg_layers": ("conv1_2",)}
    options |= {"vgg_weights": str(vgg_file), "network": "compact"}
    train_options = {"max_steps": 4, "ema_decay": 0.9}
    one = train(tiny_srgan("one", model=options, data={"batch_size": 4}, train=train_options))
    assert "processes: 2" in launch(tiny_srgan("two", model=options, train=train_options), 2)
    two = weights(Path("runs/two"))
    for key, value in weights(one).items():
        assert (value - two[key]).abs().max() < 2e-5, key
