"""The FCN-score: compares what a segmentation network predicts for generated images with their label maps.

Isola et al., arXiv 1611.07004, Sec. 4.1: a network trained on real photos labels realistic images correctly. pix2pix
and CycleGAN used FCN-8s trained on Cityscapes, pix2pixHD PSPNet. Scores of different networks are not comparable;
compare with the score of the real photos by the same network. Outputs that are colour-coded label maps (photo to
labels) need no network: their colours are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageSet, Metric, SetStatistics
from img2img.evaluation.fcn.confusion import Confusion

TITLES = {"pixel_accuracy": "pixel accuracy", "class_accuracy": "class accuracy", "mean_iou": "mean IoU"}
CLASSES = "classes.csv"


class FCNScore(Metric):
    """Pixel accuracy, class accuracy and mean IoU of the images; as ``real_...`` of their targets, if any."""

    name = "fcn"
    titles = TITLES | {f"real_{name}": f"{title} of the real images" for name, title in TITLES.items()}
    needs_class_maps = True
    files = (CLASSES,)
    value_name = "pixel_accuracy"

    def begin(self, image_set: ImageSet, networks: FeatureNetworks) -> None:
        super().begin(image_set, networks)
        reader = image_set.class_reader or networks.segmenter
        if reader is None:
            raise ValueError("fcn: no segmentation network; use --segmenter or --train-segmenter")
        self.reader, self.photos = reader, image_set.class_reader is None
        classes = [number for number in reader.classes if number in (image_set.eval_classes or reader.classes)]
        if not classes:
            raise ValueError("fcn: the segmentation network predicts none of the classes to evaluate; see --classes")
        self.made, self.real = Confusion(classes), Confusion(classes)

    def update(self, batch: ImageBatch) -> None:
        for record, shown in zip(batch.records, batch.shown, strict=True):
            ids = record.class_map
            if ids is None:
                raise ValueError(f"fcn: {record.name} has no label map; name a folder of them with --labels")
            predicted = self._predict(record.image, ids)
            self.values.append(self.made.add(ids, predicted))
            if record.target is not None and self.photos:
                self.real.add(ids, self._predict(record.target, ids))
            shown |= {"predicted": self._colours(predicted), "ground truth": self._colours(ids)}

    def compute(self, made: SetStatistics, real: SetStatistics) -> dict[str, float]:
        real_scores = self.real.scores() if self.real.counts.any() else {}
        self.details = {"recognised_by": self.reader.title, "classes": self.made.ids.tolist()}
        return self.made.scores() | {f"real_{name}": value for name, value in real_scores.items()}

    def rows(self) -> dict[str, str]:
        return {"recognised by": f"{self.reader.title}, {len(self.made.ids)} classes"}

    def tables(self, image_set: ImageSet) -> dict[str, tuple[Sequence[str], list[Sequence[object]]]]:
        """classes.csv: pixels, accuracy and IoU of each class; empty cells where a value is NaN."""
        ids, pixels = self.made.ids.tolist(), self.made.counts.sum(axis=1).tolist()
        rows: list[Sequence[object]] = []
        for number, count, *shares in zip(ids, pixels, self.made.accuracies(), self.made.ious(), strict=True):
            name = image_set.class_names.get(number, "")
            rows.append([number, name, count, *("" if share != share else f"{share:.6g}" for share in shares)])
        return {CLASSES: (("id", "name", "pixels", "accuracy", "iou"), rows)}

    def _predict(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Predicted class ids of an image, at the size of its label map ``ids``."""
        from img2img.data.images import eight_bits  # imports torch, see ``base``

        return self.reader(eight_bits(image), (ids.shape[0], ids.shape[1]))

    def _colours(self, ids: np.ndarray) -> np.ndarray:
        """Class ids (H, W) as an image (H, W, 3) uint8; ignored classes are black."""
        import torch

        from img2img.data.images import to_array
        from img2img.networks.labels import colour_labels

        evaluated = np.where(np.isin(ids, self.made.ids), ids, -1)
        return to_array(colour_labels(torch.from_numpy(evaluated)[None, None])[0], np.uint8)
