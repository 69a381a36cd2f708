"""Inpainting: the network fills the pixels that a mask covers; all others are copied from the input."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from img2img.data.base import Direction, ImageDataset, Item, read_or_next, refuse_companions
from img2img.data.folder import FolderImages
from img2img.data.images import read_image
from img2img.data.transforms import jitter, keyed_seed
from img2img.models.base import Model


class Holes(ImageDataset):
    """One folder of images. Samples have ``input``, gray where ``mask`` (crop, crop, 1) is 255, and ``target``."""

    companions = ("mask",)

    def __init__(self, config, part, *, augment=False, seed=0):
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.source = FolderImages(Path(config.root) / part, config.channels_a)

    def __len__(self):
        return len(self.source)

    def sample(self, seed, image):
        target = self.transform(seed, {"image": image})["image"]
        height, width = target.shape[:2]
        mask = np.zeros((height, width, 1), np.uint8)
        top, left = np.random.default_rng(seed).integers(0, (height // 2, width // 2))
        mask[top : top + height // 2, left : left + width // 2] = 255
        return {"input": np.where(mask > 0, np.uint8(128), target), "mask": mask}, target

    def __getitem__(self, key):
        image, name, skipped = read_or_next(self.source, key[1])
        inputs, target = self.sample(keyed_seed(self.seed, *key), image)
        return {**inputs, "target": target, "name": name, "skipped": skipped}

    def count(self, direction):
        return len(self)

    def item(self, direction, index):
        inputs, target = self.sample(index, self.source.read(index))
        return Item(self.source.name(index), inputs, target)

    def item_name(self, direction, index):
        return self.source.name(index)

    def has_target(self, direction, index):
        return True

    @classmethod
    def directions(cls, config):
        return {"AtoB": Direction("holes", "whole")}

    @classmethod
    def read(cls, config, direction, path, others):
        refuse_companions(others, cls.companions)
        if "mask" not in others:
            raise ValueError(f"{path}: needs a mask; add --with mask=FILE|DIR")
        mask = others["mask"] / path.name if others["mask"].is_dir() else others["mask"]
        return Item(path.stem, {"input": read_image(path, config.channels_a), "mask": read_image(mask, 1)})


class FillHoles(Model):
    """Two convolutions; the output keeps the known pixels (composite as in Pathak et al., arXiv 1604.07379)."""

    @dataclass
    class Config:
        name: Literal["fill_holes"] = "fill_holes"

    dataset = Holes
    generators, discriminators = ("generator",), ()
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        c = channels["input"]
        self.generator = nn.Sequential(nn.Conv2d(c + 1, 8, 5, 1, 2), nn.ReLU(), nn.Conv2d(8, c, 5, 1, 2), nn.Tanh())

    def forward(self, batch):
        return self.generate(batch)

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        x, mask = batch["input"], batch["mask"]
        hole = (mask + 1) / 2  # 1 in the hole, 0 outside
        return {"output": hole * self.generator(torch.cat([x, mask], dim=1)) + (1 - hole) * x}
