"""Scores of a few fixed validation pictures while a run trains: imported by runs that have train.evaluate_every."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from img2img.config import Config
from img2img.data.images import UnreadableImage, to_array
from img2img.data.loader import collate, to_device
from img2img.data.options import domains
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
        self.networks, self.pictures, self.direction = networks, pictures, config.data.direction
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
            real_places = spaced(len(self.pictures), wanted)
            count = wanted or len(real_places)
            if not count or (reals and not real_places):
                raise ValueError(f"{self.every}: the set has no validation pictures to compare with; set it to 0")
            subject = Subject("drawn", count, lambda: self._drawn(count))
        else:
            source = domains(self.direction)[0]
            places = list(range(self.pictures.count(source)))
            if needs_pairs(self.metrics):
                places = [i for i in places if self.pictures.partner(source, i) is not None]
            if not places:
                raise ValueError(
                    f"{self.every}: no validation picture has a true one to compare with; set it to 0, or train."
                    "metrics to fid"
                    + (", or data.val_paired true, if names make partners" if self.networks.model.two_way else "")
                )
            usable = [places[i] for i in spaced(len(places), wanted) if self._usable(places[i])]
            subject = Subject("made", len(usable), lambda: subject.readable(partial(self._made, i) for i in usable))
            real_places = spaced(self.pictures.count(domains(self.direction)[1]), wanted)
        if reals:
            target = "b" if isinstance(self.networks.model, NoiseModel) else domains(self.direction)[1]
            subject.real_count = len(real_places)
            subject.reals = lambda: subject.readable(
                partial(self.pictures.picture, target, index) for index in real_places
            )
        return subject

    def _usable(self, index: int) -> bool:
        """Whether a picture, and its true one, can be decoded. Raises ValueError for sizes that can't be compared."""
        try:
            sample = self._sample(index)
        except UnreadableImage as error:
            sample = {"skipped": [str(error)]}
        if sample["skipped"]:
            self.notes.append(f"{self.every}: left out is {sample['skipped'][0]}")
            return False
        given = sample.get("input", sample.get("label"))
        assert given is not None, "what is translated is a picture or a label map"
        least = {"ssim": SSIM_WINDOW, "lpips": LPIPS_SMALLEST}
        for metric, side in least.items():
            if metric in self.metrics and min(given.shape[:2]) < side:
                size = f"{given.shape[1]}x{given.shape[0]}"
                raise ValueError(
                    f"train.metrics {metric}: needs pictures of {side} pixels, and {sample['name']} is {size}"
                )
        if needs_pairs(self.metrics) and sample["target"].shape[:2] != given.shape[:2]:
            sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (given, sample["target"])]
            raise ValueError(
                f"{self.every}: {sample['name']} is {sizes[0]}, and its true picture {sizes[1]}; a pair needs one size"
            )
        return True

    def _made(self, index: int) -> Judged:
        sample = self._sample(index)
        batch = to_device(collate([sample]), self.networks.accelerator.device, self.networks.memory_format)
        made = to_array(self.networks.model.generate(batch, self.direction)["output"][0], np.uint8)
        truth = to_array(batch["target"][0], np.uint8) if needs_pairs(self.metrics) else None
        return Judged(sample["name"], made, truth)

    def _drawn(self, count: int) -> Iterator[Judged]:
        model, device = self.networks.model, self.networks.accelerator.device
        assert isinstance(model, NoiseModel), "only such a model draws"
        for first in range(0, count, TOGETHER):
            places = range(first, min(first + TOGETHER, count))
            noise: Batch = joined([keyed_noise(model, SEED, index) for index in places])
            drawn = model.generate({key: value.to(device) for key, value in noise.items()})["output"]
            for index, picture in zip(places, to_array(drawn, np.uint8), strict=True):
                yield Judged(str(index), picture, None)

    def _sample(self, index: int) -> dict[str, Any]:
        """A sample of the set, with its true picture as ``target`` where that is wanted. Raises UnreadableImage."""
        if not self.networks.model.two_way:
            return self.pictures[0, index]
        source, target = domains(self.direction)
        sample = {"input": self.pictures.picture(source, index), "name": self.pictures.name(source, index)}
        if needs_pairs(self.metrics):
            sample["target"] = self.pictures.picture(target, self.pictures.partner(source, index))
        return {**sample, "skipped": []}


def spaced(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` places, evenly spaced; all if there are no more, or with 0."""
    if not wanted or count <= wanted:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()
