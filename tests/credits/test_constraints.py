"""What the database refuses on its own, if the ledger's code were wrong. Cases D1 to D6 and D11 of
docs/failure-modes.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from credits import ledger
from credits.models import CREDITS_MAX, Account, Entry, Hold
from tests.credits.tables import assert_refused, create_triggers, drop_triggers
from tests.helpers.database_guards import execute

Write = Callable[[Account], object]


def _account(**columns: int) -> Write:
    return lambda alice: Account.objects.filter(pk=alice.pk).update(**columns)


def _hold(**columns: object) -> Write:
    return lambda alice: Hold.objects.create(account=alice, reference="wrong", **{"amount": 5, **columns})


def _settled(**columns: object) -> Write:
    return _hold(settled_at=timezone.now(), **columns)


def _entry(**columns: object) -> Write:
    return lambda alice: Entry.objects.create(account=alice, available_after=0, **columns)


def _second_entry(kind: str) -> Write:
    """Another entry of this kind for a hold that has one."""
    return lambda alice: Entry.objects.create(
        account=alice, available_after=0, hold=Hold.objects.get(reference="fox"), kind=kind
    )


VIOLATIONS: dict[str, list[Write]] = {
    "credits_balance_not_negative": [_account(balance=-1, held=-1)],
    "credits_held_not_negative": [_account(held=-1)],
    "credits_held_within_balance": [_account(held=101)],
    "credits_hold_amount": [_hold(amount=-1), _hold(amount=CREDITS_MAX + 1)],
    "credits_hold_settles_in_full": [
        _settled(captured=2, released=2),
        _settled(captured=6, released=-1),
        _settled(captured=-1, released=6, refunded=-1),
        _hold(captured=5),
        _hold(released=5),
    ],
    "credits_refund_within_capture": [
        _settled(captured=2, released=3, refunded=3),
        _settled(captured=2, released=3, refunded=-1),
    ],
    "credits_hold_opens_once": [_second_entry("hold")],
    "credits_hold_settles_once": [_second_entry("capture"), _second_entry("release")],
    "credits_change_has_two_sides": [_entry(kind="grant", key="new", balance_change=5)],
    "credits_entry_has_cause": [
        _entry(kind="grant"),
        _entry(kind="adjust"),
        _entry(kind="refund", key="new"),
        _entry(kind="hold"),
        _entry(kind="capture", key="new"),
        _entry(kind="gift", key="new"),
    ],
}


@pytest.mark.parametrize("constraint", VIOLATIONS)
def test_the_database_refuses(alice: Account, constraint: str) -> None:
    ledger.hold(alice, 30, reference="fox")
    ledger.capture("fox")
    # SQLite reports the column of a unique index instead of the name of the index.
    is_unique = constraint in ("credits_hold_opens_once", "credits_hold_settles_once")
    error = "credits_entry.hold_id" if is_unique and connection.vendor == "sqlite" else constraint

    for write in VIOLATIONS[constraint]:
        with assert_refused(IntegrityError, match=error), transaction.atomic():
            write(alice)


def test_every_constraint_is_violated_by_a_test() -> None:
    declared = {constraint.name for table in (Account, Hold, Entry) for constraint in table._meta.constraints}

    assert declared == VIOLATIONS.keys()


def test_references_keys_and_users_are_unique(alice: Account) -> None:
    ledger.hold(alice, 30, reference="fox")

    for write in (
        lambda: Hold.objects.create(account=alice, amount=1, reference="fox"),
        lambda: Entry.objects.create(account=alice, available_after=0, kind="grant", key="first:alice"),
        lambda: Account.objects.create(user=alice.user),
    ):
        with assert_refused(IntegrityError, match="(?i)unique"), transaction.atomic():
            write()


# --- Entries are append-only ---


def test_d6_an_entry_is_never_changed_or_deleted(alice: Account) -> None:
    for write in (
        lambda: execute("UPDATE credits_entry SET balance_change = 1000"),
        lambda: execute("UPDATE credits_entry SET reason = reason"),
        lambda: execute("DELETE FROM credits_entry WHERE kind = 'grant'"),
        lambda: Entry.objects.update(reason="another"),
        lambda: Entry.objects.all().delete(),
        lambda: Entry.objects.get().delete(),
    ):
        with assert_refused(DatabaseError, match="never changed or deleted"), transaction.atomic():
            write()


@pytest.mark.only_postgresql
def test_d6_the_table_of_entries_is_not_truncated(alice: Account) -> None:
    with assert_refused(DatabaseError, match="never changed or deleted"), transaction.atomic():
        # With constraint checks pending, PostgreSQL would refuse TRUNCATE for that reason and not for the trigger.
        execute("SET CONSTRAINTS ALL IMMEDIATE", "TRUNCATE credits_entry")


def test_saving_an_entry_again_is_an_error(alice: Account) -> None:
    entry = Entry.objects.get()
    entry.balance_change = 1000

    with assert_refused(TypeError, match="post another entry"):
        entry.save()


def test_without_the_triggers_an_entry_can_be_changed(alice: Account) -> None:
    """Negative control: the triggers refuse the change, and nothing else does."""
    drop_triggers()
    Entry.objects.update(reason="another")
    create_triggers()

    assert Entry.objects.get().reason == "another"
    with assert_refused(DatabaseError, match="never changed"), transaction.atomic():
        Entry.objects.update(reason="a third")
