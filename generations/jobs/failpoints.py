"""Named places where the soak test lets a process die or oversleep: between two steps that belong together.

LIMN_FAILPOINTS names a file of lines like `posted exit 0.01`: the place, what happens there, and how likely it is; the
file may come and go. Without LIMN_TIME_SCALE, which the soak alone sets and which is refused beyond this machine,
nothing is read and nothing happens.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from database import time_scale

PLAN = Path(os.environ["LIMN_FAILPOINTS"]) if os.environ.get("LIMN_FAILPOINTS") and time_scale.TIME_SCALE != 1 else None
# What kill -9 leaves behind.
KILLED = 137
# Longer than any lease and any POST, so that whoever wakes up finds somebody else at his work.
SLEEP_SECONDS = time_scale.scaled(60, at_least=12)


def reach(name: str) -> None:
    """The process is at this place. Here it may end."""
    if PLAN is None or not PLAN.exists():
        return
    for place, deed, likelihood in map(str.split, PLAN.read_text().splitlines()):
        if place == name and random.random() < float(likelihood):  # noqa: S311  (no secret)
            _strike(name, deed)


def _strike(name: str, deed: str) -> None:
    sys.stderr.write(f"failpoint {name} {deed}\n")
    sys.stderr.flush()
    if deed == "exit":
        os._exit(KILLED)
    time.sleep(SLEEP_SECONDS)
