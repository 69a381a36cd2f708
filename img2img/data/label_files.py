"""Finds and reads label maps, instance maps and photos, in the layout of pix2pixHD's official code (arXiv 1711.11585).

root/train_label/x.png   class ids: one channel of 8 or 16 bits, or a palette, whose indices are the ids
root/train_inst/x.png    instance ids, 8, 16 or 32 bits; in Cityscapes class x 1000 + number, or the class alone
root/train_img/x.jpg     photos

The files of a scene have the same name without the suffix, sub-folders included; in Cityscapes, the same name before
``_gtFine...`` and ``_leftImg8bit``. Pillow decodes the maps, because OpenCV converts palettes to colours and can't read
32 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile
from tqdm import tqdm

from img2img.data.folder import (
    as_dtype,
    by_key,
    other_splits,
    read_headers,
    refuse_unreadable,
    require_partners,
    require_root,
    some,
)
from img2img.data.images import (
    MAX_PIXELS,
    UPRIGHT,
    Header,
    UnreadableImage,
    orientation,
    raw_mode,
    read_header,
    read_image,
    why_unreadable,
)
from img2img.data.transforms import SizeCheck

BAR = 300  # a progress bar is shown when more maps than this are checked
BITS = {"1": 8, "L": 8, "P": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16, "I": 32}  # by Pillow's mode
STRETCHED = {"L;2": 85, "L;4": 17}  # Pillow scales gray of 2 and 4 bits to 0..255 by this factor


class LabelFiles:
    """The scenes of one split: ``len()``, ``name(i)`` and ``read(i)``.

    A scene is a dictionary of ``label`` (H, W) int32, ``instance`` (H, W) int32 if there are instance maps, and
    ``target``, the photo (H, W, C), if there are photos.

    Args:
        root: the set's folder.
        splits: names of the split to look for; the first that exists is used.
        label_nc: number of classes, whose ids are 0..label_nc-1.
        ignore_id: id of pixels without a class.
        instances: whether to read instance maps.
        channels: of the photos; files are converted.
        photos: whether photos are required.
        check: called with (file, height, width) of every scene; raises ValueError for sizes that can't be used.

    Raises:
        ValueError: the folder or split is missing; a file of a scene is missing, unreadable or differs in size; ids are
            out of range. The message names the files.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[str],
        *,
        label_nc: int,
        ignore_id: int = 255,
        instances: bool = True,
        channels: int = 3,
        photos: bool,
        check: SizeCheck | None = None,
    ) -> None:
        self.label_nc, self.ignore_id, self.channels = label_nc, ignore_id, channels
        self.folders = find_folders(Path(root), splits, instances, photos)
        named = {kind: by_key(folder, scene_name) for kind, folder in self.folders.items()}
        for kind in named:
            require_partners((self.folders["label"], named["label"]), (self.folders[kind], named[kind]))
        self.names = sorted(named["label"])
        self.files = {kind: [names[name] for name in self.names] for kind, names in named.items()}
        self.photo_dtype, shallow = self._check_headers(check)
        self.notes = self._check_ids(shallow)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The scene's path below the split's folder, without suffixes such as ``_gtFine_labelIds``."""
        return self.names[index]

    @property
    def photos(self) -> bool:
        """Whether this split has photos."""
        return "target" in self.folders

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Decodes a scene. Raises UnreadableImage for a damaged file."""
        scene = {kind: read_ids(self._path(kind, index)) for kind in self.folders if kind != "target"}
        if self.photos:
            photo = read_image(self._path("target", index), self.channels)
            scene["target"] = as_dtype(photo, self.photo_dtype)
        sizes = {kind: array.shape[:2] for kind, array in scene.items()}
        for kind in sizes:
            if sizes[kind] != sizes["label"]:  # replaced since the headers were read
                raise UnreadableImage(f"{self._path(kind, index)}: no longer has the size of its label map")
        return scene

    def _path(self, kind: str, index: int) -> Path:
        return self.folders[kind] / self.files[kind][index]

    def _headers(self, kind: str) -> Iterator[Header | str]:
        paths = (self.folders[kind] / name for name in self.files[kind])
        return read_headers(paths, read_header if kind == "target" else read_id_header)

    def _check_headers(self, check: SizeCheck | None) -> tuple[type, set[int]]:
        """Reads every header; returns the dtype of the photos and the indices of 8-bit instance maps."""
        headers = {kind: self._headers(kind) for kind in self.folders}
        unreadable: list[str] = []
        deep, shallow = False, set()
        for index, results in enumerate(zip(*headers.values(), strict=True)):
            unreadable += [message for message in results if isinstance(message, str)]
            scene = {kind: h for kind, h in zip(headers, results, strict=True) if isinstance(h, Header)}
            if len(scene) < len(headers):
                continue
            label = scene["label"]
            for kind, header in scene.items():
                if (header.width, header.height) != (label.width, label.height):
                    raise ValueError(
                        f"{self._path('label', index)} is {label.width}x{label.height} but {self._path(kind, index)} "
                        f"is {header.width}x{header.height}: the files of a scene must have the same size"
                    )
            if check:
                check(self._path("label", index), label.height, label.width)
            deep |= "target" in scene and scene["target"].depth == 16
            if "instance" in scene and scene["instance"].depth == 8:
                shallow.add(index)
        refuse_unreadable(unreadable)
        return (np.uint16 if deep else np.uint8), shallow

    def _check_ids(self, shallow: set[int]) -> list[str]:
        """Decodes every label map and checks its ids; returns warnings about the 8-bit instance maps, ``shallow``.

        Raises:
            ValueError: maps are damaged or have ids out of range; the message names the first one and their number.
        """
        top, ignored = self.label_nc, self.ignore_id
        allowed = np.append(np.arange(top), ignored)

        def check_scene(index: int) -> tuple[str, str, bool]:
            """(Error message of a damaged map, ids out of range, whether its instance ids may be cut to 8 bits)."""
            try:
                label = decode_ids(self._path("label", index))
                unknown = np.setdiff1d(distinct(label), allowed).tolist()
                cut = index in shallow and not np.array_equal(decode_ids(self._path("instance", index)), label)
            except UnreadableImage as error:
                return str(error), "", False
            return "", some([str(i) for i in unknown]), cut

        indices = range(len(self))
        with ThreadPoolExecutor(8) as pool:
            checks = pool.map(check_scene, indices)
            disable = None if len(self) > BAR else True  # None: shown on terminals only
            results = list(tqdm(checks, "checking label maps", len(self), unit="map", disable=disable, leave=False))
        refuse_unreadable([message for message, _, _ in results if message])
        wrong = [index for index in indices if results[index][1]]
        if wrong:
            first, ids = self._path("label", wrong[0]), results[wrong[0]][1]
            others = f" (and {len(wrong) - 1} more such files)" if wrong[1:] else ""
            raise ValueError(
                f"{first}: id {ids} is neither in 0..{top - 1} nor data.ignore_id {ignored}{others}: set "
                f"data.label_nc, now {top}, to the number of classes, or correct the map"
            )
        cut = [index for index in indices if results[index][2]]
        if not cut:
            return []
        others = f" and {len(cut) - 1} more" if cut[1:] else ""
        return [
            f"{self._path('instance', cut[0])}{others}: 8-bit instance ids that differ from the label map; ids of the "
            "form class x 1000 + number, as in Cityscapes, need 16 bits, and cut to 8 bits different instances can get "
            "the same id"
        ]


