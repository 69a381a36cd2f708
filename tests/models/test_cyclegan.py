"""CycleGAN's losses against its paper's equations, computed one image at a time; its options and sizes."""

import pytest
import torch
import torch.nn.functional as F

from img2img.losses.adversarial import GANLoss
from img2img.losses.balance import BalanceConfig
from img2img.losses.restoration import ssim_loss
from img2img.models.cyclegan import CycleGAN


def make(a: int = 3, b: int = 3, **options: object) -> CycleGAN:
    torch.manual_seed(0)
    small = {"n_blocks": 1, "ngf": 4, "ndf": 4, "n_layers_d": 1, "pool_size": 0, "init_gain": 0.1}
    return CycleGAN(CycleGAN.Config(**{**small, **options}), {"a": a, "b": b})


def batch(a: int = 3, b: int = 3) -> dict[str, torch.Tensor]:
    return {"a": torch.rand(2, a, 16, 16) * 2 - 1, "b": torch.rand(2, b, 16, 16) * 2 - 1}


def numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def assert_close(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_cyclegan_losses_and_gradients_equal_the_papers(norm: str, share: float) -> None:
    """Eq. 1 with least squares (Sec. 4), Eq. 2, Sec. 5.2; here each network gets one domain at a time."""
    model, data = make(norm=norm, lambda_identity=share, lambda_cycle=10.0), batch()
    a, b = data["a"], data["b"]
    g, f, d_a, d_b = model.generator_ab, model.generator_ba, model.discriminator_a, model.discriminator_b
    generators = [*g.parameters(), *f.parameters()]
    discriminators = [*d_a.parameters(), *d_b.parameters()]

    def squared(logits: torch.Tensor, label: float) -> torch.Tensor:
        return ((logits - label) ** 2).mean()

    images = model(data)
    assert set(images) == {"fake_a", "fake_b", "cycle_a", "cycle_b", *(("identity_a", "identity_b") if share else ())}
    terms, _ = model.generator_loss(data, images)
    expected = {
        "gan_a": squared(d_a(f(b)), 1),
        "gan_b": squared(d_b(g(a)), 1),
        "cycle_a": 10 * F.l1_loss(f(g(a)), a),
        "cycle_b": 10 * F.l1_loss(g(f(b)), b),
    }
    if share:
        expected |= {"identity_a": 5 * F.l1_loss(f(a), a), "identity_b": 5 * F.l1_loss(g(b), b)}
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    for name, term in terms.items():  # one by one: a missing gradient in one term must not hide behind another
        gradients = torch.autograd.grad(term, generators, retain_graph=True, materialize_grads=True)
        assert_close(list(gradients), list(torch.autograd.grad(expected[name], generators, materialize_grads=True)))

    terms, statistics = model.discriminator_loss(data, {name: x.detach() for name, x in model(data).items()})
    expected = {
        "real_a": 0.5 * squared(d_a(a), 1),
        "fake_a": 0.5 * squared(d_a(f(b).detach()), 0),
        "real_b": 0.5 * squared(d_b(b), 1),
        "fake_b": 0.5 * squared(d_b(g(a).detach()), 0),
    }
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    assert_close(
        list(torch.autograd.grad(sum(terms.values()), discriminators)),
        list(torch.autograd.grad(sum(expected.values()), discriminators)),
    )
    names = ("accuracy_real", "accuracy_fake", "gap", "relative_loss")
    assert set(statistics) == {f"{name}_{domain}" for name in names for domain in "ab"}


def test_cyclegan_compares_images_with_their_reconstructions() -> None:
    """SSIM, VGG and feature matching of a and F(G(a)), and of b and G(F(b)); the other terms stay as they are."""
    plain, data = make(lambda_identity=0.5), batch()
    model = make(lambda_identity=0.5, lambda_ssim=2.0, lambda_vgg=3.0, lambda_fm=7.0)
    model.load_state_dict(plain.state_dict())
    model.similarity.perceptual = lambda x, y: F.mse_loss(x, y)  # type: ignore[assignment]
    images = model(data)
    terms, _ = model.generator_loss(data, images)
    expected = plain.generator_loss(data, images)[0]
    for domain, d in (("a", model.discriminator_a), ("b", model.discriminator_b)):
        real, cycle = data[domain], images[f"cycle_{domain}"]
        expected[f"ssim_{domain}"] = 2 * ssim_loss(cycle, real)
        expected[f"vgg_{domain}"] = 3 * F.mse_loss(cycle, real)
        distances = []
        for stage in d.stages[:-1]:
            real, cycle = stage(real), stage(cycle)
            distances.append(F.l1_loss(real, cycle))
        expected[f"fm_{domain}"] = 7 * 4 / len(distances) * torch.stack(distances).sum()
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    generators = [*model.generator_ab.parameters(), *model.generator_ba.parameters()]
    for name, term in terms.items():
        gradients, wanted = (
            torch.autograd.grad(x, generators, retain_graph=True, materialize_grads=True)
            for x in (term, expected[name])
        )
        assert_close(list(gradients), list(wanted))


def test_cyclegan_leaves_out_terms_of_weight_zero() -> None:
    model, data = make(lambda_cycle=0.0, lambda_identity=0.5), batch()
    model.load_pretrained()  # needs no VGG19
    assert set(model.generator_loss(data, model(data))[0]) == {"gan_a", "gan_b"}
    model = make(lambda_cycle=0.0, lambda_cycle_b=1.0, lambda_identity=0.5)
    assert set(model.generator_loss(data, model(data))[0]) == {"gan_a", "gan_b", "cycle_b", "identity_b"}


def test_cyclegan_lambda_cycle_may_differ_by_domain() -> None:
    """lambda_cycle_a weighs the cycle A -> B -> A and the identity of A."""
    unweighted, data = make(lambda_identity=0.5, lambda_cycle=1.0), batch()
    weighted = make(lambda_identity=0.5, lambda_cycle=7.0, lambda_cycle_a=2.0, lambda_cycle_b=3.0)
    weighted.load_state_dict(unweighted.state_dict())
    terms, weighted_terms = (model.generator_loss(data, model(data))[0] for model in (unweighted, weighted))
    for name, factor in (("cycle_a", 2), ("identity_a", 2), ("cycle_b", 3), ("identity_b", 3), ("gan_a", 1)):
        assert weighted_terms[name].item() == pytest.approx(factor * terms[name].item())


def test_cyclegan_lambda_of_falls_back_to_lambda_cycle() -> None:
    config = CycleGAN.Config(lambda_cycle=7.0, lambda_cycle_a=2.0)
    assert (config.lambda_of("a"), config.lambda_of("b")) == (2.0, 7.0)


@pytest.mark.parametrize(("share", "passes"), [(0.5, 6), (0.0, 4)])
def test_cyclegan_passes_only_needed_images_through_its_networks(share: float, passes: int) -> None:
    model, data = make(lambda_identity=share), batch()
    counts = {"generator": 0, "discriminator": 0}
    for side, names in (("generator", model.generators), ("discriminator", model.discriminators)):
        for name in names:
            getattr(model, name).register_forward_hook(
                lambda _, inputs, __, side=side: counts.update({side: counts[side] + len(inputs[0])})
            )
    images = model(data)
    model.generator_loss(data, images)
    assert counts == {"generator": passes * 2, "discriminator": 2 * 2}  # the batch size is 2
    model.discriminator_loss(data, images)
    assert counts == {"generator": passes * 2, "discriminator": 6 * 2}


@pytest.mark.parametrize(
    ("norm", "minibatch_std", "batch_sizes"),
    [("instance", False, [4]), ("instance", True, [2, 2]), ("batch", False, [2, 2])],
)
def test_cyclegan_discriminator_gets_one_batch_unless_images_interact(
    norm: str, minibatch_std: bool, batch_sizes: list[int]
) -> None:
    model, data = make(norm=norm), batch()
    model.gan = GANLoss("lsgan", BalanceConfig(minibatch_std=minibatch_std))
    sizes: list[int] = []
    model.discriminator_a.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    images = model(data)
    terms, _ = model.discriminator_loss(data, images)
    assert sizes == batch_sizes
    outputs = [model.discriminator_a(x) for x in (data["a"], images["fake_a"])]
    expected, _ = model.gan.discriminator_loss(*outputs, weight=0.5)
    assert [terms["real_a"].item(), terms["fake_a"].item()] == pytest.approx(
        [x.item() for x in expected.values()], rel=1e-5
    )


def test_cyclegan_discriminators_get_fakes_from_the_pools() -> None:
    model, data = make(pool_size=2), batch()
    model.pool_a(torch.full((2, 3, 16, 16), 0.25))
    torch.manual_seed(3)  # some of the next random numbers choose stored images
    images = {"fake_a": data["a"] * 0, "fake_b": data["b"] * 0}
    inputs = []
    model.discriminator_a.register_forward_hook(lambda _, args, __: inputs.append(args[0]))
    model.discriminator_loss(data, images)
    (real_and_fake,) = inputs
    assert torch.equal(real_and_fake[:2], data["a"])
    assert {x.unique().item() for x in real_and_fake[2:]} <= {0.0, 0.25}
    assert 0.25 in {x.unique().item() for x in real_and_fake[2:]}


def test_cyclegan_generate_uses_the_generator_of_the_direction() -> None:
    model, data = make(1, 3, lambda_identity=0.0), batch(1, 3)
    forth = model.generate({"input": data["a"]})["output"]
    back = model.generate({"input": data["b"]}, "BtoA")["output"]
    assert (forth.shape[1], back.shape[1]) == (3, 1)
    assert torch.equal(forth, model.generator_ab(data["a"]))
    assert torch.equal(back, model.generator_ba(data["b"]))


def test_cyclegan_samples_have_cycles_and_identities() -> None:
    for share in (0.5, 0.0):  # also without an identity loss
        model, data = make(lambda_identity=share), batch()
        assert set(model.columns) == set(data) | set(model.samples(data))
        torch.testing.assert_close(model.samples(data)["identity_a"], model.generator_ba(data["a"]))
    gray = make(1, 3, lambda_identity=0.0)
    assert set(gray.samples(batch(1, 3))) == {"fake_a", "fake_b", "cycle_a", "cycle_b"}


def test_cyclegan_refuses_identity_loss_between_different_channels() -> None:
    with pytest.raises(ValueError, match=r"model\.lambda_identity 0\.5.*\b1\b.*\b3\b.*data\.channels_a"):
        make(1, 3)


def test_cyclegan_resolve_chooses_n_blocks_by_size() -> None:
    for size, blocks in ((64, 6), (128, 6), (256, 9), (512, 9)):
        config = CycleGAN.Config()
        assert CycleGAN.resolve(config, size).n_blocks == blocks
        assert config.n_blocks is None  # the argument is not changed
    assert CycleGAN.resolve(CycleGAN.Config(n_blocks=4), 256).n_blocks == 4


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, 18, r"\b4\b"),
        ({}, 4, r"\b8\b"),
        ({"n_layers_d": 5}, 64, r"model\.n_layers_d 5"),
        ({"lambda_vgg": 1.0}, 12, r"\b16\b.*model\.lambda_vgg"),
        ({"lambda_ssim": 1.0}, 8, r"\b11\b.*model\.lambda_ssim"),
    ],
)
def test_cyclegan_check_size_names_crop_size(options: dict, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.crop_size {size}.*{message}"):
        make(**options).check_size(size)


def test_cyclegan_padded_side_fits_the_generators() -> None:
    model = make()
    assert [model.padded(side) for side in (1, 8, 9, 255, 257)] == [8, 8, 12, 256, 260]
    model.generator_ab(torch.zeros(1, 3, model.padded(1), model.padded(9)))


@pytest.mark.parametrize(
    "options",
    [
        {"n_blocks": 0},
        {"ngf": 0},
        {"lambda_cycle": -1.0},
        {"lambda_cycle_a": -1.0},
        {"lambda_identity": -0.5},
        {"lambda_vgg": -1.0},
        {"lambda_ssim": -1.0},
        {"lambda_fm": -1.0},
        {"pool_size": -1},
    ],
)
def test_cyclegan_config_names_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        CycleGAN.Config(**options)
