"""A trained run of label maps as a function from scene to picture (pix2pixHD, arXiv 1711.11585)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2img.data.images import read_image, resize, to_array, to_channels
from img2img.data.label_files import read_ids, scene_name
from img2img.inference.translator import Translator
from img2img.networks.labels import colour_labels


class SceneTranslator(Translator):
    """``translate(label, instances=..., photo=...) -> picture``: class ids (H, W) in, (H, W, C) uint8 out, of any size.

    Args:
        As Translator. ``training_size`` scales ids to their nearest neighbours.
    """

    def __call__(  # type: ignore[override]
        self,
        label: np.ndarray | Image.Image,
        seed: int = 0,
        *,
        instances: np.ndarray | Image.Image | None = None,
        photo: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draws the picture of one scene.

        Args:
            label: class ids, (H, W) integers.
            seed: as Translator has it.
            instances: instance ids, (H, W) integers, where the run learnt from such.
            photo: (H, W, C) of any size, whose styles the scene takes, instance by instance, where the run has an
                encoder of styles. It is resized to the scene.

        Raises:
            ValueError: ids out of range, maps of different sizes, or a map or photo that the run needs is missing.
        """
        given = {"label": _ids(label, "label")}
        if self.config.data.instances:
            if instances is None:
                raise ValueError(f"run {self.config.name} sees instance maps: give the label's (--instances)")
            given["instance"] = _ids(instances, "instances")
            if given["instance"].shape != given["label"].shape:
                raise ValueError(
                    f"the label map is {_size(given['label'])} but its instance map {_size(given['instance'])}"
                )
        self._check_range(given["label"])
        given["label"] = np.where(given["label"] == self.config.data.ignore_id, -1, given["label"])
        height, width = sides = given["label"].shape[:2]
        if self.training_size:
            from img2img.data.transforms import jitter

            transform = jitter(self.config.data, augment=False)
            height, width = transform.resized(*sides)
            given = {key: _nearest(ids, height, width) for key, ids in given.items()}
        if self.encodes:
            if photo is None:
                raise ValueError(
                    f"run {self.config.name} draws in the style of a photo: give one (--style encode:PHOTO)"
                )
            given["target"] = resize(to_channels(photo, self.channels[1]), height, width)
        answer = to_array(self.answer(given, seed), np.uint8)
        return resize(answer, *sides) if self.training_size else answer

    @property
    def encodes(self) -> bool:
        """Whether the run has an encoder of styles."""
        return "encoder" in self.model.generators

    def given(self, pictures: Any, index: int) -> dict[str, np.ndarray]:
        return pictures.scene(index)

    def translate(self, given: Mapping[str, np.ndarray], seed: int = 0) -> np.ndarray:
        maps = {key: given[key][:, :, 0] for key in ("label", "instance") if key in given}
        return self(maps["label"], seed, instances=maps.get("instance"), photo=given.get("target"))

    def show(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        return to_array(colour_labels(torch.from_numpy(given["label"]).permute(2, 0, 1)[None])[0], np.uint8)

    def read(self, path: Path, instances: Path | None = None, style: str | None = None) -> dict[str, np.ndarray]:
        given = {"label": read_ids(path)[:, :, None]}
        if self.config.data.instances:
            if instances is None:
                raise ValueError(f"run {self.config.name} sees instance maps: give them by --instances FILE|DIR")
            given["instance"] = read_ids(_companion(path, instances))[:, :, None]
        if style is not None:
            kind, _, photo = style.partition(":")
            if kind != "encode" or not photo:
                raise ValueError(f"--style {style}: encode:PHOTO takes the styles of a photo")
            if not self.encodes:
                raise ValueError(f"--style {style}: run {self.config.name} has no encoder (model.instance_features)")
            given["target"] = read_image(Path(photo), self.channels[1])
        return given

    def _check_range(self, label: np.ndarray) -> None:
        top, ignored = self.config.data.label_nc, self.config.data.ignore_id
        strange = np.setdiff1d(label, [*range(top), ignored, -1])
        if strange.size:
            raise ValueError(
                f"id {strange[0]} of a label map is neither in 0..{top - 1} nor {ignored}, as training had it"
            )


def _companion(path: Path, other: Path) -> Path:
    """The file that belongs to ``path``: ``other`` itself, or the one of the same scene in that folder."""
    if not other.is_dir():
        return other
    found = [p for p in sorted(other.iterdir()) if scene_name(p.stem) == scene_name(path.stem)]
    if len(found) != 1:
        raise ValueError(f"--instances {other}: {len(found)} files for {path.name}; one is needed")
    return found[0]


def _ids(ids: np.ndarray | Image.Image, what: str) -> np.ndarray:
    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(f"{what} of shape {array.shape} and type {array.dtype}: give integer ids (H, W)")
    return array.astype(np.int32)[:, :, None]


def _nearest(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 1) -> (height, width, 1): of each pixel's middle."""
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[rows][:, columns]


def _size(ids: np.ndarray) -> str:
    return f"{ids.shape[1]}x{ids.shape[0]}"
