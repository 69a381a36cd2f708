"""``ImagePool``: which images it stores and returns, and its state in checkpoints."""

import torch

from img2img.losses.image_pool import ImagePool


def images_of(*numbers: float) -> torch.Tensor:
    """Images (B, 1, 2, 2), each of one value."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def values(images: torch.Tensor) -> list[float]:
    assert all(image.unique().numel() == 1 for image in images)
    return images[:, 0, 0, 0].tolist()


def test_image_pool_returns_new_images_while_it_fills() -> None:
    pool = ImagePool(4)
    assert values(pool(images_of(0, 1, 2))) == [0, 1, 2]
    assert values(pool(images_of(3))) == [3]
    assert values(pool.state()["pictures"]) == [0, 1, 2, 3]


def test_image_pool_when_full_replaces_half_of_the_images() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool(images_of(*range(50)))
    stored, passed = set(range(50)), 0
    for number in range(50, 2050):
        (returned,) = values(pool(images_of(number)))
        if returned == number:
            passed += 1
        else:  # the returned image is removed, and the new one stored
            stored.remove(returned)
            stored.add(number)
        assert returned == number or returned not in values(pool.state()["pictures"])
    assert set(values(pool.state()["pictures"])) == stored
    assert 900 < passed < 1100


def test_image_pool_of_capacity_0_returns_every_image() -> None:
    pool, fresh = ImagePool(0), images_of(1, 2)
    assert pool(fresh) is fresh
    pool.restore(pool.state())
    assert pool.state() == {"pictures": None}


def test_image_pool_copies_stored_images() -> None:
    pool, fresh = ImagePool(2), images_of(1, 2)
    returned = pool(fresh)
    fresh.fill_(9)
    returned.fill_(8)
    assert values(pool.state()["pictures"]) == [1, 2]


def test_image_pool_restored_continues_as_before() -> None:
    for first in (3, 10):  # half full, and full
        whole, saved = ImagePool(6), ImagePool(6)
        torch.manual_seed(1)
        whole(images_of(*range(first)))
        saved.restore(whole.state())
        for number in range(20, 40):
            torch.manual_seed(number)
            returned = values(whole(images_of(number)))
            torch.manual_seed(number)
            assert values(saved(images_of(number))) == returned


def test_image_pool_state_has_only_stored_images() -> None:
    pool = ImagePool(50)
    pool(images_of(1, 2))
    assert pool.state()["pictures"].untyped_storage().nbytes() == 2 * 4 * 4
