"""A wrong clock for a process, by libfaketime. Without it on the machine these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest


def wrong_clock(seconds: int) -> dict[str, str]:
    """Environment variables that make the clock of a process `seconds` fast, or slow if negative."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is missing. On Debian: apt-get install faketime")
    # On a real machine with a wrong clock the monotonic time is right.
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
