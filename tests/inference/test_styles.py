"""Clusters of instance features, and styles that choose among them."""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.config import Config
from img2img.data.base import Item
from img2img.data.images import TITLE, read_image
from img2img.data.labelled import LabelledDataset
from img2img.inference.files import Request, translate_files
from img2img.inference.label_translator import LabelTranslator
from img2img.inference.loading import load_translator
from img2img.inference.styles import (
    Clusters,
    Style,
    cluster,
    encode,
    encode_training_set,
    find_instances,
    instance_vectors,
    load_clusters,
    save_clusters,
    styles_file,
)
from img2img.models.pix2pixhd import Pix2PixHD
from img2img.training.trainer import train
from tests.conftest import drawn_scene, tiny_config, write, write_scenes

DATA = {"label_nc": 5, "preprocess": "scale_width", "load_size": 40, "stride": 4, "flip": False}


def trained(root: Path, features: bool) -> LabelTranslator:
    model = Pix2PixHD.Config(ngf=4, n_downs=1, n_blocks=1, ndf=4, n_layers_d=1, n_scales=1, lambda_vgg=0, nef=4)
    model.instance_features, model.init_gain = features, 0.3
    return loaded(train(tiny_config(model, root, data=DATA, train={"max_steps": 2, "log_every": 1})))


