"""Calls a function in several threads that start together, for tests of races."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

Found = TypeVar("Found")


def at_once(count: int, act: Callable[[int], Found]) -> list[Found]:
    """`act(0)`, `act(1)` … in as many threads, all let go together."""
    barrier = Barrier(count)

    def one(number: int) -> Found:
        try:
            barrier.wait()
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
