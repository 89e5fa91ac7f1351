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
from django.db.models.base import ModelState

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
        chosen = [field for field in model._meta.concrete_fields if not names or field.attname in names]
        if missing := set(names) - {field.attname for field in chosen}:
            raise TypeError(f"{model.__name__} has no column {', '.join(sorted(missing))}.")
        if model.__init__ is not models.Model.__init__:
            raise TypeError(f"{model.__name__} has an __init__ of its own, which `read` would not call.")
        self._fields = chosen
        self._names = [field.attname for field in chosen]
        self.sql = ", ".join(f'"{self._alias}"."{field.column}"' for field in self._fields)
        """The columns, for a SELECT or for an array of JSON."""

    def __len__(self) -> int:
        return len(self._fields)

    def read(self, values: Sequence[Any]) -> Row:
        """Return an instance with these values of the columns, as the database driver returns them."""
        row = list(values)
        # `connection` is a proxy that looks up the connection of the thread for each attribute.
        direct = connections[DEFAULT_DB_ALIAS]
        for position, column, converters in self._converters:
            for convert in converters:
                row[position] = convert(row[position], column, direct)
        return self._instance(row)

    def read_json(self, values: Sequence[Any]) -> Row:
        """Return an instance with these values of the columns, as JSON has them. Only for types that JSON has, UUIDs
        and booleans."""
        row = list(values)
        for position, convert in self._from_json:
            if row[position] is not None:
                row[position] = convert(row[position])
        return self._instance(row)

    def _instance(self, row: list[Any]) -> Row:
        # What `Model.from_db` returns, without its calls for each column, and without the signals `pre_init` and
        # `post_init`, which nothing here receives. Django takes what is missing in the dictionary for deferred.
        instance = self._model.__new__(self._model)
        instance.__dict__.update(zip(self._names, row, strict=True))
        instance._state = ModelState()
        instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
        return instance

    @cached_property
    def _converters(self) -> list[tuple[int, Any, list[Callable[[Any, Any, Any], Any]]]]:
        """By position: the converters of the backend and of the field. They are the same in every thread."""
        found = []
        for position, field in enumerate(self._fields):
            column = field.get_col(self._alias)
            converters = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
            if converters:
                found.append((position, column, converters))
        return found

    @cached_property
    def _from_json(self) -> list[tuple[int, Callable[[Any], Any]]]:
        kinds = [type(field.get_col(self._alias).output_field) for field in self._fields]
        return [(position, _FROM_JSON[kind]) for position, kind in enumerate(kinds) if kind in _FROM_JSON]
