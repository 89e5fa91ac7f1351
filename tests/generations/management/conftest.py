"""Fixtures of the tests of commands: customers, generations and batches, and the background work."""

from __future__ import annotations

from tests.fixtures.batches import (
    alice,
    api,
    bob,
    courier,
    nothing_is_remembered,
    order,
    order_batch,
    submitted,
    tidy_connections,
    work,
)

__all__ = [
    "alice",
    "api",
    "bob",
    "courier",
    "nothing_is_remembered",
    "order",
    "order_batch",
    "submitted",
    "tidy_connections",
    "work",
]
