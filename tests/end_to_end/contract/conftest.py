"""Fixtures of the tests of the API: Alice, other users, and one of each of Alice's objects."""

from tests.fixtures.api import (
    alice,
    batch,
    bob,
    completed,
    customer,
    failed,
    order,
    path_parameters,
    patient_fal,
    reset_process_state,
    running,
    short_streams,
    staff,
    storing,
)

__all__ = [
    "alice",
    "batch",
    "bob",
    "completed",
    "customer",
    "failed",
    "order",
    "path_parameters",
    "patient_fal",
    "reset_process_state",
    "running",
    "short_streams",
    "staff",
    "storing",
]
