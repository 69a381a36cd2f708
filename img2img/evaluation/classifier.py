"""The classifier of the metric ``domain``: a ResNet-18 that recognises the domains or attributes of real images.

Choi et al., "StarGAN", arXiv 1711.09020, Table 3: whether translated images show their target is decided by a
classifier that was trained on the real images of the set. ``train_classifier`` trains it.
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

from img2img.data.base import LabelSet, TargetLabel
from img2img.data.images import as_input, eight_bits, resize
from img2img.weights import read_weights

FILE = "classifier.safetensors"  # in a run's folder
METADATA = "classifier"  # key of ``ClassifierInfo`` in the file's header


@dataclass(frozen=True)
class ClassifierInfo:
    """What a classifier was trained on: the metadata in its file."""

    label_sets: tuple[LabelSet, ...]
    """The labels of its outputs, in their order."""
    size: tuple[int, int]
    """(height, width) of the training images."""
    images: int
    """Number of training images."""
    steps: int
    """Number of training steps."""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "label_sets": [each._asdict() for each in self.label_sets]})

    @classmethod
    def from_json(cls, text: str) -> ClassifierInfo:
        """Reverses ``to_json``. Raises ValueError for any other text."""
        try:
            values = json.loads(text)
            height, width = (int(side) for side in values["size"])
            label_sets = tuple(
                LabelSet(tuple(str(name) for name in each["names"]), bool(each["exclusive"]))
                for each in values["label_sets"]
            )
            if not all_names(label_sets) or min(height, width) < 1:
                raise ValueError("no label, or no pixel")
            return cls(label_sets, (height, width), int(values["images"]), int(values["steps"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"its metadata {METADATA!r} is damaged ({error})") from error

    def check(self, label_sets: Sequence[LabelSet]) -> None:
        """Raises ValueError unless the labels are those of the training, in any order."""

        def described(sets: Sequence[LabelSet]) -> dict[frozenset[str], str]:
            return {frozenset(each.names): "domains" if each.exclusive else "attributes" for each in sets}

        def text(sets: Sequence[LabelSet]) -> str:
            return " and ".join(
                f"the {described([each])[frozenset(each.names)]} {', '.join(each.names)}" for each in sets
            )

        if described(self.label_sets) != described(label_sets):
            raise ValueError(f"trained on {text(self.label_sets)}, but this data set has {text(label_sets)}")


class Classifier:
    """A trained network as a function: ``classifier.logits(images)``.

    Args:
        network: (B, 3, H, W) in [-1, 1] -> logits (B, n), in the order of ``info.label_sets``.
        info: what it was trained on.
        label_sets: the same labels in the order of the data set to evaluate, which is that of the returned logits.
        title: its name in reports.
        device: where the network computes.
    """

    def __init__(
        self,
        network: nn.Module,
        info: ClassifierInfo,
        label_sets: Sequence[LabelSet],
        title: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.info, self.label_sets, self.title, self.device = info, tuple(label_sets), title, device
        trained = all_names(info.label_sets)
        self.outputs = [trained.index(name) for name in all_names(label_sets)]  # the network's output for each label

    def is_missed(self, logits: np.ndarray, target: TargetLabel) -> np.ndarray:
        """Whether images with these logits (N, n) are not taken for their target, (N,).

        Of labels that exclude each other, the target must have the highest logit; an attribute's must have the right
        sign.
        """
        part, exclusive = next(
            each for each in slices(self.label_sets) if each[0].start <= target.number < each[0].stop
        )
        if exclusive:
            return logits[:, part].argmax(axis=1) != target.number - part.start
        return (logits[:, target.number] > 0) != target.on

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images (H, W, C) uint8 or uint16 of one size -> logits (B, n) of their labels.

        Images of another size than those of the training are resized to it.
        """
        prepared = np.stack([_resized(eight_bits(image), self.info.size) for image in images])  # (B, H, W, 3)
        x = as_input(torch.from_numpy(prepared).to(self.device))
        with torch.inference_mode():
            return self.network(x)[:, self.outputs].float().cpu().numpy()


def all_names(label_sets: Sequence[LabelSet]) -> list[str]:
    """The names of all labels."""
    return [name for each in label_sets for name in each.names]


def slices(label_sets: Sequence[LabelSet]) -> list[tuple[slice, bool]]:
    """(Where its labels are among all of them, whether they exclude each other) of each set."""
    ends = np.cumsum([len(each.names) for each in label_sets]).tolist()
    return [(slice(end - len(each.names), end), each.exclusive) for each, end in zip(label_sets, ends, strict=True)]


def build_classifier(outputs: int) -> nn.Module:
    """The network: torchvision's ResNet-18, (B, 3, H, W) in [-1, 1] -> logits (B, outputs)."""
    return torchvision.models.resnet18(weights=None, num_classes=outputs)


def load_classifier(
    path: Path, label_sets: Sequence[LabelSet], device: torch.device | str = "cpu", *, option: str = "--classifier"
) -> Classifier:
    """Loads a file of ``train_classifier``.

    Args:
        path: the file.
        label_sets: the labels of the data set to evaluate.
        device: where the network computes.
        option: name of the option ``path`` in error messages.

    Raises:
        ValueError: the file is missing, damaged, of another network, or was trained on other labels.
    """
    advice = "use a file of evaluate --train-classifier"
    try:
        weights, metadata = read_weights(path), _metadata(path)
    except ValueError as error:
        raise ValueError(f"{option} {error}; {advice}") from error
    if metadata is None:
        raise ValueError(f"{option} {path}: no such classifier, it has no metadata {METADATA!r}; {advice}")
    try:
        info = ClassifierInfo.from_json(metadata)
        info.check(label_sets)
    except ValueError as error:
        raise ValueError(f"{option} {path}: {error}; train one for this data set by --train-classifier") from error
    network = build_classifier(len(all_names(info.label_sets)))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{option} {path}: its weights do not fit its metadata {METADATA!r}; {advice}") from error
    return Classifier(network, info, label_sets, str(path), device)


def _metadata(path: Path) -> str | None:
    """The text in the header of a safetensors file, if it is there."""
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(METADATA)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if image.shape[:2] == size else resize(image, *size)
