"""Clusters of instances' features, and styles that choose among them."""

import re
import shutil
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
from img2img.inference.label_translator import SceneTranslator
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


def trained(root: Path, features: bool) -> SceneTranslator:
    model = Pix2PixHD.Config(ngf=4, n_downs=1, n_blocks=1, ndf=4, n_layers_d=1, n_scales=1, lambda_vgg=0, nef=4)
    model.instance_features, model.init_gain = features, 0.3
    return loaded(train(tiny_config(model, root, data=DATA, train={"max_steps": 2, "log_every": 1})))


def loaded(run: Path | str) -> SceneTranslator:
    translator = load_translator(run)
    assert isinstance(translator, SceneTranslator)
    return translator


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained once for all tests, each of which gets a copy of its own."""
    folder = tmp_path_factory.mktemp("styles")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained(write_scenes(folder / "scenes"), features=True)
    return folder / "runs" / "tiny"


@pytest.fixture
def translator(one_run: Path) -> SceneTranslator:
    """Of a run with clusters that a test can tell apart: number k of class c is (c, k, 0) / 10."""
    shutil.copytree(one_run, "runs/tiny")
    found = loaded("runs/tiny")
    pairs = np.array([(c, k) for c in range(4) for k in range(3)])  # class 4 has none
    centres = np.pad(pairs / 10, ((0, 0), (0, 1)))
    save_clusters(found, {"class": pairs[:, 0], "count": np.ones(len(pairs)), "centre": centres})
    return found


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


def test_instances_equal_a_slow_loop() -> None:
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


def test_vectors_are_the_means_of_the_encoders_features(translator: SceneTranslator) -> None:
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


def test_k_means_is_deterministic_and_numbers_by_size() -> None:
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


def test_there_are_no_more_clusters_than_different_vectors() -> None:
    centres, counts = cluster(np.array([[1, 2], [1, 2], [3, 4]], np.float32), 10)
    assert (centres.tolist(), counts.tolist()) == ([[1, 2], [3, 4]], [2, 1])


def test_large_instances_count_and_small_ones_where_there_are_no_others(translator: SceneTranslator) -> None:
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
    assert notes[1].endswith(f"so all count: class {small}")
    assert notes[0] == f"{found['count'].sum()} of {len(slow)} instances in {len(every)} classes, 4 images"
    before = path.read_bytes()
    encode_training_set(translator, 3, share)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["step-000002.npz"]
    every_one = encode_training_set(translator, 3, 0)[1]
    assert every_one[0].startswith(f"{len(slow)} of {len(slow)} ")
    assert len(every_one) == 1


def features(translator: SceneTranslator, style: str, seed: int = 0) -> np.ndarray:
    return Style(style, translator)(LABEL, INSTANCE, seed)


def chosen(found: np.ndarray) -> dict[int, int]:
    """The cluster by instance, of the fixture's centres."""
    assert np.allclose(found[:, :, 0] * 10, LABEL)
    by_instance = {number: np.unique(found[number == INSTANCE], axis=0) for number in np.unique(INSTANCE).tolist()}
    assert all(len(vectors) == 1 for vectors in by_instance.values())
    return {number: round(float(vectors[0, 1]) * 10) for number, vectors in by_instance.items()}


def test_choices_change_only_the_instances_concerned(translator: SceneTranslator) -> None:
    none = dict.fromkeys((0, 1, 2000, 3001, 3002), 0)
    assert chosen(features(translator, "cluster:1=0")) == none
    assert chosen(features(translator, "cluster:3=2,1=1")) == none | {3001: 2, 3002: 2, 1: 1}
    assert chosen(features(translator, "instance:3002=1")) == none | {3002: 1}
    assert chosen(features(translator, "cluster:3=2;instance:3002=1")) == none | {3001: 2, 3002: 1}
    drawn = chosen(features(translator, "random", 5))
    assert chosen(features(translator, "random; instance:3001=2; cluster:0=1", 5)) == drawn | {3001: 2, 0: 1}


