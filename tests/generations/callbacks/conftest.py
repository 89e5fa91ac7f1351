"""Fixtures of the tests of fal's callbacks."""

from __future__ import annotations

from tests.fixtures.callbacks import (
    alice,
    callbacks,
    close_fal_clients,
    order,
    shared_limn,
    submit_many,
    submitted,
    work,
)

__all__ = [
    "alice",
    "callbacks",
    "close_fal_clients",
    "order",
    "shared_limn",
    "submit_many",
    "submitted",
    "work",
]
