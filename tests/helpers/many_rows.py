"""Fills PostgreSQL with copies of one finished order, in seconds: a database after months of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.db import connection, models, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from credits.models import Entry, Hold
from generations.models import INCIDENTS, Event, Generation, Output, ProviderCallback, Submission
from notifications.models import WebhookAttempt, WebhookDelivery

PERIOD = timedelta(days=100)
# One row for each copy: its time, its account, and new keys for the rows that have no sequence. Ids of version 7 begin
# with the milliseconds. The first account has half of the copies, and the last one only some of the oldest.
COPIES = """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT n, at, mod(n, 20) = 0 AS failed, gen_random_uuid() AS message,
        accounts[CASE WHEN n <= 100 THEN cardinality(accounts) WHEN mod(n, 2) = 0 THEN 1
                      ELSE 1 + mod(n, cardinality(accounts) - 1) END] AS account,
        (millis || '7000' || tail)::uuid AS generation, (millis || '7001' || tail)::uuid AS submission,
        (millis || '7002' || tail)::uuid AS output, (millis || '7003' || tail)::uuid AS delivery,
        nextval(pg_get_serial_sequence('credits_hold', 'id')) AS hold
    FROM (VALUES (%s::timestamptz, %s::interval, %s::bigint[], %s::int)) AS given (now, period, accounts, count),
        generate_series(1, count) AS n,
        LATERAL (SELECT now - period * (1 - n::float / count) AS at) AS moment,
        LATERAL (SELECT lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS millis,
                        '8' || lpad(to_hex(n), 15, '0') AS tail) AS parts
"""
# Enough events for the metrics. Inserting them takes the longest.
FACTS = ("submitted", "answered", "completed")
GENERATION = {
    "id": "generation",
    "account_id": "account",
    "arguments_hash": "md5(n::text)",
    "status": "CASE WHEN failed THEN 'failed' ELSE 'completed' END",
    "failure_code": "CASE WHEN failed THEN 'provider_error' ELSE '' END",
    "captured": "CASE WHEN failed THEN 0 ELSE row.credits END",
    "released": "CASE WHEN failed THEN row.credits ELSE 0 END",
    "created_at": "at",
    "submitted_at": "at",
    "answered_at": "at + interval '5 seconds'",
    "finished_at": "at + interval '6 seconds'",
    "deadline_at": "at + interval '1 hour'",
}
SUBMISSION = {
    "id": "submission",
    "generation_id": "generation",
    "request_id": "submission::text",
    "created_at": "at",
    "answered_at": "at",
    "units_due_at": "NULL",
    "billable_units": "1",
}
CALLBACK = {"submission_id": "submission", "request_id": "submission::text", "received_at": "at"}
EVENT = {
    "generation_id": "generation",
    "account_id": "account",
    "created_at": "at",
    "fact": "CASE WHEN failed AND row.fact = 'completed' THEN 'failed' ELSE row.fact END",
}
OUTPUT = {"id": "output", "generation_id": "generation", "stored_at": "at", "give_up_at": "at"}
HOLD = {
    "id": "hold",
    "account_id": "account",
    "reference": "'generation:' || generation",
    "opened_at": "at",
    "settled_at": "at",
}
ENTRY = {"account_id": "account", "hold_id": "hold", "created_at": "at"}
DELIVERY = {
    "id": "delivery",
    "message_id": "message",
    "generation_id": "generation",
    "account_id": "account",
    "happened_at": "at",
    "delivered_at": "at",
}
ATTEMPT = {"delivery_id": "delivery", "at": "copies.at"}


def fill(template: Generation, accounts: Sequence[int], *, count: int) -> None:
    """Copy a completed generation and all rows that belong to it `count` times, evenly over PERIOD before now."""
    holds = Hold.objects.filter(reference=template.reference)
    deliveries = WebhookDelivery.objects.filter(generation=template)
    # The rows, the columns that differ, and how many copies have one of them.
    copied: list[tuple[models.QuerySet[models.Model], Mapping[str, str], int]] = [
        (Generation.objects.filter(pk=template.pk), GENERATION, 1),
        (Submission.objects.filter(generation=template), SUBMISSION, 1),
        (ProviderCallback.objects.filter(submission__generation=template), CALLBACK, 1),
        (Event.objects.filter(generation=template, fact__in=FACTS), EVENT, 1),
        (Event.objects.filter(generation=template, fact__in=INCIDENTS), EVENT, 50),
        (Output.objects.filter(generation=template), OUTPUT, 1),
        (holds, HOLD, 1),
        (Entry.objects.filter(hold__in=holds), ENTRY, 1),
        (deliveries, DELIVERY, 5),
        (WebhookAttempt.objects.filter(delivery__in=deliveries), ATTEMPT, 5),
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        # Foreign keys are right by construction. Checking a million of them would take most of the time.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(COPIES, [timezone.now(), str(PERIOD), list(accounts), count])
        for rows, changes, every in copied:
            _copy(cursor, rows, changes, every)
    with connection.cursor() as cursor:
        # For the planner, and for the visibility map that index-only scans need.
        cursor.execute(f"VACUUM (ANALYZE) {', '.join(rows.model._meta.db_table for rows, *_ in copied)}")


def _copy(cursor: CursorWrapper, rows: models.QuerySet[models.Model], changes: Mapping[str, str], every: int) -> None:
    """Insert a copy of `rows` for one of `every` rows of `copies`. `changes` are SQL expressions by column."""
    table = rows.model._meta.db_table
    values = {str(field.column): f"row.{field.column}" for field in rows.model._meta.concrete_fields}
    values |= {"id": f"nextval(pg_get_serial_sequence('{table}', 'id'))", **changes}
    keys = list(rows.order_by("pk").values_list("pk", flat=True))
    insert = f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())}"
    source = f"FROM copies CROSS JOIN {table} AS row WHERE row.id = ANY(%s) AND mod(n, %s) = 0"
    cursor.execute(f"{insert} {source} ORDER BY copies.n, row.id", [keys, every])
