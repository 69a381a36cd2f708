"""DCGAN, unconditional and conditional: losses, noise, sample grid, options."""

import pytest
import torch
import torch.nn.functional as F

from img2img.config import Config
from img2img.data.unconditional import UnconditionalConfig
from img2img.models.dcgan import DCGAN
from img2img.training_options import OptimConfig, TrainConfig


def make(**options: object) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(DCGAN.Config(**{"size": 32, "noise_dim": 6, "ngf": 4, "ndf": 4, **options}), {"target": 2})


def batch() -> dict[str, torch.Tensor]:
    return {"target": torch.rand(3, 2, 32, 32) * 2 - 1, "class": torch.tensor([4, 0, 2])}


def test_dcgan_losses_equal_the_papers() -> None:
    """min_G max_D E log D(x) + E log(1 - D(G(z))) (arXiv 1406.2661, Eq. 1), with G's non-saturating loss."""
    model, data = make().eval(), batch()
    images = model(data)
    real, fake = (model.discriminator(x).sigmoid() for x in (data["target"], images["output"]))
    terms, statistics = model.discriminator_loss(data, images)
    expected = -(real.log().mean() + (1 - fake).log().mean())
    assert sum(terms.values()).item() == pytest.approx(expected.item(), rel=1e-4)
    assert set(statistics) == {"accuracy_real", "accuracy_fake", "gap", "relative_loss"}
    terms, _ = model.generator_loss(data, images)
    assert terms["gan"].item() == pytest.approx(-fake.log().mean().item(), rel=1e-4)


def test_dcgan_noise_is_reproducible_from_the_seed() -> None:
    model, data = make().eval(), batch()
    torch.manual_seed(3)
    first = model(data)["output"]
    assert not torch.equal(first, model(data)["output"])
    torch.manual_seed(3)
    assert torch.equal(first, model(data)["output"])
    assert torch.equal(*(model.noise(2, torch.Generator().manual_seed(5))["z"] for _ in range(2)))


def test_dcgan_conditions_both_networks_on_the_class() -> None:
    """D's input is one-hot class maps and the image; G's output depends on the class."""
    model, data = make(num_classes=5, init_gain=0.2).eval(), batch()
    inputs = []
    model.discriminator.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    model.discriminator_loss(data, {"output": torch.zeros_like(data["target"])})
    maps = torch.stack([torch.full((32, 32), float(n == c)) for c in (4, 0, 2) for n in range(5)]).view(3, 5, 32, 32)
    assert torch.equal(inputs[0], torch.cat([maps, data["target"]], dim=1))
    z = model.noise(1)["z"]
    of_class_1, of_class_3 = (model.generate({"z": z, "class": torch.tensor([c])})["output"] for c in (1, 3))
    assert not torch.allclose(of_class_1, of_class_3)
    assert torch.equal(model.one_hot(data), F.one_hot(data["class"], 5).float())


def test_dcgan_sheet_is_the_same_at_every_call() -> None:
    model = make()
    first, again = model.sheet(), model.sheet()
    assert [row["z"].shape for row in first] == [(8, 6)] * 8
    assert all(torch.equal(a["z"], b["z"]) for a, b in zip(first, again, strict=True))
    assert len({tuple(z.tolist()) for row in first for z in row["z"]}) == 64
    rows = make(num_classes=3).sheet()
    assert [row["class"].unique().tolist() for row in rows] == [[0], [1], [2]]
    assert all(torch.equal(row["z"], rows[0]["z"]) for row in rows)


@pytest.mark.parametrize(
    "options", [{"num_classes": -1}, {"noise_dim": 0}, {"ngf": 0}, {"ndf": 0}, {"size": 48}, {"init_gain": 0.0}]
)
def test_dcgan_config_names_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        DCGAN.Config(**options)


def test_dcgan_size_defaults_to_crop_size() -> None:
    def config(crop: int, **model: int) -> Config:
        data = UnconditionalConfig("x", load_size=crop, crop_size=crop)
        return Config("n", DCGAN.Config(**model), data, OptimConfig(), TrainConfig())

    assert config(128).model.size == 128
    with pytest.raises(ValueError, match=r"^data\.crop_size 100: .*32, 64, 128, 256"):
        config(100)
    with pytest.raises(ValueError, match=r"^data\.crop_size 64: .* model\.size 32"):
        make().check_size(config(64, size=32).data.crop_size)


def test_dcgan_refuses_another_number_of_classes_than_the_data_sets() -> None:
    class Images:
        classes: tuple[str, ...] = ("cat", "dog")

    make(num_classes=2).check_set(Images)
    make().check_set(Images)  # unconditional: any number of classes
    with pytest.raises(ValueError, match=r"^model\.num_classes 3: .*\b2\b"):
        make(num_classes=3).check_set(Images)
    Images.classes = ()
    with pytest.raises(ValueError, match=r"^model\.num_classes 3: .*\b0\b"):
        make(num_classes=3).check_set(Images)
