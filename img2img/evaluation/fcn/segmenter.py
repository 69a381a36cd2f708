"""Segmentation networks: the one that ``train_segmenter`` trains, and those of torchvision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.models
from safetensors import safe_open
from torch import Tensor, nn

from img2img.data.images import resize
from img2img.evaluation.fcn.label_maps import CITYSCAPES_SCORED
from img2img.evaluation.feature_networks import IMAGENET_DEVIATION, IMAGENET_MEAN
from img2img.networks.unet import UNet
from img2img.weights import read_weights

METADATA = "segmenter"  # of a file of our own: its key in the header
NUM_DOWNS = 5  # of our own network: how often it halves images
STRIDE = 2**NUM_DOWNS
TORCHVISION = tuple(torchvision.models.list_models(torchvision.models.segmentation))


class Segmenter:
    """A network that tells the class of each pixel: ``segmenter(image, sides) -> ids``.

    Args:
        network: (B, 3, H, W) -> logits (B, K, H, W), or a dictionary of torchvision with those as "out".
        ids: class of each of the K outputs, -1 for one that is none of the set's.
        title: for reports.
        about: of a network of our own, what its file says of it; else it is torchvision's, and sees what those see.
        device: where it is to be.
    """

    def __init__(
        self,
        network: nn.Module,
        ids: Sequence[int],
        title: str,
        about: About | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.ids, self.title, self.about, self.device = np.array(ids), title, about, device
        values = (IMAGENET_MEAN, IMAGENET_DEVIATION) if about is None else ((0.5,) * 3, (0.5,) * 3)
        self.mean, self.deviation = (torch.tensor(value, device=device).view(3, 1, 1) for value in values)

    @property
    def scored(self) -> tuple[int, ...]:
        """The classes that it can tell."""
        return tuple(int(number) for number in self.ids if number >= 0)

    def __call__(self, image: np.ndarray, sides: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 -> class ids of these sides, or (H, W); -1 where an output that is no class is highest.

        A network of torchvision sees the image at these sides, as those of the papers do, and one of our own at the
        size that it has learnt from.
        """
        sides = sides or image.shape[:2]
        size = sides if self.about is None else self.about.size or image.shape[:2]
        if image.shape[:2] != size:
            image = resize(image, *size)
        x = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            logits = F.interpolate(self.logits(x), sides, mode="bilinear")
            return self.ids[logits.argmax(dim=1)[0].cpu().numpy()]

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, K, H, W)."""
        height, width = images.shape[-2:]
        stride = 1 if self.about is None else STRIDE
        x = (images / 255 - self.mean) / self.deviation
        x = F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
        found = self.network(x)
        return (found["out"] if isinstance(found, Mapping) else found)[..., :height, :width]


@dataclass(frozen=True)
class About:
    """What the file of a network of our own says of it."""

    ids: tuple[int, ...]
    """The class of each output."""
    size: tuple[int, int] | None
    """(height, width) of the photos that it has learnt from, if these are of one size."""
    count: int
    """Classes of their set."""
    names: Mapping[int, str]
    """Of the classes, as far as they are known."""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "names": {str(number): name for number, name in self.names.items()}})

    @classmethod
    def from_json(cls, text: str) -> About:
        """Raises ValueError for what no ``to_json`` wrote."""
        try:
            told = json.loads(text)
            size = None if told["size"] is None else (int(told["size"][0]), int(told["size"][1]))
            ids = tuple(int(number) for number in told["ids"])
            names = {int(number): str(name) for number, name in told["names"].items()}
            if not ids or (size and min(size) < 1):
                raise ValueError("no class, or no pixel")
            return cls(ids, size, int(told["count"]), names)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"what it says of itself is damaged ({error})") from error

    def check(self, count: int | None, names: Mapping[int, str]) -> None:
        """Raises ValueError if its classes are not those of a set, by their names or else by their number."""
        common = self.names.keys() & names.keys()
        other = next((number for number in sorted(common) if self.names[number] != names[number]), None)
        if other is not None:
            raise ValueError(f"knows class {other} as {self.names[other]}, and here it is {names[other]}")
        if not common and count is not None and count != self.count:
            raise ValueError(f"has learnt from a set of {self.count} classes, and this one has {count}")


def own_network(classes: int) -> UNet:
    """The network of ``--train-segmenter``: pix2pix's U-Net, 32 times down at most, with a logit for each class."""
    return UNet(3, classes, norm="batch", dropout=False, bounded=False, num_downs=NUM_DOWNS, ngf=32)


def load_segmenter(
    text: str,
    classes: Sequence[int] | None = None,
    count: int | None = None,
    names: Mapping[int, str] | None = None,
    device: torch.device | str = "cpu",
) -> Segmenter:
    """A segmenter from a file, or by the name of a network whose weights torchvision publishes.

    Args:
        text: a file of ``--train-segmenter``; one of weights of a segmentation network of torchvision, which its keys
            and shapes tell; or such a network's name.
        classes: id of each output, -1 for none; a file of our own knows them.
        count: classes of the set, if known: as many outputs mean them in their order, and 19 Cityscapes' benchmark.
        names: of the set's classes, if known.
        device: where it is to be.

    Raises:
        ValueError: no such file, it holds something else or knows other classes, or what the outputs mean must be told.
    """
    option = f"--segmenter {text}"
    if text in TORCHVISION:
        try:
            network = torchvision.models.get_model(text, weights="DEFAULT")
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{option}: its weights can't be downloaded ({error}); name their file") from error
        outputs = _outputs(network.state_dict())
        return Segmenter(network, _meanings(option, outputs, classes, count), f"{text} of torchvision", None, device)
    path = Path(text)
    try:
        about, weights = _read(path)
    except ValueError as error:
        raise ValueError(f"--segmenter {error}; it takes weights of {', '.join(TORCHVISION)}") from error
    if about is not None:
        network = own_network(len(about.ids))
        try:
            about.check(count, names or {})
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{option}: its weights are not those of what it says of itself") from error
        except ValueError as error:
            raise ValueError(f"{option}: {error}; --train-segmenter trains one for this set") from error
        return Segmenter(network, about.ids, str(path), about, device)
    name, network = _recognised(option, weights)
    network.load_state_dict(weights)
    meanings = _meanings(option, _outputs(weights), classes, count)
    return Segmenter(network, meanings, f"{name}, weights {path}", None, device)


def _read(path: Path) -> tuple[About | None, Mapping[str, Any]]:
    """What a file of our own says of itself, or None; and the tensors. Raises ValueError as ``read_weights``."""
    weights = read_weights(path)
    if path.suffix != ".safetensors":
        return None, weights
    with safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get(METADATA)
    try:
        return None if metadata is None else About.from_json(metadata), weights
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _outputs(weights: Mapping[str, Any]) -> int:
    """Classes that a network of torchvision tells apart; 0 if it is none."""
    lasts = (weights.get(key) for key in ("classifier.4.weight", "classifier.low_classifier.weight"))
    return next((len(last) for last in lasts if last is not None and last.ndim == 4), 0)


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
