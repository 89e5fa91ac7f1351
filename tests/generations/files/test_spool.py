"""Spools: files between their arrival and the storage, in bounded memory."""

from __future__ import annotations

import hashlib
import os

import pytest

from generations.files import spool
from generations.files.spool import MemoryBudget, Spool

CHUNK = os.urandom(64 * 1024)


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> MemoryBudget:
    budget = MemoryBudget(spool.MEMORY_BYTES_MAX)
    monkeypatch.setattr(spool, "MEMORY", budget)
    return budget


def fill(spool: Spool, size_bytes: int) -> bytes:
    """Writes as the HTTP client does, in chunks. Returns what was written."""
    content = (CHUNK * (size_bytes // len(CHUNK) + 1))[:size_bytes]
    for start in range(0, size_bytes, len(CHUNK)):
        spool.write(content[start : start + len(CHUNK)])
    return content


def test_a_small_file_is_in_memory() -> None:
    with Spool() as small:
        content = fill(small, 3_000_000)

        assert (small.content, small.size_bytes) == (content, 3_000_000)


@pytest.mark.parametrize("expected_bytes", [None, 9 * 1024**2])
def test_a_large_file_is_on_disk_and_takes_no_memory(budget: MemoryBudget, expected_bytes: int | None) -> None:
    with Spool(expected_bytes=expected_bytes) as large:
        content = fill(large, 9 * 1024**2)

        assert (large.content, budget.taken_bytes) == (None, 0)
        large.file.seek(0)
        assert large.file.read() == content


@pytest.mark.parametrize("size_bytes", [1000, 9 * 1024**2])
def test_the_file_is_hashed(size_bytes: int) -> None:
    with Spool() as spooled:
        content = fill(spooled, size_bytes)

        assert spooled.digest == hashlib.sha256(content).digest()


def test_many_files_share_the_memory(budget: MemoryBudget) -> None:
    """When it is used up, further files go to disk."""
    spools = [Spool() for _ in range(8)]
    for each in spools:
        fill(each, 7 * 1024**2)

    assert [each.content is not None for each in spools] == [True] * 4 + [False] * 4
    for each in spools:
        with each:
            pass
    assert (budget.taken_bytes, budget.peak_bytes <= spool.MEMORY_BYTES_MAX) == (0, True)
