"""Every option of ``balance`` with StarGAN: the losses and updates of a few steps against ones written out by hand.

``ByHand`` is StarGAN's update in plain torch, with its own discriminator; each test says what its option changes. Both
sides compute in fp64 and draw the same random numbers, from the step's seed.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.config import BalanceConfig, Config
from img2img.data.transforms import keyed_seed
from img2img.training.step import GANStep
from tests.conftest import make_step
from tests.interop.official import StarGenerator
from tests.models.stargan_cases import batches, options

Layer = Callable[[Tensor], Tensor]
Heads = tuple[Tensor, Tensor]
Losses = dict[str, Tensor]
B, SIDE = 4, 16


class PlainDiscriminator(nn.Module):
    """arXiv 1711.09020, Table 5, for images of 16 pixels: three halvings; maps of logits, and logits of domains.

    Args:
        hidden: what is done to the features after each LeakyReLU.
        logits_input: what is done to the last features before the convolution that makes the map.
        extra: channels that it adds.
    """

    def __init__(self, hidden: Layer = lambda x: x, logits_input: Layer = lambda x: x, extra: int = 0) -> None:
        super().__init__()
        self.hidden, self.logits_input = hidden, logits_input
        self.first = nn.Conv2d(3, 4, 4, 2, 1)
        self.second = nn.Conv2d(4, 8, 4, 2, 1)
        self.third = nn.Conv2d(8, 16, 4, 2, 1)
        self.map = nn.Conv2d(16 + extra, 1, 3, 1, 1, bias=False)
        self.domains = nn.Conv2d(16, 3, 2, bias=False)

    def forward(self, x: Tensor) -> Heads:
        for convolution in (self.first, self.second, self.third):
            x = self.hidden(F.leaky_relu(convolution(x), 0.01))
        return self.map(self.logits_input(x)), self.domains(x).flatten(1)


class ByHand:
    """StarGAN's step in plain torch, with the least squares of lsgan unless a test changes it.

    Tests replace the attributes that their option changes.
    """

    def __init__(self, discriminator: PlainDiscriminator | None = None) -> None:
        self.g, self.d = StarGenerator(4, 3, 1).double(), (discriminator or PlainDiscriminator()).double()
        self.real_loss: Layer = lambda logits: ((logits - 1) ** 2).mean()
        self.fake_loss: Layer = lambda logits: (logits**2).mean()
        self.gan_loss: Layer = lambda logits: ((logits - 1) ** 2).mean()
        self.inputs: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda real, fake: (real, fake)
        self.input: Layer = lambda fake: fake
        self.in_one_pass = True
        self.penalty: Callable[[Tensor, Tensor], Tensor] | None = None
        self.skips: Callable[[Tensor, Tensor], bool] = lambda real, fake: False

    def starts_from(self, gan_step: GANStep) -> None:
        """Copies the step's weights, which lie in the same order, and makes optimizers for them."""
        for name, network in (("generator", self.g), ("discriminator", self.d)):
            for own, other in zip(network.parameters(), gan_step.networks.bare[name].parameters(), strict=True):
                own.data = other.detach().clone()
        self.adam_g, self.adam_d = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in (self.g, self.d))

    def step(self, batch: dict[str, Tensor], *, with_generator: bool = True) -> Losses:
        x, c = batch["input"], batch["labels"]
        target = c[torch.randperm(B)]
        fake = self.g(x, target)
        cycle = self.g(fake, c)

        real_input, fake_input = self.inputs(x, fake.detach())
        if self.in_one_pass:
            maps, classes = self.d(torch.cat([real_input, fake_input]))
            real, made, real_class = maps[:B], maps[B:], classes[:B]
        else:
            (real, real_class), (made, _) = self.d(real_input), self.d(fake_input)
        losses = {"discriminator/real": self.real_loss(real), "discriminator/fake": self.fake_loss(made)}
        losses["discriminator/class"] = F.cross_entropy(real_class, c.argmax(1))
        if self.penalty:
            losses["discriminator/penalty"] = self.penalty(real_input, fake_input)
        if not self.skips(real, made):
            update(self.adam_d, losses)
        if not with_generator:
            return losses

        made, made_class = self.d(self.input(fake))
        of_generator = {
            "generator/gan": self.gan_loss(made),
            "generator/class": F.cross_entropy(made_class, target.argmax(1)),
            "generator/cycle": 10 * (cycle - x).abs().mean(),
        }
        update(self.adam_g, of_generator)
        return losses | of_generator


