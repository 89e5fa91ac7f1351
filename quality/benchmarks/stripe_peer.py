"""dj-stripe's webhook endpoint, the peer of Limn's callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from quality.benchmarks.environment import Environment

GUESS_PER_SECOND = 150


@dataclass
class StripePeer:
    port: int
    pid: int

    def events(self, count: int) -> list[bytes]:
        """Return signed events."""
        raise NotImplementedError


@contextmanager
def server(environment: Environment) -> Iterator[StripePeer | None]:
    """Run the endpoint."""
    yield None
