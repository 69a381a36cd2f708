"""The FCN-score's definitions against scikit-learn, and segmenters from files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchvision.models
from safetensors.torch import save_file

from img2img.evaluation.fcn.confusion import Confusion
from img2img.evaluation.fcn.label_maps import CITYSCAPES_SCORED
from img2img.evaluation.fcn.segmenter import METADATA, About, Segmenter, load_segmenter, own_network
from tests.conftest import drawn_pair

SMALL = "lraspp_mobilenet_v3_large"


def torchvision_network(name: str, classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)


def test_scores_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    ids = [2, 3, 5, 9]
    confusion = Confusion([9, 2, 5, 3])
    truth, seen = random.choice([-1, 2, 3, 4, 5, 255], (2, 6, 20, 30))  # 4 is not scored, nothing is truly 9
    seen[:3] = truth[:3]
    seen[5][seen[5] == 3] = 9
    shares = [confusion.add(a, b) for a, b in zip(truth, seen, strict=True)]
    kept = np.isin(truth, ids)
    a, b = truth[kept], seen[kept]
    scores = confusion.scores()
    assert scores["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(a, b))
    with_recall = sklearn.metrics.recall_score(a, b, labels=[2, 3, 5], average="macro")
    assert scores["class_accuracy"] == pytest.approx(with_recall)
    assert scores["mean_iou"] == pytest.approx(sklearn.metrics.jaccard_score(a, b, labels=ids, average="macro"))
    assert shares == pytest.approx([(b[k] == a[k]).mean() for a, b, k in zip(truth, seen, kept, strict=True)])
    assert confusion.counts.sum() == kept.sum()
    assert np.isnan(confusion.accuracies()[3])
    assert confusion.ious()[3] == 0


def test_a_image_without_scored_pixels_has_no_score() -> None:
    confusion = Confusion([1, 2])
    assert np.isnan(confusion.add(np.zeros((4, 4), int), np.ones((4, 4), int)))
    with pytest.raises(ValueError, match=r"fcn: no pixel .* \(\[1, 2\]\)"):
        confusion.scores()
    confusion.add(np.ones((4, 4), int), np.ones((4, 4), int))
    assert confusion.scores() == {"pixel_accuracy": 1, "class_accuracy": 1, "mean_iou": 1}


@pytest.mark.parametrize(("name", "prefix"), [(SMALL, ""), ("fcn_resnet50", "module.")])
def test_torchvision_networks_are_recognised(name: str, prefix: str) -> None:
    network = torchvision_network(name, 4).eval()
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, "weights.pth")
    segmenter = load_segmenter("weights.pth", (7, -1, 0, 3))
    image = drawn_pair(0, 64, 96)[1]
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        logits = network((x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))["out"]
    expected = np.array([7, -1, 0, 3])[logits[0].argmax(0).numpy()]
    assert (segmenter(image) == expected).mean() > 0.999  # some logits are all but equal
    assert segmenter.title == f"{name}, weights weights.pth"
    assert segmenter.scored == (7, 0, 3)


def test_what_the_outputs_mean() -> None:
    for classes in (5, 19):
        torch.save(torchvision_network(SMALL, classes).state_dict(), f"{classes}.pth")
    assert load_segmenter("5.pth", count=5).scored == (0, 1, 2, 3, 4)
    assert load_segmenter("19.pth", count=35).scored == CITYSCAPES_SCORED
    assert load_segmenter("19.pth").scored == CITYSCAPES_SCORED
    assert load_segmenter("19.pth", count=19).scored == tuple(range(19))
    for path, classes, count, message in (
        ("5.pth", None, 35, "has 5 outputs, and the set has 35 classes; --classes gives the id of each output"),
        ("5.pth", None, None, "the set has an unknown number of classes"),
        ("5.pth", (1, 2), 5, "has 5 outputs, and --classes names 2"),
    ):
        with pytest.raises(ValueError, match=f"--segmenter {path}: .*{message}"):
            load_segmenter(path, classes, count)


def own_file(path: str = "own.safetensors", width: int = 64) -> torch.nn.Module:
    torch.manual_seed(1)
    network = own_network(3)
    about = About((2, 5, 6), (33, width), 35, {2: "tree"})
    save_file(network.state_dict(), path, {METADATA: about.to_json()})
    return network.eval()


def test_our_own_file_knows_its_classes_and_its_scale() -> None:
    network = own_file()
    segmenter = load_segmenter("own.safetensors", None, 35)
    image = drawn_pair(0, 33, 64)[1]  # 33 is padded to 64
    found = segmenter(image)
    padded = np.pad(image, ((0, 31), (0, 0), (0, 0)), mode="edge")
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded).permute(2, 0, 1)[None] / 127.5 - 1)[0, :, :33]
    assert (found == np.array([2, 5, 6])[logits.argmax(0).numpy()]).mean() > 0.999
    large = np.kron(image, np.ones((3, 3, 1), np.uint8))  # three times the scale that it learnt from
    assert (segmenter(large)[1::3, 1::3] == found).mean() > 0.97


def test_our_own_file_is_of_one_set() -> None:
    own_file()
    for count, names, message in (
        (35, {2: "bush"}, "knows class 2 as tree, and here it is bush; --train-segmenter trains one for this set"),
        (9, {}, "has learnt from a set of 35 classes, and this one has 9"),
    ):
        with pytest.raises(ValueError, match=f"--segmenter own.safetensors: {message}"):
            load_segmenter("own.safetensors", None, count, names)
    assert load_segmenter("own.safetensors", None, 34, {2: "tree", 3: "road"}).scored == (2, 5, 6)


@pytest.mark.parametrize(
    "told",
    ["nonsense", "{}", "[1]", '{"ids": [1], "size": [0, 9], "count": 3, "names": {}}', '{"ids": [], "size": null}'],
)
def test_what_a_file_says_of_itself_may_be_damaged(told: str) -> None:
    save_file(own_network(3).state_dict(), "own.safetensors", {METADATA: told})
    with pytest.raises(
        ValueError, match=r"--segmenter own\.safetensors: what it says of itself is damaged \(.*\); it takes"
    ):
        load_segmenter("own.safetensors")
    four = About((1, 2, 3, 4), None, 5, {})
    save_file(own_network(3).state_dict(), "own.safetensors", {METADATA: four.to_json()})
    with pytest.raises(ValueError, match="its weights are not those of what it says of itself"):
        load_segmenter("own.safetensors")


def test_a_network_of_our_own_sees_images_at_the_size_that_it_learnt_from() -> None:
    """And those of torchvision at that of the label maps, whatever the shape."""
    seen: list[tuple[int, ...]] = []

    class Looks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape[-2:]))
            return x

    image = drawn_pair(0, 30, 40)[1]
    for about in (About((0, 1, 2), (64, 32), 3, {}), About((0, 1, 2), None, 3, {}), None):
        assert Segmenter(Looks(), (0, 1, 2), "looks", about)(image, (20, 80)).shape == (20, 80)
    assert seen == [(64, 32), (32, 64), (20, 80)]  # the second padded from 30x40


def test_what_is_no_segmenter_is_refused() -> None:
    torch.save({"a": torch.zeros(1)}, "other.pth")
    torch.save({"classifier.4.weight": torch.zeros(5, 3), "x": torch.zeros(1)}, "near.pth")
    Path("code.pth").write_bytes(pickle.dumps(print, protocol=2))
    torch.save({"classifier.4.weight": torch.zeros(())}, "scalar.pth")
    Path("text.safetensors").write_text("no")
    for path, message in {
        "other.pth": "of no segmentation network of torchvision (deeplabv3_mobilenet_v3_large, ",
        "near.pth": "of no segmentation network of torchvision",
        "code.pth": "no file of plain tensors, and opening it could run code",
        "text.safetensors": "damaged, or no file that torch.save or safetensors wrote",
        "scalar.pth": "of no segmentation network of torchvision",
        "missing.pth": "No such file",
        "missing.safetensors": "No such file",
    }.items():
        with pytest.raises(ValueError, match="--segmenter") as error:
            load_segmenter(path)
        assert message in str(error.value)
        assert path in str(error.value)
        assert "\n" not in str(error.value)
