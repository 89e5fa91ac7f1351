"""How long a worker waits before it tries again. Used by every worker that calls fal, the storage or a mail server."""

import random


def seconds(attempt: int, *, first: float, longest: float, asked: float | None = None) -> float:
    """Return the seconds until the next attempt: doubled from `first` to `longest`, a third more or less at random.

    The randomness spreads out rows that failed together. A longer Retry-After of the other side (`asked`) wins.
    """
    doubled = first * 2.0 ** min(attempt - 1, 20)
    wait = min(doubled, longest) * random.uniform(0.67, 1.33)  # noqa: S311  (no secret)
    return max(wait, asked or 0.0)
