"""A trained run of label maps as a function from scene to image (pix2pixHD, arXiv 1711.11585)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from img2img.data.base import Item
from img2img.data.images import resize, to_array, to_channels
from img2img.data.label_files import resize_ids
from img2img.data.labelled import LabelledConfig
from img2img.inference.label_edits import Classes, parse_relabel, relabel
from img2img.inference.styles import Style, encode, encodes
from img2img.inference.translator import Translator
from img2img.models.base import Batch
from img2img.networks.labels import colour_labels


class SceneTranslator(Translator):
    """``translate(label, instances=..., photo=...) -> image``: class ids (H, W) in, (H, W, C) uint8 out, of any size.

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
    def data(self) -> LabelledConfig:
        """The options of its data set."""
        assert isinstance(self.config.data, LabelledConfig)
        return self.config.data

    @property
    def draws(self) -> bool:
        return super().draws or (self.style is not None and self.style.random)

    def __call__(  # type: ignore[override]
        self,
        label: np.ndarray | Image.Image,
        seed: int = 0,
        *,
        instances: np.ndarray | Image.Image | None = None,
        photo: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draws the image of one scene.

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
        if "instance" in self.config.data.channels:
            if instances is None:
                raise ValueError(f"run {self.config.name} sees instance maps: give the label's (--instances)")
            given["instance"] = _ids(instances, "instances")
            if given["instance"].shape != given["label"].shape:
                raise ValueError(
                    f"the label map is {_size(given['label'])} but its instance map {_size(given['instance'])}"
                )
        self._check_range(given["label"])
        given["label"] = np.where(given["label"] == self.data.ignore_id, -1, given["label"])
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
        output, _ = self.answer(given, seed)
        answer = to_array(output, np.uint8)
        return resize(answer, *sides) if self.training_size else answer

    def translate(self, item: Item, seed: int = 0) -> np.ndarray:
        """A scene in the style of its own photo, its ``target``, unless another one is chosen."""
        maps = {key: item.inputs[key][:, :, 0] for key in ("label", "instance") if key in item.inputs}
        return self(maps["label"], seed, instances=maps.get("instance"), photo=item.target)

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        return self.translate(item, seed), {}

    def show(self, item: Item) -> np.ndarray:
        label = torch.from_numpy(self._edited(item.inputs)["label"])
        return to_array(colour_labels(label.permute(2, 0, 1)[None])[0], np.uint8)

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
        top, ignored = self.data.label_nc, self.data.ignore_id
        strange = np.setdiff1d(label, [*range(top), ignored, -1])
        if strange.size:
            raise ValueError(
                f"id {strange[0]} of a label map is neither in 0..{top - 1} nor {ignored}, as training had it"
            )


def _ids(ids: np.ndarray | Image.Image, what: str) -> np.ndarray:
    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(f"{what} of shape {array.shape} and type {array.dtype}: give integer ids (H, W)")
    return array.astype(np.int32)[:, :, None]


def _size(ids: np.ndarray) -> str:
    return f"{ids.shape[1]}x{ids.shape[0]}"
