"""Pretrained networks of metrics: feature networks for FID, KID, IS, precision and recall, and LPIPS.

Weights are read from a given file or downloaded by the library that publishes them. No code is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, VGG16_Weights, vgg16

from img2img.errors import needs_extra
from img2img.evaluation.base import FeatureName
from img2img.evaluation.inception import FIDInception
from img2img.weights import read_weights

# Converted from TensorFlow's graph by torch-fidelity, whose network has the same outputs. The name ends with the hash
INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16Features(nn.Module):
    """VGG16 of torchvision: (B, 3, H, W) uint8 -> activations (B, 4096) of the second fully connected layer, and None.

    The features of improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991, Sec. 3.1).
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
    """Loads a feature network: (B, 3, H, W) uint8 -> features (B, D) and logits (B, K), or None for vgg16.

    Args:
        name: "inception", as in the papers of FID, KID and IS, or "vgg16", as in that of precision and recall.
        path: file of weights: torch-fidelity's or pytorch-fid's Inception, or torchvision's VGG16 (default: download).
        device: device of the network.
        option: name of the option ``path`` in error messages.

    Raises:
        ValueError: the file is missing, damaged or of another network; or weights can't be downloaded.
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
    """Loads LPIPS with AlexNet, version 0.1 (Zhang et al., arXiv 1801.03924).

    The network takes two batches (B, 3, H, W) in [-1, 1] and returns distances (B, 1, 1, 1). Its linear layers are part
    of torchmetrics; AlexNet's weights are torchvision's.

    Args:
        path: file of torchvision's alexnet weights (default: downloaded).
        device: device of the network.
        option: name of the option ``path`` in error messages.

    Raises:
        ValueError: torchmetrics is not installed; the file is missing, damaged or of another network; or
            weights can't be downloaded.
    """
    with needs_extra("metrics", "lpips"):
        from torchmetrics.functional.image.lpips import _LPIPS  # the public class downloads AlexNet

    def alexnet() -> Mapping[str, Any]:
        return AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)

    weights = _weights("alexnet", path, alexnet, option=option)
    network = _LPIPS(net="alex", pnet_rand=True)  # pnet_rand: AlexNet is not downloaded
    for part in network.net.children():  # slices of AlexNet, whose layers have torchvision's numbers
        tensors = {key: weights.get(f"features.{key}") for key in part.state_dict()}
        _load(part, {key: value for key, value in tensors.items() if value is not None}, "alexnet", f"{option} {path}")
    return network.to(device).requires_grad_(False).eval()


def _weights(
    name: str, path: str | None, download: Callable[[], Mapping[str, Any]], *, option: str
) -> Mapping[str, Any]:
    if path is not None:
        try:
            return read_weights(Path(path))
        except ValueError as error:
            raise ValueError(f"{option} {error}; expected weights of {name}") from error
    try:
        return download()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"weights of {name} can't be downloaded ({error}); name their file with {option}") from error


def _load(network: nn.Module, weights: Mapping[str, Any], name: str, file: str) -> None:
    """Loads a state dict. Raises ValueError, with ``file`` in front, if it belongs to another network."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]
        raise ValueError(f"{file}: not those of {name} ({reason})") from error
