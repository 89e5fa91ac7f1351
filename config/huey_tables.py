"""Creates Huey's own tables, if the queue is in PostgreSQL. Connected to `post_migrate` by `config.apps`."""

from __future__ import annotations

from typing import Any

from django.db import connections


def create(*, using: str, **kwargs: Any) -> None:
    """Create the tables after `migrate`.

    Huey would do it at import, and could then not be imported during an outage.
    """
    from huey.contrib.djhuey import HUEY  # noqa: PLC0415  (reads the settings; apps are loaded only now)
    from huey.storage import PostgresStorage  # noqa: PLC0415

    if isinstance(HUEY.storage, PostgresStorage) and connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            for statement in HUEY.storage.ddl:
                cursor.execute(statement)
