"""``Translator``: a trained run as a function from image to image, for any size and depth."""

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
from img2img.data.classical import lanczos
from img2img.data.images import as_input, channels_first, padded_inputs, resize, to_array, to_channels
from img2img.data.label_files import resize_ids
from img2img.models.base import Batch, Model

NormPolicy = Literal["running", "batch"]
LARGEST = 16.0  # outscale: of the sides of the output, divided by those of the input
TOLERANCE = 1e-3  # how far floats may lie outside [0, 1] by rounding
AnyImage = TypeVar("AnyImage", np.ndarray, Image.Image)


class Translator:
    """A trained run as a function: ``translator(image)`` returns an image of the same kind, depth and size.

    ::

        import numpy as np
        from img2img import load_translator
        from PIL import Image

        translate = load_translator("runs/edges2shoes")
        drawing = Image.open("drawing.png")
        shoe = translate(drawing)  # PIL in, PIL out
        shoe = translate(np.array(drawing))  # an array in, an array of the same dtype out

    Arrays are (H, W) or (H, W, C) in RGB, of uint8, uint16 or floats in [0, 1]. Channels are converted to those of the
    run's input; the output has those of the run's target. The output is ``model.scale`` times as large as the input, or
    ``outscale`` times. PIL has no 16-bit colour images: for a 16-bit gray PIL image and a colour target the output has
    8 bits.

    Args:
        model: model with trained generators. They are moved to ``device`` and put into evaluation mode.
        config: options of the run.
        device: where to translate.
        norm_policy: statistics of batch norm. "running": those of training, so that the output of an image does not
            depend on others. "batch": those of the image itself, as in pix2pix (arXiv 1611.07004, Sec. 3.3).
        dropout: keep dropout on, the noise of pix2pix. The ``seed`` of a call then chooses the output.
        training_size: resize inputs to the size of training, and outputs back to the size of the input. By default
            images are translated at their own size. Use it for images much larger or smaller than those of training,
            and for U-Nets whose innermost level was 1x1 in training.
        direction: which direction to translate, for a run that learned several (default: ``config.data.direction``).
        outscale: side of the output divided by the side of the input, in (0, 16], for runs that enlarge: the networks'
            output is resized by Lanczos' kernel, antialiased where it shrinks (default: ``model.scale``).

    Raises:
        ValueError: ``dropout`` with a run whose networks have none, a ``direction`` that the run did not learn, or an
            ``outscale`` out of range or of a run that does not enlarge.
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
        outscale: float | None = None,
    ) -> None:
        self.model, self.config, self.device = model, config, torch.device(device)
        self.dataset: type[ImageDataset] = dataset_class(model.dataset, config.data)
        default = config.data.direction
        if direction not in (None, default) and direction not in self._learned:
            learned = ", ".join(self._learned)
            possible = direction in self.dataset.directions(config.data)
            other = f", or train another run with --data.direction {direction}" if possible else ""
            raise ValueError(f"--direction {direction}: run {config.name} learned {learned} only; leave it out{other}")
        self.direction: str = direction or default
        self.chosen = direction is not None  # whether the caller chose the direction
        self.training_size = training_size
        if outscale is not None:
            self.check_outscale(outscale)
        self.outscale = outscale
        self.dropout = False
        for name in model.generators:
            network = getattr(model, name).to(self.device).eval().requires_grad_(False)
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and norm_policy == "batch":
                    module.track_running_stats = False
                    module.running_mean = module.running_var = None  # without them the layer uses those of the batch
                if isinstance(module, nn.Dropout):
                    module.train(dropout)
                    self.dropout = dropout
        if dropout and not self.draws:
            hint = "; use --style random for different outputs" if "encoder" in model.generators else ""
            raise ValueError(
                f"run {config.name} has no dropout (see its model options), so all outputs would be the same{hint}"
            )
        self.checkpoint: Path | None = None

    def check_outscale(self, outscale: float) -> None:
        """Raises ValueError if outputs of this run can't be resized to ``outscale`` times the input's sides."""
        if not 0 < outscale <= LARGEST:
            raise ValueError(f"--outscale {outscale:g}: must lie in (0, {LARGEST:g}]")
        if self.model.scale == 1:
            raise ValueError(
                f"--outscale {outscale:g}: run {self.config.name} keeps the size of images (its scale is 1); leave it "
                "out, and resize the outputs yourself"
            )

    @property
    def _learned(self) -> list[str]:
        """The directions that the run learned."""
        return (
            list(self.dataset.directions(self.config.data)) if self.model.learns_all else [self.config.data.direction]
        )

    @property
    def channels(self) -> tuple[int, int]:
        """Number of channels of the input, if it is an image, and of the output."""
        source, target = self.dataset.directions(self.config.data)[self.direction]
        channels = self.config.data.channels
        return channels.get(source or "input", channels["input"]), channels.get(target, channels["target"])

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions that the run learned, this translator's first."""
        return (self.direction, *(name for name in self._learned if name != self.direction))

    @property
    def run(self) -> Path:
        """The run's folder."""
        assert self.checkpoint is not None, "this translator was not loaded from a run"
        return self.checkpoint.parents[1]

    def results(self, **choices: Any) -> Path:
        """The default output folder: RUN/results/STEP, then the direction if there are several, and what was chosen.

        Args:
            choices: values of the options that change the output, such as ``style``; None where they are not set.
        """
        folder = self.run / "results" / str(self.checkpoint and self.checkpoint.name) / self.folder
        chosen = {key: file_name(str(value)) for key, value in choices.items() if value is not None}
        return folder / "_".join(name if key == "style" else f"{key}-{name}" for key, name in chosen.items())

    @property
    def title(self) -> str:
        """What the outputs are, in messages."""
        return self.direction

    @property
    def folder(self) -> str:
        """The folder of the direction's results; "" if the run learned only one."""
        return self.direction if len(self.directions) > 1 else ""

    @property
    def listed(self) -> str:
        """The direction whose validation items are translated."""
        return self.direction

    def variants(self, **target: Any) -> dict[str, Translator]:
        """The translators whose outputs of one input are shown side by side, by title; one with the title "" if there
        is nothing to tell apart.

        Args:
            target: ``to``, ``flip``, ``own`` and ``strength`` of ``DomainTranslator.aimed``; None where not set.

        Raises:
            ValueError: the run has no domains to choose from.
        """
        for option, value in target.items():
            if value is not None:
                option = {"own": "is"}.get(option, option)
                raise ValueError(
                    f"--{option} {value}: run {self.config.name} has no domains to choose from; leave it out"
                )
        return {"": self}

    def towards(self, direction: str) -> Translator:
        """A translator of the same networks in another direction that the run learned."""
        assert direction in self.directions, "not a direction of this run"
        other = copy.copy(self)  # the networks are shared
        other.direction = direction
        return other

    def reversed(self) -> Translator:
        """The translator of the opposite direction. Raises ValueError if the run did not learn it."""
        known = self.dataset.directions(self.config.data)
        forward = known[self.direction]
        opposite = [name for name in self.directions if tuple(known[name]) == (forward.target, forward.source)]
        if not opposite:
            raise ValueError(f"--cycle: run {self.config.name} learned {self.direction} only, not the way back")
        return self.towards(opposite[0])

    def __call__(self, image: AnyImage, seed: int = 0, **others: np.ndarray) -> AnyImage:
        """Translates one image of any size.

        Args:
            image: a PIL image (EXIF orientation is applied), or an array (H, W) or (H, W, C) of RGB order: uint8,
                uint16, or floats in [0, 1].
            seed: seed of dropout and noise, if the model has any. The same seed gives the same output.
            others: further inputs of the model by their key, such as ``mask=``: arrays (H, W) or (H, W, C) of the
                size of ``image``.

        Returns:
            An image of the type, dtype and size of ``image``, times ``outscale``. Arrays are (H, W, C), or (H, W)
            if ``image`` was and the output has one channel.

        Raises:
            ValueError: ``image`` is no image (for example a path), or its dtype, shape or range is not supported.
        """
        if isinstance(image, Image.Image):
            upright = ImageOps.exif_transpose(image)
            return array_to_pil(Translator.__call__(self, pil_to_array(upright), seed, **others))
        if isinstance(image, (str, Path)):
            raise ValueError(f"{image}: this is a path; pass the image, for example PIL.Image.open({str(image)!r})")
        if not isinstance(image, np.ndarray):
            raise ValueError(f"image of type {type(image).__name__}: pass a numpy array or a PIL image")
        _check_type(image)
        arrays = {"input": to_channels(image, self.channels[0])}
        arrays |= {key: value[:, :, None] if value.ndim == 2 else value for key, value in others.items()}
        item = Item("", self.dataset.complete(self.config.data, self.direction, arrays))
        output = self.translate(item, seed)
        return output[:, :, 0] if image.ndim == 2 and output.shape[2] == 1 else output

    def translate(self, item: Item, seed: int = 0) -> np.ndarray:
        """The output for one item, (H, W, C) of the dtype of its input."""
        return self._sized(item, self._translate(item, {}, seed)[0])

    def _sized(self, item: Item, output: np.ndarray) -> np.ndarray:
        """The output of an item at the size of ``outscale``."""
        if self.outscale is None or self.outscale == self.model.scale:
            return output
        height, width = (max(1, round(side * self.outscale)) for side in item.image.shape[-3:-1])
        return lanczos(output, height, width)

    def stream(self, seed: int = 0) -> Callable[[Item], np.ndarray]:
        """A function like ``translate``, for the frames of a film in their order.

        What ``model.generate`` returns beside ``output`` is its state: it is added to the batch of the next item with
        the same ``sequence``. Another sequence starts without state.
        """
        sequence: str | None = None
        state: Batch = {}

        def step(item: Item) -> np.ndarray:
            nonlocal sequence, state
            if item.sequence is None or item.sequence != sequence:
                sequence, state = item.sequence, {}
            output, state = self._translate(item, state, seed)
            return self._sized(item, output)

        return step

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        image = item.image
        height, width = image.shape[-3:-1]
        inputs = item.inputs
        if self.training_size:
            from img2img.data.transforms import jitter  # late: imports albumentations, which takes a second

            size = jitter(self.config.data, augment=False).resized(height, width)
            inputs = {key: _resized(array, *size) for key, array in inputs.items()}
        generated, state = self.generate(inputs, seed, state)
        output = to_array(generated, image.dtype if image.dtype.kind in "uf" else np.uint8)
        if self.training_size:
            output = resize(output, height * self.model.scale, width * self.model.scale)
        return output, state

    def generate(
        self, inputs: Mapping[str, np.ndarray], seed: int = 0, state: Batch | None = None
    ) -> tuple[Tensor, Batch]:
        """Runs the generator on inputs of one size.

        Inputs are padded by reflection to a size that the network takes, and the output is cropped accordingly.

        Args:
            inputs: arrays by their key in a batch, without the batch dimension.
            seed: seed of dropout and noise. The random state of the caller stays as it is.
            state: state of the previous frame of a film.

        Returns:
            The image, (C, H, W) in [-1, 1], ``model.scale`` times as large as the inputs; and the state: what else
            ``model.generate`` returned, uncropped.
        """
        batch, inside = self.batch(inputs)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            images = self.model.generate({**batch, **(state or {})}, self.direction)
        return images["output"][0][inside], {key: value for key, value in images.items() if key != "output"}

    def batch(self, inputs: Mapping[str, np.ndarray]) -> tuple[Batch, tuple[slice, slice, slice]]:
        """A padded batch of one item on the device, and the slices of the output (C, H', W') that crop the padding."""
        padded, inside = padded_inputs(inputs, self.model.padded, self.model.scale)
        ranges = self.dataset.ranges(self.config.data)
        batch: Batch = {}
        for key, array in padded.items():
            tensor = torch.from_numpy(np.ascontiguousarray(array))[None].to(self.device)
            # the features of a style already are what the network takes
            is_ready = key == "features"
            batch[key] = channels_first(tensor, tensor.dtype) if is_ready else as_input(tensor, ranges.get(key))
        return batch, (slice(None), *inside)

    def show(self, item: Item) -> np.ndarray:
        """The input of an item as grids show it, (H, W, C); the middle frame of several."""
        image = item.image
        return image[len(image) // 2] if image.ndim == 4 else image

    def read(self, path: Path, others: Mapping[str, Path] | None = None) -> Item:
        """Reads an input file, and the files of ``others`` by their key. Raises UnreadableImage or ValueError."""
        return self.dataset.read(self.config.data, self.direction, path, others or {})

    def styled(self, style: str | None = None, relabel: str | None = None) -> Translator:
        """Only ``LabelTranslator`` has styles and edits: raises ValueError if either is given, else returns itself."""
        for option, value in (("--style", style), ("--relabel", relabel)):
            if value is not None:
                raise ValueError(
                    f"{option} {value}: run {self.config.name} translates images, and this option is for label maps"
                )
        return self

    @property
    def draws(self) -> bool:
        """Whether the output depends on the seed."""
        return self.model.random


def file_name(text: str) -> str:
    """A unique file name for a text: "cluster:1=2;random" -> "cluster-1=2+random"; others get a hash appended."""
    plain = re.sub(r"[^\w.,=+-]", "-", text.replace(";", "+"), flags=re.ASCII)[:80]
    if re.fullmatch(r"[\w.,=:;]{,80}", text, re.ASCII):  # the replacements keep these texts distinct
        return plain
    return f"{plain}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _check_type(image: np.ndarray) -> None:
    """Raises ValueError if the dtype or the range of an array is not an image's."""
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise ValueError(f"image of dtype {image.dtype}: pass uint8, uint16, or floats in [0, 1]")
    if image.dtype.kind == "f":
        _check_range(image)


def _resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """An input at another size: images by ``resize``, class ids by nearest neighbour, vectors unchanged."""
    if array.ndim < 3:
        return array
    if array.ndim == 4:
        return np.stack([_resized(frame, height, width) for frame in array])
    return resize_ids(array, height, width) if array.dtype == np.int32 else resize(array, height, width)


def _check_range(image: np.ndarray) -> None:
    """Raises ValueError if floats are not finite or lie outside [0, 1]."""
    if not np.isfinite(image).all():
        raise ValueError("image with NaN or infinite values: replace them, for example with np.nan_to_num")
    low, high = (float(value) for value in (image.min(initial=0), image.max(initial=0)))
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError(
            f"float image with values from {low:.4g} to {high:.4g}: they must lie in [0, 1]; use x / 255 for [0, 255], "
            "(x + 1) / 2 for [-1, 1], np.clip for small overshoots"
        )


def pil_to_array(image: Image.Image) -> np.ndarray:
    """An upright PIL image as an array (H, W) or (H, W, C) of 8 or 16 bits. Raises ValueError for floats."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"PIL image of mode {image.mode} with values outside 16 bits: scale it to [0, 65535]")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("PIL image of mode F: pass a numpy array of floats in [0, 1] instead")
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert({"1": "L", "LA": "RGBA"}.get(image.mode, "RGB"))
    return np.asarray(image)


def array_to_pil(image: np.ndarray) -> Image.Image:
    """An array (H, W) or (H, W, C) as a PIL image; 16 bits in colour become 8."""
    if image.dtype == np.uint16 and image.ndim == 3 and image.shape[2] > 1:
        image = (image >> 8).astype(np.uint8)  # PIL has 16-bit images in gray only
    return Image.fromarray(_squeeze(image) if image.ndim == 3 else image)


def _squeeze(image: np.ndarray) -> Any:
    return image[:, :, 0] if image.shape[2] == 1 else image
