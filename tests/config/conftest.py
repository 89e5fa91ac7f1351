"""Fixtures of the tests of the composition root: a customer."""

from __future__ import annotations

from tests.fixtures.orders import alice

__all__ = ["alice"]