def scene_name(stem: str) -> str:
    """The common part of the names of a scene's files: "aachen/x_000019" for "aachen/x_000019_gtFine_labelIds"."""
    return re.sub(r"_(gtFine|gtCoarse|leftImg8bit)[^/]*$", "", stem)


def find_folders(root: Path, splits: Sequence[str], instances: bool, photos: bool) -> dict[str, Path]:
    """The folders of ``label``, ``instance`` and ``target`` of the first of ``splits`` that exists below ``root``.

    Raises:
        ValueError: no split exists, or one of its folders is missing.
    """
    require_root(root)
    split = next((split for split in splits if (root / f"{split}_label").is_dir()), None)
    if split is None:
        first = splits[0]
        raise ValueError(
            f"data.root {root}: no split {' or '.join(splits)} ({first}_label/ + {first}_inst/ + {first}_img/; "
            "for images instead of label maps set data.label_nc 0); "
            f"{other_splits(root, splits, ('label', 'inst', 'img'))}"
        )
    folders = {"label": root / f"{split}_label"}
    if instances:
        folders["instance"] = root / f"{split}_inst"
        if not folders["instance"].is_dir():
            raise ValueError(
                f"{folders['instance']}: no such folder; set data.instances false if there are no instance maps"
            )
    target = root / f"{split}_img"
    if target.is_dir():
        folders["target"] = target
    elif photos:
        raise ValueError(f"{target}: no such folder; training needs a photo for each map of {folders['label']}")
    return folders


def read_id_header(path: Path) -> Header:
    """Reads the header of a map of ids. Raises UnreadableImage if the file can't be one."""
    with _opened(path) as image:
        width, height = image.size[::-1] if orientation(image) >= 5 else image.size
        return Header(width, height, BITS[image.mode], alpha=False)


def read_ids(path: Path) -> np.ndarray:
    """Decodes a map of ids: (H, W) int32. Raises UnreadableImage if the file isn't one or is damaged."""
    return np.ascontiguousarray(decode_ids(path), np.int32)


def decode_ids(path: Path) -> np.ndarray:
    """As ``read_ids``, but (H, W) of the file's own integer dtype."""
    with _opened(path) as image:
        factor = STRETCHED.get(raw_mode(image), 1)
        upright = UPRIGHT.get(orientation(image), np.asarray)
        ids = upright(np.asarray(image, np.uint8 if image.mode == "1" else None))
        return ids if factor == 1 else ids // factor


def resize_ids(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) or (H, W, 1) -> (height, width) or (height, width, 1): nearest neighbour, by pixel centres."""
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[rows][:, columns]


def distinct(ids: np.ndarray) -> np.ndarray:
    """The ids of a map, each once, sorted."""
    if ids.dtype == np.uint8:
        return np.flatnonzero(cv2.calcHist([ids], [0], None, [256], [0, 256]))
    if ids.min() < 0 or ids.max() > 0xFFFF:
        return np.unique(ids)
    present = np.zeros(ids.max() + 1, bool)
    present[ids] = True
    return np.flatnonzero(present)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Opens a file of ids with Pillow. Raises UnreadableImage if its format can't hold ids or Pillow can't read it."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(
                    f"{path}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels; make it smaller"
                )
            if image.format == "JPEG":
                raise UnreadableImage(f"{path}: a JPEG, which changes ids; save it as PNG")
            if image.mode not in BITS:
                raise UnreadableImage(
                    f"{path}: {image.mode} pixels, but a map of ids has one channel of integers or a palette"
                )
            yield image
    except UnreadableImage:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: can't be read ({why_unreadable(error)})") from error
