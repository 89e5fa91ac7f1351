"""Fixtures of the tests of commands: customers, generations and batches, and the background work."""

from __future__ import annotations

from tests.fixtures.batches import (
    alice,
    api,
    bob,
    callbacks,
    clear_caches,
    close_fal_clients,
    order,
    order_batch,
    submitted,
    work,
)

__all__ = [
    "alice",
    "api",
    "bob",
    "callbacks",
    "clear_caches",
    "close_fal_clients",
    "order",
    "order_batch",
    "submitted",
    "work",
]