def test_random_styles_follow_the_seed(translator: SceneTranslator) -> None:
    drawn = [chosen(features(translator, "random", seed)) for seed in range(30)]
    assert drawn[3] == chosen(features(translator, "random", 3))
    assert all({found[i] for found in drawn} == {0, 1, 2} for i in drawn[0])
    assert any(found[3001] != found[3002] for found in drawn)
    edited = np.where(INSTANCE == 3002, 1, INSTANCE)  # the others keep their draw
    again = Style("random", translator)(LABEL, edited, 4)
    assert np.array_equal(again[INSTANCE == 3001], features(translator, "random", 4)[INSTANCE == 3001])


def test_a_class_that_training_never_saw_gets_the_mean(translator: SceneTranslator) -> None:
    found = Style("random", translator)(np.full((2, 2), 4), np.full((2, 2), 4))
    assert np.allclose(found, (0.15, 0.1, 0))


def test_a_photos_styles_can_be_overruled(translator: SceneTranslator) -> None:
    write(Path("photo.png"), drawn_scene(3)[2])
    styled = Style("encode:photo.png;instance:3001=2", translator)
    encoded = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    found, own = styled(LABEL, INSTANCE, 0, encoded), INSTANCE == 3001
    assert np.allclose(found[own], (0.3, 0.2, 0))
    flat = Style("encode:photo.png", translator)(LABEL, INSTANCE, 0, encoded)
    assert np.array_equal(found[~own], flat[~own])


def test_images_follow_the_style(translator: SceneTranslator) -> None:
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
    assert translator.style is None  # styled() made others
    assert translator.styled("random").draws
    assert not translator.styled("cluster:1=1").draws
    with pytest.raises(ValueError, match="draws in a style: choose one"):
        translator(label, instances=instances)


def test_odd_sizes_and_training_size_take_styles(translator: SceneTranslator) -> None:
    label, instances, _ = drawn_scene(41, 23, 37)
    assert translator.styled("random")(label, instances=instances).shape == (23, 37, 3)
    at_size = load_translator("runs/tiny", training_size=True).styled("random;instance:1=2")
    assert isinstance(at_size, SceneTranslator)
    assert at_size(label, instances=instances).shape == (23, 37, 3)


def test_relabelled_scenes_are_those_of_the_other_class(translator: SceneTranslator) -> None:
    label, instances = SCENE
    number = int(label[label >= 2][0])
    other = np.where(label == number, 1, label)
    moved = np.where(instances // 1000 == number, instances % 1000 + 1000, instances)
    draw = translator.styled("cluster:1=1", f"{number}:1")
    assert np.array_equal(draw(label, instances=instances), translator.styled("cluster:1=1")(other, instances=moved))
    here, there = (Item("", {"label": ids[:, :, None].astype(np.int32)}) for ids in (label, other))
    assert np.array_equal(draw.show(here), translator.show(there))


def test_files_in_random_styles_have_titled_grids(translator: SceneTranslator) -> None:
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
        ("", "--style : nothing is no style; there are random, cluster:"),
        ("rnadom", "--style rnadom: rnadom is no style"),
        ("random:3", "is no style"),
        ("random;", "nothing is no style"),
        ("random;encode:x.png", "choose one"),
        ("encode:nowhere.png", "nowhere.png"),
        ("cluster:", "is no style"),
        ("cluster:car=1", "--style cluster:car=1: no class car; there are 0..4"),
        ("cluster:5=1", "no class 5; there are 0..4"),
        ("cluster:1", "1 is not CLASS=N"),
        ("cluster:1=x", "1=x is not CLASS=N"),
        ("cluster:1=-1", "1=-1 is not CLASS=N"),
        ("cluster:1=3", "class 1 has no cluster 3; it has 0..2"),
        ("cluster:4=0", "class 4 has no clusters, since no training image shows it"),
        ("instance:x=1", "x is no id of an instance"),
        ("instance:3009=1", "--style instance:3009=1: the instance map has no 3009; it has 0, 1,"),
        ("instance:1=7", "class 1 has no cluster 7; it has 0..2"),
    ],
)
def test_what_is_no_style_is_refused(style: str, message: str, translator: SceneTranslator) -> None:
    label, instances = SCENE
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        translator.styled(style)(label, instances=instances)
    assert "\n" not in str(error.value)


def test_one_answer_is_not_written_twice(translator: SceneTranslator) -> None:
    with pytest.raises(ValueError, match="--samples 2: --style cluster:1=1 has one answer; with random"):
        translate_files(translator, Request(None, Path("out"), samples=2, style="cluster:1=1"))


