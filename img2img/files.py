"""Files that are whole or not there: written aside, flushed to the disk, renamed.

A rename alone survives a killed process. A power cut also needs the flushes: without them a file system may have the
new name on the disk and nothing, or zeros, under it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # what network shares say that can't flush folders


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file aside, flushes it and renames it; ``path`` holds the old content or the new one at any moment.

    Raises:
        OSError: it can't be written; nothing is left behind.
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
    """Waits until a file, or a folder's list of names, is on the disk. Raises OSError."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in NO_FOLDER_SYNC):
            raise
    finally:
        os.close(descriptor)
