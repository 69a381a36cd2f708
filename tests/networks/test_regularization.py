"""What is built into networks does what its paper says, and nothing else."""

import pytest
import torch
from torch import nn

from img2img.networks.patchgan import PatchGAN
from img2img.networks.pix2pixhd import MultiScaleDiscriminator
from img2img.networks.regularization import FeatureNoise, MinibatchStd, regularize_discriminator, spectral_norm
from img2img.networks.unet import UNet


@pytest.mark.parametrize(
    "make",
    [
        lambda: PatchGAN(3, 4, n_layers=1, norm="instance"),
        lambda: MultiScaleDiscriminator(3, 4, n_layers=1, n_scales=2),
    ],
)
def test_dropout_and_noise_are_there_in_training_alone_and_keep_the_weights_names(make: object) -> None:
    torch.manual_seed(0)
    plain = make()
    network = make()
    regularize_discriminator(network, dropout=0.5, feature_noise=0.1)
    network.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 16, 16)

    def judge(net: nn.Module) -> torch.Tensor:
        answer = net(x)
        return answer if isinstance(answer, torch.Tensor) else answer[0][-1]

    assert not torch.equal(judge(network), judge(network))
    assert torch.equal(judge(network.eval()), judge(plain.eval()))


def test_feature_noise_has_its_deviation_and_can_fade() -> None:
    noise, x = FeatureNoise(0.3), torch.zeros(100, 100)
    assert noise(x).std().item() == pytest.approx(0.3, rel=0.05)
    noise.sigma.fill_(0.0)
    assert torch.equal(noise(x), x)


def test_the_verdict_sees_how_much_a_batch_differs() -> None:
    """Against numpy's own deviation; a batch of one image repeated has none."""
    x = torch.rand(4, 3, 5, 5)
    seen = MinibatchStd()(x)
    assert torch.equal(seen[:, :3], x)
    assert torch.allclose(seen[:, 3], torch.tensor(x.numpy().std(axis=0).mean()).expand(4, 5, 5), atol=1e-6)
    assert MinibatchStd()(x[:1].expand(4, -1, -1, -1))[:, 3].abs().max() < 1e-3


def test_minibatch_std_keeps_the_verdict_of_the_weights_that_were_there() -> None:
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(3, 4, n_layers=1, n_scales=2, norm="none")
    before = [scale.stages[-1].weight.clone() for scale in network.scales]
    regularize_discriminator(network, minibatch_std=True)
    for weight, scale in zip(before, network.scales, strict=True):
        wide = scale.stages[-1][1]
        assert torch.equal(wide.weight[:, :-1], weight)
        assert wide.weight[:, -1].abs().sum() > 0
    alike, unlike = torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1), torch.rand(2, 3, 16, 16)
    differs = [network(x)[0][-1].detach() for x in (alike, unlike)]
    assert not torch.allclose(differs[0], differs[1])


@pytest.mark.parametrize("make", [lambda: PatchGAN(3, 4, n_layers=2), lambda: UNet(3, 3, num_downs=4, ngf=4)])
def test_spectral_norm_brings_the_largest_singular_value_to_one(make: object) -> None:
    torch.manual_seed(0)
    network = make()
    spectral_norm(network)
    x = torch.rand(2, 3, 16, 16)
    for _ in range(30):  # of the power iteration
        network(x)
    network.eval()
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert convolutions
    for conv in convolutions:
        weight = conv.weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else conv.weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)
