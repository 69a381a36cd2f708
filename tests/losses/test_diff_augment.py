"""DiffAugment: gradients pass; image and condition are moved together; strengths are the paper's."""

import pytest
import torch

from img2img.losses.diff_augment import Augment, recolor, translate


def images(channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 2, 32, 32), torch.rand(2, channels, 32, 32) * 2 - 1


@pytest.mark.parametrize("policies", [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_augment_passes_gradients_to_the_image(policies: tuple[str, ...], channels: int) -> None:
    condition, image = images(channels)
    image.requires_grad_(True)
    (out,) = Augment(policies)([torch.cat([condition, image], 1)], [channels])
    assert out.shape == (2, 2 + channels, 32, 32)
    assert not torch.equal(out[:, 2:], image)
    out.sum().backward()
    assert image.grad is not None
    assert (image.grad.abs() > 0).float().mean() > 0.5


def test_augment_color_changes_neither_condition_nor_alpha() -> None:
    condition, image = images(4)
    (out,) = Augment(("color",))([torch.cat([condition, image], 1)], [4])
    assert torch.equal(out[:, :2], condition)
    assert torch.equal(out[:, 5:], image[:, 3:])


@pytest.mark.parametrize("policies", [("color",), ("color", "translation", "cutout")])
def test_augment_is_the_same_for_all_inputs_of_a_call(policies: tuple[str, ...]) -> None:
    condition, image = images()
    out = torch.cat([condition, image], 1)
    first, second = Augment(policies)([out, out.clone()], [3, 3])
    assert torch.allclose(first, second)
    assert not torch.allclose(first, Augment(policies)([out], [3])[0])


def test_translate_moves_by_whole_pixels() -> None:
    """Each result is the shifted image, unblurred, with one shift for all channels; every shift occurs."""
    torch.manual_seed(0)
    x = torch.rand(300, 2, 16, 24) + 0.5
    moved = translate(x)
    shifts = set()
    for before, after in zip(x, moved, strict=True):
        rows, columns = (after[0] != 0).nonzero().T
        matches = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-3, 4)
            if torch.equal(torch.roll(before, (dy, dx), (1, 2)) * (after != 0), after)
            and len(rows.unique()) == 16 - abs(dy)
            and len(columns.unique()) == 24 - abs(dx)
        ]
        assert len(matches) == 1
        shifts.update(matches)
    assert len(shifts) == 5 * 7


def test_augment_moves_image_and_condition_together() -> None:
    ramp = torch.linspace(-1, 1, 32).view(1, 1, 1, 32).expand(2, 1, 32, 32)
    (out,) = Augment(("translation",))([torch.cat([ramp, ramp.expand(-1, 3, -1, -1)], 1)], [3])
    assert torch.allclose(out[:, :1], out[:, 1:2])
    assert not torch.allclose(out[:, :1], ramp)


def test_augment_strengths_equal_the_papers() -> None:
    """On average 0.19 of the area is cut out; shifts are at most 1/8 of the side; brightness changes by at most 0.5."""
    torch.manual_seed(0)
    ones = torch.ones(64, 3, 32, 32)
    (cut,) = Augment(("cutout",))([torch.ones(4096, 1, 32, 32)], [1])
    assert (cut == 0).float().mean().item() == pytest.approx(0.1875, abs=0.005)
    assert (cut == 0).float().mean((1, 2, 3)).max() == 0.25  # rectangles inside the image
    assert (cut == 0).float().mean((1, 2, 3)).min() < 0.1  # rectangles over a corner
    (moved,) = Augment(("translation",))([ones], [3])
    empty = (moved[:, 0] < 0.5).float()
    assert 0 < empty.mean((1, 2)).max() <= 1 - (28 / 32) ** 2 + 0.02
    (out,) = Augment(("color",))([torch.full((256, 3, 8, 8), 0.2)], [3])
    assert 0.65 < out.amax() <= 0.7  # a uniform gray image changes in brightness only, by up to 0.5
    assert -0.3 <= out.amin() < -0.25


def test_recolor_equals_its_equations() -> None:
    """One pixel red, one green: saturation is around each pixel's gray, contrast around the image's mean."""
    x = torch.tensor([[0.9, 0.0], [0.0, 0.6], [0.0, 0.0]]).view(1, 3, 1, 2)
    half = torch.full((1, 1, 1, 1), 0.5)
    assert torch.allclose(recolor(x, half, half, half), x)
    gray = recolor(x, half, torch.zeros_like(half), half)
    assert torch.allclose(gray[0, :, 0], torch.tensor([[0.3, 0.2]]).expand(3, 2))
    flat = recolor(x, half, half, torch.zeros_like(half))
    assert torch.allclose(flat - 0.25, (x - 0.25) / 2)


def test_augment_is_reproducible_from_torchs_seed() -> None:
    condition, image = images()
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(Augment(("color", "translation", "cutout"))([torch.cat([condition, image], 1)], [3])[0])
    assert torch.equal(*results)
