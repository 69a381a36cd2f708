"""The remedies in the losses: what is labelled, seen and paid, against the plain words of their options."""

import pytest
import torch
from torch import nn

from img2img.losses.adversarial import Adversary, logits_of
from img2img.losses.balance import BalanceConfig
from img2img.losses.gan import discriminator_gan_loss
from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import MultiScaleDiscriminator
from img2img.networks.regularization import fortify


def pictures(count: int = 2, size: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    real, fake = torch.rand(2, count, 3, size, size) * 2 - 1
    return real, fake, torch.rand(count, 2, size, size)


class Mean(nn.Module):
    """A discriminator whose logit is the mean of the picture's channels, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x[:, -3:].mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("network", [PatchGAN(5, 4, 1, "none"), MultiScaleDiscriminator(5, 4, 1, 2)])
def test_without_remedies_it_is_the_loss_of_every_scale(network: nn.Module) -> None:
    real, fake, condition = pictures()
    terms, _ = Adversary("lsgan").discriminator_loss(network, real, fake, condition)
    for name, picture, label in (("real", real, 1.0), ("fake", fake, 0.0)):
        logits = logits_of(network(torch.cat([condition, picture], 1)))
        expected = 0.5 * sum(discriminator_gan_loss(x, label, "lsgan") for x in logits)
        assert terms[name].item() == pytest.approx(expected.item(), rel=1e-6)
    (seen,) = Adversary("lsgan").look(condition, fake)
    paid = Adversary("lsgan").generator_loss(network(seen))
    assert paid.item() == pytest.approx(sum(((x - 1) ** 2).mean() for x in logits).item(), rel=1e-5)


def test_real_and_fake_as_one_batch_pay_the_same() -> None:
    real, fake, _ = pictures()
    network = PatchGAN(3, 4, 1, "instance")
    apart, _ = Adversary("vanilla").discriminator_loss(network, real, fake)
    joined, _ = Adversary("vanilla").discriminator_loss(network, real, fake, together=True)
    for name, value in apart.items():
        assert joined[name].item() == pytest.approx(value.item(), rel=1e-5)


def test_labels_lie_in_their_range_and_flip_with_their_probability() -> None:
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.1)
    torch.manual_seed(0)
    labels = Adversary("lsgan", options)._labels(20000, torch.device("cpu"), options.label_real, options.label_fake)
    high = labels > 0.5
    assert (1 - high.float().mean()).item() == pytest.approx(0.1, abs=0.01)
    assert 0.7 <= labels[high].min() < 0.71
    assert 1.19 < labels[high].max() <= 1.2
    assert 0.0 <= labels[~high].min() < 0.01
    assert 0.29 < labels[~high].max() <= 0.3
    assert labels[high].mean().item() == pytest.approx(0.95, abs=0.01)


def test_smoothing_is_one_sided_if_asked() -> None:
    real, fake, _ = pictures()
    options = BalanceConfig(label_real=(0.9, 0.9))
    terms, _ = Adversary("lsgan", options).discriminator_loss(Mean(), real, fake, weight=1.0)
    assert terms["real"].item() == pytest.approx(((Mean()(real) - 0.9) ** 2).mean().item(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx((Mean()(fake) ** 2).mean().item(), rel=1e-5)


def test_mean_labels_are_those_that_are_drawn() -> None:
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.2)
    torch.manual_seed(0)
    adversary, (real, fake) = Adversary("lsgan", options), (options.label_real, options.label_fake)
    drawn = [
        adversary._labels(50000, torch.device("cpu"), *pair).mean().item() for pair in ((real, fake), (fake, real))
    ]
    assert options.mean_labels == pytest.approx(drawn, abs=0.01)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))
    pair = pictures()[:2]
    _, found = adversary.discriminator_loss(network, *pair)
    expected = sum(((network(x) - label) ** 2).mean() for x, label in zip(pair, options.mean_labels, strict=True)) / 0.5
    assert found["relative_loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_generators_never_see_smoothed_or_flipped_labels() -> None:
    answer = torch.randn(4, 1, 3, 3)
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.4)
    assert Adversary("vanilla", options).generator_loss(answer) == Adversary("vanilla").generator_loss(answer)


def test_noise_is_on_the_picture_alone_and_fades() -> None:
    real, _, condition = pictures(size=64)
    adversary = Adversary("lsgan", BalanceConfig(instance_noise=0.2, noise_steps=100))
    for step, left in ((0, 0.2), (50, 0.1), (100, 0.0), (150, 0.0)):
        adversary.share = adversary.options.noise_share(step)
        (seen,) = adversary.look(condition, real)
        assert torch.equal(seen[:, :2], condition)
        assert (seen[:, 2:] - real).std().item() == pytest.approx(left, rel=0.02)
    assert BalanceConfig(instance_noise=0.2, noise_steps=0).noise_share(10**6) == 1.0


def test_the_penalty_pulls_the_slope_along_the_picture_to_one() -> None:
    """D = w x mean of 3 x 16 x 16 values: its slope has the length w / sqrt(768), whatever the condition."""
    real, fake, condition = pictures()
    length = 2 / 768**0.5
    for kind, expected in (("wgan-gp", (length - 1) ** 2), ("r1", length**2 / 2)):
        options = BalanceConfig(gradient_penalty=kind, lambda_gp=10.0)
        network = Mean()
        terms, _ = Adversary("wasserstein", options).discriminator_loss(network, real, fake, condition, weight=1.0)
        assert terms["penalty"].item() == pytest.approx(10 * expected, rel=1e-4)
        terms["penalty"].backward()
        assert (network.weight.grad < 0).item() == (kind == "wgan-gp")  # too flat for the one, never for the other


@pytest.mark.parametrize("kind", ["lsgan", "vanilla", "minimax", "hinge", "wasserstein"])
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_every_loss_takes_a_penalty_whose_gradient_reaches_all_weights(kind: str, penalty: str) -> None:
    real, fake, condition = pictures(size=32)
    network = MultiScaleDiscriminator(5, 4, 1, 2)
    adversary = Adversary(kind, BalanceConfig(gradient_penalty=penalty))
    terms, _ = adversary.discriminator_loss(network, real, fake, condition)
    terms["penalty"].backward()
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


def test_pictures_of_two_sizes_have_nothing_between_them() -> None:
    real, _, _ = pictures()
    adversary = Adversary("wasserstein", BalanceConfig(gradient_penalty="wgan-gp"))
    with pytest.raises(ValueError, match="set it to r1"):
        adversary.discriminator_loss(Mean(), real, torch.rand(2, 3, 8, 8))


def test_generators_have_the_last_of_every_so_many_steps() -> None:
    options = BalanceConfig(discriminator_steps=3, first_discriminator_steps=5, first_steps=10)
    assert [step for step in range(20) if options.plays_generator(step)] == [4, 9, 12, 15, 18]
    assert all(BalanceConfig().plays_generator(step) for step in range(5))


def test_what_is_used_is_told() -> None:
    assert BalanceConfig().used == []
    assert BalanceConfig(label_real=(0.9, 0.9), label_flip=0.1).used == ["label_real [0.9, 0.9]", "label_flip 0.1"]


@pytest.mark.parametrize(
    "remedy", [{"dropout_d": 0.3}, {"feature_noise": 0.3}, {"instance_noise": 0.3}, {"augment": ("color", "cutout")}]
)
def test_a_perfect_picture_has_the_features_of_the_real_one_whatever_the_noise(remedy: dict) -> None:
    real, _, condition = pictures()
    network = MultiScaleDiscriminator(5, 4, 1, 2, "none")
    options = BalanceConfig(**remedy)
    fortify(network, options.dropout_d, options.feature_noise)
    adversary = Adversary("lsgan", options)
    fake, goal = adversary.compare(network, *adversary.look(condition, real.clone(), real))
    for scale, other in zip(fake, goal, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(scale, other, strict=True))
    (again,) = adversary.look(condition, real)
    assert not torch.equal(network(again)[0][0], goal[0][0])  # another time it is another noise


@pytest.mark.parametrize("labels", [{"label_real": (1.2, 1.2)}, {"label_fake": (-0.5, -0.3)}])
def test_probabilities_have_means_between_0_and_1(labels: dict) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        BalanceConfig(**labels).check_loss("vanilla", 0.0)
    BalanceConfig(**labels).check_loss("lsgan", 0.0)
