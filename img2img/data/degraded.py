"""Data set of clean images that are degraded while they are read, for restoration: the input is made of the target.

``data.degrade`` lists the steps (``degradations``), or a short form such as ``data.noise`` gives one. Crop, mirroring
and turning are applied to the clean image first. Randomness is keyed: a training sample's degradation by (seed, epoch,
index), a validation image's by its name, so that it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from img2img.data.base import (
    Direction,
    ImageDataset,
    Item,
    Lazy,
    NoTrainingImages,
    read_or_next,
    refuse_companions,
)
from img2img.data.classical import bicubic_up, non_local_means, plain_answers, telea, tuned
from img2img.data.degradations import Degradation, lightness, read_step, read_steps, require_hole, without_hole
from img2img.data.folder import (
    PARTS,
    Check,
    FolderImages,
    in_validation_share,
    list_images,
    other_splits,
    part_of,
    require_root,
)
from img2img.data.images import SUFFIXES, UnreadableImage, luma_plane, read_image, rounded
from img2img.data.options import Part, PatchConfig
from img2img.data.toy import toy_split
from img2img.data.transforms import Patch, SizeCheck, jitter, keyed_seed, patch_seed, without_margin

SHORT = "blur down noise jpeg gray lightness mask".split()  # steps that are also options
LOOKED_AT = 16  # images whose pixels are searched for colour, if a step needs it
TUNED_ON = 4  # training images, evenly spaced, that the filter of noise is tuned on
TUNED_SIDE = 192  # of their central squares in pixels


@dataclass
class DegradedConfig(PatchConfig):
    """Where the clean images are, how inputs are made of them, and the size of patches; or where pairs are."""

    everyday: ClassVar[Sequence[str]] = ["root", "degrade", *SHORT, *PatchConfig.everyday[1:], "val_share"]

    places: ClassVar[Sequence[str]] = [*PatchConfig.places, "mask"]

    root: str | None = None
    """Folder with train/ and val/ (or test/) of clean images, or any folder of images, with val_share. Without degrade
    or a short form of it: pairs, in trainA/ + trainB/ (B the target, N times as wide and high), and valA/ + valB/."""
    toy: bool = False
    """Train on the toy task, drawn street scenes, instead of data.root."""
    degrade: Any = None
    """Steps that make the input of a clean image, in their order: '[{blur: {sigma: [0,2]}}, {down: 2}, {noise:
    [0,25]}]'. There are blur, down, noise, jpeg, gray, lightness, scratches, stains, fade, realesrgan and mask."""
    blur: Any = None
    """One step, instead of degrade: blur of this standard deviation in pixels, or '[LOW,HIGH]', or its options
    '{sigma: [0,2], kind: [isotropic,motion]}'."""
    down: Any = None
    """One step: reduction to a half, a third, ... of the sides, by MATLAB's bicubic; 2, 3, ..."""
    noise: Any = None
    """One step: Gaussian noise of this standard deviation, of 255, or '[LOW,HIGH]', or its options."""
    jpeg: Any = None
    """One step: JPEG of this quality, 1 to 100, or '[LOW,HIGH]'."""
    gray: Any = None
    """One step: luma alone, true."""
    lightness: Any = None
    """One step: Lab's L alone, as a gray image; true. For colorization."""
    mask: Any = None
    """One step: holes; strokes, boxes, '[strokes,boxes]', or a folder of masks, white in the holes."""
    val_share: float = 0.0
    """Share of the images to use for validation, in [0, 1), chosen by a hash of their names, if the set has no
    validation split."""
    channels_a: int = 3
    """Channels of A's images, of pairs only. Degraded inputs have those of the clean images, or 1 without colour."""
    channels_b: int = 3
    """Channels of the clean images, or of B's: 1 (gray) or 3 (RGB). Files are converted."""

    def __post_init__(self) -> None:
        if not 0 <= self.val_share < 1:
            raise ValueError(f"data.val_share {self.val_share}: must be in [0, 1)")
        degradation = self.degradation
        if degradation:
            if self.scale not in (None, degradation.scale):
                raise ValueError(f"data.scale {self.scale}: the steps make it {degradation.scale}; leave it out (null)")
            if self.channels_b == 4:
                raise ValueError("data.channels_b 4: alpha is not degraded; set it to 3")
            if degradation.removes_colour and self.channels_b == 1:
                raise ValueError("data.channels_b 1: gray and lightness remove the colour; set it to 3")
            self.scale = degradation.scale
        super().__post_init__()

    def moved(self, new: Mapping[str, Any]) -> DegradedConfig:
        """As in the base class. ``mask`` is the new place of a folder of masks, also of one in ``degrade``.

        Raises:
            ValueError: the run has no folder of masks, or ``mask`` is none.
        """
        if "mask" not in new:
            return super().moved(new)
        folder, mask = new["mask"], self.degradation.mask if self.degradation else None
        if mask is None or mask.folder is None:
            raise ValueError(f"data.mask {folder}: the run has no folder of masks; leave it out")
        if not isinstance(folder, str) or folder in ("strokes", "boxes"):
            raise ValueError(f"data.mask {folder}: must be a folder of masks, as in the training ({mask.folder})")
        if self.degrade is None:
            return super().moved(new)
        steps = [{"mask": folder} if isinstance(step, Mapping) and "mask" in step else step for step in self.degrade]
        return replace(super().moved({**new, "mask": None}), degrade=steps)

    @property
    def degradation(self) -> Degradation | None:
        """The steps of the options; None for pairs. Raises ValueError for wrong ones."""
        short = {name: value for name in SHORT if (value := getattr(self, name)) is not None and value is not False}
        given = ["degrade", *short] if self.degrade is not None else list(short)
        if len(given) > 1:
            raise ValueError(
                f"data.{given[0]} and data.{given[1]}: set only one of them (null unsets); data.degrade takes several "
                "steps in their order"
            )
        if self.degrade is not None:
            steps, where = read_steps(self.degrade, "data.degrade"), "data.degrade: "
        else:
            steps, where = [read_step(name, value, f"data.{name}") for name, value in short.items()], "data."
        try:
            return Degradation(steps) if steps else None
        except ValueError as error:
            raise ValueError(f"{where}{error}") from error

    @property
    def channels(self) -> dict[str, int]:
        """Channels by key; ``a`` are those of files to restore, of which ``complete`` makes the ``input``."""
        degradation = self.degradation
        if degradation is None:
            return super().channels
        clean, degraded = self.channels_b, degradation.channels(self.channels_b)
        read = clean if degradation.takes_lightness else degraded
        holes = {"mask": 1} if degradation.mask else {}
        return {"a": read, "b": clean, "input": degraded, "target": clean, **holes}


