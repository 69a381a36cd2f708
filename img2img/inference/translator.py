"""A trained run as a function from image to image: any size, any depth, the same kind and size out."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.base import ImageDataset, Item
from img2img.data.images import as_input, normalise, resize, to_array, to_channels
from img2img.data.label_files import resize_ids
from img2img.models.base import Batch, Model

NormPolicy = Literal["running", "batch"]
BEYOND = 1e-3  # what floats may be outside of [0, 1] by rounding
AnyImage = TypeVar("AnyImage", np.ndarray, Image.Image)


class Translator:
    """``translate(image) -> image``: numpy (H, W) or (H, W, C) or PIL in, the same kind, depth and size out.

    Numpy images are uint8, uint16, or floats in [0, 1], in RGB order. Channels are converted to the run's own, and the
    output has the target's; it is ``model.scale`` times as large as the input. PIL has no colour images of 16 bits: a
    gray one of 16 becomes one of 8.

    Args:
        model: with trained generators.
        config: the run's options.
        device: where to translate.
        norm_policy: "running" normalises by the statistics of training, so that an image has one answer whatever it
            is asked together with; "batch" by the image's own, as the pix2pix paper (arXiv 1611.07004, Sec. 3.4).
        dropout: whether dropout, the paper's noise, is on; ``seed`` of the call then chooses the answer.
        training_size: whether an image is resized to the size that the run was trained with, and its answer back.
            Without, it is translated as it is, but a network knows things at the scale of its training, and a U-Net
            whose innermost level was 1x1 knows no other size well.
        direction: the name of one that the run learnt; unset, the run's own.

    Raises:
        ValueError: ``dropout`` of a run that has none: every answer would be the same; a ``direction`` it never learnt.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        device: torch.device | str = "cpu",
        *,
        norm_policy: NormPolicy = "running",
        dropout: bool = False,
        training_size: bool = False,
        direction: str | None = None,
    ) -> None:
        self.model, self.config, self.device = model, config, torch.device(device)
        self.dataset: type[ImageDataset] = dataset_class(model.dataset, config.data)
        own = config.data.direction
        if direction not in (None, own) and direction not in self._learnt:
            known = ", ".join(self._learnt)
            possible = direction in self.dataset.directions(config.data)
            other = f", or train another run with --data.direction {direction}" if possible else ""
            raise ValueError(f"--direction {direction}: run {config.name} learnt {known} only; leave it out{other}")
        self.direction: str = direction or own
        self.training_size = training_size
        self.dropout = False
        for name in model.generators:
            network = getattr(model, name).to(self.device).eval().requires_grad_(False)
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and norm_policy == "batch":
                    module.track_running_stats = False
                    module.running_mean = module.running_var = None  # without them it takes the batch's own
                if isinstance(module, nn.Dropout):
                    module.train(dropout)
                    self.dropout = dropout
        if dropout and not self.draws:
            more = "; --style random draws others" if "encoder" in model.generators else ""
            raise ValueError(f"run {config.name} has no dropout (see its model options): it has one answer only{more}")
        self.checkpoint: Path | None = None

    @property
    def _learnt(self) -> list[str]:
        """The directions that the run learnt."""
        return (
            list(self.dataset.directions(self.config.data)) if self.model.learns_all else [self.config.data.direction]
        )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the input, where it is an image, and of the output."""
        source, target = self.dataset.directions(self.config.data)[self.direction]
        channels = self.config.data.channels
        return channels.get(source or "input", channels["input"]), channels.get(target, channels["target"])

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that the run learnt, the one of this translator first."""
        return (self.direction, *(name for name in self._learnt if name != self.direction))

    @property
    def run(self) -> Path:
        """The run's folder."""
        assert self.checkpoint is not None, "this translator was not loaded from a run"
        return self.checkpoint.parents[1]

    def results(self, style: str | None = None, relabel: str | None = None) -> Path:
        """Where translated images go unless told: below the run, by step, by direction where it has several, and by the
        style and the edits of scenes.
        """
        folder = self.run / "results" / str(self.checkpoint and self.checkpoint.name)
        folder = folder / self.direction if len(self.directions) > 1 else folder
        parts = [] if style is None else [file_name(style)]
        parts += [] if relabel is None else [f"relabel-{file_name(relabel)}"]
        return folder / "_".join(parts)

    def towards(self, direction: str) -> Translator:
        """The same run's translator of another direction that it learnt."""
        assert direction in self.directions, "a direction of this run"
        other = copy.copy(self)  # the networks are shared
        other.direction = direction
        return other

    def reversed(self) -> Translator:
        """The same run's translator of the way back. Raises ValueError if it learnt none."""
        known = self.dataset.directions(self.config.data)
        here = known[self.direction]
        back = [name for name in self.directions if tuple(known[name]) == (here.target, here.source)]
        if not back:
            raise ValueError(f"--cycle: run {self.config.name} learnt {self.direction} only, so there is no way back")
        return self.towards(back[0])

    def __call__(self, image: AnyImage, seed: int = 0, **others: np.ndarray) -> AnyImage:
        """Translates one image.

        Args:
            image: of any size.
            seed: of the dropout and noise, where there is any: the same seed gives the same answer.
            others: further arrays (H, W) or (H, W, C) that the model sees, by their key, such as a mask.

        Raises:
            ValueError: an array of a shape, type or range that is no image; a path, or anything else that is none.
        """
        if isinstance(image, Image.Image):
            upright = ImageOps.exif_transpose(image)
            return _array_to_pil(self(_pil_to_array(upright), seed, **others))
        if isinstance(image, (str, Path)):
            raise ValueError(f"{image}: is a path, not an image: open it with PIL.Image.open, say")
        if not isinstance(image, np.ndarray):
            raise ValueError(f"an image of type {type(image).__name__}: give a numpy array or a PIL image")
        _check_type(image)
        arrays = {"input": to_channels(image, self.channels[0])}
        arrays |= {key: value[:, :, None] if value.ndim == 2 else value for key, value in others.items()}
        item = Item("", self.dataset.complete(self.config.data, self.direction, arrays))
        answer = self.translate(item, seed)
        return answer[:, :, 0] if image.ndim == 2 and answer.shape[2] == 1 else answer

    def translate(self, item: Item, seed: int = 0) -> np.ndarray:
        """The answer to one item, (H, W, C) of the depth of its input."""
        return self._translate(item, {}, seed)[0]

    def stream(self, seed: int = 0) -> Callable[[Item], np.ndarray]:
        """``translate`` for items one after the other: what the model hands to a film's next frame is kept.

        ``generate`` returns it beside ``output``; it enters the next batch under the same keys. Another ``sequence``
        begins anew.
        """
        sequence: str | None = None
        state: Batch = {}

        def step(item: Item) -> np.ndarray:
            nonlocal sequence, state
            if item.sequence is None or item.sequence != sequence:
                sequence, state = item.sequence, {}
            answer, state = self._translate(item, state, seed)
            return answer

        return step

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        image = item.image
        height, width = image.shape[-3:-1]
        inputs = item.inputs
        if self.training_size:
            from img2img.data.transforms import jitter  # and with it albumentations, which takes a second

            size = jitter(self.config.data, augment=False).resized(height, width)
            inputs = {key: _resized(array, *size) for key, array in inputs.items()}
        output, state = self.answer(inputs, seed, state)
        answer = to_array(output, image.dtype if image.dtype.kind in "uf" else np.uint8)
        if self.training_size:
            answer = resize(answer, height * self.model.scale, width * self.model.scale)
        return answer, state

    def answer(
        self, inputs: Mapping[str, np.ndarray], seed: int = 0, state: Batch | None = None
    ) -> tuple[Tensor, Batch]:
        """The model's image, (C, H, W) in [-1, 1], of arrays of one size by their key in a batch; and its state.

        They are padded by reflection to what the network takes, and the image is cut back, ``model.scale`` times as
        large. The state is what the model returned beside the image; it stays padded.
        """
        batch, inside = self.batch(inputs)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            images = self.model.generate({**batch, **(state or {})}, self.direction)
        return images["output"][0][inside], {key: value for key, value in images.items() if key != "output"}

    def batch(self, inputs: Mapping[str, np.ndarray]) -> tuple[Batch, tuple[slice, slice, slice]]:
        """A batch of one on the device, padded, and where what was given lies in the output, (C, H', W')."""
        height, width = next(iter(inputs.values())).shape[-3:-1]
        more_high, more_wide = self.model.padded(height) - height, self.model.padded(width) - width
        top, left = more_high // 2, more_wide // 2
        pad = [(top, more_high - top), (left, more_wide - left), (0, 0)]
        ranges = self.dataset.ranges(self.config.data)
        batch: Batch = {}
        for key, array in inputs.items():
            if array.ndim >= 3:
                if array.shape[-3:-1] != (height, width):
                    size = f"{array.shape[-2]}x{array.shape[-3]}"
                    raise ValueError(f"{key} is {size}, and the image {width}x{height}: they need one size")
                array = np.pad(array, [(0, 0)] * (array.ndim - 3) + pad, mode="reflect")
            there = torch.from_numpy(np.ascontiguousarray(array))[None].to(self.device)
            # floats of users are images in [0, 1]; a style's features are what the network takes already
            given_as_floats = array.dtype.kind == "f" and array.ndim >= 3 and key != "features"
            batch[key] = normalise(there) if given_as_floats else as_input(there, ranges.get(key))  # (1, C, H', W')
        scale = self.model.scale
        return batch, (
            slice(None),
            slice(top * scale, (top + height) * scale),
            slice(left * scale, (left + width) * scale),
        )

    def show(self, item: Item) -> np.ndarray:
        """What a grid shows of an item, (H, W, C)."""
        image = item.image
        return image[len(image) // 2] if image.ndim == 4 else image

    def read(self, path: Path, others: Mapping[str, Path] | None = None) -> Item:
        """Reads a file to translate, and further ones by their key. Raises UnreadableImage and ValueError."""
        return self.dataset.read(self.config.data, self.direction, path, others or {})

    def styled(self, style: str | None = None, relabel: str | None = None) -> Translator:
        """This translator with a style, and with edits of what it is given. ValueError: images have neither."""
        for option, value in (("--style", style), ("--relabel", relabel)):
            if value is not None:
                raise ValueError(f"{option} {value}: run {self.config.name} translates images, not label maps")
        return self

    @property
    def draws(self) -> bool:
        """Whether the seed changes the answer."""
        return self.model.random


def file_name(text: str) -> str:
    """A text as the name of a file that no other text has: "cluster:1=2;random" -> "cluster-1=2+random"."""
    plain = re.sub(r"[^\w.,=+-]", "-", text.replace(";", "+"), flags=re.ASCII)[:80]
    if re.fullmatch(r"[\w.,=:;]{,80}", text, re.ASCII):  # told apart by the replacements alone
        return plain
    return f"{plain}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _check_type(image: np.ndarray) -> None:
    """Raises ValueError for an array that is no image."""
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise ValueError(f"an image of type {image.dtype}: give uint8, uint16, or floats in [0, 1]")
    if image.dtype.kind == "f":
        _check_range(image)


def _resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """An input at another size: images by ``resize``, ids to their nearest neighbours, vectors as they are."""
    if array.ndim < 3:
        return array
    if array.ndim == 4:
        return np.stack([_resized(frame, height, width) for frame in array])
    return resize_ids(array, height, width) if array.dtype == np.int32 else resize(array, height, width)


def _check_range(image: np.ndarray) -> None:
    """Raises ValueError for floats that are no image's."""
    if not np.isfinite(image).all():
        raise ValueError("an image with NaN or infinite values: mend them, with np.nan_to_num, say")
    low, high = (float(value) for value in (image.min(initial=0), image.max(initial=0)))
    if low < -BEYOND or high > 1 + BEYOND:
        raise ValueError(
            f"an image of floats from {low:.4g} to {high:.4g}: they lie in [0, 1]; divide 0..255 by 255, take "
            "(x + 1) / 2 of [-1, 1], and np.clip what is a little beyond"
        )


def _pil_to_array(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"a PIL image of mode {image.mode} with values beyond 16 bits: scale it to 0..65535")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("a PIL image of mode F: give its values as a numpy array of floats in [0, 1]")
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert({"1": "L", "LA": "RGBA"}.get(image.mode, "RGB"))
    return np.asarray(image)


def _array_to_pil(image: np.ndarray) -> Image.Image:
    if image.dtype == np.uint16 and image.ndim == 3 and image.shape[2] > 1:
        image = (image >> 8).astype(np.uint8)  # PIL has 16 bits for gray images only
    return Image.fromarray(_squeeze(image) if image.ndim == 3 else image)


def _squeeze(image: np.ndarray) -> Any:
    return image[:, :, 0] if image.shape[2] == 1 else image
