"""Scores of validation images during training (``train.evaluate_every``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from img2img.config import Config
from img2img.data.base import Item
from img2img.data.images import UnreadableImage, to_array
from img2img.evaluation.base import ImageRecord, ImageSet, SetStatistics, made_set, real_set, shave_of
from img2img.evaluation.evaluate import check, evaluate, real_statistics
from img2img.evaluation.metrics import choose_metrics, load_networks
from img2img.inference.sampler import joined, keyed_noise
from img2img.models.base import Batch, Images
from img2img.models.base_noise import NoiseModel
from img2img.training.networks import Networks
from img2img.training.samples import item_batch, of_any_size

if TYPE_CHECKING:
    from img2img.evaluation.classifier import Classifier

BATCH_SIZE = 16  # images that a generator or a feature network gets at once
SEED = 0  # of the noise of unconditional models; the same as in evaluate


class Validation:
    """Measures the metrics ``train.metrics`` of the same validation images each time.

    The data set names the directions to measure (``ImageDataset.validated``). Images that can't be decoded are left
    out; ``notes`` has a line for each.

    Args:
        config: the run's options.
        dataset: the validation set.
        networks: the networks whose generators are measured.

    Raises:
        ValueError: no images, or too few or too small ones; no targets or domains, which a metric needs; weights of
            feature networks that can't be found; ``train.best_by`` is not among the scores.
    """

    def __init__(self, config: Config, dataset: Any, networks: Networks) -> None:
        self.config, self.networks = config, networks
        self.every = f"train.evaluate_every {config.train.evaluate_every}"  # the beginning of messages
        self.notes: list[str] = []
        self.metrics = choose_metrics(config.train.metrics, class_maps=False)
        self.pairs = any(metric.needs_target for metric in self.metrics)
        self.dataset = dataset if self.pairs else dataset.without_targets()
        self.metric, self.better = self._best_by()
        self.image_sets = self._image_sets()  # by the name of the direction
        for image_set in self.image_sets.values():
            check(image_set, self.metrics)
        self.real: dict[str, SetStatistics] = {}  # of the real images, by direction, once they were measured
        self.needs_classifier = any(metric.needs_classifier for metric in self.metrics)  # then call ``prepare`` first
        if config.train.classifier and not self.needs_classifier:
            raise ValueError(
                f"train.classifier {config.train.classifier}: none of the metrics {config.train.metrics} needs it"
            )
        if networks.accelerator.is_main_process:  # the others don't measure
            self.feature_networks = load_networks(
                self.metrics,
                weights=config.train.metric_weights,
                lpips_weights=config.train.lpips_weights,
                options=("train.metric_weights", "train.lpips_weights"),
                device=networks.accelerator.device,
            )
            if config.train.classifier:
                self.feature_networks.classifier = self._load_classifier(Path(config.train.classifier))

    def prepare(self, run: Path, dataset: Any, *, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Loads the classifier that was trained for the run, or trains one, on rank 0.

        Neither changes the numbers of the training itself.

        Args:
            run: the run's folder, where the classifier is kept.
            dataset: the training set.
            say: prints a line.
            stopped: whether to stop the classifier's training.

        Raises:
            ValueError: the classifier is damaged or of other domains, or can't be written.
        """
        if self.feature_networks.classifier is not None:  # train.classifier
            return
        from img2img.evaluation.train_classifier import FILE, train_classifier  # imported only by runs that use it

        path = run / FILE
        if path.is_file():
            self.feature_networks.classifier = self._load_classifier(path)
            return
        steps, device = self.config.train.classifier_steps, self.networks.accelerator.device
        self.feature_networks.classifier = train_classifier(
            dataset, steps, path, device=device, say=say, stopped=stopped
        )

    def measure(self, say: Callable[[str], None] = print) -> dict[str, float]:
        """Returns the scores as ``val/NAME``. Images are rounded to 8 bits, as in files.

        Of several directions, ``val/NAME`` is the mean, and ``val/NAME_DIRECTION`` the score of each. If files were
        removed meanwhile, prints the reason with ``say`` and returns {}: training can go on.
        """
        scores: dict[str, dict[str, float]] = {}  # by direction
        try:
            for direction, image_set in self.image_sets.items():
                scores[direction] = self._scores(direction, image_set)
        except ValueError as error:
            say(f"evaluation  none: {error}")
            return {}
        names = next(iter(scores.values()))
        if len(scores) == 1:
            return {f"val/{name}": value for name, value in names.items()}
        means = {f"val/{name}": sum(each[name] for each in scores.values()) / len(scores) for name in names}
        return means | {f"val/{name}_{way}": each[name] for name in names for way, each in scores.items()}

    def overall(self, values: Mapping[str, float]) -> dict[str, float]:
        """The scores of ``measure`` without those of single directions."""
        names = [f"val/{name}" for metric in self.metrics for name in metric.titles]
        return {name: values[name] for name in names if name in values}

    def _scores(self, direction: str, image_set: ImageSet) -> dict[str, float]:
        """The scores of a direction by name."""
        options: dict[str, Any] = {"batch_size": BATCH_SIZE, "progress": False}
        if direction not in self.real:
            self.real[direction] = real_statistics(image_set, self.metrics, self.feature_networks, **options)
        with self.networks.inference():
            scores = evaluate(
                image_set, self.metrics, self.feature_networks, real=self.real[direction], shown=0, **options
            )
        return scores.scores

    def _load_classifier(self, path: Path) -> Classifier:
        from img2img.evaluation.classifier import load_classifier  # imported only by runs that use it

        label_sets = self.dataset.label_sets(self.config.data)
        return load_classifier(path, label_sets, self.networks.accelerator.device, option="train.classifier")

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

    def _image_sets(self) -> dict[str, ImageSet]:
        """The images to measure by direction, with the real images to compare them with."""
        data = self.config.data
        if isinstance(self.networks.model, NoiseModel):
            image_sets, targets = {data.direction: self._noise_set()}, {data.direction: "b"}
        else:
            known = self.dataset.directions(data)
            directions = self.dataset.validated(data)
            image_sets = {name: self._translated_set(name) for name in directions}
            targets = {name: known[name].target for name in directions}
        if any(metric.needs_real for metric in self.metrics):
            for name, image_set in image_sets.items():
                images = self.dataset.images(targets[name])
                image_set.compare_with(real_set("validation images", images, self._spaced(len(images))))
        return image_sets

    def _translated_set(self, direction: str) -> ImageSet:
        """Translations of validation images in a direction."""
        indices = list(range(self.dataset.count(direction)))
        if self.pairs:
            indices = [index for index in indices if self.dataset.has_target(direction, index)]
        if not indices:
            raise self._nothing_to_measure(direction)
        items, ranges = self.dataset.items(direction), self.dataset.ranges(self.config.data)

        def translate(item: Item) -> tuple[np.ndarray, np.ndarray | None]:
            def generate(batch: Batch) -> Images:
                return self.networks.model.generate(batch, direction)

            output = of_any_size(generate, item, self.networks, ranges)["output"][0]
            target = item_batch(item, self.networks, ranges)["target"][0] if self.pairs else None
            return to_array(output, np.uint8), None if target is None else to_array(target, np.uint8)

        chosen = (indices[i] for i in self._spaced(len(indices)))
        places = [index for index in chosen if self._is_usable(items, index)]
        made = made_set(direction, items, translate, places=places)
        made.has_masks = "mask" in self.config.data.channels
        made.shave = self._shave
        made.target_label = self.dataset.target_label(self.config.data, direction)
        return made

    @property
    def _shave(self) -> int:
        """Border in pixels that metrics of Y leave out."""
        return shave_of(self.networks.model.scale)

    def _nothing_to_measure(self, direction: str) -> ValueError:
        """The error for a direction without an item, or without one that has a target, if metrics need it."""
        if not self.pairs:
            return ValueError(
                f"{self.every}: no validation image to translate to {direction}; add some, or set it to 0"
            )
        data = self.config.data
        by_name = "" if data.with_partners() is data else ", or data.val_paired true if file names match"
        return ValueError(
            f"{self.every}: no validation image has a target to compare with; set it to 0, or train."
            f"metrics to fid{by_name}"
        )

    def _is_usable(self, items: Any, index: int) -> bool:
        """Whether an image and its target can be decoded. Raises ValueError for sizes that can't be compared."""
        try:
            item = items[index]
        except UnreadableImage as error:
            note = f"{self.every}: left out: {error}"
            self.notes += [note] if note not in self.notes else []  # an image may be translated in several directions
            return False
        height, width = (side * self.networks.model.scale for side in item.image.shape[-3:-1])
        for metric in self.metrics:
            border = 2 * self._shave if metric.shaves else 0
            metric.require_side(item.name, height - border, width - border)
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
