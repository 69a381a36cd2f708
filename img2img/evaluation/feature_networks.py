"""Pretrained networks that look at images: features for distances between sets, and LPIPS for pairs.

Their weights come from a stated file or by the loader of the library that publishes them, and never by pickle.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, VGG16_Weights, vgg16

from img2img.evaluation.base import FeatureName
from img2img.evaluation.inception import FIDInception
from img2img.weights import read_weights

# Made from TensorFlow's graph by torch-fidelity, whose network this one equals; the name ends with its own hash
INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16Features(nn.Module):
    """(B, 3, H, W) uint8 -> (B, 4096), the second fully connected layer, and no logits.

    The features of improved precision and recall (Kynkäänniemi et al., Sec. 3.1); the network is torchvision's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = vgg16(weights=None, init_weights=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        x = F.interpolate(images.float() / 255, (224, 224), mode="bilinear", antialias=True)
        mean, deviation = (x.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        x = self.network.avgpool(self.network.features((x - mean) / deviation)).flatten(1)  # (B, 25088)
        return self.network.classifier[:5](x), None


def load_features(
    name: FeatureName, path: str | None = None, device: torch.device | str = "cpu", *, option: str = "weights"
) -> nn.Module:
    """A network: (B, 3, H, W) uint8 -> features (B, D) and logits (B, K), or None where classes are not its own.

    Args:
        name: "inception", what FID, KID and IS are defined by, or "vgg16", what precision and recall are.
        path: file of weights: that of torch-fidelity or pytorch-fid, or torchvision's vgg16; unset, it is downloaded.
        device: where it is to be.
        option: that names the file, for messages.

    Raises:
        ValueError: there is no such file, it holds something else, or nothing can be downloaded.
    """

    def inception() -> Mapping[str, Any]:
        return torch.hub.load_state_dict_from_url(INCEPTION, map_location="cpu", check_hash=True, weights_only=True)

    def vgg() -> Mapping[str, Any]:
        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)

    network: nn.Module = FIDInception() if name == "inception" else VGG16Features()
    weights = _weights(name, path, inception if name == "inception" else vgg, option=option)
    weights = {key: value for key, value in weights.items() if not key.startswith("AuxLogits.")}
    _load(getattr(network, "network", network), weights, name, f"{option} {path}")
    return network.to(device)


def load_lpips(
    path: str | None = None, device: torch.device | str = "cpu", *, option: str = "lpips_weights"
) -> nn.Module:
    """LPIPS of AlexNet, version 0.1 (Zhang et al., arXiv 1801.03924): two (B, 3, H, W) in [-1, 1] -> (B, 1, 1, 1).

    The linear layers come with the package ``lpips``, AlexNet's weights from torchvision.

    Args:
        path: torchvision's file of alexnet; unset, it is downloaded.
        device: where it is to be.
        option: that names the file, for messages.

    Raises:
        ValueError: the package is not installed; the file is missing or another one; nothing can be downloaded.
    """
    try:
        import lpips
    except ImportError as error:
        raise ValueError("lpips: python -m pip install lpips==0.1.4, or leave it out") from error

    def alexnet() -> Mapping[str, Any]:
        return AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)

    weights = _weights("alexnet", path, alexnet, option=option)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision for AlexNet as was done before 2022
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)  # or it would download AlexNet itself
    for part in network.net.children():  # whose layers keep the numbers that they have in torchvision's
        wanted = {key: weights.get(f"features.{key}") for key in part.state_dict()}
        _load(part, {key: value for key, value in wanted.items() if value is not None}, "alexnet", f"{option} {path}")
    return network.to(device).requires_grad_(False).eval()


def _weights(
    name: str, path: str | None, download: Callable[[], Mapping[str, Any]], *, option: str
) -> Mapping[str, Any]:
    if path is not None:
        try:
            return read_weights(Path(path))
        except ValueError as error:
            raise ValueError(f"{option} {error}; expected those of {name}") from error
    try:
        return download()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"weights of {name} can't be downloaded ({error}); {option} names their file") from error


def _load(network: nn.Module, weights: Mapping[str, Any], name: str, file: str) -> None:
    """Gives a network its weights. Raises ValueError, which begins with ``file``, if they are another network's."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]
        raise ValueError(f"{file}: not those of {name} ({reason})") from error
