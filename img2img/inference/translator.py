"""A trained run as a function from picture to picture: any size, any depth, the same kind and size out."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from img2img.config import Config
from img2img.data.images import as_input, channels_first, read_image, resize, to_array, to_channels
from img2img.data.options import Direction, domains, opposite
from img2img.inference.loading import choose_device, load_trained
from img2img.models.base import Model
from img2img.models.base_noise import NoiseModel

NormPolicy = Literal["running", "batch"]
BEYOND = 1e-3  # what floats may be outside of [0, 1] by rounding
Picture = TypeVar("Picture", np.ndarray, Image.Image)


class Translator:
    """``translate(picture) -> picture``: numpy (H, W) or (H, W, C) or PIL in, the same kind, depth and size out.

    Numpy pictures are uint8, uint16, or floats in [0, 1], in RGB order. Channels are converted to the run's own, and
    the output has the target's. PIL has no colour pictures of 16 bits: a gray one of 16 becomes one of 8.

    Args:
        model: with trained generators.
        config: the run's options.
        device: where to translate.
        norm_policy: "running" normalises by the statistics of training, so that a picture has one answer whatever it
            is asked together with; "batch" by the picture's own, as the pix2pix paper (arXiv 1611.07004, Sec. 3.4).
        dropout: whether dropout, the paper's noise, is on; ``seed`` of the call then chooses the answer.
        training_size: whether a picture is resized to the size that the run was trained with, and its answer back.
            Without, it is translated as it is, but a network knows things at the scale of its training, and a U-Net
            whose innermost level was 1x1 knows no other size well.
        direction: AtoB or BtoA; unset, the run's own. Only a model that learnt both, as CycleGAN does, has another.

    Raises:
        ValueError: ``dropout`` of a run that has none: every answer would be the same; a ``direction`` it never learnt.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        device: torch.device | str = "cpu",
        norm_policy: NormPolicy = "running",
        dropout: bool = False,
        training_size: bool = False,
        direction: Direction | None = None,
    ) -> None:
        own = config.data.direction
        if direction not in (None, own) and not model.two_way:
            raise ValueError(
                f"--direction {direction}: run {config.name} learnt {own} only, "
                + (
                    "from label maps to pictures; leave it out"
                    if config.data.label_nc
                    else f"as {config.model.name} does; train another one with --data.direction {direction}"
                )
            )
        self.direction: Direction = direction or own
        self.model, self.config, self.device = model, config, torch.device(device)
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
        if dropout and not self.dropout:
            more = "; --style random draws others" if "encoder" in model.generators else ""
            raise ValueError(f"run {config.name} has no dropout (see its model options): it has one answer only{more}")
        self.checkpoint: Path | None = None

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the input, where it is a picture, and of the output."""
        source, target = domains(self.direction)
        return self.config.data.channels[source], self.config.data.channels[target]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that the run learnt, the one of this translator first."""
        return (self.direction, opposite(self.direction)) if self.model.two_way else (self.direction,)

    @property
    def run(self) -> Path:
        """The run's folder."""
        assert self.checkpoint is not None, "this translator was not loaded from a run"
        return self.checkpoint.parents[1]

    def results(self, style: str | None = None, relabel: str | None = None) -> Path:
        """Where translated pictures go unless told: below the run, by step, by direction where it has two, and by the
        style and the edits of scenes.
        """
        folder = self.run / "results" / str(self.checkpoint and self.checkpoint.name)
        folder = folder / self.direction if self.model.two_way else folder
        parts = [] if style is None else [file_name(style)]
        parts += [] if relabel is None else [f"relabel-{file_name(relabel)}"]
        return folder / "_".join(parts)

    def reversed(self) -> Translator:
        """The same run's translator of the other direction. Raises ValueError if it learnt one only."""
        if not self.model.two_way:
            raise ValueError(f"--cycle: run {self.config.name} learnt {self.direction} only, so there is no way back")
        other = copy.copy(self)  # the networks are shared
        other.direction = opposite(self.direction)
        return other

    def __call__(self, picture: Picture, seed: int = 0) -> Picture:
        """Translates one picture.

        Args:
            picture: of any size.
            seed: of the dropout, where it is on: the same seed gives the same answer.

        Raises:
            ValueError: an array of a shape, type or range that is no picture; a path, or anything else that is none.
        """
        if isinstance(picture, Image.Image):
            upright = ImageOps.exif_transpose(picture)
            return _array_to_pil(self(_pil_to_array(upright), seed))
        if isinstance(picture, (str, Path)):
            raise ValueError(f"{picture}: is a path, not a picture: open it with PIL.Image.open, say")
        if not isinstance(picture, np.ndarray):
            raise ValueError(f"a picture of type {type(picture).__name__}: give a numpy array or a PIL picture")
        if picture.dtype not in (np.uint8, np.uint16) and picture.dtype.kind != "f":
            raise ValueError(f"a picture of type {picture.dtype}: give uint8, uint16, or floats in [0, 1]")
        if picture.dtype.kind == "f":
            _check_range(picture)
        image = to_channels(picture, self.channels[0])
        if self.training_size:
            from img2img.data.transforms import jitter  # and with it albumentations, which takes a second

            image = resize(image, *jitter(self.config.data, augment=False).resized(*image.shape[:2]))
        answer = to_array(self.answer({"input": image}, seed), picture.dtype)
        if self.training_size:
            answer = resize(answer, *picture.shape[:2])
        return _squeeze(answer) if picture.ndim == 2 else answer

    def answer(self, given: Mapping[str, np.ndarray], seed: int = 0) -> Tensor:
        """The model's picture, (C, H, W) in [-1, 1], of arrays (H, W, C) of one size by their key in a batch.

        They are padded by reflection to what the network takes, and the picture is cut back.
        """
        batch, inside = self.batch(given)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices, enabled=self.dropout):
            if self.dropout:
                torch.manual_seed(seed)
            output = self.model.generate(batch, self.direction)["output"][0]
        return output[inside]

    def batch(self, given: Mapping[str, np.ndarray]) -> tuple[dict[str, Tensor], tuple[slice, slice, slice]]:
        """A batch of one on the device, padded, and where what was given lies in it, (C, H', W')."""
        height, width = next(iter(given.values())).shape[:2]
        more_high, more_wide = self.model.padded(height) - height, self.model.padded(width) - width
        top, left = more_high // 2, more_wide // 2
        pad = ((top, more_high - top), (left, more_wide - left), (0, 0))
        batch = {}
        for key, array in given.items():
            padded = torch.from_numpy(np.pad(array, pad, mode="reflect"))[None].to(self.device)
            # pictures and ids; a style's features are what the network takes already
            as_it_is = key == "features"
            batch[key] = channels_first(padded, padded.dtype) if as_it_is else as_input(padded)  # (1, C, H', W')
        return batch, (slice(None), slice(top, top + height), slice(left, left + width))

    def given(self, pictures: Any, index: int) -> dict[str, np.ndarray]:
        """What is translated of a data set's sample: (H, W, C) by key in a batch. Raises UnreadableImage."""
        return {"input": pictures.picture(domains(self.direction)[0], index)}

    def translate(self, given: Mapping[str, np.ndarray], seed: int = 0) -> np.ndarray:
        """The answer to what ``given`` or ``read`` returned."""
        return self(given["input"], seed)

    def show(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """What a grid shows of it, (H, W, C)."""
        return given["input"]

    def read(self, path: Path, instances: Path | None = None) -> dict[str, np.ndarray]:
        """Reads a file to translate. Raises UnreadableImage, and ValueError for options that the run has no use for."""
        self._refuse("--instances", instances)
        return {"input": read_image(path, self.channels[0])}

    def inputs(self, files: list[Path]) -> list[Path]:
        """Those of a folder's files that are to be translated."""
        return files

    def styled(self, style: str | None = None, relabel: str | None = None) -> Translator:
        """This translator with a style, and with edits of what it is given. ValueError: pictures have neither."""
        self._refuse("--style", style)
        self._refuse("--relabel", relabel)
        return self

    @property
    def draws(self) -> bool:
        """Whether the seed changes the answer."""
        return self.dropout

    def _refuse(self, option: str, value: object) -> None:
        if value is not None:
            raise ValueError(f"{option} {value}: run {self.config.name} translates pictures, not label maps")


def load_translator(
    run: str | Path,
    checkpoint: str = "latest",
    device: torch.device | str | None = None,
    norm_policy: NormPolicy = "running",
    dropout: bool = False,
    training_size: bool = False,
    direction: Direction | None = None,
) -> Translator:
    """The translator of a run, by its folder or its name under runs/. What it needs to know stands in the checkpoint.

    Args:
        run: "runs/edges2shoes", or "edges2shoes".
        checkpoint: a step, or "latest".
        device: "cpu", "cuda", ...; the GPU if there is one, unless told.
        norm_policy, dropout, training_size, direction: see Translator.

    Raises:
        ValueError: there is no such run, checkpoint or device, the checkpoint is damaged, or the run draws from noise.
    """
    model, config, path = load_trained(run, checkpoint)
    if isinstance(model, NoiseModel):
        raise ValueError(
            f"run {config.name} draws pictures from noise: there is none to translate or to compare with; "
            f"python tools/infer.py {run} --count 64 draws some, "
            f"python tools/evaluate.py {run} --metrics fid measures them"
        )
    kind = Translator
    if config.data.label_nc:
        from img2img.inference.label_translator import SceneTranslator as kind  # which is made of this module
    translator = kind(model, config, choose_device(device), norm_policy, dropout, training_size, direction)
    translator.checkpoint = path
    return translator


def file_name(text: str) -> str:
    """A text as the name of a file that no other text has: "cluster:1=2;random" -> "cluster-1=2+random"."""
    plain = re.sub(r"[^\w.,=+-]", "-", text.replace(";", "+"), flags=re.ASCII)[:80]
    if re.fullmatch(r"[\w.,=:;]{,80}", text, re.ASCII):  # told apart by the replacements alone
        return plain
    return f"{plain}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _check_range(picture: np.ndarray) -> None:
    """Raises ValueError for floats that are no picture's."""
    if not np.isfinite(picture).all():
        raise ValueError("a picture with NaN or infinite values: mend them, with np.nan_to_num, say")
    low, high = (float(value) for value in (picture.min(initial=0), picture.max(initial=0)))
    if low < -BEYOND or high > 1 + BEYOND:
        raise ValueError(
            f"a picture of floats from {low:.4g} to {high:.4g}: they lie in [0, 1]; divide 0..255 by 255, take "
            "(x + 1) / 2 of [-1, 1], and np.clip what is a little beyond"
        )


def _pil_to_array(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"a PIL picture of mode {picture.mode} with values beyond 16 bits: scale it to 0..65535")
        return values.astype(np.uint16)
    if picture.mode == "F":
        raise ValueError("a PIL picture of mode F: give its values as a numpy array of floats in [0, 1]")
    if picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert({"1": "L", "LA": "RGBA"}.get(picture.mode, "RGB"))
    return np.asarray(picture)


def _array_to_pil(image: np.ndarray) -> Image.Image:
    if image.dtype == np.uint16 and image.ndim == 3 and image.shape[2] > 1:
        image = (image >> 8).astype(np.uint8)  # PIL has 16 bits for gray pictures only
    return Image.fromarray(_squeeze(image) if image.ndim == 3 else image)


def _squeeze(image: np.ndarray) -> Any:
    return image[:, :, 0] if image.shape[2] == 1 else image
