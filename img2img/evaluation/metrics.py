"""How good pictures are: distances between the sets of made and of real ones, and of each one to the true one.

The set: FID, KID, IS, improved precision and recall (``distances``). The pair: L1, PSNR, SSIM, LPIPS. The picture and
its class map: the FCN-score (``recognition``). Pictures are judged in batches of one size, on the device of the judges;
of the pictures nothing is kept but sums, the scores of each one, a sheet's twenty, and at most ``KEPT`` features of
each set, for KID and precision and recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from img2img.data.folder import some
from img2img.data.images import captioned, cell, eight_bits, to_channels
from img2img.evaluation.distances import (
    LEAST,
    Gaussian,
    InceptionScore,
    Reservoir,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from img2img.evaluation.fcn.score import Recognition
from img2img.evaluation.fcn.segmenter import Confusion, Segmenter
from img2img.evaluation.feature_networks import FeatureName, load_features, load_lpips
from img2img.evaluation.image_sets import Judged, Subject
from img2img.evaluation.pixels import SSIM_WINDOW, mean_score, pair_scores
from img2img.inference.loading import choose_device

OF_PAIRS = ("l1", "psnr", "ssim", "lpips")
OF_SETS = ("fid", "kid", "is", "pr")
OF_REALS = ("fid", "kid", "pr")  # those that compare with real ones
OF_LABELS = ("fcn",)
METRICS = (*OF_PAIRS, *OF_SETS, *OF_LABELS)
LOWER_IS_BETTER = ("l1", "lpips", "fid", "kid")
KEPT = 10_000  # features of a set; 10 000 of Inception are 80 MB
SHOWN = 10  # best and worst pictures
LPIPS_SMALLEST = 31  # side in pixels, of which the last pooling leaves one


@dataclass
class Judges:
    """Networks, as ``load_features`` and ``load_lpips`` return them."""

    features: nn.Module | None = None
    lpips: nn.Module | None = None
    title: str = "none"
    """The feature network and where its weights are from, for the report."""
    device: torch.device | str = "cpu"
    segmenter: Segmenter | None = None


class Shown(NamedTuple):
    """A row of the sheet: the picture and ``Quality.columns``, (h, w, 3) uint8 each."""

    value: float
    name: str
    cells: list[np.ndarray]


@dataclass
class Quality:
    """Scores by name; deviations where a score is a mean over parts; each picture's; the sheet's pictures."""

    count: int = 0
    """Pictures that were judged."""
    real_count: int = 0
    """Real ones that they were compared with as a set."""
    scores: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    of_pictures: dict[str, list[float]] = field(default_factory=dict)
    ranked_by: str | None = None
    columns: list[str] = field(default_factory=list)
    """What the sheet shows beside a picture."""
    best: list[Shown] = field(default_factory=list)
    worst: list[Shown] = field(default_factory=list)
    confusion: Confusion | None = None
    """Of the made pictures, with ``fcn``."""


def parse_metrics(text: str, option: str = "--metrics", among: Sequence[str] = METRICS) -> tuple[str, ...]:
    """ "fid,kid" -> ("fid", "kid"). Raises ValueError, which begins with ``option``, for a name that is none."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    strange = [name for name in names if name not in among]
    if strange or not names:
        raise ValueError(
            f"{option} {text}: {strange[0] if strange else 'nothing'} is none; there are {','.join(among)}"
        )
    return names


def needs_pairs(metrics: Sequence[str]) -> bool:
    """Whether one of them compares a picture with the true one."""
    return any(name in OF_PAIRS for name in metrics)


def needs_labels(metrics: Sequence[str]) -> bool:
    """Whether one of them asks for class maps."""
    return any(name in OF_LABELS for name in metrics)


def load_judges(
    metrics: Sequence[str],
    features: FeatureName = "inception",
    weights: str | None = None,
    lpips_weights: str | None = None,
    device: torch.device | str | None = None,
    options: tuple[str, str] = ("--weights", "--lpips-weights"),
) -> Judges:
    """The networks that these metrics need, on the device, or the GPU if there is one.

    Args:
        metrics: names, see ``METRICS``.
        features, weights, lpips_weights: see ``load_features`` and ``load_lpips``.
        device: where they judge.
        options: how messages call the two files.

    Raises:
        ValueError: weights or the device can't be had; the network can't tell ``is``; weights that nothing needs.
    """
    sets = [name for name in metrics if name in OF_SETS]
    if "is" in sets and features != "inception":
        raise ValueError(f"--features {features}: the Inception Score is told by Inception's classes; leave is out")
    for option, value, needed in zip(options, (weights, lpips_weights), (sets, "lpips" in metrics), strict=True):
        if value is not None and not needed:
            raise ValueError(f"{option} {value}: none of the metrics {','.join(metrics)} needs it")
    where = choose_device(device)
    judges = Judges(device=where)
    if sets:
        judges.features = load_features(features, weights, where, options[0])
        judges.title = f"{features}, weights {weights or 'of its publisher'}"
    if "lpips" in metrics:
        judges.lpips = load_lpips(lpips_weights, where, options[1])
    return judges


