"""One generator for three domains, conditioned on the target domain; D also classifies the domain (as StarGAN)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from img2img.data.base import Direction, ImageDataset, Item, Lazy, read_or_next
from img2img.data.folder import FolderImages
from img2img.data.images import read_image
from img2img.data.options import TwoDomainConfig
from img2img.data.transforms import jitter, keyed_seed
from img2img.losses.adversarial import GANLoss
from img2img.losses.gan import LossKind
from img2img.models.base import Model

DOMAINS = ("circles", "squares", "stripes")


class Domains(ImageDataset):
    """root/train/DOMAIN/x.png. Samples have ``input``, its domain ``class``, and ``domain``, the target as a vector."""

    @dataclass
    class Config(TwoDomainConfig):
        direction: str = "circles"
        """Default target domain of inference."""

    def __init__(self, config, part, *, augment=False, seed=0):
        super().__init__(config, part, augment=augment, seed=seed)
        self.transform = jitter(config, augment)
        self.sources = {name: FolderImages(Path(config.root) / part / name, config.channels_a) for name in DOMAINS}
        self.places = [(name, i) for name, source in self.sources.items() for i in range(len(source))]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, key):
        domain, place = self.places[key[1]]
        image, name, skipped = read_or_next(self.sources[domain], place)
        target = DOMAINS[int(np.random.default_rng((self.seed, *key)).integers(len(DOMAINS)))]
        image = self.transform(keyed_seed(self.seed, *key), {"image": image})["image"]
        sample = {"input": image, "target": image, "domain": vector(target), "class": DOMAINS.index(domain)}
        return {**sample, "name": name, "skipped": skipped}

    def others(self, direction):
        return [(name, i) for name, i in self.places if name != direction]

    def count(self, direction):
        return len(self.others(direction))

    def item(self, direction, index):
        domain, place = self.others(direction)[index]
        image = self.transform(0, {"image": self.sources[domain].read(place)})["image"]
        return Item(self.item_name(direction, index), self.complete(self.config, direction, {"input": image}))

    def item_name(self, direction, index):
        domain, place = self.others(direction)[index]
        return f"{domain}/{self.sources[domain].name(place)}"

    def has_target(self, direction, index):
        return False

    def images(self, domain):
        source = self.sources[domain]
        return Lazy(len(source), lambda i: self.transform(0, {"image": source.read(i)})["image"])

    @classmethod
    def directions(cls, config):
        return {name: Direction(None, name) for name in DOMAINS}

    @classmethod
    def complete(cls, config, direction, arrays):
        return {**arrays, "domain": vector(direction)}

    @classmethod
    def read(cls, config, direction, path, others):
        return Item(path.stem, cls.complete(config, direction, {"input": read_image(path, config.channels_a)}))


def vector(domain):
    return np.eye(len(DOMAINS), dtype=np.float32)[DOMAINS.index(domain)]


class Critic(nn.Module):
    """(B, C, H, W) -> real/fake logits (B, 1, H', W') and domain logits (B, 3)."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 4, 2, 1), nn.LeakyReLU(0.2))
        self.real, self.domain = nn.Conv2d(8, 1, 3, 1, 1), nn.Linear(8, len(DOMAINS))

    def forward(self, x):
        features = self.body(x)
        return self.real(features), self.domain(features.mean((2, 3)))


class ThreeDomains(Model):
    """A generator conditioned on the target domain, and a critic that also classifies the domain."""

    @dataclass
    class Config:
        name: Literal["three_domains"] = "three_domains"
        gan_loss: LossKind = "wasserstein"
        """Adversarial loss."""

    dataset, learns_all = Domains, True
    defaults: ClassVar = {"balance.gradient_penalty": "wgan-gp"}
    generators, discriminators = ("generator",), ("discriminator",)
    fakes: ClassVar = {"output": "target"}
    columns = ("input", "output")

    def __init__(self, config, channels):
        super().__init__()
        self.gan, c = GANLoss(config.gan_loss), channels["input"]
        self.generator = nn.Sequential(nn.Conv2d(c + 3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, c, 3, 1, 1), nn.Tanh())
        self.discriminator = Critic(c)

    def translate(self, x, domain):
        planes = domain[:, :, None, None].expand(-1, -1, *x.shape[2:])  # (B, 3, H, W)
        return self.generator(torch.cat([x, planes], dim=1))

    def forward(self, batch):
        output = self.translate(batch["input"], batch["domain"])
        back = self.translate(output, F.one_hot(batch["class"], len(DOMAINS)).float())
        return {"output": output, "cycle": back}

    def discriminator_loss(self, batch, images):
        real, fake = self.gan.inputs(batch["input"], images["output"])
        (real_logits, domains), (fake_logits, _) = self.discriminator(real), self.discriminator(fake)
        terms, statistics = self.gan.discriminator_loss(real_logits, fake_logits)
        terms |= self.gan.penalty(self.discriminator, real, fake, logits=lambda output: output[0])
        return terms | {"domain": F.cross_entropy(domains, batch["class"])}, statistics

    def generator_loss(self, batch, images):
        logits, domains = self.discriminator(self.gan.input(images["output"]))
        terms = {"gan": self.gan.generator_loss(logits), "domain": F.cross_entropy(domains, batch["domain"].argmax(1))}
        return {**terms, "cycle": 10 * (images["cycle"] - batch["input"]).abs().mean()}, {}

    def retargeted(self, batch):
        return {**batch, "domain": batch["domain"].roll(1, dims=1)}

    def generate(self, batch, direction="circles"):
        return {"output": self.translate(batch["input"], batch["domain"])}
