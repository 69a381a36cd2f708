"""Images of many domains: folders, tables of attributes, targets, and what a user gets wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.data import dataset_class
from img2img.data.base import LabelSet, TargetLabel
from img2img.data.domain_files import celeba_test_rows
from img2img.data.domains import DomainsConfig, DomainsDataset
from tests.conftest import drawn_pair, write

SIZES: dict[str, Any] = {"load_size": 18, "crop_size": 16}
HAIR = ["Black_Hair", "Blond_Hair", "Male"]


def options(root: Path | None = None, **changes: Any) -> DomainsConfig:
    return DomainsConfig(root and str(root), **{**SIZES, **changes})


def draw(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        write(root / name, drawn_pair(i)[1])
    return root


def error(part: str = "train", root: Path | None = None, **changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        DomainsDataset(options(root, **changes), part)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Six training images and three validation images of three domains, one of them a folder deeper."""
    train = ("train/wet/1.png", "train/wet/2.png", "train/wet/3.png", "train/dry/a/1.png", "train/icy/1.png")
    return draw(tmp_path / "set", *train, "train/icy/2.png", "val/wet/4.png", "val/dry/4.png", "val/icy/4.png")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Ten images and their table."""
    root = draw(tmp_path / "faces", *(f"{i}.png" for i in range(10)))
    lines = ["file,Black_Hair,Blond_Hair,Male"]
    lines += [f"{i}.png,{int(i % 3 == 0)},{int(i % 3 == 1)},{1 if i % 2 else -1}" for i in range(10)]
    (root / "attributes.csv").write_text("\n".join(lines))
    return root


def test_folders_are_domains_in_the_order_of_the_alphabet(three: Path) -> None:
    assert dataset_class("domains") is DomainsDataset
    dataset = DomainsDataset(options(three), "train")
    assert dataset.names == ["dry", "icy", "wet"]
    samples = [dataset[0, i] for i in range(len(dataset))]
    assert [sample["class"] for sample in samples] == [0, 1, 1, 2, 2, 2]
    assert samples[0]["name"] == "dry/a/1"
    assert samples[0]["labels"].tolist() == dataset.known_labels(samples[0]).tolist() == [1, 0, 0]
    assert samples[0]["input"] is samples[0]["target"]
    assert samples[0]["input"].shape == (16, 16, 3)


def test_items_of_a_direction_are_the_images_of_all_other_domains(three: Path) -> None:
    dataset = DomainsDataset(options(three), "val")
    directions = dataset.directions(dataset.config)
    assert {name: tuple(way) for name, way in directions.items()} == {n: (None, n) for n in ("dry", "icy", "wet")}
    items = dataset.items("icy")
    assert [item.name for item in items] == [dataset.item_name("icy", i) for i in range(2)] == ["dry/4", "wet/4"]
    assert all(item.inputs["domain"].tolist() == [0, 1, 0] and item.target is None for item in items)
    assert next(iter(items[0].inputs)) == "input"
    assert len(dataset.images("icy")) == 1
    assert dataset.label_sets(dataset.config) == [LabelSet(("dry", "icy", "wet"), exclusive=True)]
    assert dataset.target_label(dataset.config, "icy") == TargetLabel(1, on=True)
    assert dataset.validated(dataset.config) == ["dry", "icy", "wet"]


def test_options_of_the_set_have_the_names_and_the_direction(three: Path) -> None:
    config = DomainsDataset(options(three), "train").config
    assert (config.names, config.direction) == (["dry", "icy", "wet"], "dry")
    assert DomainsDataset(config, "train").config is config
    (three / "train" / "icy").rename(three / "train" / "ice")
    with pytest.raises(ValueError, match=r"train: ice .*dry, icy, wet"):
        DomainsDataset(config, "train")


def test_mapping_of_folders_keeps_its_order_and_shares_by_name(tmp_path: Path) -> None:
    root = draw(tmp_path, *(f"{folder}/{i}.png" for folder in "ab" for i in range(20)))
    config = options(domains={"young": str(root / "b"), "old": str(root / "a")}, val_share=0.25)
    train, val = (DomainsDataset(config, part) for part in ("train", "val"))
    assert train.names == ["young", "old"]
    names = [[part.sources[0].name(i) for i in range(len(part))] for part in (train, val)]
    assert sorted(names[0] + names[1]) == sorted(f"{d}/{i}" for d in ("young", "old") for i in range(20))
    assert 2 <= len(val) <= 18
    assert not train.notes
    without = options(domains=config.domains)
    shown = DomainsDataset(without, "val")
    assert len(shown) == len(DomainsDataset(without, "train")) == 40
    assert any("data.val_share" in note for note in shown.notes)


def test_attributes_come_from_the_table(faces: Path) -> None:
    dataset = DomainsDataset(options(faces, attributes="Black_Hair, Blond_Hair Male", val_share=0.0), "train")
    assert dataset.names == HAIR
    assert [dataset[0, i]["labels"].tolist() for i in range(3)] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert dataset[0, 0]["class"] == -1
    assert {n: tuple(d) for n, d in dataset.directions(dataset.config).items()} == {
        "Black_Hair": (None, "Black_Hair"),
        "Blond_Hair": (None, "Blond_Hair"),
        "Male": ("no_Male", "Male"),
        "no_Male": ("Male", "no_Male"),
    }
    assert dataset.label_sets(dataset.config) == [LabelSet(tuple(HAIR), exclusive=False)]
    assert dataset.target_label(dataset.config, "no_Male") == TargetLabel(2, on=False)
    assert dataset.validated(dataset.config) == ["Black_Hair", "Blond_Hair", "Male", "no_Male"]
    assert [item.name for item in dataset.items("no_Male")] == ["1", "3", "5", "7", "9"]
    assert dataset.item("Black_Hair", 0).inputs["domain"].tolist() == [1, 0, 1]  # of 1.png, blond and male


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("Blond_Hair", [0, 1, 1]), ("Black_Hair", [1, 0, 1]), ("no_Male", [1, 0, 0]), ("Male", [1, 0, 1])],
)
def test_target_switches_an_attribute_and_those_that_it_excludes(direction: str, expected: list[int]) -> None:
    config = options(Path("x"), attributes=HAIR, names=HAIR)
    assert config.labels.directed(direction, np.array([1, 0, 1], np.float32)).tolist() == expected


def test_split_column_of_the_table_makes_the_parts(faces: Path) -> None:
    table = faces / "attributes.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text(
        "\n".join([f"{head},split", *(f"{row},{'val' if i > 7 else 'train'}" for i, row in enumerate(rows))])
    )
    parts = [DomainsDataset(options(faces, attributes=HAIR), part) for part in ("train", "val")]  # type: ignore[arg-type]
    assert [len(part) for part in parts] == [8, 2]


def test_celeba_is_split_as_the_official_code_does() -> None:
    """Python's generator, seed 1234, shuffles the 202599 rows; the first 1999 are for tests."""
    test = celeba_test_rows(202599)
    assert sum(test) == 1999
    assert all(test[number - 1] for number in (28136, 25600, 120849, 63578, 83306))


