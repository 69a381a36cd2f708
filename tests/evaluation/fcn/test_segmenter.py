"""Scores of the confusion matrix against scikit-learn, and segmentation networks from files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchvision.models
from safetensors.torch import save_file

from img2img.evaluation.fcn.confusion import Confusion
from img2img.evaluation.fcn.label_maps import CITYSCAPES_EVAL_CLASSES
from img2img.evaluation.fcn.segmenter import METADATA, Segmenter, SegmenterInfo, load_segmenter, unet_segmenter
from tests.conftest import drawn_pair

SMALL = "lraspp_mobilenet_v3_large"


def torchvision_network(name: str, classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)


def test_confusion_equals_scikit_learn() -> None:
    random = np.random.default_rng(0)
    ids = [2, 3, 5, 9]
    confusion = Confusion([9, 2, 5, 3])
    target, predicted = random.choice([-1, 2, 3, 4, 5, 255], (2, 6, 20, 30))  # 4 is ignored, no true pixel is 9
    predicted[:3] = target[:3]
    predicted[5][predicted[5] == 3] = 9
    accuracies = [confusion.add(a, b) for a, b in zip(target, predicted, strict=True)]
    kept = np.isin(target, ids)
    a, b = target[kept], predicted[kept]
    scores = confusion.scores()
    assert scores["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(a, b))
    recall = sklearn.metrics.recall_score(a, b, labels=[2, 3, 5], average="macro")
    assert scores["class_accuracy"] == pytest.approx(recall)
    assert scores["mean_iou"] == pytest.approx(sklearn.metrics.jaccard_score(a, b, labels=ids, average="macro"))
    expected = [(b[k] == a[k]).mean() for a, b, k in zip(target, predicted, kept, strict=True)]
    assert accuracies == pytest.approx(expected)
    assert confusion.counts.sum() == kept.sum()
    assert np.isnan(confusion.accuracies()[3])
    assert confusion.ious()[3] == 0


def test_confusion_of_ignored_pixels_has_no_scores() -> None:
    confusion = Confusion([1, 2])
    assert np.isnan(confusion.add(np.zeros((4, 4), int), np.ones((4, 4), int)))
    with pytest.raises(ValueError, match=r"^fcn: .*\[1, 2\]"):
        confusion.scores()
    confusion.add(np.ones((4, 4), int), np.ones((4, 4), int))
    assert confusion.scores() == {"pixel_accuracy": 1, "class_accuracy": 1, "mean_iou": 1}


@pytest.mark.parametrize(("name", "prefix"), [(SMALL, ""), ("fcn_resnet50", "module.")])
def test_load_segmenter_identifies_torchvision_weights(name: str, prefix: str) -> None:
    network = torchvision_network(name, 4).eval()
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, "weights.pth")
    segmenter = load_segmenter("weights.pth", (7, -1, 0, 3))
    image = drawn_pair(0, 64, 96)[1]
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        logits = network((x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))["out"]
    expected = np.array([7, -1, 0, 3])[logits[0].argmax(0).numpy()]
    assert (segmenter(image) == expected).mean() > 0.999  # some logits are nearly equal
    assert segmenter.title == f"{name}, weights weights.pth"
    assert segmenter.classes == (7, 0, 3)


def test_load_segmenter_assigns_classes_to_outputs() -> None:
    for classes in (5, 19):
        torch.save(torchvision_network(SMALL, classes).state_dict(), f"{classes}.pth")
    assert load_segmenter("5.pth", count=5).classes == (0, 1, 2, 3, 4)
    assert load_segmenter("19.pth", count=35).classes == CITYSCAPES_EVAL_CLASSES
    assert load_segmenter("19.pth").classes == CITYSCAPES_EVAL_CLASSES
    assert load_segmenter("19.pth", count=19).classes == tuple(range(19))


@pytest.mark.parametrize(
    ("classes", "count", "numbers"),
    [(None, 35, r"\b5 .*\b35 .*--classes"), (None, None, r"\b5 .*--classes"), ((1, 2), 5, r"\b5 .*--classes .*\b2\b")],
)
def test_load_segmenter_needs_a_class_for_each_output(
    classes: tuple[int, ...] | None, count: int | None, numbers: str
) -> None:
    torch.save(torchvision_network(SMALL, 5).state_dict(), "5.pth")
    with pytest.raises(ValueError, match=rf"--segmenter 5\.pth: .*{numbers}"):
        load_segmenter("5.pth", classes, count)


def trained_file(path: str = "own.safetensors", width: int = 64) -> torch.nn.Module:
    torch.manual_seed(1)
    network = unet_segmenter(3)
    info = SegmenterInfo((2, 5, 6), (33, width), 35, {2: "tree"})
    save_file(network.state_dict(), path, {METADATA: info.to_json()})
    return network.eval()


def test_trained_segmenter_resizes_to_its_training_size() -> None:
    network = trained_file()
    segmenter = load_segmenter("own.safetensors", None, 35)
    image = drawn_pair(0, 33, 64)[1]  # 33 is padded to 64
    predicted = segmenter(image)
    padded = np.pad(image, ((0, 31), (0, 0), (0, 0)), mode="edge")
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded).permute(2, 0, 1)[None] / 127.5 - 1)[0, :, :33]
    assert (predicted == np.array([2, 5, 6])[logits.argmax(0).numpy()]).mean() > 0.999
    large = np.kron(image, np.ones((3, 3, 1), np.uint8))  # three times the size of training
    assert (segmenter(large)[1::3, 1::3] == predicted).mean() > 0.97


def test_trained_segmenter_refuses_other_class_names() -> None:
    trained_file()
    assert load_segmenter("own.safetensors", None, 34, {2: "tree", 3: "road"}).classes == (2, 5, 6)
    with pytest.raises(ValueError, match=r"--segmenter own\.safetensors: .*\b2 .*tree.* bush.*--train-segmenter"):
        load_segmenter("own.safetensors", None, 35, {2: "bush"})


def test_trained_segmenter_refuses_another_number_of_classes() -> None:
    trained_file()
    with pytest.raises(ValueError, match=r"--segmenter own\.safetensors: .*\b35\b.*\b9\b.*--train-segmenter"):
        load_segmenter("own.safetensors", None, 9, {})


@pytest.mark.parametrize(
    "metadata",
    ["nonsense", "{}", "[1]", '{"ids": [1], "size": [0, 9], "count": 3, "names": {}}', '{"ids": [], "size": null}'],
)
def test_load_segmenter_refuses_damaged_metadata(metadata: str) -> None:
    save_file(unet_segmenter(3).state_dict(), "own.safetensors", {METADATA: metadata})
    with pytest.raises(ValueError, match=rf"--segmenter own\.safetensors: .*metadata '{METADATA}'.*\(.+\)"):
        load_segmenter("own.safetensors")


def test_load_segmenter_refuses_weights_that_do_not_fit_the_metadata() -> None:
    four = SegmenterInfo((1, 2, 3, 4), None, 5, {})
    save_file(unet_segmenter(3).state_dict(), "own.safetensors", {METADATA: four.to_json()})
    with pytest.raises(ValueError, match=rf"--segmenter own\.safetensors: .*weights.* '{METADATA}'"):
        load_segmenter("own.safetensors")


def test_segmenter_input_size() -> None:
    """The size of training; that of the label map for torchvision's models."""
    sizes: list[tuple[int, ...]] = []

    class RecordsSize(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(x.shape[-2:]))
            return x

    image = drawn_pair(0, 30, 40)[1]
    for info in (SegmenterInfo((0, 1, 2), (64, 32), 3, {}), SegmenterInfo((0, 1, 2), None, 3, {}), None):
        assert Segmenter(RecordsSize(), (0, 1, 2), "sizes", info)(image, (20, 80)).shape == (20, 80)
    assert sizes == [(64, 32), (32, 64), (20, 80)]  # the second padded from 30x40


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("other.pth", "(deeplabv3_mobilenet_v3_large, "),
        ("near.pth", "(deeplabv3_mobilenet_v3_large, "),
        ("scalar.pth", "(deeplabv3_mobilenet_v3_large, "),
        ("code.pth", "state_dict()"),
        ("text.safetensors", "damaged"),
        ("missing.pth", "No such file"),
        ("missing.safetensors", "No such file"),
    ],
)
def test_load_segmenter_refuses_other_files(path: str, key: str) -> None:
    torch.save({"a": torch.zeros(1)}, "other.pth")
    torch.save({"classifier.4.weight": torch.zeros(5, 3), "x": torch.zeros(1)}, "near.pth")
    torch.save({"classifier.4.weight": torch.zeros(())}, "scalar.pth")
    Path("code.pth").write_bytes(pickle.dumps(print, protocol=2))
    Path("text.safetensors").write_text("no")
    with pytest.raises(ValueError, match=f"^--segmenter {path}: ") as error:
        load_segmenter(path)
    assert key in str(error.value)
    assert "\n" not in str(error.value)
