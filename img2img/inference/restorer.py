"""``Restorer``: a run that restores images as a function. Alpha is kept, only holes are filled, strength is blended."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from img2img.data.base import Item
from img2img.data.classical import bicubic_up
from img2img.data.degraded import DegradedConfig
from img2img.data.images import read_image, to_channels
from img2img.inference.translator import AnyImage, Translator, array_to_pil, pil_to_array
from img2img.models.base import Batch

ALPHA, MASK = "alpha", "mask"


class Restorer(Translator):
    """A trained run as a function: ``restorer(photo)`` returns the photo restored, ``model.scale`` times as large.

    ::

        import numpy as np
        from img2img import load_translator
        from PIL import Image

        photo, mask = Image.open("photo.jpg"), np.array(Image.open("mask.png"))
        restore = load_translator("runs/clean")
        clean = restore(photo)
        half = restore(photo, strength=0.5)  # the mean of the photo and the output
        filled = load_translator("runs/fill")(photo, mask=mask)  # (H, W), white in the holes
        large = load_translator("runs/psnr_x4", outscale=3)(photo)  # three times as large

    Arguments of the constructor as of ``Translator``. An alpha channel that the run's images don't have is kept.
    """

    strength: float = 1.0

    @property
    def data(self) -> DegradedConfig:
        """The options of the run's data set."""
        assert isinstance(self.config.data, DegradedConfig)
        return self.config.data

    @property
    def fills_holes(self) -> bool:
        """Whether the run needs a mask and fills its holes."""
        return MASK in self.data.channels

    def __call__(  # type: ignore[override]
        self, image: AnyImage, seed: int = 0, *, strength: float | None = None, **others: np.ndarray
    ) -> AnyImage:
        """As ``Translator``.

        Args:
            image: as of ``Translator``. The fourth channel of an image (H, W, 4), alpha, is kept.
            seed: as of ``Translator``.
            strength: in [0, 1]: 0 is the input, enlarged if the output is, 1 the output. Not for holes.
            others: ``mask`` (H, W) or (H, W, 1), white in the holes, if the run fills holes.
        """
        if isinstance(image, Image.Image):
            array = pil_to_array(ImageOps.exif_transpose(image))
            return array_to_pil(self(array, seed, strength=strength, **others))
        restorer = self if strength is None else self._with_strength(strength)
        if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 4:
            others = {**others, ALPHA: image[:, :, 3:]}
            image = image[:, :, :3]
        return Translator.__call__(restorer, image, seed, **others)

    def check_outscale(self, outscale: float) -> None:
        if self.fills_holes:
            raise ValueError(
                f"--outscale {outscale:g}: run {self.config.name} fills holes and keeps all other pixels; leave it out"
            )
        super().check_outscale(outscale)

    def variants(self, **target: Any) -> dict[str, Translator]:
        strength = target.pop("strength", None)
        (translator,) = super().variants(**target).values()
        return {"": translator if strength is None else self._with_strength(strength)}

    def _with_strength(self, strength: float) -> Restorer:
        if not 0 <= strength <= 1:
            raise ValueError(f"--strength {strength}: must lie in [0, 1]")
        if self.fills_holes:
            raise ValueError(f"--strength {strength}: run {self.config.name} fills holes; leave it out")
        other = copy.copy(self)
        other.strength = strength
        return other

    def read(self, path: Path, others: Mapping[str, Path] | None = None) -> Item:
        """As ``Translator``; keeps alpha. ``mask`` is a file, a folder, the word alpha (transparent pixels are the
        holes), or a colour such as #ff00ff (pixels of exactly that colour are)."""
        others = dict(others or {})
        rgba = read_image(path, 4)
        mask = others.get(MASK)
        if self.fills_holes and mask is not None and not mask.exists() and _is_rule(str(mask)):
            image = to_channels(rgba[:, :, :3], self.channels[0])  # not composited on white
            arrays = {"input": image, MASK: _holes(rgba, str(mask))}
            return Item(path.stem, self.dataset.complete(self.config.data, self.direction, arrays))
        item = super().read(path, others)
        if rgba[:, :, 3].min() == np.iinfo(rgba.dtype).max:  # opaque
            return item
        arrays = {"input": to_channels(rgba[:, :, :3], self.channels[0])}  # not composited on white
        arrays |= {MASK: item.inputs[MASK]} if self.fills_holes else {}
        inputs = self.dataset.complete(self.config.data, self.direction, arrays)
        return replace(item, inputs={**inputs, ALPHA: rgba[:, :, 3:]})

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        inputs = dict(item.inputs)
        alpha = inputs.pop(ALPHA, None)
        output, state = super()._translate(replace(item, inputs=inputs), state, seed)
        given, scale = inputs["input"], self.model.scale
        if self.fills_holes:  # the pixels outside are those of the input, whatever the output was resized from
            output = np.where(inputs[MASK] > 127, output, given)
        if self.strength < 1:
            start = bicubic_up(to_channels(given, output.shape[2]), scale)
            output = _blend(start, output, self.strength)
        if alpha is not None:
            output = np.concatenate([output, bicubic_up(alpha, scale).astype(output.dtype)], axis=2)
        return output, state


def _blend(start: np.ndarray, end: np.ndarray, strength: float) -> np.ndarray:
    """start + strength * (end - start), rounded, of the dtype of ``end``."""
    mixed = start + strength * (end.astype(np.float64) - start)
    if end.dtype.kind == "u":
        return mixed.round().clip(0, np.iinfo(end.dtype).max).astype(end.dtype)
    return mixed.astype(end.dtype)


def _is_rule(text: str) -> bool:
    return text == ALPHA or (len(text) == 7 and text[0] == "#" and set(text[1:].lower()) <= set("0123456789abcdef"))


def _holes(rgba: np.ndarray, rule: str) -> np.ndarray:
    """The mask (H, W, 1) of an image (H, W, 4): 255 where it is transparent, or of a colour "#rrggbb"."""
    if rule == ALPHA:
        holes = rgba[:, :, 3] < (np.iinfo(rgba.dtype).max + 1) // 2
    else:
        colour = np.array([int(rule[place : place + 2], 16) for place in (1, 3, 5)], np.int64)
        scale = np.iinfo(rgba.dtype).max // 255  # 257 for 16 bits
        holes = (rgba[:, :, :3] == colour * scale).all(2)
    return np.where(holes, np.uint8(255), np.uint8(0))[:, :, None]
