"""The image pool: who is stored, who is shown, and what a resumed run finds again."""

import torch

from img2img.losses.image_pool import ImagePool


def numbered(*numbers: float) -> torch.Tensor:
    """Images (B, 1, 2, 2) that are told apart by their value."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def values(images: torch.Tensor) -> list[float]:
    assert all(image.unique().numel() == 1 for image in images)
    return images[:, 0, 0, 0].tolist()


def test_while_it_fills_it_shows_what_comes() -> None:
    pool = ImagePool(4)
    assert values(pool(numbered(0, 1, 2))) == [0, 1, 2]
    assert values(pool(numbered(3))) == [3]
    assert values(pool.state()["pictures"]) == [0, 1, 2, 3]


def test_full_it_shows_and_keeps_each_image_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool(numbered(*range(50)))
    stored, passed = set(range(50)), 0
    for number in range(50, 2050):
        (shown,) = values(pool(numbered(number)))
        if shown == number:
            passed += 1
        else:  # an older one leaves for good, and the new one takes its place
            stored.remove(shown)
            stored.add(number)
        assert shown == number or shown not in values(pool.state()["pictures"])
    assert set(values(pool.state()["pictures"])) == stored
    assert 900 < passed < 1100


def test_none_hands_everything_through() -> None:
    pool, fresh = ImagePool(0), numbered(1, 2)
    assert pool(fresh) is fresh
    pool.restore(pool.state())
    assert pool.state() == {"pictures": None}


def test_it_copies_what_it_stores() -> None:
    pool, fresh = ImagePool(2), numbered(1, 2)
    shown = pool(fresh)
    fresh.fill_(9)
    shown.fill_(8)
    assert values(pool.state()["pictures"]) == [1, 2]


def test_restored_it_goes_on_as_before() -> None:
    for first in (3, 10):  # half full, and full
        whole, saved = ImagePool(6), ImagePool(6)
        torch.manual_seed(1)
        whole(numbered(*range(first)))
        saved.restore(whole.state())
        for number in range(20, 40):
            torch.manual_seed(number)
            shown = values(whole(numbered(number)))
            torch.manual_seed(number)
            assert values(saved(numbered(number))) == shown


def test_its_state_is_no_larger_than_what_it_holds() -> None:
    pool = ImagePool(50)
    pool(numbered(1, 2))
    assert pool.state()["pictures"].untyped_storage().nbytes() == 2 * 4 * 4
