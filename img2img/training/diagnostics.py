"""Diagnostics of the generated images, measured on the device and logged beside the losses.

They are measured at the last G step before a log; diversity is of thumbnails of the latest KEPT images, which earlier
G steps made, too. For every generated image NAME (``Model.fakes``):

    signs/diversity_NAME        mean distance between the latest fakes, divided by that between the real images: near 0
                                when the generator makes the same image for every input
    signs/saturation_NAME       share of values at the flat ends of tanh, in [0, 1]
    signs/saturation_real_NAME  the same for the real images, which may be black and white themselves
    signs/correlation_NAME      with the target, in [-1, 1]; below 0, colours are inverted (paired models only)
    signs/two_seeds_NAME        mean distance of two outputs for one input (models with dropout or noise)
    signs/noise_diversity_NAME  the same for thumbnails, divided by the distance between real images: near 0 when the
                                generator makes the same image of a class for every noise (DCGAN, InfoGAN)
    signs/two_targets_NAME      mean distance of two outputs for one input and two target domains, divided by the
                                distance between real images: near 0 when the generator ignores its target
                                (``Model.retargeted``)

Measuring changes nothing in the training: neither its random numbers nor batch norm's running statistics.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.func import functional_call

from img2img.data.transforms import keyed_seed
from img2img.models.base import Batch, Images, Model

KEPT = 16  # thumbnails of fakes, and of real images, that are compared (120 pairs): batches often have one image only
FEWEST = 4  # no diversity is logged with fewer
SIDE = 16  # pixels of a thumbnail's side: enough to see what is where in which colour
SATURATED = 0.99  # above this magnitude tanh's slope is below 0.02, and the generator hardly learns
NO_DISTANCE = 1e-3  # an eighth of a gray level: added to both distances of a ratio, which is then 1 if both are 0


class Diagnostics:
    """Measures a model's images, and keeps thumbnails of the latest ones of all processes.

    Args:
        model: the model in training.
        seed: ``train.seed``.
        accelerator: gathers the thumbnails of all processes.
    """

    def __init__(self, model: Model, seed: int, accelerator: Accelerator) -> None:
        self.model, self.seed, self.accelerator = model, seed, accelerator
        self.kept: dict[str, Tensor] = {}  # NAME -> (n, 2 C, SIDE, SIDE): channels of the fake, then of the real image

    @torch.no_grad()
    def observe(
        self, batch: Batch, images: Images, step: int, *, steps_to_log: int, measure: bool
    ) -> dict[str, Tensor]:
        """Keeps thumbnails of a G step if the next log needs them, and computes the diagnostics if ``measure``.

        Args:
            batch, images: of the step's last micro-batch, (B, C, H, W) in [-1, 1].
            step: number of the step, which seeds the second output.
            steps_to_log: further G steps before the next regular log. The end of the run doesn't count, so that a
                resumed run logs the same values as an uninterrupted one.
            measure: whether to compute the diagnostics.

        Returns:
            Scalars on the device, by tag; empty unless ``measure``.
        """
        values: dict[str, Tensor] = {}
        repeated, retargeted = self._repeat(batch, step) if measure else ({}, {})
        for name, key in self.model.fakes.items():
            keep = steps_to_log * len(images[name]) * self.accelerator.num_processes < KEPT
            if not (keep or measure):
                continue
            fake, real = frames(images[name]), frames(batch[key])
            thumbnails = self._latest_thumbnails(name, torch.cat([thumbnail(fake), thumbnail(real)], dim=1))
            if keep:
                self.kept[name] = thumbnails
            if not measure:
                continue
            if len(thumbnails) >= FEWEST:
                fake_spread, real_spread = (
                    spread(half) for half in thumbnails.chunk(2, dim=1)
                )  # of (n, C, SIDE, SIDE)
                values[f"diversity_{name}"] = (fake_spread + NO_DISTANCE) / (real_spread + NO_DISTANCE)
                if self.model.draws:
                    distance = (thumbnail(frames(repeated[name])) - thumbnail(fake)).abs().mean()
                    values[f"noise_diversity_{name}"] = (distance + NO_DISTANCE) / (real_spread + NO_DISTANCE)
                if name in retargeted:  # neither noise nor statistics differ between these two
                    distance = (frames(retargeted[name]) - frames(repeated[name])).abs().mean()
                    values[f"two_targets_{name}"] = distance / (real_spread + NO_DISTANCE)
            values[f"saturation_{name}"] = saturation(fake)
            values[f"saturation_real_{name}"] = saturation(real)
            if self.model.paired:
                values[f"correlation_{name}"] = correlation(fake, real)
            if self.model.random:
                values[f"two_seeds_{name}"] = (frames(repeated[name]) - fake).abs().mean()
        return {f"signs/{name}": value for name, value in values.items()}

    def state(self) -> dict[str, Tensor]:
        """The thumbnails, on the CPU; the same in all processes."""
        return {name: images.cpu() for name, images in self.kept.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restores what ``state`` returned."""
        self.kept = dict(state)

    def _latest_thumbnails(self, name: str, new: Tensor) -> Tensor:
        """The last KEPT of the kept thumbnails and the new ones (B, 2 C, SIDE, SIDE) of all processes, oldest first."""
        new = self.accelerator.gather(new[:KEPT])
        return torch.cat([self.kept[name].to(new), new] if name in self.kept else [new])[-KEPT:]

    def _repeat(self, batch: Batch, step: int) -> tuple[Images, Images]:
        """Images of the same batch with another seed, and those of other targets with that seed; {} if not needed."""
        other = self.model.retargeted(batch)
        if other is not None:
            return self._second_output(batch, step), self._second_output(other, step)
        return self._second_output(batch, step) if self.model.random else {}, {}

    def _second_output(self, batch: Batch, step: int) -> Images:
        """Images of a batch with another seed."""
        device = self.accelerator.device
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}  # batch norm changes the copies
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.compiler.set_stance("force_eager"):
            torch.manual_seed(keyed_seed(self.seed, "again", step, self.accelerator.process_index))
            return functional_call(self.model, buffers, (batch,))


def frames(images: Tensor) -> Tensor:
    """Returns images (B, C, H, W) as they are, and videos (B, T, C, H, W) as (B * T, C, H, W); float32."""
    return images.float().flatten(0, -4)


def thumbnail(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, SIDE, SIDE), by averaging."""
    height, width = images.shape[-2:]
    cell = (max(1, height // SIDE), max(1, width // SIDE))
    return F.interpolate(F.avg_pool2d(images, cell), (SIDE, SIDE), mode="bilinear")  # its input is below 2 SIDE a side


def spread(images: Tensor) -> Tensor:
    """Mean L1 distance, per value, over all pairs of different images of (n, C, h, w), n > 1. A scalar."""
    count, flat = len(images), images.flatten(1)  # (n, C h w)
    return torch.cdist(flat, flat, p=1).sum() / (count * (count - 1) * flat.shape[1])


def saturation(images: Tensor) -> Tensor:
    """Share of values of (B, C, H, W) whose magnitude is above SATURATED. A scalar in [0, 1]."""
    return (images.abs() > SATURATED).float().mean()


def correlation(fake: Tensor, real: Tensor) -> Tensor:
    """Pearson's correlation between the values of two images, (B, C, H, W) each; mean over B. A scalar in [-1, 1].

    It is 0 for an image of a single value.
    """
    fake, real = (image.flatten(1) - image.flatten(1).mean(1, keepdim=True) for image in (fake, real))
    return F.cosine_similarity(fake, real, dim=1).mean()
