"""Files of weights in a training that measures: the option is named when one is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from img2img.config import Config
from img2img.training.trainer import Trainer


def test_wrong_weights_name_their_option(tiny: Callable[..., Config]) -> None:
    torch.save({"a": torch.zeros(1)}, "other.pth")
    big = {"load_size": 32, "crop_size": 32}
    for metrics, key, message in (
        ("lpips", "lpips_weights", "not those of alexnet"),
        ("fid", "metric_weights", "not those of inception"),
        ("l1", "metric_weights", "none of the metrics l1 needs them"),
        ("l1", "lpips_weights", "none of the metrics l1 needs them"),
    ):
        config = tiny(train={"evaluate_every": 1, "metrics": metrics, key: "other.pth"}, data=big)
        with pytest.raises(ValueError, match=rf"^train\.{key} other\.pth: {message}"):
            Trainer(config, Path("nowhere"))
