"""Balance options in training: each with every model, which side is updated, and resuming with them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from img2img.config import Config, load_config
from img2img.inference.loading import load_sampler, load_translator
from img2img.models import model_class
from img2img.models.base import Side
from img2img.models.base_noise import NoiseModel
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import make_step
from tests.helpers import batches, equal, launch, logged, rows, weights

Tiny = Callable[..., Config]

LABELS = {"label_real": (0.7, 1.2), "label_fake": (0.0, 0.3), "label_flip": 0.2}
SEEN = {"instance_noise": 0.1, "noise_steps": 5, "augment": ("color", "translation", "cutout")}
BUILT = {"feature_noise": 0.1, "dropout_d": 0.2, "minibatch_std": True, "spectral_norm": "both"}


@pytest.fixture(params=["tiny", "tiny_cyclegan", "tiny_hd", "tiny_dcgan", "tiny_infogan"])
def any_model(request: pytest.FixtureRequest) -> Tiny:
    return request.getfixturevalue(request.param)


def instance(make: Tiny) -> dict[str, str]:
    """Options with instance norm in place of batch norm in D; InfoGAN's Q has none in its layer of 1x1 pixels."""
    if hasattr(make().model, "norm_d"):
        return {"norm_d": "instance"}
    return {"norm": "instance"}


def snapshot(gan_step: GANStep, names: tuple[str, ...]) -> list[torch.Tensor]:
    return [p.detach().clone() for name in names for p in gan_step.networks.bare[name].parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "balance",
    [
        {**LABELS, **SEEN, **BUILT},
        pytest.param({"gradient_penalty": "r1", "skip_above": 0.9}, marks=pytest.mark.slow),
    ],
)
def test_balance_options_work_with_every_model_and_resume_bit_for_bit(any_model: Tiny, balance: dict) -> None:
    """With two D steps for each G step and clipped gradients: a run of 6 steps, and one of 3 and 3."""
    balance = {**balance, "discriminator_steps": 2, "first_discriminator_steps": 1, "first_steps": 1}
    optim = {"clip_grad_norm": 1.0, "clip_grad_value_d": 0.1, "optimizer_d": "rmsprop"}
    options = {"balance": balance, "optim": optim, "model": instance(any_model)}
    train(any_model("whole", train={"max_steps": 6}, **options))
    train(any_model("halves", train={"max_steps": 3}, **options))
    train(any_model("halves", train={"max_steps": 6}, **options), resume=True)
    assert equal(weights(Path("runs/whole")), weights(Path("runs/halves")))
    assert load_config(Path("runs/whole/config.yaml")).balance == any_model(balance=balance).balance
    draws = issubclass(model_class(any_model().model.name), NoiseModel)
    (load_sampler if draws else load_translator)("whole")  # its generator has the options' extra layers


@pytest.mark.parametrize("kind", ["minimax", "vanilla", "hinge", "wasserstein"])
@pytest.mark.parametrize("penalty", ["wgan-gp", pytest.param("r1", marks=pytest.mark.slow)])
def test_losses_and_penalties_are_finite_with_every_model(any_model: Tiny, kind: str, penalty: str) -> None:
    model = {"gan_loss": kind, **instance(any_model)}
    gan_step = make_step(any_model(model=model, balance={"gradient_penalty": penalty}))
    values = gan_step.run(batches(any_model()), 0, 1.0)
    assert all(value.isfinite() for value in values.values())
    assert any("penalty" in name for name in values)


def test_discriminator_steps_leave_generators_and_emas_as_they_are(any_model: Tiny) -> None:
    config = any_model(balance={"discriminator_steps": 3}, train={"ema_decay": 0.9})
    gan_step = make_step(config)
    batch = batches(config)
    for step, moves in enumerate([False, False, True, False]):
        before = {side: snapshot(gan_step, names) for side, names in gan_step.networks.names.items()}
        updates = [ema.updates for ema in gan_step.networks.emas.values()]
        values = gan_step.run(batch, step, 1.0)
        assert same(before["generator"], snapshot(gan_step, gan_step.networks.names["generator"])) != moves
        assert not same(before["discriminator"], snapshot(gan_step, gan_step.networks.names["discriminator"]))
        assert any(name.startswith("loss/generator") for name in values) == moves
        assert ([ema.updates for ema in gan_step.networks.emas.values()] != updates) == moves


