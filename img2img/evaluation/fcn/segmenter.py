"""Segmentation networks of the FCN-score: the U-Net that ``train_segmenter`` trains, and torchvision's models."""

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
from img2img.evaluation.fcn.label_maps import CITYSCAPES_EVAL_CLASSES
from img2img.evaluation.feature_networks import IMAGENET_DEVIATION, IMAGENET_MEAN
from img2img.networks.unet import UNet
from img2img.weights import read_weights

METADATA = "segmenter"  # key of ``SegmenterInfo`` in the header of a file of --train-segmenter
NUM_DOWNS = 5  # number of times that the U-Net halves images
STRIDE = 2**NUM_DOWNS  # the U-Net's input sides are multiples of it
TORCHVISION = tuple(torchvision.models.list_models(torchvision.models.segmentation))


class Segmenter:
    """A segmentation network as a ``ClassReader``: ``segmenter(image, size)`` returns class ids.

    Args:
        network: (B, 3, H, W) -> logits (B, K, H, W), or a dictionary with those as "out", as in torchvision.
        ids: class id of each of the K outputs, -1 for ignored ones.
        title: name in reports.
        info: metadata of a network of ``train_segmenter``; None for torchvision's models, which differ in
            normalisation and input size.
        device: device of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        ids: Sequence[int],
        title: str,
        info: SegmenterInfo | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.ids, self.title, self.info, self.device = np.array(ids), title, info, device
        values = (IMAGENET_MEAN, IMAGENET_DEVIATION) if info is None else ((0.5,) * 3, (0.5,) * 3)
        self.mean, self.deviation = (torch.tensor(value, device=device).view(3, 1, 1) for value in values)

    @property
    def classes(self) -> tuple[int, ...]:
        """Class ids that it can predict."""
        return tuple(int(number) for number in self.ids if number >= 0)

    def __call__(self, image: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Predicts the class of each pixel.

        A torchvision model gets the image resized to ``size``, as in the papers. A network of ``train_segmenter`` gets
        it at the size of its training photos.

        Args:
            image: (H, W, 3) uint8.
            size: height and width of the result (default: the image's).

        Returns:
            Class ids (H', W') of this size; -1 where an ignored output is the highest.
        """
        size = size or image.shape[:2]
        input_size = size if self.info is None else self.info.size or image.shape[:2]
        if image.shape[:2] != input_size:
            image = resize(image, *input_size)
        x = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            logits = F.interpolate(self.logits(x), size, mode="bilinear")
            return self.ids[logits.argmax(dim=1)[0].cpu().numpy()]

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> logits (B, K, H, W)."""
        height, width = images.shape[-2:]
        stride = 1 if self.info is None else STRIDE
        x = (images / 255 - self.mean) / self.deviation
        x = F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
        output = self.network(x)
        return (output["out"] if isinstance(output, Mapping) else output)[..., :height, :width]


@dataclass(frozen=True)
class SegmenterInfo:
    """Metadata in the file of a network of ``train_segmenter``."""

    ids: tuple[int, ...]
    """Class id of each output."""
    size: tuple[int, int] | None
    """(height, width) of the training photos; None if they differ in size."""
    count: int
    """Number of classes of the data set."""
    names: Mapping[int, str]
    """Names of the classes by id, if known."""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "names": {str(number): name for number, name in self.names.items()}})

    @classmethod
    def from_json(cls, text: str) -> SegmenterInfo:
        """Reverses ``to_json``. Raises ValueError for any other text."""
        try:
            values = json.loads(text)
            size = None if values["size"] is None else (int(values["size"][0]), int(values["size"][1]))
            ids = tuple(int(number) for number in values["ids"])
            names = {int(number): str(name) for number, name in values["names"].items()}
            if not ids or (size and min(size) < 1):
                raise ValueError("no class, or no pixel")
            return cls(ids, size, int(values["count"]), names)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"its metadata {METADATA!r} is damaged ({error})") from error

    def check(self, count: int | None, names: Mapping[int, str]) -> None:
        """Raises ValueError if the classes differ from a data set's: by names, or if there are none, by number."""
        common = self.names.keys() & names.keys()
        different = next((number for number in sorted(common) if self.names[number] != names[number]), None)
        if different is not None:
            raise ValueError(
                f"trained with class {different} as {self.names[different]}, but here it is {names[different]}"
            )
        if not common and count is not None and count != self.count:
            raise ValueError(f"trained on a data set of {self.count} classes, but this one has {count}")


def unet_segmenter(classes: int) -> UNet:
    """The network of ``--train-segmenter``: pix2pix's U-Net, (B, 3, H, W) -> logits (B, classes, H, W)."""
    return UNet(3, classes, norm="batch", dropout=False, bounded=False, num_downs=NUM_DOWNS, ngf=32)


