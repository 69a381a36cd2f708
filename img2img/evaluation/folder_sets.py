"""The image sets of folders: images to evaluate, and the real images to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from img2img.data.folder import by_key, list_images, read_headers
from img2img.data.images import SUFFIXES, Header, read_image
from img2img.evaluation.base import ImageRecord, ImageSet
from img2img.evaluation.fcn.label_maps import LabelFolder, PaletteReader

THREADS = 4  # that decode the images; OpenCV releases the GIL


def folder_set(
    folder: Path, reference: Path | None = None, *, pairs: bool = False, maps: LabelFolder | None = None
) -> ImageSet:
    """The images of a folder, with the real images of another.

    Args:
        folder: the images to evaluate, without the sub-folder grids/ of infer.
        reference: folder of real images.
        pairs: whether images of one relative path, apart from the suffix, are an image and its target.
        maps: ground-truth label maps of the images.

    Raises:
        ValueError: a folder is missing or has no images; with ``pairs``, several images have one name; an image has no
            label map.
    """
    files, other_files = _files(folder, "DIR")
    if maps is not None:
        maps.require(path.name for path in files)
    targets = _targets(folder, files, reference) if reference and pairs else {}

    def read(path: Path) -> ImageRecord:
        target = read_image(targets[path], 3) if path in targets else None
        class_map = None if maps is None else maps.read(path.name)
        return ImageRecord(path.relative_to(folder).as_posix(), read_image(path, 3), target, class_map)

    def images() -> Iterator[ImageRecord]:
        return image_set.skip_unreadable((partial(read, path) for path in files), THREADS)

    image_set = ImageSet(str(folder), len(files), images, other_files=other_files, folders=(folder,))
    image_set.without_target = [path.relative_to(folder).as_posix() for path in files if path not in targets]
    if maps is not None and maps.palette is not None:
        image_set.class_names = maps.palette.names
        if maps.image_classes is not None:
            image_set.class_reader = PaletteReader(maps.palette, maps.image_classes)
            image_set.eval_classes = maps.image_classes
    path = folder.resolve()
    image_set.output = path.with_name(f"{path.name}-evaluation")  # not inside, or its images would be evaluated
    if reference is not None:
        compare_with_folder(image_set, reference)
    return image_set


def compare_with_folder(image_set: ImageSet, reference: Path) -> ImageSet:
    """Makes the images of a folder the real images of a set."""
    files, _ = _files(reference, "--reference")

    def read(path: Path) -> ImageRecord:
        return ImageRecord(path.name, read_image(path, 3))

    def images() -> Iterator[ImageRecord]:
        return real.skip_unreadable((partial(read, path) for path in files), THREADS)

    real = ImageSet(str(reference), len(files), images, label="real")
    image_set.folders += (reference,)
    return image_set.compare_with(real)


def _files(folder: Path, option: str) -> tuple[list[Path], int]:
    """The images of a folder without its grids/, and the number of other files. ``option`` is named in errors."""
    if not folder.is_dir():
        raise ValueError(f"{option} {folder}: no such folder")
    files = [path for path in list_images(folder) if path.relative_to(folder).parts[0] != "grids"]
    if not files:
        raise ValueError(f"{option} {folder}: no images in it (grids/ is ignored)")
    return files, sum(path.is_file() and path.suffix.lower() not in SUFFIXES for path in folder.rglob("[!.]*"))


def _targets(folder: Path, files: Sequence[Path], reference: Path) -> dict[Path, Path]:
    """The target of each image: the one of the same name in ``reference``, if any. ValueError if their sizes differ."""
    by_key(folder)  # refuses two images of one name, which would have one target
    keys = {path: path.relative_to(folder).with_suffix("").as_posix() for path in files}
    real = by_key(reference)
    targets = {path: reference / real[key] for path, key in keys.items() if key in real}
    headers = zip(targets.items(), read_headers([*targets]), read_headers([*targets.values()]), strict=True)
    for (path, target), a, b in headers:
        if isinstance(a, Header) and isinstance(b, Header) and (a.width, a.height) != (b.width, b.height):
            raise ValueError(
                f"{path} is {a.width}x{a.height}, and {target} {b.width}x{b.height}: both must have the same size"
            )
    return targets
