"""Hand-written SQL of the API: the key of a request and the row that its URL names, in one statement.

It joins a statement of the accounts app and one of the core tables. `tests/generations/api/test_statements.py` compares
it with the ORM.
"""

from __future__ import annotations

from typing import Generic, NamedTuple
from uuid import UUID

from accounts import statements
from accounts.models import ApiKey
from accounts.statements import Extra
from generations.models import Batch, Generation
from generations.models.statements import Row, Selection, batch_state, key_parameter


class Found(NamedTuple, Generic[Row]):
    key: ApiKey
    row: Row | None
    """None: the account of the key's user has no row with this id."""


def find_generation_with_key(
    digest: str, generation_id: UUID, selection: Selection[Generation]
) -> Found[Generation] | None:
    """Find a usable key, and a generation of its user. Returns None without a usable key.

    Plan: the look-ups of `accounts.statements.find_key`, one by the primary key, and those of the selection.
    """
    return _find("generation", digest, generation_id, selection)


def find_batch_with_key(digest: str, batch_id: UUID) -> Found[Batch] | None:
    """Find a usable key, and the state of a batch of its user. Returns None without a usable key.

    Plan: as `find_generation_with_key`.
    """
    return _find("batch", digest, batch_id, batch_state())


def _find(table: str, digest: str, row_id: UUID, selection: Selection[Row]) -> Found[Row] | None:
    joins = f"LEFT JOIN generations_{table} AS {table} ON {table}.id = %s AND {table}.account_id = account.id"
    found = statements.find_key(digest, extra=Extra(selection.sql, joins), parameters=[key_parameter(row_id)])
    if found is None:
        return None
    key, row = found
    # The primary key is NULL where the outer join has found no row.
    return Found(key, None if row[0] is None else selection.read(row))
