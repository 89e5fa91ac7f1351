"""How fast our own waiting goes. One second a second, except in the soak test, which cannot wait for minutes.

LIMN_TIME_SCALE=10 makes leases, back-offs and graces ten times shorter. What a real network or a real database is
given to answer is never scaled. `manage.py` refuses it (limn.E004) where SITE_URL is not this very machine.
"""

from __future__ import annotations

import os

TIME_SCALE = float(os.environ.get("LIMN_TIME_SCALE") or 1)


def scaled(seconds: float, *, at_least: float = 0.0) -> float:
    """So many seconds, at the pace of this process."""
    return max(seconds / TIME_SCALE, at_least)
