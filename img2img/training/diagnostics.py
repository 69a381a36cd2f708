"""Diagnostics: what a step's images say about how a training goes, measured on the device.

They are of the last G step before a log, and of thumbnails of the latest images, from the G steps before it. For every
generated image NAME (``Model.fakes``):

    signs/diversity_NAME        how different the latest fakes are from each other, as a share of how different the real
                                images are: near 0 when the generator makes one image whatever its input
    signs/saturation_NAME       share of values at the flat ends of tanh, in [0, 1]
    signs/saturation_real_NAME  the same of the real images, whose white paper is there as well
    signs/correlation_NAME      with the target, in [-1, 1], of models that have one: below 0 colours are inverted
    signs/two_seeds_NAME        mean distance of two outputs for one input, of models that are random
    signs/noise_diversity_NAME  the same of thumbnails, as a share of the real images' diversity, of models that draw
                                from noise: near 0 when they draw one image of each class, whatever the noise

Nothing here changes the training: neither the random numbers of the step nor batch norm's running statistics.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.func import functional_call

from img2img.data.transforms import keyed_seed
from img2img.models.base import Batch, Images, Model

KEPT = 16  # images of each kind that are compared: 120 pairs; batches are often of one image
FEWEST = 4  # of them, for a diversity to be logged
SIDE = 16  # of a thumbnail, in pixels: enough for what is where in which colour
SATURATED = 0.99  # beyond it the slope of tanh is below 0.02, and the generator hardly learns
NO_DISTANCE = 1e-3  # an eighth of a gray level: keeps the ratio of two distances sound when both are none


class Diagnostics:
    """Measures a model's images and holds thumbnails of the latest ones, which all processes share.

    Args:
        model: the model as it is trained.
        seed: of the run.
        accelerator: gathers the thumbnails of all processes.
    """

    def __init__(self, model: Model, seed: int, accelerator: Accelerator) -> None:
        self.model, self.seed, self.accelerator = model, seed, accelerator
        self.kept: dict[str, Tensor] = {}  # by fake: (n, 2 C, SIDE, SIDE), a fake's channels before a real image's

    @torch.no_grad()
    def measure(self, batch: Batch, images: Images, step: int, *, steps_to_log: int, wanted: bool) -> dict[str, Tensor]:
        """Keeps thumbnails of a G step, if they will be among the latest at a log, and measures its images.

        Args:
            batch, images: of the step's last micro-batch, (B, C, H, W) in [-1, 1].
            step: its number; it keys the noise of the second output.
            steps_to_log: how many more G steps come before the next regular log. Not before the end of the run, so
                that a run in parts logs what a whole one does.
            wanted: whether the values are wanted.

        Returns:
            Scalars on the device, by their tags; none unless ``wanted``.
        """
        values: dict[str, Tensor] = {}
        again = self._again(batch, step) if wanted and self.model.random else {}
        for name, key in self.model.fakes.items():
            keep = steps_to_log * len(images[name]) * self.accelerator.num_processes < KEPT
            if not (keep or wanted):
                continue
            fake, real = frames(images[name]), frames(batch[key])
            thumbnails = self._latest(name, torch.cat([thumbnail(fake), thumbnail(real)], dim=1))
            if keep:
                self.kept[name] = thumbnails
            if not wanted:
                continue
            if len(thumbnails) >= FEWEST:
                of_fakes, of_reals = (spread(half) for half in thumbnails.chunk(2, dim=1))  # (n, C, SIDE, SIDE) each
                values[f"diversity_{name}"] = (of_fakes + NO_DISTANCE) / (of_reals + NO_DISTANCE)
                if self.model.draws:
                    apart = (thumbnail(frames(again[name])) - thumbnail(fake)).abs().mean()
                    values[f"noise_diversity_{name}"] = (apart + NO_DISTANCE) / (of_reals + NO_DISTANCE)
            values[f"saturation_{name}"] = saturation(fake)
            values[f"saturation_real_{name}"] = saturation(real)
            if self.model.paired:
                values[f"correlation_{name}"] = correlation(fake, real)
            if name in again:
                values[f"two_seeds_{name}"] = (frames(again[name]) - fake).abs().mean()
        return {f"signs/{name}": value for name, value in values.items()}

    def state(self) -> dict[str, Tensor]:
        """The thumbnails, on the CPU; the same in all processes."""
        return {name: images.cpu() for name, images in self.kept.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes back what ``state`` returned."""
        self.kept = dict(state)

    def _latest(self, name: str, fresh: Tensor) -> Tensor:
        """The latest thumbnails with the fresh ones (B, 2 C, SIDE, SIDE) of all processes, oldest first."""
        fresh = self.accelerator.gather(fresh[:KEPT])
        return torch.cat([self.kept[name].to(fresh), fresh] if name in self.kept else [fresh])[-KEPT:]

    def _again(self, batch: Batch, step: int) -> Images:
        """The same batch's images under another seed."""
        device = self.accelerator.device
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}  # running statistics move
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.compiler.set_stance("force_eager"):
            torch.manual_seed(keyed_seed(self.seed, "again", step, self.accelerator.process_index))
            return functional_call(self.model, buffers, (batch,))


def frames(images: Tensor) -> Tensor:
    """Images (B, C, H, W) as they are, clips (B, T, C, H, W) as (B * T, C, H, W), float32."""
    return images.float().flatten(0, -4)


def thumbnail(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, SIDE, SIDE), each value the mean of what it stands for."""
    height, width = images.shape[-2:]
    cell = (max(1, height // SIDE), max(1, width // SIDE))
    return F.interpolate(F.avg_pool2d(images, cell), (SIDE, SIDE), mode="bilinear")  # of at most twice that side


def spread(images: Tensor) -> Tensor:
    """The mean L1 distance, per value, between two different images of (n, C, h, w), n > 1: a scalar."""
    count, flat = len(images), images.flatten(1)  # (n, C h w)
    return torch.cdist(flat, flat, p=1).sum() / (count * (count - 1) * flat.shape[1])


def saturation(images: Tensor) -> Tensor:
    """The share of values of (B, C, H, W) beyond SATURATED: a scalar in [0, 1]."""
    return (images.abs() > SATURATED).float().mean()


def correlation(fake: Tensor, real: Tensor) -> Tensor:
    """Pearson's correlation of two images over all of their values, (B, C, H, W) each: its mean, in [-1, 1].

    It is 0 where one of them is of one colour.
    """
    fake, real = (image.flatten(1) - image.flatten(1).mean(1, keepdim=True) for image in (fake, real))
    return F.cosine_similarity(fake, real, dim=1).mean()
