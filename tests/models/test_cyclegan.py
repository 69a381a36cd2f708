"""CycleGAN against its paper, written out image by image."""

import pytest
import torch
import torch.nn.functional as F

from img2img.losses.adversarial import GANLoss
from img2img.losses.balance import BalanceConfig
from img2img.models.cyclegan import CycleGAN


def make(a: int = 3, b: int = 3, **options: object) -> CycleGAN:
    torch.manual_seed(0)
    small = {"n_blocks": 1, "ngf": 4, "ndf": 4, "n_layers_d": 1, "pool_size": 0, "init_gain": 0.1}
    return CycleGAN(CycleGAN.Config(**{**small, **options}), {"a": a, "b": b})


def batch(a: int = 3, b: int = 3) -> dict[str, torch.Tensor]:
    return {"a": torch.rand(2, a, 16, 16) * 2 - 1, "b": torch.rand(2, b, 16, 16) * 2 - 1}


def numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_losses_and_their_gradients_are_the_papers(norm: str, share: float) -> None:
    """Eq. 1 with least squares (Sec. 4), Eq. 2, Sec. 5.2; each network asked for one domain at a time."""
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
    for name, term in terms.items():  # each by itself: what is cut off in one must not hide behind another
        found = torch.autograd.grad(term, generators, retain_graph=True, materialize_grads=True)
        close(list(found), list(torch.autograd.grad(expected[name], generators, materialize_grads=True)))

    terms, statistics = model.discriminator_loss(data, {name: x.detach() for name, x in model(data).items()})
    expected = {
        "real_a": 0.5 * squared(d_a(a), 1),
        "fake_a": 0.5 * squared(d_a(f(b).detach()), 0),
        "real_b": 0.5 * squared(d_b(b), 1),
        "fake_b": 0.5 * squared(d_b(g(a).detach()), 0),
    }
    assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-4)
    close(
        list(torch.autograd.grad(sum(terms.values()), discriminators)),
        list(torch.autograd.grad(sum(expected.values()), discriminators)),
    )
    told = ("accuracy_real", "accuracy_fake", "gap", "relative_loss")
    assert set(statistics) == {f"{what}_{domain}" for what in told for domain in "ab"}


def test_each_domain_may_have_its_own_weight_of_the_cycle() -> None:
    """The cycle A -> B -> A and the identity of A take lambda_cycle_a."""
    plain, data = make(lambda_identity=0.5, lambda_cycle=1.0), batch()
    weighted = make(lambda_identity=0.5, lambda_cycle=7.0, lambda_cycle_a=2.0, lambda_cycle_b=3.0)
    weighted.load_state_dict(plain.state_dict())
    one, other = (model.generator_loss(data, model(data))[0] for model in (plain, weighted))
    for name, factor in (("cycle_a", 2), ("identity_a", 2), ("cycle_b", 3), ("identity_b", 3), ("gan_a", 1)):
        assert other[name].item() == pytest.approx(factor * one[name].item())
    half = make(lambda_cycle=7.0, lambda_cycle_a=2.0)
    assert (half.config.lambda_of("a"), half.config.lambda_of("b")) == (2.0, 7.0)


@pytest.mark.parametrize(("share", "pictures"), [(0.5, 6), (0.0, 4)])
def test_no_image_is_made_that_the_maths_does_not_need(share: float, pictures: int) -> None:
    model, data = make(lambda_identity=share), batch()
    seen = {"generator": 0, "discriminator": 0}
    for side, names in (("generator", model.generators), ("discriminator", model.discriminators)):
        for name in names:
            getattr(model, name).register_forward_hook(
                lambda _, given, __, side=side: seen.update({side: seen[side] + len(given[0])})
            )
    images = model(data)
    model.generator_loss(data, images)
    assert seen == {"generator": pictures * 2, "discriminator": 2 * 2}  # images of each of the two in the batch
    model.discriminator_loss(data, images)
    assert seen == {"generator": pictures * 2, "discriminator": 6 * 2}


