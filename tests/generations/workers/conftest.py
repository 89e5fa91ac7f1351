"""Fixtures of the workers' tests: a customer, her orders, and both kinds of storage."""

from __future__ import annotations

from tests.fixtures.callbacks import callbacks, submit_many
from tests.fixtures.storage import (
    alice,
    bob,
    close_fal_clients,
    each_storage,
    folder,
    order,
    order_answered_with,
    submitted,
    work,
)

__all__ = [
    "alice",
    "bob",
    "callbacks",
    "close_fal_clients",
    "each_storage",
    "folder",
    "order",
    "order_answered_with",
    "submit_many",
    "submitted",
    "work",
]