def update(optimizer: torch.optim.Optimizer, losses: Losses) -> None:
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()


def star(kind: str = "lsgan", **balance: Any) -> Config:
    config = options(None)
    return replace(
        config,
        model=replace(config.model, gan_loss=kind),
        data=replace(config.data, batch_size=B),
        balance=BalanceConfig(**balance),
    )


def both(config: Config, by_hand: ByHand) -> GANStep:
    """The step of these options, in fp64, with the same weights as the one by hand."""
    gan_step = make_step(config)
    for network in gan_step.networks.bare.values():
        network.double()
    by_hand.starts_from(gan_step)
    return gan_step


def compare(config: Config, by_hand: ByHand, *, steps: int = 3, rel: float = 1e-9) -> None:
    """Asserts that the losses of the steps are equal; those after the first depend on all gradients before."""
    gan_step = both(config, by_hand)
    for step in range(steps):
        compare_step(gan_step, by_hand, step, rel=rel)


def compare_step(gan_step: GANStep, by_hand: ByHand, step: int, *, rel: float = 1e-9, **how: bool) -> dict[str, Tensor]:
    batch = batches(None)[step % 4]
    torch.manual_seed(keyed_seed(0, step, 0, 0))
    expected = by_hand.step(batch, **how)
    logged = gan_step.run([batch], step, 1.0)
    assert {name for name in logged if name.startswith("loss/")} == {f"loss/{name}" for name in expected}
    for name, value in expected.items():
        assert logged[f"loss/{name}"].item() == pytest.approx(value.item(), rel=rel, abs=1e-12), (step, name)
    return logged


def squares(logits: Tensor, labels: Iterable[float]) -> Tensor:
    return torch.stack([((image - label) ** 2).mean() for image, label in zip(logits, labels, strict=True)]).mean()


