"""One-hot classes and instance boundaries against slow references on random maps."""

import pytest
import torch
from torch import Tensor

from img2img.networks.labels import boundary_map, colour_labels, one_hot


def random_ids(seed: int, *ids: int, shape: tuple[int, ...] = (2, 1, 7, 9)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(ids, dtype=torch.int32)[torch.randint(len(ids), shape, generator=generator)]


def slow_one_hot(label: Tensor, label_nc: int) -> Tensor:
    b, _, h, w = label.shape
    out = torch.zeros(b, label_nc, h, w, dtype=torch.bool)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                value = int(label[i, 0, y, x])
                if value in range(label_nc):
                    out[i, value, y, x] = True
    return out


def slow_boundary(instances: Tensor) -> Tensor:
    out = torch.zeros(instances.shape, dtype=torch.bool)
    b, _, h, w = instances.shape
    for i in range(b):
        for y in range(h):
            for x in range(w):
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < h and 0 <= u < w and instances[i, 0, v, u] != instances[i, 0, y, x]:
                        out[i, 0, y, x] = True
    return out


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_one_hot_equals_a_slow_reference(dtype: torch.dtype) -> None:
    label = random_ids(0, -1, 0, 1, 2, 3, 4, 255).to(dtype)
    out = one_hot(label, 5)
    assert out.dtype == torch.bool
    assert torch.equal(out, slow_one_hot(label, 5))
    assert torch.equal(out.sum(1, keepdim=True) == 0, (label < 0) | (label > 4))


def test_colour_labels_differ_by_class() -> None:
    label = torch.arange(-1, 35, dtype=torch.int32).view(1, 1, 6, 6)
    out = colour_labels(label)
    assert out.shape == (1, 3, 6, 6)
    assert -1 <= out.min() < out.max() <= 1
    colours = out[0].flatten(1).T
    assert (colours[0] == -1).all()
    assert torch.cdist(colours, colours).fill_diagonal_(9).min() > 0.05


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(2, 1, 7, 9), (1, 1, 1, 6), (1, 1, 5, 1), (3, 1, 8, 8)])
def test_boundary_map_equals_a_slow_reference(seed: int, shape: tuple[int, ...]) -> None:
    instances = random_ids(seed, 7, 7, 7, 26001, 26002, 33001, 2**24, 2**24 + 1, shape=shape)
    out = boundary_map(instances)
    assert out.dtype == torch.bool
    assert torch.equal(out, slow_boundary(instances))


def test_boundary_map_marks_both_sides_and_not_the_frame() -> None:
    instances = torch.zeros(1, 1, 4, 6, dtype=torch.int32)
    instances[..., 3:] = 40000
    assert torch.equal(boundary_map(instances)[0, 0, 0], torch.tensor([0, 0, 1, 1, 0, 0]).bool())
    assert boundary_map(torch.full((1, 1, 4, 4), 9)).sum() == 0


def test_one_hot_and_boundary_map_do_not_wait_for_the_device() -> None:
    """Reading a value of a meta tensor raises; on a GPU it would wait for the device."""
    ids = torch.zeros(2, 1, 8, 8, dtype=torch.int32, device="meta")
    assert one_hot(ids, 5).shape == (2, 5, 8, 8)
    assert boundary_map(ids).shape == (2, 1, 8, 8)
