"""The FCN-score: how well a segmentation network recognises in made images what their class maps say.

Isola et al., arXiv 1611.07004, Sec. 4: what looks real is taken for what it shows by a network that knows only real
photos. pix2pix and CycleGAN used FCN-8s of Cityscapes, pix2pixHD PSPNet: figures of two networks don't compare, and
those of the real photos, by the same network, say how to read them. Images that are painted class maps themselves, as
those of photo to labels, are read by their colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageSet, Metric, SetStatistics
from img2img.evaluation.fcn.confusion import Confusion

TITLES = {"pixel_accuracy": "pixel accuracy", "class_accuracy": "class accuracy", "mean_iou": "mean IoU"}
CLASSES = "classes.csv"


class FCNScore(Metric):
    """Pixel accuracy, class accuracy and mean IoU of the made images, and as ``real_...`` of their targets."""

    name = "fcn"
    titles = TITLES | {f"real_{name}": f"{title} of the real ones" for name, title in TITLES.items()}
    needs_class_maps = True
    files = (CLASSES,)
    value_name = "pixel_accuracy"

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        super().begin(image_set, networks)
        reader = image_set.painted or networks.segmenter
        if reader is None:
            raise ValueError("fcn: needs a segmenter: name one, or train one")
        self.reader, self.photos = reader, image_set.painted is None
        scored = [number for number in reader.scored if number in (image_set.scored or reader.scored)]
        if not scored:
            raise ValueError("fcn: the segmenter can tell none of the classes that count; choose others")
        self.made, self.real = Confusion(scored), Confusion(scored)

    def update(self, batch: ImageBatch) -> None:
        for record, shown in zip(batch.records, batch.shown, strict=True):
            ids = record.class_map
            if ids is None:
                raise ValueError(f"fcn: {record.name} has no class map; name a folder of them")
            seen = self._see(record.image, ids)
            self.values.append(self.made.add(ids, seen))
            if record.target is not None and self.photos:
                self.real.add(ids, self._see(record.target, ids))
            shown |= {"seen": self._colours(seen), "classes": self._colours(ids)}

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        of_real = self.real.scores() if self.real.counts.any() else {}
        self.details = {"recognised_by": self.reader.title, "classes": self.made.ids.tolist()}
        return self.made.scores() | {f"real_{name}": value for name, value in of_real.items()}

    def rows(self) -> dict[str, str]:
        return {"recognised by": f"{self.reader.title}, {len(self.made.ids)} classes"}

    def tables(self, image_set: ImageSet) -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:
        """How well each class was recognised; empty where it was not there."""
        ids, pixels = self.made.ids.tolist(), self.made.counts.sum(axis=1).tolist()
        rows: list[Sequence[object]] = []
        for number, count, *shares in zip(ids, pixels, self.made.accuracies(), self.made.ious(), strict=True):
            name = image_set.class_names.get(number, "")
            rows.append([number, name, count, *("" if share != share else f"{share:.6g}" for share in shares)])
        return {CLASSES: (("id", "name", "pixels", "accuracy", "iou"), rows)}

    def _see(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """The classes of an image, at the size of its class map."""
        from img2img.data.images import eight_bits  # and with it torch, see ``base``

        return self.reader(eight_bits(image), (ids.shape[0], ids.shape[1]))

    def _colours(self, ids: np.ndarray) -> np.ndarray:
        """Class ids (H, W) as an image (H, W, 3) uint8; those that don't count are black."""
        import torch

        from img2img.data.images import to_array
        from img2img.networks.labels import colour_labels

        known = np.where(np.isin(ids, self.made.ids), ids, -1)
        return to_array(colour_labels(torch.from_numpy(known)[None, None])[0], np.uint8)
