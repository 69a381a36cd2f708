"""Perceptual loss of pix2pixHD: L1 distance between VGG19 features of two images.

Johnson et al., arXiv 1603.08155; Wang et al., arXiv 1711.11585, Sec. 4. As in the official code, the features are those
of relu1_1 to relu5_1 with weights 1/32, 1/16, 1/8, 1/4, 1, and images in [-1, 1] are not normalised for ImageNet. The
network and its ImageNet weights are torchvision's; the weights are downloaded once, or read from a file.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from img2img.weights import read_weights

CUTS = (2, 7, 12, 21, 30)  # after relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
SMALLEST_INPUT = 16  # side in pixels; four poolings reduce it to 1
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of the VGG19 features of two images (B, 1 or 3, H, W) in [-1, 1], a scalar.

    Gray images are repeated to three channels. VGG19 is not trained.
    """

    def __init__(self) -> None:
        super().__init__()
        features = vgg19(weights=None).features[: CUTS[-1]]
        self.slices = nn.ModuleList(features[a:b] for a, b in zip((0, *CUTS), CUTS, strict=False))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # no layer overwrites the features of another
        self.requires_grad_(False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        x, y = (image.expand(-1, 3, -1, -1) for image in (output, target))
        total = torch.zeros((), device=output.device)
        for weight, part in zip(WEIGHTS, self.slices, strict=True):
            x = part(x)
            with torch.no_grad():
                y = part(y)
            total = total + weight * F.l1_loss(x, y)
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
