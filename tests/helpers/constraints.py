"""Checks the constraints of an app's tables, with rows that are written directly, without the code that avoids them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

WrongRow = tuple[str, Callable[[], object]]
"""The name of a constraint, and a write that only this constraint forbids."""


def assert_enforced(app: str, wrong_rows: Sequence[WrongRow]) -> None:
    """Asserts that each write violates its constraint, and that every constraint of the app is among them."""
    errors = constraint_errors(app)
    for name, write in wrong_rows:
        with pytest.raises(IntegrityError, match=errors[name]), transaction.atomic():
            write()
    assert {name for name, _ in wrong_rows} == set(errors)


def constraint_errors(app: str) -> dict[str, str]:
    """What the database's error says for each constraint: its name; on SQLite, for a unique one, its columns."""
    return {
        constraint.name: _columns(table, constraint) if connection.vendor == "sqlite" else constraint.name
        for table in apps.get_app_config(app).get_models()
        for constraint in table._meta.constraints
    }


def _columns(table: type[models.Model], constraint: models.BaseConstraint) -> str:
    if not isinstance(constraint, models.UniqueConstraint):
        return constraint.name
    columns = {field.name: field.column for field in table._meta.concrete_fields}
    return f"{', '.join(f'{table._meta.db_table}.{columns[field]}' for field in constraint.fields)}$"
