"""The classifier of the metric ``domain``: a ResNet-18 that recognises the domains or attributes of real images.

Choi et al., "StarGAN", arXiv 1711.09020, Table 3: a classifier trained on the real images of a set judges whether
translated images show their target. ``train_classifier`` trains it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision.models
from safetensors import safe_open
from torch import nn

from img2img.data.base import Labels
from img2img.data.images import as_input, eight_bits, resize
from img2img.weights import read_weights

FILE = "classifier.safetensors"  # in a run's folder
METADATA = "classifier"  # key of ``ClassifierInfo`` in the file's header


@dataclass(frozen=True)
class ClassifierInfo:
    """What a classifier was trained on: the metadata in its file."""

    names: tuple[str, ...]
    """The label of each output, see ``Labels``."""
    exclusive: bool
    """Whether its labels exclude each other, see ``Labels``."""
    size: tuple[int, int]
    """(height, width) of the training images."""
    images: int
    """Number of training images."""
    steps: int
    """Number of training steps."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ClassifierInfo:
        """Reverses ``to_json``. Raises ValueError for any other text."""
        try:
            values = json.loads(text)
            height, width = (int(side) for side in values["size"])
            names = tuple(str(name) for name in values["names"])
            if not names or min(height, width) < 1:
                raise ValueError("no label, or no pixel")
            exclusive, images, steps = bool(values["exclusive"]), int(values["images"]), int(values["steps"])
            return cls(names, exclusive, (height, width), images, steps)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"its metadata {METADATA!r} is damaged ({error})") from error

    def check(self, labels: Labels) -> None:
        """Raises ValueError unless the labels are those of the training, in any order."""
        if set(self.names) != set(labels.names):
            raise ValueError(f"trained on {', '.join(self.names)}, but this data set has {', '.join(labels.names)}")
        if self.exclusive != labels.exclusive:
            kinds = {True: "domains that exclude each other", False: "attributes"}
            raise ValueError(f"trained on {kinds[self.exclusive]}, but this data set has {kinds[labels.exclusive]}")


class Classifier:
    """A trained network as a function: ``classifier.logits(images)``.

    Args:
        network: (B, 3, H, W) in [-1, 1] -> logits (B, n), in the order of ``info.names``.
        info: what it was trained on.
        labels: the labels of the images to recognise, in the order of the logits that are returned.
        title: its name in reports.
        device: where the network computes.
    """

    def __init__(
        self,
        network: nn.Module,
        info: ClassifierInfo,
        labels: Labels,
        title: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.info, self.labels, self.title, self.device = info, labels, title, device
        self.outputs = [info.names.index(name) for name in labels.names]  # the network's output for each label

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images (H, W, C) uint8 or uint16 of one size -> logits (B, n) of their labels.

        Images of another size than those of the training are resized to it.
        """
        prepared = np.stack([_resized(eight_bits(image), self.info.size) for image in images])  # (B, H, W, 3)
        x = as_input(torch.from_numpy(prepared).to(self.device))
        with torch.inference_mode():
            return self.network(x)[:, self.outputs].float().cpu().numpy()


def build_classifier(outputs: int) -> nn.Module:
    """The network: torchvision's ResNet-18, (B, 3, H, W) in [-1, 1] -> logits (B, outputs)."""
    return torchvision.models.resnet18(weights=None, num_classes=outputs)


def load_classifier(
    path: Path, labels: Labels, device: torch.device | str = "cpu", *, option: str = "--classifier"
) -> Classifier:
    """Loads a file of ``train_classifier``.

    Args:
        path: the file.
        labels: the labels of the data set to evaluate.
        device: where the network computes.
        option: name of the option ``path`` in error messages.

    Raises:
        ValueError: the file is missing, damaged, of another network, or was trained on other labels.
    """
    advice = "use a file of evaluate.py --train-classifier"
    try:
        weights, metadata = read_weights(path), _metadata(path)
    except ValueError as error:
        raise ValueError(f"{option} {error}; {advice}") from error
    if metadata is None:
        raise ValueError(f"{option} {path}: no such classifier, it has no metadata {METADATA!r}; {advice}")
    try:
        info = ClassifierInfo.from_json(metadata)
        info.check(labels)
    except ValueError as error:
        raise ValueError(f"{option} {path}: {error}; train one for this data set by --train-classifier") from error
    network = build_classifier(len(info.names))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{option} {path}: its weights do not fit its metadata {METADATA!r}; {advice}") from error
    return Classifier(network, info, labels, str(path), device)


def _metadata(path: Path) -> str | None:
    """The text in the header of a safetensors file, if it is there."""
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(METADATA)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[:2] == size else resize(image, *size)
