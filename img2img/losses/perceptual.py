"""Distances between VGG19 features of two images (Johnson et al., arXiv 1603.08155).

``PerceptualLoss`` is pix2pixHD's (Wang et al., arXiv 1711.11585, Sec. 4): as in the official code, the features are
those of relu1_1 to relu5_1 with weights 1/32, 1/16, 1/8, 1/4, 1, and images in [-1, 1] are not normalised for ImageNet.
``ContentLoss`` is that of super-resolution: any layers, and images normalised as VGG19 was trained.

The network and its ImageNet weights are torchvision's; the weights are downloaded once, or read from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from img2img.weights import read_weights

CONVOLUTIONS = (2, 2, 4, 4, 4)  # of the five blocks, each followed by a pooling
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of RGB in [0, 1]
PERCEPTUAL = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
SMALLEST_INPUT = 16  # side in pixels; four poolings reduce it to 1
LAYERS = [
    f"{kind}{block}_{number}"
    for block, count in enumerate(CONVOLUTIONS, 1)
    for number in range(1, count + 1)
    for kind in ("conv", "relu")
]
"""Names of the layers: conv5_4 is the output of the fourth convolution of the fifth block, relu5_4 that after ReLU."""


def cut_after(layer: str) -> int:
    """The number of torchvision's layers up to and including ``layer``."""
    place = LAYERS.index(layer)
    poolings = int(layer[4]) - 1
    return place + poolings + 1


class VGGDistance(nn.Module):
    """Weighted distance of VGG19 features of two images. VGG19 is not trained.

    Args:
        weights: by the name of the layer, one of ``LAYERS``.
        distance: "l1" or "mse", each the mean over the features.
    """

    def __init__(self, weights: Mapping[str, float], distance: Literal["l1", "mse"]) -> None:
        super().__init__()
        layers = sorted(weights, key=LAYERS.index)
        self.weights = [weights[layer] for layer in layers]
        self.distance = F.l1_loss if distance == "l1" else F.mse_loss
        cuts = [cut_after(layer) for layer in layers]
        features = vgg19(weights=None).features[: cuts[-1]]
        self.slices = nn.ModuleList(features[a:b] for a, b in zip((0, *cuts), cuts, strict=False))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # no layer overwrites the features of another
        self.requires_grad_(False)

    def compare(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance, a scalar, of two images (B, 1 or 3, H, W); gray ones are repeated. ``y`` gets no gradient."""
        x, y = (image.expand(-1, 3, -1, -1) for image in (x, y))
        total = torch.zeros((), device=x.device)
        for weight, part in zip(self.weights, self.slices, strict=True):
            x = part(x)
            with torch.no_grad():
                y = part(y)
            total = total + weight * self.distance(x, y)
        return total

    def load(self, path: str | None) -> None:
        """Loads torchvision's VGG19 weights.

        Args:
            path: their file; None lets torchvision download them.

        Raises:
            ValueError: the file is missing or no VGG19 weights, or the download fails.
        """
        advice = "set --model.vgg_weights to torchvision's file of vgg19, or --model.lambda_vgg 0 to train without it"
        if path is None:
            try:
                weights = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
            except (OSError, RuntimeError) as error:
                raise ValueError(f"VGG19's weights can't be downloaded ({error}); {advice}") from error
        else:
            try:
                weights = read_weights(Path(path))
            except ValueError as error:
                raise ValueError(f"model.vgg_weights {error}; {advice}") from error
        try:
            for part in self.slices:  # slices keep the layers' numbers of torchvision
                part.load_state_dict({key: weights[f"features.{key}"] for key in part.state_dict()})
        except (KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(f"model.vgg_weights {path}: not torchvision's vgg19 ({reason}); {advice}") from error


class PerceptualLoss(VGGDistance):
    """pix2pixHD's: of two images (B, 1 or 3, H, W) in [-1, 1], a scalar."""

    def __init__(self) -> None:
        super().__init__(PERCEPTUAL, "l1")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return self.compare(output, target)


class ContentLoss(VGGDistance):
    """That of super-resolution: of two images (B, 1 or 3, H, W) in [0, 1], a scalar.

    ESRGAN compares features before ReLU (conv5_4), after which few are left (Wang et al., arXiv 1809.00219, Sec. 3.3).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, float], distance: Literal["l1", "mse"]) -> None:
        super().__init__(weights, distance)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return self.compare((output - self.mean) / self.deviation, (target - self.mean) / self.deviation)
