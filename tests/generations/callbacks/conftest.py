"""Fixtures of the tests of fal's callbacks."""

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
