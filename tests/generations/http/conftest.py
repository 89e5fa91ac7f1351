"""Fixtures of the tests of the HTTP plumbing: users with API keys, and their generations."""

from __future__ import annotations

from tests.fixtures.api import (
    alice,
    anonymous,
    api,
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
    "anonymous",
    "api",
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