def test_celebas_own_table_is_read(tmp_path: Path) -> None:
    root = draw(tmp_path / "img", *(f"{i:06d}.png" for i in range(1, 7)))
    rows = [f"{i:06d}.jpg  {1 if i % 2 else -1}   {-1 if i % 2 else 1}" for i in range(1, 7)]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["6", "Male Young", *rows]))
    message = error(root=root, attributes=["Male", "Young"])
    assert "6 rows have no image" in message  # of another suffix
    assert "000001.jpg" in message
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["6", "Male Young", *rows]).replace(".jpg", ".png"))
    assert "data.val_share" in error(root=root, attributes=["Male", "Young"])  # all six are for tests
    dataset = DomainsDataset(options(root, attributes=["Male", "Young"], val_share=0.01), "train")
    assert dataset.sources[0].labels[0].tolist() == [1, 0]


def test_even_domains_are_drawn_equally_often(tmp_path: Path) -> None:
    root = draw(tmp_path, *(f"train/many/{i}.png" for i in range(30)), "train/few/1.png", "train/few/2.png")
    dataset = DomainsDataset(options(root, even_domains=True), "train", augment=True)
    classes = [dataset[epoch, i]["class"] for epoch in range(2) for i in range(len(dataset))]
    assert classes.count(0) == classes.count(1)
    assert any("data.even_domains" in note for note in dataset.notes)
    assert np.array_equal(dataset[1, 3]["input"], DomainsDataset(dataset.config, "train", augment=True)[1, 3]["input"])


