"""``Sampler``: a trained run as a function that draws images from noise; ``write_samples`` writes them as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from img2img.config import Config
from img2img.data.images import grid, to_array, write_image
from img2img.models.base import Batch
from img2img.models.base_noise import NoiseModel

BATCH_SIZE = 16
INTERPOLATION_STEPS = 9  # images of a row of --interpolate, both ends included
SIDE = 8  # rows and columns of a grid of images; default number of rows with --interpolate and --traverse


class Sampler:
    """A trained run as a function: ``sampler(count, seed)`` returns images drawn from noise.

    ::

        from img2img import load_sampler

        sample = load_sampler("runs/dcgan-toy")
        images = sample(count=64, seed=1)  # (64, H, W, C) uint8

    Image i depends on the seed and on i only, not on ``count``.

    Args:
        model: model with trained generators. They are moved to ``device`` and put into evaluation mode.
        config: options of the run.
        device: where to draw.
    """

    def __init__(self, model: NoiseModel, config: Config, device: torch.device | str = "cpu") -> None:
        self.model, self.config, self.device = model, config, torch.device(device)
        for name in model.generators:
            getattr(model, name).to(self.device).eval().requires_grad_(False)
        self.checkpoint: Path | None = None

    @property
    def run(self) -> Path:
        """The run's folder."""
        assert self.checkpoint is not None, "this sampler was not loaded from a run"
        return self.checkpoint.parents[1]

    def results(self, seed: int = 0, label: int | None = None, blend: str | None = None) -> Path:
        """The default output folder: RUN/results/STEP/seed-SEED[_class-CLASS][_blend-BLEND]."""
        folder = self.run / "results" / str(self.checkpoint and self.checkpoint.name)
        name = f"seed-{seed}" if label is None else f"seed-{seed}_class-{label}"
        return folder / (name if blend is None else f"{name}_blend-{blend}")

    def __call__(
        self, count: int = 1, seed: int = 0, label: int | None = None, codes: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Draws images.

        Args:
            count: number of images, at least 1.
            seed: seed of the noise, in [0, 2^63). The same seed gives the same images.
            label: class of all images, for a class-conditional run (default: image i is of class i modulo the number
                of classes).
            codes: values of latent codes by their name, for infogan: ``{"c1": 1.5, "d1": 3}``; the same in all images.

        Returns:
            (count, H, W, C) uint8.

        Raises:
            ValueError: a number is out of range, or the run has no such class or code.
        """
        return np.concatenate(list(self.portions(count, seed, label, codes)))

    def portions(
        self, count: int, seed: int = 0, label: int | None = None, codes: Mapping[str, float] | None = None
    ) -> Iterator[np.ndarray]:
        """As ``__call__``, in batches: yields (B, H, W, C) uint8 of at most ``BATCH_SIZE`` images."""
        self.check(count, seed, label)
        for name, value in (codes or {}).items():
            values = self.values(name)
            if name.startswith("d") and value not in values:
                raise ValueError(
                    f"code {name} {value}: must be an integer from 0 to {len(values) - 1} for run {self.config.name}"
                )
        for first in range(0, count, BATCH_SIZE):
            # always full batches: outputs change in the last bits with the batch size
            batch = joined([self.noise(seed, index, label) for index in range(first, first + BATCH_SIZE)])
            for name, value in (codes or {}).items():
                batch = self.model.with_code(batch, name, value)
            yield self.draw(batch)[: count - first]

    def noise(self, seed: int, index: int, label: int | None = None) -> Batch:
        """The noise (and class, codes) of image ``index``: a batch of one; it depends on seed, index, label only."""
        return keyed_noise(self.model, seed, index, label)

    def draw(self, batch: Batch) -> np.ndarray:
        """Generates the images of a batch of noise, (B, H, W, C) uint8."""
        with torch.inference_mode():
            on_device = {key: value.to(self.device) for key, value in batch.items()}
            return to_array(self.model.generate(on_device)["output"], np.uint8)

    def interpolation(self, first: Batch, last: Batch) -> np.ndarray:
        """Images between two batches of one: ``z`` is interpolated, class and codes are those of the first.

        Returns (INTERPOLATION_STEPS, H, W, C) uint8.
        """
        weights = [i / (INTERPOLATION_STEPS - 1) for i in range(INTERPOLATION_STEPS)]
        return self.draw(joined([{**first, "z": slerp(first["z"], last["z"], weight)} for weight in weights]))

    def traversal(self, batch: Batch, name: str) -> np.ndarray:
        """Images of one noise with a code at each of its values. Raises ValueError if there is no such code."""
        self.values(name)
        return self.draw(self.model.traversal(batch, name))

    def values(self, name: str) -> list[float]:
        """The values of a code that a traversal shows. Raises ValueError if the run has no such code."""
        if name not in self.model.codes:
            known = f"it has {', '.join(self.model.codes)}" if self.model.codes else "only infogan has codes"
            raise ValueError(f"code {name}: run {self.config.name} has no such code; {known}")
        return list(self.model.codes[name])

    def check(self, count: int, seed: int, label: int | None) -> None:
        """Raises ValueError if a number is out of range, or a class is given that the run doesn't have."""
        if count < 1:
            raise ValueError(f"--count {count}: must be at least 1")
        if not 0 <= seed < 2**63:
            raise ValueError(f"--seed {seed}: must be in [0, 2^63)")
        classes = self.model.num_classes
        if label is not None and not classes:
            raise ValueError(f"--class {label}: run {self.config.name} is not class-conditional (model.num_classes 0)")
        if label is not None and not 0 <= label < classes:
            raise ValueError(f"--class {label}: run {self.config.name} has classes 0 to {classes - 1}")


def slerp(first: Tensor, last: Tensor, weight: float) -> Tensor:
    """Spherical linear interpolation of vectors (1, n); ``weight`` in [0, 1], 0 gives the first.

    Unlike a straight line, it does not pass close to the origin, where Gaussian noise never lies (White, "Sampling
    Generative Networks", arXiv 1609.04468, Sec. 2.1).
    """
    angle = torch.nn.functional.cosine_similarity(first, last).clamp(-1, 1).acos()  # (1,)
    if angle.sin().abs() < 1e-6:  # parallel or opposite: the great circle is not defined
        return torch.lerp(first, last, weight)
    return (((1 - weight) * angle).sin() * first + (weight * angle).sin() * last) / angle.sin()


def keyed_noise(model: NoiseModel, seed: int, index: int, label: int | None = None) -> Batch:
    """The noise of image ``index`` under ``seed``: a batch of one. Without ``label``, classes come in turn."""
    key = int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0])
    batch = model.noise(1, torch.Generator().manual_seed(key))
    if model.num_classes:
        batch["class"] = torch.tensor([index % model.num_classes if label is None else label])
    return batch


