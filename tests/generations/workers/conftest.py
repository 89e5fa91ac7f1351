"""Fixtures of the workers' tests: a customer, her orders, and both kinds of storage."""

from __future__ import annotations

from tests.fixtures.storage import alice, answered, either, folder, order, submitted, tidy_connections, work

__all__ = ["alice", "answered", "either", "folder", "order", "submitted", "tidy_connections", "work"]
