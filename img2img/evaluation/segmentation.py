"""The FCN-score: how well a segmentation network recognises in made pictures what their label maps say.

Isola et al., arXiv 1611.07004, Sec. 4: "if the generated images are realistic, classifiers trained on real images will
be able to classify the synthesized image correctly as well". pix2pix and CycleGAN used FCN-8s of Cityscapes, pix2pixHD
PSPNet: figures of two networks don't compare, and those of the real photos, by the same network, say how to read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.models
from safetensors import safe_open
from torch import Tensor, nn

from img2img.data.images import resize
from img2img.evaluation.judges import IMAGENET_DEVIATION, IMAGENET_MEAN
from img2img.evaluation.labels import CITYSCAPES_SCORED
from img2img.networks.unet import UNet
from img2img.weights import read_weights

METADATA = "segmenter"  # of a file of our own: its key in the header
TORCHVISION = tuple(torchvision.models.list_models(torchvision.models.segmentation))


class Confusion:
    """How many pixels of each class were taken for which: ``counts`` (K, K + 1), the last column for none of them.

    Args:
        ids: the K classes that are scored; pixels that are truly of another one, or of none, are left out.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = np.array(sorted(ids))
        self.counts = np.zeros((len(ids), len(ids) + 1), np.int64)

    def add(self, truth: np.ndarray, seen: np.ndarray) -> float:
        """Takes in two maps of ids of one shape and returns the share of scored pixels that agree; NaN without any."""
        size = len(self.ids)
        rows, columns = self._places(truth), self._places(seen)
        scored = rows < size
        found = np.bincount(rows[scored] * (size + 1) + columns[scored], minlength=size * (size + 1))
        found = found.reshape(size, size + 1)
        self.counts += found
        return float(np.trace(found) / found.sum()) if found.any() else float("nan")

    def scores(self) -> dict[str, float]:
        """Pixel accuracy, class accuracy (mean over the classes that are there) and mean IoU (over those and the seen).

        The definitions of Long et al., arXiv 1411.4038, Sec. 5. Raises ValueError if no pixel was scored.
        """
        if not self.counts.any():
            raise ValueError(
                f"--metrics fcn: no pixel of the label maps is of a class that counts ({self.ids.tolist()})"
            )
        return {
            "pixel_accuracy": float(np.trace(self.counts) / self.counts.sum()),
            "class_accuracy": float(np.nanmean(self.accuracies())),
            "mean_iou": float(np.nanmean(self.ious())),
        }

    def accuracies(self) -> np.ndarray:
        """(K,): the share of each class's pixels that was recognised; NaN where there are none."""
        there = self.counts.sum(axis=1)
        return np.where(there > 0, np.diag(self.counts) / np.maximum(there, 1), np.nan)

    def ious(self) -> np.ndarray:
        """(K,): intersection over union of each class; NaN where it is neither there nor seen."""
        right = np.diag(self.counts)
        union = self.counts.sum(axis=1) + self.counts[:, :-1].sum(axis=0) - right
        return np.where(union > 0, right / np.maximum(union, 1), np.nan)

    def _places(self, ids: np.ndarray) -> np.ndarray:
        """Places in ``self.ids``, flat; their number for what is not among them."""
        flat = ids.ravel()
        place = np.searchsorted(self.ids, flat).clip(max=len(self.ids) - 1)
        return np.where(self.ids[place] == flat, place, len(self.ids))


