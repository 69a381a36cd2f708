"""Scores of a few fixed validation images while a run trains: imported by runs that have train.evaluate_every."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from img2img.config import Config
from img2img.data.base import Item
from img2img.data.images import UnreadableImage, to_array
from img2img.evaluation.base import ImageRecord, ImageSet, SetStatistics, made_set, real_set
from img2img.evaluation.evaluate import check, evaluate, real_statistics
from img2img.evaluation.metrics import choose_metrics, load_networks
from img2img.inference.sampler import joined, keyed_noise
from img2img.models.base import Batch
from img2img.models.base_noise import NoiseModel
from img2img.training.networks import Networks
from img2img.training.samples import item_batch

TOGETHER = 16  # images that a network sees at once
SEED = 0  # of the noise of models that draw from it: that of evaluate.py


class Validation:
    """The scores ``train.metrics`` of the same images at every step: ``measure``.

    Images that can't be decoded are left out from the beginning; ``notes`` names them.

    Args:
        config: the run's options.
        dataset: the validation set.
        networks: whose generators are measured, in the task's direction.

    Raises:
        ValueError: no images, or none with targets for metrics of pairs, or too few or too small ones; the networks'
            weights can't be had; ``train.best_by`` is none of the scores.
    """

    def __init__(self, config: Config, dataset: Any, networks: Networks) -> None:
        self.config, self.networks, self.direction = config, networks, config.data.direction
        self.every = f"train.evaluate_every {config.train.evaluate_every}"
        self.notes: list[str] = []
        self.metrics = choose_metrics(config.train.metrics, class_maps=False)
        self.pairs = any(metric.needs_target for metric in self.metrics)
        self.dataset = dataset if self.pairs else dataset.without_targets()
        self.metric, self.better = self._best_by()
        self.image_set = self._drawn() if isinstance(networks.model, NoiseModel) else self._made()
        if any(metric.needs_real for metric in self.metrics):
            images = self.dataset.images(self._target)
            self.image_set.compare_with(real_set("validation images", images, self._spaced(len(images))))
        check(self.image_set, self.metrics)
        self.real: SetStatistics | None = None
        if networks.accelerator.is_main_process:  # no other one measures
            self.feature_networks = load_networks(
                self.metrics,
                weights=config.train.metric_weights,
                lpips_weights=config.train.lpips_weights,
                options=("train.metric_weights", "train.lpips_weights"),
                device=networks.accelerator.device,
            )

    def measure(self, say: Callable[[str], None] = print) -> dict[str, float]:
        """The scores as ``val/NAME``, of images rounded to 8 bits as files are. Says why, and returns none, if files
        are gone by now: training has no need of them."""
        how: dict[str, Any] = {"batch_size": TOGETHER, "progress": False}
        try:
            if self.real is None:
                self.real = real_statistics(self.image_set, self.metrics, self.feature_networks, **how)
            with self.networks.inference():
                scores = evaluate(self.image_set, self.metrics, self.feature_networks, real=self.real, shown=0, **how)
        except ValueError as error:
            say(f"evaluation  none: {error}")
            return {}
        return {f"val/{name}": value for name, value in scores.scores.items()}

    def _best_by(self) -> tuple[str, Literal["lower", "higher"]]:
        """The score that tells the best checkpoint, and which of its values are better."""
        metrics = {name: metric for metric in self.metrics for name in metric.titles}
        chosen = self.config.train.best_by or ("psnr" if "psnr" in metrics else next(iter(metrics)))
        if chosen not in metrics:
            raise ValueError(f"train.best_by {chosen}: train.metrics gives {', '.join(metrics)}")
        return chosen, self.config.train.best_is or ("lower" if metrics[chosen].lower_is_better else "higher")

    def _spaced(self, count: int) -> list[int]:
        return spaced(count, self.config.train.evaluate_pictures)

    @property
    def _target(self) -> str:
        """The domain of the images that are made."""
        known = self.dataset.directions(self.config.data)
        return known[self.direction].target if known else "b"

    def _made(self) -> ImageSet:
        """What the model makes of items of the validation set."""
        places = list(range(self.dataset.count(self.direction)))
        if self.pairs:
            places = [index for index in places if self.dataset.has_target(self.direction, index)]
        if not places:
            partners = ", or data.val_paired true, if names make partners" if self.networks.model.learns_all else ""
            raise ValueError(
                f"{self.every}: no validation image has a true one to compare with; set it to 0, or train."
                f"metrics to fid{partners}"
            )
        items, ranges = self.dataset.items(self.direction), self.dataset.ranges(self.config.data)

        def answer(item: Item) -> tuple[np.ndarray, np.ndarray | None]:
            batch = item_batch(item, self.networks, ranges)
            output = self.networks.model.generate(batch, self.direction)["output"][0]
            target = to_array(batch["target"][0], np.uint8) if self.pairs else None
            return to_array(output, np.uint8), target

        chosen = (places[place] for place in self._spaced(len(places)))
        return made_set("made", items, answer, places=[index for index in chosen if self._usable(items, index)])

    def _usable(self, items: Any, index: int) -> bool:
        """Whether an image, and its target, can be decoded. Raises ValueError for sizes that can't be compared."""
        try:
            item = items[index]
        except UnreadableImage as error:
            self.notes.append(f"{self.every}: left out is {error}")
            return False
        height, width = (side * self.networks.model.scale for side in item.image.shape[-3:-1])
        for metric in self.metrics:
            metric.require_side(item.name, height, width)
        if self.pairs and item.target is not None and item.target.shape[:2] != (height, width):
            size = f"{item.target.shape[1]}x{item.target.shape[0]}"
            raise ValueError(
                f"{self.every}: {item.name} becomes {width}x{height}, and its target is {size}; a pair needs one size"
            )
        return True

    def _drawn(self) -> ImageSet:
        """What a model draws from noise."""
        if self.pairs:
            raise ValueError(
                f"{self.every}: what is drawn from noise has no true image to compare with; set train.metrics fid"
            )
        count = self.config.train.evaluate_pictures or len(self.dataset)
        if not count or (not len(self.dataset) and any(metric.needs_real for metric in self.metrics)):
            raise ValueError(f"{self.every}: the set has no validation images to compare with; set it to 0")
        return ImageSet("drawn", count, lambda: self._draw(count))

    def _draw(self, count: int) -> Iterator[ImageRecord]:
        model, device = self.networks.model, self.networks.accelerator.device
        assert isinstance(model, NoiseModel), "only such a model draws"
        for first in range(0, count, TOGETHER):
            places = range(first, min(first + TOGETHER, count))
            noise: Batch = joined([keyed_noise(model, SEED, index) for index in places])
            drawn = model.generate({key: value.to(device) for key, value in noise.items()})["output"]
            for index, image in zip(places, to_array(drawn, np.uint8), strict=True):
                yield ImageRecord(str(index), image)


def spaced(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` places, evenly spaced; all if there are no more, or with 0."""
    if not wanted or count <= wanted:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()
