"""A run that draws from noise as a function from a seed to images, and the files and sheets of them."""

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

TOGETHER = 16  # images that are drawn at once
STEPS = 9  # images on the way from one noise to another
SIDE = 8  # columns of a sheet, and rows at most; rows of a way or a traversal unless told


class Sampler:
    """``sample(count, seed) -> images``: image i owes nothing to the others, so ``count`` does not change it.

    Args:
        model: with trained generators.
        config: the run's options.
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

    def results(self, seed: int = 0, label: int | None = None) -> Path:
        """Where images go unless told: below the run, by step, seed and class."""
        folder = self.run / "results" / str(self.checkpoint and self.checkpoint.name)
        return folder / (f"seed-{seed}" if label is None else f"seed-{seed}_class-{label}")

    def __call__(
        self, count: int = 1, seed: int = 0, label: int | None = None, codes: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Draws images: (count, H, W, C) uint8.

        Args:
            count: how many.
            seed: of the noise; the same seed gives the same images.
            label: the class of all of them, of a conditional run; unset, image i is of class i, and so on in turn.
            codes: values of codes by their name, the same in all images.

        Raises:
            ValueError: what the run does not have, or numbers out of range.
        """
        return np.concatenate(list(self.portions(count, seed, label, codes)))

    def portions(
        self, count: int, seed: int = 0, label: int | None = None, codes: Mapping[str, float] | None = None
    ) -> Iterator[np.ndarray]:
        """As a call, a few images at a time: any number of them fits into memory."""
        self.check(count, seed, label)
        for name, value in (codes or {}).items():
            values = self.values(name)
            if name.startswith("d") and value not in values:
                raise ValueError(f"code {name} {value}: run {self.config.name} has 0 to {len(values) - 1} of it")
        for first in range(0, count, TOGETHER):
            # The last ones are drawn in company, too: a network's last digits depend on how many it is asked at once
            batch = joined([self.noise(seed, index, label) for index in range(first, first + TOGETHER)])
            for name, value in (codes or {}).items():
                batch = self.model.with_code(batch, name, value)
            yield self.draw(batch)[: count - first]

    def noise(self, seed: int, index: int, label: int | None = None) -> Batch:
        """What image ``index`` is drawn from: a batch of one, keyed by (seed, index) and by nothing else."""
        return keyed_noise(self.model, seed, index, label)

    def draw(self, batch: Batch) -> np.ndarray:
        """The images of a batch of noise: (B, H, W, C) uint8."""
        with torch.inference_mode():
            there = {key: value.to(self.device) for key, value in batch.items()}
            return to_array(self.model.generate(there)["output"], np.uint8)

    def way(self, first: Batch, last: Batch) -> np.ndarray:
        """Images on the way from one noise to another, both of one image: z moves, all else is the first's."""
        shares = [i / (STEPS - 1) for i in range(STEPS)]
        return self.draw(joined([{**first, "z": spherical(first["z"], last["z"], share)} for share in shares]))

    def traversal(self, batch: Batch, name: str) -> np.ndarray:
        """Images of one noise with a code at each of its values. Raises ValueError if there is no such code."""
        self.values(name)
        return self.draw(self.model.traversal(batch, name))

    def values(self, name: str) -> list[float]:
        """What a traversal of a code shows. Raises ValueError if the run has no such code."""
        if name not in self.model.codes:
            there = f"there is {', '.join(self.model.codes)}" if self.model.codes else "it has none; infogan's runs do"
            raise ValueError(f"code {name}: run {self.config.name} has no such code; {there}")
        return list(self.model.codes[name])

    def check(self, count: int, seed: int, label: int | None) -> None:
        """Raises ValueError for numbers out of range."""
        if count < 1:
            raise ValueError(f"--count {count}: must be at least 1")
        if not 0 <= seed < 2**63:
            raise ValueError(f"--seed {seed}: must lie in [0, 2^63)")
        classes = self.model.num_classes
        if label is not None and not classes:
            raise ValueError(f"--class {label}: run {self.config.name} knows no classes (model.num_classes)")
        if label is not None and not 0 <= label < classes:
            raise ValueError(f"--class {label}: run {self.config.name} knows 0 to {classes - 1}")


def spherical(first: Tensor, last: Tensor, share: float) -> Tensor:
    """The vector (1, n) at this share of the way along the great circle from one to another; lengths change steadily.

    White, "Sampling Generative Networks", arXiv 1609.04468, Sec. 2.1: a straight line would pass where Gaussian noise
    never is, close to the origin.
    """
    angle = torch.nn.functional.cosine_similarity(first, last).clamp(-1, 1).acos()  # (1,)
    if angle.sin().abs() < 1e-6:  # alike or opposite: no circle, or any
        return torch.lerp(first, last, share)
    return (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()


def keyed_noise(model: NoiseModel, seed: int, index: int, label: int | None = None) -> Batch:
    """What ``Sampler.noise`` returns, of a model."""
    key = int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0])
    batch = model.noise(1, torch.Generator().manual_seed(key))
    if model.num_classes:
        batch["class"] = torch.tensor([index % model.num_classes if label is None else label])
    return batch


def joined(batches: list[Batch]) -> Batch:
    """Batches as one."""
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
    """Writes ``output/00000.png``, ... and sheets of 8x8 of them below ``output/grids/``.

    Args:
        sampler: of the run.
        output: the folder to write to.
        count: images, 64 unless told; or rows of what ``interpolate`` or ``traverse`` ask for, 8 unless told.
        seed, label: see Sampler.
        interpolate: one sheet instead, ``grids/interpolation.png``: row i goes from the noise of image 2i to that of
            image 2i+1; class and codes stay those of the first.
        traverse: one sheet instead, ``grids/traverse-CODE.png``: row i is image i with this code at each of its
            values: those of a categorical one (d1, d2, ...), -2 to 2 of a continuous one (c1, c2, ...).

    Raises:
        ValueError: what the run does not have, numbers out of range, or ``output`` can't be written.
    """
    if not (interpolate or traverse):
        _write_images(sampler, output, SIDE * SIDE if count is None else count, seed, label)
        return
    if interpolate and traverse:
        raise ValueError(f"--interpolate and --traverse {traverse}: choose one of them")
    count = SIDE if count is None else count
    sampler.check(count, seed, label)
    titles: list[str] = []
    rows = []
    for row in tqdm(range(count), unit="row", disable=None):
        if traverse:
            titles = [f"{value:g}" for value in sampler.values(traverse)]
            rows.append(list(sampler.traversal(sampler.noise(seed, row, label), traverse)))
        else:
            shown = row % (sampler.model.num_classes or 1) if label is None else label
            rows.append(list(sampler.way(*(sampler.noise(seed, 2 * row + end, shown) for end in (0, 1)))))
    write_image(
        output / "grids" / (f"traverse-{traverse}.png" if traverse else "interpolation.png"), grid(rows, titles)
    )


def _write_images(sampler: Sampler, output: Path, count: int, seed: int, label: int | None) -> None:
    written, sheet = 0, []
    with tqdm(total=count, unit="picture", disable=None) as bar:
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
