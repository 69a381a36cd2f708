"""Scores against their definitions, computed with numpy."""

from collections.abc import Callable

import numpy as np
import pytest

from img2img import load_translator
from img2img.config import Config
from img2img.data.paired import PairedDataset
from img2img.evaluation.pixels import pixel_scores
from img2img.training.trainer import train


def test_l1_and_psnr_are_their_definitions(tiny: Callable[..., Config]) -> None:
    config = tiny()
    translate = load_translator(train(config))
    scores = pixel_scores(translate)
    assert set(scores) == {"output", "input", "mean training picture"}
    pairs = [
        tuple(PairedDataset(config.data, split)[0, i][key] for key in ("input", "target"))
        for split, count in (("train", 6), ("val", 3))
        for i in range(count)
    ]
    mean = np.mean([target for _, target in pairs[:6]], axis=0)
    for name, answer in {"output": translate, "input": lambda x: x, "mean training picture": lambda _: mean}.items():
        errors = [answer(picture).astype(float) - target for picture, target in pairs[6:]]
        tolerance = {"abs": 0.6} if name.startswith("mean") else {"rel": 1e-4}
        assert scores[name].l1 == pytest.approx(np.mean([np.abs(e).mean() for e in errors]), **tolerance)
        psnr = np.mean([10 * np.log10(255**2 / (e**2).mean()) for e in errors])
        assert scores[name].psnr == pytest.approx(psnr, abs=0.1)


def test_ssim_of_a_picture_with_itself_is_one() -> None:
    from img2img.evaluation.pixels import _compare

    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    l1, _, ssim = _compare(picture, picture)
    assert (l1, ssim) == (0, pytest.approx(1, abs=1e-5))
    assert _compare(picture, 255 - picture)[2] < 0.1
