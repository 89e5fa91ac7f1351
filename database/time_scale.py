"""Shortens Limn's own waits for the chaos test, which cannot wait for minutes.

With LIMN_TIME_SCALE=10, leases, backoffs and grace periods are ten times shorter. Time-outs of the network and of the
database keep their values, because those do not answer faster. A system check (limn.E004) refuses the setting unless
SITE_URL is a loopback address.
"""

from __future__ import annotations

import os

TIME_SCALE = float(os.environ.get("LIMN_TIME_SCALE") or 1)


def scaled(seconds: float, *, at_least: float = 0.0) -> float:
    """Divide a duration by the time scale, but return no less than `at_least` seconds."""
    return max(seconds / TIME_SCALE, at_least)
