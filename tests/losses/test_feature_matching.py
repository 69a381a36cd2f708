"""Feature matching: the loss against its equation, and comparable features despite noise and dropout."""

import pytest
import torch

from img2img.losses.adversarial import GANLoss
from img2img.losses.balance import BalanceConfig
from img2img.losses.feature_matching import comparable_outputs, feature_matching_loss, one_scale
from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import MultiScaleDiscriminator
from img2img.networks.regularization import regularize_discriminator


@pytest.mark.parametrize("layers", [2, 4])
def test_feature_matching_loss_equals_its_equation(layers: int) -> None:
    """Eq. 4 of arXiv 1711.11585 with the official code's weights, in plain loops; without the logits."""
    torch.manual_seed(0)
    shapes = [(1, 2, 8 >> i, 8 >> i) for i in range(layers)] + [(1, 1, 2, 2)]
    real, fake = ([[torch.rand(shape) for shape in shapes] for _ in range(3)] for _ in range(2))
    expected = 0.0
    for r, f in zip(real, fake, strict=True):
        for j in range(layers):
            expected += 4 / layers / 3 * (f[j] - r[j]).abs().sum().item() / r[j].numel()
    assert feature_matching_loss(real, fake).item() == pytest.approx(expected, rel=1e-5)


def test_feature_matching_loss_has_gradients_of_the_fake_only() -> None:
    real, fake = torch.rand(1, 1, 4, 4, requires_grad=True), torch.rand(1, 1, 4, 4, requires_grad=True)
    feature_matching_loss([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None


@pytest.mark.parametrize(
    "changes", [{"dropout_d": 0.3}, {"feature_noise": 0.3}, {"instance_noise": 0.3}, {"augment": ("color", "cutout")}]
)
def test_comparable_outputs_are_equal_for_equal_images_whatever_the_noise(changes: dict) -> None:
    torch.manual_seed(0)
    real, condition = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 2, 16, 16)
    network = MultiScaleDiscriminator(5, 4, n_layers=1, n_scales=2, norm="none")
    options = BalanceConfig(**changes)
    regularize_discriminator(network, options.dropout_d, options.feature_noise)
    gan = GANLoss("lsgan", options)
    real_input, fake_input = gan.inputs(real, real.clone(), condition, shared_draws=True)
    real_output, fake_output = comparable_outputs(network, real_input, fake_input, options)
    for fake_layers, real_layers in zip(fake_output, real_output, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(fake_layers, real_layers, strict=True))
    another_draw = gan.input(real, condition)
    assert not torch.equal(network(another_draw)[0][0], real_output[0][0])


def test_one_scale_returns_all_layers_and_the_same_logits() -> None:
    torch.manual_seed(0)
    network, x = PatchGAN(3, 4, n_layers=2, norm="instance"), torch.rand(2, 3, 16, 16)
    (layers,) = one_scale(network)(x)
    assert len(layers) == len(network.stages)
    assert torch.equal(layers[-1], network(x))
    for stage, features in zip(network.stages, layers, strict=True):
        x = stage(x)
        assert torch.equal(features, x)
