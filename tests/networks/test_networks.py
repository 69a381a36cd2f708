"""U-Net, ResNet, PatchGAN and their blocks: shapes, parameters, dropout, initial weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from img2img.networks.blocks import InstanceNorm, downsample, init_weights, upsample
from img2img.networks.patchgan import PatchGAN
from img2img.networks.resnet import ResNet
from img2img.networks.unet import UNet


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def test_parameter_counts_equal_the_papers() -> None:
    assert millions(UNet()) == 54.414
    assert millions(UNet(num_downs=7)) == 41.829
    assert millions(ResNet()) == 11.378
    assert millions(ResNet(norm="batch")) == 11.383
    assert millions(PatchGAN()) == 2.769
    assert millions(PatchGAN(3, norm="instance")) == 2.765


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("mode", ["deconv", "resize"])
@pytest.mark.parametrize("num_downs", [2, 4, 6])
def test_unet_keeps_the_size_and_learns(num_downs: int, norm: str, mode: str) -> None:
    network = UNet(1, 4, num_downs=num_downs, ngf=4, norm=norm, upsample_mode=mode)
    out = network(torch.rand(2, 1, 64, 128) * 2 - 1)
    assert out.shape == (2, 4, 64, 128)
    assert out.abs().max() <= 1
    out.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_unet_trains_on_one_image_of_its_smallest_input() -> None:
    for norm in ("batch", "instance"):
        UNet(num_downs=4, ngf=4, norm=norm)(torch.zeros(1, 3, 16, 16))  # 1x1 at the bottom


def test_unet_refuses_sides_that_are_no_multiples_of_its_stride() -> None:
    with pytest.raises(ValueError, match=r"\(16, 24\).*\b16$"):
        UNet(num_downs=4, ngf=4)(torch.zeros(1, 3, 16, 24))


def test_unet_refuses_less_than_two_halvings() -> None:
    with pytest.raises(ValueError, match="num_downs 1"):
        UNet(num_downs=1)


def test_unet_joins_encoder_and_decoder_at_each_resolution() -> None:
    """With zeroed deeper levels the outermost skip connection still carries the input to the output."""
    network = UNet(num_downs=3, ngf=4, norm="none", dropout=False).eval()
    for up in network.decoder:
        nn.init.zeros_(up[0].weight)
    x = torch.rand(1, 3, 8, 8)
    assert not torch.equal(network(x), network(x + 0.5))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("mode", ["deconv", "resize"])
@pytest.mark.parametrize(("n_blocks", "n_downs"), [(1, 2), (3, 1), (2, 3)])
def test_resnet_keeps_the_size_and_learns(n_blocks: int, n_downs: int, norm: str, mode: str) -> None:
    network = ResNet(1, 4, ngf=4, n_blocks=n_blocks, n_downs=n_downs, norm=norm, upsample_mode=mode)
    out = network(torch.rand(2, 1, 32, 48) * 2 - 1)
    assert out.shape == (2, 4, 32, 48)
    assert out.abs().max() <= 1
    out.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_resnet_equals_the_paper_layer_by_layer() -> None:
    """Appendix 7.2 of arXiv 1703.10593: c7s1-8, d16, d32, R32 x 2, u16, u8, c7s1-3."""
    network = ResNet(3, 3, ngf=8, n_blocks=2, init_gain=0.2)
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [(m.kernel_size[0], m.stride[0], m.out_channels) for m in convolutions] == [
        (7, 1, 8), (3, 2, 16), (3, 2, 32), *[(3, 1, 32)] * 4, (3, 2, 16), (3, 2, 8), (7, 1, 3)
    ]  # fmt: skip
    c = iter(convolutions)
    x = torch.rand(1, 3, 16, 16) * 2 - 1

    def weights() -> tuple[torch.Tensor, torch.Tensor]:
        layer = next(c)
        assert layer.bias is not None
        return layer.weight, layer.bias

    h = F.relu(F.instance_norm(F.conv2d(F.pad(x, (3, 3, 3, 3), "reflect"), *weights())))
    for _ in range(2):
        h = F.relu(F.instance_norm(F.conv2d(h, *weights(), stride=2, padding=1)))
    for _ in range(2):
        inner = F.relu(F.instance_norm(F.conv2d(F.pad(h, (1, 1, 1, 1), "reflect"), *weights())))
        h = h + F.instance_norm(F.conv2d(F.pad(inner, (1, 1, 1, 1), "reflect"), *weights()))
    for _ in range(2):
        h = F.relu(F.instance_norm(F.conv_transpose2d(h, *weights(), stride=2, padding=1, output_padding=1)))
    expected = torch.tanh(F.conv2d(F.pad(h, (3, 3, 3, 3), "reflect"), *weights()))
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_resnet_refuses_sides_that_do_not_fit() -> None:
    for height, width in ((16, 18), (4, 16)):
        with pytest.raises(ValueError, match=rf"\({height}, {width}\).*\b4\b.*\b8$"):
            ResNet(3, 3, ngf=4, n_blocks=1)(torch.zeros(1, 3, height, width))
    assert ResNet(3, 3, ngf=4, n_blocks=1)(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_resnet_dropout_is_on_in_training_only() -> None:
    network, x = ResNet(3, 3, ngf=4, n_blocks=2, norm="none", dropout=True, init_gain=0.3), torch.rand(1, 3, 16, 16)
    assert not torch.equal(network(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_unet_dropout_is_in_the_three_innermost_levels_in_training() -> None:
    network = UNet(num_downs=8, ngf=1)
    assert [isinstance(up[2], nn.Dropout) for up in network.decoder] == [True] * 3 + [False] * 4
    assert not any(isinstance(m, nn.Dropout) for m in UNet(num_downs=4, ngf=1).modules())
    small, x = UNet(num_downs=6, ngf=2, norm="none", init_gain=0.5), torch.rand(1, 3, 64, 64)
    assert not torch.equal(small(x), small(x))
    assert torch.equal(small.eval()(x), small(x))


@pytest.mark.parametrize(("n_layers", "field"), [(0, 1), (1, 16), (3, 70), (5, 286)])
def test_patchgan_receptive_field_equals_the_papers(n_layers: int, field: int) -> None:
    """The gradient of one logit is nonzero in exactly its receptive field."""
    network = PatchGAN(1, ndf=1, n_layers=n_layers, norm="none", init_gain=1.0)
    x = torch.rand(1, 1, 320, 320, requires_grad=True)
    logits = network(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    pixels = (x.grad[0, 0] != 0).nonzero()
    sides = pixels.max(dim=0).values - pixels.min(dim=0).values + 1
    assert sides.tolist() == [field, field]


def test_patchgan_returns_its_features() -> None:
    network = PatchGAN(ndf=4, n_layers=2).eval()
    x = torch.rand(1, 6, 32, 32)
    features = network(x, return_features=True)
    assert [f.shape[1] for f in features] == [4, 8, 16, 1]
    assert torch.equal(features[-1], network(x))


@pytest.mark.parametrize("n_layers", [0, 1, 3, 5])
def test_patchgan_smallest_input_has_one_logit(n_layers: int) -> None:
    network = PatchGAN(ndf=1, n_layers=n_layers, norm="instance")
    side = network.smallest_input
    assert min(network(torch.rand(1, 6, side, side)).shape[2:]) >= 1
    if n_layers:
        with pytest.raises((RuntimeError, ValueError)):
            network(torch.rand(1, 6, side - 2**n_layers, side - 2**n_layers))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_patchgan_with_padding_2_takes_two_pixels(n_layers: int) -> None:
    network = PatchGAN(ndf=1, n_layers=n_layers, norm="instance", padding=2)
    assert network.smallest_input == 2
    assert min(network(torch.rand(1, 6, 2, 2)).shape[2:]) >= 1
    if n_layers > 1:
        with pytest.raises(ValueError, match="more than 1 value"):
            network(torch.rand(1, 6, 1, 1))


def test_instance_norm_gradient_is_right_for_channels_last() -> None:
    """On the CPU at batch size 1 nn.InstanceNorm2d's input gradient has a relative error of 1.4."""
    x = torch.randn(1, 8, 6, 5, requires_grad=True)
    weight = torch.randn(1, 8, 6, 5)
    (InstanceNorm(8)(x) * weight.contiguous(memory_format=torch.channels_last)).sum().backward()
    y = x.detach().double().requires_grad_()
    mean, variance = y.mean((2, 3), keepdim=True), y.var((2, 3), keepdim=True, unbiased=False)
    ((y - mean) / (variance + 1e-5).sqrt() * weight.double()).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(InstanceNorm(8)(x), F.instance_norm(x))
    with torch.no_grad():
        assert torch.equal(InstanceNorm(8).eval()(x), F.instance_norm(x))  # to the last bit in inference
        assert torch.equal(InstanceNorm(8).eval()(torch.ones(2, 8, 1, 1)), torch.zeros(2, 8, 1, 1))


def test_downsample_halves_and_upsample_doubles() -> None:
    x = torch.zeros(2, 3, 8, 12)
    assert downsample(3, 5, "batch", bias=False)(x).shape == (2, 5, 4, 6)
    assert downsample(3, 5, "batch", bias=False, stride=1)(x).shape == (2, 5, 7, 11)
    for mode in ("deconv", "resize"):
        for kernel in (3, 4):
            assert upsample(3, 5, bias=False, mode=mode, kernel_size=kernel)(x).shape == (2, 5, 16, 24)


def test_init_weights_draws_dcgans_distributions() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 4), nn.BatchNorm2d(4096))
    init_weights(network, 0.02)
    assert network[0].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.002)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert network[0].bias.abs().sum() == 0
    assert network[1].bias.abs().sum() == 0
