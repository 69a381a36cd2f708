"""Distances between a run's outputs and the true pictures of its validation set, beside two answers without learning.

What can't beat the mean training picture or the untouched input has learnt nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import kornia.metrics
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from img2img.data.images import to_channels
from img2img.data.paired import PairedDataset
from img2img.inference.translator import Translator

MOST_FOR_MEAN = 2000  # training pictures, evenly spaced, that the mean picture is made of


@dataclass
class PixelScores:
    """Means over the validation pictures.

    l1: mean absolute difference in gray levels of 0..255; psnr: in decibels, of each picture; ssim: Wang et al. 2004,
    an 11x11 Gaussian window of sigma 1.5 that never leaves the picture, averaged over the channels.
    """

    l1: float
    psnr: float
    ssim: float


def pixel_scores(translator: Translator) -> dict[str, PixelScores]:
    """Scores of "output", "input" (the picture untouched) and "mean training picture" on the run's validation set.

    Pictures are compared at the size that the run was trained with.

    Raises:
        ValueError: the run's data can't be found.
    """
    data = translator.config.data
    pairs = PairedDataset(data, data.val_split)
    mean = _mean_target(PairedDataset(data, data.train_split))
    answers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "output": translator,
        "input": lambda picture: to_channels(picture, data.channels[1]),
        "mean training picture": lambda _: mean,
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in answers}
    for index in tqdm(range(len(pairs)), unit="picture", disable=None):
        sample = pairs[0, index]
        if sample["skipped"]:
            continue
        picture, target = (sample["input"], sample["target"])
        for name, answer in answers.items():
            found[name].append(_compare(answer(picture), target))
    return {name: PixelScores(*np.mean(scores, axis=0).tolist()) for name, scores in found.items()}


def _compare(picture: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    a, b = _unit(picture), _unit(target)
    difference = (a - b).abs().mean().item() * 255
    psnr = kornia.metrics.psnr(a, b, 1.0).item()
    ssim = kornia.metrics.ssim(a, b, 11, padding="valid").mean().item() if min(a.shape[-2:]) > 11 else float("nan")
    return difference, psnr, ssim


def _unit(picture: np.ndarray) -> Tensor:
    """(H, W, C) integers -> (1, C, H, W) in [0, 1]."""
    return torch.from_numpy(picture / np.iinfo(picture.dtype).max).permute(2, 0, 1)[None].float()


def _mean_target(pairs: PairedDataset) -> np.ndarray:
    """The mean picture of the targets, (H, W, C)."""
    indices = range(0, len(pairs), max(1, len(pairs) // MOST_FOR_MEAN))
    first = pairs[0, 0]["target"]
    total = np.zeros(first.shape, np.float64)
    for index in indices:
        total += pairs[0, index]["target"]
    return np.rint(total / len(indices)).astype(first.dtype)
