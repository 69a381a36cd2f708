"""pix2pixHD's networks against slow references."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from img2img.networks.pix2pixhd import (
    CoarseToFine,
    MultiScaleDiscriminator,
    StyleEncoder,
    average_instances,
    halve,
)


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def test_parameter_counts_equal_the_official_ones() -> None:
    with torch.device("meta"):
        assert millions(CoarseToFine(36)) == 182.547
        assert millions(CoarseToFine(36, ngf=32, n_enhancers=1)) == 182.857
        assert millions(StyleEncoder()) == 0.789
        assert millions(MultiScaleDiscriminator(39)) == 5.603


@pytest.mark.parametrize("n_enhancers", [0, 1, 2])
@pytest.mark.parametrize("mode", ["deconv", "resize"])
def test_coarse_to_fine_keeps_the_size_and_learns(n_enhancers: int, mode: str) -> None:
    network = CoarseToFine(
        5, 3, ngf=4, n_enhancers=n_enhancers, n_blocks=1, n_blocks_local=1, n_downs=2, upsample_mode=mode
    )
    assert network.stride == 4 * 2**n_enhancers
    out = network(torch.rand(2, 5, 32, 48))
    assert out.shape == (2, 3, 32, 48)
    assert out.abs().max() <= 1
    out.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_local_enhancer_adds_its_front_and_the_features_below() -> None:
    network, x = (
        CoarseToFine(3, 3, ngf=4, n_enhancers=2, n_blocks=1, n_blocks_local=1, n_downs=2, init_gain=0.2),
        torch.rand(1, 3, 32, 32),
    )
    middle, fine = network.enhancers
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    quarter = F.avg_pool2d(half, 3, 2, 1, count_include_pad=False)
    below = network.coarse.decoder(network.coarse.blocks(network.coarse.encoder(quarter)))
    below = middle.back(middle.front(half) + below)
    expected = network.head(fine.back(fine.front(x) + below))
    torch.testing.assert_close(network(x), expected)


def test_halve_leaves_padding_out_of_the_mean() -> None:
    assert torch.equal(halve(torch.ones(1, 2, 5, 8)), torch.ones(1, 2, 3, 4))
    x = torch.rand(1, 1, 6, 6)
    assert halve(x)[0, 0, 1, 1].item() == pytest.approx(x[0, 0, 1:4, 1:4].mean().item())
    assert halve(x)[0, 0, 0, 0].item() == pytest.approx(x[0, 0, :2, :2].mean().item())


def test_multi_scale_discriminator_applies_patchgans_to_a_pyramid() -> None:
    network, x = MultiScaleDiscriminator(4, 4, n_layers=2, n_scales=3, init_gain=0.2), torch.rand(1, 4, 64, 64)
    outputs = network(x)
    assert [len(layers) for layers in outputs] == [4, 4, 4]
    for scale, layers in zip(network.scales, outputs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layers, scale(x, return_features=True), strict=True))
        assert layers[-1].shape[1] == 1
        x = halve(x)
    assert [layers[0].shape[-1] for layers in outputs] == [33, 17, 9]  # padded by 2


@pytest.mark.parametrize("n_scales", [1, 2, 3, 4])
def test_multi_scale_discriminator_smallest_input_is_the_limit(n_scales: int) -> None:
    network = MultiScaleDiscriminator(4, 4, n_layers=2, n_scales=n_scales)
    side = network.smallest_input
    assert len(network(torch.rand(1, 4, side, side))) == n_scales
    with pytest.raises(ValueError, match="more than 1 value"):
        network(torch.rand(1, 4, side - 1, side - 1))


@pytest.mark.parametrize("c", [1, 3])
def test_average_instances_equals_a_slow_reference(c: int) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(3, c, 9, 7)).astype(np.float32)
    instances = random.choice([0, 7, 26001, 26002, 65535], (3, 1, 9, 7))
    expected = np.empty_like(features)
    for b in range(3):
        for instance in np.unique(instances[b]):
            where = instances[b, 0] == instance
            for channel in range(c):
                expected[b, channel][where] = features[b, channel][where].mean()
    means = average_instances(torch.from_numpy(features), torch.from_numpy(instances))
    np.testing.assert_allclose(means.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_style_encoder_gets_gradients_through_the_means() -> None:
    network = StyleEncoder(nef=4, n_downs=2)
    instances = torch.randint(0, 3, (2, 1, 16, 16))
    network(torch.rand(2, 3, 16, 16), instances)[:, :1].mean().backward()
    assert all(p.grad is not None for p in network.parameters())
