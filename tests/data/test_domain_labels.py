"""Label vectors: targets, what excludes each other, and what a user gets wrong."""

from typing import Any

import numpy as np
import pytest

from img2img.data.domain_labels import DomainLabels, Labels

HAIR = ("Black", "Blond", "Brown")
FACES = Labels((DomainLabels((*HAIR, "Male", "Young"), exclusive=False, groups=(HAIR,)),))
SEASONS = Labels((DomainLabels(("spring", "summer", "winter"), exclusive=True),))
JOINT = Labels((*FACES.sets, DomainLabels(("happy", "sad"), exclusive=True)))
BLOND_MAN = np.array([0, 1, 0, 1, 0], np.float32)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("Black", [1, 0, 0, 1, 0]),
        ("Blond", [0, 1, 0, 1, 0]),
        ("Young", [0, 1, 0, 1, 1]),
        ("no_Male", [0, 1, 0, 0, 0]),
    ],
)
def test_directed_keeps_the_other_attributes(direction: str, expected: list[float]) -> None:
    assert FACES.directed(direction, BLOND_MAN).tolist() == expected


def test_directed_of_exclusive_domains_is_one_hot() -> None:
    assert SEASONS.directed("winter", np.array([1, 0, 0], np.float32)).tolist() == [0, 0, 1]
    assert SEASONS.directed("winter", SEASONS.unknown).tolist() == [0, 0, 1]


def test_flipped_changes_the_attributes_named_alone() -> None:
    assert FACES.flipped(["Male"], BLOND_MAN).tolist() == [0, 1, 0, 0, 0]
    assert FACES.flipped(["Male", "Young"], BLOND_MAN).tolist() == [0, 1, 0, 0, 1]
    assert FACES.flipped(["Brown"], BLOND_MAN).tolist() == [0, 0, 1, 1, 0]
    assert FACES.flipped(["Blond"], BLOND_MAN).tolist() == [0, 0, 0, 1, 0]


def test_stated_turns_all_others_off() -> None:
    assert FACES.stated(["Blond", "Male"]).tolist() == [0, 1, 0, 1, 0]
    assert SEASONS.stated(["summer"]).tolist() == [0, 1, 0]


def test_vector_of_two_sets_has_the_mask() -> None:
    assert JOINT.length == 9
    assert JOINT.stated(["Blond", "Male"]).tolist() == [0, 1, 0, 1, 0, 0, 0, 1, 0]
    assert JOINT.stated(["sad"]).tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 1]
    own = JOINT.own(["Blond", "Male"])
    assert own[:5].tolist() == [0, 1, 0, 1, 0]
    assert np.isnan(own[5:]).all()
    assert JOINT.directed("happy", own).tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert JOINT.directed("no_Male", own).tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0]


def test_decoded_obeys_the_groups() -> None:
    assert FACES.decoded(np.array([2.0, 3.0, -1.0, -1.0, 0.5])).tolist() == [0, 1, 0, 0, 1]
    assert FACES.decoded(np.array([-2.0, -3.0, -1.0, 1.0, -0.5])).tolist() == [0, 0, 0, 1, 0]
    assert SEASONS.decoded(np.array([-2.0, -3.0, -1.0])).tolist() == [0, 0, 1]


def test_directions_have_an_opposite_for_attributes_outside_groups() -> None:
    assert list(JOINT.directions()) == [
        "Black",
        "Blond",
        "Brown",
        "Male",
        "no_Male",
        "Young",
        "no_Young",
        "happy",
        "sad",
    ]
    assert tuple(JOINT.directions()["no_Male"]) == ("Male", "no_Male")
    assert tuple(JOINT.directions()["Blond"]) == (None, "Blond")


@pytest.mark.parametrize(
    ("labels", "names", "named"),
    [
        (FACES, ["Black", "Blond"], "Black and Blond"),
        (FACES, ["Male", "Male"], "Male"),
        (FACES, ["Mail"], "Male"),
        (FACES, [], "no domain"),
        (SEASONS, ["summer", "winter"], "summer and winter"),
        (JOINT, ["Male", "sad"], "Male and sad"),
    ],
)
def test_contradictions_are_named(labels: Labels, names: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        labels.stated(names)


def test_domains_that_exclude_each_other_can_not_be_flipped() -> None:
    with pytest.raises(ValueError, match=r"winter"):
        SEASONS.flipped(["winter"], np.array([1, 0, 0], np.float32))
    with pytest.raises(ValueError, match=r"Black and Blond"):
        FACES.flipped(["Black", "Blond"], BLOND_MAN)


@pytest.mark.parametrize(
    ("labels", "vector"),
    [
        (FACES, [0, 1, 0, 1]),
        (FACES, [0, 1, 0, 1, 2]),
        (FACES, [0, 1, 0, np.nan, 0]),
        (FACES, [1, 1, 0, 0, 0]),
        (SEASONS, [1, 1, 0]),
        (SEASONS, [0, 0, 0]),
        (JOINT, [0, 1, 0, 0, 0, 0, 0, 1, 1]),
        (JOINT, [0, 1, 0, 0, 0, 0, 0, 0, 1]),
    ],
)
def test_checked_refuses_a_vector_that_contradicts_itself(labels: Labels, vector: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"vector"):
        labels.checked(vector)


def test_checked_takes_vectors_between_targets() -> None:
    assert FACES.checked([0, 0.5, 0.5, 0.2, 1]).tolist() == pytest.approx([0, 0.5, 0.5, 0.2, 1])
    assert SEASONS.checked([0.5, 0.5, 0]).tolist() == [0.5, 0.5, 0]
