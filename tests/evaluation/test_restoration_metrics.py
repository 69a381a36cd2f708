"""Metrics of restoration: Y without a border, and holes, against numbers by hand and scikit-image."""

import numpy as np
import pytest
import skimage.metrics

from img2img.data.images import luma_plane
from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageRecord, ImageSet, Metric
from img2img.evaluation.metrics import PSNRY, SSIMY

RANDOM = np.random.default_rng(0)
MADE, TARGET = (RANDOM.integers(0, 256, (24, 30, 3), np.uint8) for _ in range(2))


def value_of(metric: Metric, image: np.ndarray, target: np.ndarray, shave: int) -> float:
    """The value of one image (H, W, C) and its target."""
    image_set = ImageSet("one", 1, lambda: iter(()))
    image_set.shave = shave
    metric.begin(image_set, FeatureNetworks())
    metric.update(ImageBatch([ImageRecord("0", image, target)], FeatureNetworks()))
    return metric.values[0]


def test_luma_plane_is_matlabs() -> None:
    pixel = np.array([[[10, 20, 30]]], np.uint8)
    assert luma_plane(pixel).item() == pytest.approx(31.5876, abs=1e-4)
    assert luma_plane(np.zeros((1, 1, 3), np.uint8)).item() == 16
    assert luma_plane(np.full((1, 1, 3), 255, np.uint8)).item() == pytest.approx(235)
    assert luma_plane(pixel / 255).item() == luma_plane(pixel).item()
    assert luma_plane(pixel.astype(np.uint16) * 257).item() == luma_plane(pixel).item()
    assert luma_plane(np.full((1, 1, 1), 77, np.uint8)).item() == 77


@pytest.mark.parametrize("shave", [0, 3])
def test_psnr_y_leaves_the_border_out(shave: int) -> None:
    inside = slice(shave, 24 - shave), slice(shave, 30 - shave)
    error = ((luma_plane(MADE)[inside] - luma_plane(TARGET)[inside]) ** 2).mean()
    assert value_of(PSNRY(), MADE, TARGET, shave) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)


@pytest.mark.parametrize("shave", [0, 2])
def test_ssim_y_is_scikit_images(shave: int) -> None:
    inside = slice(shave, 24 - shave), slice(shave, 30 - shave)
    planes = [luma_plane(image)[inside][:, :, 0] for image in (MADE, TARGET)]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, similarity = skimage.metrics.structural_similarity(*planes, full=True, **options)
    expected = similarity[5:-5, 5:-5].mean()
    assert value_of(SSIMY(), MADE, TARGET, shave) == pytest.approx(expected, abs=1e-6)
