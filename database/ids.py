"""Identifiers of rows, and random tokens.

Ids are UUIDv7: they begin with the time in milliseconds, so rows made together lie together in an index, and rows made
since a moment are found by id alone.
"""

import secrets
from datetime import datetime
from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A new UUIDv7. It sorts by time, and the next one cannot be guessed."""
    return uuid_utils.compat.uuid7()


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of this moment: a row made at or after `moment` has this id or a higher one."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def new_token() -> str:
    """A secret of 256 random bits, safe in a URL (43 characters)."""
    return secrets.token_urlsafe(32)
