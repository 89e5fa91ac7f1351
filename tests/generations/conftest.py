"""Fixtures of all tests of `generations`: two customers, their orders, and the workers."""

from __future__ import annotations

from tests.fixtures.orders import alice, bob, callbacks, close_fal_clients, order, submitted, work

__all__ = ["alice", "bob", "callbacks", "close_fal_clients", "order", "submitted", "work"]
