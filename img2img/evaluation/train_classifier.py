"""Trains the classifier of the metric ``domain`` on the real training images of a run's data set.

Cross-entropy for domains that exclude each other, binary cross-entropy for attributes; AdamW with a rate that falls to
0. The images are augmented as in the run's own training. All randomness is seeded: on a CPU the same data and number of
threads give the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from img2img.checkpoint import require_writable, write_network
from img2img.config import load_config, with_places
from img2img.data import dataset_class
from img2img.data.base import ImageDataset, LabelSet
from img2img.data.folder import some
from img2img.data.images import eight_bits, resize
from img2img.data.loader import BatchReader, KeyedBatches, keyed_loader, to_device
from img2img.evaluation.classifier import (
    FILE,
    METADATA,
    Classifier,
    ClassifierInfo,
    all_names,
    build_classifier,
    load_classifier,
    slices,
)
from img2img.models import model_class
from img2img.run_files import config_file
from img2img.runs import find_run

BATCH_SIZE = 32
RATE, POWER = 1e-3, 0.9  # learning rate at the first step, and power of its polynomial decay


def choose_classifier(
    run: str,
    *,
    classifier: str | None = None,
    train: bool = False,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    data: Mapping[str, Any] | None = None,
) -> Classifier:
    """Trains or loads the classifier of a run's data set.

    Args:
        run: name or folder of a run whose data set has labels.
        classifier: file of a classifier (default: the one that was trained for the run before).
        train: train one first, and keep it in the run's folder.
        steps: number of training steps (default: the run's ``train.classifier_steps``).
        device: where it computes.
        data: where the run's data set is now, see ``load_translator``.

    Raises:
        ValueError: there is none, it can't be loaded, or it can't be trained.
    """
    folder = find_run(run)
    config = with_places(load_config(config_file(folder)), data)
    kind = dataset_class(model_class(config.model.name).dataset, config.data)
    label_sets = kind.label_sets(config.data)
    path = folder / FILE
    if train:
        dataset = kind(config.data, "train", augment=True, seed=config.train.seed)
        trained = train_classifier(dataset, steps or config.train.classifier_steps, path, device=device)
        assert trained is not None, "nothing stops it"
        return trained
    if classifier is None and not path.is_file():
        raise ValueError(
            "--metrics domain: no classifier; train one on the run's real images with --train-classifier, or name one "
            "with --classifier FILE"
        )
    return load_classifier(path if classifier is None else Path(classifier), label_sets, device)


def train_classifier(
    dataset: ImageDataset,
    steps: int,
    path: Path,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
    stopped: Callable[[], bool] = lambda: False,
) -> Classifier | None:
    """Trains a classifier, writes it to a file and returns it; None if it was stopped.

    It draws nothing from torch's global generator.

    Args:
        dataset: the training images, with their labels and augmentation.
        steps: number of steps, each with a batch of ``BATCH_SIZE`` images.
        path: file to write (safetensors).
        device: where it is trained.
        say: prints a line.
        stopped: asked before each step whether to stop; nothing is written then.

    Raises:
        ValueError: no image can be decoded; or the file can't be written, which is tested before training.
    """
    require_writable(path)
    images, label_sets = _Images(dataset), tuple(dataset.label_sets(dataset.config))
    names = all_names(label_sets)
    network = _initial_network(len(names)).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    batches = KeyedBatches(len(images), BATCH_SIZE, start=0, stop=steps * BATCH_SIZE)
    pinned = torch.device(device).type == "cuda"
    loader = keyed_loader(images, batches, dataset.config.num_workers, pin_memory=pinned)
    say(f"classifier  {steps} steps of {BATCH_SIZE} of {len(images)} real images, labels {some(names, 8)}")
    with BatchReader(loader) as reader:
        for step, batch in enumerate(tqdm(reader, "classifier", total=steps, unit="step", disable=None, leave=False)):
            if stopped():
                return None
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps) ** POWER
            tensors = to_device(batch, device)
            loss = classification_loss(network(tensors["image"]), tensors["labels"], label_sets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    info = ClassifierInfo(label_sets, images.size, len(images), steps)
    write_network(path, network.state_dict(), {METADATA: info.to_json()})
    return Classifier(network, info, label_sets, str(path), device)


def classification_loss(logits: Tensor, labels: Tensor, label_sets: Sequence[LabelSet]) -> Tensor:
    """The mean over images of the loss of logits (B, n) for labels (B, n) of 0 and 1, or NaN where they are unknown.

    Cross-entropy for a set of labels that exclude each other; else binary cross-entropy, the mean over its labels. An
    image counts in those sets of which its labels are known.
    """
    losses = []
    for part, exclusive in slices(label_sets):
        is_known = ~labels[:, part.start].isnan()
        own, target = logits[is_known, part], labels[is_known, part]  # (B', n'); B' may be 0
        if exclusive:
            losses.append(F.cross_entropy(own, target.argmax(1), reduction="sum"))
        else:
            losses.append(F.binary_cross_entropy_with_logits(own, target, reduction="none").mean(1).sum())
    return torch.stack(losses).sum() / len(logits)


def _initial_network(outputs: int) -> torch.nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_classifier(outputs)


class _Images(Dataset[dict]):
    """The training samples as a classifier needs them: ``image`` (H, W, 3) uint8 of one size, and its known
    ``labels`` (n,).

    The size is that of the first sample. Samples differ from it only with ``data.preprocess`` scale_width or none.
    """

    def __init__(self, dataset: ImageDataset) -> None:
        self.dataset = dataset
        height, width = dataset[0, 0]["input"].shape[:2]
        self.size: tuple[int, int] = (height, width)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        sample = self.dataset[key]
        image: np.ndarray = eight_bits(sample["input"])
        if image.shape[:2] != self.size:
            image = resize(image, *self.size)
        labels = self.dataset.known_labels(sample)
        return {"image": image, "labels": labels, "name": sample["name"], "skipped": sample["skipped"]}
