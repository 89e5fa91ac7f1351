"""Fixtures of the tests of commands: a customer, her orders and her batches."""

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
