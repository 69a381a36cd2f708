"""Super-resolution by 2 from one folder of images: the input is the target, reduced to half its size."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import nn

from img2img.data.base import Direction, ImageDataset, Item, read_or_next
from img2img.data.folder import FolderImages
from img2img.data.images import read_image, resize
from img2img.data.transforms import jitter, keyed_seed
from img2img.models.base import Model


class Halved(ImageDataset):
    """Samples have ``target`` (crop, crop, C) and ``input``, half as large."""

    def __init__(self, config, part, *, augment=False, seed=0):
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.source = FolderImages(Path(config.root) / part, config.channels_b)

    def __len__(self):
        return len(self.source)

    def pair(self, seed, image):
        target = self.transform(seed, {"image": image})["image"]
        return resize(target, target.shape[0] // 2, target.shape[1] // 2), target

    def __getitem__(self, key):
        image, name, skipped = read_or_next(self.source, key[1])
        small, target = self.pair(keyed_seed(self.seed, *key), image)
        return {"input": small, "target": target, "name": name, "skipped": skipped}

    def count(self, direction):
        return len(self)

    def item(self, direction, index):
        small, target = self.pair(0, self.source.read(index))
        return Item(self.source.name(index), {"input": small}, target)

    def item_name(self, direction, index):
        return self.source.name(index)

    def has_target(self, direction, index):
        return True

    @classmethod
    def directions(cls, config):
        return {"AtoB": Direction("small", "large")}

    @classmethod
    def read(cls, config, direction, path, others):
        return Item(path.stem, {"input": read_image(path, config.channels_a)})


class DoubleSize(Model):
    """Two convolutions and a pixel shuffle, trained with an L1 loss."""

    @dataclass
    class Config:
        name: Literal["double_size"] = "double_size"

    dataset, scale = Halved, 2
    generators, discriminators = ("generator",), ()
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        layers = [nn.Conv2d(channels["input"], 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 4 * channels["target"], 3, 1, 1)]
        self.generator = nn.Sequential(*layers, nn.PixelShuffle(2), nn.Tanh())

    def forward(self, batch):
        return {"output": self.generator(batch["input"])}

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        return {"output": self.generator(batch["input"])}
