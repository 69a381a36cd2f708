"""Scores of validation images during training (``train.evaluate_every``)."""

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
from img2img.models.base import Batch, Images
from img2img.models.base_noise import NoiseModel
from img2img.training.networks import Networks
from img2img.training.samples import item_batch, of_any_size

BATCH_SIZE = 16  # images that a generator or a feature network gets at once
SEED = 0  # of the noise of unconditional models; the same as in evaluate.py


class Validation:
    """Measures the metrics ``train.metrics`` of the same validation images each time.

    Images that can't be decoded are left out; ``notes`` has a line for each.

    Args:
        config: the run's options.
        dataset: the validation set.
        networks: the networks whose generators are measured, in the direction ``data.direction``.

    Raises:
        ValueError: no images, or too few or too small ones; no targets, which a metric needs; weights of feature
            networks that can't be found; ``train.best_by`` is not among the scores.
    """

    def __init__(self, config: Config, dataset: Any, networks: Networks) -> None:
        self.config, self.networks, self.direction = config, networks, config.data.direction
        self.every = f"train.evaluate_every {config.train.evaluate_every}"  # the beginning of messages
        self.notes: list[str] = []
        self.metrics = choose_metrics(config.train.metrics, class_maps=False)
        self.pairs = any(metric.needs_target for metric in self.metrics)
        self.dataset = dataset if self.pairs else dataset.without_targets()
        self.metric, self.better = self._best_by()
        self.image_set = self._noise_set() if isinstance(networks.model, NoiseModel) else self._translated_set()
        if any(metric.needs_real for metric in self.metrics):
            images = self.dataset.images(self._target)
            self.image_set.compare_with(real_set("validation images", images, self._spaced(len(images))))
        check(self.image_set, self.metrics)
        self.real: SetStatistics | None = None
        if networks.accelerator.is_main_process:  # the others don't measure
            self.feature_networks = load_networks(
                self.metrics,
                weights=config.train.metric_weights,
                lpips_weights=config.train.lpips_weights,
                options=("train.metric_weights", "train.lpips_weights"),
                device=networks.accelerator.device,
            )

    def measure(self, say: Callable[[str], None] = print) -> dict[str, float]:
        """Returns the scores as ``val/NAME``. Images are rounded to 8 bits, as in files.

        If files were removed meanwhile, prints the reason with ``say`` and returns {}: training can go on.
        """
        options: dict[str, Any] = {"batch_size": BATCH_SIZE, "progress": False}
        try:
            if self.real is None:
                self.real = real_statistics(self.image_set, self.metrics, self.feature_networks, **options)
            with self.networks.inference():
                scores = evaluate(
                    self.image_set, self.metrics, self.feature_networks, real=self.real, shown=0, **options
                )
        except ValueError as error:
            say(f"evaluation  none: {error}")
            return {}
        return {f"val/{name}": value for name, value in scores.scores.items()}

    def _best_by(self) -> tuple[str, Literal["lower", "higher"]]:
        """The score that decides which checkpoint is best, and whether lower or higher values are better."""
        metrics = {name: metric for metric in self.metrics for name in metric.titles}
        chosen = self.config.train.best_by or ("psnr" if "psnr" in metrics else next(iter(metrics)))
        if chosen not in metrics:
            raise ValueError(
                f"train.best_by {chosen}: must be one of the scores of train.metrics: {', '.join(metrics)}"
            )
        return chosen, self.config.train.best_is or ("lower" if metrics[chosen].lower_is_better else "higher")

    def _spaced(self, count: int) -> list[int]:
        """Indices of the images that are measured, of ``count``."""
        return spaced(count, self.config.train.evaluate_pictures)

    @property
    def _target(self) -> str:
        """The domain of the generated images."""
        directions = self.dataset.directions(self.config.data)
        return directions[self.direction].target if directions else "b"

    def _translated_set(self) -> ImageSet:
        """Translations of validation images."""
        indices = list(range(self.dataset.count(self.direction)))
        if self.pairs:
            indices = [index for index in indices if self.dataset.has_target(self.direction, index)]
        if not indices:
            data = self.config.data
            by_name = "" if data.with_partners() is data else ", or data.val_paired true if file names match"
            raise ValueError(
                f"{self.every}: no validation image has a target to compare with; set it to 0, or train."
                f"metrics to fid{by_name}"
            )
        items, ranges = self.dataset.items(self.direction), self.dataset.ranges(self.config.data)

        def translate(item: Item) -> tuple[np.ndarray, np.ndarray | None]:
            def generate(batch: Batch) -> Images:
                return self.networks.model.generate(batch, self.direction)

            output = of_any_size(generate, item, self.networks, ranges)["output"][0]
            target = item_batch(item, self.networks, ranges)["target"][0] if self.pairs else None
            return to_array(output, np.uint8), None if target is None else to_array(target, np.uint8)

        chosen = (indices[i] for i in self._spaced(len(indices)))
        return made_set("made", items, translate, places=[index for index in chosen if self._is_usable(items, index)])

    def _is_usable(self, items: Any, index: int) -> bool:
        """Whether an image and its target can be decoded. Raises ValueError for sizes that can't be compared."""
        try:
            item = items[index]
        except UnreadableImage as error:
            self.notes.append(f"{self.every}: left out: {error}")
            return False
        height, width = (side * self.networks.model.scale for side in item.image.shape[-3:-1])
        for metric in self.metrics:
            metric.require_side(item.name, height, width)
        if self.pairs and item.target is not None and item.target.shape[:2] != (height, width):
            size = f"{item.target.shape[1]}x{item.target.shape[0]}"
            raise ValueError(
                f"{self.every}: {item.name} becomes {width}x{height}, but its target is {size}; both must have one size"
            )
        return True

    def _noise_set(self) -> ImageSet:
        """Images of an unconditional model, which draws them from noise."""
        if self.pairs:
            raise ValueError(
                f"{self.every}: images drawn from noise have no target to compare with; set train.metrics fid"
            )
        count = self.config.train.evaluate_pictures or len(self.dataset)
        if not count or (not len(self.dataset) and any(metric.needs_real for metric in self.metrics)):
            raise ValueError(f"{self.every}: the set has no validation images to compare with; set it to 0")
        return ImageSet("drawn", count, lambda: self._generate_from_noise(count))

    def _generate_from_noise(self, count: int) -> Iterator[ImageRecord]:
        model, device = self.networks.model, self.networks.accelerator.device
        assert isinstance(model, NoiseModel)
        for first in range(0, count, BATCH_SIZE):
            indices = range(first, min(first + BATCH_SIZE, count))
            noise: Batch = joined([keyed_noise(model, SEED, index) for index in indices])
            output = model.generate({key: value.to(device) for key, value in noise.items()})["output"]
            for index, image in zip(indices, to_array(output, np.uint8), strict=True):
                yield ImageRecord(str(index), image)


def spaced(count: int, limit: int) -> list[int]:
    """Up to ``limit`` of ``count`` indices, evenly spaced; all of them with 0."""
    if not limit or count <= limit:
        return list(range(count))
    return np.linspace(0, count - 1, limit).round().astype(int).tolist()
