"""On SQLite, no loop of `manage.py work` reads a whole table that grows with the generations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from config.management.commands.work import WORKERS
from generations.models import Event, Generation, Output, ProviderCallback, Submission
from generations.workers.loops import Loops
from notifications.models import WebhookAttempt, WebhookDelivery
from tests.fixtures.orders import PlaceOrder

pytestmark = [pytest.mark.django_db, pytest.mark.once]

TABLES = (Generation, Submission, ProviderCallback, Event, Output, WebhookDelivery, WebhookAttempt)
# They contain unfinished work only.
PARTIAL = ("generations_surplus", "generations_callbacks_received")


def scans_of(sql: str, params: Any) -> list[str]:
    """The steps of SQLite's plan that read all of one of TABLES."""
    with connection.cursor() as cursor:
        steps = [detail for *_, detail in cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()]
    whole = tuple(f"SCAN {table._meta.db_table}" for table in TABLES)
    return [step for step in steps if step.startswith(whole) and not step.endswith(PARTIAL)]


def test_no_loop_reads_a_whole_table(order: PlaceOrder) -> None:
    order()
    found: list[str] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip("(").startswith(("SELECT", "UPDATE", "DELETE")):
            found.extend(f"{step}: {sql}" for step in scans_of(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        Loops(WORKERS).watch()
        for worker in WORKERS:
            # It compares all rows with the storage, once a day and a thousand at a time.
            if worker.name != "storage_cleaner":
                worker.run_once(limit=worker.rows)

    assert not found, "\n".join(found)
    # The negative control: this one has no index.
    assert scans_of(*Generation.objects.filter(queue_position=5).order_by().query.sql_with_params())
