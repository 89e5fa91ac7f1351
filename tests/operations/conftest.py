"""Fixtures of the tests of operations: a customer, her orders, and fal's bill."""

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
from tests.fixtures.billing import admin_key, client_of_fal, generate

__all__ = [
    "admin_key",
    "alice",
    "api",
    "bob",
    "callbacks",
    "clear_caches",
    "client_of_fal",
    "close_fal_clients",
    "generate",
    "order",
    "order_batch",
    "submitted",
    "work",
]
