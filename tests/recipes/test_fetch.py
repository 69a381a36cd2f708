"""datasets/fetch.py against a server on this machine: every message, resuming, and nothing half-written."""

import importlib
import io
import os
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.helpers import run_command

SCRIPT = Path(__file__).parents[2] / "datasets" / "fetch.py"
COUNTS = {"train": 3, "val": 2}
UNPAIRED = {"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}


class Server(ThreadingHTTPServer):
    """Serves `data` at every path; the path's first part says how. `ranges` records what was asked for."""

    daemon_threads = True
    data = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    def url(self, manner: str) -> str:
        """The address that is served in that manner."""
        return f"http://127.0.0.1:{self.server_port}/{manner}/set.tar.gz"


class Handler(BaseHTTPRequestHandler):
    """`range` knows ranges, `plain` ignores them, `drop` and `reset` close half-way, `missing` is 404, `wrong` answers
    a range that was not asked for, `unsized` sends no Content-Length, `bare` is a 416 that does not tell the size."""

    server: Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """Answer."""
        manner = self.path.split("/")[1]
        asked = self.headers.get("Range")
        data, start = self.server.data, 0
        self.server.ranges.append(asked)
        if manner == "missing":
            self.send_error(404)
            return
        if asked and manner != "plain":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            self.send_response(416)
            if manner != "bare":
                self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            first = start + (manner == "wrong")
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        if manner != "unsized":
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        self.wfile.write(body[: len(body) // 2] if manner in ("drop", "reset") else body)
        if manner == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a table of small numbers."""
    module = importlib.import_module("img2img.recipes.fetch")
    facades = module.SETS["facades"]
    monkeypatch.setitem(
        module.SETS, "facades", module.PublicSet(facades.source, "photo", "label", facades.task, COUNTS)
    )
    for name in ("horse2zebra", "cyclegan-maps"):
        real = module.SETS[name]
        small = module.unpaired(real.source, real.a, real.b, tuple(UNPAIRED.values()), real.task)
        monkeypatch.setitem(module.SETS, name, small)
    return module


def image() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def pack(counts: dict[str, int], top: str = "facades", extra: str = "") -> bytes:
    """A .tar.gz of `top`/SPLIT/N.jpg, and one more member named `extra`."""
    file, content = io.BytesIO(), image()
    names = [f"{top}/{split}/{index}.jpg" for split, count in counts.items() for index in range(count)]
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for name in [*names, *([extra] if extra else [])]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def pack_zip(counts: dict[str, int], top: str = "horse2zebra", extra: str = "") -> bytes:
    """A .zip of `top`/FOLDER/N.jpg, and one more member named `extra`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{top}/", b"")
        for name in [f"{top}/{folder}/{index}.jpg" for folder, count in counts.items() for index in range(count)]:
            archive.writestr(name, image())
        if extra:
            archive.writestr(extra, image())
    return file.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(
    fetch: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[object], *words: str, code: int = 2
) -> None:
    """The command fails with one line that has all the words."""
    assert run_command("fetch", *arguments) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error


@pytest.mark.parametrize("manner", ["range", "plain", "unsized"])
def test_fetch_downloads_and_unpacks_a_set(fetch, server, tmp_path, capsys, manner):
    server.data = pack(COUNTS, extra="facades/train/._0.jpg")  # what macOS leaves is not counted
    assert run_command("fetch", "facades", "--output", str(tmp_path / "new"), "--url", server.url(manner)) == 0
    assert names(tmp_path / "new") == ["facades"]  # no archive, no part, no temporary folder
    assert (tmp_path / "new/facades/val/1.jpg").read_bytes() == image()
    assert (tmp_path / "new/facades").stat().st_mode & 0o777 == 0o777 & ~_umask()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "3 train, 2 val; A (left) = photo, B (right) = label; label -> photo: BtoA" in printed.out
    assert "1611.07004" in printed.out


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_fetch_keeps_a_complete_set(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    command = ["facades", "--output", str(tmp_path), "--url", server.url("range")]
    assert run_command("fetch", *command) == 0
    capsys.readouterr()
    assert run_command("fetch", *command) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "facades"))
    assert server.ranges == [None]
    (tmp_path / "facades/val/0.jpg").unlink()
    refused(fetch, capsys, command, str(tmp_path / "facades"), "val has 1 images, not 2")


def test_fetch_continues_a_dropped_download(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    half = len(server.data) // 2
    command = ["facades", "--output", tmp_path, "--url"]
    refused(fetch, capsys, [*command, server.url("drop")], server.url("drop"), f"{half} of", "facades.tar.gz.part")
    assert (tmp_path / "facades.tar.gz.part").read_bytes() == server.data[:half]
    assert names(tmp_path) == ["facades.tar.gz.part"]
    assert run_command("fetch", *[*map(str, command), server.url("range")]) == 0
    assert server.ranges == [None, f"bytes={half}-"]
    assert names(tmp_path) == ["facades"]


def test_fetch_keeps_the_part_of_a_reset_download(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    command = ["facades", "--output", tmp_path, "--url", server.url("reset")]
    refused(fetch, capsys, command, server.url("reset"), "broke (", "facades.tar.gz.part")
    assert server.data.startswith((tmp_path / "facades.tar.gz.part").read_bytes())
    assert names(tmp_path) == ["facades.tar.gz.part"]


def test_fetch_starts_again_without_ranges(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    (tmp_path / "facades.tar.gz.part").write_bytes(server.data[:100])
    assert run_command("fetch", "facades", "--output", str(tmp_path), "--url", server.url("plain")) == 0
    assert capsys.readouterr().out.startswith(server.url("plain"))
    assert server.ranges == ["bytes=100-"]
    assert names(tmp_path / "facades") == ["train", "val"]


@pytest.mark.parametrize("manner", ["range", "bare"])
def test_fetch_uses_a_complete_part(fetch, server, tmp_path, manner):
    server.data = pack(COUNTS)
    (tmp_path / "facades.tar.gz.part").write_bytes(server.data)
    assert run_command("fetch", "facades", "--output", str(tmp_path), "--url", server.url(manner)) == 0
    assert names(tmp_path) == ["facades"]


def test_fetch_refuses_a_part_of_another_size(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    part = tmp_path / "facades.tar.gz.part"
    part.write_bytes(server.data + b"more")
    command = ["facades", "--output", tmp_path, "--url", server.url("range")]
    refused(fetch, capsys, command, str(part), f"{len(server.data) + 4} bytes", "delete it")
    part.write_bytes(server.data[:100])
    refused(fetch, capsys, [*command[:-1], server.url("wrong")], server.url("wrong"), "from 100")
    assert part.read_bytes() == server.data[:100]


def test_fetch_uses_an_existing_archive(fetch, server, tmp_path, capsys):
    (tmp_path / "facades.tar.gz").write_bytes(pack(COUNTS))
    assert run_command("fetch", "facades", "--output", str(tmp_path), "--url", server.url("missing")) == 0
    assert "unpacking" in capsys.readouterr().out
    assert server.ranges == []


def test_fetch_names_http_errors_and_unreachable_hosts(fetch, server, tmp_path, capsys):
    command = ["facades", "--output", tmp_path, "--url"]
    refused(fetch, capsys, [*command, server.url("missing")], server.url("missing"), "404 Not Found", "--archive FILE")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/set.tar.gz"
        refused(fetch, capsys, [*command, url], f"cannot reach {url}", "refused", "--archive FILE")
    refused(fetch, capsys, [*command, f"http://{'x' * 70}/"], "cannot reach", "--archive FILE")
    refused(fetch, capsys, [*command, "file:///set.tar.gz"], "--url file:///set.tar.gz", "--archive FILE")
    assert names(tmp_path) == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def bad_checksum(data: bytes) -> bytes:
    return data[:-8] + bytes(4) + data[-4:]  # gzip ends with its checksum and length, four bytes each


def web_page(_: bytes) -> bytes:
    return b"<html>please log in</html>"


@pytest.mark.parametrize("harm", [cut, bad_checksum, web_page])
def test_fetch_refuses_a_damaged_archive(fetch, tmp_path, capsys, harm: Callable[[bytes], bytes]):
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(harm(pack(COUNTS)))
    refused(
        fetch,
        capsys,
        ["facades", "--output", tmp_path / "to", "--archive", archive],
        str(archive),
        "is damaged",
        "delete it",
    )
    assert names(tmp_path / "to") == []


@pytest.mark.parametrize("name", ["../evil.jpg", "facades/../../../evil.jpg"])
def test_fetch_refuses_archive_members_outside_the_folder(fetch, tmp_path, capsys, name):
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(pack(COUNTS, extra=name))
    refused(
        fetch,
        capsys,
        ["facades", "--output", tmp_path / "to", "--archive", archive],
        str(archive),
        "unsafe member",
        name,
    )
    assert names(tmp_path / "to") == []
    assert not list(tmp_path.rglob("evil.jpg"))


@pytest.mark.parametrize(("counts", "top"), [({"train": 3, "val": 1}, "facades"), (COUNTS, "maps")])
def test_fetch_counts_images(fetch, tmp_path, capsys, counts, top):
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(pack(counts, top=top))
    refused(
        fetch, capsys, ["facades", "--output", tmp_path / "to", "--archive", archive], "not the set facades", "val has"
    )
    assert names(tmp_path / "to") == []


@pytest.mark.parametrize("manner", ["range", "plain"])
def test_fetch_continues_and_unpacks_an_unpaired_set(fetch, server, tmp_path, capsys, manner):
    server.data = pack_zip(UNPAIRED, extra="__MACOSX/horse2zebra/trainA/._0.jpg")
    (tmp_path / "horse2zebra.zip.part").write_bytes(server.data[:100])
    assert run_command("fetch", "horse2zebra", "--output", str(tmp_path), "--url", server.url(manner)) == 0
    assert server.ranges == ["bytes=100-"]
    assert names(tmp_path) == ["horse2zebra"]
    assert names(tmp_path / "horse2zebra") == ["testA", "testB", "trainA", "trainB"]
    assert (tmp_path / "horse2zebra/trainB/1.jpg").read_bytes() == image()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "3 trainA, 2 trainB, 1 testA, 1 testB; A = horse, B = zebra; unpaired" in printed.out
    assert "1703.10593" in printed.out
    assert run_command("fetch", "horse2zebra", "--output", str(tmp_path), "--url", server.url(manner)) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "horse2zebra"))
    assert server.ranges == ["bytes=100-"]
    (tmp_path / "horse2zebra/testB/0.jpg").unlink()
    refused(fetch, capsys, ["horse2zebra", "--output", tmp_path], str(tmp_path / "horse2zebra"), "testB has 0 images")


def test_fetch_of_a_name_that_pix2pix_has_too(fetch, tmp_path, monkeypatch, capsys):
    asked = []

    def download(url: str, archive: Path) -> None:
        asked.append(url)
        archive.write_bytes(pack_zip({**UNPAIRED, "train": 2, "valA": 1}, top="maps", extra="maps/trainA/._0.jpg"))

    monkeypatch.setattr(fetch, "download", download)
    assert run_command("fetch", "cyclegan-maps", "--output", str(tmp_path)) == 0
    assert asked == ["http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/maps.zip"]
    assert names(tmp_path) == ["cyclegan-maps"]
    assert names(tmp_path / "cyclegan-maps") == ["testA", "testB", "trainA", "trainB"]  # no other folder of the archive
    assert (tmp_path / "cyclegan-maps").stat().st_mode & 0o777 == 0o777 & ~_umask()
    assert "1_A and 1_B are partners" in capsys.readouterr().out


def bad_image(data: bytes) -> bytes:
    start = data.index(b"0.jpg") + 50
    return data[:start] + bytes([data[start] ^ 255]) + data[start + 1 :]


def bad_offset(data: bytes) -> bytes:
    end = data.rindex(b"PK\x05\x06")  # the end record: bytes 16 to 20 tell where the list of members begins
    return data[: end + 16] + b"\xff\xff\xff\x7f" + data[end + 20 :]


def encrypted(data: bytes) -> bytes:
    start = data.rindex(b"PK\x01\x02")  # the last member's entry in the list; bytes 8 and 9 are its flags
    return data[: start + 8] + bytes([data[start + 8] | 1]) + data[start + 9 :]


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (cut, "damaged"),
        (bad_image, "damaged"),
        (bad_offset, "damaged"),
        (web_page, "damaged"),
        (encrypted, "encrypted"),
    ],
)
def test_fetch_refuses_a_damaged_zip(fetch, tmp_path, capsys, harm: Callable[[bytes], bytes], word):
    archive = tmp_path / "mine.zip"
    archive.write_bytes(harm(pack_zip(UNPAIRED)))
    command = ["horse2zebra", "--output", tmp_path / "to", "--archive", archive]
    refused(fetch, capsys, command, str(archive), f"is {word}", "delete it")
    assert names(tmp_path / "to") == []


@pytest.mark.parametrize("name", ["../evil.jpg", "horse2zebra/trainA/../../../evil.jpg", "/evil.jpg", "..\\evil.jpg"])
def test_fetch_refuses_zip_members_outside_the_folder(fetch, tmp_path, capsys, name):
    archive = tmp_path / "mine.zip"
    archive.write_bytes(pack_zip(UNPAIRED, extra=name))
    command = ["horse2zebra", "--output", tmp_path / "to", "--archive", archive]
    refused(fetch, capsys, command, str(archive), "unsafe member", "evil.jpg")
    assert names(tmp_path / "to") == []
    assert not list(tmp_path.rglob("*evil.jpg"))


@pytest.mark.parametrize(
    ("name", "counts", "top"),
    [
        ("horse2zebra", {**UNPAIRED, "trainB": 1}, "horse2zebra"),
        ("horse2zebra", UNPAIRED, "zebra2horse"),
        ("cyclegan-maps", UNPAIRED, "cyclegan-maps"),
    ],
)
def test_fetch_refuses_a_zip_of_another_set(fetch, tmp_path, capsys, name, counts, top):
    archive = tmp_path / "mine.zip"
    archive.write_bytes(pack_zip(counts, top=top))
    command = [name, "--output", tmp_path / "to", "--archive", archive]
    refused(fetch, capsys, command, f"not the set {name}", "trainB has", "delete it")
    assert names(tmp_path / "to") == []


def test_fetch_knows_sides_and_folders_of_unpaired_sets(fetch):
    zips = {name: known for name, known in fetch.SETS.items() if known.home.suffix == ".zip"}
    assert {"horse2zebra", "apple2orange", "summer2winter_yosemite", "monet2photo", "cyclegan-maps"} <= zips.keys()
    for known in zips.values():
        assert list(known.counts) == ["trainA", "trainB", "testA", "testB"]
        assert known.a != known.b


def test_fetch_suggests_names(fetch, tmp_path, capsys):
    refused(
        fetch, capsys, ["facade", "--output", tmp_path], "unknown set 'facade'", "Did you mean 'facades'?", "night2day"
    )
    refused(
        fetch, capsys, ["xyz", "--output", tmp_path], "unknown set 'xyz'. The sets are: edges2handbags, edges2shoes"
    )
    refused(fetch, capsys, ["cityscapes", "--output", tmp_path], "img2img cityscapes")
    refused(fetch, capsys, ["cyclegan-cityscapes", "--output", tmp_path], "img2img cityscapes")
    refused(fetch, capsys, ["horse2zebras", "--output", tmp_path], "Did you mean 'horse2zebra'?")
    refused(fetch, capsys, ["facades", "--output", tmp_path, "--archive", tmp_path / "no"], "--archive", "no such file")
    assert names(tmp_path) == []


def test_fetch_names_a_folder_that_cannot_be_written(fetch, server, tmp_path, capsys):
    (tmp_path / "file").touch()
    refused(
        fetch, capsys, ["facades", "--output", tmp_path / "file/x"], str(tmp_path / "file"), "choose another --output"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_fetch_names_a_full_disk(fetch, server, tmp_path, capsys):
    server.data = pack(COUNTS)
    (tmp_path / "facades.tar.gz.part").symlink_to("/dev/full")
    command = ["facades", "--output", tmp_path, "--url", server.url("range")]
    refused(fetch, capsys, command, str(tmp_path), "No space left on device", "free space")
    assert not (tmp_path / "facades").exists()


def test_fetch_refuses_python_without_safe_extraction(fetch, server, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    archive = tmp_path / "mine.zip"
    archive.write_bytes(pack_zip(UNPAIRED))
    # zips need none of it
    assert run_command("fetch", "horse2zebra", "--output", str(tmp_path), "--archive", str(archive)) == 0
    refused(fetch, capsys, ["facades", "--output", tmp_path, "--url", server.url("range")], "3.10.12")
    assert server.ranges == []


def test_fetch_interrupted_leaves_no_set(fetch, tmp_path, capsys, monkeypatch):
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(pack(COUNTS))
    monkeypatch.setattr(fetch, "wrong_count", interrupted)
    command = ["facades", "--output", tmp_path / "to", "--archive", archive]
    refused(fetch, capsys, command, "run the same command again", code=130)
    assert names(tmp_path / "to") == []


def test_fetch_command_line(server, tmp_path):
    server.data = pack({"train": 400, "val": 100, "test": 106})

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(call, capture_output=True, text=True, check=False)

    dropped = command("facades", "--output", tmp_path, "--url", server.url("drop"))
    assert (dropped.returncode, dropped.stderr.count("\n")) == (2, 1)
    assert "Traceback" not in dropped.stderr
    done = command("facades", "--output", tmp_path, "--url", server.url("range"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "400 train, 100 val, 106 test" in done.stdout
    both = command("facades", "--url", "x", "--archive", "y")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    assert "not allowed with" in both.stderr
