"""Video: clips of three frames, where the output of each frame is an input of the next, also in inference."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from img2img.data.base import ImageDataset, Item
from img2img.data.folder import frame_order, list_images
from img2img.data.images import read_image
from img2img.data.transforms import jitter, keyed_seed
from img2img.models.base import Model

LENGTH = 3


class Clips(ImageDataset):
    """root/trainA/FILM/0.png ... and trainB likewise. Samples have ``input`` and ``target`` (T, crop, crop, C)."""

    ordered = True

    def __init__(self, config, part, *, augment=False, seed=0):
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.sides = [Path(config.root) / f"{part}{side}" for side in "AB"]
        self.frames = [p.relative_to(self.sides[0]) for p in sorted(list_images(self.sides[0]), key=frame_order)]
        films = defaultdict(list)
        for frame in self.frames:
            films[frame.parent].append(frame)
        self.clips = [film[i : i + LENGTH] for film in films.values() for i in range(len(film) - LENGTH + 1)]

    def __len__(self):
        return len(self.clips)

    def read_frame(self, frame):
        return [read_image(side / frame, 3) for side in self.sides]

    def __getitem__(self, key):
        clip = self.clips[key[1]]
        a, b = (np.stack(side) for side in zip(*(self.read_frame(frame) for frame in clip), strict=True))
        sample = self.transform(keyed_seed(self.seed, *key), {"input": a, "target": b})
        return {**sample, "name": clip[0].as_posix(), "skipped": []}

    def count(self, direction):
        return len(self.frames)

    def item(self, direction, index):
        frame = self.frames[index]
        pair = self.transform(0, dict(zip(("input", "target"), self.read_frame(frame), strict=True)))
        return Item(self.item_name(direction, index), {"input": pair["input"]}, pair["target"], frame.parent.as_posix())

    def item_name(self, direction, index):
        return self.frames[index].with_suffix("").as_posix()

    def has_target(self, direction, index):
        return True

    @classmethod
    def read(cls, config, direction, path, others):
        return Item(path.stem, {"input": read_image(path, 3)}, sequence=path.parent.as_posix())


class ShortClips(Model):
    """A convolution of a frame and of the output of the frame before."""

    @dataclass
    class Config:
        name: Literal["short_clips"] = "short_clips"

    dataset = Clips
    generators, discriminators = ("generator",), ()
    fakes: ClassVar = {"output": "target"}
    paired = True
    columns = ("input", "output", "target")

    def __init__(self, config, channels):
        super().__init__()
        self.generator = nn.Sequential(nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1), nn.Tanh())

    def forward(self, batch):
        made = [torch.zeros_like(batch["input"][:, 0])]
        for frame in batch["input"].unbind(1):  # (B, C, H, W) each
            made.append(self.generator(torch.cat([frame, made[-1].detach()], dim=1)))
        return {"output": torch.stack(made[1:], dim=1)}

    def generator_loss(self, batch, images):
        return {"l1": (images["output"] - batch["target"]).abs().mean()}, {}

    def generate(self, batch, direction="AtoB"):
        frame = batch["input"]
        output = self.generator(torch.cat([frame, batch.get("previous", torch.zeros_like(frame))], dim=1))
        return {"output": output, "previous": output}