def loaded(run: Path | str) -> LabelTranslator:
    translator = load_translator(run)
    assert isinstance(translator, LabelTranslator)
    return translator


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained once for all tests; each gets a copy."""
    folder = tmp_path_factory.mktemp("styles")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained(write_scenes(folder / "scenes"), features=True)
    return folder / "runs" / "tiny"


@pytest.fixture
def translator(one_run: Path) -> LabelTranslator:
    """Of a run with recognisable clusters: cluster k of class c is (c, k, 0) / 10."""
    shutil.copytree(one_run, "runs/tiny")
    translator = loaded("runs/tiny")
    pairs = np.array([(c, k) for c in range(4) for k in range(3)])  # class 4 has no clusters
    centres = np.pad(pairs / 10, ((0, 0), (0, 1)))
    save_clusters(translator, {"class": pairs[:, 0], "count": np.ones(len(pairs)), "centre": centres})
    return translator


SCENE = drawn_scene(40)[:2]
LABEL, INSTANCE = np.zeros((6, 8), int), np.zeros((6, 8), int)
LABEL[3:], INSTANCE[3:] = 1, 1
LABEL[1:3, 1:3], INSTANCE[1:3, 1:3] = 3, 3001
LABEL[1:3, 5:7], INSTANCE[1:3, 5:7] = 3, 3002
LABEL[4:, 4:], INSTANCE[4:, 4:] = 2, 2000


def slow_instances(label: np.ndarray, instance: np.ndarray) -> dict[int, tuple[int, float]]:
    """(class of most pixels, share) by id."""
    found = {}
    for number in sorted({*instance.ravel().tolist()}):
        inside = label[instance == number].tolist()
        found[number] = (max(sorted({*inside}), key=Counter(inside).__getitem__), len(inside) / label.size)
    return found


def test_find_instances_equals_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        label, instance = random.integers(-1, 5, (9, 11)), random.choice([3, 7, 24001, -5], (9, 11))
        slow = slow_instances(label, instance)
        ids, classes, places = find_instances(label, instance)
        assert np.array_equal(ids[places], instance)
        assert dict(zip(ids.tolist(), classes.tolist(), strict=True)) == {i: slow[i][0] for i in slow}
        features = np.stack([instance, label * 0], axis=2).astype(np.float32)
        kinds, shares, vectors = instance_vectors(label, instance, features)
        assert [*zip(kinds.tolist(), shares.tolist(), strict=True)] == [slow[i] for i in slow]
        assert vectors[:, 0].tolist() == [*slow]


def test_encode_averages_the_encoders_features_per_instance(translator: LabelTranslator) -> None:
    item = LabelledDataset(translator.config.data, "train").item("AtoB", 0)
    assert item.target is not None
    scene = {**item.inputs, "target": item.target}
    instance = scene["instance"][:, :, 0]
    encoded = encode(translator, scene["target"], scene["instance"])
    batch, _ = translator.batch(scene)
    with torch.no_grad():
        features = translator.model.encoder.network(batch["target"])[0].permute(1, 2, 0).numpy()
    _, _, vectors = instance_vectors(scene["label"][:, :, 0], instance, encoded)
    for number, vector in zip(np.unique(instance), vectors, strict=True):
        assert np.allclose(vector, features[instance == number].mean(axis=0), atol=1e-6)
    assert len(vectors) > 2


def test_cluster_is_deterministic_and_sorts_by_size() -> None:
    random = np.random.default_rng(0)
    middles = np.array([(0, 0, 0), (5, 0, 0), (0, 5, 0)])
    vectors = np.concatenate(
        [m + 0.1 * random.standard_normal((n, 3)) for m, n in zip(middles, (9, 30, 20), strict=True)]
    )
    centres, counts = cluster(vectors.astype(np.float32), 3)
    assert counts.tolist() == [30, 20, 9]
    assert np.abs(centres - middles[[1, 2, 0]]).max() < 0.2
    cloud = random.standard_normal((700, 3)).astype(np.float32)
    first, second = cluster(cloud, 10), cluster(cloud.copy(), 10)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert (first[0].dtype, first[0].shape, first[1].sum()) == (np.float32, (10, 3), 700)


def test_cluster_makes_no_more_clusters_than_different_vectors() -> None:
    centres, counts = cluster(np.array([[1, 2], [1, 2], [3, 4]], np.float32), 10)
    assert (centres.tolist(), counts.tolist()) == ([[1, 2], [3, 4]], [2, 1])


def test_encode_training_set_leaves_out_small_instances_of_classes_with_larger_ones(
    translator: LabelTranslator,
) -> None:
    scenes = [item.inputs for item in LabelledDataset(translator.config.data, "train").items("AtoB")]
    slow = [v for s in scenes for v in slow_instances(s["label"][:, :, 0], s["instance"][:, :, 0]).values()]
    share = sorted(max(v for k, v in slow if k == kind) for kind in {k for k, _ in slow})[0]  # of the smallest class
    path, notes = encode_training_set(translator, 3, share)
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"class", "count", "centre", "encoder"}
        found = {name: file[name] for name in ("class", "count", "centre")}
    assert {array.dtype.kind for array in found.values()} == {"i", "f"}
    large = Counter(k for k, v in slow if v > share)
    every = Counter(k for k, _ in slow)
    for kind in every:
        counts = found["count"][found["class"] == kind]
        assert counts.sum() == (large[kind] or every[kind])
        assert len(counts) <= 3
    assert found["centre"].shape == (len(found["class"]), 3)
    (small,) = set(every) - set(large)
    assert notes[1].endswith(f": class {small}")
    assert notes[0] == f"{found['count'].sum()} of {len(slow)} instances in {len(every)} classes, 4 images"
    before = path.read_bytes()
    encode_training_set(translator, 3, share)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["step-000002.npz"]
    every_one = encode_training_set(translator, 3, 0)[1]
    assert every_one[0].startswith(f"{len(slow)} of {len(slow)} ")
    assert len(every_one) == 1


def features(translator: LabelTranslator, style: str, seed: int = 0) -> np.ndarray:
    return Style(style, translator)(LABEL, INSTANCE, seed)


def chosen(found: np.ndarray) -> dict[int, int]:
    """The cluster by instance, of the fixture's centres."""
    assert np.allclose(found[:, :, 0] * 10, LABEL)
    by_instance = {number: np.unique(found[number == INSTANCE], axis=0) for number in np.unique(INSTANCE).tolist()}
    assert all(len(vectors) == 1 for vectors in by_instance.values())
    return {number: round(float(vectors[0, 1]) * 10) for number, vectors in by_instance.items()}


def test_style_parts_change_only_their_instances(translator: LabelTranslator) -> None:
    none = dict.fromkeys((0, 1, 2000, 3001, 3002), 0)
    assert chosen(features(translator, "cluster:1=0")) == none
    assert chosen(features(translator, "cluster:3=2,1=1")) == none | {3001: 2, 3002: 2, 1: 1}
    assert chosen(features(translator, "instance:3002=1")) == none | {3002: 1}
    assert chosen(features(translator, "cluster:3=2;instance:3002=1")) == none | {3001: 2, 3002: 1}
    drawn = chosen(features(translator, "random", 5))
    assert chosen(features(translator, "random; instance:3001=2; cluster:0=1", 5)) == drawn | {3001: 2, 0: 1}


