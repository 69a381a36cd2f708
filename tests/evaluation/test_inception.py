"""Inception of FID: recorded outputs of torch-fidelity 0.4.0's network, and its parts against slow references."""

import numpy as np
import pytest
import torch

from img2img.evaluation.inception import _A, FIDInception, _MaxE, resize_as_tensorflow

# Mean of the features, feature 2000, logits 3 and 1007 of the image below
RECORDED = [0.131680787, 0.547513306, -1.799569964, -2.231726646]


def waves(shape: torch.Size, phase: int) -> torch.Tensor:
    """Values in [-1, 1] that are easily reproduced elsewhere."""
    count = torch.arange(shape.numel(), dtype=torch.float64)
    return (count * 0.7310 + phase).sin().reshape(shape).float()


def test_inception_equals_torch_fidelity() -> None:
    network = FIDInception()
    weights = {}
    for phase, (key, value) in enumerate(network.state_dict().items()):
        if key.endswith("conv.weight"):
            weights[key] = waves(value.shape, phase) * 2 / value[0].numel() ** 0.5
        elif key.endswith(("bn.weight", "running_var")):
            weights[key] = 1 + 0.2 * waves(value.shape, phase)
        else:
            weights[key] = 0.1 * waves(value.shape, phase) if value.is_floating_point() else value
    network.load_state_dict(weights)
    image = (waves(torch.Size((1, 3, 40, 60)), 0) * 127 + 128).to(torch.uint8)
    features, logits = network(image)
    assert features.shape == (1, 2048)
    assert logits.shape == (1, 1008)
    values = [features.mean(), features[0, 2000], logits[0, 3], logits[0, 1007]]
    assert [value.item() for value in values] == pytest.approx(RECORDED, rel=1e-4)


def test_inception_pooling_excludes_the_padding() -> None:
    x = torch.rand(1, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    block = _A.__new__(_A)  # without layers, which its pooling does not use
    for i in range(4):
        for j in range(5):
            near = x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
            assert torch.allclose(_A.pool(block, x)[:, :, i, j], near.mean((2, 3)))
            assert torch.allclose(_MaxE.pool(block, x)[:, :, i, j], near.amax((2, 3)))


def test_resize_as_tensorflow_equals_loops() -> None:
    image = np.random.default_rng(0).random((3, 5))
    resized = resize_as_tensorflow(torch.from_numpy(image)[None, None], 7)[0, 0].numpy()
    for i in range(7):
        for j in range(7):
            y, x = i * 3 / 7, j * 5 / 7
            top, left = int(y), int(x)
            below, right = min(top + 1, 2), min(left + 1, 4)
            upper = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
            lower = image[below, left] * (1 - x + left) + image[below, right] * (x - left)
            assert resized[i, j] == pytest.approx(upper * (1 - y + top) + lower * (y - top), abs=1e-6)
