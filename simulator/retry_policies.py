"""How long fal waits for the receiver of a callback, and how often it tries again.

fal has published two policies; `--callback-policy` chooses one. The callback sender applies it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["2026", "classic"]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Time-outs and pauses of one policy. Seconds are in fal's time: the sender divides them by its speed."""

    first_timeout_seconds: float
    later_timeout_seconds: float
    retries: int
    first_pause_seconds: float
    pause_factor: float
    pause_seconds_max: float
    until_result_expires: bool
    """Whether retries end when the result expires, even if some are left."""

    def timeout_seconds(self, attempt: int) -> float:
        """Return how long attempt number `attempt` (from 1) waits for an answer."""
        return self.first_timeout_seconds if attempt == 1 else self.later_timeout_seconds

    def pause_seconds(self, attempt: int) -> float:
        """Return the pause after attempt number `attempt` (from 1) failed."""
        return float(min(self.pause_seconds_max, self.first_pause_seconds * self.pause_factor ** (attempt - 1)))


# The numbers of retries and the time-outs are fal's (docs/fal.md). fal does not publish single pauses: it says
# "increasing backoff" and "ten retries over two hours". These fit: 7 s doubled ten times adds up to 7,161 s.
RETRY_POLICIES: Mapping[PolicyName, RetryPolicy] = {
    "2026": RetryPolicy(
        first_timeout_seconds=15,
        later_timeout_seconds=120,
        retries=31,
        first_pause_seconds=5,
        pause_factor=1.5,
        pause_seconds_max=300,
        until_result_expires=True,
    ),
    "classic": RetryPolicy(
        first_timeout_seconds=15,
        later_timeout_seconds=15,
        retries=10,
        first_pause_seconds=7,
        pause_factor=2,
        pause_seconds_max=3600,
        until_result_expires=False,
    ),
}
