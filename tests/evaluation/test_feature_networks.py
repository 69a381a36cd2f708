"""Pretrained networks of metrics: weights from files, LPIPS against its package, missing weights."""

import sys
from pathlib import Path

import lpips
import pytest
import torch
from torchvision.models import alexnet, vgg16

from img2img.evaluation.feature_networks import load_features, load_lpips
from img2img.evaluation.inception import FIDInception


def images(count: int = 1, side: int = 40) -> torch.Tensor:
    """(count, 3, side, side) uint8."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def test_load_features_reads_inception_weights() -> None:
    network = FIDInception()
    torch.save({**network.state_dict(), "AuxLogits.fc.bias": torch.zeros(1)}, "inception.pth")
    loaded = load_features("inception", "inception.pth")
    assert torch.equal(loaded(images())[0], network(images())[0])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_load_features_vgg16_gives_the_second_fully_connected_layer() -> None:
    network = vgg16(weights=None, init_weights=False).eval()
    network.classifier[6] = torch.nn.Identity()
    torch.save(
        {
            **network.state_dict(),
            "classifier.6.weight": torch.zeros(1000, 4096),
            "classifier.6.bias": torch.zeros(1000),
        },
        "v.pth",
    )
    features, logits = load_features("vgg16", "v.pth")(images(side=224))
    assert logits is None
    imagenet = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        expected = network((images(side=224) / 255 - imagenet[0]) / imagenet[1])
    torch.testing.assert_close(features, expected)


def test_load_lpips_equals_the_package() -> None:
    torch.manual_seed(0)
    backbone = alexnet(weights=None)
    torch.save(backbone.state_dict(), "alexnet.pth")
    a, b = (image[None] / 127.5 - 1 for image in images(2, 64))
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    net = reference.net
    for part in (net.slice1, net.slice2, net.slice3, net.slice4, net.slice5):
        for number, layer in part.named_children():
            layer.load_state_dict(backbone.features[int(number)].state_dict())
    distance = load_lpips("alexnet.pth")(a, b)
    assert distance.shape == (1, 1, 1, 1)
    assert distance.item() == pytest.approx(reference(a, b).item(), rel=1e-6)
    assert distance.item() > 0


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("nowhere.pth", "No such file"),
        ("text.pth", "state_dict"),
        ("tensor.pth", "state_dict"),
        ("other.pth", r"inception \(.*Conv2d_1a_3x3"),
    ],
)
def test_load_features_refuses_other_files(path: str, key: str) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, "other.pth")
    torch.save(torch.zeros(1), "tensor.pth")
    Path("text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=f"^weights {path}: .*{key}") as error:
        load_features("inception", path)
    assert "inception" in str(error.value)
    assert "\n" not in str(error.value)


def test_load_lpips_refuses_other_weights() -> None:
    torch.save({"fc.weight": torch.zeros(1)}, "other.pth")
    with pytest.raises(ValueError, match=r"^lpips_weights other\.pth: .*alexnet"):
        load_lpips("other.pth")


def test_weights_that_can_not_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    for name in ("inception", "vgg16"):
        with pytest.raises(ValueError, match=rf"{name}\b.*\(no network\).*\bweights\b"):
            load_features(name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"alexnet\b.*\(no network\).*\blpips_weights\b"):
        load_lpips()


def test_load_lpips_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image.lpips", None)
    with pytest.raises(ValueError, match=r"lpips: .*torchmetrics.*\[metrics\]"):
        load_lpips()
