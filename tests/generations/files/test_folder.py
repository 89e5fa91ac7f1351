"""Writes to a folder: a file has its name when it is complete and on the disk, or never."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from generations.files import folder
from tests.helpers.source import ROOT
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]

HALF = bytes(100_000)
WRITE = """
import sys
from pathlib import Path
from generations.files import folder
folder.write(Path(sys.argv[1]), sys.stdin.buffer)
"""
WRITE_IN_PLACE = """
import shutil, sys
with open(sys.argv[1], "wb", buffering=0) as sink:
    shutil.copyfileobj(sys.stdin.buffer, sink)
"""


def kill_while_it_writes(program: str, path: Path) -> list[Path]:
    """Runs the program until half of the file is in the folder, and kills it. Returns the files of the folder."""
    path.parent.mkdir()
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(HALF)
        process.stdin.flush()
        until(lambda: any(file.stat().st_size for file in path.parent.iterdir()))
        process.kill()
    return list(path.parent.iterdir())


def test_a_process_that_is_killed_while_it_writes_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "generation" / "0-lease.mp4"

    (left,) = kill_while_it_writes(WRITE, path)

    assert not path.exists()
    # It is at the place of the attempt, which is on record.
    assert folder.beginning_with(path.with_name("0-lease.")) == [left]


def test_a_file_that_is_written_in_place_is_there_in_part(tmp_path: Path) -> None:
    """Negative control."""
    path = tmp_path / "generation" / "0-lease.mp4"

    assert kill_while_it_writes(WRITE_IN_PLACE, path) == [path]


def test_a_file_is_replaced_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"

    assert folder.write(path, io.BytesIO(b"first"))
    assert folder.write(path, io.BytesIO(b"second"))
    assert not folder.write(path, io.BytesIO(b"third"), replaces=False)

    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"second", [path])
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_folder_without_hard_links_keeps_the_first_file_too(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"

    assert folder.write(path, io.BytesIO(b"first"), replaces=False)
    assert not folder.write(path, io.BytesIO(b"second"), replaces=False)

    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"first", [path])


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        folder.write(tmp_path / "file", Broken())

    assert list(tmp_path.iterdir()) == []


def test_deleting_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    folder.delete(tmp_path / "none", tmp_path / "nowhere" / "none")
    assert folder.beginning_with(tmp_path / "nowhere" / "none") == []
