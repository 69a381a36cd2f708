"""StarGAN: its networks, its losses and its update against the paper's, written out in plain torch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.data.transforms import keyed_seed
from img2img.models.stargan import Discriminator, Generator, StarGAN, permuted_within
from tests.conftest import make_step
from tests.helpers import with_reflection_padding
from tests.interop.official import StarGenerator
from tests.models.stargan_cases import batches, options

STEPS = 11


@pytest.mark.parametrize("critic_steps", [1, 5])
@pytest.mark.parametrize("attributes", [None, ["a", "b", "c"]], ids=["exclusive", "attributes"])
def test_step_is_the_papers_update(attributes: list[str] | None, critic_steps: int) -> None:
    """Eq. 5 and 6, with Eq. 8 on the sum of D's map, one-sided by n_critic; both sides see the same fake image."""
    config = options(attributes, critic_steps)
    gan_step = make_step(config)
    g, d = StarGenerator(4, 3, 1).double(), Discriminator(3, 3, ndf=4, n_layers=3, size=16).double()
    bare = gan_step.networks.bare
    weights = {key: value for key, value in g.state_dict().items() if "running" not in key and "num_" not in key}
    bare["generator"].load_state_dict(weights)
    bare["discriminator"].load_state_dict(d.state_dict())
    for network in bare.values():
        network.double()
    adam_g, adam_d = (torch.optim.Adam(network.parameters(), 1e-3, (0.5, 0.999)) for network in (g, d))

    def classify(logits: Tensor, c: Tensor) -> Tensor:
        if attributes:
            return F.binary_cross_entropy_with_logits(logits, c, reduction="sum") / len(logits)
        return F.cross_entropy(logits, c.argmax(1))

    for step in range(STEPS):
        batch = batches(attributes)[step % 4]
        x, c = batch["input"], batch["labels"]
        torch.manual_seed(keyed_seed(0, step, 0, 0))  # what is random in a step: the targets, then the points between
        target = c[torch.randperm(4)]
        alpha = torch.rand(4, 1, 1, 1).double()

        fake = g(x, target).detach()
        real_map, real_class = d(x)
        between = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)
        norm = ((slope**2).sum((1, 2, 3)) + 1e-12).sqrt()  # ours: the root has no derivative at 0
        expected = {
            "discriminator/real": -real_map.mean(),
            "discriminator/fake": d(fake)[0].mean(),
            "discriminator/class": classify(real_class, c),
            "discriminator/penalty": 10 * ((norm - 1) ** 2).mean(),
        }
        adam_d.zero_grad()
        sum(expected.values()).backward()  # type: ignore[union-attr]
        adam_d.step()
        if (step + 1) % critic_steps == 0:
            fake = g(x, target)
            fake_map, fake_class = d(fake)
            terms = {
                "generator/gan": -fake_map.mean(),
                "generator/class": classify(fake_class, target),
                "generator/cycle": 10 * (x - g(fake, c)).abs().mean(),
            }
            adam_g.zero_grad()
            sum(terms.values()).backward()  # type: ignore[union-attr]
            adam_g.step()
            expected |= terms

        logged = gan_step.run([batch], step, 1.0)
        assert {name for name in logged if name.startswith("loss/")} == {f"loss/{name}" for name in expected}
        for name, value in expected.items():
            assert logged[f"loss/{name}"].item() == pytest.approx(value.item(), rel=1e-12, abs=1e-14), (step, name)


def test_networks_have_the_official_sizes_and_names() -> None:
    """Parameters as the official networks' for 5 and 8 attributes and images of 128 and 256 pixels."""

    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        assert count(Generator(3, 5)) == 8_430_528
        assert count(Generator(3, 8)) == 8_439_936
        assert count(Discriminator(3, 5)) == 44_762_048
        assert count(Discriminator(3, 8)) == 44_786_624
        assert count(Discriminator(3, 5, size=256)) == 44_884_928
        names = Generator(3, 5).state_dict()
        official = StarGenerator(64, 5, 6).state_dict()
    assert set(names) == {key for key in official if "running" not in key and "num_" not in key}
    assert all(value.shape == official[key].shape for key, value in names.items())
    assert names["main.0.weight"].shape == (64, 8, 7, 7)


def test_generator_sees_the_target_domain_thanks_to_zero_padding() -> None:
    """With reflection, planes stay constant, and instance norm removes them."""
    torch.manual_seed(0)
    generator = Generator(3, 5, ngf=16, n_blocks=2)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    off, on = torch.zeros(1, 5), torch.ones(1, 5)

    def effect() -> float:
        with torch.no_grad():
            return (generator(x, on) - generator(x, off)).abs().mean().item()

    assert effect() > 1e-2
    with_reflection_padding(generator)
    assert effect() < 1e-4


