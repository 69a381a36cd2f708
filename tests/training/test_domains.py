"""Trainings of many domains: resuming, processes, inference and evaluation."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2img import load_translator
from img2img.checkpoint import find_checkpoint, load_state
from img2img.config import Config, load_config
from img2img.data.domains import DomainsDataset
from img2img.data.transforms import keyed_seed
from img2img.errors import TrainingStopped
from img2img.evaluation import train_classifier as train_classifier_module
from img2img.evaluation.base import FeatureNetworks
from img2img.evaluation.image_sets import open_image_sets
from img2img.evaluation.options import RunOptions
from img2img.evaluation.train_classifier import choose_classifier
from img2img.inference.domain_translator import DomainTranslator
from img2img.inference.files import Request, translate_files
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import measure
from tests.helpers import Colours, equal, launch, logged, rows, use_small_classifier, weights

Tiny = Callable[..., Config]
COLOURS = ("blue", "brown", "green", "pink", "yellow")


SLOW_STOPS = (1, 2, 3, 6, 7, 8, 9)  # like their neighbours


@pytest.mark.parametrize("stop", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW_STOPS)) for n in range(1, 11)])
def test_stargan_resumes_bit_for_bit_at_every_step_of_a_cycle(tiny_stargan: Tiny, stop: int) -> None:
    """Five D steps for a G step: before and after the first update of G, and of its EMA."""
    options = {"log_every": 1, "max_steps": 11, "ema_decay": 0.9}
    balance = {"discriminator_steps": 5}
    whole = train(tiny_stargan("whole", balance=balance, train=options))
    train(tiny_stargan("parts", balance=balance, train={**options, "max_steps": stop}))
    parts = train(tiny_stargan("parts", balance=balance, train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole) == logged(parts)


@pytest.mark.slow
def test_stargan_in_two_processes_equals_one(tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process permutes the labels of its own batch. One process does the same with two micro-batches whose random
    numbers are drawn as the two processes draw theirs.
    """

    def as_process(seed: int, *place: Any) -> int:
        """(step, process, micro-batch) with the micro-batch as the process."""
        return keyed_seed(seed, place[0], place[2], 0) if len(place) == 3 else keyed_seed(seed, *place)

    options = {"max_steps": 10, "log_every": 5, "ema_decay": 0.9}
    shared = {"data": {"batch_size": 4}, "balance": {"discriminator_steps": 5}}
    with monkeypatch.context() as patch:
        patch.setattr("img2img.training.step.keyed_seed", as_process)
        one = train(tiny_stargan("one", train={**options, "gradient_accumulation": 2}, **shared))
    assert "processes: 2" in launch(tiny_stargan("two", train=options, **shared), 2)
    two = Path("runs/two")
    other = weights(two)
    for key, value in weights(one).items():
        assert (value - other[key]).abs().max() < 2e-6, key
    for row, other_row in zip(rows(one), rows(two), strict=True):
        for name in (name for name in row if name.startswith("loss/")):
            assert float(other_row[name]) == pytest.approx(float(row[name]), rel=1e-4, abs=1e-5), name


def test_run_keeps_the_names_of_its_domains(tiny_stargan: Tiny) -> None:
    run = train(tiny_stargan(train={"max_steps": 2}))
    config = load_config(run / "config.yaml")
    assert config.data.names == [*COLOURS]
    assert config.data.direction == "blue"
    assert (run / "samples" / "step-000002.png").is_file()


def test_translator_reaches_every_domain_and_keeps_the_size(tiny_stargan: Tiny) -> None:
    run = train(tiny_stargan(train={"max_steps": 2}))
    image = drawn_pair(0, 19, 30)[1]
    answers = []
    for domain in ("blue", "pink"):
        translate = load_translator(run, direction=domain)
        assert translate.directions[0] == domain
        answers.append(translate(image))
        assert answers[-1].shape == image.shape
    assert not np.array_equal(*answers)
    assert np.array_equal(load_translator(run)(image, to="pink"), answers[1])


