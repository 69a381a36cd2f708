"""What a name on the command line stands for: a folder; a run of one direction or two, or one that draws from noise."""

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
from img2img.evaluation.image_sets import Subject, subjects
from img2img.evaluation.metrics import Judges, judge
from img2img.evaluation.pixels import pixel_scores
from img2img.inference.loading import load_sampler
from img2img.training.trainer import train
from tests.conftest import drawn_pair, write


def test_a_paired_run(tiny: Callable[..., Config]) -> None:
    config = tiny()
    run = train(config)
    (subject,) = subjects(str(run))
    translate, pictures = load_translator(run), PairedDataset(config.data, "val")
    assert subject.count == subject.real_count == 3
    assert subject.reals is not None
    assert subject.output == run / "evaluation" / "step-000004" / "AtoB"
    for i, (judged, real) in enumerate(zip(subject.pictures(), subject.reals(), strict=True)):
        assert np.array_equal(judged.picture, translate(pictures.images("a")[i]))
        assert judged.truth is not None
        assert np.array_equal(judged.truth, real)
        assert np.array_equal(real, pictures.images("b")[i])
    found = judge(subject, ("l1", "psnr", "ssim"), Judges()).scores
    expected = pixel_scores(translate)["output"]
    assert (found["l1"], found["psnr"], found["ssim"]) == pytest.approx(
        (expected.l1, expected.psnr, expected.ssim), rel=1e-4
    )


def test_a_run_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    run = train(tiny_cyclegan(data={"direction": "BtoA"}))
    mine, back = subjects(str(run))
    assert (mine.output.name, back.output.name) == ("BtoA", "AtoB")
    assert [judged.truth for judged in mine.pictures()] == [None] * 3  # nobody said that they are partners
    with pytest.raises(ValueError, match=r"--metrics l1: no true picture of the name of 0_B, 1_B, 2_B; leave l1 out"):
        judge(mine, ("l1",), Judges())
    assert all(judged.truth is not None for subject in subjects(str(run), paired=True) for judged in subject.pictures())
    for i in range(4):
        write(Path("others") / f"{i}.png", drawn_pair(i)[0])
    (alone,) = subjects(str(run), Path("others"))
    assert (alone.real_count, alone.real_title, alone.output.name) == (4, "others", "BtoA")
    assert alone.reals is not None
    assert [np.array_equal(real, drawn_pair(i)[0]) for i, real in enumerate(alone.reals())] == [True] * 4


def test_a_run_that_draws_from_noise(tiny_noise: Callable[..., Config]) -> None:
    run = train(tiny_noise(train={"max_steps": 1}))
    (subject,) = subjects(str(run), count=20, seed=3)
    drawn = [judged.picture for judged in subject.pictures()]
    assert subject.count == len(drawn) == 20
    assert np.array_equal(np.stack(drawn), load_sampler(run)(20, 3))
    (as_many,) = subjects(str(run))
    assert as_many.reals is not None
    assert as_many.count == as_many.real_count == len(list(as_many.reals())) == 1797 // 8


def test_label_maps(tiny_hd: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.data.toy.streets.LENGTHS", {"train": 4, "val": 2, "test": 2})
    (subject,) = subjects(str(train(tiny_hd(train={"max_steps": 1}))))
    assert subject.reals is not None
    for judged, real in zip(subject.pictures(), subject.reals(), strict=True):
        assert judged.truth is not None
        assert judged.picture.shape == judged.truth.shape == real.shape
        assert np.array_equal(judged.truth, real)


def test_scenes_in_a_style(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    """Test scenes have no photo whose style they could take."""
    data = {"root": str(labelled_root), "toy": False, "label_nc": 5, "load_size": 40, "val_split": "test"}
    run = train(tiny_hd(train={"max_steps": 1}, model={"instance_features": True}, data=data))
    (plain,) = subjects(str(run))
    with pytest.raises(ValueError, match="draws in a style: choose one"):
        list(plain.pictures())
    style = f"encode:{labelled_root}/val_img/0.tif"
    (subject,) = subjects(str(run), style=style, norm_policy="batch")
    assert subject.title.endswith(f"AtoB, style {style}, seed 0, normalised by the batch")
    translator = load_translator(run).styled(style)
    items = dataset_class("labelled")(translator.config.data, "val").items("AtoB")
    for judged, item in zip(subject.pictures(), items, strict=True):
        assert judged.truth is None
        assert np.array_equal(judged.picture, translator.translate(item))


def test_what_is_called_ahead_comes_in_order_and_no_further_than_needed() -> None:
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        if number == 3:
            raise UnreadableImage("3: broken")
        return number

    subject = Subject("x", 100, lambda: iter(()))
    found = subject.readable((partial(call, number) for number in range(100)), 2)
    assert [next(found) for _ in range(5)] == [0, 1, 2, 4, 5]
    found.close()
    assert len(called) <= 5 + 1 + 2 * 2 + 1
    assert subject.skipped == {"3: broken"}
    assert list(subject.readable((partial(call, number) for number in range(4, 9)), 2)) == [4, 5, 6, 7, 8]


def test_a_folder_and_its_partners() -> None:
    for i in range(3):
        write(Path("made") / "sub" / f"{i}.png", drawn_pair(i)[0])
        write(Path("real") / "sub" / f"{i}.bmp", drawn_pair(i)[1])
    (subject,) = subjects("made", Path("real"), pairs=True)
    for i, judged in enumerate(subject.pictures()):
        assert judged.name == f"sub/{i}.png"
        assert judged.truth is not None
        assert np.array_equal(judged.truth, read_image(Path(f"real/sub/{i}.bmp"), 3))
    write(Path("real") / "sub" / "0.png", drawn_pair(0)[0])
    assert subjects("made", Path("real"))[0].real_count == 4  # as sets, names say nothing
    with pytest.raises(ValueError, match="real: several files for sub/0"):
        subjects("made", Path("real"), pairs=True)