def test_discriminator_answers_one_batch_as_it_answers_two() -> None:
    model = StarGAN(StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3, size=16), {"input": 3, "domain": 3})
    torch.manual_seed(0)
    real, fake = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    together = model._classify(real, fake)
    for answer, image in zip(together, (real, fake), strict=True):
        for head, expected in zip(answer, model.discriminator(image), strict=True):
            torch.testing.assert_close(head, expected)


def test_class_accuracy_counts_domains_and_attributes() -> None:
    model = StarGAN(StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3, size=16), {"input": 3, "domain": 2})
    logits, labels = torch.tensor([[2.0, -1.0], [3.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert model.class_accuracy(logits, labels, {"class": labels.argmax(1)}).item() == 0.5
    assert model.class_accuracy(logits, labels, {"class": torch.tensor([-1, -1])}).item() == 0.75


def test_samples_show_the_image_in_every_domain() -> None:
    model = StarGAN(StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3, size=16), {"input": 3, "domain": 3})
    x, targets = torch.rand(1, 3, 16, 16), torch.eye(3)[None]
    shown = model.samples({"input": x, "targets": targets})
    assert list(shown) == list(model.columns[1:])
    torch.testing.assert_close(shown["domain_1"], model.generator(x, torch.tensor([[0.0, 1.0, 0.0]])))


JOINT = {"input": 3, "domain": 7, "first_labels": 2}  # two attributes, three domains, the mask


def test_classification_loss_of_two_sets_counts_the_labels_of_the_images_own() -> None:
    """Sec. 3.2: D learns the labels that are known; the mean over the batch."""
    model = StarGAN(StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3, size=16), JOINT)
    assert model.domains == model.discriminator(torch.rand(1, 3, 16, 16))[1].shape[1] == 5
    torch.manual_seed(0)
    logits = torch.randn(2, 5)
    labels = torch.tensor([[1.0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0, 1]])
    batch = {"class": torch.tensor([-1, 1])}
    of_attributes = F.binary_cross_entropy_with_logits(logits[0, :2], torch.tensor([1.0, 0.0]), reduction="sum")
    of_domains = F.cross_entropy(logits[1:, 2:], torch.tensor([1]))
    expected = (of_attributes + of_domains) / 2
    torch.testing.assert_close(model.classification_loss(logits, labels, batch), expected)
    right = ((logits[0, :2] > 0) == torch.tensor([True, False])).float().mean() + (logits[1, 2:].argmax() == 1).float()
    torch.testing.assert_close(model.class_accuracy(logits, labels, batch), right / 2)
    own = logits.clone().requires_grad_(True)
    model.classification_loss(own, labels, batch).backward()
    assert own.grad is not None
    assert torch.isfinite(own.grad).all()
    assert (own.grad[0, 2:] == 0).all()
    assert (own.grad[1, :2] == 0).all()


def test_permuted_within_keeps_each_sample_in_its_set() -> None:
    sets = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    orders = [permuted_within(sets, torch.randperm(7)) for _ in range(20)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(7))
        assert (sets[order] == sets).all()
    assert len({tuple(order.tolist()) for order in orders}) > 5


def test_targets_of_two_sets_are_labels_of_the_same_set() -> None:
    model = StarGAN(StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=3, size=16), JOINT)
    labels = torch.eye(5).repeat(2, 1)[:8]
    is_first = labels[:, :2].any(1)
    labels = torch.cat([labels, is_first[:, None], ~is_first[:, None]], 1)
    images = model.discriminator_images({"input": torch.rand(8, 3, 16, 16), "labels": labels})
    assert (images["target_labels"][:, 5:] == labels[:, 5:]).all()
    assert images["target_labels"].sum(0).tolist() == labels.sum(0).tolist()


@pytest.mark.parametrize("wrong", [{"ngf": 0}, {"n_layers_d": 0}, {"lambda_class": -1.0}, {"lambda_cycle": -1.0}])
def test_options_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"model\.{next(iter(wrong))} "):
        StarGAN.Config(**wrong)


@pytest.mark.parametrize(("size", "crop"), [(None, 22), (None, 8), (16, 32)])
def test_check_size_names_the_key(size: int | None, crop: int) -> None:
    config = StarGAN.resolve(StarGAN.Config(ngf=4, ndf=4, n_layers_d=4, n_blocks=1, size=size), crop)
    with pytest.raises(ValueError, match=rf"data\.crop_size {crop}"):
        StarGAN(config, {"input": 3, "domain": 3}).check_size(crop)
