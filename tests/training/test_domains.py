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
from img2img.data.transforms import keyed_seed
from img2img.evaluation.options import RunOptions
from img2img.inference.files import Request, translate_files
from img2img.training.trainer import Trainer, train
from tests.conftest import drawn_pair, write
from tests.helpers import equal, launch, logged, rows, weights

Tiny = Callable[..., Config]


@pytest.mark.parametrize("stop", range(1, 11))
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
    vector = np.zeros(5, np.float32)
    vector[3] = 1
    assert np.array_equal(load_translator(run)(image, domain=vector), answers[1])


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