def test_infer_writes_images_of_all_other_domains(tiny_stargan: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    translator = load_translator(train(tiny_stargan(train={"max_steps": 2})), direction="pink")
    translate_files(translator, Request(None, Path("out")))
    names = {path.parent.name for path in Path("out").rglob("shoe-*.png")}
    assert names == {"blue", "brown", "green", "yellow"}
    write(Path("in/a.png"), drawn_pair(0)[1])
    translate_files(translator, Request(Path("in"), Path("out2")))
    assert Path("out2/a.png").is_file()


def test_unknown_domain_is_named_with_the_others(tiny_stargan: Tiny) -> None:
    run = train(tiny_stargan(train={"max_steps": 2}))
    with pytest.raises(ValueError, match=r"--direction red: .*blue.*yellow"):
        load_translator(run, direction="red")


def test_stargan_learns_attributes_of_a_table(tiny_stargan: Tiny, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    for i in range(8):
        write(root / f"{i}.png", drawn_pair(i)[1])
    rows = [f"{i}.png,{i % 2},{int(i < 3)},{'val' if i > 5 else 'train'}" for i in range(8)]
    (root / "attributes.csv").write_text("\n".join(["file,Male,Young,split", *rows]))
    data: dict[str, Any] = {"root": str(root), "toy": False, "attributes": ["Male", "Young"]}
    run = train(tiny_stargan(data=data, train={"max_steps": 2, "log_every": 1}))
    translator = load_translator(run, direction="no_Male")
    assert set(translator.directions) == {"Male", "no_Male", "Young", "no_Young"}
    assert translator.reversed().direction == "Male"


def test_stargan_uses_every_remedy(tiny_stargan: Tiny) -> None:
    """Options of balance reach the two-headed discriminator; all losses stay finite."""
    balance = {"instance_noise": 0.1, "feature_noise": 0.1, "dropout_d": 0.1, "augment": ("translation",)}
    balance |= {"spectral_norm": "both", "gradient_penalty": "r1"}
    config = tiny_stargan(balance=balance, train={"max_steps": 2}, model={"gan_loss": "vanilla"})
    trainer = Trainer(config, Path("runs/tiny"))
    modules = [type(m).__name__ for m in trainer.networks.bare["discriminator"].modules()]
    assert {"Dropout", "FeatureNoise"} <= set(modules)
    run = train(config)
    assert all(torch.isfinite(value).all() for value in weights(run).values() if value.is_floating_point())


def test_domains_are_measured_each_against_its_own_real_images(tiny_stargan: Tiny) -> None:
    run = train(tiny_stargan(train={"max_steps": 2}))
    image_sets = open_image_sets(str(run), options=RunOptions())
    assert len(image_sets) == 5
    config = load_config(run / "config.yaml")
    dataset = DomainsDataset(config.data, "val")
    for image_set, name in zip(image_sets, dataset.names, strict=True):
        assert len(list(image_set.images())) == dataset.count(name)


def test_validation_is_the_mean_over_all_domains_and_logs_each(
    tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same scores as by evaluate.py; the best checkpoint is that of the lowest mean."""
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    use_small_classifier(monkeypatch)
    options = {"evaluate_every": 1, "evaluate_pictures": 0, "max_steps": 3, "metrics": "fid,domain"}
    run = train(tiny_stargan(train={**options, "classifier_steps": 3, "keep_checkpoints": 0}))
    lines = capsys.readouterr().out.splitlines()
    evaluations = [line for line in lines if line.startswith("evaluation")]
    assert all("domain_error_real" in line and "blue" not in line for line in evaluations)
    names = ("fid", "domain_error", "domain_error_real")
    logged_rows = [row for row in rows(run) if row["val/fid"]]
    assert len(logged_rows) == len(evaluations) == 3
    for row in logged_rows:
        for name in names:
            each = [float(row[f"val/{name}_{domain}"]) for domain in COLOURS]
            assert float(row[f"val/{name}"]) == pytest.approx(np.mean(each), rel=1e-9)
    best = min(range(3), key=lambda i: float(logged_rows[i]["val/fid"]))
    assert find_checkpoint(run, "best")[0].name == f"step-{best + 1:06d}"
    assert set(load_state(find_checkpoint(run, "3")[0])["best"]["values"]) == {f"val/{name}" for name in names}
    networks = FeatureNetworks(Colours(), classifier=choose_classifier(str(run)))
    for domain, made in zip(COLOURS, open_image_sets(str(run), options=RunOptions(checkpoint="3")), strict=True):
        for name, value in measure(made, "fid,domain", networks).scores.items():
            assert float(logged_rows[2][f"val/{name}_{domain}"]) == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_classifier_of_a_training_changes_none_of_its_numbers(
    tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_classifier(monkeypatch)
    options = {"max_steps": 3, "log_every": 1, "metrics": "domain", "classifier_steps": 2}
    plain = train(tiny_stargan("plain", train=options))
    measured = train(tiny_stargan("measured", train={**options, "evaluate_every": 2}))
    assert equal(weights(plain), weights(measured))
    timed = ("time", "speed/images_per_second")
    of_steps = [
        [{key: row[key] for key in rows(plain)[0] if key not in timed} for row in rows(run) if row["rate/generator"]]
        for run in (plain, measured)
    ]
    assert of_steps[0] == of_steps[1]
    assert len(of_steps[0]) == 3


def test_classifier_of_a_run_is_loaded_on_resume(
    tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_small_classifier(monkeypatch)
    options = {"log_every": 1, "evaluate_every": 2, "metrics": "domain", "classifier_steps": 2}
    whole = train(tiny_stargan("whole", train={**options, "max_steps": 4}))
    train(tiny_stargan("parts", train={**options, "max_steps": 2}))
    written = Path("runs/parts/classifier.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    parts = train(tiny_stargan("parts", train={**options, "max_steps": 4}), resume=True)
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("classifier")]
    assert (parts / "classifier.safetensors").stat().st_mtime_ns == written
    assert equal(weights(whole), weights(parts))
    assert logged(whole) == logged(parts)


def test_signal_stops_the_training_of_the_classifier(tiny_stargan: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_classifier(monkeypatch)
    loss = train_classifier_module.classification_loss

    def interrupted(*args: Any, **options: Any) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return loss(*args, **options)

    monkeypatch.setattr(train_classifier_module, "classification_loss", interrupted)
    options = {"max_steps": 2, "evaluate_every": 1, "metrics": "domain", "classifier_steps": 10**6}
    with pytest.raises(TrainingStopped) as stopped:
        train(tiny_stargan(train=options))
    assert stopped.value.code == 128 + signal.SIGTERM
    assert not list(Path("runs/tiny").glob("*classifier*"))
    monkeypatch.setattr(train_classifier_module, "classification_loss", loss)
    assert (train(tiny_stargan(train={**options, "classifier_steps": 2}), overwrite=True) / "checkpoints").is_dir()


def test_training_takes_another_classifier_and_names_mistakes(
    tiny_stargan: Tiny, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_classifier(monkeypatch)
    options = {"max_steps": 1, "evaluate_every": 1, "metrics": "domain", "classifier_steps": 2}
    first = train(tiny_stargan("first", train=options))
    other = str(first / "classifier.safetensors")
    second = train(tiny_stargan("second", train={**options, "classifier": other}))
    assert not (second / "classifier.safetensors").exists()
    assert logged(first) == logged(second)
    for config, message in (
        (tiny_stargan(train={**options, "classifier": "none.safetensors"}), r"^train\.classifier none\.safetensors: "),
        (tiny_stargan(train={**options, "metrics": "is", "classifier": other}), r"^train\.classifier .*: .*\bis\b"),
        (tiny(train=options), r"^domain: .*domains or attributes"),
    ):
        monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
        with pytest.raises(ValueError, match=message):
            Trainer(config, Path("nowhere"))


def test_validation_names_the_direction_that_has_too_few_images(tiny_stargan: Tiny, tmp_path: Path) -> None:
    for part, domains in (("train", "abc"), ("val", "aabcc")):
        for i, domain in enumerate(domains):
            write(tmp_path / "set" / part / domain / f"{i}.png", drawn_pair(i)[1])
    data = {"root": str(tmp_path / "set"), "toy": False}
    with pytest.raises(ValueError, match=r"^kid: .*\b2\b.*\b1\b.*\bb\b"):
        Trainer(tiny_stargan(data=data, train={"evaluate_every": 1, "metrics": "kid"}), Path("nowhere"))


@pytest.mark.slow
def test_one_of_two_processes_trains_the_classifier(tiny_stargan: Tiny) -> None:
    options = {"max_steps": 2, "evaluate_every": 2, "metrics": "domain", "classifier_steps": 2}
    assert launch(tiny_stargan("two", train=options), 2).count("classifier  ") == 1
    assert (Path("runs/two") / "classifier.safetensors").is_file()
    assert float(rows(Path("runs/two"))[-1]["val/domain_error"]) >= 0


def test_attributes_are_measured_by_a_score_a_flip(
    tiny_stargan: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items and real images of each direction are those without and those with its target."""
    monkeypatch.setattr("img2img.evaluation.feature_networks.load_features", lambda *_, **__: Colours())
    use_small_classifier(monkeypatch)
    for i in range(16):
        write(tmp_path / "set" / f"{i}.png", drawn_pair(i)[1])
    lines = [f"{i}.png,{i % 2},{int(i % 8 < 3)},{'val' if i > 7 else 'train'}" for i in range(16)]
    (tmp_path / "set" / "attributes.csv").write_text("\n".join(["file,Male,Young,split", *lines]))
    data: dict[str, Any] = {"root": str(tmp_path / "set"), "toy": False, "attributes": ["Male", "Young"]}
    options = {"max_steps": 1, "evaluate_every": 1, "metrics": "fid,domain", "classifier_steps": 3}
    run = train(tiny_stargan(data=data, train=options))
    flips = ("Male", "no_Male", "Young", "no_Young")
    row = rows(run)[-1]
    assert float(row["val/fid"]) == pytest.approx(np.mean([float(row[f"val/fid_{flip}"]) for flip in flips]))
    classifier = choose_classifier(str(run))
    assert [each.exclusive for each in classifier.label_sets] == [False]
    networks = FeatureNetworks(Colours(), classifier=classifier)
    image_sets = dict(zip(flips, open_image_sets(str(run)), strict=True))
    counts = {}
    for flip, made in image_sets.items():
        scores = measure(made, "fid,domain", networks)
        counts[flip] = (scores.count, scores.real_count)
        assert float(row[f"val/fid_{flip}"]) == pytest.approx(scores.scores["fid"], rel=1e-6)
        assert made.real is not None
        number, on = made.target_label or (0, True)
        real = [classifier.logits([record.image])[0, number] > 0 for record in made.real.images()]
        assert scores.scores["domain_error_real"] == pytest.approx(100 * np.mean([sign != on for sign in real]))
    assert counts == {"Male": (4, 4), "no_Male": (4, 4), "Young": (5, 3), "no_Young": (3, 5)}


def test_stargan_learns_two_sets_jointly(tiny_stargan: Tiny, tmp_path: Path) -> None:
    """Attributes of a table and domains of folders in one run, which resumes bit for bit."""
    faces, moods = tmp_path / "faces", tmp_path / "moods"
    for i in range(8):
        write(faces / f"{i}.png", drawn_pair(i)[1])
        write(moods / ("val" if i > 5 else "train") / ("happy", "sad")[i % 2] / f"{i}.png", drawn_pair(i)[0])
    rows = [f"{i}.png,{i % 2},{int(i < 3)},{'val' if i > 5 else 'train'}" for i in range(8)]
    (faces / "attributes.csv").write_text("\n".join(["file,Male,Young,split", *rows]))
    data: dict[str, Any] = {"root": str(faces), "toy": False, "attributes": ["Male", "Young"], "direction": "Male"}
    data |= {"names": ["Male", "Young"], "joint_root": str(moods), "joint_names": ["happy", "sad"], "batch_size": 4}
    options = {"max_steps": 4, "log_every": 1}
    whole = train(tiny_stargan("whole", data=data, train=options))
    train(tiny_stargan("parts", data=data, train={**options, "max_steps": 3}))
    parts = train(tiny_stargan("parts", data=data, train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    translate = load_translator(whole)
    assert isinstance(translate, DomainTranslator)
    assert translate.domains == ("Male", "Young", "happy", "sad")
    image = drawn_pair(0, 20, 24)[1]
    assert np.array_equal(translate(image, to="sad"), translate(image, to=np.array([0, 0, 0, 1, 0, 1], np.float32)))
    translate_files(translate, Request(None, Path("out")))
    assert {path.name for path in Path("out").iterdir()} == {"Male", "Young", "happy", "sad", "grids"}
    assert len([*Path("out/sad").rglob("*.png")]) == 4  # two of each set


def test_two_sets_are_measured_by_one_classifier(
    tiny_stargan: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_classifier(monkeypatch)
    faces, moods = tmp_path / "faces", tmp_path / "moods"
    for i in range(8):
        write(faces / f"{i}.png", drawn_pair(i)[1])
        write(moods / ("val" if i > 3 else "train") / ("happy", "sad")[i % 2] / f"{i}.png", drawn_pair(i)[0])
    table = [f"{i}.png,{i % 2},{int(i % 4 < 2)},{'val' if i > 3 else 'train'}" for i in range(8)]
    (faces / "attributes.csv").write_text("\n".join(["file,Male,Young,split", *table]))
    data: dict[str, Any] = {"root": str(faces), "toy": False, "attributes": ["Male", "Young"], "batch_size": 4}
    options = {"max_steps": 1, "evaluate_every": 1, "metrics": "domain", "classifier_steps": 4}
    run = train(tiny_stargan(data={**data, "joint_root": str(moods)}, train=options))
    row = rows(run)[-1]
    flips = ("Male", "no_Male", "Young", "no_Young", "happy", "sad")
    each = [float(row[f"val/domain_error_{flip}"]) for flip in flips]
    assert float(row["val/domain_error"]) == pytest.approx(np.mean(each))
    classifier = choose_classifier(str(run))
    assert [each.exclusive for each in classifier.label_sets] == [False, True]
    for flip, made in zip(flips, open_image_sets(str(run)), strict=True):
        scores = measure(made, "domain", FeatureNetworks(classifier=classifier))
        assert (scores.count, scores.real_count) == (2, 2)
        assert float(row[f"val/domain_error_{flip}"]) == pytest.approx(scores.scores["domain_error"])
