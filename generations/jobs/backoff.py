"""How long to wait before trying again."""

import random


def seconds(attempt: int, *, first: float, longest: float, asked: float | None = None) -> float:
    """Doubling from `first` to `longest`, a third less or more by chance so that a crowd does not return as one.

    What the other side asked for (Retry-After) wins when it is longer.
    """
    doubled = first * 2.0 ** min(attempt - 1, 20)
    wait = min(doubled, longest) * random.uniform(0.67, 1.33)  # noqa: S311  (no secret)
    return max(wait, asked or 0.0)
