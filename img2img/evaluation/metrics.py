"""The metrics of images, one class each; the FCN-score is in ``fcn.score``.

Of each image and its target: L1, PSNR, SSIM, LPIPS. Of the set of made images beside that of real ones: FID, KID,
improved precision and recall; of the made ones alone the Inception Score (``distances`` has the mathematics).
All metrics of sets read the same features: each image passes the feature network once, and of each set nothing is
kept but sums and, for KID and precision and recall, at most ``KEPT`` features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from img2img.evaluation.base import (
    FeatureName,
    FeatureNetworks,
    ImageBatch,
    Metric,
    PairMetric,
    SetStatistics,
    Statistic,
    unit,
)
from img2img.evaluation.distances import (
    NEIGHBOURS,
    SPLITS,
    SUBSET,
    Gaussian,
    InceptionScore,
    Reservoir,
    frechet_distance,
    kernel_distance,
    precision_recall,
)

if TYPE_CHECKING:  # see ``base``
    import torch
    from torch import Tensor

KEPT = 10_000  # features of a set; 10 000 of Inception are 80 MB
PSNR_OF_EQUALS = 100.0  # dB that an image is worth in a mean, at most: one that is its target would make it infinite


class L1(PairMetric):
    """Mean absolute difference, in gray levels of 0..255."""

    name, titles, lower_is_better = "l1", {"l1": "L1 (of 255)"}, True

    def measure(self, batch: ImageBatch) -> Tensor:
        return (batch.images - batch.targets).abs().mean((1, 2, 3)) * 255


class PSNR(PairMetric):
    """Peak signal-to-noise ratio in decibels, of each image; in the mean each counts as ``PSNR_OF_EQUALS`` at most."""

    name, titles = "psnr", {"psnr": "PSNR, dB"}

    def measure(self, batch: ImageBatch) -> Tensor:
        return -10 * (batch.images - batch.targets).square().mean((1, 2, 3)).log10()

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {self.name: float(np.mean(np.minimum(self.values, PSNR_OF_EQUALS)))}


class SSIM(PairMetric):
    """Structural similarity: an 11x11 Gaussian window of sigma 1.5 that never leaves the image, averaged over channels.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".

    Args:
        too_small: the value of images that are smaller than the window; unset, they are refused.
    """

    name, titles, smallest_side = "ssim", {"ssim": "SSIM"}, 11

    def __init__(self, too_small: float | None = None) -> None:
        self.too_small = too_small

    def update(self, batch: ImageBatch) -> None:
        if self.too_small is not None and min(batch.images.shape[-2:]) < self.smallest_side:
            self.values += [self.too_small] * len(batch)
        else:
            super().update(batch)

    def measure(self, batch: ImageBatch) -> Tensor:
        import kornia.metrics  # which takes seconds

        similarity = kornia.metrics.ssim(batch.images, batch.targets, self.smallest_side, padding="valid")
        return similarity.mean((1, 2, 3))


class LPIPS(PairMetric):
    """Learned perceptual distance, of AlexNet (Zhang et al., arXiv 1801.03924)."""

    name, titles, lower_is_better = "lpips", {"lpips": "LPIPS (AlexNet)"}, True
    needs_lpips = True
    smallest_side = 31  # of which AlexNet's last pooling leaves one pixel

    def measure(self, batch: ImageBatch) -> Tensor:
        from img2img.data.images import to_channels

        assert batch.networks.lpips is not None, "it comes with its network"
        records = batch.records
        images = [to_channels(record.image, 3) for record in records]
        targets = [to_channels(record.target, 3) for record in records if record.target is not None]
        pair = (unit(colour, batch.networks.device) for colour in (images, targets))
        return batch.networks.lpips(*((2 * x - 1).float() for x in pair)).flatten()


class Moments(Gaussian, Statistic):
    """Mean and covariance of the features of a set."""

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.features)


class Sample(Reservoir, Statistic):
    """Features of a set, at most ``KEPT``, drawn fairly."""

    def __init__(self) -> None:
        super().__init__(KEPT)

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.features)


class Classes(InceptionScore, Statistic):
    """What classes Inception sees in a set."""

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.logits)


class FID(Metric):
    """Fréchet distance between Gaussians of the features (Heusel et al., arXiv 1706.08500)."""

    name, titles, lower_is_better, fewest = "fid", {"fid": "FID"}, True, 2
    needs_real = needs_features = True
    statistics = (Moments,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {"fid": frechet_distance(made[Moments], real[Moments])}


class KID(Metric):
    """Squared maximum mean discrepancy of the features (Bińkowski et al., arXiv 1801.01401)."""

    name, titles, lower_is_better, fewest = "kid", {"kid": "KID"}, True, 2
    needs_real = needs_features = True
    statistics = (Sample,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        mean, deviation = kernel_distance(made[Sample].features, real[Sample].features)
        if deviation:  # none of a single subset
            self.deviations["kid"] = deviation
        self.details |= {"features_kept_of_each_set": KEPT, "kid_subset": min(SUBSET, made.count, real.count)}
        return {"kid": mean}


class IS(Metric):
    """How sure Inception is of an image's class, and how many classes it sees (Salimans et al., arXiv 1606.03498)."""

    name, titles, fewest = "is", {"is": "Inception Score"}, SPLITS
    needs_features = needs_logits = True
    statistics = (Classes,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        score, self.deviations["is"] = made[Classes].score()
        return {"is": score}


class PrecisionRecall(Metric):
    """Improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991)."""

    name, titles, fewest = "pr", {"precision": "precision", "recall": "recall"}, NEIGHBOURS + 1
    needs_real = needs_features = True
    statistics = (Sample,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        precision, recall = precision_recall(made[Sample].features, real[Sample].features)
        self.details["features_kept_of_each_set"] = KEPT
        return {"precision": precision, "recall": recall}


def metric_classes(class_maps: bool = True) -> dict[str, type[Metric]]:
    """Every metric that was imported, by its name, those of class maps last.

    Args:
        class_maps: whether those are wanted that need class maps.
    """
    if class_maps:
        import img2img.evaluation.fcn.score  # noqa: F401 (the FCN-score is there, and no training needs it)

    def below(kind: type[Metric]) -> Iterator[type[Metric]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    named = [kind for kind in below(Metric) if "name" in vars(kind) and (class_maps or not kind.needs_class_maps)]
    return {kind.name: kind for kind in sorted(named, key=lambda kind: kind.needs_class_maps)}


def choose_metrics(text: str, class_maps: bool = True) -> list[Metric]:
    """The metrics that a user names: "fid,kid". Raises ValueError for a name that is none."""
    known = metric_classes(class_maps)
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    strange = [name for name in names if name not in known]
    if strange or not names:
        raise ValueError(f"metrics {text}: {strange[0] if strange else 'nothing'} is none; there are {','.join(known)}")
    return [known[name]() for name in names]


def metrics_help() -> str:
    """The names of all metrics, by what they compare."""
    kinds = metric_classes().values()
    groups = {
        "each image and its target": [kind for kind in kinds if kind.needs_target],
        "all images": [kind for kind in kinds if not (kind.needs_target or kind.needs_class_maps)],
        "each image and its class map": [kind for kind in kinds if kind.needs_class_maps],
    }
    return "; ".join(f"{','.join(kind.name for kind in group)} ({what})" for what, group in groups.items())


def load_networks(
    metrics: Sequence[Metric],
    *,
    features: FeatureName = "inception",
    weights: str | None = None,
    lpips_weights: str | None = None,
    options: tuple[str, str] = ("weights", "lpips_weights"),
    device: torch.device | str = "cpu",
) -> FeatureNetworks:
    """The networks that these metrics need, but for a segmenter.

    Args:
        metrics: that are to be measured.
        features, weights, lpips_weights: see ``feature_networks.load_features`` and ``load_lpips``.
        options: what a user calls ``weights`` and ``lpips_weights``, for messages.
        device: where the networks are to be.

    Raises:
        ValueError: weights can't be had, or nothing needs them; the feature network tells no classes.
    """
    names = ",".join(metric.name for metric in metrics)
    features_needed, lpips_needed = _any(metrics, "needs_features"), _any(metrics, "needs_lpips")
    for option, path, needed in zip(options, (weights, lpips_weights), (features_needed, lpips_needed), strict=True):
        if path is not None and not needed:
            raise ValueError(f"{option} {path}: none of the metrics {names} needs them")
    if _any(metrics, "needs_logits") and features != "inception":
        raise ValueError(f"features {features}: the Inception Score needs Inception's classes; leave it out")
    networks = FeatureNetworks(device=device)
    if features_needed or lpips_needed:  # torchvision's networks take seconds to import
        from img2img.evaluation import feature_networks

        if features_needed:
            networks.features = feature_networks.load_features(features, weights, device, option=options[0])
            networks.title = f"{features}, weights {weights or 'of its publisher'}"
        if lpips_needed:
            networks.lpips = feature_networks.load_lpips(lpips_weights, device, option=options[1])
    return networks


def _any(metrics: Iterable[Metric], need: str) -> bool:
    return any(getattr(metric, need) for metric in metrics)
