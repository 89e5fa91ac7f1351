"""Fixtures of the tests of safe HTTP: host names and certificates."""

from __future__ import annotations

from tests.fixtures.safe_http import authority, resolver

__all__ = ["authority", "resolver"]
