"""Fixtures of the tests of uploads: Alice, her uploads, and both kinds of storage."""

from __future__ import annotations

from tests.fixtures.uploads import (
    alice,
    anonymous,
    api,
    api_of_bob,
    bob,
    customer,
    each_storage,
    folder,
    reset_process_state,
    upload_image,
)

__all__ = [
    "alice",
    "anonymous",
    "api",
    "api_of_bob",
    "bob",
    "customer",
    "each_storage",
    "folder",
    "reset_process_state",
    "upload_image",
]