def test_style_random_depends_on_the_seed(translator: LabelTranslator) -> None:
    drawn = [chosen(features(translator, "random", seed)) for seed in range(30)]
    assert drawn[3] == chosen(features(translator, "random", 3))
    assert all({found[i] for found in drawn} == {0, 1, 2} for i in drawn[0])
    assert any(found[3001] != found[3002] for found in drawn)
    edited = np.where(INSTANCE == 3002, 1, INSTANCE)  # the draw of other instances stays
    again = Style("random", translator)(LABEL, edited, 4)
    assert np.array_equal(again[INSTANCE == 3001], features(translator, "random", 4)[INSTANCE == 3001])


def test_style_gives_a_class_without_clusters_the_mean(translator: LabelTranslator) -> None:
    found = Style("random", translator)(np.full((2, 2), 4), np.full((2, 2), 4))
    assert np.allclose(found, (0.15, 0.1, 0))


def test_style_instance_overrides_the_photo(translator: LabelTranslator) -> None:
    write(Path("photo.png"), drawn_scene(3)[2])
    styled = Style("encode:photo.png;instance:3001=2", translator)
    encoded = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    found, own = styled(LABEL, INSTANCE, 0, encoded), INSTANCE == 3001
    assert np.allclose(found[own], (0.3, 0.2, 0))
    flat = Style("encode:photo.png", translator)(LABEL, INSTANCE, 0, encoded)
    assert np.array_equal(found[~own], flat[~own])


def test_styled_translator_draws_in_the_style(translator: LabelTranslator) -> None:
    label, instances = SCENE
    photo = drawn_scene(3)[2]
    write(Path("photo.png"), photo)
    draw = partial(translator.styled("random"), label, instances=instances)
    assert np.array_equal(draw(seed=1), draw(seed=1))
    assert not np.array_equal(draw(seed=1), draw(seed=2))
    assert np.array_equal(
        translator.styled("encode:photo.png")(label, instances=instances),
        translator(label, instances=instances, photo=photo),
    )
    assert translator.style is None  # styled() returns another translator
    assert translator.styled("random").draws
    assert not translator.styled("cluster:1=1").draws
    with pytest.raises(ValueError, match=r"run tiny .*--style random"):
        translator(label, instances=instances)


def test_styled_translator_keeps_odd_sizes(translator: LabelTranslator) -> None:
    label, instances, _ = drawn_scene(41, 23, 37)
    assert translator.styled("random")(label, instances=instances).shape == (23, 37, 3)
    at_size = load_translator("runs/tiny", training_size=True).styled("random;instance:1=2")
    assert isinstance(at_size, LabelTranslator)
    assert at_size(label, instances=instances).shape == (23, 37, 3)


