"""The classifier of the metric ``domain``: its training, its file, and the errors that it counts."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from img2img.config import Config
from img2img.data.base import LabelSet, TargetLabel
from img2img.data.domains import DomainsConfig, DomainsDataset
from img2img.data.images import resize
from img2img.evaluation.base import FeatureNetworks, ImageSet, real_set
from img2img.evaluation.classifier import METADATA, Classifier, ClassifierInfo, build_classifier, load_classifier
from img2img.evaluation.folder_sets import folder_set
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.train_classifier import choose_classifier, classification_loss, train_classifier
from img2img.training.trainer import train
from tests.evaluation.helpers import folders, measure
from tests.helpers import use_small_classifier

COLOURS = LabelSet(("red", "green", "blue"), exclusive=True)
SIDES = LabelSet(("left", "top"), exclusive=False)


class Means(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> means of the channels (B, 3), as logits of three colours."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.abs().max() <= 1
        return x.mean((2, 3))


def info_of(*label_sets: LabelSet) -> ClassifierInfo:
    return ClassifierInfo(label_sets, size=(8, 8), images=5, steps=3)


def colour_classifier(*label_sets: LabelSet) -> Classifier:
    """Its logit of a colour is the channel's mean."""
    return Classifier(Means(), info_of(COLOURS), label_sets or [COLOURS], "means")


def plain(*colours: tuple[int, int, int]) -> list[np.ndarray]:
    return [np.full((8, 8, 3), colour, np.uint8) for colour in colours]


def image_set(made: list[np.ndarray], real: list[np.ndarray], target: TargetLabel | None) -> ImageSet:
    images = real_set("made", made)
    images.target_label = target
    images.compare_with(real_set("real", real))
    return images


RED, GREEN, BLUE, GRAY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)


def test_domain_error_counts_images_whose_target_is_not_the_highest_logit() -> None:
    images = image_set(plain(RED, GREEN, GREEN, BLUE), plain(GREEN, RED), TargetLabel(1, on=True))
    scores = measure(images, "domain", FeatureNetworks(classifier=colour_classifier()), batch_size=3)
    assert scores.scores == {"domain_error": 50, "domain_error_real": 50}
    assert scores.per_image == {"domain_error": [1, 0, 0, 1]}
    assert {row.name for row in scores.worst[:2]} == {"0", "3"}
    assert scores.best[0].value == 0


@pytest.mark.parametrize(("on", "made", "real"), [(True, [0, 1, 1], 100), (False, [1, 0, 0], 0)])
def test_domain_error_of_an_attribute_counts_wrong_signs(on: bool, made: list[float], real: float) -> None:
    """Gray has a negative logit of green, though no other is higher."""
    images = image_set(plain((200, 200, 0), GRAY, BLUE), plain(RED), TargetLabel(1, on))
    scores = measure(
        images, "domain", FeatureNetworks(classifier=colour_classifier(LabelSet(COLOURS.names, exclusive=False)))
    )
    assert scores.per_image["domain_error"] == made
    assert scores.scores["domain_error"] == pytest.approx(100 * np.mean(made))
    assert scores.scores["domain_error_real"] == real


def test_domain_error_needs_labels_and_real_images() -> None:
    networks = FeatureNetworks(classifier=colour_classifier())
    made, real = folders(2)
    with pytest.raises(ValueError, match=r"^domain: .*domains or attributes"):
        measure(folder_set(made, real), "domain", networks)
    with pytest.raises(ValueError, match=r"^domain: needs 1 .*\b0\b"):
        measure(image_set(plain(RED), [], TargetLabel(0, on=True)), "domain", networks)


def test_classifier_orders_its_outputs_and_resizes_to_its_training_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 9, 3), dtype=np.uint8)
    logits = colour_classifier(LabelSet(("blue", "red", "green"), exclusive=True)).logits([image, image])
    means = resize(image, 8, 8).mean((0, 1)) / 127.5 - 1
    assert logits == pytest.approx(np.stack([means[[2, 0, 1]]] * 2), abs=1e-6)
    gray = np.full((8, 8, 1), 7 << 8, np.uint16)
    assert colour_classifier().logits([gray]) == pytest.approx(np.full((1, 3), 7 / 127.5 - 1), abs=1e-6)


