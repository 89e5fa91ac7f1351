"""Selects columns of a model in hand-written SQL, and makes instances of the model from the rows.

The modules named `statements` use it. Values are converted as the ORM converts them, by the database backend and by
the field, so an instance equals the one that the ORM would have returned. Columns that are not selected are deferred:
reading one of them takes a query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models.base import DEFERRED

Row = TypeVar("Row", bound=models.Model)

# JSON has no UUIDs, and the JSON of SQLite has no booleans.
_FROM_JSON: dict[type, Callable[[Any], Any]] = {models.UUIDField: UUID, models.BooleanField: bool}


class Columns(Generic[Row]):
    """Columns of one table in a statement."""

    def __init__(self, model: type[Row], *names: str, alias: str = "") -> None:
        """Choose the columns.

        Args:
            model: The model of the table.
            names: The columns, by the names of their attributes, such as `account_id`. None: all of the model.
            alias: What the statement calls the table. The name of the table by default.
        """
        self._model = model
        self._alias = alias or model._meta.db_table
        every = model._meta.concrete_fields
        chosen = [(position, field) for position, field in enumerate(every) if not names or field.attname in names]
        if missing := set(names) - {field.attname for _, field in chosen}:
            raise TypeError(f"{model.__name__} has no column {', '.join(sorted(missing))}.")
        self._positions = [position for position, _ in chosen]
        self._fields = [field for _, field in chosen]
        self._unselected = [DEFERRED] * len(every)
        self.sql = ", ".join(f'"{self._alias}"."{field.column}"' for field in self._fields)
        """The columns, for a SELECT or for an array of JSON."""

    def __len__(self) -> int:
        return len(self._fields)

    def read(self, values: Sequence[Any]) -> Row:
        """Return an instance with these values of the columns, as the database driver returns them."""
        row = self._unselected.copy()
        for position, value in zip(self._positions, values, strict=True):
            row[position] = value
        # `connection` is a proxy that looks up the connection of the thread for each attribute.
        direct = connections[DEFAULT_DB_ALIAS]
        for position, column, converters in self._converters:
            for convert in converters:
                row[position] = convert(row[position], column, direct)
        return self._instance(row)

    def read_json(self, values: Sequence[Any]) -> Row:
        """Return an instance with these values of the columns, as JSON has them. Only for types that JSON has, UUIDs
        and booleans."""
        row = self._unselected.copy()
        for position, value in zip(self._positions, values, strict=True):
            row[position] = value
        for position, convert in self._from_json:
            if row[position] is not None:
                row[position] = convert(row[position])
        return self._instance(row)

    def _instance(self, row: list[Any]) -> Row:
        return self._model.from_db(DEFAULT_DB_ALIAS, [], row)

    @cached_property
    def _converters(self) -> list[tuple[int, Any, list[Callable[[Any, Any, Any], Any]]]]:
        """By position: the converters of the backend and of the field. They are the same in every thread."""
        found = []
        for position, field in zip(self._positions, self._fields, strict=True):
            column = field.get_col(self._alias)
            converters = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
            if converters:
                found.append((position, column, converters))
        return found

    @cached_property
    def _from_json(self) -> list[tuple[int, Callable[[Any], Any]]]:
        kinds = [type(field.get_col(self._alias).output_field) for field in self._fields]
        return [
            (position, _FROM_JSON[kind])
            for position, kind in zip(self._positions, kinds, strict=True)
            if kind in _FROM_JSON
        ]
