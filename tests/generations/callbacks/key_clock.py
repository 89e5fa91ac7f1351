"""A clock for fal's public keys. It stands still until a test moves it."""

from __future__ import annotations

from generations.fal.keys import KEY_LIFETIME_SECONDS, REFETCH_SECONDS, REFRESH_AHEAD_SECONDS


class KeyClock:
    """Seconds, as `time.monotonic` returns them."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def allow_refetch(self) -> None:
        """Moves the clock by the pause between two fetches of the keys."""
        self.now += REFETCH_SECONDS

    def reach_refresh(self) -> None:
        """Moves the clock to the time at which keys are fetched again before they expire."""
        self.now += KEY_LIFETIME_SECONDS - REFRESH_AHEAD_SECONDS

    def reach_expiry(self) -> None:
        """Moves the clock beyond the lifetime of all keys."""
        self.now += KEY_LIFETIME_SECONDS + 1
