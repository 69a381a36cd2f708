"""Trainings of many domains: resuming, processes, inference and evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2img import load_translator
from img2img.config import Config, load_config
from img2img.data.domains import DomainsDataset
from img2img.evaluation.options import RunOptions
from img2img.inference.domain_translator import DomainTranslator
from img2img.inference.files import Request, translate_files
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_pair, write
from tests.helpers import equal, launch, logged, weights

Tiny = Callable[..., Config]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stargan_resumes_bit_for_bit_within_a_cycle_of_critic_steps(tiny_stargan: Tiny, stop: int) -> None:
    options = {"log_every": 1, "max_steps": 4}
    whole = train(tiny_stargan("whole", train=options))
    train(tiny_stargan("parts", train={**options, "max_steps": stop}))
    parts = train(tiny_stargan("parts", train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole) == logged(parts)


@pytest.mark.slow
def test_stargan_trains_in_two_processes(tiny_stargan: Tiny) -> None:
    """Each permutes the labels of its own batch, so that its targets are not those of one process."""
    launch(tiny_stargan("two", train={"max_steps": 4, "log_every": 2}), 2)
    assert all(torch.isfinite(value).all() for value in weights(Path("runs/two")).values())


def test_run_keeps_the_names_of_its_domains(tiny_stargan: Tiny) -> None:
    run = train(tiny_stargan(train={"max_steps": 2}))
    config = load_config(run / "config.yaml")
    assert config.data.names == ["blue", "brown", "green", "pink", "yellow"]
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
    from img2img.evaluation.image_sets import open_image_sets

    run = train(tiny_stargan(train={"max_steps": 2}))
    image_sets = open_image_sets(str(run), options=RunOptions())
    assert len(image_sets) == 5
    config = load_config(run / "config.yaml")
    dataset = DomainsDataset(config.data, "val")
    for image_set, name in zip(image_sets, dataset.names, strict=True):
        assert len(list(image_set.images())) == dataset.count(name)


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
