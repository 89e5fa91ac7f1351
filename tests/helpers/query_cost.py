"""Explains every statement that a block executes on PostgreSQL, in all threads: its plan, and the buffers it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper

# Other statements, such as SAVEPOINT and SET, have no plan.
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
# What a statement may read: a few pages of an index and of a table for each row that it returns or changes, which may
# have a dozen indexes. Each list and each loop limits its rows.
BUFFERS_MAX, BUFFERS_OF_ROW_MAX = 300, 15


@dataclass(frozen=True)
class Statement:
    """An executed statement, and what its plan has read."""

    where: str
    """What was running."""
    sql: str
    buffers: int
    """Pages of 8 KB that were read, from the cache or from the disk."""
    rows: int
    """The rows that it returned or changed."""
    plan: str

    @property
    def reads_too_much(self) -> bool:
        return self.buffers > BUFFERS_MAX + BUFFERS_OF_ROW_MAX * self.rows

    def __str__(self) -> str:
        return f"{self.where}: {self.buffers} buffers for {self.rows} rows\n{self.sql}\n{self.plan}\n"


class _Explained(Exception):
    """Rolls an explained statement back."""


class Explainer:
    """Collects the statements that are executed within `watching`."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.where = ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Explain every statement of the present connection, and of those that are made meanwhile."""
        wrapped: list[BaseDatabaseWrapper] = []

        def wrap(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
            connection.execute_wrappers.append(self._explain)
            wrapped.append(connection)

        wrap(transaction.get_connection())
        connection_created.connect(wrap)
        try:
            yield
        finally:
            connection_created.disconnect(wrap)
            for connection in wrapped:
                connection.execute_wrappers.remove(self._explain)

    def _explain(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip(" (\n").upper().startswith(EXPLAINED):
            connection: BaseDatabaseWrapper = context["connection"]
            connection.execute_wrappers.remove(self._explain)
            try:
                # EXPLAIN ANALYZE executes the statement, so its changes are rolled back.
                with suppress(_Explained), transaction.atomic(), connection.cursor() as cursor:
                    self._record(cursor, sql, params)
                    raise _Explained
            finally:
                connection.execute_wrappers.append(self._explain)
        return execute(sql, params, many, context)

    def _record(self, cursor: CursorWrapper, sql: str, params: Any) -> None:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", params)
        root = cursor.fetchone()[0][0]["Plan"]
        changed = root["Plans"][0] if root["Node Type"] == "ModifyTable" and "Plans" in root else root
        rows = int(max(root["Actual Rows"], changed["Actual Rows"]))
        self.statements.append(Statement(self.where, sql, _buffers(root), rows, _outline(root)))


def _buffers(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _outline(node: dict[str, Any], depth: int = 0) -> str:
    names = " ".join(node[key] for key in ("Node Type", "Relation Name", "Index Name") if key in node)
    line = f"{'  ' * depth}{names}: {node['Actual Rows']:g} rows, {_buffers(node)} buffers"
    return "\n".join([line, *(_outline(child, depth + 1) for child in node.get("Plans", ()))])