class CleanSource(Protocol):
    """A source of clean images (H, W, C)."""

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> np.ndarray: ...


class ToyPhotos:
    """The toy task: drawn street scenes of ``width`` x ``width / 2`` pixels."""

    def __init__(self, splits: tuple[str, ...], width: int, check: Check) -> None:
        from img2img.data.toy import streets  # not needed by other sets

        self.split, self.length = toy_split(splits, streets.LENGTHS)
        self.draw, self.width, self.height = streets.draw_scene, width, max(1, width // 2)
        if self.height < streets.SMALLEST:
            raise ValueError(f"data.load_size {width}: the toy task needs {2 * streets.SMALLEST} or more")
        check(Path("the toy task's image"), self.height, width)

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"scene-{index:04d}"

    def read(self, index: int) -> np.ndarray:
        return self.draw(index, self.split, self.height, self.width)[2]


class LumaPlanes:
    """The Y planes, (H, W, 1) uint8, of the images of a source."""

    def __init__(self, source: CleanSource) -> None:
        self.source = source
        self.gray = set(source.gray) if isinstance(source, FolderImages) else set()

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        return self.source.name(index)

    def read(self, index: int) -> np.ndarray:
        image = self.source.read(index)
        if isinstance(self.source, FolderImages) and self.source.names[index] in self.gray:
            image = image[:, :, :1]  # a gray file is its own Y
        return np.rint(luma_plane(image)).astype(np.uint8)


class DegradedDataset(ImageDataset):
    """Samples have ``target`` (crop, crop, C) uint8 or uint16, and ``input`` (crop / scale, crop / scale, C'), of the
    same dtype, or float32 with noise that isn't clipped. With holes also ``mask`` (crop / scale, crop / scale, 1)
    uint8, 255 in the holes. With a step that sharpens also ``sharpened``, like ``target``. Images that can't be decoded
    are replaced by the next one. Items are whole images, cut to multiples of the scale, or squares of
    ``data.val_crop``.

    Raises:
        ValueError: no step is given; the set is missing or unreadable, or has no validation images; an image is too
            small, or doesn't go with a step; when sampling, if no image can be decoded.
    """

    companions = ("mask",)
    Config = DegradedConfig
    config: DegradedConfig

    def __init__(self, config: DegradedConfig, part: Part, *, augment: bool = False, seed: int = 0) -> None:
        super().__init__(config, part, augment=augment, seed=seed)
        degradation = config.degradation
        if degradation is None:
            raise ValueError(
                "data.degrade is not set: say how inputs are made of the clean images, by a short form such as "
                "data.noise 25, data.jpeg '[10,40]' or data.down 2, or by a list of steps"
            )
        self.degradation = degradation
        self.margin = degradation.margin if augment else 0
        self.transform = jitter(config, augment, self.margin)
        self.source: CleanSource = _source(config, part, SizeCheck(self.transform))
        if isinstance(self.source, FolderImages):
            _check_files(self.source, degradation)
        if degradation.mask:
            _ = degradation.mask.files  # checks a folder of masks

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        return self._patches(key, 1)[0]

    def samples(self, key: tuple[int, int]) -> list[dict[str, Any]]:
        return self._patches(key, self.config.patches)

    def _patches(self, key: tuple[int, int], count: int) -> list[dict[str, Any]]:
        epoch, index = key
        image, name, skipped = read_or_next(self.source, index)
        patches = []
        for number in range(count):
            seed = patch_seed(self.seed, epoch, index, number)
            sample = self._sample(image, seed, keyed_seed(seed if self.augment else name, "degrade"))
            patches.append({**sample, "name": name, "skipped": skipped})
        return patches

    def _sample(self, image: np.ndarray, seed: int, noise_seed: int) -> dict[str, np.ndarray]:
        """The inputs and the targets of a clean image."""
        wide = self.transform(seed, {"target": image})["target"]  # with the margin
        rng = np.random.default_rng(noise_seed)
        made = self.degradation(wide, rng, is_patch=self.augment, margin=self.margin)
        return {**made, "target": without_margin(wide, self.margin)}

    def count(self, direction: str) -> int:
        return len(self)

    def item(self, direction: str, index: int) -> Item:
        name = self.source.name(index)
        sample = self._sample(self.source.read(index), 0, keyed_seed(name, "degrade"))
        target = sample.pop("target")
        sample.pop("sharpened", None)  # of losses; metrics compare with the target
        return Item(name, sample, target)

    def item_name(self, direction: str, index: int) -> str:
        return self.source.name(index)

    def has_target(self, direction: str, index: int) -> bool:
        return True

    def images(self, domain: str) -> Sequence[np.ndarray]:
        """The clean images, in domain "b"."""

        def clean(index: int) -> np.ndarray:
            return without_margin(self.transform(0, {"target": self.source.read(index)})["target"], self.margin)

        return Lazy(len(self), clean)

    def trivial_answers(self, direction: str) -> Mapping[str, Callable[[Item], np.ndarray]]:
        """The input, enlarged if it is smaller; with holes, Telea's inpainting; with noise, non-local means."""
        scale = self.degradation.scale
        answers = plain_answers(scale)
        if self.degradation.mask:
            answers["Telea"] = lambda item: bicubic_up(telea(item.image, item.inputs["mask"]), scale)
        if self.degradation.adds_noise:
            strength = cache(self._filter_strength)
            answers["non-local means"] = lambda item: bicubic_up(non_local_means(item.image, *strength()), scale)
        return answers

    def _filter_strength(self) -> tuple[float, float]:
        """``sigma`` and ``share`` of ``non_local_means``, tuned on centres of training images.

        Raises:
            NoTrainingImages: they can't be opened.
        """
        try:
            training, scale = type(self)(self.config, "train"), self.degradation.scale
        except ValueError as error:
            raise NoTrainingImages(str(error)) from error
        if isinstance(self.source, LumaPlanes):
            training.source = LumaPlanes(training.source)
        centre = Patch(TUNED_SIDE // scale * scale, multiple=scale, centre=True)
        pairs = []
        for index in range(0, len(training), max(1, len(training) // TUNED_ON)):
            image, name, _ = read_or_next(training.source, index)
            sample = training._sample(image, 0, keyed_seed(name, "degrade"))
            sides = centre(0, {"input": sample["input"], "target": sample["target"]})
            pairs.append((sides["input"], sides["target"]))
        return tuned(pairs[:TUNED_ON], scale)

    def of_luma_planes(self) -> DegradedDataset:
        if self.degradation.removes_colour:
            raise ValueError("--protocol y: Y has no colour, and the run adds it; leave it out")
        planes = type(self)(replace(self.config, channels_b=3), self.part)
        planes.source = LumaPlanes(planes.source)
        return planes

    @classmethod
    def is_meant(cls, config: Any) -> bool:
        return config.degradation is not None

    @classmethod
    def directions(cls, config: Any) -> Mapping[str, Direction]:
        return {"AtoB": Direction("a", "b")}

    @classmethod
    def complete(cls, config: Any, direction: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Makes the input of an image with the channels of files: its lightness, gray in the holes of ``mask``.

        Raises:
            ValueError: a mask is missing, or is of another size than the image, empty or full.
        """
        degradation, image = config.degradation, arrays["input"]
        if degradation.takes_lightness:
            image = _lightness_of(image)
        if degradation.mask is None:
            return {**arrays, "input": image}
        if "mask" not in arrays:
            raise ValueError("mask is missing: the run fills holes; give an array as large as the image, white in them")
        mask = _checked_mask(arrays["mask"], image, "mask")
        return {**arrays, "input": without_hole(image, mask), "mask": mask}

    @classmethod
    def read(cls, config: Any, direction: str, path: Path, others: Mapping[str, Path]) -> Item:
        has_holes = config.degradation.mask is not None
        refuse_companions(others, cls.companions if has_holes else ())
        arrays = {"input": read_image(path, config.channels["a"])}
        if has_holes:
            if "mask" not in others:
                raise ValueError(f"{path}: the run fills holes: give their masks by --with mask=FILE|DIR")
            file = mask_file(path, others["mask"])
            arrays["mask"] = _checked_mask(read_image(file, 1), arrays["input"], str(file))
        return Item(path.stem, cls.complete(config, direction, arrays))


def _lightness_of(image: np.ndarray) -> np.ndarray:
    """``lightness`` of an image (H, W, C) of integers or floats, of the same dtype."""
    if image.dtype.kind != "u":
        return lightness(image.astype(np.float32)).astype(image.dtype)
    return rounded(lightness(image / np.float32(np.iinfo(image.dtype).max)), image.dtype)


def _checked_mask(mask: np.ndarray, image: np.ndarray, name: str) -> np.ndarray:
    """The mask, 255 in the hole and else 0. Raises ValueError if it doesn't go with the image."""
    if mask.shape[:2] != image.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (mask, image)]
        raise ValueError(f"{name}: the mask is {sizes[0]}, but the image {sizes[1]}: both must have one size")
    return require_hole(mask[:, :, :1], name)


def mask_file(path: Path, masks: Path) -> Path:
    """The mask of an image: ``masks`` itself, or the file of the image's name in that folder. Raises ValueError."""
    if not masks.is_dir():
        return masks
    files = [masks / path.name, *(masks / f"{path.stem}{suffix}" for suffix in sorted(SUFFIXES))]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(f"{masks}: no mask for {path.name}; name it {path.stem}.png")
    return file


def _source(config: DegradedConfig, part: Part, check: Check) -> CleanSource:
    """The clean images of a split.

    Raises:
        ValueError: they can't be found or read, there are none, or one can't be used.
    """
    if config.toy:
        if config.channels_b != 3:
            raise ValueError(f"data.channels_b {config.channels_b}: the toy task draws RGB images; set it to 3")
        return ToyPhotos(config.splits(part), config.load_size, check)
    root = require_root(config.root)
    val = next((root / split for split in config.splits("val") if (root / split).is_dir()), None)
    if val is None and config.val_split:
        others = other_splits(root, (config.val_split,), ())
        raise ValueError(f"data.root {root}: no split {config.val_split}; {others}")
    if part == "val" and val is not None:
        return FolderImages(val, config.channels_b, check)
    folder = _training_folder(config, root, has_val=val is not None)
    if val is None and not config.val_share:
        raise ValueError(
            f"data.root {root}: no val/ or test/ to validate on; data.val_share 0.05 takes a share of the images"
        )
    names = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    if val is None:
        chosen = [name for name in names if in_validation_share(name, config.val_share) == (part == "val")]
        if not chosen:
            advice = "raise" if part == "val" else "lower"
            raise ValueError(
                f"data.val_share {config.val_share}: leaves none of {len(names)} images of {folder} for {part}; "
                f"{advice} it"
            )
        names = chosen
    return FolderImages(folder, config.channels_b, check, names=names)


def _training_folder(config: DegradedConfig, root: Path, *, has_val: bool) -> Path:
    """The folder of the training images: train/, or ``root`` itself if there are no splits.

    Raises:
        ValueError: ``root`` seems to be another folder than the one that is meant.
    """
    train = root / config.train_split
    if train.is_dir():
        return train
    whole = root.resolve()
    below = [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."]
    has_splits = has_val or any(part_of(path.name) in PARTS for path in below)
    has_sets = any((path / part).is_dir() for path in below for part in PARTS)
    is_split = whole.name in PARTS and any((whole.parent / part).is_dir() for part in PARTS if part != whole.name)
    if config.train_split != "train" or has_splits or has_sets or is_split:
        raise ValueError(
            f"data.root {root}: no folder {config.train_split}/ of clean images; "
            f"{other_splits(root, (config.train_split,), ())}"
        )
    return root


def _check_files(images: FolderImages, degradation: Degradation) -> None:
    """Raises ValueError, naming a file, if images don't go with a step."""
    if degradation.needs_8_bits and images.deep:
        raise ValueError(
            f"{images.folder / images.deep[0]}: 16 bits, but JPEG has 8; convert it to 8 bits, or leave out jpeg and "
            "realesrgan"
        )
    if not degradation.removes_colour:
        return
    if images.gray:
        others = f", as {len(images.gray) - 1} others" if images.gray[1:] else ""
        raise ValueError(
            f"{images.folder / images.gray[0]}: a gray image{others}, which has no colour to learn; remove it"
        )
    if not any(_has_colour(images, index) for index in range(0, len(images), max(1, len(images) // LOOKED_AT))):
        raise ValueError(f"{images.folder}: its images are gray, and have no colour to learn; use other images")


def _has_colour(images: FolderImages, index: int) -> bool:
    """Whether an image can be decoded, and its channels differ by more than a level of 255 in the mean."""
    try:
        image = images.read(index)
    except UnreadableImage:
        return False
    return bool(np.ptp(image, axis=2).mean() > np.iinfo(image.dtype).max / 255)
