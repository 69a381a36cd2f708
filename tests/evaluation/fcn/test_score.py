"""The FCN-score from end to end: label maps, painted images both ways, folders; by a segmenter trained on the set."""

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
from img2img.evaluation.fcn.segmenter import About, Segmenter, load_segmenter
from img2img.evaluation.fcn.train_segmenter import train_segmenter
from img2img.evaluation.image_sets import folder_set, open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.report import write_report
from img2img.training.trainer import train
from tests.conftest import drawn_scene, photo_of, write, write_scenes
from tests.evaluation.helpers import measure

COLOURS = ((10, 20, 30), (200, 40, 90), (90, 220, 30), (40, 60, 240), (250, 250, 120))  # of drawn_scene's classes


class ByRed(nn.Module):
    """Recognises ``photo_of`` without learning: red is 40 + 40 x class. Logits (B, 5, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = (x[:, 0] + 1) * 127.5
        return -torch.stack([(red - 40 - 40 * number).abs() for number in range(5)], dim=1)


def by_red() -> Segmenter:
    about = About(tuple(range(5)), None, 5, {})
    return Segmenter(ByRed(), about.ids, "by red", about)


def labelled(tiny_hd: Callable[..., Config], root: Path, **changes: Any) -> Config:
    data = {"root": str(root), "toy": False, "label_nc": 5, "load_size": 40, "stride": 4}
    return tiny_hd(train={"max_steps": 1}, data=data | changes)


def painted_palette() -> Palette:
    names = ("black", "red", "green", "blue", "yellow")
    lines = (" ".join([*map(str, colour), name]) for colour, name in zip(COLOURS, names, strict=True))
    Path("palette.txt").write_text("\n".join(lines))
    return load_palette("palette.txt")


def painted_set(folder: Path, sides: bool = False) -> Path:
    """Photos as A, painted class maps as B: 6 training pairs and 4 to validate; side by side, or a folder a side."""
    painted_palette()
    for split, count in (("train", 6), ("val", 4)):
        for i in range(count):
            label, _, photo = drawn_scene(i + 50 * (split == "val"), 32, 32)
            maps = np.array(COLOURS, np.uint8)[label]
            if sides:
                write(folder / f"{split}A" / f"{i}.png", photo)
                write(folder / f"{split}B" / f"{i}.png", maps)
            else:
                write(folder / split / f"{i}.png", np.concatenate([photo, maps], axis=1))
    return folder


def load(run: str, train_steps: int | None = None, **options: Any) -> tuple[ClassMaps | LabelFolder, Segmenter | None]:
    """As the command line does."""
    maps = load_class_maps(run, **options)
    image_sets = open_image_sets(run, maps=maps, options=RunOptions(paired=options.get("paired", False)))
    return maps, choose_segmenter(run, maps, image_sets, train_steps=train_steps, classes=options.get("classes"))


def scores_of(run: str, segmenter: Segmenter | None = None, **options: Any) -> list[Scores]:
    maps = load_class_maps(run, **options)
    image_sets = open_image_sets(run, maps=maps)
    network = segmenter or choose_segmenter(run, maps, image_sets)
    return [measure(image_set, "fcn", FeatureNetworks(segmenter=network)) for image_set in image_sets]


def test_what_is_made_and_what_is_real_are_recognised_by_their_class_maps() -> None:
    """A perfect recogniser: real photos score 1, made ones as many pixels as they have right."""
    made, real = [], []
    for i in range(6):
        label, _, photo = drawn_scene(i)
        other = drawn_scene(i + 10)
        wrong = np.arange(20)[:, None] < i  # the more rows of another scene, the worse
        made.append(ImageRecord(f"{i}", np.where(wrong[..., None], other[2], photo), photo, label.astype(np.int32)))
        real.append((np.where(wrong, other[0], label) == label).mean())
    drawn = ImageSet("drawn", 6, lambda: iter(made))
    networks = FeatureNetworks(segmenter=by_red())
    found = measure(drawn, "fcn,l1", networks, batch_size=4)
    assert found.per_image["pixel_accuracy"] == pytest.approx(real)
    assert found.scores["pixel_accuracy"] == pytest.approx(np.mean(real))
    assert found.scores["real_pixel_accuracy"] == found.scores["real_mean_iou"] == 1
    assert found.columns == ["truth", "seen", "classes"]
    assert found.best[0].name == "0"
    assert np.array_equal(found.best[0].cells[2], found.best[0].cells[3])
    write_report(found, drawn, networks, Path("report"))
    rows = Path("report/classes.csv").read_text().splitlines()
    assert rows[0] == "id,name,pixels,accuracy,iou"
    assert sum(int(row.split(",")[2]) for row in rows[1:]) == 6 * 20 * 40
    assert "| recognised by | by red, 5 classes |" in Path("report/table.md").read_text()


def test_a_segmenter_learns_the_photos_of_the_set(tiny_hd: Callable[..., Config]) -> None:
    for split in ("train", "val"):
        for i in range(4):
            label = drawn_scene(i + 10 * len(split), 32, 64)[0]
            write(Path("set") / f"{split}_label" / f"{i}.png", label)
            write(Path("set") / f"{split}_inst" / f"{i}.png", label)
            write(Path("set") / f"{split}_img" / f"{i}.png", np.array(COLOURS, np.uint8)[label])
    maps = ClassMaps(labelled(tiny_hd, Path("set"), load_size=64, ignore_id=4))
    photos = LabelledPhotos(maps)
    assert photos[0]["label"].min() == -1  # what is ignored is no class
    segmenter = train_segmenter(photos, 60, Path("sub") / FILE)
    right = []
    found = maps.set("val")
    for i in range(4):
        label = maps.of(found, "AtoB", i)
        seen = segmenter(found.images("b")[i])
        right.append((seen == label)[label >= 0].mean())
    assert np.mean(right) > 0.9
    again = load_segmenter(str(Path("sub") / FILE))
    assert np.array_equal(again(found.images("b")[3]), seen)
    assert again.scored == segmenter.scored == (0, 1, 2, 3, 4)
    same = (
        train_segmenter(photos, 2, Path("a.safetensors")),
        train_segmenter(photos, 2, Path("b.safetensors"), workers=1),
    )
    for a, b in zip(*(s.network.state_dict().values() for s in same), strict=True):
        assert torch.equal(a, b)


def test_a_run_of_label_maps(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    run = str(train(labelled(tiny_hd, labelled_root)))
    with pytest.raises(ValueError, match=r"--metrics fcn: --train-segmenter trains a network .* --segmenter names one"):
        load(run)
    with pytest.raises(ValueError, match="--palette cityscapes: run tiny has label maps; leave it out"):
        load(run, 1, palette="cityscapes")
    load(run, 30)
    (found,) = scores_of(run)  # by the one that was just trained
    assert found.scores["real_pixel_accuracy"] > found.scores["pixel_accuracy"]
    assert set(found.per_image) == {"pixel_accuracy"}
    maps, chosen = load(run, classes="1,2,3", train_steps=1)
    assert isinstance(maps, ClassMaps)
    assert chosen is not None
    assert maps.scored == chosen.scored == (1, 2, 3)
    with pytest.raises(ValueError, match=r"--classes: 7 is no class of the set, which has 0..4"):
        load(run, 1, classes="1,7")


def test_maps_in_a_folder_may_be_larger(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    run = str(train(labelled(tiny_hd, labelled_root)))
    for i in range(2):
        label = drawn_scene(i + 10 * len("val"))[0]
        write(Path("large") / f"{i}.png", label.repeat(2, axis=0).repeat(2, axis=1))
    load(run, 1, labels=labelled_root / "train_label")
    with pytest.raises(ValueError, match="--labels large: no map for 2, 3"):  # of the training photos
        load(run, 1, labels=Path("large"))
    load(run, 1)
    maps, segmenter = load(run, labels=Path("large"))
    (made,) = open_image_sets(run, maps=maps)
    for record in made.images():
        assert record.class_map is not None
        assert record.class_map.shape == (40, 80)
    found = measure(made, "fcn", FeatureNetworks(segmenter=segmenter))
    assert sum(row[2] for row in found.tables["classes.csv"][1]) == 2 * 40 * 80  # type: ignore[misc]


@pytest.mark.parametrize("direction", ["BtoA", "AtoB"])
def test_a_run_of_painted_maps(tiny: Callable[..., Config], direction: str) -> None:
    root = painted_set(Path("painted"))
    data = {"root": str(root), "direction": direction, "load_size": 32, "crop_size": 32}
    run = train(tiny(train={"max_steps": 1}, data=data))
    (found,) = scores_of(str(run), by_red(), palette="palette.txt")
    (image_set,) = open_image_sets(str(run), maps=load_class_maps(str(run), palette="palette.txt"))
    made = list(image_set.images())
    labels = [drawn_scene(50 + i, 32, 32)[0] for i in range(4)]
    assert all(np.array_equal(record.class_map, label) for record, label in zip(made, labels, strict=True))
    palette = load_palette("palette.txt")
    read: Callable[[np.ndarray], np.ndarray] = by_red() if direction == "BtoA" else palette.ids
    right = [(read(record.image) == label).mean() for record, label in zip(made, labels, strict=True)]
    assert found.per_image["pixel_accuracy"] == pytest.approx(right)
    assert ("real_mean_iou" in found.scores) == (direction == "BtoA")  # painted maps have nothing real about them
    if direction == "AtoB":
        assert load(str(run), palette="palette.txt")[1] is None  # nothing is to be recognised
    with pytest.raises(ValueError, match="run tiny has its label maps as images; --palette tells what colours mean"):
        load(str(run), 1)
    with pytest.raises(ValueError, match=r"--palette cityscapes: its colours are .* one of them must be painted in it"):
        load(str(run), 1, palette="cityscapes")


def test_a_run_of_two_directions(tiny_cyclegan: Callable[..., Config]) -> None:
    root = painted_set(Path("painted"), sides=True)
    data = {"root": str(root), "load_size": 32, "crop_size": 32}
    run = str(train(tiny_cyclegan(train={"max_steps": 1}, data=data)))
    (only,) = scores_of(run, by_red(), palette="palette.txt")  # nobody said that names make partners
    assert only.names == ["0", "1", "2", "3"]
    maps, segmenter = load(run, 1, palette="palette.txt", paired=True)  # training images have names, too
    assert isinstance(maps, ClassMaps)
    ways = open_image_sets(run, maps=maps, options=RunOptions(paired=True))
    assert [way.output.name for way in ways] == ["AtoB", "BtoA"]
    assert [way.painted is None for way in ways] == [False, True]
    for way in ways:
        assert measure(way, "fcn", FeatureNetworks(segmenter=segmenter)).scores["pixel_accuracy"] <= 1
    for path in (root / "trainA").iterdir():
        path.rename(path.with_name(f"photo-{path.name}"))
    with pytest.raises(ValueError, match=r"--train-segmenter: the training photos have no partners .* --segmenter"):
        load(run, 1, palette="palette.txt")


def test_a_folder_of_images(labelled_root: Path) -> None:
    scenes = write_scenes(Path("more"))
    torch.manual_seed(0)
    maps = LabelFolder(scenes / "val_label")
    found = measure(folder_set(scenes / "val_img", maps=maps), "fcn", FeatureNetworks(segmenter=by_red()))
    assert found.scores == {"pixel_accuracy": 1, "class_accuracy": 1, "mean_iou": 1}
    assert found.columns == ["seen", "classes"]
    where = {"labels": scenes / "val_label"}
    with pytest.raises(
        ValueError, match="--train-segmenter: takes the photos of a run's set, and more/val_img is a fold"
    ):
        load("more/val_img", 3, **where)
    with pytest.raises(
        ValueError, match="of a folder of photos it takes --segmenter FILE, of one of painted maps --pal"
    ):
        load("more/val_img", **where)
    with pytest.raises(ValueError, match="of a folder of images it takes --labels DIR"):
        load("more/val_img", 3)


def test_a_folder_of_painted_maps() -> None:
    palette = painted_palette()
    labels = [drawn_scene(i)[0] for i in range(2)]
    for i, label in enumerate(labels):
        write(Path("ids") / f"{i}.png", label)
        write(Path("made") / f"{i}.png", palette.colours[np.where(np.arange(40) < 10 * i, 0, label)].astype(np.uint8))
    maps = load_class_maps("made", labels=Path("ids"), palette="palette.txt", photos=False)
    found = open_image_sets("made", maps=maps)
    assert choose_segmenter("made", maps, found) is None
    with pytest.raises(ValueError, match="--segmenter x: of no use, since what is made are painted maps"):
        choose_segmenter("made", maps, found, segmenter="x")
    scores = measure(found[0], "fcn").per_image["pixel_accuracy"]
    assert scores == pytest.approx([1, (np.where(np.arange(40) < 10, 0, labels[1]) == labels[1]).mean()])
    assert found[0].class_names[4] == "yellow"


def test_painted_maps_are_read_before_they_are_resized(tiny: Callable[..., Config]) -> None:
    """Colours that are resized mix to those of other classes."""
    root = painted_set(Path("painted"))
    data = {"root": str(root), "direction": "BtoA", "load_size": 20, "crop_size": 16}
    run = str(train(tiny(train={"max_steps": 1}, data=data)))
    (made,) = open_image_sets(run, maps=load_class_maps(run, palette="palette.txt"))
    for index, record in enumerate(made.images()):
        label = drawn_scene(50 + index, 32, 32)[0]
        assert record.class_map is not None
        assert np.array_equal(record.class_map, label[1::2, 1::2])  # the middle of each 2x2 is its last pixel


def test_a_painted_run_beside_ids(tiny: Callable[..., Config]) -> None:
    root = painted_set(Path("painted"))
    data = {"root": str(root), "direction": "BtoA", "load_size": 32, "crop_size": 32}
    run = str(train(tiny(train={"max_steps": 1}, data=data)))
    for i in range(4):
        write(Path("gt") / f"{i}_gtFine_labelIds.png", drawn_scene(50 + i, 64, 64)[0])
        write(Path("gt") / f"{i}_gtFine_color.png", drawn_scene(50 + i, 64, 64)[2])
    (made,) = open_image_sets(run, maps=load_class_maps(run, labels=Path("gt"), palette="palette.txt"))
    for i, record in enumerate(made.images()):
        assert np.array_equal(record.class_map, drawn_scene(50 + i, 64, 64)[0])


def test_maps_of_the_photos_alone(tiny_cyclegan: Callable[..., Config]) -> None:
    root = painted_set(Path("painted"), sides=True)
    run = str(train(tiny_cyclegan(train={"max_steps": 1}, data={"root": str(root), "load_size": 32, "crop_size": 32})))
    for i in range(4):
        write(Path("maps") / f"{i}.png", drawn_scene(50 + i, 32, 32)[0])
        (root / "valB" / f"{i}.png").rename(root / "valB" / f"m{i}.png")
    options: dict[str, Any] = {"labels": Path("maps"), "palette": "palette.txt"}
    ways = open_image_sets(run, maps=load_class_maps(run, **options))
    assert [way.output.name for way in ways] == ["AtoB"]  # nobody has maps of what is painted in B
    (root / "valA" / "4.png").write_bytes((root / "valA" / "3.png").read_bytes())
    with pytest.raises(ValueError, match="--labels maps: no map for 4"):
        open_image_sets(run, maps=load_class_maps(run, **options))


def test_what_is_wrong_costs_no_segmenter(tiny_hd: Callable[..., Config], labelled_root: Path) -> None:
    config = labelled(tiny_hd, labelled_root)
    photos = LabelledPhotos(ClassMaps(config))
    path = Path(FILE)
    train_segmenter(photos, 1, path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~UMASK
    before = path.read_bytes()
    for folder in (labelled_root / "train_label",):
        for file in folder.iterdir():
            write(file, np.full((20, 40), 255, np.uint8))
    with pytest.raises(ValueError, match=r"--train-segmenter: no pixel .* \(\[0, 1, 2, 3, 4\]\)"):
        train_segmenter(photos, 2, path)
    assert path.read_bytes() == before
    Path("folder").mkdir()
    with pytest.raises(ValueError, match=r"folder: can't be written \(a folder of that name\)"):
        train_segmenter(photos, 2, Path("folder"))
    Path("file").write_text("")
    with pytest.raises(ValueError, match="can't be written"):
        train_segmenter(photos, 2, Path("file") / FILE)


def test_photos_of_several_sizes_keep_theirs(tiny_hd: Callable[..., Config]) -> None:
    for i, side in enumerate((8, 40, 48, 64)):
        label = drawn_scene(i, side, side)[0]
        for kind, image in {"label": label, "inst": label, "img": photo_of(label, label)}.items():
            write(Path("set") / f"train_{kind}" / f"{i}.png", image)
            write(Path("set") / f"val_{kind}" / f"{i}.png", image)
    maps = ClassMaps(labelled(tiny_hd, Path("set"), preprocess="none", batch_size=1))
    found = train_segmenter(LabelledPhotos(maps), 2, Path(FILE))
    assert found.about is not None
    assert found.about.size is None
    maps = ClassMaps(labelled(tiny_hd, Path("set"), load_size=32, batch_size=1))
    found = train_segmenter(LabelledPhotos(maps), 2, Path(FILE))
    assert found.about is not None
    assert found.about.size == (32, 32)


def test_what_is_missing_is_named(tiny_noise: Callable[..., Config]) -> None:
    label = np.zeros((20, 40), np.int32)
    picture = photo_of(label, label)
    networks = FeatureNetworks(segmenter=by_red())
    with pytest.raises(ValueError, match="fcn: 0 has no class map; name a folder of them"):
        measure(ImageSet("x", 1, lambda: iter([ImageRecord("0", picture)])), "fcn", networks)
    with pytest.raises(ValueError, match="fcn: needs a segmenter: name one, or train one"):
        measure(ImageSet("x", 1, lambda: iter([ImageRecord("0", picture, None, label)])), "fcn")
    with pytest.raises(ValueError, match="run tiny draws from noise, without label maps"):
        ClassMaps(tiny_noise(), Palette("p", COLOURS))
