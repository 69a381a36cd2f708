"""The perceptual loss of pix2pixHD: the distance of two images by VGG19's features.

Johnson et al., arXiv 1603.08155; Wang et al., arXiv 1711.11585, Sec. 4 and the authors' code: the L1 distance of the
features at relu1_1 to relu5_1, weighted 1/32, 1/16, 1/8, 1/4, 1, of images in [-1, 1] as they are. The network is
torchvision's, and so are its weights (ImageNet), which are downloaded once or given as a file.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from img2img.weights import read_weights

CUTS = (2, 7, 12, 21, 30)  # after relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
SMALLEST_INPUT = 16  # side in pixels, of which four poolings leave one
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class PerceptualLoss(nn.Module):
    """(B, 1 or 3, H, W), (B, 1 or 3, H, W) in [-1, 1] -> the weighted distance of their features, a scalar.

    A gray image is shown as three equal channels. The network itself is never trained.
    """

    def __init__(self) -> None:
        super().__init__()
        features = vgg19(weights=None).features[: CUTS[-1]]
        self.slices = nn.ModuleList(features[a:b] for a, b in zip((0, *CUTS), CUTS, strict=False))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the features before it are compared
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
        """Takes torchvision's weights of VGG19, from a file or by its own loader.

        Raises:
            ValueError: there is no such file, it holds something else, or nothing can be downloaded.
        """
        remedy = "--model.vgg_weights takes torchvision's vgg19 file, --model.lambda_vgg 0 trains without it"
        if path is None:
            try:
                weights = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
            except (OSError, RuntimeError) as error:
                raise ValueError(f"VGG19's weights can't be downloaded ({error}): {remedy}") from error
        else:
            try:
                weights = read_weights(Path(path))
            except ValueError as error:
                raise ValueError(f"model.vgg_weights {error}; {remedy}") from error
        try:
            for part in self.slices:  # whose layers keep the numbers that they have in torchvision's
                part.load_state_dict({key: weights[f"features.{key}"] for key in part.state_dict()})
        except (KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(f"model.vgg_weights {path}: not torchvision's vgg19 ({reason}); {remedy}") from error
