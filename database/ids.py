"""Ids of rows, and random tokens.

Ids are UUIDv7, which begin with the time in milliseconds. Rows that are created together are therefore neighbours in an
index, and the rows created since some moment are found by their ids alone.
"""

import secrets
from datetime import datetime
from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """Return a new UUIDv7: it sorts by creation time, and later ids cannot be guessed from earlier ones."""
    return uuid_utils.compat.uuid7()


def first_id(moment: datetime) -> UUID:
    """Return the smallest UUIDv7 of a moment: rows created at or after `moment` have this id or a larger one."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def new_token() -> str:
    """Return a secret of 256 random bits that is safe in a URL (43 characters)."""
    return secrets.token_urlsafe(32)