def test_classification_loss_equals_its_definition() -> None:
    random = np.random.default_rng(1)
    logits, number = random.normal(size=(5, 4)), random.integers(0, 4, 5)
    log_shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    one_hot, several = np.eye(4)[number], random.integers(0, 2, (5, 4))
    loss = classification_loss(torch.tensor(logits), torch.tensor(one_hot), [LabelSet(tuple("abcd"), exclusive=True)])
    assert loss.item() == pytest.approx(-log_shares[range(5), number].mean())
    share = 1 / (1 + np.exp(-logits))
    attributes = [LabelSet(tuple("abcd"), exclusive=False)]
    loss = classification_loss(torch.tensor(logits), torch.tensor(several).double(), attributes)
    assert loss.item() == pytest.approx(-np.where(several == 1, np.log(share), np.log(1 - share)).mean())


def test_classification_loss_of_two_sets_leaves_out_unknown_labels() -> None:
    """Two images of the first set, one of the second: each counts as if it were alone with its own labels."""
    label_sets = [LabelSet(("a", "b"), exclusive=False), LabelSet(("c", "d", "e"), exclusive=True)]
    logits = torch.tensor(np.random.default_rng(2).normal(size=(3, 5)))
    nan = math.nan
    labels = torch.tensor([[1, 0, nan, nan, nan], [nan, nan, 0, 1, 0], [1, 1, nan, nan, nan]], dtype=torch.float64)
    each = [
        classification_loss(logits[[0]][:, :2], labels[[0]][:, :2], label_sets[:1]),
        classification_loss(logits[[1]][:, 2:], labels[[1]][:, 2:], label_sets[1:]),
        classification_loss(logits[[2]][:, :2], labels[[2]][:, :2], label_sets[:1]),
    ]
    assert classification_loss(logits, labels, label_sets).item() == pytest.approx(sum(each).item() / 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(("number", "on", "missed"), [(0, False, [1, 0]), (2, True, [1, 1]), (3, True, [0, 0])])
def test_target_of_one_of_two_sets_competes_with_its_own_set(number: int, on: bool, missed: list[int]) -> None:
    label_sets = [LabelSet(("a", "b"), exclusive=False), LabelSet(("c", "d"), exclusive=True)]
    classifier = Classifier(Means(), info_of(*label_sets), label_sets, "two")
    logits = np.array([[1, 9, -2, -1], [-1, 9, 0, 2]])
    assert classifier.is_missed(logits, TargetLabel(number, on)).tolist() == missed


def toy(part: Any = "train", **options: Any) -> DomainsDataset:
    config = DomainsConfig(None, toy=True, load_size=16, crop_size=16, num_workers=0, **options)
    return DomainsDataset(config, part, augment=part == "train")


def right(classifier: Classifier, val: DomainsDataset) -> float:
    """Share of the images whose domain has the highest logit."""
    images, numbers = zip(*((val[0, i]["input"], val[0, i]["class"]) for i in range(len(val))), strict=True)
    return float((classifier.logits(images).argmax(1) == numbers).mean())


def test_train_classifier_recognises_real_images(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_classifier(monkeypatch, rate=0.3)
    dataset = toy()
    trained = train_classifier(dataset, 60, Path("a.safetensors"))
    assert right(trained, toy("val")) > 0.7  # 0.2 by chance
    label_sets = dataset.label_sets(dataset.config)
    loaded = load_classifier(Path("a.safetensors"), label_sets)
    assert np.array_equal(loaded.logits(plain(RED)), trained.logits(plain(RED)))
    assert loaded.info == ClassifierInfo(tuple(label_sets), (16, 16), len(dataset), 60)


@pytest.mark.slow
def test_resnet_errs_on_at_most_three_percent_of_the_drawn_shoes() -> None:
    config = DomainsConfig(None, toy=True, load_size=64, crop_size=64, num_workers=0)
    dataset = DomainsDataset(config, "train", augment=True)
    trained = train_classifier(dataset, 100, Path("a.safetensors"))
    assert right(trained, DomainsDataset(config, "val")) >= 0.97


def test_train_classifier_is_deterministic_and_draws_nothing_of_others() -> None:
    dataset = toy()
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        train_classifier(dataset, 2, Path(f"{name}.safetensors"))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_train_classifier_learns_attributes_of_images_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright or dark, reddish or not; the images differ in size."""

    class Plain(DomainsDataset):
        def __init__(self) -> None:
            names = ["bright", "red"]
            self.config = DomainsConfig("x", attributes=names, names=names, num_workers=0)
            self.labels = self.config.labels

        def __len__(self) -> int:
            return 8

        def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
            bright, red = key[1] % 2, key[1] // 2 % 2
            colour = np.array([40 + 100 * bright + 60 * red, 40 + 100 * bright, 40 + 100 * bright])
            labels = np.array([bright, red], np.float32)
            image = np.full((8 + key[1], 9, 3), colour, np.uint8)
            return {"input": image, "labels": labels, "name": str(key[1]), "skipped": []}

    use_small_classifier(monkeypatch, rate=0.3)
    data = Plain()
    trained = train_classifier(data, 60, Path("a.safetensors"))
    assert trained.info.size == (8, 9)
    samples = [data[0, i] for i in range(4)]
    logits = np.concatenate([trained.logits([sample["input"]]) for sample in samples])
    assert ((logits > 0) == np.stack([sample["labels"] for sample in samples]).astype(bool)).all()


def write_classifier(path: str, **changes: Any) -> Path:
    metadata = json.dumps(json.loads(info_of(COLOURS).to_json()) | changes)
    save_file(build_classifier(3).state_dict(), path, {METADATA: metadata})
    return Path(path)


def test_load_classifier_refuses_other_labels() -> None:
    path = write_classifier("own.safetensors")
    loaded = load_classifier(path, [LabelSet(("blue", "green", "red"), exclusive=True)])
    assert (loaded.info, loaded.outputs) == (info_of(COLOURS), [2, 1, 0])
    with pytest.raises(
        ValueError,
        match=r"^--classifier own\.safetensors: .*domains red, green, blue.* attributes left, top; .*--train-c",
    ):
        load_classifier(path, [SIDES])
    with pytest.raises(ValueError, match=r"^train\.classifier own\.safetensors: .*domains red.*attributes red"):
        load_classifier(path, [LabelSet(COLOURS.names, exclusive=False)], option="train.classifier")
    with pytest.raises(ValueError, match=r"^--classifier own\.safetensors: .*red, green, blue and .*left, top; "):
        load_classifier(path, [COLOURS, SIDES])


@pytest.mark.parametrize(
    "changes", [{"label_sets": []}, {"label_sets": [["a"]]}, {"size": [8]}, {"size": [0, 8]}, {"steps": None}]
)
def test_load_classifier_refuses_damaged_metadata(changes: dict[str, Any]) -> None:
    path = write_classifier("own.safetensors", **changes)
    with pytest.raises(ValueError, match=rf"^--classifier own\.safetensors: .*{METADATA}.*damaged"):
        load_classifier(path, [COLOURS])


def test_load_classifier_refuses_other_files() -> None:
    save_file(build_classifier(2).state_dict(), "two.safetensors", {METADATA: info_of(COLOURS).to_json()})
    save_file({"a": torch.zeros(2)}, "other.safetensors")
    torch.save({"a": torch.zeros(2)}, "other.pth")
    Path("text.safetensors").write_text("no")
    for name in ("two.safetensors", "other.safetensors", "other.pth", "text.safetensors", "missing.safetensors", "."):
        with pytest.raises(ValueError, match=rf"^--classifier {name}: .*--train-classifier$") as error:
            load_classifier(Path(name), [COLOURS])
        assert "\n" not in str(error.value)


def test_choose_classifier_trains_keeps_and_finds_the_one_of_a_run(tiny_stargan: Callable[..., Config]) -> None:
    run = train(tiny_stargan(train={"max_steps": 1, "classifier_steps": 2}))
    with pytest.raises(ValueError, match=r"--train-classifier.*--classifier FILE"):
        choose_classifier("tiny")
    path = run / "classifier.safetensors"
    trained = choose_classifier("tiny", train=True)
    assert (trained.title, trained.info.steps) == (str(path), 2)
    image = plain(RED)
    assert np.array_equal(choose_classifier(str(run)).logits(image), trained.logits(image))
    assert choose_classifier("tiny", train=True, steps=1).info.steps == 1
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()[METADATA])["steps"] == 1
    path.rename("moved.safetensors")
    assert choose_classifier("tiny", classifier="moved.safetensors").info.steps == 1
    assert load_file("moved.safetensors")["fc.weight"].shape == (5, 512)
    path.mkdir()
    with pytest.raises(ValueError, match=rf"^{path}: can't be written"):
        choose_classifier("tiny", train=True)


def test_image_sets_of_a_run_know_the_label_of_their_target(tiny_stargan: Callable[..., Config]) -> None:
    train(tiny_stargan(train={"max_steps": 1}))
    assert [made.target_label for made in open_image_sets("tiny")] == [TargetLabel(i, on=True) for i in range(5)]