def test_styled_translator_relabels_classes(translator: LabelTranslator) -> None:
    label, instances = SCENE
    number = int(label[label >= 2][0])
    other = np.where(label == number, 1, label)
    moved = np.where(instances // 1000 == number, instances % 1000 + 1000, instances)
    draw = translator.styled("cluster:1=1", f"{number}:1")
    assert np.array_equal(draw(label, instances=instances), translator.styled("cluster:1=1")(other, instances=moved))
    here, there = (Item("", {"label": ids[:, :, None].astype(np.int32)}) for ids in (label, other))
    assert np.array_equal(draw.show(here), translator.show(there))


def test_translate_files_titles_the_grids_of_styles(translator: LabelTranslator) -> None:
    translate_files(translator, Request(None, Path("val"), samples=2, seed=4, style="random"))
    assert {p.name for p in Path("val").glob("*.png")} == {"0_1.png", "0_2.png", "1_1.png", "1_2.png"}
    sheet = read_image(Path("val/grids/00001-00002.png"), 3)
    assert sheet.shape == (2 * 24 + 4 + TITLE, 4 * 44 + 4, 3)  # input | style 1 | style 2 | target
    assert (sheet[4 : 4 + TITLE, 4:44] < 128).any()
    translate_files(translator, Request(None, Path("five"), samples=1, seed=5, style="random"))
    assert np.array_equal(read_image(Path("five/0_1.png"), 3), read_image(Path("val/0_2.png"), 3))
    maps, instances = (Path(str(translator.config.data.root)) / f"test_{kind}" for kind in ("label", "inst"))
    beside = {"instance": instances}
    translate_files(translator, Request(maps, Path("own"), others=beside, style="cluster:0=1", relabel="2:3,3:2"))
    assert read_image(Path("own/grids/00001-00002.png"), 3).shape == (2 * 24 + 4 + TITLE, 2 * 44 + 4, 3)
    translate_files(translator, Request(None, Path("plain")))  # in the styles of their own photos, as before
    assert read_image(Path("plain/grids/00001-00002.png"), 3).shape == (2 * 24 + 4, 3 * 44 + 4, 3)


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("", "(empty)"),
        ("rnadom", "part rnadom"),
        ("random:3", "part random:3"),
        ("random;", "(empty)"),
        ("random;encode:x.png", "random and encode"),
        ("encode:nowhere.png", "nowhere.png"),
        ("cluster:", "part cluster:"),
        ("cluster:car=1", "class car; classes are 0 to 4"),
        ("cluster:5=1", "class 5; classes are 0 to 4"),
        ("cluster:1", "1; give CLASS=N"),
        ("cluster:1=x", "1=x; give CLASS=N"),
        ("cluster:1=-1", "1=-1; give CLASS=N"),
        ("cluster:1=3", "cluster 3; it has 0 to 2"),
        ("cluster:4=0", "class 4 has no clusters"),
        ("instance:x=1", "instance id x"),
        ("instance:3009=1", "3009; it has 0, 1,"),
        ("instance:1=7", "cluster 7; it has 0 to 2"),
    ],
)
def test_style_refuses_invalid_texts(style: str, message: str, translator: LabelTranslator) -> None:
    label, instances = SCENE
    prefix = "" if "nowhere" in style else f"--style {style}: "
    with pytest.raises(ValueError, match=re.escape(prefix) + ".*" + re.escape(message)) as error:
        translator.styled(style)(label, instances=instances)
    assert "\n" not in str(error.value)


def test_translate_files_refuses_samples_of_a_style_without_randomness(translator: LabelTranslator) -> None:
    with pytest.raises(ValueError, match=r"--samples 2: .*--style cluster:1=1 .*random"):
        translate_files(translator, Request(None, Path("out"), samples=2, style="cluster:1=1"))


def test_encode_training_set_checks_its_arguments(translator: LabelTranslator) -> None:
    with pytest.raises(ValueError, match="--clusters 0"):
        encode_training_set(translator, 0)
    for share in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match=f"--min-share {share}"):
            encode_training_set(translator, 10, share)


def test_runs_without_encoder_refuse_styles(labelled_root: Path, tiny: Callable[..., Config]) -> None:
    plain = trained(labelled_root, features=False)
    with pytest.raises(ValueError, match=r"run tiny .*--model\.instance_features true"):
        encode_training_set(plain)
    with pytest.raises(ValueError, match=r"--style random: run tiny .*model\.instance_features"):
        plain.styled("random")
    label, instances = SCENE
    assert plain.styled(relabel="1:0")(label, instances=instances).shape == (20, 40, 3)
    pairs = load_translator(train(tiny("pairs")))
    for options, option in (({"style": "random"}, "--style random"), ({"relabel": "1:2"}, "--relabel 1:2")):
        with pytest.raises(ValueError, match=f"{option}: run pairs "):
            translate_files(pairs, Request(None, Path("out"), **options))


