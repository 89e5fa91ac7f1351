"""Tells which database Limn runs on."""

from functools import cache

from django.db import connection


@cache
def vendor() -> str:
    """Return "postgresql" or "sqlite", as `connection.vendor` does.

    The settings decide it, so it never changes. `connection` looks up the connection of the thread each time.
    """
    return connection.vendor
