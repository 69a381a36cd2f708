"""SSIM and VGG as optional losses: terms, sizes and channels; and runs of every model that has them."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from img2img.checkpoint import newest_checkpoint
from img2img.config import Config
from img2img.losses.perceptual import PerceptualLoss
from img2img.losses.restoration import ms_ssim_loss, ssim_loss
from img2img.losses.similarity import SimilarityLoss
from img2img.models.pix2pix import Pix2Pix
from img2img.training.trainer import train

Tiny = Callable[..., Config]


@pytest.fixture(autouse=True)
def _own_precision() -> Iterator[None]:
    """Accelerate keeps the first precision of a process for all later Accelerators."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def make(*channels: int, **options: object) -> SimilarityLoss:
    return SimilarityLoss(Pix2Pix.Config(**options), *channels)


def test_similarity_loss_is_empty_by_default_and_loads_nothing() -> None:
    loss = make(4)
    loss.load()
    assert loss.perceptual is None
    assert loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)) == {}
    assert loss.smallest_input == 1
    loss.check_size(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_similarity_loss_is_the_weighted_losses(channels: int, vgg_file: Path) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(2, channels, 16, 16) * 2 - 1, torch.rand(2, channels, 16, 16) * 2 - 1
    perceptual = PerceptualLoss()
    perceptual.load(str(vgg_file))
    for kind, ssim in (("ssim", ssim_loss), ("ms_ssim", ms_ssim_loss)):
        loss = make(channels, lambda_ssim=2.0, ssim=kind, lambda_vgg=3.0, vgg_weights=str(vgg_file))
        with pytest.raises(RuntimeError):
            loss(x, y)
        loss.load()
        terms = loss(x, y)
        assert set(terms) == {kind, "vgg"}
        torch.testing.assert_close(terms[kind], 2 * ssim(x, y))
        torch.testing.assert_close(terms["vgg"], 3 * perceptual(x, y))


@pytest.mark.parametrize(("key", "least"), [("lambda_vgg", 16), ("lambda_ssim", 11)])
def test_similarity_loss_smallest_size_is_the_limit(key: str, least: int, vgg_file: Path) -> None:
    loss = make(3, vgg_weights=str(vgg_file), **{key: 1.0})
    loss.load()
    assert loss.smallest_input == least
    loss.check_size(least)
    image = torch.rand(1, 3, least, least)
    assert all(term.isfinite() for term in loss(image, -image).values())
    with pytest.raises(ValueError, match=rf"^data\.crop_size {least - 1}: .*\b{least}\b.*model\.{key} 0") as raised:
        loss.check_size(least - 1)
    assert "\n" not in str(raised.value)


def test_similarity_loss_refuses_vgg_of_alpha_channels() -> None:
    with pytest.raises(ValueError, match=r"^model\.lambda_vgg 1\.0: .*\b4\b.*data\.channels_b"):
        make(3, 4, lambda_vgg=1.0)
    make(3, 4, lambda_ssim=1.0)


@pytest.mark.parametrize(
    ("fixture", "terms"),
    [
        ("tiny", {"gan", "fm", "ssim", "vgg"}),
        ("tiny_cyclegan", {f"{name}_{domain}" for name in ("gan", "fm", "ssim", "vgg") for domain in "ab"}),
        ("tiny_restoration", {"ssim", "vgg"}),
    ],
)
def test_models_train_on_similarity_alone(
    fixture: str, terms: set[str], vgg_file: Path, request: pytest.FixtureRequest
) -> None:
    """Without the pixels' distance. A resumed run may have VGG19's file elsewhere, and may not change a weight."""
    tiny: Tiny = request.getfixturevalue(fixture)
    pixels = {"tiny": "lambda_l1", "tiny_cyclegan": "lambda_cycle", "tiny_restoration": "lambda_pixel"}[fixture]
    model = {pixels: 0.0, "lambda_vgg": 1.0, "lambda_ssim": 2.0, "vgg_weights": str(vgg_file)}
    if fixture != "tiny_restoration":
        model["lambda_fm"] = 3.0
    run = train(tiny(model=model))
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    columns = {key.removeprefix("loss/generator/") for key in rows[0] if key.startswith("loss/generator/")}
    assert columns == terms
    assert all(float(rows[-1][f"loss/generator/{name}"]) > 0 for name in terms)
    Path("elsewhere.pth").symlink_to(vgg_file)
    train(tiny(model={**model, "vgg_weights": "elsewhere.pth"}, train={"max_steps": 5}), resume=True)
    with pytest.raises(ValueError, match=r"model\.lambda_ssim 1\.0: "):
        train(tiny(model={**model, "lambda_ssim": 1.0}, train={"max_steps": 6}), resume=True)


@pytest.mark.parametrize("fixture", ["tiny", "tiny_cyclegan"])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_feature_matching_resumes_bit_for_bit(fixture: str, precision: str, request: pytest.FixtureRequest) -> None:
    """With dropout and augmentation in D, whose draws the real and the other image share."""
    tiny: Tiny = request.getfixturevalue(fixture)
    changes = {"model": {"lambda_fm": 3.0, "lambda_ssim": 1.0}, "balance": {"dropout_d": 0.3, "augment": ("color",)}}
    run = train(tiny("whole", **changes, train={"precision": precision}))
    train(tiny("parts", **changes, train={"precision": precision, "max_steps": 3}))
    parts = train(tiny("parts", **changes, train={"precision": precision}), resume=True)
    files = sorted(newest_checkpoint(run)[0].glob("*.safetensors"))
    assert files
    for file in files:
        resumed = load_file(newest_checkpoint(parts)[0] / file.name)
        for key, value in load_file(file).items():
            assert torch.equal(value, resumed[key]), f"{file.name} {key}"


def test_missing_vgg_weights_leave_no_run(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match=r"model\.vgg_weights .*nowhere\.pth.*model\.lambda_vgg 0"):
        train(tiny(model={"lambda_vgg": 1.0, "vgg_weights": "nowhere.pth"}))
    assert not Path("runs/tiny").exists()
