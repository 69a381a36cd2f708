"""Distances between a run's outputs and the true pictures of its validation set, beside two answers without learning.

What can't beat the mean training picture or the untouched input has learnt nothing. A run that learnt both directions
is also measured by its cycle: how far a picture is from its way there and back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import kornia.metrics
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from img2img.data.images import UnreadableImage, to_channels
from img2img.errors import printable
from img2img.inference.translator import Translator

MOST_FOR_MEAN = 2000  # training pictures, evenly spaced, that the mean picture is made of
SSIM_WINDOW = 11  # pixels a side: a smaller picture has no SSIM
PSNR_OF_EQUALS = 100.0  # dB that a picture is worth in a mean, at most: one that is its target would make it infinite


@dataclass
class PixelScores:
    """Means over the validation pictures.

    l1: mean absolute difference in gray levels of 0..255; psnr: in decibels, of each picture, 100 at most; ssim: Wang
    et al. 2004, an 11x11 Gaussian window of sigma 1.5 that never leaves the picture, averaged over the channels.
    """

    l1: float
    psnr: float
    ssim: float


def pixel_scores(translator: Translator, paired: bool = False) -> dict[str, PixelScores]:
    """Scores on the run's validation set, at the size that it was trained with.

    Of "output", "input" (the picture untouched) and "mean training picture" against the true picture, where the set
    knows it, and of "cycle", the output translated back, against the input, where the run learnt both directions.
    Scenes are drawn in the styles of their true photos, where the run has styles.

    Args:
        translator: of the run, in the direction to measure.
        paired: whether validation pictures of one name are partners although the run's options don't say so.

    Raises:
        ValueError: the run's data can't be found, or there is nothing to compare with.
    """
    data = replace(translator.config.data, val_paired=paired or translator.config.data.val_paired)
    direction, dataset = translator.direction, translator.dataset
    pictures = dataset(data, "val")
    items, target = pictures.items(direction), dataset.directions(data)[direction].target
    back = translator.reversed() if len(translator.directions) == 2 else None
    stream = translator.stream()
    mean = None
    found: dict[str, list[tuple[float, float, float]]] = {}
    for index in tqdm(range(len(items)), unit="picture", disable=None):
        try:
            item = items[index]
        except UnreadableImage as error:
            tell_skipped(error)
            continue
        truth, picture = item.target, item.inputs.get("input")
        pairs = {}
        if truth is not None:
            if mean is None:
                mean = _mean_picture(dataset(data, "train").images(target))
            pairs["output"] = stream(item), truth
            if picture is not None and picture.shape[:2] == truth.shape[:2]:
                pairs["input"] = to_channels(picture, translator.channels[1]), truth
            if mean.shape == truth.shape:
                pairs["mean training picture"] = mean, truth
        if back and picture is not None:  # in floats, so that the way is not rounded in between
            pairs["cycle"] = back(translator(picture / np.float32(np.iinfo(picture.dtype).max))), picture
        for name, (answer, goal) in pairs.items():
            found.setdefault(name, []).append(_compare(answer, goal))
    if not found and not any(pictures.has_target(direction, i) for i in range(len(items))):
        raise ValueError(
            f"run {translator.config.name}: its validation part has no true pictures to compare with; "
            "data.val_split names another part"
        )
    if not found:
        raise ValueError(f"run {translator.config.name}: no validation picture can be read")
    return {
        name: PixelScores(mean_score("l1", l1), mean_score("psnr", psnr), mean_score("ssim", ssim))
        for name, (l1, psnr, ssim) in ((name, zip(*scores, strict=True)) for name, scores in found.items())
    }


def tell_skipped(error: UnreadableImage) -> None:
    """Names, beside a progress bar, a file that is left out because it can't be decoded."""
    tqdm.write(printable(f"skipped     {error}"), file=sys.stderr)


def mean_score(name: str, values: Sequence[float]) -> float:
    """The mean of the pictures' scores, a PSNR counted as ``PSNR_OF_EQUALS`` at most."""
    return float(np.mean(np.minimum(values, PSNR_OF_EQUALS) if name == "psnr" else values))


def _compare(picture: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    found = {name: score.item() for name, score in pair_scores(_unit(picture), _unit(target)).items()}
    return found["l1"], found["psnr"], found.get("ssim", float("nan"))


def pair_scores(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """L1 in gray levels of 0..255, PSNR in decibels and SSIM of each of two batches (B, C, H, W) in [0, 1]: (B,) each.

    SSIM: Wang et al. 2004, an 11x11 Gaussian window of sigma 1.5 that never leaves the picture, averaged over channels.
    """
    error = a - b
    found = {"l1": error.abs().mean((1, 2, 3)) * 255, "psnr": -10 * error.square().mean((1, 2, 3)).log10()}
    if min(a.shape[-2:]) >= SSIM_WINDOW:
        found["ssim"] = kornia.metrics.ssim(a, b, SSIM_WINDOW, padding="valid").mean((1, 2, 3))
    return found


def _unit(picture: np.ndarray) -> Tensor:
    """(H, W, C) integers, or floats in [0, 1] -> (1, C, H, W) in [0, 1]."""
    top = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else 1
    return torch.from_numpy(picture / top).permute(2, 0, 1)[None].float()


def _mean_picture(images: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the training images of a domain, (H, W, C) in [0, 1]; empty, if they differ in size."""
    count = len(images)
    total, summed = np.zeros(1), 0
    for index in range(0, count, max(1, count // MOST_FOR_MEAN)):
        try:
            picture = images[index]
        except UnreadableImage:
            continue
        if summed and picture.shape != total.shape:
            return np.zeros(0)  # pictures of several sizes have no mean
        total = total + picture / np.iinfo(picture.dtype).max
        summed += 1
    return total / summed
