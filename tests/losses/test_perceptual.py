"""The perceptual loss, with random weights that are saved and loaded as real ones are."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import vgg19

from img2img.losses.perceptual import SMALLEST_INPUT, PerceptualLoss


@pytest.fixture(scope="module")
def official() -> torch.nn.Module:
    torch.manual_seed(0)
    return vgg19(weights=None)


def test_perceptual_loss_is_the_weighted_distance_of_vgg19_features(official: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({k: v for k, v in official.state_dict().items() if k.startswith("features")}, tmp_path / "vgg.pth")
    loss = PerceptualLoss()
    loss.load(str(tmp_path / "vgg.pth"))
    x, y = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    expected, taps = 0.0, {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1 ... relu5_1
    a, b = x, y
    for i, layer in enumerate(official.features[:30]):
        a, b = (F.relu(z) if isinstance(layer, torch.nn.ReLU) else layer(z) for z in (a, b))
        if i in taps:
            expected += taps[i] * F.l1_loss(a, b).item()
    assert loss(x, y).item() == pytest.approx(expected, rel=1e-4)
    assert loss(x, x).item() == 0
    gray = torch.rand(1, 1, 32, 32)
    assert loss(gray, x[:1]).item() == pytest.approx(loss(gray.repeat(1, 3, 1, 1), x[:1]).item())
    x.requires_grad_()
    loss(x, y).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_perceptual_loss_load_names_the_file_and_the_options(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("weights")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "part.pth")
    torch.save([1], tmp_path / "list.pth")
    for path in ("nowhere.pth", "text.pth", "part.pth", "list.pth"):
        with pytest.raises(ValueError, match=rf"model\.vgg_weights .*{path}.*--model\.lambda_vgg 0") as raised:
            PerceptualLoss().load(str(tmp_path / path))
        assert "\n" not in str(raised.value)


def test_perceptual_loss_load_without_file_and_network_names_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"VGG19.*--model\.vgg_weights .*--model\.lambda_vgg 0"):
        PerceptualLoss().load(None)


def test_perceptual_loss_smallest_input_is_the_limit() -> None:
    loss = PerceptualLoss()
    image = torch.zeros(1, 3, SMALLEST_INPUT, SMALLEST_INPUT)
    assert loss(image, image + 1).isfinite()
    with pytest.raises(RuntimeError, match="too small"):
        loss(image[..., 1:], image[..., 1:])
