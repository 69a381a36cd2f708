"""What a name on the command line stands for: a folder; a run of one direction or two, or one that draws from noise."""

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


def test_a_paired_run(tiny: Callable[..., Config]) -> None:
    config = tiny()
    run = train(config)
    (made,) = open_image_sets(str(run))
    translate, pictures = load_translator(run), PairedDataset(config.data, "val")
    assert made.real is not None
    assert made.count == made.real.count == 3
    assert made.output == run / "evaluation" / "step-000004" / "AtoB"
    for i, (record, real) in enumerate(zip(made.images(), made.real.images(), strict=True)):
        assert np.array_equal(record.image, translate(pictures.images("a")[i]))
        assert record.target is not None
        assert np.array_equal(record.target, real.image)
        assert np.array_equal(real.image, pictures.images("b")[i])
    expected = pixel_scores(translate)["output"].scores
    assert measure(made, "l1,psnr,ssim").scores == pytest.approx(expected, rel=1e-12)


def test_a_run_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    run = train(tiny_cyclegan(data={"direction": "BtoA"}))
    own, back = open_image_sets(str(run))
    assert (own.output.name, back.output.name) == ("BtoA", "AtoB")
    assert [record.target for record in own.images()] == [None] * 3  # nobody said that they are partners
    with pytest.raises(ValueError, match=r"l1: no target of the name of 0_B, 1_B, 2_B; leave l1 out"):
        measure(own, "l1")
    paired = open_image_sets(str(run), pairs=True, options=RunOptions(paired=True))
    assert all(record.target is not None for made in paired for record in made.images())
    for i in range(4):
        write(Path("others") / f"{i}.png", drawn_pair(i)[0])
    (alone,) = open_image_sets(str(run), reference=Path("others"))
    assert alone.real is not None
    assert (alone.real.count, alone.real.title, alone.output.name) == (4, "others", "BtoA")
    assert [np.array_equal(real.image, drawn_pair(i)[0]) for i, real in enumerate(alone.real.images())] == [True] * 4


@pytest.mark.parametrize(("metrics", "decoded"), [("kid", 1), ("l1,kid", 2)])
def test_metrics_of_sets_decode_no_partners(
    tiny_cyclegan: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, metrics: str, decoded: int
) -> None:
    run = train(tiny_cyclegan(train={"max_steps": 1}, data={"val_paired": True}))
    names = decoded_files(monkeypatch)
    made = open_image_sets(str(run), pairs="l1" in metrics)[0]
    measure(made, metrics, FeatureNetworks(Colours()))
    assert names == Counter({f"{i}_{side}.png": decoded if side == "B" else 1 for side in "AB" for i in range(3)})


def test_a_run_that_draws_from_noise(tiny_noise: Callable[..., Config]) -> None:
    run = train(tiny_noise(train={"max_steps": 1}))
    (made,) = open_image_sets(str(run), options=RunOptions(count=20, seed=3))
    drawn = [record.image for record in made.images()]
    assert made.count == len(drawn) == 20
    assert np.array_equal(np.stack(drawn), load_sampler(run)(20, 3))
    (as_many,) = open_image_sets(str(run))
    assert as_many.real is not None
    assert as_many.count == as_many.real.count == len(list(as_many.real.images())) == 1797 // 8


def test_label_maps(tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    (made,) = open_image_sets(str(train(tiny_hd(train={"max_steps": 1}))))
    assert made.real is not None
    for record, real in zip(made.images(), made.real.images(), strict=True):
        assert record.target is not None
        assert record.image.shape == record.target.shape == real.image.shape
        assert np.array_equal(record.target, real.image)


def test_scenes_in_a_style(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    """Test scenes have no photo whose style they could take."""
    data = {"root": str(labelled_root), "toy": False, "label_nc": 5, "load_size": 40, "val_split": "test"}
    run = train(tiny_hd(train={"max_steps": 1}, model={"instance_features": True}, data=data))
    (plain,) = open_image_sets(str(run))
    with pytest.raises(ValueError, match=r"run tiny .*--style random"):
        list(plain.images())
    style = f"encode:{labelled_root}/val_img/0.tif"
    (made,) = open_image_sets(str(run), options=RunOptions(style=style, norm_policy="batch"))
    assert made.title.endswith(f"AtoB, style {style}, seed 0, normalised by the batch")
    translator = load_translator(run).styled(style)
    items = dataset_class("labelled")(translator.config.data, "val").items("AtoB")
    for record, item in zip(made.images(), items, strict=True):
        assert record.target is None
        assert np.array_equal(record.image, translator.translate(item))


def test_what_is_called_ahead_comes_in_order_and_no_further_than_needed() -> None:
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        if number == 3:
            raise UnreadableImage("3: broken")
        return number

    image_set = ImageSet("x", 100, lambda: iter(()))
    found = image_set.readable((partial(call, number) for number in range(100)), 2)
    assert [next(found) for _ in range(5)] == [0, 1, 2, 4, 5]
    found.close()
    assert len(called) <= 5 + 1 + 2 * 2 + 1
    assert image_set.skipped == {"3: broken"}
    assert list(image_set.readable((partial(call, number) for number in range(4, 9)), 2)) == [4, 5, 6, 7, 8]


def test_a_folder_and_its_partners() -> None:
    for i in range(3):
        write(Path("made") / "sub" / f"{i}.png", drawn_pair(i)[0])
        write(Path("real") / "sub" / f"{i}.bmp", drawn_pair(i)[1])
    (made,) = open_image_sets("made", reference=Path("real"), pairs=True)
    for i, record in enumerate(made.images()):
        assert record.name == f"sub/{i}.png"
        assert record.target is not None
        assert np.array_equal(record.target, read_image(Path(f"real/sub/{i}.bmp"), 3))
    write(Path("real") / "sub" / "0.png", drawn_pair(0)[0])
    (as_sets,) = open_image_sets("made", reference=Path("real"))
    assert as_sets.real is not None
    assert as_sets.real.count == 4  # names say nothing
    with pytest.raises(ValueError, match="real: several files for sub/0"):
        open_image_sets("made", reference=Path("real"), pairs=True)
