"""Fixtures of this folder."""

from __future__ import annotations

from tests.fixtures.pages import alice, bob, browser_of_alice, finished, order, tidy_connections

__all__ = ["alice", "bob", "browser_of_alice", "finished", "order", "tidy_connections"]
