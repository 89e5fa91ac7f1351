"""Ids that sort by time and tell nothing else, and the secrets that guard a callback."""

import secrets
from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A UUIDv7: rows that were made together lie together, and nobody can guess the next."""
    return uuid_utils.compat.uuid7()


def new_token() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)
