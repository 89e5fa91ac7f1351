"""Fixtures of all tests of `generations`: a customer, her orders, and the background work."""

from __future__ import annotations

from tests.fixtures.orders import alice, courier, order, submitted, tidy_connections, work

__all__ = ["alice", "courier", "order", "submitted", "tidy_connections", "work"]
