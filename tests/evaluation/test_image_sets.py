"""Image sets of folders, of runs with one direction or two, and of runs that draw from noise."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from img2img import load_translator
from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.images import UnreadableImage, read_image
from img2img.data.paired import PairedDataset
from img2img.evaluation.base import FeatureNetworks, ImageSet
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.report import pixel_scores
from img2img.inference.loading import load_sampler
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import decoded_files, measure
from tests.helpers import Colours


def test_open_image_sets_of_a_paired_run(tiny: Callable[..., Config]) -> None:
    config = tiny()
    run = train(config)
    (made,) = open_image_sets(str(run))
    translate, dataset = load_translator(run), PairedDataset(config.data, "val")
    assert made.real is not None
    assert made.count == made.real.count == 3
    assert made.output == run / "evaluation" / "step-000004" / "AtoB"
    for i, (record, real) in enumerate(zip(made.images(), made.real.images(), strict=True)):
        assert np.array_equal(record.image, translate(dataset.images("a")[i]))
        assert record.target is not None
        assert np.array_equal(record.target, real.image)
        assert np.array_equal(real.image, dataset.images("b")[i])
    expected = pixel_scores(translate)["output"].scores
    assert measure(made, "l1,psnr,ssim").scores == pytest.approx(expected, rel=1e-12)


def test_open_image_sets_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    run = train(tiny_cyclegan(data={"direction": "BtoA"}))
    first, second = open_image_sets(str(run))
    assert (first.output.name, second.output.name) == ("BtoA", "AtoB")
    assert [record.target for record in first.images()] == [None] * 3
    with pytest.raises(ValueError, match=r"^l1: .*0_B, 1_B, 2_B"):
        measure(first, "l1")
    paired = open_image_sets(str(run), pairs=True, options=RunOptions(paired=True))
    assert all(record.target is not None for made in paired for record in made.images())


def test_open_image_sets_with_reference_has_one_direction(tiny_cyclegan: Callable[..., Config]) -> None:
    run = train(tiny_cyclegan(train={"max_steps": 1}, data={"direction": "BtoA"}))
    for i in range(4):
        write(Path("others") / f"{i}.png", drawn_pair(i)[0])
    (made,) = open_image_sets(str(run), reference=Path("others"))
    assert made.real is not None
    assert (made.real.count, made.real.title, made.output.name) == (4, "others", "BtoA")
    assert [np.array_equal(real.image, drawn_pair(i)[0]) for i, real in enumerate(made.real.images())] == [True] * 4


@pytest.mark.parametrize(("metrics", "decoded"), [("kid", 1), ("l1,kid", 2)])
def test_metrics_of_sets_decode_no_targets(
    tiny_cyclegan: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, metrics: str, decoded: int
) -> None:
    run = train(tiny_cyclegan(train={"max_steps": 1}, data={"val_paired": True}))
    names = decoded_files(monkeypatch)
    made = open_image_sets(str(run), pairs="l1" in metrics)[0]
    measure(made, metrics, FeatureNetworks(Colours()))
    assert names == Counter({f"{i}_{side}.png": decoded if side == "B" else 1 for side in "AB" for i in range(3)})


def test_open_image_sets_of_noise(tiny_noise: Callable[..., Config]) -> None:
    run = train(tiny_noise(train={"max_steps": 1}))
    (made,) = open_image_sets(str(run), options=RunOptions(count=20, seed=3))
    drawn = [record.image for record in made.images()]
    assert made.count == len(drawn) == 20
    assert np.array_equal(np.stack(drawn), load_sampler(run)(20, 3))
    (default,) = open_image_sets(str(run))
    assert default.real is not None
    assert default.count == default.real.count == len(list(default.real.images())) == 1797 // 8


def test_open_image_sets_of_label_maps(tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    (made,) = open_image_sets(str(train(tiny_hd(train={"max_steps": 1}))))
    assert made.real is not None
    for record, real in zip(made.images(), made.real.images(), strict=True):
        assert record.target is not None
        assert record.image.shape == record.target.shape == real.image.shape
        assert np.array_equal(record.target, real.image)


def test_open_image_sets_with_style(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    """The part "test" has no photos, so that a style must be chosen."""
    data = {"root": str(labelled_root), "toy": False, "label_nc": 5, "load_size": 40, "val_split": "test"}
    run = train(tiny_hd(train={"max_steps": 1}, model={"instance_features": True}, data=data))
    (plain,) = open_image_sets(str(run))
    with pytest.raises(ValueError, match=r"run tiny .*--style random"):
        list(plain.images())
    style = f"encode:{labelled_root}/val_img/0.tif"
    (made,) = open_image_sets(str(run), options=RunOptions(style=style, norm_policy="batch"))
    assert f"AtoB, style {style}, seed 0" in made.title
    assert "batch" in made.title  # norm_policy
    translator = load_translator(run).styled(style)
    items = dataset_class("labelled")(translator.config.data, "val").items("AtoB")
    for record, item in zip(made.images(), items, strict=True):
        assert record.target is None
        assert np.array_equal(record.image, translator.translate(item))


def test_skip_unreadable_prefetches_in_order() -> None:
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        if number == 3:
            raise UnreadableImage("3: broken")
        return number

    image_set = ImageSet("x", 100, lambda: iter(()))
    results = image_set.skip_unreadable((partial(call, number) for number in range(100)), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 4, 5]
    results.close()
    assert len(called) <= 5 + 1 + 2 * 2 + 1  # those returned, the skipped one, those ahead and the next
    assert image_set.skipped == {"3: broken"}
    assert list(image_set.skip_unreadable((partial(call, number) for number in range(4, 9)), 2)) == [4, 5, 6, 7, 8]


def test_open_image_sets_of_folders() -> None:
    for i in range(3):
        write(Path("made") / "sub" / f"{i}.png", drawn_pair(i)[0])
        write(Path("real") / "sub" / f"{i}.bmp", drawn_pair(i)[1])
    (made,) = open_image_sets("made", reference=Path("real"), pairs=True)
    for i, record in enumerate(made.images()):
        assert record.name == f"sub/{i}.png"
        assert record.target is not None
        assert np.array_equal(record.target, read_image(Path(f"real/sub/{i}.bmp"), 3))
    write(Path("real") / "sub" / "0.png", drawn_pair(0)[0])
    (unpaired,) = open_image_sets("made", reference=Path("real"))
    assert unpaired.real is not None
    assert unpaired.real.count == 4  # as a set, images may share a name
    with pytest.raises(ValueError, match=r"^real: .*sub/0"):
        open_image_sets("made", reference=Path("real"), pairs=True)
