"""Files that validation reads: weights of feature networks, and images."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from img2img.config import Config
from img2img.training.trainer import Trainer
from tests.evaluation.helpers import decoded_files
from tests.helpers import Colours


def test_validation_names_the_option_of_wrong_weights(tiny: Callable[..., Config]) -> None:
    torch.save({"a": torch.zeros(1)}, "other.pth")
    big = {"load_size": 32, "crop_size": 32}
    for metrics, key, named in (
        ("lpips", "lpips_weights", "alexnet"),
        ("fid", "metric_weights", "inception"),
        ("l1", "metric_weights", "l1"),
        ("l1", "lpips_weights", "l1"),
    ):
        config = tiny(train={"evaluate_every": 1, "metrics": metrics, key: "other.pth"}, data=big)
        with pytest.raises(ValueError, match=rf"^train\.{key} other\.pth: .*\b{named}\b"):
            Trainer(config, Path("nowhere"))


@pytest.mark.parametrize(("metrics", "decoded"), [("kid", 1), ("l1,kid", 2)])
def test_validation_by_set_metrics_decodes_no_targets(
    tiny_cyclegan: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, metrics: str, decoded: int
) -> None:
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    options = {"evaluate_every": 1, "metrics": metrics}
    validation = Trainer(tiny_cyclegan(train=options, data={"val_paired": True}), Path("runs/tiny")).validation
    assert validation is not None
    names = decoded_files(monkeypatch)
    assert set(validation.measure()) == {f"val/{name}" for name in metrics.split(",")}
    assert names == Counter({f"{i}_{side}.png": decoded if side == "B" else 1 for side in "AB" for i in range(3)})