def load_segmenter(
    text: str,
    classes: Sequence[int] | None = None,
    count: int | None = None,
    names: Mapping[int, str] | None = None,
    device: torch.device | str = "cpu",
) -> Segmenter:
    """Loads a segmentation network.

    Args:
        text: a file of ``--train-segmenter``; a file of weights of a torchvision model, which is identified by keys and
            shapes; or the name of a torchvision model, whose weights are downloaded.
        classes: class id of each output of a torchvision model, -1 to ignore it. By default, 19 outputs are those of
            Cityscapes, and ``count`` outputs are the classes in order.
        count: number of classes of the data set, if known.
        names: names of the data set's classes by id, if known.
        device: device of the network.

    Raises:
        ValueError: the file is missing, damaged, of another network or trained for other classes; weights can't be
            downloaded; or ``classes`` is needed or has a wrong length.
    """
    option = f"--segmenter {text}"
    if text in TORCHVISION:
        try:
            network = torchvision.models.get_model(text, weights="DEFAULT")
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{option}: its weights can't be downloaded ({error}); name their file") from error
        ids = _output_classes(option, _count_outputs(network.state_dict()), classes, count)
        return Segmenter(network, ids, f"{text} of torchvision", None, device)
    path = Path(text)
    try:
        info, weights = _read(path)
    except ValueError as error:
        raise ValueError(
            f"--segmenter {error}; expected a file of --train-segmenter, or weights of {', '.join(TORCHVISION)}"
        ) from error
    if info is not None:
        network = unet_segmenter(len(info.ids))
        try:
            info.check(count, names or {})
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{option}: its weights do not fit its metadata {METADATA!r}") from error
        except ValueError as error:
            raise ValueError(f"{option}: {error}; train one for this data set with --train-segmenter") from error
        return Segmenter(network, info.ids, str(path), info, device)
    name, network = _torchvision_model(option, weights)
    network.load_state_dict(weights)
    ids = _output_classes(option, _count_outputs(weights), classes, count)
    return Segmenter(network, ids, f"{name}, weights {path}", None, device)


def _read(path: Path) -> tuple[SegmenterInfo | None, Mapping[str, Any]]:
    """Metadata (None in files of others) and weights of a file. Raises ValueError as ``read_weights``."""
    weights = read_weights(path)
    if path.suffix != ".safetensors":
        return None, weights
    with safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get(METADATA)
    try:
        return None if metadata is None else SegmenterInfo.from_json(metadata), weights
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _count_outputs(weights: Mapping[str, Any]) -> int:
    """Number of outputs of a torchvision segmentation model, from the weights of its last layer; 0 for others."""
    last_layers = (weights.get(key) for key in ("classifier.4.weight", "classifier.low_classifier.weight"))
    return next((len(weight) for weight in last_layers if weight is not None and weight.ndim == 4), 0)


def _torchvision_model(option: str, weights: Mapping[str, Any]) -> tuple[str, nn.Module]:
    """Name and network of the torchvision model that has these keys and shapes; ``weights`` are not loaded."""
    shapes = {key: value.shape for key, value in weights.items()}
    outputs = _count_outputs(weights)
    for name in TORCHVISION if outputs else ():
        options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": outputs}
        if not name.startswith("lraspp"):
            options["aux_loss"] = any(key.startswith("aux_classifier") for key in shapes)
        with torch.device("meta"):
            expected = {k: v.shape for k, v in torchvision.models.get_model(name, **options).state_dict().items()}
        if expected == shapes:
            return name, torchvision.models.get_model(name, **options)
    raise ValueError(f"{option}: keys and shapes match no segmentation model of torchvision ({', '.join(TORCHVISION)})")


def _output_classes(option: str, outputs: int, classes: Sequence[int] | None, count: int | None) -> Sequence[int]:
    """The class id of each output of a torchvision model. Raises ValueError if ``classes`` is needed or wrong."""
    if classes is None and outputs == count:
        return range(outputs)
    if classes is None and outputs == len(CITYSCAPES_EVAL_CLASSES) and count in (None, 34, 35):
        return CITYSCAPES_EVAL_CLASSES
    if classes is None or len(classes) != outputs:
        number = (
            f"--classes has {len(classes)}"
            if classes
            else f"the data set has {count or 'an unknown number of'} classes"
        )
        raise ValueError(
            f"{option}: has {outputs} outputs, but {number}; give the class id of each output with --classes, - to "
            "ignore one, such as 7,8,-,11"
        )
    return classes
