"""Fixtures of the tests of processes: a customer, her orders, and running processes."""

from __future__ import annotations

from tests.fixtures.callbacks import (
    alice,
    courier,
    fresh_keys,
    order,
    shared_limn,
    submit_many,
    submitted,
    tidy_connections,
    work,
)

__all__ = [
    "alice",
    "courier",
    "fresh_keys",
    "order",
    "shared_limn",
    "submit_many",
    "submitted",
    "tidy_connections",
    "work",
]
