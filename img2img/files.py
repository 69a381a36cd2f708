"""Atomic writing of files: to a temporary file, which is flushed to the disk and renamed.

Renaming alone is enough if the process is killed. After a power cut without a flush, the file could exist under its new
name but be empty or full of zeros.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # errors of network shares, which can't flush folders


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file atomically: ``path`` has either the old or the new content at any time.

    Raises:
        OSError: the file can't be written; no temporary file is left.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(data)
        flush(aside)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk. Raises OSError."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # Windows can't open folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in NO_FOLDER_SYNC):
            raise
    finally:
        os.close(descriptor)
