"""``LabelTranslator``: a trained run as a function from label map to image (pix2pixHD, arXiv 1711.11585)."""

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


class LabelTranslator(Translator):
    """A trained run as a function: ``translator(label, instances=..., photo=...)`` returns an image.

    ::

        import numpy as np
        from img2img import load_translator
        from PIL import Image

        label, instance = np.array(Image.open("label.png")), np.array(Image.open("instance.png"))
        translate = load_translator("runs/coarse")
        image = translate(label, instances=instance)  # (H, W) integer ids -> (H, W, C) uint8
        translate = load_translator("runs/city").styled("random")  # a run with an encoder of styles
        image = translate(label, seed=3, instances=instance)

    Arguments of the constructor as of ``Translator``. ``training_size`` resizes ids by nearest neighbour.
    """

    style: Style | None = None
    moves: Mapping[int, int] = {}  # classes to relabel

    def styled(self, style: str | None = None, relabel: str | None = None) -> LabelTranslator:
        """A translator of the same networks with a style (see ``Style``) and class edits (see ``parse_relabel``).

        Raises:
            ValueError: the run has no encoder of styles, or the style or the edits are invalid.
        """
        other = copy.copy(self)  # the networks are shared
        if style is not None:
            if not encodes(self):
                raise ValueError(
                    f"--style {style}: run {self.config.name} has no encoder; it was trained without "
                    "model.instance_features"
                )
            other.style = Style(style, self)
        if relabel is not None:
            other.moves = parse_relabel(relabel, Classes(self.config.data))
        return other

    @property
    def data(self) -> LabelledConfig:
        """The options of the run's data set."""
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
        """Translates one label map.

        Args:
            label: class ids, (H, W) integers.
            seed: seed of dropout, noise and a random style. The same seed gives the same output.
            instances: instance ids, (H, W) integers; needed if the run was trained with instance maps.
            photo: an image (H, W, C) of any size whose style the output takes, instance by instance, if the run has
                an encoder. It is resized to the label map. Ignored if a style was chosen by ``styled``.

        Returns:
            (H, W, C) uint8.

        Raises:
            ValueError: ids are out of range, the maps differ in size, a map or style that the run needs is missing, or
                the style names an instance that the maps don't have.
        """
        maps = {"label": _ids(label, "label")}
        if "instance" in self.config.data.channels:
            if instances is None:
                raise ValueError(f"run {self.config.name} needs instance maps: give the label map's (--instances)")
            maps["instance"] = _ids(instances, "instances")
            if maps["instance"].shape != maps["label"].shape:
                raise ValueError(
                    f"the label map is {_size(maps['label'])}, but its instance map {_size(maps['instance'])}"
                )
        self._check_range(maps["label"])
        maps["label"] = np.where(maps["label"] == self.data.ignore_id, -1, maps["label"])
        maps = self._edited(maps)
        if self.style is not None:
            self.style.check(maps["label"][:, :, 0], maps["instance"][:, :, 0])
        height, width = sides = maps["label"].shape[:2]
        if self.training_size:
            from img2img.data.transforms import jitter

            transform = jitter(self.config.data, augment=False)
            height, width = transform.resized(*sides)
            maps = {key: resize_ids(ids, height, width) for key, ids in maps.items()}
        if encodes(self):
            maps |= self._style_features(maps, photo if self.style is None else self.style.photo, seed)
        generated, _ = self.generate(maps, seed)
        output = to_array(generated, np.uint8)
        return resize(output, *sides) if self.training_size else output

    def translate(self, item: Item, seed: int = 0) -> np.ndarray:
        """The output for one item, (H, W, C) uint8, in the style of its ``target`` unless another style was chosen."""
        maps = {key: item.inputs[key][:, :, 0] for key in ("label", "instance") if key in item.inputs}
        return self(maps["label"], seed, instances=maps.get("instance"), photo=item.target)

    def _translate(self, item: Item, state: Batch, seed: int) -> tuple[np.ndarray, Batch]:
        return self.translate(item, seed), {}

    def show(self, item: Item) -> np.ndarray:
        label = torch.from_numpy(self._edited(item.inputs)["label"])
        return to_array(colour_labels(label.permute(2, 0, 1)[None])[0], np.uint8)

    def _style_features(
        self, maps: Mapping[str, np.ndarray], photo: np.ndarray | None, seed: int
    ) -> dict[str, np.ndarray]:
        """The generator's input of style features, (H, W, n_features): those of the chosen style, or of a photo."""
        label, instance = (maps[key][:, :, 0] for key in ("label", "instance"))
        if photo is not None:
            photo = resize(to_channels(photo, self.channels[1]), *label.shape)
        encoded = None if photo is None else encode(self, photo, maps["instance"])
        if self.style is not None:
            return {"features": self.style(label, instance, seed, encoded)}
        if encoded is None:
            raise ValueError(
                f"run {self.config.name} needs a style: use --style random, or --style encode:PHOTO for that of a photo"
            )
        return {"features": encoded}

    def _edited(self, maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The maps after ``--relabel``."""
        if not self.moves:
            return dict(maps)
        label, instance = relabel(maps["label"], maps.get("instance"), self.moves)
        return {**maps, "label": label, **({} if instance is None else {"instance": instance})}

    def _check_range(self, label: np.ndarray) -> None:
        num_classes, ignored = self.data.label_nc, self.data.ignore_id
        unknown = np.setdiff1d(label, [*range(num_classes), ignored, -1])
        if unknown.size:
            raise ValueError(
                f"label map with id {unknown[0]}: the run was trained with ids 0 to {num_classes - 1} and {ignored} "
                "(ignored)"
            )


def _ids(ids: np.ndarray | Image.Image, name: str) -> np.ndarray:
    """Checked ids, (H, W) -> (H, W, 1) int32."""
    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} of shape {array.shape} and dtype {array.dtype}: pass integer ids of shape (H, W)")
    return array.astype(np.int32)[:, :, None]


def _size(ids: np.ndarray) -> str:
    return f"{ids.shape[1]}x{ids.shape[0]}"
