"""Fixtures of the provider's tests: two customers with API keys, and their orders."""

from __future__ import annotations

from tests.fixtures.limits import alice, api, bob, close_fal_clients, order, reset_limits, submitted, work

__all__ = ["alice", "api", "bob", "close_fal_clients", "order", "reset_limits", "submitted", "work"]
