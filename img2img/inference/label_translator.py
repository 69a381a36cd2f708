"""A trained run of label maps as a function from scene to picture (pix2pixHD, arXiv 1711.11585)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2img.data.folder import list_images
from img2img.data.images import resize, to_array, to_channels
from img2img.data.label_files import read_ids, resize_ids, scene_name
from img2img.inference.label_edits import Classes, parse_relabel, relabel
from img2img.inference.styles import Style, encode, encodes
from img2img.inference.translator import Translator
from img2img.networks.labels import colour_labels

LABELS, INSTANCES = "_labelIds", "_instanceIds"  # how the names of Cityscapes' files end


class SceneTranslator(Translator):
    """``translate(label, instances=..., photo=...) -> picture``: class ids (H, W) in, (H, W, C) uint8 out, of any size.

    Args:
        As Translator. ``training_size`` scales ids to their nearest neighbours.
    """

    style: Style | None = None
    moves: Mapping[int, int] = {}  # classes to relabel

    def styled(self, style: str | None = None, relabel: str | None = None) -> SceneTranslator:
        """The same run's translator with a style, as ``Style`` has it, and edits of each scene, "24:26,car:tree".

        Raises:
            ValueError: a style of a run that has no encoder, or as Style and parse_relabel.
        """
        other = copy.copy(self)  # the networks are shared
        if style is not None:
            if not encodes(self):
                raise ValueError(f"--style {style}: run {self.config.name} has no encoder (model.instance_features)")
            other.style = Style(style, self)
        if relabel is not None:
            other.moves = parse_relabel(relabel, Classes(self.config.data))
        return other

    @property
    def draws(self) -> bool:
        return self.dropout or (self.style is not None and self.style.random)

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
            seed: as Translator has it, and of a random style.
            instances: instance ids, (H, W) integers, where the run learnt from such.
            photo: (H, W, C) of any size, whose styles the scene takes, instance by instance, where the run has an
                encoder of styles. It is resized to the scene. A style of ``styled`` precedes it.

        Raises:
            ValueError: ids out of range, maps of different sizes, a map or photo that the run needs is missing, or the
                style names an instance that is not there.
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
        given = self._edited(given)
        if self.style is not None:
            self.style.check(given["label"][:, :, 0], given["instance"][:, :, 0])
        height, width = sides = given["label"].shape[:2]
        if self.training_size:
            from img2img.data.transforms import jitter

            transform = jitter(self.config.data, augment=False)
            height, width = transform.resized(*sides)
            given = {key: resize_ids(ids, height, width) for key, ids in given.items()}
        if encodes(self):
            given |= self._look(given, photo if self.style is None else self.style.photo, seed)
        answer = to_array(self.answer(given, seed), np.uint8)
        return resize(answer, *sides) if self.training_size else answer

    def given(self, pictures: Any, index: int) -> dict[str, np.ndarray]:
        return pictures.scene(index)

    def translate(self, given: Mapping[str, np.ndarray], seed: int = 0) -> np.ndarray:
        maps = {key: given[key][:, :, 0] for key in ("label", "instance") if key in given}
        return self(maps["label"], seed, instances=maps.get("instance"), photo=given.get("target"))

    def show(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        label = torch.from_numpy(self._edited(given)["label"])
        return to_array(colour_labels(label.permute(2, 0, 1)[None])[0], np.uint8)

    def read(self, path: Path, instances: Path | None = None) -> dict[str, np.ndarray]:
        given = {"label": read_ids(path)[:, :, None]}
        if self.config.data.instances:
            beside = path.with_name(f"{path.stem.removesuffix(LABELS)}{INSTANCES}{path.suffix}")
            if instances is not None:
                beside = _companion(path, instances)
            elif not path.stem.endswith(LABELS) or not beside.is_file():
                raise ValueError(f"run {self.config.name} sees instance maps: give them by --instances FILE|DIR")
            given["instance"] = read_ids(beside)[:, :, None]
        return given

    def inputs(self, files: list[Path]) -> list[Path]:
        """Of Cityscapes' own folders the label maps alone, beside which a scene's instances and colours lie."""
        scenes = {(path.parent, scene_name(path.stem)) for path in files if path.stem.endswith(LABELS)}
        return [p for p in files if p.stem.endswith(LABELS) or (p.parent, scene_name(p.stem)) not in scenes]

    def _look(self, given: Mapping[str, np.ndarray], photo: np.ndarray | None, seed: int) -> dict[str, np.ndarray]:
        """What tells the model how a scene looks: the features of the style, or of the photo."""
        label, instance = (given[key][:, :, 0] for key in ("label", "instance"))
        if photo is not None:
            photo = resize(to_channels(photo, self.channels[1]), *label.shape)
        encoded = None if photo is None else encode(self, photo, given["instance"])
        if self.style is not None:
            return {"features": self.style(label, instance, seed, encoded)}
        if encoded is None:
            raise ValueError(
                f"run {self.config.name} draws in a style: choose one (--style random, or encode:PHOTO for a photo's)"
            )
        return {"features": encoded}

    def _edited(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not self.moves:
            return dict(given)
        label, instance = relabel(given["label"], given.get("instance"), self.moves)
        return {**given, "label": label, **({} if instance is None else {"instance": instance})}

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
    scene = scene_name(path.stem)
    found = [p for p in list_images(other) if scene_name(p.stem) == scene and not p.samefile(path)]
    if len(found) > 1:  # Cityscapes' own folders hold colours, labels and instances side by side
        found = [p for p in found if p.stem.endswith(INSTANCES)]
    if len(found) != 1:
        raise ValueError(f"--instances {other}: {len(found)} files for {path.name}; one is needed")
    return found[0]


def _ids(ids: np.ndarray | Image.Image, what: str) -> np.ndarray:
    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(f"{what} of shape {array.shape} and type {array.dtype}: give integer ids (H, W)")
    return array.astype(np.int32)[:, :, None]


def _size(ids: np.ndarray) -> str:
    return f"{ids.shape[1]}x{ids.shape[0]}"
