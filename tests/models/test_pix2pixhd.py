"""pix2pixHD's losses against its paper's equations; its stages, options and sizes."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from img2img.config import Config
from img2img.models.pix2pixhd import Pix2PixHD
from img2img.networks.labels import boundary_map, one_hot
from img2img.networks.pix2pixhd import halve
from tests.conftest import make_step


def make(channels: dict[str, int] | None = None, **options: object) -> Pix2PixHD:
    torch.manual_seed(0)
    small = {"ngf": 4, "n_downs": 2, "n_blocks": 1, "ndf": 4, "n_layers_d": 2, "nef": 4, "lambda_vgg": 0.0}
    config = Pix2PixHD.Config(**{**small, "init_gain": 0.1, **options})
    return Pix2PixHD(config, channels or {"label": 5, "instance": 1, "target": 3})


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    label = torch.randint(-1, 5, (2, 1, 32, 48), dtype=torch.int32)
    return {"label": label, "instance": label * 1000 + 1, "target": torch.rand(2, 3, 32, 48) * 2 - 1}


def numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


@pytest.mark.parametrize("features", [False, True])
def test_pix2pixhd_losses_and_gradients_equal_the_papers(features: bool) -> None:
    model, data = make(instance_features=features, n_scales=2), batch()
    condition = torch.cat([one_hot(data["label"], 5), boundary_map(data["instance"])], 1).float()
    assert torch.equal(model.condition(data).float(), condition)
    features_too = torch.cat([condition, model.encoder(data["target"], data["instance"])], 1) if features else condition
    output = model.generator(features_too)
    images = model(data)
    torch.testing.assert_close(images["output"], output)

    def layers(image: torch.Tensor) -> list[list[torch.Tensor]]:
        x = torch.cat([condition, image], 1)
        fine, coarse = model.discriminator.scales
        return [fine(x, return_features=True), coarse(halve(x), return_features=True)]

    fake, real = layers(output), layers(data["target"])
    gan = sum(((scale[-1] - 1) ** 2).mean() for scale in fake)
    feat = torch.zeros(())
    for scale in (0, 1):
        for layer in (0, 1, 2):
            feat = feat + F.l1_loss(fake[scale][layer], real[scale][layer].detach())
    expected = {"gan": gan, "feat": 10 * 4 / 3 / 2 * feat}  # three layers, two scales
    terms, _ = model.generator_loss(data, images)
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    weights = [p for name in model.generators for p in getattr(model, name).parameters()]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, weights, retain_graph=True, materialize_grads=True)
        references = torch.autograd.grad(expected[name], weights, retain_graph=True, materialize_grads=True)
        for a, b in zip(gradients, references, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    if features:  # gradients reach the encoder through the generator
        gradients = torch.autograd.grad(sum(terms.values()), list(model.encoder.parameters()), materialize_grads=True)
        assert sum(gradient.abs().sum() for gradient in gradients) > 0

    terms, statistics = model.discriminator_loss(data, {name: x.detach() for name, x in images.items()})
    fake, real = layers(output.detach()), layers(data["target"])
    expected = {
        "real": 0.5 * sum(((scale[-1] - 1) ** 2).mean() for scale in real),
        "fake": 0.5 * sum((scale[-1] ** 2).mean() for scale in fake),
    }
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    assert set(statistics) == {"accuracy_real", "accuracy_fake", "gap", "relative_loss"}


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_pix2pixhd_computes_the_condition_once_per_step(
    micro_batches: int, tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    gan_step, conditions, pointers = make_step(tiny_hd()), [], []
    label = torch.randint(9, (1, 1, 16, 16), dtype=torch.int32)
    batches = [{"label": label, "instance": label, "target": torch.zeros(1, 3, 16, 16)}] * micro_batches
    condition, prepare = gan_step.model.condition, gan_step.model.gan._prepare
    monkeypatch.setattr(gan_step.model, "condition", lambda data: conditions.append(condition(data)) or conditions[-1])

    def recording_prepare(images: list, condition: torch.Tensor) -> list:
        pointers.append(condition.data_ptr())
        return prepare(images, condition)

    monkeypatch.setattr(gan_step.model.gan, "_prepare", recording_prepare)
    gan_step.run(batches, 0, 1.0)
    assert len(conditions) == micro_batches
    assert conditions[0].dtype == torch.bool
    expected = [x.data_ptr() for x in conditions]  # the G step prepares fake and real in one call, the D step in two
    assert pointers == [*expected, *(pointer for pointer in expected for _ in range(2))]


def test_pix2pixhd_leaves_out_terms_of_weight_zero() -> None:
    model, data = make(lambda_feat=0.0), batch()
    assert set(model.generator_loss(data, model(data))[0]) == {"gan"}


def test_pix2pixhd_weighs_the_perceptual_loss() -> None:
    model, data = make(lambda_vgg=3.0), batch()
    model.perceptual = lambda x, y: (x - y).abs().mean()  # type: ignore[assignment]
    terms, _ = model.generator_loss(data, images := model(data))
    assert terms["vgg"].item() == pytest.approx(3 * F.l1_loss(images["output"], data["target"]).item(), rel=1e-5)


def test_pix2pixhd_takes_images_as_inputs() -> None:
    model = make({"input": 3, "target": 3})
    data = {"input": torch.rand(1, 3, 32, 32), "target": torch.rand(1, 3, 32, 32)}
    assert model.condition(data) is data["input"]
    assert set(model.samples(data)) == {"output"}


def test_pix2pixhd_samples_without_photos_have_features_of_zero() -> None:
    model, data = make(instance_features=True), batch()
    del data["target"]
    condition = torch.cat([model.condition(data), torch.zeros(2, 3, 32, 48)], 1)
    torch.testing.assert_close(model.samples(data)["output"], model.generator(condition))
    assert model.samples(data)["labels"].shape == (2, 3, 32, 48)


def test_pix2pixhd_local_stage_adopts_a_global_generator() -> None:
    source, local = make(ngf=8), make(stage="local", n_scales=3)
    adopted = local.adopt("generator", source.generator.state_dict(), source.config)
    assert adopted.keys() == {key for key in local.generator.state_dict() if key.startswith("coarse.")}
    assert local.frozen_first == ("generator.coarse",)


def test_pix2pixhd_second_enhancer_freezes_the_first() -> None:
    source, finer = make(stage="local"), make(stage="local", n_enhancers=2, ngf=2)
    finer.adopt("generator", source.generator.state_dict(), source.config)
    assert finer.frozen_first == ("generator.coarse", "generator.enhancers.0")


def test_pix2pixhd_local_stage_keeps_the_resolution_of_discriminators() -> None:
    source, local = make(ngf=8), make(stage="local", n_scales=3)
    before = source.discriminator.state_dict()
    adopted = local.adopt("discriminator", before, source.config)
    assert {key.split(".")[1] for key in adopted} == {"1", "2"}
    assert torch.equal(adopted["scales.1.stages.0.0.weight"], before["scales.0.stages.0.0.weight"])
    assert torch.equal(adopted["scales.2.stages.0.0.weight"], before["scales.1.stages.0.0.weight"])


def test_pix2pixhd_adopt_names_the_option_that_differs() -> None:
    source, local = make(ngf=8), make(stage="local", n_scales=3)
    with pytest.raises(ValueError, match=r"model\.instance_features is false"):
        make(stage="local", instance_features=True).adopt("discriminator", {}, source.config)
    with pytest.raises(ValueError, match=r"model\.ngf is 16.*set model\.ngf 8"):
        local.adopt("generator", source.generator.state_dict(), make(ngf=16).config)
    with pytest.raises(ValueError, match=r"model\.stage local.* global"):
        source.adopt("generator", {}, local.config)


def test_pix2pixhd_instance_features_need_instances() -> None:
    with pytest.raises(ValueError, match=r"model\.instance_features: .*data\.instances"):
        make({"label": 5, "target": 3}, instance_features=True)


def test_pix2pixhd_config_names_options_out_of_range() -> None:
    for options in ({"ngf": 0}, {"n_scales": 0}, {"lambda_feat": -1.0}, {"n_layers_d": 0}, {"n_enhancers": 0}):
        with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
            make(**options)


def test_pix2pixhd_check_size_names_crop_size() -> None:
    with pytest.raises(ValueError, match=r"data\.crop_size 18: .*\b4\b.*model\.n_downs"):
        make().check_size(18)
    for options in ({"n_scales": 4}, {"lambda_vgg": 1.0}):  # the coarsest scale, and VGG19's, would have one pixel
        with pytest.raises(ValueError, match=r"data\.crop_size 8: .*model\.n_scales.*model\.lambda_vgg"):
            make(**options).check_size(8)
    make(n_scales=3).check_size(8)
    assert make(stage="local").padded(30) == 32


def test_pix2pixhd_encoder_may_have_its_own_n_downs() -> None:
    data = batch()
    model = make(instance_features=True, n_downs_e=3)
    assert model.encoder.network.stride == 8
    assert model.generate(data)["output"].shape == data["target"].shape
    assert [model.padded(side) for side in (1, 16, 17)] == [16, 16, 24]
    with pytest.raises(ValueError, match=r"data\.crop_size 20: .*\b8\b.*model\.n_downs_e"):
        model.check_size(20)
    assert make(instance_features=True, n_downs_e=1).padded(9) == 12


@pytest.mark.parametrize(("ndf", "options", "widths"), [
    (64, {}, [64, 128, 256, 512, 512]),
    (64, {"max_ndf": 512}, [64, 128, 256, 512, 512]),
    (96, {"max_ndf": 512}, [96, 192, 384, 512, 512]),
    (16, {"max_ndf": 512}, [16, 32, 64, 128, 256]),
    (16, {}, [16, 32, 64, 128, 128]),
])  # fmt: skip
def test_pix2pixhd_discriminator_widths_follow_ndf_and_max_ndf(ndf: int, options: dict, widths: list[int]) -> None:
    """The official code has ``nf = min(nf * 2, 512)``."""
    with torch.device("meta"):
        model = make(ndf=ndf, n_layers_d=4, n_scales=1, **options)
    (scale,) = model.discriminator.scales
    assert [stage[0].out_channels for stage in scale.stages[:-1]] == widths