def test_load_clusters_refuses_missing_and_damaged_files(translator: LabelTranslator) -> None:
    path = styles_file(translator)
    write(Path("photo.png"), drawn_scene(3)[2])
    good: Clusters = load_clusters(translator)
    assert {number: len(centres) for number, centres in good.items()} == {0: 3, 1: 3, 2: 3, 3: 3}
    whole = path.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"step-000002\.npz: damaged .*img2img styles runs/tiny"):
            translator.styled("random")
    np.savez(path, **{"class": np.array([1]), "centre": np.array([{}])})  # pickled objects are not read
    with pytest.raises(ValueError, match=r"step-000002\.npz: damaged"):
        translator.styled("random")
    path.unlink()
    translator.styled("encode:photo.png")  # needs none
    for style in ("random", "cluster:1=1", "instance:1=1", "encode:photo.png;cluster:1=1"):
        with pytest.raises(ValueError, match=r"step-000002\.npz: no such file; .*img2img styles runs/tiny"):
            translator.styled(style)


def test_load_clusters_refuses_those_of_another_encoder(translator: LabelTranslator) -> None:
    styles = styles_file(translator)
    kept = styles.read_bytes()
    config = translator.config
    assert translator.checkpoint is not None
    shutil.rmtree(translator.run / "styles")
    write_scenes(Path("scenes"))
    config.data.root = "scenes"
    train(replace(config, train=replace(config.train, seed=1)), overwrite=True)
    styles.parent.mkdir()
    styles.write_bytes(kept)
    again = loaded("runs/tiny")
    assert again.checkpoint == translator.checkpoint
    for style in ("random", "cluster:1=1"):
        with pytest.raises(ValueError, match=r"step-000002\.npz: .*another encoder .*step-000002; .*img2img styles"):
            again.styled(style)
    encode_training_set(again, 2)
    again.styled("random")
    with np.load(styles) as file:  # a file of a version without checksums
        arrays = {name: file[name] for name in ("class", "count", "centre")}
    np.savez(styles, **arrays)
    with pytest.raises(ValueError, match=r"step-000002\.npz: .*another encoder .*--checkpoint 2"):
        again.styled("random")


def test_save_clusters_reports_a_file_that_cannot_be_written(translator: LabelTranslator) -> None:
    shutil.rmtree(translator.run / "styles")
    (translator.run / "styles").write_text("")
    with pytest.raises(ValueError, match=r"step-000002\.npz: "):
        save_clusters(translator, {"class": np.zeros(1)})


@pytest.mark.parametrize(("height", "width"), [(21, 38), (20, 37)])
def test_encode_leaves_out_the_padding(height: int, width: int, translator: LabelTranslator) -> None:
    """Means over the pixels that were given, of what the network finds in the padded photo."""
    _, instance, photo = (array[:height, :width] for array in drawn_scene(6, 24, 40))
    instance = instance.astype(np.int32)
    batch, inside = translator.batch({"target": photo, "instance": instance[:, :, None]})
    with torch.no_grad():
        found = translator.model.encoder.network(batch["target"])[0][inside].permute(1, 2, 0).numpy()
    encoded = encode(translator, photo, instance[:, :, None])
    assert encoded.shape == (height, width, 3)
    for number in np.unique(instance):
        expected = found[instance == number].mean(axis=0)
        assert np.allclose(encoded[instance == number], expected, atol=1e-6)
    label = instance % 5
    write(Path("photo.png"), photo)
    draw = partial(translator.styled("encode:photo.png"), label, instances=instance)
    assert np.array_equal(draw(), translator(label, instances=instance, photo=photo))


def test_results_folder_is_distinct_for_each_style(translator: LabelTranslator) -> None:
    step = translator.run / "results" / "step-000002"
    assert translator.results() == step
    assert translator.results(style="random") == step / "random"
    assert (
        translator.results(style="cluster:1=2;random", relabel="24:26,car:tree")
        == step / "cluster-1=2+random_relabel-24-26,car-tree"
    )
    assert translator.results(relabel="1:2") == step / "relabel-1-2"
    texts = ["encode:a.png", "encode:a-png", "encode:b/a.png", "encode:b-a.png", "encode::a.png", "encode/../a.png"]
    texts += ["cluster:" + ",".join(f"{i}=1" for i in range(n)) for n in (40, 41)]
    folders = {translator.results(style=text) for text in texts}
    assert len(folders) == len(texts)
    assert all(folder.parent == step and len(folder.name) < 100 for folder in folders)


def test_cluster_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ValueError, match=r"sklearn.*\[styles\]"):
        cluster(np.zeros((3, 2), np.float32), 2)
