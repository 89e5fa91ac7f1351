"""Alice and one of each of her things, as the tests of the API have them."""

from tests.fixtures.api import (
    addresses,
    alice,
    batch,
    bob,
    completed,
    customer,
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
    "batch",
    "bob",
    "completed",
    "customer",
    "nothing_is_left_over",
    "order",
    "patient_fal",
    "running",
    "staff",
    "storing",
    "streams_are_short",
]
