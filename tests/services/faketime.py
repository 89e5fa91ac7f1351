"""A wrong clock for a process of ours, where the machine has libfaketime."""

from __future__ import annotations

from pathlib import Path

import pytest


def wrong_clock(seconds: int) -> dict[str, str]:
    """The environment in which a program believes that it is so much later, or earlier."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is missing. On Debian: apt-get install faketime")
    # Time that only runs, and is not read off a clock, goes right on a machine whose clock is wrong.
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
