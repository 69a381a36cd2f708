"""The examples of the documentation: Python code runs as it is written, commands have the options that they name.

Code is that of the pages and of docstrings (blocks after ``::``). It runs in a folder that has the images, sets and
runs of the names that the examples use; the runs are small networks after a step.
"""

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import img2img
from img2img.cli.main import COMMANDS
from img2img.config import option_keys
from img2img.losses.adversarial import GANLoss
from img2img.models import model_names
from img2img.presets import FOLDER
from tests.conftest import drawn_pair, drawn_scene, write
from tests.helpers import run_command
from tests.pages import PAGES, ROOT, docstrings, fences, literal_blocks

EXCLUDED = {
    "img2img.api.evaluate 2": "needs Inception's weights, and a minute",
    "docs/extending.md 1": "tests/test_new_models.py trains this model, and tests/wheel/check.py",
    "docs/extending.md 2": "tests/test_new_models.py trains this model",
    "docs/extending.md 3": "tests/test_new_models.py trains this model",
    "docs/extending.md 4": "tests/evaluation/test_new_metric.py measures with this metric",
}
FACES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
SMALL = {"batch_size": 2, "load_size": 16, "crop_size": 16, "num_workers": 0}
STEP = {"max_steps": 1, "sample_every": 100}


def python_examples() -> dict[str, str]:
    """Code by the page or the object that has it, and its number there."""
    blocks = {page.relative_to(ROOT).as_posix(): fences(page.read_text(encoding="utf-8"), "python") for page in PAGES}
    blocks |= {name: literal_blocks(text) for name, text in docstrings(ROOT / "img2img")}
    return {f"{name} {number}": code for name, parts in blocks.items() for number, code in enumerate(parts, 1)}


EXAMPLES = python_examples()