@pytest.mark.parametrize(("threshold", "skips"), [(0.5, True), (0.999, False)])
def test_skip_above_skips_updates_of_an_accurate_discriminator(tiny: Tiny, threshold: float, skips: bool) -> None:
    """Its accuracy is set to 0.75."""
    gan_step = make_step(tiny(balance={"skip_above": threshold}))
    discriminator_loss = gan_step.model.discriminator_loss

    def with_accuracy(*args: object) -> object:
        terms, statistics = discriminator_loss(*args)
        return terms, {name: torch.tensor(0.75) for name in statistics}

    gan_step.model.discriminator_loss = with_accuracy
    before = {side: snapshot(gan_step, names) for side, names in gan_step.networks.names.items()}
    values = gan_step.run(batches(tiny()), 0, 1.0)
    assert bool(values["discriminator/skipped"]) == skips
    assert same(before["discriminator"], snapshot(gan_step, ("discriminator",))) == skips
    assert not same(before["generator"], snapshot(gan_step, ("generator",)))
    assert all(p.grad is None for p in gan_step.networks.bare["discriminator"].parameters())


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_clip_grad_norm_clips_only_its_own_side(tiny: Tiny, side: Side) -> None:
    """The norm of the gradient at the optimizer's step is the option's value."""
    options = {"clip_grad_norm": 1e-3, "clip_grad_norm_d": 0.0}
    if side == "discriminator":
        options = {"clip_grad_norm_d": 1e-3}
    gan_step = make_step(tiny(optim=options))
    lengths: dict[str, float] = {}
    for name, optimizer in gan_step.networks.optimizers.items():

        def step(name: str = name) -> None:
            parameters = [p for n in gan_step.networks.names[name] for p in gan_step.networks.bare[n].parameters()]
            lengths[name] = float(torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None))

        optimizer.step = step
    gan_step.run(batches(tiny()), 0, 1.0)
    other = "generator" if side == "discriminator" else "discriminator"
    assert lengths[side] == pytest.approx(1e-3, rel=1e-3)
    assert lengths[other] > 1e-2


def test_clip_grad_value_clips_elements(tiny: Tiny) -> None:
    gan_step = make_step(tiny(optim={"clip_grad_value": 1e-4}))
    largest = []
    for optimizer in gan_step.networks.optimizers.values():
        optimizer.step = lambda: largest.append(
            max(
                float(p.grad.abs().max())
                for n in gan_step.networks.bare.values()
                for p in n.parameters()
                if p.grad is not None
            )
        )
    gan_step.run(batches(tiny()), 0, 1.0)
    assert largest == pytest.approx([1e-4, 1e-4])


def test_optimizer_d_is_the_discriminators_optimizer(tiny: Tiny) -> None:
    gan_step = make_step(tiny(optim={"optimizer_d": "rmsprop", "lr_d": 1e-3, "betas": (0.0, 0.9)}))
    inner = {
        side: getattr(optimizer, "optimizer", optimizer) for side, optimizer in gan_step.networks.optimizers.items()
    }
    assert isinstance(inner["generator"], torch.optim.Adam)
    assert isinstance(inner["discriminator"], torch.optim.RMSprop)
    assert inner["generator"].param_groups[0]["betas"] == (0.0, 0.9)
    assert inner["discriminator"].param_groups[0]["lr"] == 1e-3


def test_noise_fades_with_the_steps(tiny: Tiny) -> None:
    gan_step = make_step(tiny(balance={"feature_noise": 0.4, "instance_noise": 0.2, "noise_steps": 10}))
    for step, share in ((0, 1.0), (5, 0.5), (10, 0.0), (20, 0.0)):
        gan_step.run(batches(tiny()), step, 1.0)
        assert {round(float(module.sigma), 6) for module in gan_step.noise_layers} == {0.4 * share}
        assert gan_step.model.gan.noise_share == share


def test_means_are_over_the_steps_that_have_the_loss(tiny: Tiny) -> None:
    """Two G steps in four steps; the rows of the other run are of two steps with one G step."""
    train(tiny("a", train={"max_steps": 4, "log_every": 2}, balance={"discriminator_steps": 2}))
    train(tiny("b", train={"max_steps": 4, "log_every": 4}, balance={"discriminator_steps": 2}))
    halves, (mean,) = rows(Path("runs/a")), rows(Path("runs/b"))
    for key in ("loss/discriminator/real", "loss/generator/gan"):
        values = [float(row[key]) for row in halves]
        assert float(mean[key]) == pytest.approx(sum(values) / 2, rel=1e-5)
    values = make_step(tiny()).run(batches(tiny()), 1, 1.0)  # one step, of about the same images
    assert float(halves[0]["loss/generator/gan"]) == pytest.approx(values["loss/generator/gan"].item(), rel=0.2)


def test_means_are_kept_at_a_resume_between_two_logs(tiny: Tiny) -> None:
    """At step 3 of a run that logs at 6: one of the three G steps is before it."""
    config = tiny(train={"max_steps": 6, "log_every": 6, "save_every": 3}, balance={"discriminator_steps": 2})
    run = train(config)
    whole = logged(run)["6"]
    shutil.rmtree(run / "checkpoints" / "step-000006")
    train(config, resume=True)
    assert logged(run)["6"] == whole


def test_resume_refuses_balance_options_that_change_the_weights(tiny: Tiny) -> None:
    train(tiny(train={"max_steps": 2}))
    with pytest.raises(ValueError, match=r"balance\.spectral_norm d: .*\bnone\b"):
        train(tiny(train={"max_steps": 4}, balance={"spectral_norm": "d"}), resume=True)
    train(tiny(train={"max_steps": 4}, balance={"dropout_d": 0.5, "label_flip": 0.1}), resume=True)  # have no weights


