"""Golden traces: with the same weights and batches, losses are the same as by the papers' update rules.

The reference is written from the papers in plain torch, with the official networks (``tests.interop.official``), whose
weights ``import_official`` converts. Both compute in fp64: in fp32, a bias before instance norm has only rounding noise
as its gradient, which Adam scales up to full steps.
"""

from collections.abc import Callable
from itertools import chain as joined
from pathlib import Path

import kornia.color
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.config import Config
from img2img.interop import import_official
from img2img.interop.layouts import Family
from img2img.losses.restoration import lightness_of
from img2img.models.restoration import filled_smoothly
from img2img.training.step import GANStep
from tests.conftest import make_step
from tests.interop.official import Chain, Nested, Scales, chain, patches, saved

Tiny = Callable[..., Config]
STEPS = 20


def initialised(network: nn.Module) -> nn.Module:
    """Draws weights from N(0, 0.02) as in all three papers; norms and biases stay as torch initialises them."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, 0.02)
    return network


def copy_weights(gan_step: GANStep, family: Family | None = None, **official: nn.Module) -> None:
    """Copies weights of official networks into the step's networks of the same names."""
    for name, network in official.items():
        imported, _ = import_official(saved(network, Path(f"{name}.pth")), family)
        weights = imported.state_dict()
        if family == "pix2pixhd" and name == "generator":  # imported as a plain ResNet
            weights = {key if key.startswith("coarse.") else f"coarse.{key}": value for key, value in weights.items()}
        gan_step.networks.bare[name].load_state_dict(weights)
        gan_step.networks.bare[name].double()
        network.double()


def adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(joined(*(network.parameters() for network in networks)), 2e-4, (0.5, 0.999))


