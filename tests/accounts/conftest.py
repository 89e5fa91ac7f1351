"""Fixtures of the tests of accounts: Alice and her key."""

from __future__ import annotations

from tests.fixtures.api import (
    addresses,
    alice,
    anonymous,
    api,
    batch,
    bob,
    completed,
    customer,
    failed,
    nothing_is_left_over,
    order,
    patient_fal,
    running,
    staff,
    storing,
    streams_are_short,
)

__all__ = [
    "addresses",
    "alice",
    "anonymous",
    "api",
    "batch",
    "bob",
    "completed",
    "customer",
    "failed",
    "nothing_is_left_over",
    "order",
    "patient_fal",
    "running",
    "staff",
    "storing",
    "streams_are_short",
]