def judge(
    subject: Subject,
    metrics: Sequence[str],
    judges: Judges,
    batch_size: int = 16,
    real: Remembered | None = None,
    progress: bool | None = None,
) -> Quality:
    """All of ``metrics`` in one pass over the pictures and, where sets are compared, one over the real ones.

    Args:
        subject: what is judged. Pictures that can't be decoded are left out and told.
        metrics: names, see ``METRICS``.
        judges: the networks that they need.
        batch_size: pictures that a network sees at once.
        real: what ``remember`` told of the subject's real pictures, not to look at them again.
        progress: whether bars are shown; unset, on a terminal.

    Raises:
        ValueError: as ``check``; or a pair of two sizes, or too few pictures that can be decoded.
    """
    if batch_size < 1:
        raise ValueError(f"--batch-size {batch_size}: must be at least 1")
    check(subject, metrics)
    hidden = None if progress is None else not progress
    pairwise = [name for name in metrics if name in OF_PAIRS]
    quality = Quality()
    made = Remembered(metrics, True)
    recognition = Recognition(subject, judges.segmenter) if needs_labels(metrics) else None
    with torch.inference_mode():
        bar = tqdm(subject.pictures(), "made", subject.count, unit="picture", disable=hidden)
        for batch in _batches(bar, batch_size):
            quality.count += len(batch)
            if made.wanted:
                made.add(judges, [item.picture for item in batch])
            scores = _pair_scores(pairwise, batch, judges) if pairwise else {}
            shown = [{"truth": item.truth} if item.truth is not None else {} for item in batch]
            if recognition:
                scores["pixel_accuracy"] = [
                    recognition.add(item, also) for item, also in zip(batch, shown, strict=True)
                ]
            if scores:
                _keep(quality, batch, scores, shown)
    if not quality.count:
        raise ValueError(f"{subject.title}: none of its pictures can be decoded")
    real = real or remember(subject, metrics, judges, batch_size, progress)
    quality.real_count = real.count
    for name in metrics:
        if name in OF_PAIRS:
            quality.scores[name] = mean_score(name, quality.of_pictures[name])
        elif name == "fid":
            quality.scores[name] = frechet_distance(made.gaussian, real.gaussian)
        elif name == "kid":
            quality.scores[name], deviation = kernel_distance(made.kept.features, real.kept.features)
            if deviation:  # none of a single subset
                quality.deviations[name] = deviation
        elif name == "is":
            quality.scores[name], quality.deviations[name] = made.inception.score()
        elif name == "pr":
            found = precision_recall(made.kept.features, real.kept.features)
            quality.scores["precision"], quality.scores["recall"] = found
        elif name == "fcn":
            assert recognition is not None
            quality.confusion = recognition.made
            quality.scores |= recognition.scores()
    return quality


def check(subject: Subject, metrics: Sequence[str]) -> None:
    """Raises ValueError, before anything is looked at, if real pictures, true ones or enough of them are missing."""
    for name in metrics:
        if name in OF_REALS and subject.reals is None:
            raise ValueError(f"--metrics {name}: compares with real pictures; --reference names their folder")
        counts = [subject.count, *([subject.real_count] if name in OF_REALS else [])]
        if name in LEAST and min(counts) < LEAST[name]:
            raise ValueError(f"--metrics {name}: needs {LEAST[name]} pictures in each set, and there are {min(counts)}")
    pairwise = [name for name in metrics if name in OF_PAIRS]
    if pairwise and subject.lonely:
        raise ValueError(
            f"--metrics {pairwise[0]}: no true picture of the name of {some(subject.lonely, 3)}; "
            f"leave {', '.join(pairwise)} out"
        )


def remember(
    subject: Subject, metrics: Sequence[str], judges: Judges, batch_size: int = 16, progress: bool | None = None
) -> Remembered:
    """What ``metrics`` need of a subject's real pictures, each of which is looked at once."""
    real = Remembered(metrics, False)
    if real.wanted and subject.reals:
        hidden = None if progress is None else not progress
        reals = tqdm(subject.reals(), "real", subject.real_count, unit="picture", disable=hidden)
        with torch.inference_mode():
            for batch in _batches((Judged("", picture, None) for picture in reals), batch_size):
                real.add(judges, [item.picture for item in batch])
    return real


