"""Reads the `Retry-After` header of an HTTP response.

The fal client, the outbound HTTP client and the notifier pass the result to their backoff, where it counts if it is
longer than the backoff's own wait. Plain Python, so that `generations.fal` may import it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str, *, seconds_max: float) -> float | None:
    """Return how many seconds the other side asks to wait.

    Args:
        value: The header, a number of seconds or an HTTP date (RFC 9110, section 10.2.3). Empty if it is missing.
        seconds_max: The longest wait to accept, so that no server can put work off for ever.

    Returns:
        0 to `seconds_max`, or None if the header is missing or cannot be read. A date in the past gives 0.
    """
    # RFC 9110 allows whole seconds only; fractions are common all the same.
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), seconds_max)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # "-0000" gives a date without a time zone, which means UTC.
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), seconds_max)
