"""DCGAN's networks and InfoGAN's Q: parameters, shapes, normalisation."""

import itertools

import pytest
import torch
from torch import nn

from img2img.networks.blocks import needs_bias, norm_layer
from img2img.networks.dcgan import SIZES, CodeHead, Discriminator, Generator


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_generator_has_the_papers_parameters() -> None:
    """Fig. 1: 100 -> 1024 maps of 4x4 -> 512 -> 256 -> 128 -> RGB of 64x64, 4x4 kernels, no batch norm at the end."""
    maps = [100, 1024, 512, 256, 128]
    kernels = sum(wide * narrow * 16 for wide, narrow in itertools.pairwise(maps)) + 128 * 3 * 16
    with torch.device("meta"):
        generator = Generator(100, 3, size=64, ngf=128)
    assert count(generator) == kernels + 2 * sum(maps[1:]) + 3  # scales and shifts; the image's bias
    assert not any(isinstance(m, (nn.Linear, nn.MaxPool2d, nn.AvgPool2d)) for m in generator.modules())


def test_discriminator_has_the_official_parameters() -> None:
    """3 -> 64 -> 128 -> 256 -> 512 -> 1, no batch norm at the input."""
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count(Discriminator(3, 64, ndf=64)) == kernels + 2 * (128 + 256 + 512) + 64 + 1


@pytest.mark.parametrize("size", SIZES)
def test_networks_of_every_size_have_the_right_shapes(size: int) -> None:
    image = Generator(7, 2, size=size, ngf=2)(torch.randn(2, 7))
    assert image.shape == (2, 2, size, size)
    assert image.abs().max() <= 1
    discriminator = Discriminator(2, size, ndf=2)
    *features, logits = discriminator(image, return_features=True)
    assert [f.shape[-1] for f in features] == [size // 2**i for i in range(1, len(features) + 1)]
    assert features[-1].shape[1:] == (2 * min(8, size // 8), 4, 4)
    assert logits.shape == (2, 1, 1, 1)
    discriminator.eval()
    assert torch.equal(discriminator(image), discriminator(image, return_features=True)[-1])
    assert CodeHead(size, 2, out_features=5, width=3)(features[-1]).shape == (2, 5)


def test_generator_resizes_except_in_its_first_layer() -> None:
    generator = Generator(5, 1, size=32, ngf=2, upsample_mode="resize")
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in generator.modules()) == 1  # the first layer
    assert generator(torch.randn(1, 5)).shape == (1, 1, 32, 32)


def test_layer_norm_makes_logits_independent_of_the_batch() -> None:
    """It equals torch's layer norm. Unlike with batch norm, an image's logit does not depend on the other images."""
    x = torch.randn(3, 4, 5, 5) * 3 + 1
    assert torch.allclose(norm_layer("layer", 4)(x), nn.functional.layer_norm(x, x.shape[1:]), atol=1e-5)
    assert not needs_bias("layer")
    images = torch.randn(3, 1, 32, 32)
    for norm, independent in (("layer", True), ("instance", True), ("none", True), ("batch", False)):
        discriminator = Discriminator(1, 32, ndf=4, norm=norm, init_gain=0.2)  # type: ignore[arg-type]
        assert torch.allclose(discriminator(images)[:2], discriminator(images[:2]), atol=1e-5) == independent, norm
