"""The metrics, one class each. The FCN-score is in ``fcn.score``.

- Each image and its target: L1, PSNR, SSIM, LPIPS; L1 in the hole that was filled; PSNR and SSIM of Y.
- The set of images and the set of real images: FID, KID, improved precision and recall.
- The set of images alone: Inception Score.
- Each image and the domain that it should show: domain error.

The mathematics of set metrics is in ``distances``. They share the features, so that each image passes the feature
network once. Memory does not grow with the set: sums are kept, and for KID, precision and recall at most ``KEPT``
features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from img2img.evaluation.base import (
    FeatureName,
    FeatureNetworks,
    ImageBatch,
    ImageSet,
    Metric,
    PairMetric,
    SetStatistics,
    Statistic,
    to_unit_range,
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

KEPT = 10_000  # features kept of each set; 10 000 of Inception are 80 MB
MAX_PSNR = 100.0  # dB, upper limit in the mean: an image that equals its target has an infinite PSNR


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (B,), in dB, of images (B, C, H, W) in [0, 1]."""
    return -10 * (images - targets).square().mean((1, 2, 3)).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity (B,) of images (B, C, H, W) in [0, 1], see ``SSIM``."""
    import kornia.metrics  # takes seconds

    return kornia.metrics.ssim(images, targets, SSIM.min_side, padding="valid").mean((1, 2, 3))


class L1(PairMetric):
    """Mean absolute difference, in levels of 0..255."""

    name, titles, lower_is_better = "l1", {"l1": "L1 (of 255)"}, True

    def measure(self, batch: ImageBatch) -> Tensor:
        return (batch.images - batch.targets).abs().mean((1, 2, 3)) * 255


class PSNR(PairMetric):
    """Peak signal-to-noise ratio of each image in decibels; in the mean each is limited to ``MAX_PSNR``."""

    name, titles = "psnr", {"psnr": "PSNR, dB"}

    def measure(self, batch: ImageBatch) -> Tensor:
        return psnr(batch.images, batch.targets)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {self.name: float(np.mean(np.minimum(self.values, MAX_PSNR)))}


class SSIM(PairMetric):
    """Structural similarity, 11x11 Gaussian window of sigma 1.5 without padding, averaged over channels.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".

    Args:
        too_small: value of images smaller than the window (default: they raise ValueError).
    """

    name, titles, min_side = "ssim", {"ssim": "SSIM"}, 11

    def __init__(self, too_small: float | None = None) -> None:
        self.too_small = too_small

    def update(self, batch: ImageBatch) -> None:
        if self.too_small is not None and min(batch.images.shape[-2:]) < self.min_side:
            self.values += [self.too_small] * len(batch)
        else:
            super().update(batch)

    def measure(self, batch: ImageBatch) -> Tensor:
        return ssim(batch.images, batch.targets)


class L1Hole(PairMetric):
    """Mean absolute difference of the pixels that were filled, those of the mask, in levels of 0..255."""

    name, titles, lower_is_better = "l1_hole", {"l1_hole": "L1 in the hole (of 255)"}, True
    needs_mask = True

    def measure(self, batch: ImageBatch) -> Tensor:
        difference = (batch.images - batch.targets).abs().mean(1, keepdim=True)  # (B, 1, H, W)
        hole = batch.holes
        return 255 * (difference * hole).sum((1, 2, 3)) / hole.sum((1, 2, 3))


class LumaMetric(PairMetric):
    """A metric of Y of 8 bits (``images.luma_plane``), without a border of ``ImageSet.shave`` pixels.

    This is how papers on super-resolution and JPEG artefacts measure.
    """

    shaves = True
    shave = 0

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        super().begin(image_set, networks)
        self.shave, self.protocol = image_set.shave, image_set.protocol
        self.details = {"shave": self.shave, "protocol": self.protocol}

    def rows(self) -> dict[str, str]:
        return {"Y": f"protocol {self.protocol}, a border of {self.shave} pixels left out"}

    def require_side(self, name: str, height: int, width: int) -> None:
        super().require_side(name, height - 2 * self.shave, width - 2 * self.shave)

    def measure(self, batch: ImageBatch) -> Tensor:
        made = [record.image for record in batch.records]
        targets = [record.target for record in batch.records if record.target is not None]
        planes = [to_unit_range(self._planes(images), batch.networks.device) for images in (made, targets)]
        return self.compare(*planes)

    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        """Values (B,) of planes (B, 1, H, W) in units of 255."""
        raise NotImplementedError

    def _planes(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        from img2img.data.images import luma_plane

        height, width = images[0].shape[:2]
        inside = slice(self.shave, height - self.shave), slice(self.shave, width - self.shave)
        return [luma_plane(image)[inside] / 255 for image in images]


class PSNRY(LumaMetric):
    """As ``PSNR``, of Y."""

    name, titles = "psnr_y", {"psnr_y": "PSNR of Y, dB"}

    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        return psnr(images, targets)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {self.name: float(np.mean(np.minimum(self.values, MAX_PSNR)))}


class SSIMY(LumaMetric):
    """As ``SSIM``, of Y."""

    name, titles, min_side = "ssim_y", {"ssim_y": "SSIM of Y"}, SSIM.min_side

    def __init__(self, too_small: float | None = None) -> None:
        self.too_small = too_small

    def update(self, batch: ImageBatch) -> None:
        if self.too_small is not None and min(batch.images.shape[-2:]) - 2 * self.shave < self.min_side:
            self.values += [self.too_small] * len(batch)
        else:
            super().update(batch)

    def compare(self, images: Tensor, targets: Tensor) -> Tensor:
        return ssim(images, targets)


class LPIPS(PairMetric):
    """Learned perceptual image patch similarity, with AlexNet (Zhang et al., arXiv 1801.03924)."""

    name, titles, lower_is_better = "lpips", {"lpips": "LPIPS (AlexNet)"}, True
    needs_lpips = True
    min_side = 31  # AlexNet's last pooling reduces it to one pixel

    def measure(self, batch: ImageBatch) -> Tensor:
        from img2img.data.images import to_channels

        assert batch.networks.lpips is not None, "load_networks loads it for metrics with needs_lpips"
        records = batch.records
        images = [to_channels(record.image, 3) for record in records]
        targets = [to_channels(record.target, 3) for record in records if record.target is not None]
        pair = (to_unit_range(rgb, batch.networks.device) for rgb in (images, targets))
        return batch.networks.lpips(*((2 * x - 1).float() for x in pair)).flatten()


class Moments(Gaussian, Statistic):
    """Mean and covariance of the features of a set."""

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.features)


class Sample(Reservoir, Statistic):
    """A uniform random sample of at most ``KEPT`` features of a set."""

    def __init__(self) -> None:
        super().__init__(KEPT)

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.features)


class Classes(InceptionScore, Statistic):
    """Inception's class probabilities of a set."""

    def update(self, batch: ImageBatch) -> None:
        self.add(batch.logits)


