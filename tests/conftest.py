"""Fixtures: small image sets, and options for a CPU. Every test runs in its own temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torchvision.models import vgg19

from img2img.config import Config
from img2img.data import dataset_class
from img2img.losses.balance import BalanceConfig
from img2img.models import model_class
from img2img.models.cyclegan import CycleGAN
from img2img.models.dcgan import DCGAN
from img2img.models.infogan import InfoGAN
from img2img.models.pix2pix import Pix2Pix
from img2img.models.pix2pixhd import Pix2PixHD
from img2img.models.restoration import Restoration
from img2img.models.srgan import SRGAN
from img2img.models.stargan import StarGAN
from img2img.training.networks import Networks
from img2img.training.step import GANStep
from img2img.training_options import OptimConfig, TrainConfig


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # a second thread makes tiny networks slower


def drawn_pair(seed: int, height: int = 20, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A: gray shapes on white; B: the same shapes in colours that depend on the gray. (H, W, 3) uint8 RGB."""
    random = np.random.default_rng(seed)
    a = np.full((height, width, 3), 255, np.uint8)
    b = np.full((height, width, 3), 255, np.uint8)
    for _ in range(3):
        centre = tuple(int(x) for x in random.integers(0, (width, height)))
        radius, gray = int(random.integers(2, 7)), int(random.integers(0, 200))
        cv2.circle(a, centre, radius, (gray, gray, gray), -1)
        cv2.circle(b, centre, radius, (gray, 255 - gray, 128), -1)
    return a, b


def drawn_scene(seed: int, height: int = 20, width: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label map (H, W) uint8 of 0..4, instances (H, W) uint16 numbered as in Cityscapes, and their ``photo_of``."""
    random = np.random.default_rng(seed)
    label = np.zeros((height, width), np.uint8)
    label[height // 2 :] = 1
    instances = label.astype(np.uint16)
    for number in range(4):
        kind = int(random.integers(2, 5))
        centre = tuple(int(x) for x in random.integers(0, (width, height)))
        axes = tuple(int(x) for x in random.integers(height // 8, height // 3, 2))
        cv2.ellipse(label, centre, axes, 0, 0, 360, kind, -1)
        cv2.ellipse(instances, centre, axes, 0, 0, 360, kind * 1000 + number, -1)
    return label, instances, photo_of(label, instances)


def photo_of(label: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """A colour (H, W, 3) for each class and instance."""
    label, number = label.astype(int), instances.astype(int) % 1000
    return np.stack([40 + 40 * label, 30 + 50 * (number % 4), 220 - 40 * label], axis=2).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    """Writes RGB(A) or gray with OpenCV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[:, :, (2, 1, 0, 3)]
    elif image.ndim == 3 and image.shape[2] == 3:
        image = image[:, :, ::-1]
    assert cv2.imwrite(str(path), np.ascontiguousarray(image))
    return path


def in_order(length: int, batch_size: int) -> list[list[tuple[int, int]]]:
    """Batches of (epoch, index) with every sample of epoch 0 once, in order."""
    keys = [(0, index) for index in range(length)]
    return [keys[first : first + batch_size] for first in range(0, length, batch_size)]


@pytest.fixture
def paired_root(tmp_path: Path) -> Path:
    """6 training and 3 validation pairs, side by side, 20x20 each."""
    for split, count in (("train", 6), ("val", 3)):
        for i in range(count):
            a, b = drawn_pair(i + 100 * (split == "val"))
            write(tmp_path / "set" / split / f"{i}.png", np.concatenate([a, b], axis=1))
    return tmp_path / "set"


@pytest.fixture
def unpaired_root(tmp_path: Path) -> Path:
    """4 and 7 training images of different sizes, and 3 validation images per side, paired by name."""
    folder = tmp_path / "unpaired"
    for i in range(4):
        write(folder / "trainA" / f"a{i}.png", drawn_pair(i, 20, 20 + i)[0])
    for i in range(7):
        write(folder / "trainB" / f"b{i}.jpg", drawn_pair(50 + i, 24, 17)[1])
    for i in range(3):
        a, b = drawn_pair(100 + i)
        write(folder / "testA" / f"{i}_A.png", a)
        write(folder / "testB" / f"{i}_B.png", b)
    return folder


@pytest.fixture
def labelled_root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "scenes")


def write_scenes(folder: Path) -> Path:
    """4 training and 2 validation scenes of 20x40, and 2 test scenes without photos."""
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for i in range(count):
            label, instances, photo = drawn_scene(i + 10 * len(split))
            write(folder / f"{split}_label" / f"{i}.png", label)
            write(folder / f"{split}_inst" / f"{i}.png", instances)
            if split != "test":
                write(folder / f"{split}_img" / f"{i}.tif", photo)
    return folder


@pytest.fixture
def tiny(paired_root: Path) -> Callable[..., Config]:
    """Makes options of a pix2pix run of a few seconds; ``tiny(train={"max_steps": 3})`` replaces some of them."""
    return partial(tiny_config, Pix2Pix.Config(num_downs=4, ngf=4, ndf=4, n_layers_d=1), paired_root)