def cross_entropies(logits: Tensor, labels: Iterable[float]) -> Tensor:
    """-l log p - (1 - l) log(1 - p), p = sigmoid(logits)."""
    losses = []
    for image, label in zip(logits, labels, strict=True):
        p = 1 / (1 + (-image).exp())
        losses.append((-label * p.log() - (1 - label) * (1 - p).log()).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("kind", ["lsgan", "vanilla"])
def test_label_smoothing_sets_one_label_for_all(kind: str) -> None:
    loss = {"lsgan": squares, "vanilla": cross_entropies}[kind]
    by_hand = ByHand()
    by_hand.real_loss = lambda logits: loss(logits, [0.9] * B)
    by_hand.fake_loss = lambda logits: loss(logits, [0.1] * B)
    by_hand.gan_loss = lambda logits: loss(logits, [1.0] * B)  # D's labels alone are smooth
    compare(star(kind, label_real=(0.9, 0.9), label_fake=(0.1, 0.1)), by_hand)


@pytest.mark.parametrize("kind", ["lsgan", "vanilla"])
def test_label_ranges_and_flips_draw_a_label_for_each_image(kind: str) -> None:
    loss = {"lsgan": squares, "vanilla": cross_entropies}[kind]
    flipped: list[bool] = []

    def labels(low: float, high: float, other_low: float, other_high: float) -> list[float]:
        drawn, flips, others = torch.rand(B), torch.rand(B), torch.rand(B)
        made = []
        for u, flip, v in zip(drawn, flips, others, strict=True):
            flipped.append(bool(flip < 0.4))
            made.append(other_low + (other_high - other_low) * v if flip < 0.4 else low + (high - low) * u)
        return [label.item() for label in made]

    by_hand = ByHand()
    by_hand.real_loss = lambda logits: loss(logits, labels(0.7, 1.2, 0.0, 0.3))
    by_hand.fake_loss = lambda logits: loss(logits, labels(0.0, 0.3, 0.7, 1.2))
    by_hand.gan_loss = lambda logits: loss(logits, [1.0] * B)
    compare(star(kind, label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.4), by_hand, rel=1e-6)
    assert {*flipped} == {True, False}


def test_label_flip_swaps_the_signs_of_a_critic() -> None:
    """Flips need no smooth labels, so that they work with Wasserstein's loss, too."""

    def critic(logits: Tensor, sign: float) -> Tensor:
        torch.rand(B)  # a range of one value is drawn all the same
        flips = torch.rand(B)
        torch.rand(B)
        signs = [-sign if flip < 0.3 else sign for flip in flips]
        return torch.stack([s * image.mean() for s, image in zip(signs, logits, strict=True)]).mean()

    by_hand = ByHand()
    by_hand.real_loss, by_hand.fake_loss = (lambda logits: critic(logits, -1.0)), (lambda logits: critic(logits, 1.0))
    by_hand.gan_loss = lambda logits: -logits.mean()
    by_hand.penalty = penalty_of(by_hand, "wgan-gp")
    compare(star("wasserstein", label_flip=0.3, gradient_penalty="wgan-gp", penalty_of="sum"), by_hand)


def test_instance_noise_is_on_ds_inputs_and_fades() -> None:
    by_hand, shares = ByHand(), iter([1, 1, 1, 0.75, 0.75, 0.75])  # real, fake, then G's; two steps

    def add(image: Tensor) -> Tensor:
        return image + 0.2 * next(shares) * torch.randn_like(image)

    by_hand.inputs, by_hand.input = (lambda real, fake: (add(real), add(fake))), add
    compare(star(instance_noise=0.2, noise_steps=4), by_hand, steps=2)


def test_instance_noise_is_the_same_for_both_ends_of_wgan_gps_line() -> None:
    by_hand = ByHand()

    def noisy(*images: Tensor) -> list[Tensor]:
        noise = 0.2 * torch.randn_like(images[0])
        return [image + noise for image in images]

    by_hand.inputs, by_hand.input = (lambda *images: tuple(noisy(*images))), (lambda fake: noisy(fake)[0])
    by_hand.penalty = penalty_of(by_hand, "wgan-gp")
    compare(star(instance_noise=0.2, noise_steps=0, gradient_penalty="wgan-gp", penalty_of="sum"), by_hand)


@pytest.mark.parametrize("penalty", ["none", "wgan-gp"])
def test_feature_noise_is_after_each_hidden_layer_and_fades(penalty: str) -> None:
    """In each pass of D, the penalty's too."""
    step = 0

    def noisy(x: Tensor) -> Tensor:
        return x + 0.3 * (1 - step / 4) * torch.randn_like(x)

    by_hand = ByHand(PlainDiscriminator(hidden=noisy))
    if penalty != "none":
        by_hand.penalty = penalty_of(by_hand, "wgan-gp")
    gan_step = both(star(feature_noise=0.3, noise_steps=4, gradient_penalty=penalty, penalty_of="sum"), by_hand)
    for step in range(3):
        compare_step(gan_step, by_hand, step, rel=1e-6)  # the noise's deviation is a number in fp32


@pytest.mark.parametrize("penalty", ["none", "wgan-gp", "r1"])
def test_dropout_d_is_after_each_hidden_layer(penalty: str) -> None:
    def drop(x: Tensor) -> Tensor:
        return x * (torch.empty_like(x).bernoulli_(0.7) / 0.7)

    by_hand = ByHand(PlainDiscriminator(hidden=drop))
    if penalty != "none":
        by_hand.penalty = penalty_of(by_hand, penalty)
    compare(star(dropout_d=0.3, gradient_penalty=penalty, penalty_of="sum"), by_hand)


@pytest.mark.parametrize("penalty", ["none", "wgan-gp", "r1"])
def test_minibatch_std_is_a_feature_of_the_map_alone(penalty: str) -> None:
    """D then sees real and fake images apart; the domain's logits don't depend on the other images."""

    def with_deviation(x: Tensor) -> Tensor:
        mean = x.sum(0) / B
        deviations = (((x - mean) ** 2).sum(0) / B + 1e-8).sqrt()
        return torch.cat([x, deviations.mean() * torch.ones(B, 1, *x.shape[2:]).double()], 1)

    by_hand = ByHand(PlainDiscriminator(logits_input=with_deviation, extra=1))
    by_hand.in_one_pass = False
    if penalty != "none":
        by_hand.penalty = penalty_of(by_hand, penalty)
    config = star(minibatch_std=True, gradient_penalty=penalty, penalty_of="sum")
    compare(config, by_hand, rel=1e-5)  # the deviation is rounded to fp32


class Normalised(nn.Module):
    """A convolution whose weights are divided by their largest singular value, after one power iteration each time.

    ``u`` and ``v`` are the singular vectors so far.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv, self.is_up = conv, isinstance(conv, nn.ConvTranspose2d)
        self.weight = conv.weight
        self.u = self.v = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        matrix = (self.weight.transpose(0, 1) if self.is_up else self.weight).flatten(1)
        with torch.no_grad():
            self.u = matrix @ self.v / (matrix @ self.v).norm()
            self.v = matrix.T @ self.u / (matrix.T @ self.u).norm()
        weight = self.weight / (self.u @ matrix @ self.v)
        if self.is_up:
            return F.conv_transpose2d(x, weight, None, 2, 1)
        return F.conv2d(x, weight, self.conv.bias, self.conv.stride, self.conv.padding)


def normalise(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)):
                setattr(parent, name, Normalised(child))


def normalised_layers(network: nn.Module) -> Iterator[Any]:
    return (module for module in network.modules() if isinstance(module, Normalised))


@pytest.mark.parametrize("networks", ["d", "g", "both"])
@pytest.mark.parametrize("critic_steps", [1, 2])
def test_spectral_norm_divides_weights_by_their_largest_singular_value(networks: str, critic_steps: int) -> None:
    """One power iteration a pass, also of G's way back in a step without an update of G."""
    by_hand = ByHand()
    gan_step = make_step(star(spectral_norm=networks, discriminator_steps=critic_steps))
    for name, network in (("generator", by_hand.g), ("discriminator", by_hand.d)):
        bare = gan_step.networks.bare[name].double()
        if networks in ("both", name[0]):
            normalise(network)
        sources = [module for module in bare.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
        for own, source in zip(normalised_layers(network), sources, strict=networks in ("both", name[0])):
            power = source.parametrizations.weight[0]
            own.u, own.v = power._u.clone(), power._v.clone()
    copy_by_kind(gan_step, by_hand)
    for step in range(4):
        compare_step(gan_step, by_hand, step, with_generator=(step + 1) % critic_steps == 0)


def copy_by_kind(gan_step: GANStep, by_hand: ByHand) -> None:
    """As ``ByHand.starts_from``, where spectral norm changes the order of weights and biases."""

    for name, network in (("generator", by_hand.g), ("discriminator", by_hand.d)):
        for ndim in (4, 1):
            own, other = (
                [p for p in net.parameters() if p.ndim == ndim] for net in (network, gan_step.networks.bare[name])
            )
            for parameter, source in zip(own, other, strict=True):
                parameter.data = source.detach().clone()
    nets = (by_hand.g, by_hand.d)
    by_hand.adam_g, by_hand.adam_d = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in nets)


def slopes(d: Callable[[Tensor], Heads], points: Tensor, reduce: Layer) -> list[Tensor]:
    """The squared norm of the gradient of each image's ``reduce`` of its map."""
    points = points.detach().requires_grad_(True)
    maps, _ = d(points)
    (gradient,) = torch.autograd.grad(torch.stack([reduce(image) for image in maps]).sum(), points, create_graph=True)
    return [(image**2).sum() for image in gradient]


def wgan_gp(d: Callable[[Tensor], Heads], real: Tensor, fake: Tensor, reduce: Layer) -> Tensor:
    share = torch.rand(B, 1, 1, 1).double()
    squares = slopes(d, share * real + (1 - share) * fake, reduce)
    return torch.stack([((square + 1e-12).sqrt() - 1) ** 2 for square in squares]).mean()


def r1(d: Callable[[Tensor], Heads], real: Tensor, fake: Tensor, reduce: Layer) -> Tensor:
    return torch.stack([square / 2 for square in slopes(d, real, reduce)]).mean()


def penalty_of(by_hand: ByHand, name: str, of: str = "sum") -> Callable[[Tensor, Tensor], Tensor]:
    """Ten times the penalty of the map's sum or mean."""
    function, reduce = {"wgan-gp": wgan_gp, "r1": r1}[name], {"sum": torch.sum, "mean": torch.mean}[of]
    return lambda real, fake: 10 * function(by_hand.d, real, fake, reduce)


@pytest.mark.parametrize("of", ["mean", "sum"])
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_gradient_penalty_is_of_the_map_alone(penalty: str, of: str) -> None:
    by_hand = ByHand()
    by_hand.penalty = penalty_of(by_hand, penalty, of)
    compare(star(gradient_penalty=penalty, penalty_of=of), by_hand)


def test_lambda_gp_is_the_penaltys_weight() -> None:
    by_hand = ByHand()
    by_hand.penalty = lambda real, fake: 3.5 * r1(by_hand.d, real, fake, torch.sum)
    compare(star(gradient_penalty="r1", penalty_of="sum", lambda_gp=3.5), by_hand)


def augmented(images: list[Tensor]) -> list[Tensor]:
    """arXiv 2006.10738: colour, shift by up to an eighth, a hole of half the side; the same for all, image by image."""
    brightness, saturation, contrast = torch.rand(3, B, 1, 1, 1).double().flatten(1)
    down, right = (torch.randint(-2, 3, (B, 1)).flatten().tolist() for _ in "hw")
    top, left = ((torch.randint(0, SIDE + 1, (B, 1)).flatten() - SIDE // 4).tolist() for _ in "hw")
    made = []
    for image in images:
        out = torch.zeros_like(image)
        for b in range(B):
            bright = image[b] + brightness[b] - 0.5
            gray = bright.mean(0)
            vivid = gray + (bright - gray) * 2 * saturation[b]
            toned = vivid.mean() + (vivid - vivid.mean()) * (contrast[b] + 0.5)
            for i in range(SIDE):
                for j in range(SIDE):
                    is_inside = 0 <= i - down[b] < SIDE and 0 <= j - right[b] < SIDE
                    in_hole = top[b] <= i < top[b] + SIDE // 2 and left[b] <= j < left[b] + SIDE // 2
                    if is_inside and not in_hole:
                        out[b, :, i, j] = toned[:, i - down[b], j - right[b]]
        made.append(out)
    return made


@pytest.mark.parametrize("penalty", ["none", "wgan-gp"])
def test_augment_changes_ds_inputs_and_passes_gs_gradient(penalty: str) -> None:
    """Real and fake images have their own draws, unless wgan-gp needs one line between them."""
    by_hand = ByHand()
    by_hand.input = lambda fake: augmented([fake])[0]
    by_hand.inputs = lambda real, fake: (augmented([real])[0], augmented([fake])[0])
    if penalty == "wgan-gp":
        by_hand.inputs = lambda real, fake: tuple(augmented([real, fake]))
        by_hand.penalty = penalty_of(by_hand, penalty)
    config = star(augment=("color", "translation", "cutout"), gradient_penalty=penalty, penalty_of="sum")
    compare(config, by_hand, steps=2, rel=1e-6)  # factors of the colours are added in fp32


def test_steps_with_an_update_of_g() -> None:
    """Two steps of warm-up, two times three D steps for a G step, then two."""
    balance = {"warmup_d": 2, "first_discriminator_steps": 3, "first_steps": 6, "discriminator_steps": 2}
    by_hand = ByHand()
    gan_step = both(star(**balance), by_hand)
    for step in range(12):
        compare_step(gan_step, by_hand, step, with_generator=step in (4, 7, 9, 11))


def test_skip_above_skips_ds_update() -> None:
    """At an accuracy above 0.55 of D's logits, which are right above 0.5 for real and below for fake images."""
    by_hand, skipped = ByHand(), []

    def skips(real: Tensor, made: Tensor) -> bool:
        right = sum(logit > 0.5 for logit in real.flatten().tolist()) + sum(v <= 0.5 for v in made.flatten().tolist())
        skipped.append(right / (2 * real.numel()) > 0.55)
        return skipped[-1]

    by_hand.skips = skips
    gan_step = both(star(skip_above=0.55), by_hand)
    for step in range(20):
        logged = compare_step(gan_step, by_hand, step)
        assert bool(logged["discriminator/skipped"]) == skipped[-1]
    assert {*skipped} == {True, False}


@pytest.mark.parametrize(
    ("kind", "balance", "named"),
    [
        ("wasserstein", {"gradient_penalty": "wgan-gp", "label_real": (0.9, 0.9)}, r"balance\.label_real"),
        ("wasserstein", {"gradient_penalty": "wgan-gp", "skip_above": 0.8}, r"balance\.skip_above 0\.8"),
        ("wasserstein", {}, "balance.gradient_penalty wgan-gp"),
        ("hinge", {"label_fake": (0.0, 0.3)}, r"balance\.label_fake"),
        ("lsgan", {"diversity": 1.0}, r"balance\.diversity 1\.0"),
    ],
)
def test_options_that_can_not_apply_are_refused_in_one_line(kind: str, balance: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as error:
        make_step(star(kind, **balance))
    assert "\n" not in str(error.value)


def test_minibatch_std_of_single_images_is_refused() -> None:
    config = star(minibatch_std=True)
    with pytest.raises(ValueError, match=r"balance\.minibatch_std true: .*data\.batch_size"):
        replace(config, data=replace(config.data, batch_size=1))


def test_losses_of_all_kinds_are_their_equations() -> None:
    """vanilla, minimax, hinge and wasserstein on the map; the domain's loss is the same with each."""

    def log_loss(logits: Tensor, label: float) -> Tensor:
        return cross_entropies(logits, [label] * B)

    kinds: dict[str, tuple[Layer, Layer, Layer]] = {
        "vanilla": (lambda r: log_loss(r, 1), lambda f: log_loss(f, 0), lambda f: log_loss(f, 1)),
        "minimax": (lambda r: log_loss(r, 1), lambda f: log_loss(f, 0), lambda f: -log_loss(f, 0)),
        "hinge": (lambda r: (1 - r).clamp(min=0).mean(), lambda f: (1 + f).clamp(min=0).mean(), lambda f: -f.mean()),
    }
    for kind, (real, fake, gan) in kinds.items():
        by_hand = ByHand()
        by_hand.real_loss, by_hand.fake_loss, by_hand.gan_loss = real, fake, gan
        compare(star(kind), by_hand)
    assert log_loss(torch.zeros(B, 1).double(), 1).item() == pytest.approx(math.log(2))
