"""Class names, and edits that replace the class of regions."""

import re

import numpy as np
import pytest

from img2img.data.labelled import LabelledConfig
from img2img.inference.label_edits import CITYSCAPES, Classes, parse_relabel, relabel

TOY = Classes(LabelledConfig(toy=True, label_nc=9))
STREET = Classes(LabelledConfig("x", label_nc=35))


def test_classes_map_names_to_numbers_and_back() -> None:
    assert (len(CITYSCAPES), CITYSCAPES[7], CITYSCAPES[24], CITYSCAPES[33]) == (34, "road", "person", "bicycle")
    assert [TOY.number(text, "") for text in ("car", "8", " road ")] == [8, 8, 1]
    assert [STREET.number(text, "") for text in ("car", "traffic light", "34")] == [26, 19, 34]
    assert (STREET.name(26), STREET.name(34), STREET.name(-1)) == ("class car", "class 34", "no class")


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("24", STREET, "FROM:TO"),
        ("24:35", STREET, "0 to 34: 0 unlabeled, 1 ego"),
        ("cra:tree", TOY, "car?"),
        ("1:5", Classes(LabelledConfig("x", label_nc=5)), "0 to 4"),
        ("car:", TOY, "0 to 8"),
        ("car:tree,8:road", TOY, "class car"),
        ("-1:2", TOY, "class -1"),
        ("²:2", TOY, "class ²"),
    ],
)
def test_parse_relabel_refuses_invalid_lists(text: str, classes: Classes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--relabel {text}: ") + ".*" + re.escape(message)) as error:
        parse_relabel(text, classes)
    assert "\n" not in str(error.value)


def test_relabel_renumbers_instances_with_their_class() -> None:
    """24001 is free among the 26s and keeps its number, 24003 is not; the class alone joins the class alone."""
    label = np.array([[24, 24, 24, 26, 26, 7, 8, 24]])
    instance = np.array([[24001, 24003, 24003, 26003, 26000, 7, 8, 24]])
    edited, renumbered = relabel(label, instance, {24: 26, 8: 7})
    assert edited.tolist() == [[26, 26, 26, 26, 26, 7, 7, 26]]
    assert renumbered is not None
    assert renumbered.tolist() == [[26001, 26002, 26002, 26003, 26000, 7, 7, 26]]
    assert (label[0, 0], instance[0, 0]) == (24, 24001)  # the inputs are not changed


def test_relabel_applies_all_moves_at_once() -> None:
    label, instance = np.array([[24, 26, 25]]), np.array([[24003, 26003, 25003]])
    edited, renumbered = relabel(label, instance, {24: 26, 26: 24, 25: 26})
    assert edited.tolist() == [[26, 24, 26]]
    assert renumbered is not None
    assert renumbered.tolist() == [[26003, 24003, 26000]]  # two classes become one: both instances remain
    assert relabel(label, None, {24: 7})[1] is None


def test_relabel_keeps_instance_ids_of_another_numbering() -> None:
    instance = np.array([[3, 300, 91005]])
    assert np.array_equal(relabel(np.array([[24, 24, 24]]), instance, {24: 26})[1], instance)


def test_relabel_never_merges_instances() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        instance = random.choice([2, 3, 4], (6, 8)) * 1000 + random.integers(0, 4, (6, 8))
        edited, renumbered = relabel(instance // 1000, instance, {2: 3, 3: 4})
        assert renumbered is not None
        assert np.array_equal(edited, renumbered // 1000)
        pairs = {*zip(instance.ravel().tolist(), renumbered.ravel().tolist(), strict=True)}
        assert len(pairs) == len(np.unique(instance)) == len(np.unique(renumbered))


def test_relabel_refuses_more_instances_than_numbers() -> None:
    instance = np.append(np.arange(26000, 27000), 24000)[None]
    with pytest.raises(ValueError, match=r"--relabel 24:26: .*1000"):
        relabel(instance // 1000, instance, {24: 26})
