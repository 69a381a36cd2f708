"""Networks that judge: their weights by file, LPIPS beside its package, and every way that weights can be missing."""

import sys
from pathlib import Path

import lpips
import pytest
import torch
from torchvision.models import alexnet, vgg16

from img2img.evaluation.feature_networks import load_features, load_lpips
from img2img.evaluation.inception import FIDInception


def images(count: int = 1, side: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def test_inception_takes_its_file() -> None:
    network = FIDInception()
    torch.save({**network.state_dict(), "AuxLogits.fc.bias": torch.zeros(1)}, "inception.pth")
    loaded = load_features("inception", "inception.pth")
    assert torch.equal(loaded(images())[0], network(images())[0])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_vgg16_gives_its_second_layer() -> None:
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
    colour = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        expected = network((images(side=224) / 255 - colour[0]) / colour[1])
    torch.testing.assert_close(features, expected)


def test_lpips_is_that_of_the_package() -> None:
    torch.manual_seed(0)
    backbone = alexnet(weights=None)
    torch.save(backbone.state_dict(), "alexnet.pth")
    a, b = (image[None] / 127.5 - 1 for image in images(2, 64))
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for part in (theirs.net.slice1, theirs.net.slice2, theirs.net.slice3, theirs.net.slice4, theirs.net.slice5):
        for number, layer in part.named_children():
            layer.load_state_dict(backbone.features[int(number)].state_dict())
    found = load_lpips("alexnet.pth")(a, b)
    assert found.shape == (1, 1, 1, 1)
    assert found.item() == pytest.approx(theirs(a, b).item(), rel=1e-6)
    assert found.item() > 0


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, "other.pth")
    torch.save(torch.zeros(1), "tensor.pth")
    Path("text.pth").write_text("no weights")
    for path, message in {
        "nowhere.pth": r"weights nowhere.pth: can't be read \(No such file .*\); expected those of inception",
        "text.pth": "weights text.pth: refused, it is no file of plain tensors",
        "tensor.pth": "weights tensor.pth: refused, it holds no tensors by their names",
        "other.pth": "weights other.pth: not those of inception",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            load_features("inception", path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"^lpips_weights other\.pth: not those of alexnet"):
        load_lpips("other.pth")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    line = r"can't be downloaded \(no network\)"
    for name in ("inception", "vgg16"):
        with pytest.raises(ValueError, match=f"weights of {name} {line}; weights names their file"):
            load_features(name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"weights of alexnet {line}; lpips_weights names their file"):
        load_lpips()
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match=r"lpips: python -m pip install lpips==0\.1\.4"):
        load_lpips()