class Segmenter:
    """A network that tells the class of each pixel: ``segmenter(picture) -> ids``.

    Args:
        network: (B, 3, H, W) -> logits (B, K, H, W), or a dictionary of torchvision with those as "out".
        ids: class of each of the K outputs, -1 for one that is none of the set's.
        title: for reports.
        width: of the pictures that it learnt from, to which others are scaled; unset, they stay as they are.
        stride: sides are padded to multiples of it.
        imagenet: whether it takes pictures as torchvision's networks do; else in [-1, 1].
    """

    def __init__(
        self,
        network: nn.Module,
        ids: Sequence[int],
        title: str,
        width: int | None = None,
        stride: int = 1,
        imagenet: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.ids, self.title, self.width, self.stride, self.device = np.array(ids), title, width, stride, device
        self.mean, self.deviation = (
            torch.tensor(values, device=device).view(3, 1, 1)
            for values in ((IMAGENET_MEAN, IMAGENET_DEVIATION) if imagenet else ((0.5,) * 3, (0.5,) * 3))
        )

    @property
    def scored(self) -> tuple[int, ...]:
        """The classes that it can tell."""
        return tuple(int(number) for number in self.ids if number >= 0)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> class ids (H, W), -1 where an output that is no class is highest."""
        sides = picture.shape[:2]
        if self.width is not None and sides[1] != self.width:
            picture = resize(picture, max(1, round(sides[0] * self.width / sides[1])), self.width)
        x = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            logits = F.interpolate(self.logits(x), sides, mode="bilinear")
            return self.ids[logits.argmax(dim=1)[0].cpu().numpy()]

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, K, H, W)."""
        height, width = pictures.shape[-2:]
        x = (pictures / 255 - self.mean) / self.deviation
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        found = self.network(x)
        return (found["out"] if isinstance(found, Mapping) else found)[..., :height, :width]


def own_network(classes: int) -> UNet:
    """The network of ``--train-segmenter``: pix2pix's U-Net, 32 times down at most, with a logit for each class."""
    return UNet(3, classes, norm="batch", dropout=False, bounded=False, num_downs=5, ngf=32)


def load_segmenter(
    text: str, classes: Sequence[int] | None = None, count: int | None = None, device: torch.device | str = "cpu"
) -> Segmenter:
    """A segmenter from a file, or by the name of a network whose weights torchvision publishes.

    Args:
        text: a file of ``--train-segmenter``; one of weights of a segmentation network of torchvision, which its keys
            and shapes tell; or such a network's name.
        classes: id of each output, -1 for none; a file of our own knows them.
        count: classes of the set, if known: as many outputs mean them in their order, and 19 Cityscapes' benchmark.
        device: where it is to judge.

    Raises:
        ValueError: no such file, it holds something else, or what the outputs mean must be told.
    """
    option = f"--segmenter {text}"
    if text in TORCHVISION:
        try:
            network = torchvision.models.get_model(text, weights="DEFAULT")
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{option}: its weights can't be downloaded ({error}); name their file") from error
        outputs = _outputs(network.state_dict())
        return Segmenter(network, _meanings(option, outputs, classes, count), f"{text} of torchvision", device=device)
    path = Path(text)
    try:
        own, weights = _read(path)
    except ValueError as error:
        raise ValueError(f"--segmenter {error}; it takes weights of {', '.join(TORCHVISION)}") from error
    if own is not None:
        if classes is not None:
            raise ValueError(f"{option}: knows its classes; leave --classes out")
        network = own_network(len(own["ids"]))
        network.load_state_dict(weights)
        return Segmenter(network, own["ids"], f"{path}", own["width"], network.stride, False, device)
    name, network = _recognised(option, weights)
    network.load_state_dict(weights)
    meanings = _meanings(option, _outputs(weights), classes, count)
    return Segmenter(network, meanings, f"{name}, weights {path}", device=device)


def _read(path: Path) -> tuple[dict[str, Any] | None, Mapping[str, Any]]:
    """What a file of our own says of itself, or None; and the tensors. Raises ValueError as ``read_weights``."""
    weights = read_weights(path)
    if path.suffix != ".safetensors":
        return None, weights
    with safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get(METADATA)
    return None if metadata is None else json.loads(metadata), weights


def _outputs(weights: Mapping[str, Any]) -> int:
    """Classes that a network of torchvision tells apart; 0 if it is none."""
    last = next(
        (weights[key] for key in ("classifier.4.weight", "classifier.low_classifier.weight") if key in weights), None
    )
    return 0 if last is None else len(last)


def _recognised(option: str, weights: Mapping[str, Any]) -> tuple[str, nn.Module]:
    """The network of torchvision whose keys and shapes these are, without weights."""
    shapes = {key: value.shape for key, value in weights.items()}
    outputs = _outputs(weights)
    for name in TORCHVISION if outputs else ():
        more = (
            {} if name.startswith("lraspp") else {"aux_loss": any(key.startswith("aux_classifier") for key in shapes)}
        )
        options = {"weights": None, "weights_backbone": None, "num_classes": outputs, **more}
        with torch.device("meta"):
            wanted = {k: v.shape for k, v in torchvision.models.get_model(name, **options).state_dict().items()}
        if wanted == shapes:
            return name, torchvision.models.get_model(name, **options)
    raise ValueError(
        f"{option}: its keys and shapes are of no segmentation network of torchvision ({', '.join(TORCHVISION)})"
    )


def _meanings(option: str, outputs: int, classes: Sequence[int] | None, count: int | None) -> Sequence[int]:
    """The class of each output."""
    if classes is None and outputs == count:
        return range(outputs)
    if classes is None and outputs == len(CITYSCAPES_SCORED) and count in (None, 34, 35):
        return CITYSCAPES_SCORED
    if classes is None or len(classes) != outputs:
        told = (
            f"--classes names {len(classes)}" if classes else f"the set has {count or 'an unknown number of'} classes"
        )
        raise ValueError(
            f"{option}: has {outputs} outputs, and {told}; --classes gives the id of each output, - for none: 7,8,-,11"
        )
    return classes
