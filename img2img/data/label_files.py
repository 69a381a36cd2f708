"""Label maps, instance maps and photos of a set on disk, in pix2pixHD's layout (arXiv 1711.11585, official code).

root/train_label/x.png   ids of classes: 8 or 16 bits in one channel, or a palette, whose indices are the ids
root/train_inst/x.png    ids of instances, 8, 16 or 32 bits; in Cityscapes class x 1000 + number, or the class alone
root/train_img/x.jpg     photos

They belong together by file stem, sub-folders included, and Cityscapes' names by what stands before ``_gtFine...`` and
``_leftImg8bit``. Pillow decodes the maps, since OpenCV turns palettes into colours and knows no 32 bits.
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
    refuse_lonely,
    refuse_unreadable,
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

BAR = 300  # maps; checking fewer takes no time worth a progress bar
BITS = {"1": 8, "L": 8, "P": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16, "I": 32}  # by Pillow's mode
STRETCHED = {"L;2": 85, "L;4": 17}  # Pillow spreads gray of 2 and 4 bits over 0..255, by this factor


class LabelFiles:
    """The scenes of one split: ``len()``, ``name(i)`` and ``read(i)``, a dictionary of ``label`` and, where the set has
    them, ``instance``, both (H, W) int32, and ``target``, the photo, (H, W, C).

    Args:
        root: the set's folder.
        splits: names that the wanted part of it may have.
        label_nc: how many classes there are; their ids are 0..label_nc-1.
        ignore_id: the id that means no class.
        instances: whether there are instance maps.
        channels: of the photos.
        photos: whether there must be photos, or there may be none.
        check: called with every scene (file, height, width), to refuse sizes that can't be used.

    Raises:
        ValueError: no such folder or split, scenes of which a part is missing, unreadable or of another size, ids out
            of range; the message names them.
    """

    def __init__(
        self,
        root: str,
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
            refuse_lonely((self.folders["label"], named["label"]), (self.folders[kind], named[kind]))
        self.names = sorted(named["label"])
        self.files = {kind: [names[name] for name in self.names] for kind, names in named.items()}
        self.photo_dtype, shallow = self._check_headers(check)
        self.notes = self._check_ids(shallow)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The scene's path below its split, without what only tells its files apart."""
        return self.names[index]

    @property
    def photos(self) -> bool:
        """Whether this part of the set has photos."""
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
                raise UnreadableImage(f"{self._path(kind, index)}: not of its label map's size any more")
        return scene

    def _path(self, kind: str, index: int) -> Path:
        return self.folders[kind] / self.files[kind][index]

    def _headers(self, kind: str) -> Iterator[Header | str]:
        paths = (self.folders[kind] / name for name in self.files[kind])
        return read_headers(paths, read_header if kind == "target" else read_id_header)

    def _check_headers(self, check: SizeCheck | None) -> tuple[type, set[int]]:
        """Reads every header; returns the photos' type, and which instance maps have 8 bits."""
        headers = {kind: self._headers(kind) for kind in self.folders}
        unreadable: list[str] = []
        deep, shallow = False, set()
        for index, found in enumerate(zip(*headers.values(), strict=True)):
            unreadable += [header for header in found if isinstance(header, str)]
            scene = {kind: h for kind, h in zip(headers, found, strict=True) if isinstance(h, Header)}
            if len(scene) < len(headers):
                continue
            label = scene["label"]
            for kind, header in scene.items():
                if (header.width, header.height) != (label.width, label.height):
                    raise ValueError(
                        f"{self._path('label', index)} is {label.width}x{label.height} but {self._path(kind, index)} "
                        f"is {header.width}x{header.height}: what belongs together needs one size"
                    )
            if check:
                check(self._path("label", index), label.height, label.width)
            deep |= "target" in scene and scene["target"].depth == 16
            if "instance" in scene and scene["instance"].depth == 8:
                shallow.add(index)
        refuse_unreadable(unreadable)
        return (np.uint16 if deep else np.uint8), shallow

    def _check_ids(self, shallow: set[int]) -> list[str]:
        """Decodes every label map; returns what is odd about the instance maps of 8 bits, ``shallow``.

        Raises:
            ValueError: naming the first map with ids out of range and how many there are, or the same of damaged ones.
        """
        top, ignored = self.label_nc, self.ignore_id
        allowed = np.append(np.arange(top), ignored)

        def look(index: int) -> tuple[str, str, bool]:
            """(why it can't be decoded; its ids out of range; whether its instance map looks cut off)"""
            try:
                label = decode_ids(self._path("label", index))
                strange = np.setdiff1d(distinct(label), allowed).tolist()
                cut = index in shallow and not np.array_equal(decode_ids(self._path("instance", index)), label)
            except UnreadableImage as error:
                return str(error), "", False
            return "", some([str(i) for i in strange]), cut

        everything = range(len(self))
        with ThreadPoolExecutor(8) as pool:
            looks = pool.map(look, everything)
            quiet = None if len(self) > BAR else True  # None: a bar on a terminal alone
            found = list(tqdm(looks, "checking label maps", len(self), unit="map", disable=quiet, leave=False))
        refuse_unreadable([damage for damage, _, _ in found if damage])
        wrong = [index for index in everything if found[index][1]]
        if wrong:
            first, ids = self._path("label", wrong[0]), found[wrong[0]][1]
            more = f" (and {len(wrong) - 1} more such files)" if wrong[1:] else ""
            raise ValueError(
                f"{first}: id {ids} is neither in 0..{top - 1} nor data.ignore_id {ignored}{more}: set data.label_nc, "
                f"now {top}, to the number of classes, or mend the map"
            )
        cut = [index for index in everything if found[index][2]]
        if not cut:
            return []
        more = f" and {len(cut) - 1} more" if cut[1:] else ""
        return [
            f"{self._path('instance', cut[0])}{more}: ids of 8 bits that are not their label map's; if they were "
            "class x 1000 + number, as in Cityscapes, they were cut off, and instances may have run into one another"
        ]


