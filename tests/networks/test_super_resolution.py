"""Networks of super-resolution: the official numbers of parameters, shapes, initial weights, and one real step."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.networks.sr_discriminators import SRGANDiscriminator, UNetDiscriminator, VGGDiscriminator
from img2img.networks.super_resolution import CompactNet, MSRResNet, RRDBNet, SRResNet


def count(network: type[nn.Module], *channels: int, **options: int) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in network(*channels, **options).parameters())


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (SRResNet, {"scale": 4}, 1_547_350),
        (MSRResNet, {"scale": 4}, 1_517_571),
        (MSRResNet, {"scale": 2}, 1_369_859),
        (MSRResNet, {"scale": 3}, 1_554_499),
        (RRDBNet, {"scale": 4}, 16_697_987),
        (RRDBNet, {"scale": 2}, 16_703_171),
        (RRDBNet, {"scale": 1}, 16_723_907),
        (RRDBNet, {"scale": 4, "n_blocks": 6}, 4_467_779),
        (CompactNet, {"scale": 4}, 621_424),
        (CompactNet, {"scale": 4, "n_blocks": 32}, 1_213_296),
    ],
)
def test_generators_have_the_official_sizes(network: type[nn.Module], options: dict[str, int], expected: int) -> None:
    assert count(network, 3, 3, **options) == expected


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (SRGANDiscriminator, {}, 23_563_649),
        (VGGDiscriminator, {"size": 128}, 14_499_401),
        (VGGDiscriminator, {"size": 256}, 21_055_049),
        (UNetDiscriminator, {}, 4_376_897),
    ],
)
def test_discriminators_have_the_official_sizes(
    network: type[nn.Module], options: dict[str, int], expected: int
) -> None:
    assert count(network, 3, **options) == expected


@pytest.mark.parametrize(
    ("network", "scales"),
    [(SRResNet, (1, 2, 3, 4, 8)), (MSRResNet, (2, 3, 4)), (RRDBNet, (1, 2, 4)), (CompactNet, (1, 2, 3, 4, 5))],
)
def test_generators_enlarge_images_of_any_size(network: type[nn.Module], scales: tuple[int, ...]) -> None:
    for scale in scales:
        generator = network(1, 3, scale=scale, width=4, n_blocks=2)
        height, width = 5 * generator.stride, 7 * generator.stride
        assert generator(torch.rand(2, 1, height, width)).shape == (2, 3, scale * height, scale * width)
        side = generator.smallest_input
        assert generator.eval()(torch.rand(1, 1, side, side)).shape == (1, 3, scale * side, scale * side)


@pytest.mark.parametrize(("network", "scale"), [(SRResNet, 5), (MSRResNet, 1), (MSRResNet, 8), (RRDBNet, 3)])
def test_other_scales_are_refused(network: type[nn.Module], scale: int) -> None:
    with pytest.raises(ValueError, match=f"not {scale} "):
        network(3, 3, scale=scale)


@pytest.mark.parametrize("network", [MSRResNet, CompactNet])
def test_channels_that_cannot_be_added_are_refused(network: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="4 channels"):
        network(4, 3, scale=2)


def test_msrresnet_and_compact_begin_near_the_enlarged_input() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 6, 5)
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert (MSRResNet(3, 3, scale=2, width=8, n_blocks=2)(x) - enlarged).abs().max() < 1e-2
    compact = CompactNet(3, 3, scale=2, width=8, n_blocks=2)
    nn.init.zeros_(compact.body[-1].weight)
    nn.init.zeros_(compact.body[-1].bias)
    torch.testing.assert_close(compact(x), x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


def test_dense_blocks_begin_with_small_weights_and_outer_layers_with_torchs() -> None:
    torch.manual_seed(0)
    network = RRDBNet(3, 3, scale=4, width=32, n_blocks=1)
    inner = network.body[0].rdb2.conv3
    assert inner.weight.std().item() == pytest.approx(0.1 * (2 / (9 * inner.in_channels)) ** 0.5, rel=0.05)
    assert not inner.bias.any()
    assert network.conv_body.weight.std().item() == pytest.approx((1 / (27 * 32)) ** 0.5, rel=0.05)
    assert network.conv_body.bias.any()
    assert not MSRResNet(3, 3, scale=2, width=8).conv_hr.bias.any()


@pytest.mark.parametrize(("scale", "stride"), [(1, 4), (2, 2), (4, 1)])
def test_rrdb_is_four_times_its_unshuffled_input(scale: int, stride: int) -> None:
    """x2 and x1 are the x4 network behind a pixel unshuffle."""
    torch.manual_seed(0)
    network, x = RRDBNet(3, 3, scale=scale, width=4, n_blocks=1, growth=2), torch.rand(1, 3, 8, 12)
    whole = RRDBNet(3 * stride**2, 3, scale=4, width=4, n_blocks=1, growth=2)
    whole.load_state_dict(network.state_dict())
    assert (network.stride, network.smallest_input) == (stride, stride)
    torch.testing.assert_close(network(x), whole(F.pixel_unshuffle(x, stride)))


def test_srgan_discriminator_pools_only_other_sizes_than_the_papers() -> None:
    torch.manual_seed(0)
    network, x = SRGANDiscriminator(3, width=4), torch.rand(2, 3, 96, 96)
    features = network.features(x)
    assert features.shape == (2, 32, 6, 6)
    torch.testing.assert_close(network.pool(features), features)
    for size in (16, 41, 128):
        assert network(torch.rand(2, 3, size, size + 8)).shape == (2, 1)


@pytest.mark.parametrize("size", [128, 256])
def test_vgg_discriminator_takes_two_sizes(size: int) -> None:
    network = VGGDiscriminator(3, width=2, size=size)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 1)
    assert network.smallest_input == size
    with pytest.raises(ValueError, match=r"data\.crop_size 96"):
        VGGDiscriminator(3, size=96)


def test_unet_discriminator_has_a_logit_for_each_pixel() -> None:
    network = UNetDiscriminator(3, width=2)
    for height, width in ((8, 8), (16, 24), (13, 21)):
        assert network(torch.rand(2, 3, height, width)).shape == (2, 1, height, width)
    keys = set(network.state_dict())
    assert {"conv0.weight", "conv0.bias", "conv1.weight_orig", "conv8.weight_u", "conv8.weight_v"} < keys
    assert "conv1.bias" not in keys


def learns(network: nn.Module, x: Tensor, target: Tensor, rate: float = 0.01) -> bool:
    optimizer = torch.optim.Adam(network.parameters(), rate)
    losses = []
    for _ in range(30):
        loss = (network(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("network", [SRResNet, MSRResNet, RRDBNet, CompactNet])
def test_generators_learn(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 1, 8, 8)
    target = 1 - F.interpolate(x, scale_factor=2, mode="bilinear")
    assert learns(network(1, 1, scale=2, width=8, n_blocks=1), x, target)


@pytest.mark.parametrize(
    ("network", "size", "rate"),
    [(SRGANDiscriminator, 32, 0.003), (VGGDiscriminator, 128, 0.003), (UNetDiscriminator, 16, 0.03)],
)
def test_discriminators_learn(network: type[nn.Module], size: int, rate: float) -> None:
    torch.manual_seed(0)
    x, answers = torch.rand(4, 3, size, size), torch.tensor([1.0, 1, -1, -1])
    x[:2] /= 2
    discriminator = network(3, width=4)
    target = answers[:, None] if discriminator(x).dim() == 2 else answers[:, None, None, None].expand(4, 1, size, size)
    assert learns(discriminator, x, target, rate=rate)
