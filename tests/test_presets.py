"""Presets by name, and paths as they are."""

from pathlib import Path

import pytest

from img2img.presets import FOLDER, about, find_config, preset_names
from tests.helpers import ROOT


def test_presets_are_those_of_the_checkout() -> None:
    assert (ROOT / "configs").samefile(FOLDER)
    assert "pix2pix/facades" in preset_names()


def test_every_preset_has_a_line() -> None:
    lines = [about(FOLDER / f"{name}.yaml") for name in preset_names()]
    assert all(20 < len(line) < 120 for line in lines)
    assert len({*lines}) > len(lines) - 4  # two stages or sizes of one paper may have the same


def test_name_finds_a_preset() -> None:
    facades = FOLDER / "pix2pix" / "facades.yaml"
    assert find_config("pix2pix/facades") == find_config("facades") == facades
    assert find_config("maps", model="cyclegan") == FOLDER / "cyclegan" / "maps.yaml"


def test_path_stays_a_path() -> None:
    Path("facades").write_text("name: x")
    Path("facades.yaml").write_text("name: y")
    assert find_config("facades") == Path("facades")
    assert find_config("facades.yaml") == Path("facades.yaml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("facade", "pix2pix/facades"),
        ("pix2pix/facade", "pix2pix/facades"),
        ("horse2zbra", "cyclegan/horse2zebra"),
        ("maps", "cyclegan/maps, pix2pix/maps"),
        ("xyzxyz", "img2img presets"),
        ("configs/pix2pix/facades.yaml", "--config pix2pix/facades"),
        ("mine.yaml", "mine.yaml"),
        (".yaml", ".yaml"),
    ],
)
def test_wrong_name_is_one_line_with_the_remedy(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"--config ") as raised:
        find_config(text)
    assert named in str(raised.value)
    assert text in str(raised.value)
