"""Fixtures of the tests of files: a customer with orders, and both kinds of storage."""

from __future__ import annotations

from tests.fixtures.storage import alice, each_storage, folder, order, work

__all__ = ["alice", "each_storage", "folder", "order", "work"]
