"""The FCN-score from end to end: label maps of ids, colour-coded label maps in both directions, folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from img2img.checkpoint import UMASK
from img2img.config import Config
from img2img.evaluation.base import FeatureNetworks, ImageRecord, ImageSet
from img2img.evaluation.evaluate import Scores
from img2img.evaluation.fcn.class_maps import ClassMaps, LabelledPhotos
from img2img.evaluation.fcn.label_maps import LabelFolder, Palette, load_palette
from img2img.evaluation.fcn.loading import FILE, choose_segmenter, load_class_maps
from img2img.evaluation.fcn.segmenter import Segmenter, SegmenterInfo, load_segmenter
from img2img.evaluation.fcn.train_segmenter import train_segmenter
from img2img.evaluation.folder_sets import folder_set
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.report import write_report
from img2img.training.trainer import train
from tests.conftest import drawn_scene, photo_of, write, write_scenes
from tests.evaluation.helpers import measure

COLOURS = ((10, 20, 30), (200, 40, 90), (90, 220, 30), (40, 60, 240), (250, 250, 120))  # of drawn_scene's classes


class ByRed(nn.Module):
    """Segments images of ``photo_of``, whose red is 40 + 40 x class: (B, 3, H, W) -> logits (B, 5, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = (x[:, 0] + 1) * 127.5
        return -torch.stack([(red - 40 - 40 * number).abs() for number in range(5)], dim=1)


def by_red() -> Segmenter:
    info = SegmenterInfo(tuple(range(5)), None, 5, {})
    return Segmenter(ByRed(), info.ids, "by red", info)


def labelled(tiny_hd: Callable[..., Config], root: Path, **changes: Any) -> Config:
    data = {"root": str(root), "toy": False, "label_nc": 5, "load_size": 40, "stride": 4}
    return tiny_hd(train={"max_steps": 1}, data=data | changes)


def write_palette() -> Palette:
    names = ("black", "red", "green", "blue", "yellow")
    lines = (" ".join([*map(str, colour), name]) for colour, name in zip(COLOURS, names, strict=True))
    Path("palette.txt").write_text("\n".join(lines))
    return load_palette("palette.txt")


def colour_coded_set(folder: Path, unpaired: bool = False) -> Path:
    """Photos as A, colour-coded label maps as B: 6 for training, 4 for validation; side by side, or a folder each."""
    write_palette()
    for split, count in (("train", 6), ("val", 4)):
        for i in range(count):
            label, _, photo = drawn_scene(i + 50 * (split == "val"), 32, 32)
            maps = np.array(COLOURS, np.uint8)[label]
            if unpaired:
                write(folder / f"{split}A" / f"{i}.png", photo)
                write(folder / f"{split}B" / f"{i}.png", maps)
            else:
                write(folder / split / f"{i}.png", np.concatenate([photo, maps], axis=1))
    return folder


def load(run: str, train_steps: int | None = None, **options: Any) -> tuple[ClassMaps | LabelFolder, Segmenter | None]:
    """Loads label maps and segmentation network as ``img2img evaluate`` does."""
    maps = load_class_maps(run, **options)
    image_sets = open_image_sets(run, maps=maps, options=RunOptions(paired=options.get("paired", False)))
    return maps, choose_segmenter(run, maps, image_sets, train_steps=train_steps, classes=options.get("classes"))


def scores_of(run: str, segmenter: Segmenter | None = None, **options: Any) -> list[Scores]:
    maps = load_class_maps(run, **options)
    image_sets = open_image_sets(run, maps=maps)
    network = segmenter or choose_segmenter(run, maps, image_sets)
    return [measure(image_set, "fcn", FeatureNetworks(segmenter=network)) for image_set in image_sets]


@pytest.fixture
def wrong_rows() -> tuple[ImageSet, list[float]]:
    """Six images, of which image i has i of 20 rows from another scene; and their pixel accuracies."""
    records, accuracies = [], []
    for i in range(6):
        label, _, photo = drawn_scene(i)
        other = drawn_scene(i + 10)
        wrong = np.arange(20)[:, None] < i
        image = np.where(wrong[..., None], other[2], photo)
        records.append(ImageRecord(f"{i}", image, photo, label.astype(np.int32)))
        accuracies.append((np.where(wrong, other[0], label) == label).mean())
    return ImageSet("drawn", 6, lambda: iter(records)), accuracies


def test_fcn_scores_images_and_targets(wrong_rows: tuple[ImageSet, list[float]]) -> None:
    image_set, accuracies = wrong_rows
    scores = measure(image_set, "fcn,l1", FeatureNetworks(segmenter=by_red()), batch_size=4)
    assert scores.per_image["pixel_accuracy"] == pytest.approx(accuracies)
    assert scores.scores["pixel_accuracy"] == pytest.approx(np.mean(accuracies))
    assert scores.scores["real_pixel_accuracy"] == scores.scores["real_mean_iou"] == 1
    assert len(scores.columns) == 3  # target, predicted, ground truth
    assert scores.best[0].name == "0"
    assert np.array_equal(scores.best[0].cells[2], scores.best[0].cells[3])


def test_fcn_report_has_classes(wrong_rows: tuple[ImageSet, list[float]]) -> None:
    networks = FeatureNetworks(segmenter=by_red())
    write_report(measure(wrong_rows[0], "fcn,l1", networks), wrong_rows[0], networks, Path("report"))
    rows = Path("report/classes.csv").read_text().splitlines()
    assert rows[0] == "id,name,pixels,accuracy,iou"
    assert sum(int(row.split(",")[2]) for row in rows[1:]) == 6 * 20 * 40
    assert "| recognised by | by red, 5 classes |" in Path("report/table.md").read_text()


@pytest.fixture
def easy_photos(tiny_hd: Callable[..., Config]) -> LabelledPhotos:
    """Photos that have one colour a class; class 4 is ignored."""
    for split in ("train", "val"):
        for i in range(4):
            label = drawn_scene(i + 10 * len(split), 32, 64)[0]
            write(Path("set") / f"{split}_label" / f"{i}.png", label)
            write(Path("set") / f"{split}_inst" / f"{i}.png", label)
            write(Path("set") / f"{split}_img" / f"{i}.png", np.array(COLOURS, np.uint8)[label])
    return LabelledPhotos(ClassMaps(labelled(tiny_hd, Path("set"), load_size=64, ignore_id=4)))


def test_train_segmenter_learns_and_is_loaded(easy_photos: LabelledPhotos) -> None:
    assert easy_photos[0]["label"].min() == -1
    segmenter = train_segmenter(easy_photos, 60, Path("sub") / FILE)
    accuracies = []
    validation = easy_photos.maps.dataset("val")
    for i in range(4):
        label = easy_photos.maps.class_map(validation, "AtoB", i)
        predicted = segmenter(validation.images("b")[i])
        accuracies.append((predicted == label)[label >= 0].mean())
    assert np.mean(accuracies) > 0.9
    loaded = load_segmenter(str(Path("sub") / FILE))
    assert np.array_equal(loaded(validation.images("b")[3]), predicted)
    assert loaded.classes == segmenter.classes == (0, 1, 2, 3, 4)


def test_train_segmenter_is_reproducible(easy_photos: LabelledPhotos) -> None:
    first = train_segmenter(easy_photos, 2, Path("a.safetensors"))
    second = train_segmenter(easy_photos, 2, Path("b.safetensors"), workers=1)
    for a, b in zip(*(each.network.state_dict().values() for each in (first, second)), strict=True):
        assert torch.equal(a, b)


def test_fcn_of_a_labelled_run(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    run = str(train(labelled(tiny_hd, labelled_root)))
    load(run, 30)
    (scores,) = scores_of(run)  # by the network that was just trained
    assert scores.scores["real_pixel_accuracy"] > scores.scores["pixel_accuracy"]
    assert set(scores.per_image) == {"pixel_accuracy"}
    maps, segmenter = load(run, classes="1,2,3", train_steps=1)
    assert isinstance(maps, ClassMaps)
    assert segmenter is not None
    assert maps.eval_classes == segmenter.classes == (1, 2, 3)


def test_fcn_of_a_labelled_run_refuses_options(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    run = str(train(labelled(tiny_hd, labelled_root)))
    with pytest.raises(ValueError, match=r"--metrics fcn: .*--train-segmenter.*--segmenter"):
        load(run)
    with pytest.raises(ValueError, match="--palette cityscapes: run tiny "):
        load(run, 1, palette="cityscapes")
    with pytest.raises(ValueError, match=r"--classes: .*\b7\b.*0\.\.4"):
        load(run, 1, classes="1,7")


def test_fcn_label_folder_may_have_larger_maps(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    run = str(train(labelled(tiny_hd, labelled_root)))
    for i in range(2):
        label = drawn_scene(i + 10 * len("val"))[0]
        write(Path("large") / f"{i}.png", label.repeat(2, axis=0).repeat(2, axis=1))
    load(run, 1, labels=labelled_root / "train_label")
    with pytest.raises(ValueError, match=r"--labels large: .* 2, 3$"):  # the training photos
        load(run, 1, labels=Path("large"))
    load(run, 1)
    maps, segmenter = load(run, labels=Path("large"))
    (made,) = open_image_sets(run, maps=maps)
    for record in made.images():
        assert record.class_map is not None
        assert record.class_map.shape == (40, 80)
    scores = measure(made, "fcn", FeatureNetworks(segmenter=segmenter))
    assert sum(row[2] for row in scores.tables["classes.csv"][1]) == 2 * 40 * 80  # type: ignore[misc]


@pytest.mark.parametrize("direction", ["BtoA", "AtoB"])
def test_fcn_of_a_colour_coded_run(tiny: Callable[..., Config], direction: str) -> None:
    root = colour_coded_set(Path("coded"))
    data = {"root": str(root), "direction": direction, "load_size": 32, "crop_size": 32}
    run = train(tiny(train={"max_steps": 1}, data=data))
    (scores,) = scores_of(str(run), by_red(), palette="palette.txt")
    (image_set,) = open_image_sets(str(run), maps=load_class_maps(str(run), palette="palette.txt"))
    made = list(image_set.images())
    labels = [drawn_scene(50 + i, 32, 32)[0] for i in range(4)]
    assert all(np.array_equal(record.class_map, label) for record, label in zip(made, labels, strict=True))
    palette = load_palette("palette.txt")
    read: Callable[[np.ndarray], np.ndarray] = by_red() if direction == "BtoA" else palette.ids
    accuracies = [(read(record.image) == label).mean() for record, label in zip(made, labels, strict=True)]
    assert scores.per_image["pixel_accuracy"] == pytest.approx(accuracies)
    assert ("real_mean_iou" in scores.scores) == (direction == "BtoA")  # targets that are label maps are not scored
    if direction == "AtoB":
        assert load(str(run), palette="palette.txt")[1] is None  # label maps need no segmentation network
    with pytest.raises(ValueError, match=r"--metrics fcn: run tiny .*--palette"):
        load(str(run), 1)
    with pytest.raises(ValueError, match=r"--palette cityscapes: .*\d+ levels.*\d+"):
        load(str(run), 1, palette="cityscapes")


def test_fcn_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    root = colour_coded_set(Path("coded"), unpaired=True)
    data = {"root": str(root), "load_size": 32, "crop_size": 32}
    run = str(train(tiny_cyclegan(train={"max_steps": 1}, data=data)))
    (unpaired,) = scores_of(run, by_red(), palette="palette.txt")  # only inputs have label maps: BtoA
    assert unpaired.names == ["0", "1", "2", "3"]
    maps, segmenter = load(run, 1, palette="palette.txt", paired=True)  # training images are paired by name, too
    assert isinstance(maps, ClassMaps)
    image_sets = open_image_sets(run, maps=maps, options=RunOptions(paired=True))
    assert [image_set.output.name for image_set in image_sets] == ["AtoB", "BtoA"]
    assert [image_set.class_reader is None for image_set in image_sets] == [False, True]
    for image_set in image_sets:
        assert measure(image_set, "fcn", FeatureNetworks(segmenter=segmenter)).scores["pixel_accuracy"] <= 1
    for path in (root / "trainA").iterdir():
        path.rename(path.with_name(f"photo-{path.name}"))
    with pytest.raises(ValueError, match=r"^--train-segmenter: .*--labels.*--segmenter"):
        load(run, 1, palette="palette.txt")


def test_fcn_of_a_folder() -> None:
    scenes = write_scenes(Path("more"))
    maps = LabelFolder(scenes / "val_label")
    scores = measure(folder_set(scenes / "val_img", maps=maps), "fcn", FeatureNetworks(segmenter=by_red()))
    assert scores.scores == {"pixel_accuracy": 1, "class_accuracy": 1, "mean_iou": 1}
    assert len(scores.columns) == 2  # predicted, ground truth


def test_fcn_of_a_folder_needs_options() -> None:
    scenes = write_scenes(Path("more"))
    labels = {"labels": scenes / "val_label"}
    with pytest.raises(ValueError, match=r"^--train-segmenter: .*more/val_img"):
        load("more/val_img", 3, **labels)
    with pytest.raises(ValueError, match=r"--metrics fcn: .*more/val_img.*--segmenter FILE.*--palette FILE"):
        load("more/val_img", **labels)
    with pytest.raises(ValueError, match=r"--metrics fcn: .*--labels DIR"):
        load("more/val_img", 3)


def test_fcn_of_a_folder_of_colour_coded_maps() -> None:
    palette = write_palette()
    labels = [drawn_scene(i)[0] for i in range(2)]
    for i, label in enumerate(labels):
        write(Path("ids") / f"{i}.png", label)
        write(Path("made") / f"{i}.png", palette.colours[np.where(np.arange(40) < 10 * i, 0, label)].astype(np.uint8))
    maps = load_class_maps("made", labels=Path("ids"), palette="palette.txt", photos=False)
    image_sets = open_image_sets("made", maps=maps)
    assert choose_segmenter("made", maps, image_sets) is None
    with pytest.raises(ValueError, match=r"--segmenter x: .*--palette"):
        choose_segmenter("made", maps, image_sets, segmenter="x")
    accuracies = measure(image_sets[0], "fcn").per_image["pixel_accuracy"]
    assert accuracies == pytest.approx([1, (np.where(np.arange(40) < 10, 0, labels[1]) == labels[1]).mean()])
    assert image_sets[0].class_names[4] == "yellow"


def test_class_maps_decode_colours_before_resizing(tiny: Callable[..., Config]) -> None:
    """Resizing would mix colours to those of other classes."""
    root = colour_coded_set(Path("coded"))
    data = {"root": str(root), "direction": "BtoA", "load_size": 20, "crop_size": 16}
    run = str(train(tiny(train={"max_steps": 1}, data=data)))
    (made,) = open_image_sets(run, maps=load_class_maps(run, palette="palette.txt"))
    for index, record in enumerate(made.images()):
        label = drawn_scene(50 + index, 32, 32)[0]
        assert record.class_map is not None
        assert np.array_equal(record.class_map, label[1::2, 1::2])  # nearest pixel to the middle of each 2x2


def test_label_folder_replaces_colour_coded_maps(tiny: Callable[..., Config]) -> None:
    root = colour_coded_set(Path("coded"))
    data = {"root": str(root), "direction": "BtoA", "load_size": 32, "crop_size": 32}
    run = str(train(tiny(train={"max_steps": 1}, data=data)))
    for i in range(4):
        write(Path("gt") / f"{i}_gtFine_labelIds.png", drawn_scene(50 + i, 64, 64)[0])
        write(Path("gt") / f"{i}_gtFine_color.png", drawn_scene(50 + i, 64, 64)[2])
    (made,) = open_image_sets(run, maps=load_class_maps(run, labels=Path("gt"), palette="palette.txt"))
    for i, record in enumerate(made.images()):
        assert np.array_equal(record.class_map, drawn_scene(50 + i, 64, 64)[0])


def test_label_folder_with_maps_of_one_domain(tiny_cyclegan: Callable[..., Config]) -> None:
    root = colour_coded_set(Path("coded"), unpaired=True)
    run = str(train(tiny_cyclegan(train={"max_steps": 1}, data={"root": str(root), "load_size": 32, "crop_size": 32})))
    for i in range(4):
        write(Path("maps") / f"{i}.png", drawn_scene(50 + i, 32, 32)[0])
        (root / "valB" / f"{i}.png").rename(root / "valB" / f"m{i}.png")
    options: dict[str, Any] = {"labels": Path("maps"), "palette": "palette.txt"}
    image_sets = open_image_sets(run, maps=load_class_maps(run, **options))
    assert [image_set.output.name for image_set in image_sets] == ["AtoB"]  # images of B have no maps in the folder
    (root / "valA" / "4.png").write_bytes((root / "valA" / "3.png").read_bytes())
    with pytest.raises(ValueError, match=r"--labels maps: .* 4$"):
        open_image_sets(run, maps=load_class_maps(run, **options))


def test_train_segmenter_keeps_the_old_file_on_failure(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    photos = LabelledPhotos(ClassMaps(labelled(tiny_hd, labelled_root)))
    path = Path(FILE)
    train_segmenter(photos, 1, path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~UMASK
    before = path.read_bytes()
    for file in (labelled_root / "train_label").iterdir():
        write(file, np.full((20, 40), 255, np.uint8))
    with pytest.raises(ValueError, match=r"--train-segmenter: .*\[0, 1, 2, 3, 4\]"):
        train_segmenter(photos, 2, path)
    assert path.read_bytes() == before


def test_train_segmenter_needs_a_writable_file(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    photos = LabelledPhotos(ClassMaps(labelled(tiny_hd, labelled_root)))
    Path("folder").mkdir()
    Path("file").write_text("")
    for path in (Path("folder"), Path("file") / FILE):
        with pytest.raises(ValueError, match=f"^{path}: can't be written"):
            train_segmenter(photos, 2, path)


def test_train_segmenter_notes_the_size_of_photos(tiny_hd: Callable[..., Config]) -> None:
    for i, side in enumerate((8, 40, 48, 64)):
        label = drawn_scene(i, side, side)[0]
        for kind, image in {"label": label, "inst": label, "img": photo_of(label, label)}.items():
            write(Path("set") / f"train_{kind}" / f"{i}.png", image)
            write(Path("set") / f"val_{kind}" / f"{i}.png", image)
    several = ClassMaps(labelled(tiny_hd, Path("set"), preprocess="none", batch_size=1))
    segmenter = train_segmenter(LabelledPhotos(several), 2, Path(FILE))
    assert segmenter.info is not None
    assert segmenter.info.size is None
    one = ClassMaps(labelled(tiny_hd, Path("set"), load_size=32, batch_size=1))
    segmenter = train_segmenter(LabelledPhotos(one), 2, Path(FILE))
    assert segmenter.info is not None
    assert segmenter.info.size == (32, 32)


def test_fcn_needs_label_maps_and_a_segmenter() -> None:
    label = np.zeros((20, 40), np.int32)
    image = photo_of(label, label)
    networks = FeatureNetworks(segmenter=by_red())
    with pytest.raises(ValueError, match=r"^fcn: 0 .*--labels"):
        measure(ImageSet("x", 1, lambda: iter([ImageRecord("0", image)])), "fcn", networks)
    with pytest.raises(ValueError, match=r"^fcn: .*--segmenter.*--train-segmenter"):
        measure(ImageSet("x", 1, lambda: iter([ImageRecord("0", image, None, label)])), "fcn")


def test_class_maps_refuse_a_run_that_draws_from_noise(tiny_noise: Callable[..., Config]) -> None:
    with pytest.raises(ValueError, match="--metrics fcn: run tiny draws from noise"):
        ClassMaps(tiny_noise(), Palette("p", COLOURS))