@pytest.mark.parametrize(
    ("norm", "minibatch_std", "asked"), [("instance", False, [4]), ("instance", True, [2, 2]), ("batch", False, [2, 2])]
)
def test_a_discriminator_sees_one_batch_unless_it_mixes_images(
    norm: str, minibatch_std: bool, asked: list[int]
) -> None:
    model, data = make(norm=norm), batch()
    model.gan = GANLoss("lsgan", BalanceConfig(minibatch_std=minibatch_std))
    seen: list[int] = []
    model.discriminator_a.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    images = model(data)
    terms, _ = model.discriminator_loss(data, images)
    assert seen == asked
    apart = [model.discriminator_a(x) for x in (data["a"], images["fake_a"])]
    expected, _ = model.gan.discriminator_loss(*apart, weight=0.5)
    assert [terms["real_a"].item(), terms["fake_a"].item()] == pytest.approx(
        [x.item() for x in expected.values()], rel=1e-5
    )


def test_discriminators_are_shown_the_pools() -> None:
    model, data = make(pool_size=2), batch()
    model.pool_a(torch.full((2, 3, 16, 16), 0.25))
    torch.manual_seed(3)  # of four coins some show tails
    images = {"fake_a": data["a"] * 0, "fake_b": data["b"] * 0}
    asked = []
    model.discriminator_a.register_forward_hook(lambda _, given, __: asked.append(given[0]))
    model.discriminator_loss(data, images)
    (shown,) = asked
    assert torch.equal(shown[:2], data["a"])
    assert {x.unique().item() for x in shown[2:]} <= {0.0, 0.25}
    assert 0.25 in {x.unique().item() for x in shown[2:]}


def test_each_direction_has_its_own_generator() -> None:
    model, data = make(1, 3, lambda_identity=0.0), batch(1, 3)
    forth = model.generate({"input": data["a"]})["output"]
    back = model.generate({"input": data["b"]}, "BtoA")["output"]
    assert (forth.shape[1], back.shape[1]) == (3, 1)
    assert torch.equal(forth, model.generator_ab(data["a"]))
    assert torch.equal(back, model.generator_ba(data["b"]))


def test_samples_show_both_cycles_and_the_identities() -> None:
    for share in (0.5, 0.0):  # shown even where nobody pays for them
        model, data = make(lambda_identity=share), batch()
        assert set(model.columns) == set(data) | set(model.samples(data))
        torch.testing.assert_close(model.samples(data)["identity_a"], model.generator_ba(data["a"]))
    gray = make(1, 3, lambda_identity=0.0)
    assert set(gray.samples(batch(1, 3))) == {"fake_a", "fake_b", "cycle_a", "cycle_b"}


def test_identity_between_different_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.lambda_identity 0.5: .* A has 1 channels and B 3; set it to 0"):
        make(1, 3)


def test_blocks_follow_the_size() -> None:
    for size, blocks in ((64, 6), (128, 6), (256, 9), (512, 9)):
        config = CycleGAN.Config()
        assert CycleGAN.resolve(config, size).n_blocks == blocks
        assert config.n_blocks is None  # the caller's own stays
    assert CycleGAN.resolve(CycleGAN.Config(n_blocks=4), 256).n_blocks == 4


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [({}, 18, "multiple of 4"), ({}, 4, "8 or more"), ({"n_layers_d": 5}, 64, "n_layers_d 5")],
)
def test_sizes_that_do_not_fit_are_named_with_the_remedy(options: dict, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.crop_size {size}.*{message}"):
        make(**options).check_size(size)


def test_padded_sides_are_those_that_the_generators_take() -> None:
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
        {"pool_size": -1},
    ],
)
def test_options_out_of_range_are_named(options: dict) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(options))}"):
        CycleGAN.Config(**options)
