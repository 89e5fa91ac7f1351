"""The queue's own tables, where it lies in PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import connections


def make_tables(*, using: str, **kwargs: Any) -> None:
    """After each `migrate`. Huey would make them whenever it is imported, and could not be imported in an outage."""
    from huey.contrib.djhuey import HUEY  # noqa: PLC0415  (reads the settings; apps are loaded only now)
    from huey.storage import PostgresStorage  # noqa: PLC0415

    if isinstance(HUEY.storage, PostgresStorage) and connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            for statement in HUEY.storage.ddl:
                cursor.execute(statement)