def update(optimizer: torch.optim.Adam, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def images(*channels: int) -> list[tuple[Tensor, ...]]:
    torch.manual_seed(3)
    return [tuple(torch.rand(2, c, 32, 32).double() * 2 - 1 for c in channels) for _ in range(4)]


def patchgan(c_in: int, norm: str) -> nn.Module:
    return initialised(Chain([layer for stage in patches(c_in, 4, 2, norm, norm == "instance") for layer in stage]))


def test_step_of_pix2pix_follows_the_paper(tiny: Tiny) -> None:
    """arXiv 1611.07004, Sec. 3.1 and 3.3: D on pairs, halved; then G with the non-saturating loss and 100 x L1."""
    model = {"num_downs": 5, "ngf": 4, "ndf": 4, "n_layers_d": 2, "norm": "batch", "dropout": False}
    gan_step = make_step(tiny(model={**model, "gan_loss": "vanilla"}, data={"load_size": 32, "crop_size": 32}))
    torch.manual_seed(0)
    g, d = initialised(Nested(3, 3, 5, 4, "batch", dropout=False)), patchgan(6, "batch")
    copy_weights(gan_step, generator=g, discriminator=d)
    adam_g, adam_d = adam(g), adam(d)

    def log_loss(logits: Tensor, real: bool) -> Tensor:
        return -(logits.sigmoid() if real else 1 - logits.sigmoid()).log().mean()

    for step in range(STEPS):
        x, y = images(3, 3)[step % 4]
        fake = g(x)
        pairs = torch.cat([x, y], 1), torch.cat([x, fake.detach()], 1)
        loss_d = [0.5 * log_loss(d(pair), real) for pair, real in zip(pairs, (True, False), strict=True)]
        update(adam_d, loss_d[0] + loss_d[1])
        loss_g = [log_loss(d(torch.cat([x, fake], 1)), True), 100 * (y - fake).abs().mean()]
        update(adam_g, loss_g[0] + loss_g[1])

        values = gan_step.run([{"input": x, "target": y}], step, 1.0)
        losses = [values[f"loss/{name}"] for name in ("discriminator/real", "discriminator/fake")]
        losses += [values[f"loss/generator/{name}"] for name in ("gan", "l1")]
        torch.testing.assert_close(torch.stack(losses), torch.stack(loss_d + loss_g).detach(), rtol=1e-6, atol=1e-9)


def test_step_of_cyclegan_follows_the_paper(tiny_cyclegan: Tiny) -> None:
    """arXiv 1703.10593, Sec. 3, 4 and 5.2: both generators, then both discriminators, each halved; without a pool."""
    model = {"n_blocks": 2, "ngf": 4, "ndf": 4, "n_layers_d": 2, "norm": "instance", "pool_size": 0}
    gan_step = make_step(tiny_cyclegan(model=model, data={"load_size": 32, "crop_size": 32}))
    torch.manual_seed(0)
    g, f = (initialised(Chain(chain(3, 3, 4, 2, 2, "instance"))) for _ in "ab")
    d_a, d_b = patchgan(3, "instance"), patchgan(3, "instance")
    copy_weights(gan_step, generator_ab=g, generator_ba=f, discriminator_a=d_a, discriminator_b=d_b)
    adam_g, adam_d = adam(g, f), adam(d_a, d_b)

    def distance(p: Tensor, q: Tensor) -> Tensor:
        return (p - q).abs().mean()

    for step in range(STEPS):
        a, b = images(3, 3)[step % 4]
        for network in (d_a, d_b):
            network.requires_grad_(False)
        fake_b, fake_a = g(a), f(b)
        expected = {
            "generator/gan_a": ((d_a(fake_a) - 1) ** 2).mean(),
            "generator/gan_b": ((d_b(fake_b) - 1) ** 2).mean(),
        }
        expected |= {"generator/cycle_a": 10 * distance(f(fake_b), a), "generator/cycle_b": 10 * distance(g(fake_a), b)}
        expected |= {"generator/identity_a": 5 * distance(f(a), a), "generator/identity_b": 5 * distance(g(b), b)}
        update(adam_g, torch.stack(list(expected.values())).sum())
        for network in (d_a, d_b):
            network.requires_grad_(True)
        expected_d = {}
        for domain, d, real, fake in (("a", d_a, a, fake_a), ("b", d_b, b, fake_b)):
            expected_d[f"discriminator/real_{domain}"] = 0.5 * ((d(real) - 1) ** 2).mean()
            expected_d[f"discriminator/fake_{domain}"] = 0.5 * (d(fake.detach()) ** 2).mean()
        update(adam_d, torch.stack(list(expected_d.values())).sum())

        values = gan_step.run([{"a": a, "b": b}], step, 1.0)
        for name, value in (expected | expected_d).items():
            assert values[f"loss/{name}"].item() == pytest.approx(value.item(), rel=1e-6), (step, name)


def test_step_of_pix2pixhd_follows_the_paper(tiny_hd: Tiny) -> None:
    """arXiv 1711.11585, Sec. 3.2 and 3.3: G with features at two scales x 10, then D, halved; labels and boundaries."""
    config = tiny_hd(model={"ngf": 4, "n_downs": 2, "n_blocks": 2, "n_layers_d": 2}, data={"stride": 4})
    gan_step = make_step(config)
    torch.manual_seed(0)
    g, d = (
        initialised(Chain(chain(10, 3, 4, 2, 2, "instance"))),
        initialised(Scales(13, 4, 2, 2, "instance", features=True)),
    )
    copy_weights(gan_step, "pix2pixhd", generator=g, discriminator=d)
    # one-hot label maps are fp32
    gan_step.model.generator.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    adam_g, adam_d = adam(g), adam(d)
    scenes = []
    for (y,) in images(3):
        label = torch.randint(0, 9, (2, 1, 8, 8)).repeat_interleave(4, 2).repeat_interleave(4, 3)
        instance = label * 1000 + torch.randint(0, 2, (2, 1, 4, 4)).repeat_interleave(8, 2).repeat_interleave(8, 3)
        scenes.append((y, label.int(), instance.int()))

    def encoded(label: Tensor, instance: Tensor) -> Tensor:
        maps = F.one_hot(label[:, 0].long(), 9).permute(0, 3, 1, 2).double()
        edges = torch.zeros(instance.shape).double()
        across, down = instance[..., 1:] != instance[..., :-1], instance[..., 1:, :] != instance[..., :-1, :]
        edges[..., 1:][across] = 1
        edges[..., :-1][across] = 1
        edges[..., 1:, :][down] = 1
        edges[..., :-1, :][down] = 1
        return torch.cat([maps, edges], 1)

    for step in range(STEPS):
        y, label, instance = scenes[step % 4]
        x = encoded(label, instance)
        fake = g(x)
        d.requires_grad_(False)
        of_fake, of_real = d(torch.cat([x, fake], 1)), d(torch.cat([x, y], 1))
        gan = torch.stack([((scale[-1] - 1) ** 2).mean() for scale in of_fake]).sum()
        feat = torch.zeros(()).double()
        # weights of the official code: 1 / scales and 4 / (n_layers_d + 1)
        for fake_layers, real_layers in zip(of_fake, of_real, strict=True):
            for p, q in zip(fake_layers[:-1], real_layers[:-1], strict=True):
                feat = feat + 10 * (1 / 2) * (4 / 3) * (p - q).abs().mean()
        update(adam_g, gan + feat)
        d.requires_grad_(True)
        loss_d = [
            0.5 * torch.stack([((scale[-1] - goal) ** 2).mean() for scale in d(torch.cat([x, image], 1))]).sum()
            for image, goal in ((y, 1.0), (fake.detach(), 0.0))
        ]
        update(adam_d, loss_d[0] + loss_d[1])

        values = gan_step.run([{"label": label, "instance": instance, "target": y}], step, 1.0)
        losses = [values["loss/generator/gan"], values["loss/generator/feat"]]
        losses += [values["loss/discriminator/real"], values["loss/discriminator/fake"]]
        expected = torch.stack([gan, feat, *loss_d]).detach()
        torch.testing.assert_close(torch.stack(losses), expected, rtol=1e-6, atol=1e-9)


def nafnet(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """NAFNet with one block at each level and one halving, from a dictionary of weights (arXiv 2204.04676, Sec. 4)."""

    def convolved(name: str, y: Tensor, **options: int) -> Tensor:
        return F.conv2d(y, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)

    def normed(name: str, y: Tensor) -> Tensor:
        y = y - y.mean(1, keepdim=True)
        y = y / (y.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return y * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]

    def gated(y: Tensor) -> Tensor:
        half = y.shape[1] // 2
        return y[:, :half] * y[:, half:]

    def block(name: str, y: Tensor) -> Tensor:
        z = convolved(f"{name}.conv1", normed(f"{name}.norm1", y))
        z = gated(convolved(f"{name}.conv2", z, padding=1, groups=z.shape[1]))
        z = z * convolved(f"{name}.attention", F.adaptive_avg_pool2d(z, 1))
        y = y + weights[f"{name}.beta"] * convolved(f"{name}.conv3", z)
        z = gated(convolved(f"{name}.conv4", normed(f"{name}.norm2", y)))
        return y + weights[f"{name}.gamma"] * convolved(f"{name}.conv5", z)

    skip = block("encoders.0.0", convolved("intro", x, padding=1))
    y = block("middle.0", convolved("downs.0", skip, stride=2))
    y = F.pixel_shuffle(convolved("ups.0.0", y), 2)
    return convolved("ending.0", block("decoders.0.0", y + skip), padding=1)


@pytest.mark.parametrize("task", ["noise", "mask", "lightness"])
def test_step_of_restoration_follows_the_paper(tiny_restoration: Tiny, task: str) -> None:
    """arXiv 2204.04676, Sec. 4: the residual is added to the input. Holes and colours as docs/restoration.md says."""
    losses = {
        "noise": ("charbonnier", lambda p, q: ((p - q) ** 2 + 1e-6).sqrt().mean()),
        "mask": ("mse", lambda p, q: ((p - q) ** 2).mean()),
        "lightness": ("l1", lambda p, q: (p - q).abs().mean()),
    }
    name, distance = losses[task]
    options = {"noise": {}, "mask": {"noise": None, "mask": "boxes"}, "lightness": {"noise": None, "lightness": True}}
    gan_step = make_step(tiny_restoration(model={"pixel_loss": name}, data=options[task]))
    generator = gan_step.networks.bare["generator"].double()
    torch.manual_seed(0)
    initialised(generator)  # beta and gamma, too: at first a block is the identity
    weights = {key.removeprefix("network."): value.clone() for key, value in generator.state_dict().items()}
    for value in weights.values():
        value.requires_grad_(True)
    optimizer = torch.optim.Adam(weights.values(), 2e-4, (0.5, 0.999))

    for step in range(STEPS):
        x, y = images(1 if task == "lightness" else 3, 3)[step % 4]
        mask = torch.full_like(x[:, :1], -1.0)
        mask[:, :, 8:20, 5:30] = 1
        batch = {"input": x, "target": y}
        if task == "noise":
            output = x + nafnet(weights, x)
        elif task == "mask":
            batch["mask"] = mask
            hole = (mask + 1) / 2
            smooth = filled_smoothly(x, mask > 0)
            output = hole * (smooth + nafnet(weights, torch.cat([smooth, mask], 1))) + (1 - hole) * x
        else:
            ab = 110 * nafnet(weights, x).tanh().float()
            output = 2 * kornia.color.lab_to_rgb(torch.cat([lightness_of(x), ab], 1), clip=False) - 1
        loss = distance(output, y)
        update(optimizer, loss)

        values = gan_step.run([batch], step, 1.0)
        rtol = 1e-5 if task == "lightness" else 1e-9  # colours are converted in fp32
        assert values[f"loss/generator/{name}"].item() == pytest.approx(loss.item(), rel=rtol), step
