"""A wrong clock for a process, by libfaketime. Without it on the machine these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest


def find_library() -> Path | None:
    """The library, if it is installed on this machine."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def wrong_clock(seconds: int) -> dict[str, str]:
    """Environment variables that make the clock of a process `seconds` fast, or slow if negative."""
    library = find_library()
    if library is None:
        pytest.skip("libfaketime is missing. On Debian: apt-get install faketime")
    # On a real machine with a wrong clock the monotonic time is right.
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
