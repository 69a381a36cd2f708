"""Scores of a few fixed validation pictures while a run trains, and which step had the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from img2img.config import Config
from img2img.data.images import to_array
from img2img.data.loader import collate, to_device
from img2img.data.options import domains
from img2img.evaluation.pixels import SSIM_WINDOW, pair_scores
from img2img.evaluation.quality import LOWER_IS_BETTER
from img2img.models.base import NoiseModel
from img2img.training.game import Game

PICTURES = 32  # evenly spaced in the validation set, or all of a smaller one


class Validation:
    """L1, PSNR and SSIM (see ``pair_scores``) of the same pictures at every step, and the best by one of them.

    Args:
        config: the run's options; ``train.best_by`` names the score, ``train.best_is`` which is better.
        pictures: the validation set.
        game: whose generators are measured, in the task's direction.

    Raises:
        ValueError: there are no true pictures to compare with, or they are too small for SSIM.
    """

    def __init__(self, config: Config, pictures: Any, game: Game) -> None:
        self.game, self.pictures, self.direction = game, pictures, config.data.direction
        self.metric = config.train.best_by
        self.better: Literal["lower", "higher"] = config.train.best_is or (
            "lower" if self.metric in LOWER_IS_BETTER else "higher"
        )
        self.best: dict[str, Any] = {}  # step, value, metric, better
        every = f"train.evaluate_every {config.train.evaluate_every}"
        if isinstance(game.model, NoiseModel):
            raise ValueError(f"{every}: what is drawn from noise has no true picture to compare with; set it to 0")
        source = domains(self.direction)[0]
        paired = [i for i in range(pictures.count(source)) if pictures.partner(source, i) is not None]
        if not paired:
            raise ValueError(
                f"{every}: no validation picture has a true one to compare with; set it to 0"
                + (", or data.val_paired true if those of one name are partners" if game.model.two_way else "")
            )
        self.places = [paired[i] for i in np.unique(np.linspace(0, len(paired) - 1, PICTURES).round().astype(int))]
        sizes = self._sample(self.places[0])["target"].shape
        if min(sizes[:2]) < SSIM_WINDOW:
            raise ValueError(f"{every}: SSIM needs pictures of {SSIM_WINDOW} pixels, not {sizes[1]}x{sizes[0]}")

    def measure(self, device: torch.device) -> dict[str, float]:
        """Means over the pictures, ``val/l1``, ``val/psnr``, ``val/ssim``, rounded to 8 bits as files are."""
        found = []
        with self.game.inference():
            for index in self.places:
                batch = to_device(collate([self._sample(index)]), device, self.game.memory_format)
                made = self.game.model.generate(batch, self.direction)["output"]
                a, b = (torch.from_numpy(to_array(x, np.uint8) / 255).movedim(-1, 1) for x in (made, batch["target"]))
                found.append({name: value.item() for name, value in pair_scores(a, b).items()})
        return {f"val/{name}": float(np.mean([scores[name] for scores in found])) for name in found[0]}

    def is_best(self, step: int, values: dict[str, float]) -> bool:
        """Whether these scores are better than those of all steps before, and remembers them if they are."""
        value = values[f"val/{self.metric}"]
        comparable = (self.best.get("metric"), self.best.get("better")) == (self.metric, self.better)
        if comparable and not (value < self.best["value"] if self.better == "lower" else value > self.best["value"]):
            return False
        self.best = {"step": step, "value": value, "metric": self.metric, "better": self.better}
        return True

    def restore(self, best: dict[str, Any], checkpoints: Path) -> None:
        """Remembers the best of a checkpoint's state, if its own checkpoint is still there."""
        self.best = best if best and (checkpoints / f"step-{best['step']:06d}").is_dir() else {}

    def _sample(self, index: int) -> dict[str, Any]:
        if not self.game.model.two_way:
            return self.pictures[0, index]
        source, target = domains(self.direction)
        true = self.pictures.picture(target, self.pictures.partner(source, index))
        return {"input": self.pictures.picture(source, index), "target": true, "name": "", "skipped": []}