class FID(Metric):
    """Fréchet distance between Gaussians of the features (Heusel et al., arXiv 1706.08500)."""

    name, titles, lower_is_better, min_images = "fid", {"fid": "FID"}, True, 2
    needs_real = needs_features = True
    statistics = (Moments,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        return {"fid": frechet_distance(made[Moments], real[Moments])}


class KID(Metric):
    """Squared maximum mean discrepancy of the features (Bińkowski et al., arXiv 1801.01401)."""

    name, titles, lower_is_better, min_images = "kid", {"kid": "KID"}, True, 2
    needs_real = needs_features = True
    statistics = (Sample,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        mean, deviation = kernel_distance(made[Sample].features, real[Sample].features)
        if deviation:  # 0 for a single subset
            self.deviations["kid"] = deviation
        self.details |= {"features_kept_of_each_set": KEPT, "kid_subset": min(SUBSET, made.count, real.count)}
        return {"kid": mean}


class IS(Metric):
    """Inception Score: high if Inception is sure of each image's class, and classes vary between images.

    Salimans et al., arXiv 1606.03498, Sec. 4.
    """

    name, titles, min_images = "is", {"is": "Inception Score"}, SPLITS
    needs_features = needs_logits = True
    statistics = (Classes,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        score, self.deviations["is"] = made[Classes].score()
        return {"is": score}


class PrecisionRecall(Metric):
    """Improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991)."""

    name, titles, min_images = "pr", {"precision": "precision", "recall": "recall"}, NEIGHBOURS + 1
    needs_real = needs_features = True
    statistics = (Sample,)

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        precision, recall = precision_recall(made[Sample].features, real[Sample].features)
        self.details["features_kept_of_each_set"] = KEPT
        return {"precision": precision, "recall": recall}


class LabelLogits(Statistic):
    """The classifier's logits of the images of a set."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def update(self, batch: ImageBatch) -> None:
        self.batches.append(batch.label_logits)

    @property
    def logits(self) -> np.ndarray:
        """(N, n); (0, 0) of an empty set."""
        return np.concatenate(self.batches) if self.batches else np.zeros((0, 0), np.float32)


class DomainError(Metric):
    """Share of the images that a classifier of real ones does not take for their target (arXiv 1711.09020, Table 3).

    As ``domain_error_real``, the same of the real images of that target, without which it means little.
    """

    name, value_name, lower_is_better = "domain", "domain_error", True
    titles: ClassVar = {"domain_error": "domain error, %", "domain_error_real": "domain error of the real images, %"}
    needs_real = needs_classifier = True
    statistics = (LabelLogits,)

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        super().begin(image_set, networks)
        assert image_set.target_label is not None, "check refuses sets without"
        assert networks.classifier is not None, "choose_classifier loads it"
        self.target, self.classifier = image_set.target_label, networks.classifier

    def update(self, batch: ImageBatch) -> None:
        self.values += self._wrong(batch.label_logits).tolist()

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        if not real.count:
            raise ValueError("domain: none of the real images can be decoded")
        info = self.classifier.info
        self.details["classifier"] = {"file": self.classifier.title, "images": info.images, "steps": info.steps}
        errors = {"domain_error": np.array(self.values), "domain_error_real": self._wrong(real[LabelLogits].logits)}
        return {name: 100 * float(wrong.mean()) for name, wrong in errors.items()}

    def rows(self) -> dict[str, str]:
        info = self.classifier.info
        return {"classifier": f"{self.classifier.title}, trained for {info.steps} steps on {info.images} images"}

    def _wrong(self, logits: np.ndarray) -> np.ndarray:
        """1 for each image whose logits (N, n) miss the target, else 0, (N,)."""
        return self.classifier.is_missed(logits, self.target).astype(float)


def metric_classes(class_maps: bool = True) -> dict[str, type[Metric]]:
    """All imported metrics by name: the named subclasses of ``Metric``, those that need class maps last.

    Args:
        class_maps: include metrics that need class maps. Training has none.
    """
    if class_maps:
        import img2img.evaluation.fcn.score  # noqa: F401 (defines the FCN-score, which training does not need)

    def subclasses(kind: type[Metric]) -> Iterator[type[Metric]]:
        for child in kind.__subclasses__():
            yield child
            yield from subclasses(child)

    named = [kind for kind in subclasses(Metric) if "name" in vars(kind) and (class_maps or not kind.needs_class_maps)]
    return {kind.name: kind for kind in sorted(named, key=lambda kind: kind.needs_class_maps)}


def choose_metrics(text: str, class_maps: bool = True) -> list[Metric]:
    """Metrics of a comma-separated list of names: "fid,kid". Raises ValueError for an unknown name or an empty list."""
    known = metric_classes(class_maps)
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        problem = f"{unknown[0]} is not a metric" if unknown else "no metric named"
        raise ValueError(f"metrics {text}: {problem}; choose from {','.join(known)}")
    return [known[name]() for name in names]


def metrics_help() -> str:
    """The names of all metrics by what they evaluate, for --help."""
    kinds = metric_classes().values()
    groups = {
        "each image and its target": [kind for kind in kinds if kind.needs_target],
        "the whole set": [
            kind for kind in kinds if not (kind.needs_target or kind.needs_class_maps or kind.needs_classifier)
        ],
        "each image and its target domain": [kind for kind in kinds if kind.needs_classifier],
        "each image and its label map": [kind for kind in kinds if kind.needs_class_maps],
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
    """Loads the pretrained networks that metrics need.

    Those that are trained on a run's data set come by ``fcn.loading.choose_segmenter`` and
    ``train_classifier.choose_classifier``.

    Args:
        metrics: see ``choose_metrics``.
        features, weights, lpips_weights: see ``feature_networks.load_features`` and ``load_lpips``.
        options: names of the options ``weights`` and ``lpips_weights`` in error messages.
        device: device of the networks.

    Raises:
        ValueError: weights can't be read or downloaded, or no metric needs them; the Inception Score with another
            feature network.
    """
    names = ",".join(metric.name for metric in metrics)
    features_needed, lpips_needed = _any(metrics, "needs_features"), _any(metrics, "needs_lpips")
    for option, path, needed in zip(options, (weights, lpips_weights), (features_needed, lpips_needed), strict=True):
        if path is not None and not needed:
            raise ValueError(f"{option} {path}: none of the metrics {names} needs them")
    if _any(metrics, "needs_logits") and features != "inception":
        raise ValueError(f"features {features}: the Inception Score needs inception; leave out is")
    networks = FeatureNetworks(device=device)
    if features_needed or lpips_needed:  # importing torchvision's networks takes seconds
        from img2img.evaluation import feature_networks

        if features_needed:
            networks.features = feature_networks.load_features(features, weights, device, option=options[0])
            networks.title = f"{features}, weights {weights or 'of its publisher'}"
        if lpips_needed:
            networks.lpips = feature_networks.load_lpips(lpips_weights, device, option=options[1])
    return networks


def _any(metrics: Iterable[Metric], need: str) -> bool:
    return any(getattr(metric, need) for metric in metrics)
