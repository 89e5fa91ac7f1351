"""Hand-written SQL of the accounts app.

Every request of the API begins with `find_key`. The ORM takes 2,500 Python calls to compile this statement and to make
the rows of four tables; written by hand it takes a tenth. `tests/accounts/test_statements.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.utils.duration import duration_microseconds

from accounts.models import ApiKey, UserLimits
from credits.models import Account
from database import prepared
from database.columns import Columns
from database.vendor import vendor

_KEY = Columns(
    *(ApiKey, "id", "user_id", "scopes", "expires_at", "credits_max", "model_slugs", "last_used_at"), alias="api_key"
)
_USER = Columns(User, "id", "username", alias="api_user")
_ACCOUNT = Columns(Account, alias="account")
_LIMITS = Columns(UserLimits, alias="limits")
_END_OF_KEY = len(_KEY)
_END_OF_USER = _END_OF_KEY + len(_USER)
_END_OF_ACCOUNT = _END_OF_USER + len(_ACCOUNT)
_END_OF_LIMITS = _END_OF_ACCOUNT + len(_LIMITS)

# As `ApiKeyQuerySet.usable` has it. The present time is the database's, as everywhere.
_NOW = {"postgresql": "STATEMENT_TIMESTAMP()", "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"}

# A bucket that is full fills no further: taking counts from now, not from when it became full.
_TAKE_TOKENS = {
    "postgresql": f"""
        UPDATE accounts_bucket SET full_at = GREATEST(full_at, {_NOW["postgresql"]}) + %s
        WHERE name = %s AND full_at <= {_NOW["postgresql"]} + %s RETURNING name""",
    # A moment is a text here. Django provides the function that adds microseconds to it.
    "sqlite": f"""
        UPDATE accounts_bucket SET full_at = DJANGO_FORMAT_DTDELTA('+', MAX(full_at, {_NOW["sqlite"]}), %s)
        WHERE name = %s AND full_at <= DJANGO_FORMAT_DTDELTA('+', {_NOW["sqlite"]}, %s) RETURNING name""",
}


class Extra(NamedTuple):
    """What a statement reads beside the key."""

    columns: str
    joins: str
    """Outer joins that find the tables of the columns. They may refer to `account`."""


class FoundKey(NamedTuple):
    key: ApiKey
    """With its user, the user's account and the account's limits in hand. All other columns are deferred."""
    others: Sequence[Any]
    """The values of the extra columns."""


def find_key(digest: str, *, extra: Extra | None = None, parameters: Sequence[Any] = ()) -> FoundKey | None:
    """Find the key with this digest, if it authenticates a request now.

    Plan: four look-ups by unique indexes, of the digest, the user, the user's account and the account's limits. It is
    prepared, because planning them takes three times as long as executing them.

    Args:
        extra: What to read in the same statement.
        parameters: The parameters of its joins.
    """
    row = prepared.fetch_one(_statement(extra), [*parameters, digest])
    if row is None:
        return None
    key, user = _KEY.read(row[:_END_OF_KEY]), _USER.read(row[_END_OF_KEY:_END_OF_USER])
    account = limits = None
    # The primary key is NULL where an outer join has found no row.
    if row[_END_OF_USER] is not None:
        account = _ACCOUNT.read(row[_END_OF_USER:_END_OF_ACCOUNT])
        if row[_END_OF_ACCOUNT] is not None:
            limits = _LIMITS.read(row[_END_OF_ACCOUNT:_END_OF_LIMITS])
        Account.limits.related.set_cached_value(account, limits)
    # As select_related does: also what does not exist is known, and is not looked up again.
    ApiKey.user.field.set_cached_value(key, user)
    User.account.related.set_cached_value(user, account)
    return FoundKey(key, row[_END_OF_LIMITS:])


@cache
def _statement(extra: Extra | None) -> str:
    columns, joins = extra or Extra("", "")
    return f"""SELECT {_KEY.sql}, {_USER.sql}, {_ACCOUNT.sql}, {_LIMITS.sql}{columns and ", "}{columns}
        FROM accounts_apikey AS api_key
        JOIN auth_user AS api_user ON api_user.id = api_key.user_id
        LEFT JOIN credits_account AS account ON account.user_id = api_key.user_id
        LEFT JOIN accounts_userlimits AS limits ON limits.account_id = account.id
        {joins}
        WHERE api_key.digest = %s AND api_key.revoked_at IS NULL AND api_user.is_active
          AND (api_key.expires_at IS NULL OR api_key.expires_at > {_NOW[vendor()]})"""


def take_tokens(name: str, *, ahead_max: timedelta, cost: timedelta) -> bool:
    """Take tokens from a bucket of `accounts.token_bucket`. False if it has too few, or does not exist.

    The ORM takes eight hundred calls to compile it, for every order. The plan is the primary key.

    Args:
        ahead_max: How far from now the bucket may be full at the latest.
        cost: How much later it will be full.
    """
    durations: list[Any] = [cost, ahead_max]
    if vendor() == "sqlite":
        durations = [duration_microseconds(duration) for duration in durations]
    return prepared.fetch_one(_TAKE_TOKENS[vendor()], [durations[0], name, durations[1]]) is not None
