"""Fixtures of the tests of fal's callbacks."""

from __future__ import annotations

import pytest

from generations.provider import clients
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
from tests.generations.callbacks.key_clock import KeyClock

__all__ = ["alice", "callbacks", "close_fal_clients", "order", "shared_limn", "submit_many", "submitted", "work"]


@pytest.fixture
def key_clock() -> KeyClock:
    """The clock by which the callback view's keys grow old."""
    clients.keys().clock = clock = KeyClock()
    return clock