def test_arguments_of_the_encoding_are_checked(translator: SceneTranslator) -> None:
    with pytest.raises(ValueError, match="--clusters 0"):
        encode_training_set(translator, 0)
    for share in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match=f"--min-share {share}"):
            encode_training_set(translator, 10, share)


def test_a_run_without_encoder_says_so(labelled_root: Path, tiny: Callable[..., Config]) -> None:
    plain = trained(labelled_root, features=False)
    with pytest.raises(ValueError, match=r"has no encoder: train one with --model\.instance_features true"):
        encode_training_set(plain)
    with pytest.raises(ValueError, match=r"--style random: run tiny has no encoder \(model\.instance_features\)"):
        plain.styled("random")
    label, instances = SCENE
    assert plain.styled(relabel="1:0")(label, instances=instances).shape == (20, 40, 3)
    pairs = load_translator(train(tiny("pairs")))
    for options, option in (({"style": "random"}, "--style random"), ({"relabel": "1:2"}, "--relabel 1:2")):
        with pytest.raises(ValueError, match=f"{option}: run pairs translates images, not label maps"):
            translate_files(pairs, Request(None, Path("out"), **options))


def test_clusters_that_are_missing_or_damaged(translator: SceneTranslator) -> None:
    path = styles_file(translator)
    write(Path("photo.png"), drawn_scene(3)[2])
    good: Clusters = load_clusters(translator)
    assert {number: len(centres) for number, centres in good.items()} == {0: 3, 1: 3, 2: 3, 3: 3}
    whole = path.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged .*; run tools/encode_features\.py runs/tiny again"):
            translator.styled("random")
    np.savez(path, **{"class": np.array([1]), "centre": np.array([{}])})  # pickled objects are not read
    with pytest.raises(ValueError, match="damaged"):
        translator.styled("random")
    path.unlink()
    translator.styled("encode:photo.png")  # needs none
    for style in ("random", "cluster:1=1", "instance:1=1", "encode:photo.png;cluster:1=1"):
        with pytest.raises(ValueError, match=r"run tools/encode_features\.py runs/tiny first"):
            translator.styled(style)


def test_clusters_of_an_encoder_that_was_trained_anew_are_refused(translator: SceneTranslator) -> None:
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
        with pytest.raises(
            ValueError, match=r"of another encoder than .*step-000002 has now; run tools/encode_features"
        ):
            again.styled(style)
    encode_training_set(again, 2)
    again.styled("random")
    with np.load(styles) as file:  # as before there was a checksum
        arrays = {name: file[name] for name in ("class", "count", "centre")}
    np.savez(styles, **arrays)
    with pytest.raises(ValueError, match=r"of another encoder .* again \(--checkpoint 2, if that is not the latest\)"):
        again.styled("random")


def test_clusters_that_cannot_be_written(translator: SceneTranslator) -> None:
    shutil.rmtree(translator.run / "styles")
    (translator.run / "styles").write_text("")
    with pytest.raises(ValueError, match=r"step-000002\.npz: can't be written"):
        save_clusters(translator, {"class": np.zeros(1)})


@pytest.mark.parametrize(("height", "width"), [(21, 38), (20, 37)])
def test_the_padding_is_no_part_of_a_style(height: int, width: int, translator: SceneTranslator) -> None:
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


def test_each_style_has_a_folder(translator: SceneTranslator) -> None:
    step = translator.run / "results" / "step-000002"
    assert translator.results() == step
    assert translator.results("random") == step / "random"
    assert (
        translator.results("cluster:1=2;random", "24:26,car:tree") == step / "cluster-1=2+random_relabel-24-26,car-tree"
    )
    assert translator.results(relabel="1:2") == step / "relabel-1-2"
    texts = ["encode:a.png", "encode:a-png", "encode:b/a.png", "encode:b-a.png", "encode::a.png", "encode/../a.png"]
    texts += ["cluster:" + ",".join(f"{i}=1" for i in range(n)) for n in (40, 41)]
    folders = {translator.results(text) for text in texts}
    assert len(folders) == len(texts)
    assert all(folder.parent == step and len(folder.name) < 100 for folder in folders)
