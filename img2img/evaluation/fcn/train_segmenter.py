"""Trains the segmenter of ``--train-segmenter`` on the real photos of a run's set and their class maps.

Cross-entropy, AdamW, a rate that falls as a polynomial (Chen et al., arXiv 1606.00915, Sec. 4.1), photos scaled,
cropped, mirrored and tinted by chance. Everything random is keyed, so that one set gives one segmenter.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch.utils.data import Dataset
from tqdm import tqdm

from img2img.checkpoint import write_weights
from img2img.data.label_files import resize_ids
from img2img.data.loader import BatchReader, KeyedBatches, keyed_loader, to_device
from img2img.data.transforms import keyed_seed
from img2img.evaluation.fcn.class_maps import LabelledPhotos
from img2img.evaluation.fcn.confusion import places
from img2img.evaluation.fcn.segmenter import METADATA, STRIDE, About, Segmenter, own_network

BATCH_SIZE = 8
CROP = 256  # side in pixels, or the photos' own where that is less
RATE, POWER = 1e-3, 0.9
LOOKED_AT = 9  # photos that tell the size of the crops
NONE = 255  # of the K classes, while they are 8 bits; so many there may be


def train_segmenter(
    photos: LabelledPhotos, steps: int, path: Path, device: torch.device | str = "cpu", workers: int = 0
) -> Segmenter:
    """Trains on ``photos``, writes the network to ``path`` (safetensors) and returns it.

    Raises:
        ValueError: as ``photos``; no photo shows a class that counts; the file can't be written, which is tried first.
    """
    maps, ids = photos.maps, sorted(photos.maps.scored)
    if len(ids) > NONE:
        raise ValueError(f"--train-segmenter: {len(ids)} classes; it can tell {NONE} apart, which --classes may choose")
    _probe(path)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = own_network(len(ids))
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
            there = batch["label"].unique()
            there = there[there != NONE]
            seen[there.long()] = True
            if not len(there):  # none of these crops shows a class that counts: a mean over nothing
                continue
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps) ** POWER
            moved = to_device(batch, device)
            loss = F.cross_entropy(network(moved["photo"]), moved["label"][:, 0].long(), ignore_index=NONE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
    if not seen.any():
        raise ValueError(f"--train-segmenter: no pixel of the photos' class maps is of a class that counts ({ids})")
    unseen = [maps.names.get(ids[place], ids[place]) for place in (~seen).nonzero().flatten().tolist()]
    if unseen:
        print(f"segmenter   has seen nothing of {', '.join(str(name) for name in unseen)}")
    about = About(tuple(ids), sizes.pop() if len(sizes) == 1 else None, maps.count, maps.names)
    aside = path.with_name(f".{path.name}.part")
    try:
        write_weights(aside, network.state_dict(), {METADATA: about.to_json()})
        aside.replace(path)
    except (OSError, SafetensorError) as error:  # the latter of a full disk
        aside.unlink(missing_ok=True)
        raise ValueError(f"{path}: can't be written ({getattr(error, 'strerror', None) or error})") from error
    return Segmenter(network, ids, str(path), about, device)


def _probe(path: Path) -> None:
    """Raises ValueError if a file can't be written, before the work of minutes that makes it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise OSError(None, "a folder of that name")
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error


class _Crops(Dataset[dict]):
    """``crops[epoch, index]``: parts of a photo and its map, ``photo`` (h, w, 3) uint8 and ``label`` (h, w, 1) int32,
    places among the ids, or ``NONE``; and the whole photo's ``height`` and ``width``.
    """

    def __init__(self, photos: LabelledPhotos, ids: list[int]) -> None:
        self.photos, self.ids = photos, np.array(ids)
        some = [photos[i]["photo"].shape for i in sorted({i * len(photos) // LOOKED_AT for i in range(LOOKED_AT)})]
        usual = (int(np.median([shape[side] for shape in some])) for side in (0, 1))
        high, wide = (-(-min(CROP, side) // STRIDE) * STRIDE for side in usual)
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
        height, width = photo.shape[:2]
        if label.shape != (height, width):  # a folder's maps may be larger
            label = resize_ids(label, height, width)
        found_at = places(label, self.ids)
        targets = np.where(found_at < len(self.ids), found_at, NONE).astype(np.uint8)
        self.compose.set_random_seed(keyed_seed(*key))
        out = self.compose(image=photo, mask=targets)
        label = out["mask"][:, :, None].astype(np.int32)
        told = {"height": height, "width": width, "name": found["name"], "skipped": []}
        return {"photo": out["image"], "label": label, **told}