@pytest.fixture
def tiny_cyclegan(unpaired_root: Path) -> Callable[..., Config]:
    """As ``tiny``, for CycleGAN; the pool is full after four steps."""
    model = CycleGAN.Config(n_blocks=1, ngf=4, ndf=4, n_layers_d=1, pool_size=6)
    return partial(tiny_config, model, unpaired_root)


@pytest.fixture
def tiny_hd() -> Callable[..., Config]:
    """As ``tiny``, for pix2pixHD on the toy scenes, 64x32."""
    model = Pix2PixHD.Config(ngf=4, n_downs=1, n_blocks=1, n_blocks_local=1, ndf=4, n_layers_d=1, nef=4, lambda_vgg=0.0)

    def make(name: str = "tiny", **changes: dict[str, Any]) -> Config:
        data = {"root": None, "toy": True, "label_nc": 9, "preprocess": "scale_width", "load_size": 64, "stride": 8}
        return tiny_config(model, Path(), name, **{**changes, "data": {**data, **changes.get("data", {})}})

    return make


@pytest.fixture
def tiny_stargan() -> Callable[..., Config]:
    """As ``tiny``, for StarGAN on the toy colours, 16x16, with one G step for two D steps."""
    model = StarGAN.Config(ngf=4, n_blocks=1, ndf=4, n_layers_d=2)
    balance = {"gradient_penalty": "wgan-gp", "penalty_of": "sum", "discriminator_steps": 2}

    def make(name: str = "tiny", **changes: dict[str, Any]) -> Config:
        data = {"root": None, "toy": True, "load_size": 16, **changes.get("data", {})}
        changes = {**changes, "data": data, "balance": {**balance, **changes.get("balance", {})}}
        return tiny_config(model, Path(), name, **changes)

    return make


@pytest.fixture
def tiny_dcgan() -> Callable[..., Config]:
    """As ``tiny``, for a class-conditional DCGAN on the toy digits, 32x32."""
    return partial(tiny_digits, DCGAN.Config(num_classes=10, ngf=2, ndf=2, noise_dim=4))


@pytest.fixture
def tiny_infogan() -> Callable[..., Config]:
    """As ``tiny``, for InfoGAN on the toy digits, 32x32."""
    return partial(tiny_digits, InfoGAN.Config(ngf=2, ndf=2, noise_dim=4))


@pytest.fixture(params=["tiny_dcgan", "tiny_infogan"])
def tiny_noise(request: pytest.FixtureRequest) -> Callable[..., Config]:
    """Each model that generates images from noise."""
    return request.getfixturevalue(request.param)


def tiny_digits(model: Any, /, name: str = "tiny", **changes: dict[str, Any]) -> Config:
    data = {"root": None, "toy": True, "channels_b": 1, "load_size": 32, "crop_size": 32, "flip": False}
    changes = {**changes, "model": {"size": 32, **changes.get("model", {})}}
    return tiny_config(model, Path(), name, **{**changes, "data": {**data, **changes.get("data", {})}})


def tiny_config(model: Any, root: Path, /, name: str = "tiny", **changes: dict[str, Any]) -> Config:
    data = dataset_class(model_class(model.name).dataset).Config
    parts = {
        "model": model,
        "data": data(str(root), load_size=18, crop_size=16, batch_size=2, num_workers=0),
        "optim": OptimConfig(),
        "train": TrainConfig(max_steps=4, log_every=2, sample_every=100, save_every=100),
        "balance": BalanceConfig(),
    }
    return Config(name, **{key: replace(part, **changes.get(key, {})) for key, part in parts.items()})


def make_step(config: Config, accelerator: Accelerator | None = None) -> GANStep:
    """The training step of a run, without data, log and checkpoints."""
    return GANStep(config, Networks(config, accelerator or Accelerator()))


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of VGG19's convolutions, in torchvision's format."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save({k: v for k, v in vgg19(weights=None).state_dict().items() if k.startswith("features")}, file)
    return file


@pytest.fixture
def tiny_srgan() -> Callable[..., Config]:
    """As ``tiny``, for enlarging the toy scenes twice by small networks, to 16x16."""
    model = SRGAN.Config(width=4, n_blocks=1, growth=4, ndf=4)

    def make(name: str = "tiny", **changes: dict[str, Any]) -> Config:
        data = {"root": None, "toy": True, "down": 2, "load_size": 256, **changes.get("data", {})}
        return tiny_config(model, Path(), name, **{**changes, "data": data})

    return make


@pytest.fixture
def tiny_restoration() -> Callable[..., Config]:
    """As ``tiny``, for denoising the toy scenes by a small NAFNet, 16x16."""
    model = Restoration.Config(width=4, encoder=(1,), middle=1, decoder=(1,))

    def make(name: str = "tiny", **changes: dict[str, Any]) -> Config:
        data = {"root": None, "toy": True, "noise": 25, "load_size": 64, **changes.get("data", {})}
        return tiny_config(model, Path(), name, **{**changes, "data": data})

    return make
