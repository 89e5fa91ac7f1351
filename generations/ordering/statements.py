"""The SQL of ordering: everything that decides whether an order is accepted, in one statement.

An order is decided under the lock of its account's row, so every round trip of it is one that all other orders of the
account wait for. `tests/generations/ordering/test_statements.py` compares the answer with the ORM's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from accounts import api_keys
from credits.models import Account
from database import clock, prepared
from database.statements import to_database


@dataclass(frozen=True, kw_only=True)
class OrderContext:
    """What the database knows about an order before it is accepted."""

    now: datetime
    running_max: int | None
    """This and the next two are the limits that staff have set for the account."""
    credits_per_day: int | None
    credits_per_month: int | None
    running: int
    """The open holds of generations of the account."""
    spent_today: int
    spent_this_month: int
    is_paused: bool
    is_breaker_open: bool
    others_wait: bool
    """Whether a queued generation of any account is due."""
    api_key_id: int | None
    """The API key of the request; the next three are its limits and what was spent with it."""
    key_models: Sequence[str]
    key_credits_max: int | None
    key_spent: int
    percent: int | None
    """The price of the model in the price book, in percent of the list price. None: the list price."""
    is_offered: bool
    earlier: UUID | None
    """The generation that was ordered with the same idempotency key."""
    alike: UUID | None
    """The newest generation of the same order that has not failed."""


# Each subquery reads rows of one account by an index: open holds by the partial index `credits_hold_open`, spending by
# its unique index (at most 31 rows), the price by `generations_price_book`, due generations by the partial index
# `generations_due`, whose condition is repeated in its own words, as SQLite requires.
_ORDER_CONTEXT = """
    SELECT limits.running_max, limits.credits_per_day, limits.credits_per_month,
        (SELECT COUNT(*) FROM credits_hold
            WHERE account_id = %(account)s AND settled_at IS NULL AND reference LIKE 'generation:%%'),
        COALESCE((SELECT credits FROM generations_dailyspending WHERE account_id = %(account)s AND day = %(today)s), 0),
        COALESCE((SELECT SUM(credits) FROM generations_dailyspending
            WHERE account_id = %(account)s AND day >= %(month)s AND day < %(next_month)s), 0),
        EXISTS (SELECT 1 FROM generations_orderintake WHERE paused_at IS NOT NULL),
        EXISTS (SELECT 1 FROM generations_circuitbreaker WHERE opened_at IS NOT NULL),
        EXISTS (SELECT 1 FROM generations_generation
            WHERE phase = 'queued' AND next_attempt_at <= %(now)s),
        api_key.model_slugs, api_key.credits_max, COALESCE(spending.credits, 0),
        terms.percent, terms.offered,
        (SELECT id FROM generations_generation
            WHERE account_id = %(account)s AND idempotency_key = %(idempotency_key)s),
        (SELECT id FROM generations_generation
            WHERE account_id = %(account)s AND arguments_hash = %(arguments_hash)s AND created_at > %(alike_since)s
                AND status <> 'failed'
            ORDER BY id DESC LIMIT 1)
    FROM credits_account account
        LEFT JOIN accounts_userlimits limits ON limits.account_id = account.id
        LEFT JOIN accounts_apikey api_key ON api_key.id = %(api_key)s
        LEFT JOIN generations_keyspending spending ON spending.api_key_id = api_key.id
        LEFT JOIN (
            SELECT percent, offered FROM generations_pricebookentry
            WHERE model = %(model)s AND effective_from <= %(now)s ORDER BY effective_from DESC, id DESC LIMIT 1
        ) terms ON 1 = 1
    WHERE account.id = %(account)s"""


def order_context(
    account_id: int,
    *,
    model: str,
    idempotency_key: str | None,
    arguments_hash: str | None,
    alike_since: datetime,
) -> OrderContext:
    """Read what decides about an order with the API key of the current request, if it came with one.

    Args:
        arguments_hash: Looks for an earlier order of the same since `alike_since`. None: there is no need to.
    """
    now, key = clock.now(), api_keys.current()
    api_key_id = key.pk if key else None
    today = now.astimezone(UTC).date()
    month = today.replace(day=1)
    parameters: dict[str, Any] = {
        "account": account_id,
        "today": _day(today),
        "month": _day(month),
        "next_month": _day((month + timedelta(days=32)).replace(day=1)),
        "now": to_database(now),
        "api_key": api_key_id,
        "idempotency_key": idempotency_key,
        "arguments_hash": arguments_hash,
        "alike_since": to_database(alike_since),
        "model": model,
    }
    row = prepared.fetch_one(_ORDER_CONTEXT, parameters)
    if row is None:
        raise Account.DoesNotExist(account_id)
    return _read(now, api_key_id, row)


def _read(now: datetime, api_key_id: int | None, row: Sequence[Any]) -> OrderContext:
    slugs, offered = row[9], row[13]
    return OrderContext(
        now=now,
        api_key_id=api_key_id,
        running_max=row[0],
        credits_per_day=row[1],
        credits_per_month=row[2],
        running=row[3],
        spent_today=int(row[4]),
        spent_this_month=int(row[5]),
        is_paused=bool(row[6]),
        is_breaker_open=bool(row[7]),
        others_wait=bool(row[8]),
        key_models=json.loads(slugs) if isinstance(slugs, str) else slugs or [],
        key_credits_max=row[10],
        key_spent=row[11],
        percent=row[12],
        is_offered=offered is None or bool(offered),
        earlier=_uuid(row[14]),
        alike=_uuid(row[15]),
    )


def _day(day: Any) -> Any:
    return connection.ops.adapt_datefield_value(day)


def _uuid(value: Any) -> UUID | None:
    # SQLite stores the hexadecimal digits.
    return value if value is None or isinstance(value, UUID) else UUID(value)
