"""Writes files to a folder, for a deployment without a bucket.

A file appears under its name when all of its bytes are on the disk, or never: a process that is killed, and a power
failure, leave no part of one.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

# What FAT, and some file systems of networks and of containers, answer to a request for a hard link.
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def write(path: Path, file: IO[bytes], *, replaces: bool = True) -> bool:
    """Store a file under this path. Its folders are created.

    Until it is complete it is beside the path, under a name that begins with that of the path and a dot.

    Returns:
        False if there is a file already, and `replaces` is False. On a file system without hard links, of two calls at
        the same moment both may return True; the later file is there then.
    """
    _create(path.parent)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as sink:
            shutil.copyfileobj(file, sink)
            sink.flush()
            os.fsync(sink.fileno())
        if replaces:
            os.replace(draft, path)
        else:
            _name_new(draft, path)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
    _flush(path.parent)
    return True


def delete(*paths: Path) -> None:
    """Delete files. It is no error if there are none."""
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            _flush(path.parent)


def beginning_with(start: Path) -> list[Path]:
    """Return the files whose paths begin with this text."""
    if not start.parent.is_dir():
        return []
    return [path for path in start.parent.iterdir() if path.name.startswith(start.name)]


def _name_new(draft: str, path: Path) -> None:
    """Give a file its name. Raises FileExistsError if there is one of this name."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if path.exists():
            raise FileExistsError(path) from error
        os.replace(draft, path)


def _create(folder: Path) -> None:
    if not folder.is_dir():
        _create(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush(folder.parent)


def _flush(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
