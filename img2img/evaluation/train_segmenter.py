"""Trains the segmenter of ``--train-segmenter`` on the real photos of a run's set and their class maps.

Cross-entropy, AdamW, a rate that falls as a polynomial (Chen et al., arXiv 1606.00915, Sec. 4.1), photos scaled,
cropped, mirrored and tinted by chance. Everything random is keyed, so that one set gives one segmenter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.utils.data import Dataset
from tqdm import tqdm

from img2img.data.label_files import resize_ids
from img2img.data.loader import KeyedBatches, keyed_loader, to_device
from img2img.data.transforms import keyed_seed
from img2img.evaluation.class_maps import LabelledPhotos
from img2img.evaluation.segmentation import METADATA, Segmenter, own_network

BATCH_SIZE = 8
CROP = 256  # side in pixels, or the photos' own where that is less
RATE, POWER = 1e-3, 0.9
NONE = 255  # of the K classes, while they are 8 bits; so many there may be


def train_segmenter(
    photos: LabelledPhotos, steps: int, path: Path, device: torch.device | str = "cpu", workers: int = 0
) -> Segmenter:
    """Trains on ``photos``, writes the network to ``path`` (safetensors) and returns it.

    Raises:
        ValueError: as ``photos``; or the file can't be written.
    """
    ids = sorted(photos.maps.scored)
    if len(ids) > NONE:
        raise ValueError(f"--train-segmenter: {len(ids)} classes; it can tell {NONE} apart, which --classes may choose")
    if steps < 1:
        raise ValueError(f"--segmenter-steps {steps}: must be at least 1")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = own_network(len(ids))
    network.to(device).train()
    crops = _Crops(photos, ids, network.stride)
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    batches = KeyedBatches(len(photos), BATCH_SIZE, 0, steps * BATCH_SIZE)
    loader = keyed_loader(crops, batches, workers, pin_memory=torch.device(device).type == "cuda")
    print(f"segmenter   {steps} steps of {BATCH_SIZE} crops of {len(photos)} photos, {len(ids)} classes")
    bar = tqdm(loader, "segmenter", unit="step", disable=None)
    for step, batch in enumerate(bar):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps) ** POWER
        moved = to_device(batch, device)
        if (batch["label"] == NONE).all():  # none of these crops shows a class that counts: a mean over nothing
            continue
        loss = F.cross_entropy(network(moved["photo"]), moved["label"][:, 0].long(), ignore_index=NONE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    _write(path, weights, {"ids": ids, "width": crops.width})
    return Segmenter(network, ids, str(path), crops.width, network.stride, False, device)


class _Crops(Dataset[dict]):
    """``crops[epoch, index]``: parts of a photo and its map, ``photo`` (h, w, 3) uint8 and ``label`` (h, w, 1) int32,
    places among the ids, or ``NONE``.
    """

    def __init__(self, photos: LabelledPhotos, ids: list[int], stride: int) -> None:
        self.photos, self.ids = photos, np.array(ids)
        height, width = photos[0]["photo"].shape[:2]
        self.width = width
        high, wide = (-(-min(CROP, side) // stride) * stride for side in (height, width))
        pad = {"border_mode": cv2.BORDER_CONSTANT, "fill": 0, "fill_mask": NONE}
        self.compose = A.Compose(
            [
                A.RandomScale((-0.25, 0.25), mask_interpolation=cv2.INTER_NEAREST_EXACT),
                A.PadIfNeeded(high, wide, **pad),
                A.RandomCrop(high, wide),
                A.HorizontalFlip(),
                A.ColorJitter((0.7, 1.3), (0.7, 1.3), (0.7, 1.3), (-0.02, 0.02)),
            ]
        )

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        found = self.photos[key[1]]
        photo, label = found["photo"], found["label"]
        if photo.shape[:2] != label.shape:  # a folder's maps may be larger
            label = resize_ids(label, *photo.shape[:2])
        place = np.searchsorted(self.ids, label).clip(max=len(self.ids) - 1)
        places = np.where(self.ids[place] == label, place, NONE).astype(np.uint8)
        self.compose.set_random_seed(keyed_seed(*key))
        out = self.compose(image=photo, mask=places)
        label = out["mask"][:, :, None].astype(np.int32)
        return {"photo": out["image"], "label": label, "name": found["name"], "skipped": []}


def _write(path: Path, weights: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, aside, {METADATA: json.dumps(about)})
        aside.replace(path)
    except (OSError, SafetensorError) as error:  # the latter of a full disk
        aside.unlink(missing_ok=True)
        raise ValueError(f"{path}: can't be written ({getattr(error, 'strerror', None) or error})") from error
