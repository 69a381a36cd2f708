"""Starts of commands: every row has seconds and modules, and light commands import no torch."""

import re

import pytest

from img2img.benchmark.starts import COMMANDS, start_rows


@pytest.mark.slow
def test_start_rows_have_seconds_and_modules() -> None:
    rows = dict(start_rows(turns=1))
    assert len(rows) == len(COMMANDS) + 2
    modules = {name: int(re.search(r"(\d+) modules", text)[1]) for name, text in rows.items()}  # type: ignore[index]
    for command in ("--version", "--help", "runs", "presets"):
        assert modules[f"img2img {command}"] < modules["import torch"] / 2
