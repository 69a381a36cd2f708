"""Names of classes, and scenes whose regions change their class."""

import re

import numpy as np
import pytest

from img2img.data.labelled import LabelledConfig
from img2img.inference.label_edits import CITYSCAPES, Classes, parse_relabel, relabel

TOY = Classes(LabelledConfig(toy=True, label_nc=9))
STREET = Classes(LabelledConfig("x", label_nc=35))


def test_names_and_numbers_of_classes() -> None:
    assert (len(CITYSCAPES), CITYSCAPES[7], CITYSCAPES[24], CITYSCAPES[33]) == (34, "road", "person", "bicycle")
    assert [TOY.number(text, "") for text in ("car", "8", " road ")] == [8, 8, 1]
    assert [STREET.number(text, "") for text in ("car", "traffic light", "34")] == [26, 19, 34]
    assert (STREET.name(26), STREET.name(34), STREET.name(-1)) == ("class car", "class 34", "no class")


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("24", STREET, "--relabel 24: give FROM:TO"),
        ("24:35", STREET, "no class 35; there are 0..34: 0 unlabeled, 1 ego"),
        ("cra:tree", TOY, "--relabel cra:tree: no class cra; did you mean car?"),
        ("1:5", Classes(LabelledConfig("x", label_nc=5)), "no class 5; there are 0..4"),
        ("car:", TOY, "no class of that name"),
        ("car:tree,8:road", TOY, "class car becomes two others"),
        ("-1:2", TOY, "no class -1"),
        ("²:2", TOY, "no class ²"),
    ],
)
def test_what_is_no_edit_is_refused(text: str, classes: Classes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        parse_relabel(text, classes)
    assert "\n" not in str(error.value)


def test_instances_go_along_with_their_class() -> None:
    """24001 is free among the 26s and keeps its number, 24003 is not; the class alone joins the class alone."""
    label = np.array([[24, 24, 24, 26, 26, 7, 8, 24]])
    instance = np.array([[24001, 24003, 24003, 26003, 26000, 7, 8, 24]])
    edited, renumbered = relabel(label, instance, {24: 26, 8: 7})
    assert edited.tolist() == [[26, 26, 26, 26, 26, 7, 7, 26]]
    assert renumbered is not None
    assert renumbered.tolist() == [[26001, 26002, 26002, 26003, 26000, 7, 7, 26]]
    assert (label[0, 0], instance[0, 0]) == (24, 24001)  # what was given stays


def test_edits_happen_at_once() -> None:
    label, instance = np.array([[24, 26, 25]]), np.array([[24003, 26003, 25003]])
    edited, renumbered = relabel(label, instance, {24: 26, 26: 24, 25: 26})
    assert edited.tolist() == [[26, 24, 26]]
    assert renumbered is not None
    assert renumbered.tolist() == [[26003, 24003, 26000]]  # two classes become one: both instances remain
    assert relabel(label, None, {24: 7})[1] is None


def test_ids_of_another_kind_stay() -> None:
    instance = np.array([[3, 300, 91005]])
    assert np.array_equal(relabel(np.array([[24, 24, 24]]), instance, {24: 26})[1], instance)


def test_instances_never_merge_by_an_edit() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        instance = random.choice([2, 3, 4], (6, 8)) * 1000 + random.integers(0, 4, (6, 8))
        edited, renumbered = relabel(instance // 1000, instance, {2: 3, 3: 4})
        assert renumbered is not None
        assert np.array_equal(edited, renumbered // 1000)
        pairs = {*zip(instance.ravel().tolist(), renumbered.ravel().tolist(), strict=True)}
        assert len(pairs) == len(np.unique(instance)) == len(np.unique(renumbered))


def test_a_class_that_is_full_takes_no_more() -> None:
    instance = np.append(np.arange(26000, 27000), 24000)[None]
    with pytest.raises(ValueError, match=r"--relabel 24:26: class 26 has 1000 instances already"):
        relabel(instance // 1000, instance, {24: 26})