def joined(batches: list[Batch]) -> Batch:
    """Concatenates batches."""
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def write_samples(
    sampler: Sampler,
    output: Path,
    *,
    count: int | None = None,
    seed: int = 0,
    label: int | None = None,
    interpolate: bool = False,
    traverse: str | None = None,
) -> None:
    """Writes images ``output/00000.png``, ... and grids of 8x8 of them below ``output/grids/``.

    Args:
        sampler: of the run.
        output: folder to write to.
        count: number of images (default: 64), or of rows with ``interpolate`` or ``traverse`` (default: 8).
        seed: seed of the noise.
        label: class of all images (default: all classes in turn).
        interpolate: write one grid instead, ``grids/interpolation.png``: row i interpolates from the noise of image 2i
            to that of image 2i+1, with class and codes of the first.
        traverse: name of a code: write one grid instead, ``grids/traverse-CODE.png``. Row i shows image i with this
            code at each of its values: all of a categorical code (d1, ...), -2 to 2 of a continuous one (c1, ...).

    Raises:
        ValueError: a number is out of range, the run has no such class or code, or ``output`` can't be written.
    """
    if not (interpolate or traverse):
        _write_images(sampler, output, SIDE * SIDE if count is None else count, seed, label)
        return
    if interpolate and traverse:
        raise ValueError(f"--interpolate and --traverse {traverse}: give only one of them")
    count = SIDE if count is None else count
    sampler.check(count, seed, label)
    titles: list[str] = []
    rows = []
    for row in tqdm(range(count), unit="row", disable=None):
        if traverse:
            titles = [f"{value:g}" for value in sampler.values(traverse)]
            rows.append(list(sampler.traversal(sampler.noise(seed, row, label), traverse)))
        else:
            row_label = row % (sampler.model.num_classes or 1) if label is None else label
            ends = (sampler.noise(seed, 2 * row + end, row_label) for end in (0, 1))
            rows.append(list(sampler.interpolation(*ends)))
    write_image(
        output / "grids" / (f"traverse-{traverse}.png" if traverse else "interpolation.png"), grid(rows, titles)
    )


def _write_images(sampler: Sampler, output: Path, count: int, seed: int, label: int | None) -> None:
    written, sheet = 0, []
    with tqdm(total=count, unit="image", disable=None) as bar:
        for portion in sampler.portions(count, seed, label):
            for image in portion:
                write_image(output / f"{written:05d}.png", image)
                sheet.append(image)
                written += 1
                if len(sheet) == SIDE * SIDE or written == count:
                    name = f"{written - len(sheet):05d}-{written - 1:05d}.png"
                    rows = math.ceil(len(sheet) / SIDE)
                    write_image(output / "grids" / name, grid([sheet[SIDE * i : SIDE * (i + 1)] for i in range(rows)]))
                    sheet = []
            bar.update(len(portion))
