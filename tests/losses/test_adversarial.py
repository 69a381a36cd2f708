"""``GANLoss`` and ``BalanceConfig``: labels, inputs, losses and penalties do what their options say."""

import pytest
import torch
from torch import nn

from img2img.losses.adversarial import GANLoss, logits_of
from img2img.losses.balance import BalanceConfig
from img2img.losses.gan import discriminator_gan_loss
from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import MultiScaleDiscriminator


def images(count: int = 2, size: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    real, fake = torch.rand(2, count, 3, size, size) * 2 - 1
    return real, fake, torch.rand(count, 2, size, size)


class Mean(nn.Module):
    """A discriminator whose logit is the mean of the image's channels, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x[:, -3:].mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize(
    "network", [PatchGAN(5, 4, n_layers=1, norm="none"), MultiScaleDiscriminator(5, 4, n_layers=1, n_scales=2)]
)
def test_gan_loss_without_options_sums_the_loss_over_scales(network: nn.Module) -> None:
    x, y, condition = images()
    gan = GANLoss("lsgan")
    real, fake = gan.inputs(x, y, condition)
    terms, _ = gan.discriminator_loss(network(real), network(fake), weight=0.5)
    for name, image, label in (("real", x, 1.0), ("fake", y, 0.0)):
        logits = logits_of(network(torch.cat([condition, image], 1)))
        expected = 0.5 * sum(discriminator_gan_loss(x, label, "lsgan") for x in logits)
        assert terms[name].item() == pytest.approx(expected.item(), rel=1e-6)
    loss = gan.generator_loss(network(gan.input(y, condition)))
    assert loss.item() == pytest.approx(sum(((x - 1) ** 2).mean() for x in logits).item(), rel=1e-5)
    assert gan.penalty(network, real, fake, condition=condition) == {}


def test_gan_loss_inputs_draw_noise_for_real_then_fake() -> None:
    """Golden tests and resumed runs depend on the order. With wgan-gp or shared_draws one noise is for both."""
    x, y, _ = images()
    for shared, penalty, drawn in ((False, "none", 2), (True, "none", 1), (False, "wgan-gp", 1), (False, "r1", 2)):
        gan = GANLoss("lsgan", BalanceConfig(instance_noise=0.5, gradient_penalty=penalty))
        torch.manual_seed(3)
        real, fake = gan.inputs(x, y, shared_draws=shared)
        torch.manual_seed(3)
        noises = [torch.randn_like(x) for _ in range(drawn)]
        assert torch.equal(real, x + 0.5 * noises[0])
        assert torch.equal(fake, y + 0.5 * noises[-1])


def test_gan_loss_takes_logits_or_a_list_over_scales() -> None:
    fine, coarse, features = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 2, 2), torch.rand(2, 8, 4, 4)
    gan = GANLoss("vanilla")
    expected = gan.generator_loss(fine) + gan.generator_loss(coarse)
    assert gan.generator_loss([fine, coarse]).item() == pytest.approx(expected.item())
    assert gan.generator_loss([[features, fine], [features, coarse]]).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    "output",
    [(torch.rand(2, 1), torch.rand(2, 5)), [(torch.rand(2, 1), torch.rand(2, 5))], [], [[]], {"logits": 1}, None],
)
def test_gan_loss_refuses_other_outputs(output: object) -> None:
    """(logits, classes) must not be taken for a list of scales."""
    gan, logits = GANLoss("lsgan"), torch.rand(2, 1)
    for loss in (
        gan.generator_loss,
        lambda x: gan.discriminator_loss(logits, x),
        lambda x: gan.discriminator_loss(x, x),
    ):
        with pytest.raises(ValueError, match=rf"{type(output).__name__}.*output\[0\]"):
            loss(output)


def test_gan_loss_labels_lie_in_their_range_and_flip() -> None:
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.1)
    torch.manual_seed(0)
    gan = GANLoss("lsgan", options)
    labels = gan._labels(20000, torch.device("cpu"), options.label_real, flipped=options.label_fake)
    high = labels > 0.5
    assert (1 - high.float().mean()).item() == pytest.approx(0.1, abs=0.01)
    assert 0.7 <= labels[high].min() < 0.71
    assert 1.19 < labels[high].max() <= 1.2
    assert 0.0 <= labels[~high].min() < 0.01
    assert 0.29 < labels[~high].max() <= 0.3
    assert labels[high].mean().item() == pytest.approx(0.95, abs=0.01)


def test_gan_loss_label_real_smooths_one_side() -> None:
    real, fake, _ = images()
    options = BalanceConfig(label_real=(0.9, 0.9))
    terms, _ = GANLoss("lsgan", options).discriminator_loss(Mean()(real), Mean()(fake))
    assert terms["real"].item() == pytest.approx(((Mean()(real) - 0.9) ** 2).mean().item(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx((Mean()(fake) ** 2).mean().item(), rel=1e-5)


def test_balance_config_mean_labels_equal_the_drawn_labels_mean() -> None:
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.2)
    torch.manual_seed(0)
    gan, (real, fake) = GANLoss("lsgan", options), (options.label_real, options.label_fake)
    drawn = [
        gan._labels(50000, torch.device("cpu"), label, flipped=flipped).mean().item()
        for label, flipped in ((real, fake), (fake, real))
    ]
    assert options.mean_labels == pytest.approx(drawn, abs=0.01)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))
    pair = images()[:2]
    _, statistics = gan.discriminator_loss(*map(network, pair))
    expected = sum(((network(x) - label) ** 2).mean() for x, label in zip(pair, options.mean_labels, strict=True)) / 0.5
    assert statistics["relative_loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_gan_loss_of_generator_ignores_smoothed_labels() -> None:
    logits = torch.randn(4, 1, 3, 3)
    options = BalanceConfig(label_real=(0.7, 1.2), label_fake=(0.0, 0.3), label_flip=0.4)
    assert GANLoss("vanilla", options).generator_loss(logits) == GANLoss("vanilla").generator_loss(logits)


def test_gan_loss_instance_noise_is_on_the_image_only_and_fades() -> None:
    real, _, condition = images(size=64)
    gan = GANLoss("lsgan", BalanceConfig(instance_noise=0.2, noise_steps=100))
    for step, left in ((0, 0.2), (50, 0.1), (100, 0.0), (150, 0.0)):
        gan.noise_share = gan.options.noise_share(step)
        prepared = gan.input(real, condition)
        assert torch.equal(prepared[:, :2], condition)
        assert (prepared[:, 2:] - real).std().item() == pytest.approx(left, rel=0.02)
    assert BalanceConfig(instance_noise=0.2, noise_steps=0).noise_share(10**6) == 1.0


def test_gan_loss_penalty_equals_that_of_a_known_gradient() -> None:
    """D(x) = w * mean of 3 x 16 x 16 values: its gradient has the norm w / sqrt(768), whatever the condition."""
    real, fake, condition = images()
    norm = 2 / 768**0.5
    for kind, expected in (("wgan-gp", (norm - 1) ** 2), ("r1", norm**2 / 2)):
        options = BalanceConfig(gradient_penalty=kind, lambda_gp=10.0)
        network = Mean()
        gan = GANLoss("wasserstein", options)
        terms = gan.penalty(network, *gan.inputs(real, fake, condition), condition=condition)
        assert terms["penalty"].item() == pytest.approx(10 * expected, rel=1e-4)
        terms["penalty"].backward()
        assert (network.weight.grad < 0).item() == (
            kind == "wgan-gp"
        )  # wgan-gp wants a larger gradient, r1 a smaller one


@pytest.mark.parametrize("kind", ["lsgan", "vanilla", "minimax", "hinge", "wasserstein"])
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_gan_loss_penalty_has_gradients_in_all_weights(kind: str, penalty: str) -> None:
    real, fake, condition = images(size=32)
    network = MultiScaleDiscriminator(5, 4, n_layers=1, n_scales=2)
    gan = GANLoss(kind, BalanceConfig(gradient_penalty=penalty))
    gan.penalty(network, *gan.inputs(real, fake, condition), condition=condition, weight=0.5)["penalty"].backward()
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


def test_gan_loss_refuses_wgan_gp_for_two_image_sizes() -> None:
    real, _, _ = images()
    gan = GANLoss("wasserstein", BalanceConfig(gradient_penalty="wgan-gp"))
    with pytest.raises(ValueError, match=r"balance\.gradient_penalty wgan-gp.*data\.preprocess"):
        gan.penalty(Mean(), *gan.inputs(real, torch.rand(2, 3, 8, 8)))


def test_gan_loss_penalty_extracts_logits_from_other_outputs() -> None:
    real, fake, condition = images()
    network = PatchGAN(5, 4, n_layers=1, norm="none")
    gan = GANLoss("wasserstein", BalanceConfig(gradient_penalty="r1"))
    inputs = gan.inputs(real, fake, condition)

    class WithClasses(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return network(x), torch.rand(len(x), 10)

    with_classes = gan.penalty(WithClasses(), *inputs, condition=condition, weight=0.5, logits=lambda output: output[0])
    logits_only = gan.penalty(network, *inputs, condition=condition)
    assert 2 * with_classes["penalty"].item() == pytest.approx(logits_only["penalty"].item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"tuple.*output\[0\]"):
        gan.penalty(WithClasses(), *inputs, condition=condition)


def test_balance_config_has_a_generator_step_after_n_discriminator_steps() -> None:
    options = BalanceConfig(discriminator_steps=3, first_discriminator_steps=5, first_steps=10)
    assert [step for step in range(20) if options.has_generator_step(step)] == [4, 9, 12, 15, 18]
    assert all(BalanceConfig().has_generator_step(step) for step in range(5))


def test_balance_config_used_lists_changed_options() -> None:
    assert BalanceConfig().used == []
    assert BalanceConfig(label_real=(0.9, 0.9), label_flip=0.1).used == ["label_real [0.9, 0.9]", "label_flip 0.1"]


@pytest.mark.parametrize("labels", [{"label_real": (1.2, 1.2)}, {"label_fake": (-0.5, -0.3)}])
def test_balance_config_check_loss_refuses_vanilla_labels_outside_0_and_1(labels: dict) -> None:
    with pytest.raises(ValueError, match=r"balance\.label_real .*balance\.label_fake .*vanilla"):
        BalanceConfig(**labels).check_loss("vanilla", 0.0)
    BalanceConfig(**labels).check_loss("lsgan", 0.0)
