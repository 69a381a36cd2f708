"""Dropout, noise, minibatch statistics and spectral norm that are added to networks."""

import copy

import pytest
import torch
from torch import nn

from img2img.models.stargan import Discriminator as StarDiscriminator
from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import MultiScaleDiscriminator
from img2img.networks.regularization import FeatureNoise, MinibatchStd, regularize_discriminator, spectral_norm
from img2img.networks.unet import UNet


@pytest.mark.parametrize(
    "make",
    [
        lambda: PatchGAN(3, 4, n_layers=1, norm="instance"),
        lambda: MultiScaleDiscriminator(3, 4, n_layers=1, n_scales=2),
        lambda: StarDiscriminator(3, 5, ndf=4, n_layers=2, size=16),
    ],
)
def test_regularize_discriminator_acts_in_training_only_and_keeps_weight_names(make: object) -> None:
    torch.manual_seed(0)
    unchanged = make()
    network = make()
    regularize_discriminator(network, dropout=0.5, feature_noise=0.1)
    network.load_state_dict(unchanged.state_dict())
    x = torch.rand(2, 3, 16, 16)

    def logits(discriminator: nn.Module) -> torch.Tensor:
        output = discriminator(x)
        while not isinstance(output, torch.Tensor):
            output = output[-1]
        return output

    assert not torch.equal(logits(network), logits(network))
    assert torch.equal(logits(network.eval()), logits(unchanged.eval()))


def test_feature_noise_has_its_deviation_and_can_fade() -> None:
    noise, x = FeatureNoise(0.3), torch.zeros(100, 100)
    assert noise(x).std().item() == pytest.approx(0.3, rel=0.05)
    noise.sigma.fill_(0.0)
    assert torch.equal(noise(x), x)


def test_minibatch_std_adds_the_deviation_over_the_batch() -> None:
    """It equals numpy's standard deviation; a batch of one repeated image has none."""
    x = torch.rand(4, 3, 5, 5)
    out = MinibatchStd()(x)
    assert torch.equal(out[:, :3], x)
    assert torch.allclose(out[:, 3], torch.tensor(x.numpy().std(axis=0).mean()).expand(4, 5, 5), atol=1e-6)
    assert MinibatchStd()(x[:1].expand(4, -1, -1, -1))[:, 3].abs().max() < 1e-3


def test_regularize_discriminator_minibatch_std_keeps_the_other_weights() -> None:
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(3, 4, n_layers=1, n_scales=2, norm="none")
    before = [scale.stages[-1].weight.clone() for scale in network.scales]
    regularize_discriminator(network, minibatch_std=True)
    for weight, scale in zip(before, network.scales, strict=True):
        wide = scale.stages[-1][1]
        assert torch.equal(wide.weight[:, :-1], weight)
        assert wide.weight[:, -1].abs().sum() > 0
    equal, different = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1), torch.rand(2, 3, 16, 16)
    logits = [network(x)[0][-1].detach() for x in (equal, different)]
    assert not torch.allclose(logits[0], logits[1])


def test_regularize_discriminator_minibatch_std_is_before_the_named_layer() -> None:
    """The other head and its weights stay as they are."""
    torch.manual_seed(0)
    network = StarDiscriminator(3, 5, ndf=4, n_layers=2, size=16)
    before = copy.deepcopy(network.state_dict())
    regularize_discriminator(network, minibatch_std=True)
    after = network.state_dict()
    assert torch.equal(after.pop("conv1.1.weight")[:, :-1], before.pop("conv1.weight"))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    x = torch.rand(3, 3, 16, 16)
    (maps, classes), (map_alone, class_alone) = network(x), network(x[:1])
    assert not torch.allclose(maps[:1], map_alone)
    torch.testing.assert_close(classes[:1], class_alone)


class Bare(nn.Module):
    """A discriminator whose layers cannot be found."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.activation, self.last = nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Conv2d(4, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.activation(self.first(x)))


@pytest.mark.parametrize("option", [{"dropout": 0.5}, {"feature_noise": 0.1}, {"minibatch_std": True}])
def test_regularize_discriminator_refuses_a_network_without_a_place(option: dict) -> None:
    """Else the option would do nothing."""
    with pytest.raises(ValueError, match=rf"^balance\.{next(iter(option))}.*: Bare "):
        regularize_discriminator(Bare(), **option)


@pytest.mark.parametrize("make", [lambda: PatchGAN(3, 4, n_layers=2), lambda: UNet(3, 3, num_downs=4, ngf=4)])
def test_spectral_norm_makes_the_largest_singular_value_1(make: object) -> None:
    torch.manual_seed(0)
    network = make()
    spectral_norm(network)
    x = torch.rand(2, 3, 16, 16)
    for _ in range(30):  # one power iteration each
        network(x)
    network.eval()
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert convolutions
    for conv in convolutions:
        weight = conv.weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else conv.weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)
