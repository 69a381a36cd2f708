"""Scores of a few fixed validation pictures while a run trains: imported by runs that have train.evaluate_every."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from img2img.config import Config
from img2img.data.images import UnreadableImage, to_array
from img2img.evaluation.image_sets import Judged, Subject
from img2img.evaluation.metrics import (
    LOWER_IS_BETTER,
    LPIPS_SMALLEST,
    OF_PAIRS,
    OF_REALS,
    OF_SETS,
    Remembered,
    check,
    judge,
    load_judges,
    needs_pairs,
    parse_metrics,
    remember,
)
from img2img.evaluation.pixels import SSIM_WINDOW
from img2img.inference.sampler import joined, keyed_noise
from img2img.models.base import Batch
from img2img.models.base_noise import NoiseModel
from img2img.training.networks import Networks
from img2img.training.samples import item_batch

SCORES = {"pr": ("precision", "recall")}  # of metrics that give several
TOGETHER = 16  # pictures that a network judges at once
SEED = 0  # of the noise that models which draw from it are judged by: that of evaluate.py


class Validation:
    """The scores ``train.metrics`` of the same pictures at every step: ``measure``.

    Pictures that can't be decoded are left out from the beginning; ``notes`` names them.

    Args:
        config: the run's options.
        pictures: the validation set.
        networks: whose generators are measured, in the task's direction.

    Raises:
        ValueError: no pictures, or none with true ones for scores of pairs, or too few or too small ones; the judges'
            weights can't be had; ``train.best_by`` is none of the scores.
    """

    def __init__(self, config: Config, pictures: Any, networks: Networks) -> None:
        self.config, self.networks, self.pictures, self.direction = config, networks, pictures, config.data.direction
        self.items, self.ranges = pictures.items(self.direction), pictures.ranges(config.data)
        self.notes: list[str] = []
        self.metrics = parse_metrics(config.train.metrics, "train.metrics", (*OF_PAIRS, *OF_SETS))
        scores = [name for metric in self.metrics for name in SCORES.get(metric, (metric,))]
        self.metric = config.train.best_by or ("psnr" if "psnr" in scores else scores[0])
        if self.metric not in scores:
            raise ValueError(f"train.best_by {self.metric}: train.metrics gives {', '.join(scores)}")
        self.better: Literal["lower", "higher"] = config.train.best_is or (
            "lower" if self.metric in LOWER_IS_BETTER else "higher"
        )
        self.every = f"train.evaluate_every {config.train.evaluate_every}"
        self.subject = self._subject(config.train.evaluate_pictures)
        try:
            check(self.subject, self.metrics)
        except ValueError as error:
            raise ValueError(str(error).replace("--metrics", "train.metrics", 1)) from error
        self.real: Remembered | None = None
        if networks.accelerator.is_main_process:  # no other one measures
            weights, options = config.train.metric_weights, ("train.metric_weights", "train.lpips_weights")
            lpips = config.train.lpips_weights
            self.judges = load_judges(self.metrics, "inception", weights, lpips, networks.accelerator.device, options)

    def measure(self, say: Callable[[str], None] = print) -> dict[str, float]:
        """The scores as ``val/NAME``, of pictures rounded to 8 bits as files are; or none, and it says why."""
        try:
            self.real = self.real or remember(self.subject, self.metrics, self.judges, TOGETHER, progress=False)
            with self.networks.inference():
                found = judge(self.subject, self.metrics, self.judges, TOGETHER, self.real, progress=False)
        except ValueError as error:  # files that are gone by now, which training has no need of
            say(f"evaluation  none: {error}")
            return {}
        return {f"val/{name}": value for name, value in found.scores.items()}

    def _subject(self, wanted: int) -> Subject:
        """What is judged: ``wanted`` pictures, or all with 0."""
        reals = set(self.metrics) & set(OF_REALS)
        if isinstance(self.networks.model, NoiseModel):
            if needs_pairs(self.metrics):
                raise ValueError(
                    f"{self.every}: what is drawn from noise has no true picture to compare with; set train.metrics fid"
                )
            count = wanted or len(self.pictures)
            if not count or (reals and not len(self.pictures)):
                raise ValueError(f"{self.every}: the set has no validation pictures to compare with; set it to 0")
            subject = Subject("drawn", count, lambda: self._drawn(count))
        else:
            places = list(range(self.pictures.count(self.direction)))
            if needs_pairs(self.metrics):
                places = [i for i in places if self.pictures.has_target(self.direction, i)]
            if not places:
                raise ValueError(
                    f"{self.every}: no validation picture has a true one to compare with; set it to 0, or train."
                    "metrics to fid"
                    + (", or data.val_paired true, if names make partners" if self.networks.model.learns_all else "")
                )
            usable = [places[i] for i in spaced(len(places), wanted) if self._usable(places[i])]
            subject = Subject("made", len(usable), lambda: subject.readable(partial(self._made, i) for i in usable))
        if reals:
            images = self.pictures.images(self._target)
            real_places = spaced(len(images), wanted)
            subject.real_count = len(real_places)
            subject.reals = lambda: subject.readable(partial(images.__getitem__, index) for index in real_places)
        return subject

    @property
    def _target(self) -> str:
        """The domain of the images that are made."""
        known = self.pictures.directions(self.config.data)
        return known[self.direction].target if known else "b"

    def _usable(self, index: int) -> bool:
        """Whether a picture, and its true one, can be decoded. Raises ValueError for sizes that can't be compared."""
        try:
            item = self.items[index]
        except UnreadableImage as error:
            self.notes.append(f"{self.every}: left out is {error}")
            return False
        height, width = (side * self.networks.model.scale for side in item.image.shape[-3:-1])
        least = {"ssim": SSIM_WINDOW, "lpips": LPIPS_SMALLEST}
        for metric, side in least.items():
            if metric in self.metrics and min(height, width) < side:
                raise ValueError(
                    f"train.metrics {metric}: needs pictures of {side} pixels, and {item.name} is {width}x{height}"
                )
        if needs_pairs(self.metrics) and item.target is not None and item.target.shape[:2] != (height, width):
            size = f"{item.target.shape[1]}x{item.target.shape[0]}"
            raise ValueError(
                f"{self.every}: {item.name} becomes {width}x{height}, and its target is {size}; a pair needs one size"
            )
        return True

    def _made(self, index: int) -> Judged:
        item = self.items[index]
        batch = item_batch(item, self.networks, self.ranges)
        made = to_array(self.networks.model.generate(batch, self.direction)["output"][0], np.uint8)
        truth = to_array(batch["target"][0], np.uint8) if needs_pairs(self.metrics) else None
        return Judged(item.name, made, truth)

    def _drawn(self, count: int) -> Iterator[Judged]:
        model, device = self.networks.model, self.networks.accelerator.device
        assert isinstance(model, NoiseModel), "only such a model draws"
        for first in range(0, count, TOGETHER):
            places = range(first, min(first + TOGETHER, count))
            noise: Batch = joined([keyed_noise(model, SEED, index) for index in places])
            drawn = model.generate({key: value.to(device) for key, value in noise.items()})["output"]
            for index, picture in zip(places, to_array(drawn, np.uint8), strict=True):
                yield Judged(str(index), picture, None)


def spaced(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` places, evenly spaced; all if there are no more, or with 0."""
    if not wanted or count <= wanted:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()
