"""Fixtures of the tests of operations: a customer, her orders, and fal's bill."""

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
from tests.fixtures.billing import admin_key, client_of_fal, make

__all__ = [
    "admin_key",
    "alice",
    "api",
    "bob",
    "client_of_fal",
    "courier",
    "make",
    "nothing_is_remembered",
    "order",
    "order_batch",
    "submitted",
    "tidy_connections",
    "work",
]
