"""Fixtures of this folder."""

from __future__ import annotations

from tests.fixtures.pages import alice, bob, browser_of_alice, close_fal_clients, finished, order

__all__ = ["alice", "bob", "browser_of_alice", "close_fal_clients", "finished", "order"]
