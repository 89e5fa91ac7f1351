"""Hand-written SQL of the API: the key of a request and the row that its URL names, in one statement.

It joins a statement of the accounts app and one of the core tables. `tests/generations/api/test_statements.py` compares
it with the ORM.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from accounts import statements
from accounts.models import ApiKey
from generations.models import Generation
from generations.models.statements import Selection, key_parameter


class FoundGeneration(NamedTuple):
    key: ApiKey
    generation: Generation | None
    """None: the account of the key's user has no generation with this id."""


def find_with_key(digest: str, generation_id: UUID, selection: Selection) -> FoundGeneration | None:
    """Find a usable key, and a generation of its user. Returns None without a usable key.

    Plan: the look-ups of `accounts.statements.find_key`, one by the primary key of the generation, and those of the
    selection.
    """
    found = statements.find_key(
        digest,
        columns=selection.sql,
        joins="""LEFT JOIN generations_generation AS generation
                   ON generation.id = %s AND generation.account_id = account.id""",
        parameters=[key_parameter(generation_id)],
    )
    if found is None:
        return None
    key, row = found
    # The primary key is NULL where the outer join has found no row.
    return FoundGeneration(key, None if row[0] is None else selection.read(row))