def images() -> None:
    """Files and folders of images."""
    drawing, photo = drawn_pair(0, 24, 20)
    write(Path("drawing.png"), drawing)
    write(Path("photo.jpg"), photo)
    mask = np.zeros((24, 20), np.uint8)
    mask[4:9, 3:12] = 255
    write(Path("mask.png"), mask)
    label, instance, _ = drawn_scene(0, 32, 64)
    write(Path("label.png"), label)
    write(Path("instance.png"), instance)
    for number in range(2):
        a, b = drawn_pair(number, 32, 32)
        for part in ("train", "val"):
            write(Path("datasets/facades") / part / f"{number}.png", np.concatenate([a, b], axis=1))
        write(Path("outputs") / f"{number}.png", a)
        write(Path("photos") / f"{number}.png", b)
    rows = []
    for number in range(6):
        write(Path("faces") / f"{number}.jpg", drawn_pair(number, 32, 32)[1])
        hair = [int(number % 3 == colour) for colour in range(3)]
        rows.append(",".join(map(str, [f"{number}.jpg", *hair, number % 2, number // 3])))
    Path("faces/attributes.csv").write_text("\n".join([f"file,{','.join(FACES)}", *rows]))


def runs() -> None:
    """Runs of one step. Runs of several names are copies."""
    pairs = {"root": "datasets/facades", **SMALL}
    pix2pix = {"name": "pix2pix", "num_downs": 4, "ngf": 4, "ndf": 4, "n_layers_d": 1}
    img2img.train(pix2pix, name="facades", data=pairs, train={**STEP, "evaluate_every": 1, "log_every": 1})
    cyclegan = {"name": "cyclegan", "n_blocks": 1, "ngf": 4, "ndf": 4, "n_layers_d": 1}
    img2img.train(cyclegan, name="zebras", data={"root_a": "outputs", "root_b": "photos", **SMALL}, train=STEP)
    stargan = {"name": "stargan", "ngf": 4, "n_blocks": 1, "ndf": 4, "n_layers_d": 2}
    img2img.train(stargan, name="faces", data={"root": "faces", "attributes": list(FACES), **SMALL}, train=STEP)
    digits = {"toy": True, **SMALL, "load_size": 32, "crop_size": 32, "channels_b": 1, "flip": False}
    dcgan = {"name": "dcgan", "num_classes": 10, "ngf": 2, "ndf": 2, "noise_dim": 4, "size": 32}
    img2img.train(dcgan, name="dcgan-toy", data=digits, train=STEP)
    restoration = {"name": "restoration", "width": 4, "encoder": [1], "middle": 1, "decoder": [1]}
    good = {"root": "photos", "val_share": 0.5, **SMALL}
    img2img.train(restoration, name="clean", data={**good, "noise": 25}, train=STEP)
    img2img.train(restoration, name="fill", data={**good, "mask": "boxes"}, train=STEP)
    srgan = {"name": "srgan", "width": 4, "n_blocks": 1, "growth": 4}
    img2img.train(srgan, name="psnr_x4", data={**good, "down": 4}, train=STEP)
    streets = {"name": "pix2pixhd", "ngf": 4, "n_downs": 1, "n_blocks": 1, "ndf": 4, "n_layers_d": 1, "nef": 4}
    streets["lambda_vgg"] = 0
    scenes = {"toy": True, "label_nc": 9, "preprocess": "scale_width", "load_size": 64, "stride": 8, "num_workers": 0}
    img2img.train(streets, name="coarse", data=scenes, train=STEP)
    img2img.train({**streets, "instance_features": True}, name="city", data=scenes, train=STEP)
    assert run_command("styles", "city", "--clusters", "2") == 0
    copies = {
        "edges2shoes": "facades",
        "mine": "facades",
        "film": "facades",
        "horse2zebra": "zebras",
        "gan_x4": "psnr_x4",
    }
    for copy, name in copies.items():
        shutil.copytree(Path("runs") / name, Path("runs") / copy)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the examples find."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        images()
        runs()
    return folder


@pytest.fixture
def _in_a_copy(world: Path, tmp_path: Path) -> None:
    """The current folder is a copy of that folder."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)


def run_example(name: str, names: dict[str, object]) -> None:
    exec(compile(EXAMPLES[name], name, "exec"), names)


@pytest.mark.usefixtures("_in_a_copy")
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in EXCLUDED and "GANLoss" not in name])
def test_example_runs(name: str) -> None:
    run_example(name, {"__name__": "example"})


def test_equations_of_the_gan_loss_run() -> None:
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    generator, discriminator = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(6, 1, 4)
    names: dict[str, object] = {"x": x, "y": y, "G": generator, "D": discriminator, "gan": GANLoss("lsgan")}
    for name in ("img2img.losses.adversarial.GANLoss 1", "img2img.losses.adversarial.GANLoss 2"):
        run_example(name, names)
    assert names["loss"].requires_grad  # type: ignore[attr-defined]


def test_excluded_examples_exist() -> None:
    assert EXCLUDED.keys() <= EXAMPLES.keys()


def test_public_functions_have_examples() -> None:
    for name in ("img2img", "img2img.api.train", "img2img.api.load_run", "img2img.api.evaluate"):
        assert f"{name} 1" in EXAMPLES
    for name in ("load_translator", "load_sampler"):
        assert f"img2img.inference.loading.{name} 1" in EXAMPLES


def shell_lines(text: str) -> Iterator[str]:
    """The command lines of a page: of blocks without a language, of indented ones, and of code within sentences."""
    text = re.sub(r"\\\n\s*", "", text)
    for block in fences(text, ""):
        yield from block.splitlines()
    yield from re.findall(r"^ {4,}(.*)$", text, re.M)
    yield from (code.replace("\n", " ").replace("\\|", "|") for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """(Command, its words) of every ``img2img COMMAND ...`` of a page."""
    for line in shell_lines(text):
        for part in re.split(r" && |;| \| |  +#", line):
            call = re.match(r"(?:.*\s)?(?:\S*/)?img2img ([a-z]+)(?: (.*))?$", part.strip())
            if call:
                yield call[1], shlex.split(call[2] or "", comments=True)


@cache
def options(command: str, model: str | None = None) -> set[str]:
    """The options of a command, with _ for -; those of all models if it is train and no model of ours is named."""
    if command == "train":
        models = [model] if model in model_names() else model_names()
        keys = set().union(*(option_keys(name) for name in models)) | {"model", "resume", "overwrite", "print_config"}
    else:
        parser = importlib.import_module(f"img2img.cli.{COMMANDS[command][0]}").parser()
        keys = {key.removeprefix("--") for key in parser._option_string_actions if key.startswith("--")}
    return {key.replace("-", "_") for key in keys | {"help"}}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_have_the_options_that_they_name(page: Path) -> None:
    for command, words in commands(page.read_text(encoding="utf-8")):
        assert command in COMMANDS, (command, words)
        values = dict(pairwise([*words, ""]))
        model, preset = values.get("--model"), values.get("--config", "")
        if re.fullmatch(r"\w+/\w+", preset):
            assert (FOLDER / f"{preset}.yaml").is_file(), (command, preset)
            model = model or preset.partition("/")[0]
        for word in words:
            key = word.removeprefix("--").partition("=")[0].replace("-", "_")
            assert not word.startswith("--") or key in options(command, model), (command, word)