class Remembered:
    """What is remembered of a set of pictures for the metrics that compare sets; ``made``, or the real ones."""

    def __init__(self, metrics: Sequence[str], made: bool) -> None:
        self.moments, self.keeps = "fid" in metrics, "kid" in metrics or "pr" in metrics
        self.classes = made and "is" in metrics
        self.wanted = self.moments or self.keeps or self.classes
        self.gaussian, self.kept, self.inception = Gaussian(), Reservoir(KEPT), InceptionScore()
        self.count = 0

    def add(self, judges: Judges, pictures: list[np.ndarray]) -> None:
        """Takes pictures of one size in, (H, W, C) each."""
        self.count += len(pictures)
        assert judges.features is not None, "these metrics need a feature network"
        colour = np.stack([eight_bits(picture) for picture in pictures])  # (B, H, W, 3)
        tensor = torch.from_numpy(colour).permute(0, 3, 1, 2).to(judges.device)
        features, logits = judges.features(tensor)
        if self.classes and logits is None:
            raise ValueError("--metrics is: is told by Inception's classes; --features inception")
        array = features.cpu().numpy()  # (B, D)
        if self.moments:
            self.gaussian.add(array)
        if self.keeps:
            self.kept.add(array)
        if self.classes:
            self.inception.add(logits.cpu().numpy())


def _pair_scores(metrics: Sequence[str], batch: list[Judged], judges: Judges) -> dict[str, list[float]]:
    for name, picture, truth, _ in batch:
        assert truth is not None, "the subject didn't say so"
        if picture.shape[:2] != truth.shape[:2]:
            sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (picture, truth)]
            raise ValueError(f"{name} is {sizes[0]}, and its true picture {sizes[1]}: a pair needs one size")
    made, true = [item.picture for item in batch], [item.truth for item in batch if item.truth is not None]
    a, b = _unit(made, judges.device), _unit(true, judges.device)
    scores = pair_scores(a, b)
    if "ssim" in metrics and "ssim" not in scores:
        raise ValueError(f"--metrics ssim: {batch[0].name} is smaller than its window of {SSIM_WINDOW} pixels")
    if "lpips" in metrics:
        assert judges.lpips is not None, "lpips needs its network"
        if min(a.shape[-2:]) < LPIPS_SMALLEST:
            raise ValueError(f"--metrics lpips: {batch[0].name} is narrower than AlexNet's {LPIPS_SMALLEST} pixels")
        colour = [_unit([to_channels(image, 3) for image in images], judges.device) for images in (made, true)]
        scores["lpips"] = judges.lpips(*((2 * x - 1).float() for x in colour)).flatten()
    return {name: scores[name].tolist() for name in metrics}


def _keep(
    quality: Quality, batch: list[Judged], scores: dict[str, list[float]], shown: list[dict[str, np.ndarray]]
) -> None:
    """Notes each picture's scores, and shows it if it is among the best or the worst by the first of them."""
    quality.names += [item.name for item in batch]
    for name, values in scores.items():
        quality.of_pictures.setdefault(name, []).extend(values)
    first = quality.ranked_by = next(iter(scores))
    quality.columns = quality.columns or [*shown[0]]
    sign = 1 if first in LOWER_IS_BETTER else -1
    for value, item, also in zip(scores[first], batch, shown, strict=True):
        told = f"{value:.4g}  {item.name}"
        cells = [captioned(cell(item.picture, 256), told), *(cell(image, 256) for image in also.values())]
        for chosen, order in ((quality.best, sign), (quality.worst, -sign)) if value == value else ():
            chosen.append(Shown(value, item.name, cells))
            chosen.sort(key=lambda row: order * row.value)
            del chosen[SHOWN:]


def _batches(items: Iterable[Judged], size: int) -> Iterator[list[Judged]]:
    """Neighbours of one shape and depth, at most ``size`` of them."""

    def kind(item: Judged) -> Any:
        return [None if image is None else (image.shape, image.dtype) for image in item[1:]]

    batch: list[Judged] = []
    for item in items:
        if batch and (len(batch) == size or kind(item) != kind(batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _unit(pictures: Sequence[np.ndarray], device: torch.device | str) -> Tensor:
    """(H, W, C) integers each -> (B, C, H, W) in [0, 1], in the precision that PSNR and SSIM of near pictures need."""
    stacked = np.stack(pictures)
    scaled = torch.from_numpy(stacked / np.iinfo(stacked.dtype).max).permute(0, 3, 1, 2)
    return (scaled.float() if torch.device(device).type == "mps" else scaled).to(device)  # which knows no float64
