"""NAFNet: shapes, one real step, and the block against a written-out one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from img2img.networks.nafnet import LayerNorm, NAFBlock, NAFNet


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_nafnet_enlarges_by_the_scale(scale: int) -> None:
    network = NAFNet(3, 2, width=4, encoder=(1, 2), middle=1, decoder=(1, 1), scale=scale)
    assert network.stride == 4
    assert network(torch.rand(2, 3, 8, 12)).shape == (2, 2, 8 * scale, 12 * scale)


def test_nafnet_has_the_papers_sizes() -> None:
    """Official code: 17.1 M parameters at width 32 and 67.9 M at 64 for GoPro, 116 M at 64 for SIDD."""

    def count(**options: object) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in NAFNet(3, 3, **options).parameters())  # type: ignore[arg-type]

    assert round(count(width=32, encoder=(1, 1, 1, 28), middle=1, decoder=(1, 1, 1, 1)) / 1e6, 1) == 17.1
    assert round(count(width=64, encoder=(1, 1, 1, 28), middle=1, decoder=(1, 1, 1, 1)) / 1e6, 1) == 67.9
    assert round(count(width=64, encoder=(2, 2, 4, 8), middle=12, decoder=(2, 2, 2, 2)) / 1e6) == 116


def test_block_begins_as_the_identity_and_is_the_papers() -> None:
    """Fig. 3c: layer norm, 1x1, depthwise 3x3, gate, attention, 1x1; layer norm, 1x1, gate, 1x1."""
    torch.manual_seed(0)
    block, x = NAFBlock(4), torch.rand(2, 4, 5, 6)
    assert torch.equal(block(x), x)
    torch.nn.init.normal_(block.beta)
    torch.nn.init.normal_(block.gamma)

    def norm(layer: LayerNorm, image: Tensor) -> Tensor:
        mean, variance = image.mean(1, keepdim=True), image.var(1, keepdim=True, unbiased=False)
        return (image - mean) / (variance + 1e-6).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None]

    y = block.conv2(block.conv1(norm(block.norm1, x)))
    y = y[:, :4] * y[:, 4:]
    y = y * block.attention(F.adaptive_avg_pool2d(y, 1))
    y = x + block.beta * block.conv3(y)
    z = block.conv4(norm(block.norm2, y))
    torch.testing.assert_close(block(x), y + block.gamma * block.conv5(z[:, :4] * z[:, 4:]))


def test_nafnet_learns() -> None:
    torch.manual_seed(0)
    network = NAFNet(1, 1, width=4, encoder=(1,), middle=1, decoder=(1,))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    x = torch.rand(4, 1, 8, 8)
    losses = []
    for _ in range(60):
        loss = (network(x) - (1 - x)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_encoder_and_decoder_have_as_many_levels() -> None:
    with pytest.raises(ValueError, match=r"encoder \[1, 1\]"):
        NAFNet(3, 3, encoder=(1, 1), decoder=(1,))
