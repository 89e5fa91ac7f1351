"""Failpoints: named places where the chaos test makes a process exit or pause, between two steps that belong together.

LIMN_FAILPOINTS names a file of lines like `posted exit 0.01`: the failpoint, the action (`exit` or `sleep`) and its
probability. The file may appear and disappear. Without LIMN_TIME_SCALE, which only chaos sets and which Limn refuses
on a public SITE_URL, nothing is read and nothing happens.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from database import time_scale

PLAN = Path(os.environ["LIMN_FAILPOINTS"]) if os.environ.get("LIMN_FAILPOINTS") and time_scale.TIME_SCALE != 1 else None
# The exit status of a process that was killed by SIGKILL.
KILLED = 137
# Longer than any lease and any POST, so that another worker has taken over by the time it wakes up.
SLEEP_SECONDS = time_scale.scaled(60, at_least=12)


def reach(name: str) -> None:
    """Exit or sleep, if the chaos test has chosen so for the failpoint `name`."""
    if PLAN is None:
        return
    try:
        plan = PLAN.read_text()
    except FileNotFoundError:
        return
    for place, action, probability in map(str.split, plan.splitlines()):
        if place == name and random.random() < float(probability):  # noqa: S311  (no secret)
            # Written to standard error, not to the log: chaos counts these lines.
            sys.stderr.write(f"failpoint {name} {action}\n")
            sys.stderr.flush()
            if action == "exit":
                os._exit(KILLED)
            time.sleep(SLEEP_SECONDS)