def test_center_crop_cuts_before_it_resizes(tmp_path: Path) -> None:
    image = np.zeros((40, 30, 3), np.uint8)
    image[15:25, 10:20] = 200
    write(tmp_path / "train" / "a" / "1.png", image)
    write(tmp_path / "train" / "b" / "1.png", image)
    config = options(tmp_path, center_crop=10, load_size=16, crop_size=16, flip=False)
    assert (DomainsDataset(config, "train")[0, 0]["input"] == 200).all()


def test_user_file_has_the_labels_that_the_set_knows(faces: Path, three: Path) -> None:
    config = options(faces, attributes=HAIR, names=HAIR)

    def labels(config: DomainsConfig, path: Path) -> list[float]:
        return DomainsDataset.read(config, "", path, {}).inputs["labels"].tolist()

    assert labels(config, faces / "1.png") == [0, 1, 1]
    outside = write(faces.parent / "1.png", drawn_pair(0)[1])  # another image of the same name
    assert np.isnan(labels(config, outside)).all()
    assert labels(options(three, names=["dry", "icy", "wet"]), three / "val/icy/4.png") == [0, 1, 0]
    by_name = options(domains={"cold": str(three / "train/icy"), "warm": str(three / "train/dry")})
    by_name = DomainsDataset(by_name, "train").config
    assert labels(by_name, three / "train/dry/a/1.png") == [0, 1]
    (faces / "attributes.csv").unlink()
    assert np.isnan(labels(config, faces / "1.png")).all()


def test_two_sets_take_turns_and_share_one_vector(faces: Path, three: Path) -> None:
    config = options(faces, attributes=HAIR, joint_root=str(three), val_share=0.2)
    dataset = DomainsDataset(config, "train")
    assert dataset.names == [*HAIR, "dry", "icy", "wet"]
    assert dataset.config.joint_names == ["dry", "icy", "wet"]
    assert dataset.config.channels == {"input": 3, "target": 3, "domain": 8, "first_labels": 3}
    assert len(dataset) == 2 * max(len(source) for source in dataset.sources)
    samples = [dataset[0, i] for i in range(len(dataset))]
    assert [sample["labels"][6:].tolist() for sample in samples[:2]] == [[1, 0], [0, 1]]
    assert samples[0]["class"] == -1
    assert samples[1]["class"] in (0, 1, 2)
    assert all((sample["labels"][:3] == 0).all() for sample in samples[1::2])
    for sample, is_known in zip(samples, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], strict=False):
        known = dataset.known_labels(sample)
        assert (~np.isnan(known)).tolist() == [bool(each) for each in is_known]
        assert known[np.array(is_known, bool)].tolist() == sample["labels"][:6][np.array(is_known, bool)].tolist()
    assert dataset.label_sets(dataset.config) == [LabelSet(tuple(HAIR), False), LabelSet(("dry", "icy", "wet"), True)]
    assert dataset.target_label(dataset.config, "icy") == TargetLabel(4, on=True)
    assert {sample["name"] for sample in samples[1::2]} == {
        f"{name}" for name in ("dry/a/1", "icy/1", "icy/2", "wet/1", "wet/2", "wet/3")
    }
    assert list(dataset.directions(dataset.config)) == [
        "Black_Hair",
        "Blond_Hair",
        "Male",
        "no_Male",
        "dry",
        "icy",
        "wet",
    ]
    val = DomainsDataset(dataset.config, "val")
    assert [item.name for item in val.items("icy")] == ["dry/4", "wet/4"]
    assert val.item("icy", 0).inputs["domain"].tolist() == [0, 0, 0, 0, 1, 0, 0, 1]
    everything = val.items("")
    assert [np.isnan(item.inputs["labels"]).sum() for item in everything][-3:] == [3, 3, 3]
    assert val[0, 0]["targets"].shape == (6, 8)
    assert val[0, 0]["targets"][4].tolist() == [0, 0, 0, 0, 1, 0, 0, 1]  # a face of the first set as icy
    with pytest.raises(ValueError, match=r"data\.joint_root .*dry"):
        options(faces, attributes=["dry", "x"], names=["dry", "x"], joint_root=str(three), joint_names=["dry", "icy"])


