"""How long and how often fal tries to deliver a callback: the two policies it has published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["2026", "classic"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Seconds are fal's; the simulator divides them by its speed."""

    first_timeout_seconds: float
    later_timeout_seconds: float
    retries: int
    first_pause_seconds: float
    pause_factor: float
    pause_seconds_max: float
    until_result_expires: bool

    def timeout_seconds(self, attempt: int) -> float:
        return self.first_timeout_seconds if attempt == 1 else self.later_timeout_seconds

    def pause_seconds(self, attempt: int) -> float:
        """How long to wait after this failed attempt."""
        return float(min(self.pause_seconds_max, self.first_pause_seconds * self.pause_factor ** (attempt - 1)))


# fal-facts.md §3.3. Neither page gives the single pauses: "increasing backoff" and "ten retries over
# two hours" are all that is known, so these are chosen to fit (7 s doubled ten times is 7,161 s).
POLICIES: Mapping[PolicyName, Policy] = {
    "2026": Policy(
        first_timeout_seconds=15,
        later_timeout_seconds=120,
        retries=31,
        first_pause_seconds=5,
        pause_factor=1.5,
        pause_seconds_max=300,
        until_result_expires=True,
    ),
    "classic": Policy(
        first_timeout_seconds=15,
        later_timeout_seconds=15,
        retries=10,
        first_pause_seconds=7,
        pause_factor=2,
        pause_seconds_max=3600,
        until_result_expires=False,
    ),
}