def test_resume_accepts_new_betas_and_refuses_another_optimizer(tiny: Tiny) -> None:
    train(tiny(train={"max_steps": 2}))
    again = tiny(train={"max_steps": 4}, optim={"betas": (0.0, 0.9)})
    trainer = Trainer(again, Path("runs/tiny"))
    trainer.restore()
    for optimizer in trainer.networks.optimizers.values():
        assert {tuple(group["betas"]) for group in optimizer.param_groups} == {(0.0, 0.9)}
    with pytest.raises(ValueError, match=r"optim\.optimizer_d rmsprop: .*adam"):
        train(tiny(train={"max_steps": 4}, optim={"optimizer_d": "rmsprop"}), resume=True)


@pytest.mark.slow
def test_two_processes_with_a_penalty_equal_one(tiny: Tiny) -> None:
    options = {
        "model": {"norm": "none", "dropout": False},
        "balance": {"gradient_penalty": "r1", "discriminator_steps": 2, "skip_above": 0.9},
        "optim": {"clip_grad_norm": 0.5},
    }
    train(tiny("one", data={"batch_size": 4}, train={"max_steps": 8}, **options))
    assert "processes: 2" in launch(tiny("two", train={"max_steps": 8}, **options), 2)
    one, two = weights(Path("runs/one")), weights(Path("runs/two"))
    assert max((one[key] - two[key]).abs().max().item() for key in one) < 2e-5


def test_diversity_makes_outputs_of_two_seeds_differ_more(tiny: Tiny) -> None:
    """With a large weight of the diversity loss and no L1 loss."""
    deep = {"model": {"lambda_l1": 0.0, "num_downs": 6}, "data": {"load_size": 64, "crop_size": 64}}  # has dropout
    config = tiny(**deep, balance={"diversity": 100.0}, optim={"lr": 1e-3})
    gan_step = make_step(config)
    losses = [gan_step.run(batches(config), step, 1.0)["loss/generator/diversity"].item() for step in range(30)]
    assert losses[0] < 0
    assert losses[-1] < 2 * losses[0]


def test_diversity_is_refused_without_noise(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match=r"^balance\.diversity 1\.0: .*model\.dropout"):
        make_step(tiny(model={"dropout": False}, balance={"diversity": 1.0}))


@pytest.mark.parametrize("options", [{}, {"spectral_norm": "both"}])
def test_warmup_d_updates_only_discriminators(any_model: Tiny, options: dict) -> None:
    """Two steps of warm-up leave the generators as they were, running statistics included; the third updates them.

    The log has generator losses only for the third.
    """
    initial = weights(train(any_model("first", train={"max_steps": 1}, balance=options)))
    keep = {"max_steps": 3, "log_every": 1, "sample_every": 1, "save_every": 1, "keep_checkpoints": 0, "ema_decay": 0.9}
    train(any_model("warm", train={"init_from": "first", **keep}, balance={"warmup_d": 2, **options}))
    model, run = model_class(any_model().model.name), Path("runs/warm")
    middle = run / "checkpoints" / "step-000002"
    two = {
        f"{file.stem}.{key}": value for file in middle.glob("*.safetensors") for key, value in load_file(file).items()
    }
    three = weights(run)
    of_generators = [key for key in initial if key.split(".")[0] in model.generators]
    assert any("running_mean" in key for key in of_generators) or any_model().model.norm == "instance"
    assert [key for key in of_generators if not torch.equal(initial[key], two[key])] == []
    assert [key for key in of_generators if "num_batches" in key and three[key] != two[key] + 1] == []
    updated = [key for key in of_generators if key.endswith(("weight", "original", "running_mean"))]
    assert not all(torch.equal(two[key], three[key]) for key in updated if "running" not in key)
    assert [key for key in updated if "running" in key and torch.equal(two[key], three[key])] == []
    of_discriminators = [
        key for key in initial if key.split(".")[0] in model.discriminators and key.endswith(("weight", "original"))
    ]
    assert not all(torch.equal(initial[key], two[key]) for key in of_discriminators)
    terms = [key for key in rows(run)[0] if key.startswith("loss/generator/")]
    assert terms
    assert [any(row[key] for key in terms) for row in rows(run)] == [False, False, True]


def test_warmup_d_is_refused_if_it_is_the_whole_run(tiny: Tiny) -> None:
    for end in ({"max_steps": 4}, {"max_steps": 0, "epochs": 1, "decay_epochs": 0}):  # six images, batches of two
        with pytest.raises(ValueError, match=r"balance\.warmup_d 4: .* step [34]\b"):
            train(tiny(train=end, balance={"warmup_d": 4}))
        assert not Path("runs").exists()
    train(tiny(train={"max_steps": 5}, balance={"warmup_d": 4}))
