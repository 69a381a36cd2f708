"""Downloads a public set of pix2pix (side-by-side pairs) or of CycleGAN (unpaired images).

The pairs are those of pix2pix (Isola et al., arXiv 1611.07004, Sec. 6.1), the unpaired sets those of CycleGAN (Zhu et
al., arXiv 1703.10593, Sec. 7.1). An interrupted download is continued. A set gets
its final name only after all of its images have been counted.
"""

from __future__ import annotations

import difflib
import errno
import gzip
import re
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from img2img.program import command
from img2img.recipes.files import disk_errors, images, whole_folder

BLOCK = 1 << 20  # bytes
TIMEOUT = 60.0  # seconds without data
BY_HAND = "You can also download the archive elsewhere and give it by --archive FILE"
REMEDY = "delete it and download it again"


@dataclass(frozen=True)
class Home:
    """The server of a paper's sets."""

    url: str
    suffix: str  # of the archives
    paper: str  # to cite
    sides: tuple[str, str]  # how the two sides are called


PIX2PIX = Home(
    "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets",
    ".tar.gz",
    "pairs: pix2pix, Isola et al., arXiv 1611.07004",
    ("A (left)", "B (right)"),
)
CYCLEGAN = Home(
    "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
    ".zip",
    "unpaired set: CycleGAN, Zhu et al., arXiv 1703.10593",
    ("A", "B"),
)


@dataclass(frozen=True)
class PublicSet:
    """One set."""

    source: str  # where the images come from
    a: str  # what the images of A show
    b: str
    task: str  # directions of the paper
    counts: dict[str, int]  # images by folder
    home: Home = PIX2PIX


def unpaired(source: str, a: str, b: str, counts: tuple[int, int, int, int], task: str = "unpaired") -> PublicSet:
    """A set of CycleGAN; `counts` are the numbers of images in trainA, trainB, testA and testB."""
    return PublicSet(
        source, a, b, task, dict(zip(("trainA", "trainB", "testA", "testB"), counts, strict=True)), CYCLEGAN
    )


# The counts of unpaired sets are those of TensorFlow Datasets' catalogue, cycle_gan.
SETS = {
    "edges2handbags": PublicSet(
        "iGAN, Zhu et al., arXiv 1609.03552", "edges", "photo", "edges -> photo: AtoB", {"train": 138567, "val": 200}
    ),
    "edges2shoes": PublicSet(
        "UT Zappos50K, Yu & Grauman, CVPR 2014", "edges", "photo", "edges -> photo: AtoB", {"train": 49825, "val": 200}
    ),
    "facades": PublicSet(
        "CMP Facade Database, Tylecek & Sara, GCPR 2013",
        "photo",
        "label",
        "label -> photo: BtoA",
        {"train": 400, "val": 100, "test": 106},
    ),
    "maps": PublicSet(
        "Google Maps, collected for pix2pix",
        "satellite",
        "map",
        "satellite -> map: AtoB, map -> satellite: BtoA",
        {"train": 1096, "val": 1098},
    ),
    "night2day": PublicSet(
        "Transient Attributes, Laffont et al., SIGGRAPH 2014",
        "night",
        "day",
        "day -> night: BtoA",
        {"train": 17823, "val": 10, "test": 2287},
    ),
    "apple2orange": unpaired("ImageNet", "apple", "orange", (995, 1019, 266, 248)),
    "cezanne2photo": unpaired("WikiArt and Flickr", "Cezanne", "photo", (525, 6287, 58, 751)),
    "cyclegan-facades": unpaired(
        "CMP Facade Database, Tylecek & Sara, GCPR 2013",
        "photo",
        "label",
        (400, 400, 106, 106),
        "unpaired, though 1_A and 1_B are partners",
    ),
    "cyclegan-maps": unpaired(
        "Google Maps, collected for pix2pix",
        "satellite",
        "map",
        (1096, 1096, 1098, 1098),
        "unpaired, though 1_A and 1_B are partners",
    ),
    "horse2zebra": unpaired("ImageNet", "horse", "zebra", (1067, 1334, 120, 140)),
    "iphone2dslr_flower": unpaired("Flickr", "smartphone", "DSLR", (1812, 3325, 569, 480)),
    "monet2photo": unpaired("WikiArt and Flickr", "Monet", "photo", (1072, 6287, 121, 751)),
    "summer2winter_yosemite": unpaired("Flickr", "summer", "winter", (1231, 962, 309, 238)),
    "ukiyoe2photo": unpaired("WikiArt and Flickr", "ukiyo-e", "photo", (562, 6287, 263, 751)),
    "vangogh2photo": unpaired("WikiArt and Flickr", "Van Gogh", "photo", (400, 6287, 400, 751)),
}


