"""Trains the segmentation network of ``--train-segmenter`` on the photos of a run's data set and their label maps.

Cross-entropy, AdamW, polynomial learning rate (Chen et al., arXiv 1606.00915, Sec. 4.1). Augmentation: scale, crop,
flip, colour jitter. All randomness is seeded: the same data gives the same network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from img2img.checkpoint import require_writable, write_network
from img2img.data.label_files import resize_ids
from img2img.data.loader import BatchReader, KeyedBatches, keyed_loader, to_device
from img2img.data.transforms import keyed_seed
from img2img.evaluation.fcn.class_maps import LabelledPhotos
from img2img.evaluation.fcn.confusion import class_indices
from img2img.evaluation.fcn.segmenter import METADATA, STRIDE, Segmenter, SegmenterInfo, unet_segmenter

BATCH_SIZE = 8
CROP = 256  # height and width of crops in pixels; that of the photos if smaller
RATE, POWER = 1e-3, 0.9  # learning rate at the first step, and power of its polynomial decay
SIZE_SAMPLES = 9  # number of photos whose median size limits the crops
IGNORED = 255  # index of ignored pixels in 8-bit targets, and so the largest number of classes


def train_segmenter(
    photos: LabelledPhotos, steps: int, path: Path, device: torch.device | str = "cpu", workers: int = 0
) -> Segmenter:
    """Trains a network, writes it to a file and returns it.

    Args:
        photos: training photos with label maps.
        steps: number of steps, each with a batch of 8 crops.
        path: file to write (safetensors).
        device: device of the training.
        workers: processes that read the photos.

    Raises:
        ValueError: as ``LabelledPhotos``; no pixel has an evaluated class; or the file can't be written, which is
            tested before training.
    """
    maps, ids = photos.maps, sorted(photos.maps.eval_classes)
    if len(ids) > IGNORED:
        raise ValueError(
            f"--train-segmenter: {len(ids)} classes, at most {IGNORED} are possible; choose with --classes"
        )
    require_writable(path)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = unet_segmenter(len(ids))
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    batches = KeyedBatches(len(photos), BATCH_SIZE, 0, steps * BATCH_SIZE)
    pinned = torch.device(device).type == "cuda"
    loader = keyed_loader(_Crops(photos, ids), batches, workers, pin_memory=pinned)
    print(f"segmenter   {steps} steps of {BATCH_SIZE} crops of {len(photos)} photos, {len(ids)} classes")
    sizes: set[tuple[int, int]] = set()
    seen = torch.zeros(len(ids), dtype=torch.bool)
    with BatchReader(loader) as reader:
        bar = tqdm(reader, "segmenter", total=steps, unit="step", disable=None)
        for step, batch in enumerate(bar):
            sizes |= set(zip(batch["height"].tolist(), batch["width"].tolist(), strict=True))
            present = batch["label"].unique()
            present = present[present != IGNORED]
            seen[present.long()] = True
            if not len(present):  # all pixels are ignored: the mean loss would be NaN
                continue
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps) ** POWER
            tensors = to_device(batch, device)
            loss = F.cross_entropy(network(tensors["photo"]), tensors["label"][:, 0].long(), ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
    if not seen.any():
        raise ValueError(f"--train-segmenter: no pixel of the label maps has a class that is evaluated ({ids})")
    unseen = [maps.names.get(ids[index], ids[index]) for index in (~seen).nonzero().flatten().tolist()]
    if unseen:
        print(f"segmenter   no training pixels of {', '.join(str(name) for name in unseen)}")
    info = SegmenterInfo(tuple(ids), sizes.pop() if len(sizes) == 1 else None, maps.count, maps.names)
    write_network(path, network.state_dict(), {METADATA: info.to_json()})
    return Segmenter(network, ids, str(path), info, device)


class _Crops(Dataset[dict]):
    """Augmented crops: ``crops[epoch, index]``.

    A sample has ``photo`` (h, w, 3) uint8; ``label`` (h, w, 1) int32, indices into ``ids`` or ``IGNORED``; and
    ``height`` and ``width`` of the whole photo. h and w are multiples of ``STRIDE``.
    """

    def __init__(self, photos: LabelledPhotos, ids: list[int]) -> None:
        self.photos, self.ids = photos, np.array(ids)
        indices = sorted({i * len(photos) // SIZE_SAMPLES for i in range(SIZE_SAMPLES)})
        shapes = [photos[i]["photo"].shape for i in indices]
        median = (int(np.median([shape[axis] for shape in shapes])) for axis in (0, 1))
        height, width = (-(-min(CROP, side) // STRIDE) * STRIDE for side in median)
        pad = {"border_mode": cv2.BORDER_CONSTANT, "fill": 0, "fill_mask": IGNORED}
        self.compose = A.Compose(
            [
                A.RandomScale((-0.25, 0.25), mask_interpolation=cv2.INTER_NEAREST_EXACT),
                A.PadIfNeeded(height, width, **pad),
                A.RandomCrop(height, width),
                A.HorizontalFlip(),
                A.ColorJitter((0.7, 1.3), (0.7, 1.3), (0.7, 1.3), (-0.02, 0.02)),
            ]
        )

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        sample = self.photos[key[1]]
        photo, label = sample["photo"], sample["label"]
        height, width = photo.shape[:2]
        if label.shape != (height, width):  # label maps of a folder may be larger
            label = resize_ids(label, height, width)
        indices = class_indices(label, self.ids)
        target = np.where(indices < len(self.ids), indices, IGNORED).astype(np.uint8)
        self.compose.set_random_seed(keyed_seed(*key))
        augmented = self.compose(image=photo, mask=target)
        label = augmented["mask"][:, :, None].astype(np.int32)
        info = {"height": height, "width": width, "name": sample["name"], "skipped": []}
        return {"photo": augmented["image"], "label": label, **info}