def scene_name(stem: str) -> str:
    """What the files of a scene have in common: "aachen/x_000019" of "aachen/x_000019_gtFine_labelIds"."""
    return re.sub(r"_(gtFine|gtCoarse|leftImg8bit)[^/]*$", "", stem)


def find_folders(root: Path, splits: Sequence[str], instances: bool, photos: bool) -> dict[str, Path]:
    """The folders of ``label``, ``instance`` and ``target`` of the first of ``splits`` that is below ``root``.

    Raises:
        ValueError: there is none, or one of the folders is missing.
    """
    require_root(root)
    split = next((split for split in splits if (root / f"{split}_label").is_dir()), None)
    if split is None:
        first = splits[0]
        raise ValueError(
            f"data.root {root}: no split {' or '.join(splits)} ({first}_label/ + {first}_inst/ + {first}_img/; "
            f"images as inputs take data.label_nc 0); {other_splits(root, splits, ('label', 'inst', 'img'))}"
        )
    folders = {"label": root / f"{split}_label"}
    if instances:
        folders["instance"] = root / f"{split}_inst"
        if not folders["instance"].is_dir():
            raise ValueError(f"{folders['instance']}: no such folder; without instance maps: --data.instances false")
    target = root / f"{split}_img"
    if target.is_dir():
        folders["target"] = target
    elif photos:
        raise ValueError(f"{target}: no such folder; training needs the photos of {folders['label']}")
    return folders


def read_id_header(path: Path) -> Header:
    """The header of a map of ids. Raises UnreadableImage when it can't be one."""
    with _opened(path) as image:
        width, height = image.size[::-1] if orientation(image) >= 5 else image.size
        return Header(width, height, BITS[image.mode], alpha=False)


def read_ids(path: Path) -> np.ndarray:
    """Decodes a map of ids: (H, W) int32. Raises UnreadableImage for a file that is no such map, or a damaged one."""
    return np.ascontiguousarray(decode_ids(path), np.int32)


def decode_ids(path: Path) -> np.ndarray:
    """As ``read_ids``, (H, W) of the integers that the file has."""
    with _opened(path) as image:
        factor = STRETCHED.get(raw_mode(image), 1)
        upright = UPRIGHT.get(orientation(image), np.asarray)
        ids = upright(np.asarray(image, np.uint8 if image.mode == "1" else None))
        return ids if factor == 1 else ids // factor


def resize_ids(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) or (H, W, 1) -> (height, width) likewise: the id at each pixel's middle."""
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[rows][:, columns]


def distinct(ids: np.ndarray) -> np.ndarray:
    """Every id of a map once, sorted."""
    if ids.dtype == np.uint8:
        return np.flatnonzero(cv2.calcHist([ids], [0], None, [256], [0, 256]))
    if ids.min() < 0 or ids.max() > 0xFFFF:
        return np.unique(ids)
    present = np.zeros(ids.max() + 1, bool)
    present[ids] = True
    return np.flatnonzero(present)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The file, as one that can hold ids; what Pillow raises becomes UnreadableImage."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(f"{path}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels")
            if image.format == "JPEG":
                raise UnreadableImage(f"{path}: a JPEG, which changes ids a little everywhere; a PNG keeps them")
            if image.mode not in BITS:
                raise UnreadableImage(f"{path}: {image.mode} pixels, but ids are one channel of integers or a palette")
            yield image
    except UnreadableImage:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: can't be read ({why_unreadable(error)})") from error
