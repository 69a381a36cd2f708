"""Options of the balance in the step: each with every model, which sides step, and that a resume knows them all."""

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
    """Options without batch norm in D, and without any in Q's layer of 1x1 pixels."""
    if hasattr(make().model, "norm_d"):
        return {"norm_d": "instance"}
    return {"norm": "instance"}


def snapshot(gan_step: GANStep, names: tuple[str, ...]) -> list[torch.Tensor]:
    return [p.detach().clone() for name in names for p in gan_step.networks.bare[name].parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("remedies", [{**LABELS, **SEEN, **BUILT}, {"gradient_penalty": "r1", "skip_above": 0.9}])
def test_every_model_takes_every_remedy_and_resumes_bit_for_bit(any_model: Tiny, remedies: dict) -> None:
    """With two steps of D for one of G and gradients clipped, in one run of 6 steps and in one of 3 and 3."""
    remedies = {**remedies, "discriminator_steps": 2, "first_discriminator_steps": 1, "first_steps": 1}
    optim = {"clip_grad_norm": 1.0, "clip_grad_value_d": 0.1, "optimizer_d": "rmsprop"}
    options = {"balance": remedies, "optim": optim, "model": instance(any_model)}
    train(any_model("whole", train={"max_steps": 6}, **options))
    train(any_model("halves", train={"max_steps": 3}, **options))
    train(any_model("halves", train={"max_steps": 6}, **options), resume=True)
    assert equal(weights(Path("runs/whole")), weights(Path("runs/halves")))
    assert load_config(Path("runs/whole/config.yaml")).balance == any_model(balance=remedies).balance
    draws = issubclass(model_class(any_model().model.name), NoiseModel)
    (load_sampler if draws else load_translator)("whole")  # whose generator has what was built into it


@pytest.mark.parametrize("kind", ["minimax", "vanilla", "hinge", "wasserstein"])
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_every_model_plays_every_loss_with_every_penalty(any_model: Tiny, kind: str, penalty: str) -> None:
    model = {"gan_loss": kind, **instance(any_model)}
    gan_step = make_step(any_model(model=model, balance={"gradient_penalty": penalty}))
    told = gan_step.run(batches(any_model()), 0, 1.0)
    assert all(value.isfinite() for value in told.values())
    assert any("penalty" in name for name in told)


def test_steps_without_the_generators_leave_them_where_they_are(any_model: Tiny) -> None:
    config = any_model(balance={"discriminator_steps": 3}, train={"ema_decay": 0.9})
    gan_step = make_step(config)
    batch = batches(config)
    for step, moves in enumerate([False, False, True, False]):
        before = {side: snapshot(gan_step, names) for side, names in gan_step.networks.names.items()}
        updates = [average.updates for average in gan_step.networks.emas.values()]
        told = gan_step.run(batch, step, 1.0)
        assert same(before["generator"], snapshot(gan_step, gan_step.networks.names["generator"])) != moves
        assert not same(before["discriminator"], snapshot(gan_step, gan_step.networks.names["discriminator"]))
        assert any(name.startswith("loss/generator") for name in told) == moves
        assert ([average.updates for average in gan_step.networks.emas.values()] != updates) == moves


@pytest.mark.parametrize(("threshold", "skips"), [(0.5, True), (0.999, False)])
def test_a_discriminator_that_is_too_good_waits(tiny: Tiny, threshold: float, skips: bool) -> None:
    """Its accuracy is set by hand: 0.75."""
    gan_step = make_step(tiny(balance={"skip_above": threshold}))
    play = gan_step.model.discriminator_loss

    def told(*args: object) -> object:
        terms, statistics = play(*args)
        return terms, {name: torch.tensor(0.75) for name in statistics}

    gan_step.model.discriminator_loss = told
    before = {side: snapshot(gan_step, names) for side, names in gan_step.networks.names.items()}
    found = gan_step.run(batches(tiny()), 0, 1.0)
    assert bool(found["discriminator/skipped"]) == skips
    assert same(before["discriminator"], snapshot(gan_step, ("discriminator",))) == skips
    assert not same(before["generator"], snapshot(gan_step, ("generator",)))
    assert all(p.grad is None for p in gan_step.networks.bare["discriminator"].parameters())


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_gradients_are_clipped_on_the_side_that_asks(tiny: Tiny, side: Side) -> None:
    """SGD-like: the gradient that the optimizer is given is as long as the option says."""
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


def test_elements_of_gradients_are_cut(tiny: Tiny) -> None:
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


def test_each_side_has_its_optimizer(tiny: Tiny) -> None:
    gan_step = make_step(tiny(optim={"optimizer_d": "rmsprop", "lr_d": 1e-3, "betas": (0.0, 0.9)}))
    inner = {
        side: getattr(optimizer, "optimizer", optimizer) for side, optimizer in gan_step.networks.optimizers.items()
    }
    assert isinstance(inner["generator"], torch.optim.Adam)
    assert isinstance(inner["discriminator"], torch.optim.RMSprop)
    assert inner["generator"].param_groups[0]["betas"] == (0.0, 0.9)
    assert inner["discriminator"].param_groups[0]["lr"] == 1e-3


def test_the_noise_in_the_networks_fades_with_the_steps(tiny: Tiny) -> None:
    gan_step = make_step(tiny(balance={"feature_noise": 0.4, "instance_noise": 0.2, "noise_steps": 10}))
    for step, left in ((0, 1.0), (5, 0.5), (10, 0.0), (20, 0.0)):
        gan_step.run(batches(tiny()), step, 1.0)
        assert {round(float(module.sigma), 6) for module in gan_step.noise_layers} == {0.4 * left}
        assert gan_step.model.gan.noise_share == left


def test_losses_are_averaged_over_the_steps_that_had_them(tiny: Tiny) -> None:
    """Two of the generator's among four of the discriminator's; the other run's rows have one of each."""
    train(tiny("a", train={"max_steps": 4, "log_every": 2}, balance={"discriminator_steps": 2}))
    train(tiny("b", train={"max_steps": 4, "log_every": 4}, balance={"discriminator_steps": 2}))
    halves, (mean,) = rows(Path("runs/a")), rows(Path("runs/b"))
    for key in ("loss/discriminator/real", "loss/generator/gan"):
        values = [float(row[key]) for row in halves]
        assert float(mean[key]) == pytest.approx(sum(values) / 2, rel=1e-5)
    told = make_step(tiny()).run(batches(tiny()), 1, 1.0)  # one step's, of about the same images
    assert float(halves[0]["loss/generator/gan"]) == pytest.approx(told["loss/generator/gan"].item(), rel=0.2)


def test_a_resume_in_between_two_logs_keeps_the_means(tiny: Tiny) -> None:
    """From step 3 on, of a run that logs at 6: two of the generator's three turns are before it."""
    config = tiny(train={"max_steps": 6, "log_every": 6, "save_every": 3}, balance={"discriminator_steps": 2})
    run = train(config)
    whole = logged(run)["6"]
    shutil.rmtree(run / "checkpoints" / "step-000006")
    train(config, resume=True)
    assert logged(run)["6"] == whole


def test_what_is_built_into_the_networks_stays_at_a_resume(tiny: Tiny) -> None:
    train(tiny(train={"max_steps": 2}))
    with pytest.raises(ValueError, match=r"balance.spectral_norm d: .* was trained with none"):
        train(tiny(train={"max_steps": 4}, balance={"spectral_norm": "d"}), resume=True)
    train(tiny(train={"max_steps": 4}, balance={"dropout_d": 0.5, "label_flip": 0.1}), resume=True)  # is no weight


def test_a_resume_takes_new_decay_rates_and_refuses_another_optimizer(tiny: Tiny) -> None:
    train(tiny(train={"max_steps": 2}))
    again = tiny(train={"max_steps": 4}, optim={"betas": (0.0, 0.9)})
    trainer = Trainer(again, Path("runs/tiny"))
    trainer.restore()
    for optimizer in trainer.networks.optimizers.values():
        assert {tuple(group["betas"]) for group in optimizer.param_groups} == {(0.0, 0.9)}
    with pytest.raises(ValueError, match=r"optim.optimizer_d rmsprop: .* was trained with adam"):
        train(tiny(train={"max_steps": 4}, optim={"optimizer_d": "rmsprop"}), resume=True)


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


def test_generators_seek_what_noise_changes(tiny: Tiny) -> None:
    """With nothing but diversity to pay for, two seeds draw further and further apart."""
    deep = {"model": {"lambda_l1": 0.0, "num_downs": 6}, "data": {"load_size": 64, "crop_size": 64}}  # has dropout
    config = tiny(**deep, balance={"diversity": 100.0}, optim={"lr": 1e-3})
    gan_step = make_step(config)
    told = [gan_step.run(batches(config), step, 1.0)["loss/generator/diversity"].item() for step in range(30)]
    assert told[0] < 0
    assert told[-1] < 2 * told[0]


def test_diversity_needs_noise(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="no noise that could make two outputs"):
        make_step(tiny(model={"dropout": False}, balance={"diversity": 1.0}))


@pytest.mark.parametrize("options", [{}, {"spectral_norm": "both"}])
def test_discriminators_alone_learn_while_they_warm_up(any_model: Tiny, options: dict) -> None:
    """Two steps of warm-up leave the generators as they began, running statistics and all; the third moves them, and
    their averages; the log has both kinds.
    """
    begun = weights(train(any_model("first", train={"max_steps": 1}, balance=options)))
    keep = {"max_steps": 3, "log_every": 1, "sample_every": 1, "save_every": 1, "keep_checkpoints": 0, "ema_decay": 0.9}
    train(any_model("warm", train={"init_from": "first", **keep}, balance={"warmup_d": 2, **options}))
    model, run = model_class(any_model().model.name), Path("runs/warm")
    middle = run / "checkpoints" / "step-000002"
    two = {
        f"{file.stem}.{key}": value for file in middle.glob("*.safetensors") for key, value in load_file(file).items()
    }
    three = weights(run)
    mine = [key for key in begun if key.split(".")[0] in model.generators]
    assert any("running_mean" in key for key in mine) or any_model().model.norm == "instance"
    assert [key for key in mine if not torch.equal(begun[key], two[key])] == []
    assert [key for key in mine if "num_batches" in key and three[key] != two[key] + 1] == []
    moving = [key for key in mine if key.endswith(("weight", "original", "running_mean"))]
    assert not all(torch.equal(two[key], three[key]) for key in moving if "running" not in key)
    assert [key for key in moving if "running" in key and torch.equal(two[key], three[key])] == []
    judged = [
        key for key in begun if key.split(".")[0] in model.discriminators and key.endswith(("weight", "original"))
    ]
    assert not all(torch.equal(begun[key], two[key]) for key in judged)
    terms = [key for key in rows(run)[0] if key.startswith("loss/generator/")]
    assert terms
    assert [any(row[key] for key in terms) for row in rows(run)] == [False, False, True]


def test_a_generator_that_would_never_learn_is_refused(tiny: Tiny) -> None:
    for end in ({"max_steps": 4}, {"max_steps": 0, "epochs": 1, "decay_epochs": 0}):  # six images in twos
        with pytest.raises(ValueError, match=r"balance.warmup_d 4: the run ends at step [34], so its generators would"):
            train(tiny(train=end, balance={"warmup_d": 4}))
        assert not Path("runs").exists()
    train(tiny(train={"max_steps": 5}, balance={"warmup_d": 4}))
