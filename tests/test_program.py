"""Commands in messages are written as the program was started."""

import sys

import pytest

from img2img.program import command, launched, wording


@pytest.mark.parametrize(
    ("started", "infer", "runs", "train"),
    [
        ("/usr/bin/img2img", "img2img infer", "img2img runs", "-m img2img train"),
        ("/lib/img2img/__main__.py", "python -m img2img infer", "python -m img2img runs", "-m img2img train"),
        ("tools/train.py", "python tools/infer.py", "img2img runs", "tools/train.py"),
        ("/checkout/datasets/fetch.py", "python tools/infer.py", "img2img runs", "tools/train.py"),
        ("/elsewhere/train.py", "img2img infer", "img2img runs", "-m img2img train"),
        ("", "img2img infer", "img2img runs", "-m img2img train"),
    ],
)
def test_command(started: str, infer: str, runs: str, train: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert (command("infer"), command("runs"), launched("train")) == (infer, runs, train)
    text = "img2img infer x; accelerate launch -m img2img train; a run of img2img"
    assert wording(text) == f"{infer} x; accelerate launch {train}; a run of img2img"
