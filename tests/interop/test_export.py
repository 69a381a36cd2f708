"""export_run: existing files are kept, and networks that the official code doesn't have are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from img2img.config import Config
from img2img.interop.export import export_run
from img2img.interop.runs import import_run
from img2img.training.trainer import train
from tests.helpers import call
from tests.interop.helpers import OFFICIAL, resnet
from tests.interop.official import Chain, Scales, chain, randomised, saved


def test_export_run_replaces_files_only_with_overwrite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import_run(saved(resnet(), Path("r.pth")))
    existing = Path("out/latest_net_G_A.pth")
    existing.parent.mkdir()
    existing.write_bytes(b"old content")
    argv = ("r", "--format", "junyanz", "--output", "out")
    assert call(monkeypatch, "export_weights", *argv) == 2
    error = capsys.readouterr().err
    assert "out/latest_net_G_A.pth" in error
    assert "--overwrite" in error
    assert existing.read_bytes() == b"old content"

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("torch.save", full)
        with pytest.raises(ValueError, match=r"^out: .*No space left"):
            export_run("r", "junyanz", Path("out"), overwrite=True)
    assert existing.read_bytes() == b"old content"
    assert call(monkeypatch, "export_weights", *argv, "--overwrite") == 0
    assert torch.load(existing, weights_only=True).keys() == resnet().state_dict().keys()
    assert list(existing.parent.iterdir()) == [existing]


@pytest.mark.parametrize(("ndf", "n_layers"), [(32, 4), (96, 3), (128, 3)])
@pytest.mark.parametrize("features", [True, False])
def test_export_run_returns_imported_discriminators_of_every_width(ndf: int, n_layers: int, features: bool) -> None:
    saved(Chain(chain(36, 3, 2, 3, 1, "instance")), OFFICIAL / "latest_net_G.pth")
    discriminator = randomised(Scales(39, ndf, n_layers, 1, "instance", features))
    saved(discriminator, OFFICIAL / "latest_net_D.pth")
    import_run(OFFICIAL / "latest_net_G.pth")
    _, written = export_run("official", "pix2pixhd")
    weights = torch.load(written, weights_only=True)
    assert weights.keys() == discriminator.state_dict().keys()  # in the layout of the imported file
    assert all(torch.equal(weights[key], value) for key, value in discriminator.state_dict().items())


def test_export_run_refuses_widths_that_the_official_code_has_not(tiny_hd: Callable[..., Config]) -> None:
    once = {"max_steps": 1}
    train(tiny_hd("wide", model={"ndf": 2, "n_layers_d": 4}, train=once))
    with pytest.raises(ValueError, match=r"model\.ndf 2 with model\.n_layers_d 4: .*model\.max_ndf 512"):
        export_run("wide", "pix2pixhd")
    train(tiny_hd("official-widths", model={"ndf": 2, "n_layers_d": 4, "max_ndf": 512, "lambda_feat": 0.0}, train=once))
    _, written = export_run("official-widths", "pix2pixhd")
    fresh = Scales(13, 2, 4, 2, "instance", False)
    fresh.load_state_dict(torch.load(written, weights_only=True), strict=True)