def known(name: str) -> PublicSet:
    """The set of that name."""
    if name in SETS:
        return SETS[name]
    if name in ("cityscapes", "cyclegan-cityscapes"):
        raise ValueError(f"Cityscapes needs a registration of your own: see {command('cityscapes')} --help")
    near = difflib.get_close_matches(name, SETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown set {name!r}.{hint} The sets are: {', '.join(SETS)}")


def archive_name(name: str) -> str:
    """The name of the set's archive and of the folder in it: `cyclegan-` is ours, for names that pix2pix has, too."""
    return name.removeprefix("cyclegan-")


def wrong_count(folder: Path, counts: dict[str, int]) -> str:
    """A message about wrong numbers of images in the folders below `folder`; empty if they are right."""
    actual = {name: len(images(folder / name)) for name in counts}
    wrong = [f"{name} has {actual[name]} images, not {counts[name]}" for name in counts if actual[name] != counts[name]]
    return "; ".join(wrong)


def ask(url: str, start: int) -> HTTPResponse | HTTPError:
    """Request the bytes from `start` on. A response 416 (no bytes are left) is returned, too; other errors raise."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--url {url}: must begin with http:// or https:// (for a file use --archive FILE)")
    headers = {"User-Agent": "img2img"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and start:
            return error
        raise ValueError(f"{url}: the server answered {error.code} {error.reason}. {BY_HAND}") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an invalid host name
        raise ValueError(f"cannot reach {url} ({getattr(error, 'reason', error)}). {BY_HAND}") from error


def extent(answer: HTTPResponse | HTTPError, start: int) -> tuple[int, int | None]:
    """(First byte of the archive in the response, size of the archive or None if the server doesn't send it)."""
    span = answer.headers.get("Content-Range", "")
    length = answer.headers.get("Content-Length")
    if answer.status == 416:
        match = re.fullmatch(r"bytes \*/(\d+)", span)
        return start, int(match[1]) if match else start
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
        if match is None or int(match[1]) != start:
            raise ValueError(f"{answer.url}: asked for bytes from {start} on, got {span!r}. {BY_HAND}")
        return start, int(match[2]) if match[2] != "*" else start + int(length) if length else None
    return 0, int(length) if length else None  # 200: the whole archive, the server doesn't support ranges


def download(url: str, archive: Path) -> None:
    """Download `url` to `archive`.part, which a later call can continue, and rename it to `archive`."""
    part = archive.with_name(archive.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    broken = ""
    with ask(url, start) as answer:
        first, total = extent(answer, start)
        if start and not first:
            print(f"{url}: the server cannot continue downloads; starting again")
        with (
            part.open("ab" if first else "wb") as file,
            tqdm(total=total, initial=first, unit="B", unit_scale=True, desc=archive.name, disable=None) as bar,
        ):
            while answer.status != 416:
                try:
                    block = answer.read1(BLOCK)
                except (OSError, HTTPException) as error:
                    broken = f" ({error})"
                    break
                if not block:
                    break
                file.write(block)
                bar.update(len(block))
    size = part.stat().st_size
    if broken or (total is not None and size < total):
        raise ValueError(
            f"the connection to {url} broke{broken} after {size} of {total or 'unknown'} bytes (kept in {part}); "
            "run the same command again to continue"
        )
    if total is not None and size > total:
        raise ValueError(f"{part} has {size} bytes but {url} has {total}: delete it and run the same command again")
    part.rename(archive)


def extract_tar(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz into `folder`. Members outside of it are refused, and gzip's checksum is verified."""
    try:
        with (
            archive.open("rb") as file,
            tqdm.wrapattr(file, "read", total=archive.stat().st_size, desc="unpacking", disable=None) as watched,
            gzip.GzipFile(fileobj=cast(BinaryIO, watched)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            tar.extractall(folder, filter="data")
            while stream.read(BLOCK):  # to the end, where the checksum is
                pass
    except tarfile.FilterError as error:
        raise ValueError(
            f"{archive} holds an unsafe member, {error.tarinfo.name!r}; nothing was kept: {REMEDY}"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{archive} is damaged or not a .tar.gz ({error}): {REMEDY}") from error


def extract_zip(archive: Path, folder: Path, wanted: tuple[str, ...]) -> None:
    """Unpack the `wanted` folders of a .zip into `folder`. Members outside of it are refused; checksums are verified.

    CycleGAN's maps.zip also has the pairs and a resized copy, which would look like further splits of the set.
    """
    unsafe = ""
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            unsafe = _unsafe(members)
            if not unsafe:
                members = [member for member in members if member.filename.startswith(wanted) and not member.is_dir()]
                for member in tqdm(members, desc="unpacking", disable=None):
                    file.extract(member, folder)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a position before the file's beginning
            raise
        raise ValueError(f"{archive} is damaged or not a .zip ({error}): {REMEDY}") from error
    if unsafe:
        raise ValueError(f"{archive} {unsafe}: {REMEDY}")


def _unsafe(members: list[zipfile.ZipInfo]) -> str:
    """Why the members of a .zip must not be unpacked; empty if they may."""
    for member in members:
        parts = member.filename.replace("\\", "/").split("/")
        if ".." in parts or not parts[0]:
            return f"holds an unsafe member, {member.filename!r}; nothing was kept"
        if member.flag_bits & 1:
            return "is encrypted, but public sets are not"
    return ""


def unpack(archive: Path, name: str, goal: Path) -> None:
    """Unpack the archive of the set `name` into the empty folder `goal`."""
    chosen = known(name)
    top = archive_name(name)  # the one folder that an archive holds
    if chosen.home.suffix == ".zip":
        extract_zip(archive, goal.parent, tuple(f"{top}/{folder}/" for folder in chosen.counts))
    else:
        extract_tar(archive, goal.parent)
    if top != goal.name and (goal.parent / top).exists():
        goal.rmdir()
        (goal.parent / top).rename(goal)
    if wrong := wrong_count(goal, chosen.counts):
        raise ValueError(f"{archive} is not the set {name} ({wrong}): {REMEDY}")


def fetch(name: str, to: Path, *, url: str | None = None, archive: Path | None = None) -> None:
    """Makes the folder ``to``/``name``, unless it exists, and prints what is in it.

    Args:
        name: a key of ``SETS``.
        to: the parent folder.
        url: address of the archive (default: the authors' server).
        archive: a file that is unpacked instead of a download, and kept.

    Raises:
        ValueError: no such set; the server can't be reached; the archive is damaged or of another set; ``to`` can't be
            written. No incomplete set is left.
    """
    with disk_errors(to):
        _fetch(name, to, url, archive)


def _fetch(name: str, to: Path, url: str | None, archive: Path | None) -> None:
    chosen = known(name)
    goal = to / name
    if goal.exists():
        if wrong := wrong_count(goal, chosen.counts):
            raise ValueError(
                f"{goal} exists but is not complete ({wrong}): move it away and run the same command again"
            )
        print(f"{goal} already exists and is complete")
        return
    suffix = chosen.home.suffix
    if suffix == ".tar.gz" and not hasattr(tarfile, "data_filter"):
        version = ".".join(map(str, sys.version_info[:3]))
        raise ValueError(f"Python {version} cannot unpack archives safely: use 3.10.12, 3.11.4, 3.12 or a later one")
    if archive and not archive.is_file():
        raise ValueError(f"--archive {archive}: no such file")
    to.mkdir(parents=True, exist_ok=True)
    fetched = to / f"{name}{suffix}"
    if archive is None and fetched.exists():
        print(f"unpacking {fetched}, which already exists")
    elif archive is None:
        download(url or f"{chosen.home.url}/{archive_name(name)}{suffix}", fetched)
    with whole_folder(goal) as unfinished:
        unpack(archive or fetched, name, unfinished)
    if archive is None:
        fetched.unlink()
    side_a, side_b = chosen.home.sides
    numbers = ", ".join(f"{count} {folder}" for folder, count in chosen.counts.items())
    print(f"{goal}: {numbers}; {side_a} = {chosen.a}, {side_b} = {chosen.b}; {chosen.task}")
    print(f"{chosen.home.paper}; images: {chosen.source}")