def test_grid_shows_hair_turned_on_and_other_attributes_flipped(faces: Path) -> None:
    dataset = DomainsDataset(options(faces, attributes=HAIR, val_share=0.5), "val")
    index = next(i for i in range(len(dataset)) if dataset[0, i]["labels"].tolist() == [0, 1, 1])
    assert dataset[0, index]["targets"].tolist() == [[1, 0, 1], [0, 1, 1], [0, 1, 0]]
    assert dataset.titles(dataset.config) == {"domain_0": "Black_Hair", "domain_1": "Blond_Hair", "domain_2": "Male"}


def test_mistakes_of_folders_are_one_line(three: Path, tmp_path: Path) -> None:
    assert "data.root is not set" in error()
    assert "no such folder" in error(root=tmp_path / "none")
    assert f"data.root {three}" in error(root=tmp_path)  # given one level too high
    assert f"data.root {three}" in error(root=three / "train")  # the split itself
    draw(tmp_path / "high", "train/train/a/1.png", "train/test/a/1.png")
    assert f"data.root {tmp_path / 'high' / 'train'}" in error(root=tmp_path / "high")
    draw(tmp_path / "one", "train/only/1.png")
    assert "only alone: two domains" in error(root=tmp_path / "one")
    (tmp_path / "one" / "train" / "empty").mkdir()
    assert "empty: no image" in error(root=tmp_path / "one")


def test_mistakes_of_tables_are_one_line(faces: Path, tmp_path: Path) -> None:
    assert "did you mean Black_Hair" in error(root=faces, attributes=["Black_Hiar", "Male"])
    assert "data.table" in error(root=faces, attributes=HAIR, table=str(tmp_path / "none.csv"))
    assert "Male alone" in error(root=faces, attributes=["Male"])
    write(faces / "new.png", drawn_pair(0)[0])
    assert "1 images of" in error(root=faces, attributes=HAIR)
    (faces / "new.png").unlink()
    (faces / "3.png").unlink()
    assert "1 rows have no image" in error(root=faces, attributes=HAIR)
    (faces / "attributes.csv").write_text("file,Male,Young\n0.png,1\n")
    assert "row 1 (0.png) has 1 values for 2 columns" in error(root=faces, attributes=["Male", "Young"])
    (faces / "attributes.csv").unlink()
    assert "attributes.csv" in error(root=faces, attributes=HAIR)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"domains": {"a": "x"}, "root": "y"}, "data.domains"),
        ({"attributes": ["A"], "toy": True}, "data.attributes"),
        ({"attributes": ["A", "B"], "exclusive": ["C"]}, "data.exclusive C"),
        ({"attributes": ["A", "A"]}, "data.attributes"),
        ({"val_share": 1.0}, "data.val_share 1.0"),
        ({"image_channels": 2}, "data.image_channels 2"),
    ],
)
def test_options_that_exclude_each_other_are_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        DomainsConfig(**changes)


def test_an_attribute_of_all_images_is_refused(faces: Path) -> None:
    table = faces / "attributes.csv"
    table.write_text("\n".join(["file,Male,Young", *(f"{i}.png,{i % 2},1" for i in range(10))]))
    assert "Young" in error(root=faces, attributes=["Male", "Young"])


def test_toy_task_has_shoes_of_five_colours() -> None:
    dataset = DomainsDataset(DomainsConfig(toy=True, load_size=32, crop_size=32), "val")
    assert len(dataset.names) == 5
    assert dataset.sources[0].labels.sum(0).min() >= 6
    assert dataset[0, 0]["input"].shape == (32, 32, 3)
